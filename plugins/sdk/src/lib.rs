//! Backends for Nerite in safe Rust.
//!
//! A backend is a shared library that speaks Triton's backend C API: the server loads it, gives it models and batches,
//! and sends what it answers. This crate is that API as types that cannot be misused: what has to be released is
//! released once, what has to be answered is answered once, and a panic is an error that the client sees. A library
//! that is built with it runs in Nerite and, from version 1.19 of the API on, in Triton alike.
//!
//! # A complete backend
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use nerite_plugin::{Batch, Error, Instance, InstanceContext, Model, ModelContext, Result};
//!
//! /// Multiplies what it is sent by a factor that the configuration names.
//! struct Scale {
//!     factor: f32,
//! }
//!
//! impl Model for Scale {
//!     type Instance = Scaler;
//!
//!     fn load(context: &ModelContext<'_>) -> Result<Scale> {
//!         let factor = context.config().parsed_parameter("factor")?;
//!         let factor = factor.ok_or_else(|| Error::invalid_argument("the model needs the parameter \"factor\""))?;
//!         nerite_plugin::info!("{} multiplies by {factor}", context.name());
//!         Ok(Scale { factor })
//!     }
//!
//!     fn instance(self: &Arc<Scale>, _: &InstanceContext<'_>) -> Result<Scaler> {
//!         Ok(Scaler { model: Arc::clone(self) })
//!     }
//! }
//!
//! struct Scaler {
//!     model: Arc<Scale>,
//! }
//!
//! impl Instance for Scaler {
//!     fn execute(&mut self, batch: &mut Batch) -> Result<()> {
//!         batch.respond_each(|request, response| {
//!             let input = request.input("x")?;
//!             let scaled: Vec<f32> = input.values::<f32>()?.iter().map(|x| x * self.model.factor).collect();
//!             response.output_of("y", input.shape(), &scaled)
//!         });
//!         Ok(())
//!     }
//! }
//!
//! nerite_plugin::export!(Scale);
//! # fn main() {}
//! ```
//!
//! # Building it
//!
//! The library's name has to be `triton_` and the backend's, so that the file is called `libtriton_scale.so`:
//!
//! ```toml
//! [lib]
//! name = "triton_scale"
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! nerite-plugin = { path = "…" }
//! ```
//!
//! The functions of the server stay undefined in it, which is what a shared library may do on Linux (not with
//! `-z defs`). Build it with `panic = "unwind"`, which is Cargo's default: with `"abort"` a panic ends the server.
//!
//! # Where to put it
//!
//! The server looks in the version's folder of a model, in the model's folder, and then in
//! `<backend directory>/scale/libtriton_scale.so`. The model names it in its `config.pbtxt`:
//!
//! ```text
//! backend: "scale"
//! max_batch_size: 8
//! input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] } ]
//! output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] } ]
//! dynamic_batching { }
//! parameters { key: "factor" value { string_value: "2" } }
//! ```
//!
//! # Models, instances, state
//!
//! A [`Model`] is what all instances of a version share: it is `Sync`, and read-only unless it says otherwise. An
//! [`Instance`] is what one execution has for itself: it is called with one batch at a time, though not always on the
//! same thread. `instance_group { count: 4 }` makes four of them. What [`Model::load`] or [`Model::instance`] refuses
//! is not served, and the error's message is what the server says of it, so let it tell what to change.
//! [`Config::named_inputs`] and [`Config::named_outputs`] do where tensors have names of the backend's own, and
//! [`ModelContext::file`] finds what comes with a model.
//!
//! # Batches
//!
//! The server puts requests together, up to `max_batch_size` rows, where the configuration has `dynamic_batching`; each
//! keeps its own tensors. [`Batch::respond_each`] answers one request after another. To compute on all rows at once,
//! gather them first:
//!
//! ```no_run
//! # use nerite_plugin::{Batch, Result};
//! # fn compute(rows: &[f32]) -> Vec<f32> { rows.to_vec() }
//! # fn execute(batch: &mut Batch) -> Result<()> {
//! let mut rows = Vec::new();
//! for request in batch.iter() {
//!     rows.extend_from_slice(&request.input("x")?.values::<f32>()?);
//! }
//! batch.compute_start();
//! let results = compute(&rows);
//! batch.compute_end();
//! let mut rest = results.as_slice();
//! batch.respond_each(|request, response| {
//!     let shape = request.input("x")?.shape();
//!     let (own, others) = rest.split_at(shape.iter().product::<i64>() as usize);
//!     rest = others;
//!     response.output_of("y", shape, own)
//! });
//! # Ok(())
//! # }
//! ```
//!
//! An input may lie in several buffers ([`Input::buffers`]); [`Input::to_contiguous`] and [`Input::values`] put them
//! together, and copy only then. [`Response::output`] gives the place where the answer is sent from: write into it
//! rather than copy. Strings are elements of [`DataType::Bytes`]: [`Input::byte_elements`] reads them, and
//! [`Response::output_of_bytes`] writes them.
//!
//! # Errors
//!
//! An [`Error`] has a code, which becomes the call's gRPC status, and a message. Returned from the closure of
//! [`Batch::respond_each`] it answers that request; [`Request::fail`] does so anywhere else; returned from
//! [`Instance::execute`] it answers all that are not answered yet. So does a panic. A request that is dropped
//! unanswered is answered with an error, too.
//!
//! # Many responses to a request
//!
//! A model with `model_transaction_policy { decoupled: true }` answers through a [`ResponseSender`], which outlives the
//! request and may go to another thread:
//!
//! ```no_run
//! # use nerite_plugin::{Batch, Result, Threads};
//! # fn execute(threads: &Threads, batch: &mut Batch) -> Result<()> {
//! for request in batch.take() {
//!     let count: i32 = request.input("count")?.values::<i32>()?.first().copied().unwrap_or(0);
//!     let mut sender = request.sender()?;
//!     threads.spawn(move || {
//!         for number in 0..count {
//!             let sent = sender.response().and_then(|mut response| {
//!                 response.output_of("number", &[1], &[number])?;
//!                 response.send()
//!             });
//!             if let Err(error) = sent {
//!                 return sender.fail(&error);
//!             }
//!         }
//!         // Dropping the sender says that no more will come.
//!     })?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Threads
//!
//! Requests and senders may go to other threads. All threads have to end before the instance's drop returns, since the
//! library may be unloaded after it: start them with [`Threads`].
//!
//! # Statistics, metrics, log
//!
//! How long requests and batches took is reported without further ado; [`Batch::compute_start`] and
//! [`Batch::compute_end`] say which part of it was computation. Numbers of your own are a [`MetricFamily`]. Lines for
//! the server's log are written with [`info!`], [`warn!`], [`error!`](crate::error!) and [`verbose!`], as `println!` is
//! used.
//!
//! # Testing
//!
//! Keep what is computed apart from what is exported, and test it as any other Rust. A test binary cannot be linked
//! with functions that only a server has: set `test = false` for a library that exports a backend, and write tests of
//! the whole against a server, with a model repository in a temporary folder.
//!
//! # What it does not do
//!
//! A plugin is part of the server's process. Safe Rust keeps to its own memory, but a library that a plugin calls may
//! not: what it corrupts is the server's. Memory of GPUs, states of sequences, requests to other models and rules of
//! batching of one's own are parts of the API that this crate does not cover.

mod batch;
mod byte_elements;
mod clock;
mod config;
mod data_type;
mod element;
#[doc(hidden)]
pub mod entry;
mod error;
mod guard;
mod input;
mod instance;
mod log;
mod message;
mod metric;
mod model;
mod parameter;
mod request;
mod response;
mod sender;
mod sys;
mod text;
mod threads;

pub use batch::Batch;
pub use byte_elements::ByteElements;
pub use config::{Config, TensorConfig};
pub use data_type::DataType;
pub use element::Element;
pub use error::{Error, ErrorCode, Result};
pub use input::Input;
pub use instance::{Instance, InstanceContext, InstanceGroupKind};
pub use log::LogLevel;
#[doc(hidden)]
pub use log::write as write_log;
pub use metric::{Metric, MetricFamily, MetricKind};
pub use model::{Model, ModelContext};
pub use parameter::Parameter;
pub use request::{CorrelationId, Request};
pub use response::Response;
pub use sender::ResponseSender;
pub use threads::Threads;
