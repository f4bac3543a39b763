use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::{BackendError, Batch, Cancel, Declaration, Executions, Ragged};

/// An engine: it turns files into models.
pub trait Backend: Send + Sync {
    /// Loads a model version. It may take long, and is called on a thread that may block; several loads may run at
    /// once. A load that is no longer wanted is cancelled, and may then fail early.
    fn load(&self, artifact: &Artifact<'_>, cancel: &Cancel) -> Result<Arc<dyn Model>, BackendError>;
}

/// What there is to load.
#[derive(Clone, Copy, Debug)]
pub struct Artifact<'a> {
    /// The name of the backend that the configuration asks for.
    pub backend: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// The version to load.
    pub version: u64,
    /// The version's directory.
    pub directory: &'a Path,
    /// The model's directory, in which that of the version lies.
    pub repository: &'a Path,
    /// The file or directory in it that holds the model, if the configuration names one.
    pub filename: Option<&'a str>,
    /// The configuration's `parameters`, whose meaning is the backend's own.
    pub parameters: &'a BTreeMap<String, String>,
    /// The configuration's `optimization.graph.level`: 0 is the backend's default, and what the others mean is its
    /// own business.
    pub graph_level: i32,
    /// The whole configuration in protobuf's JSON, for a backend that reads it itself; empty for one that does not.
    pub configuration: &'a str,
    /// Whether the backend may complete the configuration.
    pub auto_complete: bool,
}

/// Nothing in particular, to name only what matters.
impl Default for Artifact<'_> {
    fn default() -> Self {
        static NO_PARAMETERS: BTreeMap<String, String> = BTreeMap::new();
        Artifact {
            backend: "",
            model: "",
            version: 1,
            directory: Path::new(""),
            repository: Path::new(""),
            filename: None,
            parameters: &NO_PARAMETERS,
            graph_level: 0,
            configuration: "",
            auto_complete: false,
        }
    }
}

/// A loaded model version. It owns the weights: ten instances do not cost ten times the weights.
pub trait Model: Send + Sync {
    /// What the model says of itself.
    fn declaration(&self) -> &Declaration;
    /// Whether an execution takes so little, whatever it is given, that its caller need not be able to give up meanwhile:
    /// some dozen microseconds a row at most. In doubt it does not.
    fn is_brief(&self) -> bool {
        false
    }
    /// Makes one more executor of the model.
    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError>;
}

/// What an instance is to be like.
#[derive(Clone)]
pub struct InstanceSpec {
    /// Its name, for logs.
    pub name: String,
    /// What it is to run on.
    pub kind: InstanceKind,
    /// Whether batches are formed along the first dimension of every tensor.
    pub batching: bool,
    /// In what requests of a batch may differ all the same.
    pub ragged: Arc<Ragged>,
    /// Where it tells of its executions.
    pub executions: Arc<dyn Executions>,
}

/// What an instance runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstanceKind {
    /// The processor.
    #[default]
    Cpu,
    /// The GPU of that number.
    Gpu(u32),
    /// Whatever the model itself chooses.
    Model,
}

/// One executor of a model. The server calls it from one thread at a time, not always the same.
///
/// One that cannot execute any more is dropped, and another is made in its place by [`Model::instance`], on a thread
/// that may block: at once, and again with longer and longer pauses while that fails. So it is with one that panics.
pub trait Instance: Send {
    /// Executes a batch, and says what that tells of the instance. Returning frees the instance, not the requests: they
    /// may live on, on any thread, until they are answered and dropped.
    fn execute(&mut self, batch: Batch) -> Condition;

    /// Whether it can execute; asked, on a thread that may block, where an execution made that doubtful. `None` if its
    /// engine has no way to tell: it is then made anew when executions in a row do not remove the doubt.
    fn ready(&mut self) -> Option<Result<(), BackendError>> {
        None
    }

    /// Lets go of it, since it cannot execute any more, before another is made in its place. An engine that takes long over
    /// that, and can make another meanwhile, may return before it is done.
    fn give_way(self: Box<Self>) {}
}

/// What an execution tells of the instance that it was done by. Mistakes of callers tell nothing of it. A request that
/// fails beside others that do not tells nothing of one that cannot be asked ([`Instance::ready`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing speaks against it.
    Sound,
    /// Every request failed, for that reason, as it would if the instance could not execute any more; it may as well be
    /// the requests' fault. [`Instance::ready`] is asked. Of an instance that can be asked, one failed request is
    /// enough.
    Doubtful(BackendError),
    /// It cannot execute any more, for that reason.
    Broken(BackendError),
}
