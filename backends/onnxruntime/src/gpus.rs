//! The GPUs that sessions can be on, and what is missing where they cannot.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use nerite_backend::{BackendError, Code};
use nerite_cuda::{Device, Driver};
use parking_lot::Mutex;

use crate::accelerators::{GpuProviders, ProviderOptions};
use crate::environment::Environment;
use crate::missing;
use crate::parameters::Parameters;
use crate::providers::{self, Lack, Provider};
use crate::session_options::SessionOptions;
use crate::threads::SessionThreads;

/// NVIDIA's driver, loaded with the first model that needs it (or again with the next, if that fails), and whether ONNX
/// Runtime can use it.
#[derive(Debug, Default)]
pub(crate) struct Gpus {
    /// The driver's library, if one is named.
    named: Option<PathBuf>,
    driver: Mutex<Option<Arc<Driver>>>,
    /// Whether ONNX Runtime can use it, once that is known.
    usable: OnceLock<bool>,
}

impl Gpus {
    pub(crate) fn new(driver: Option<PathBuf>) -> Gpus {
        Gpus { named: driver, ..Gpus::default() }
    }

    fn driver(&self) -> Result<Arc<Driver>, BackendError> {
        let mut kept = self.driver.lock();
        if let Some(driver) = &*kept {
            return Ok(Arc::clone(driver));
        }
        let driver = Arc::new(Driver::load(self.named.as_deref())?);
        Ok(Arc::clone(kept.insert(driver)))
    }

    /// How many the process may use.
    pub(crate) fn count(&self) -> u32 {
        self.driver().map_or(0, |driver| driver.count())
    }

    /// The device of that number, if sessions can be on it. Library and driver are both tried, so that one error tells
    /// all that is missing.
    pub(crate) fn device(
        &self,
        ordinal: u32,
        environment: &Environment,
    ) -> Result<Arc<Device>, BackendError> {
        let library = &environment.library;
        let built_in = providers::built_in()?;
        let has_cuda = built_in.iter().any(|name| name == Provider::Cuda.name());
        match (has_cuda, self.driver()) {
            (true, Ok(driver)) => driver.device(ordinal),
            (true, Err(driver)) => Err(missing::driver(driver)),
            (false, Ok(_)) => Err(missing::provider(Provider::Cuda, library, &built_in)),
            (false, Err(driver)) => {
                let error = missing::provider(Provider::Cuda, library, &built_in);
                Err(BackendError { message: format!("{error}. Besides, {driver}"), ..error })
            }
        }
    }

    /// Whether sessions can be on GPUs, which is found out once there is a GPU and the library is loaded. Where it
    /// cannot use the GPU, the log says why.
    pub(crate) fn usable(
        &self,
        environment: impl FnOnce() -> Result<&'static Environment, BackendError>,
    ) -> bool {
        if self.count() == 0 {
            return false;
        }
        let Ok(environment) = environment() else { return false };
        *self.usable.get_or_init(|| {
            let tried = self.try_out(environment);
            if let Err(error) = &tried {
                tracing::warn!(
                    "ONNX models whose instance groups are of no kind run on the CPU, although there is a GPU: {error}"
                );
            }
            tried.is_ok()
        })
    }

    /// Has the provider loaded.
    fn try_out(&self, environment: &Environment) -> Result<(), BackendError> {
        self.device(0, environment)?;
        let options = SessionOptions::new("", 0, &Parameters::default(), SessionThreads::Shared)?;
        append(&options, 0, &GpuProviders::default(), &environment.library)
    }
}

/// Adds the providers to the options of a session on the device of that number.
pub(crate) fn append(
    session: &SessionOptions,
    ordinal: u32,
    wanted: &GpuProviders,
    library: &Path,
) -> Result<(), BackendError> {
    let append = |provider: Provider, options: &ProviderOptions| {
        provider.append(session, ordinal, options).map_err(|lack| match lack {
            Lack::Provider(error) => missing::library_of(provider, library, &error),
            Lack::Options(error) => missing::option(provider, &error),
        })
    };
    if let Some(options) = &wanted.tensorrt {
        let built_in = providers::built_in()?;
        if !built_in.iter().any(|name| name == Provider::TensorRt.name()) {
            return Err(missing::provider(Provider::TensorRt, library, &built_in));
        }
        append(Provider::TensorRt, options)?;
    }
    append(Provider::Cuda, &wanted.cuda)
}

/// An error of a run or of a session's making that want of memory on that device explains.
pub(crate) fn out_of_memory(device: &Device, message: &str) -> Option<BackendError> {
    const WORDS: [&str; 5] = [
        "out of memory",
        "Failed to allocate memory",
        "CUDA failure 2:",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "Available memory of",
    ];
    let told = WORDS.iter().any(|words| message.contains(words));
    told.then(|| {
        BackendError::new(
            Code::Unavailable,
            format!(
                "{} has no memory for it ({message}): serve fewer or smaller models on it, or fewer instances, or \
                 lower max_batch_size",
                device.label()
            ),
        )
    })
}
