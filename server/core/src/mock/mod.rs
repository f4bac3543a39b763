//! A mock engine as `(MockEngine, Handle)`: the test that holds the handle sees every batch as it arrives, and decides
//! when, from which thread and how it is answered and released.

mod clock;
mod configs;
mod engine;
mod handle;
mod requests;
#[cfg(feature = "shuttle")]
mod shuttled;
mod specs;

pub(crate) use clock::ManualClock;
pub(crate) use configs::MockConfigs;
pub(crate) use engine::{Fault, MockEngine, content};
pub(crate) use handle::{Execution, Handle, answer, phases};
pub(crate) use requests::{of_shapes, poll, request, until, wait};
#[cfg(feature = "shuttle")]
pub(crate) use shuttled::{Spawning, executor};
pub(crate) use specs::{Stage, declaration, directory, input, model, output, plan, serve, serve_with};
