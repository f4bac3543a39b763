//! Everything here runs on the pool's real threads. No test sleeps: the mock engine's handle decides when a batch ends.

mod batching;
mod boundary;
mod faults;
mod inline;
#[cfg(feature = "shuttle")]
mod interleavings;
mod lost;
mod mending;
mod property;
mod rates;
mod responses;
mod sequences;
mod stalls;
mod waiting;

use std::sync::Arc;
use std::time::Instant;

use nerite_backend::DType;

use super::Answer;
use crate::admission::{Admitted, QueueTerms};
use crate::mock::{Handle, input, model, request, wait};
use crate::model::{ModelSpec, Scheduling};
use crate::version::ModelVersion;

/// A model with one input of one byte per row and dynamic batches of up to 8 rows.
fn batches_of_8() -> ModelSpec {
    model("M", 8, vec![input("X", DType::U8, &[1], 0)])
}

/// The same without dynamic batching.
fn one_by_one() -> ModelSpec {
    ModelSpec { scheduling: Scheduling::default(), ..batches_of_8() }
}

/// Sends a request of so many rows.
fn send(version: &Arc<ModelVersion>, id: &str, rows: u32) -> Answer {
    version.infer(request(id, rows), Instant::now())
}

/// Sends a request of one row that may wait on these terms.
fn send_on(version: &Arc<ModelVersion>, id: &str, terms: QueueTerms) -> Answer {
    version.infer(Admitted { terms, ..request(id, 1) }, Instant::now())
}

/// Has an instance execute a request as it should.
fn succeed_one(version: &Arc<ModelVersion>, handle: &Handle) {
    let answer = send(version, "lucky", 1);
    handle.next().succeed();
    assert_eq!(wait(answer).error, None);
}
