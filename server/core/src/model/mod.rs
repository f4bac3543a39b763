//! What a model is: its configuration, which versions of it are served, and why it may not be.

mod config;
mod ensemble;
mod error;
mod scheduling;
mod sequences;
mod spec;
mod version_policy;
mod warm_up;

pub use config::{ConfigSource, InstanceGroup, LoadPlan, ModelDraft, RateLimit, ResourceDemand};
pub use ensemble::{EnsemblePlan, StepPlan};
pub use error::{LoadError, OpenError};
pub(crate) use scheduling::level;
pub use scheduling::{QueuePolicy, Scheduling, TimeoutAction};
pub(crate) use sequences::id_element;
pub use sequences::{Control, SequenceBatching, SequenceStrategy, Signal, StateSpec, Values};
pub use spec::{InputSpec, ModelSpec, OutputSpec, SlotCounts};
pub use version_policy::VersionPolicy;
pub use warm_up::{WarmUp, WarmUpData, WarmUpInput};
