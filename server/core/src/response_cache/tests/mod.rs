//! Everything here runs on the pool's real threads; the mock engine's handle decides when an execution ends.

mod flights;
#[cfg(feature = "shuttle")]
mod interleavings;
mod keys;
mod sharing;
mod store;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use nerite_backend::{DType, Shape, Tensor};

use super::ResponseCache;
use crate::admission::Admitted;
use crate::execution::Answer;
use crate::mock::{Handle, Stage, input, model, plan, request};
use crate::model::ModelSpec;
use crate::version::ModelVersion;

const SIZE: usize = 1 << 20;

/// A model of dynamic batches of up to 8 rows of one byte whose answers are kept.
fn spec() -> ModelSpec {
    ModelSpec { response_cache: true, ..model("M", 8, vec![input("X", DType::U8, &[-1], 0)]) }
}

/// A version of it with one instance, and the cache.
fn serve(spec: ModelSpec) -> (Arc<ResponseCache>, Arc<ModelVersion>, Handle) {
    serve_from(ResponseCache::new(SIZE), spec)
}

fn serve_from(cache: ResponseCache, spec: ModelSpec) -> (Arc<ResponseCache>, Arc<ModelVersion>, Handle) {
    let cache = Arc::new(cache);
    let (stage, handle) = Stage::with_cache(spec, plan(1), Arc::default(), Some(Arc::clone(&cache)));
    (cache, stage.load(), handle)
}

/// A request of one row of these bytes.
fn of(bytes: &[u8]) -> Admitted {
    let mut admitted = request("", 1);
    let shape = Shape::new(&[1, bytes.len() as i64]);
    admitted.inputs[0] = Some(Tensor::new(DType::U8, shape, Bytes::copy_from_slice(bytes)));
    admitted
}

fn named(id: &str, mut admitted: Admitted) -> Admitted {
    admitted.meta.id = id.to_owned();
    admitted
}

fn send(version: &Arc<ModelVersion>, admitted: Admitted) -> Answer {
    version.infer(admitted, Instant::now())
}

/// The bytes of the first output.
#[track_caller]
fn content(response: &nerite_backend::Response) -> Vec<u8> {
    assert!(response.error.is_none(), "{:?}", response.error);
    response.outputs[0].1.data.contiguous().expect("it is in one piece").to_vec()
}
