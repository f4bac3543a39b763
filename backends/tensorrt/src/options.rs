use std::path::PathBuf;

/// How TensorRT is to be used by this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// TensorRT's library, if it is not to be searched for.
    pub library: Option<PathBuf>,
    /// The NVIDIA driver's library; `libcuda.so.1` if none is named.
    pub driver: Option<PathBuf>,
    /// Libraries with layers of the models' own, loaded in this order before the first model.
    pub plugins: Vec<PathBuf>,
    /// Whether engines that run with other versions of TensorRT than the one that built them may be loaded. Such an
    /// engine brings a library of its own, which the process then executes: say so only where the models can be
    /// trusted.
    pub version_compatible: bool,
}
