use std::fmt::Debug;

/// The GPUs of the machine, as far as configurations depend on them.
pub trait Gpus: Debug + Send + Sync {
    /// How many the process may use; asked for models whose instances are to be on all of them.
    fn count(&self) -> u32;
    /// Whether models of that backend run on them where their configuration leaves that open (`KIND_AUTO`). Asked only
    /// of backends that may run on the processor as well.
    fn serve(&self, backend: &str) -> bool;
}

/// There is none.
#[derive(Debug)]
pub struct NoGpus;

impl Gpus for NoGpus {
    fn count(&self) -> u32 {
        0
    }

    fn serve(&self, _backend: &str) -> bool {
        false
    }
}
