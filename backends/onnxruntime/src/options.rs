use std::path::PathBuf;

/// How ONNX Runtime is to be used by this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The library, if it is not to be searched for.
    pub library: Option<PathBuf>,
    /// Whether sessions share one thread pool. If not, each has threads of its own.
    pub global_thread_pool: bool,
    /// How many threads share the work of one operator; 0 for as many as the process may use CPUs.
    pub intra_op_threads: u16,
    /// How many operators may run at once in a model whose `execution_mode` is parallel; 0 for as many as the process
    /// may use CPUs.
    pub inter_op_threads: u16,
    /// How much memory the process may use, in bytes, if that is known: a model that does not fit is refused.
    pub memory: Option<u64>,
    /// The NVIDIA driver's library, for models on GPUs; `libcuda.so.1` if none is named.
    pub driver: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            library: None,
            global_thread_pool: true,
            intra_op_threads: 0,
            inter_op_threads: 0,
            memory: None,
            driver: None,
        }
    }
}
