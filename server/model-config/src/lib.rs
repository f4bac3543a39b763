//! A model's configuration on its way from the text of `config.pbtxt`, or from JSON, to what the core serves:
//! parsed ([`parse_model_config`]), normalised and checked in itself, completed and checked against what the engine
//! says of the model, turned into the core's specification.

#![forbid(unsafe_code)]

mod agreement;
mod backend_kind;
mod complete;
mod draft;
mod ensemble;
mod files;
mod gpus;
mod initial_state;
mod instance_groups;
mod json;
mod labels;
mod normalise;
mod ragged;
mod reason;
mod reshape;
mod scheduling;
mod sequences;
mod source;
mod spec;
mod support;
#[cfg(test)]
mod tests;
mod text;
mod validate;
mod warm_up;

pub use gpus::{Gpus, NoGpus};
pub use source::{ModelConfigs, Options};
pub use text::{MAX_TEXT_SIZE, ParseError, Problem, parse_model_config};
