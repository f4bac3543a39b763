//! Everything here runs on the pool's real threads. No test sleeps: the mock engine's handle decides when a batch ends.

mod batching;
mod boundary;
mod faults;
mod property;

use std::sync::Arc;
use std::time::Instant;

use nerite_backend::DType;

use super::Answer;
use crate::mock::{input, model, request};
use crate::model::ModelSpec;
use crate::version::ModelVersion;

/// A model with one input of one byte per row and dynamic batches of up to 8 rows.
fn batches_of_8() -> ModelSpec {
    model("M", 8, vec![input("X", DType::U8, &[1], 0)])
}

/// Sends a request of so many rows.
fn send(version: &Arc<ModelVersion>, id: &str, rows: u32) -> Answer {
    version.infer(request(id, rows), Instant::now())
}
