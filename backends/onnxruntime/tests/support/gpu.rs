//! A machine that has GPUs, as counterfeits of NVIDIA's driver and of ONNX Runtime for GPUs make it.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::{Arc, OnceLock};

use nerite_backend::{
    Accelerator, Artifact, Backend, BackendError, Cancel, Executions, Instance, InstanceKind, InstanceSpec,
    Model, Optimization,
};
use nerite_onnxruntime::{OnnxRuntime, Options};
use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;

use crate::counterfeit::{self, Counterfeit};
use crate::gpu_library::onnxruntime;
use crate::support::{self, Counts, Version};

/// What the counterfeit of ONNX Runtime says when a call is to fail; see `cpp/onnxruntime.cpp`.
#[derive(Clone, Copy)]
pub(crate) enum Words {
    Wrong = 0,
    NoMemory = 1,
    CudaNoMemory = 2,
    IllegalAddress = 3,
    NoLibrary = 4,
}

/// A process can have only one ONNX Runtime.
fn library() -> &'static Counterfeit {
    static LIBRARY: OnceLock<(TempDir, Counterfeit)> = OnceLock::new();
    let (_, counterfeit) = LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let counterfeit = Counterfeit::new(&folder, "libonnxruntime.so", &onnxruntime());
        counterfeit.tell("counterfeit_real", support::library().to_str().unwrap());
        (folder, counterfeit)
    });
    counterfeit
}

fn backend(driver: &Counterfeit) -> OnnxRuntime {
    OnnxRuntime::new(Options {
        library: Some(library().path.clone()),
        driver: Some(driver.path.clone()),
        ..Options::default()
    })
}

const PROVIDERS: &str = "TensorrtExecutionProvider CUDAExecutionProvider CPUExecutionProvider";

/// The machine, of which there is one at a time.
pub(crate) struct World {
    pub(crate) ort: &'static Counterfeit,
    pub(crate) driver: Counterfeit,
    pub(crate) backend: OnnxRuntime,
    pub(crate) first_kind: InstanceKind,
    _folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    /// A machine with two devices.
    pub(crate) fn new() -> World {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock();
        let folder = tempfile::tempdir().unwrap();
        let driver = Counterfeit::new(&folder, "libcuda.so.1", &counterfeit::driver());
        driver.limits(2, 1 << 40);
        let ort = library();
        ort.use_driver(&driver);
        ort.tell("counterfeit_providers", PROVIDERS);
        ort.calls();
        World {
            ort,
            backend: backend(&driver),
            driver,
            first_kind: InstanceKind::Gpu(0),
            _folder: folder,
            _alone: alone,
        }
    }

    /// Has the engine begin anew, with no driver loaded.
    pub(crate) fn renew(&mut self) {
        self.backend = backend(&self.driver);
    }

    pub(crate) fn load(&self, version: &Version) -> Result<Arc<dyn Model>, BackendError> {
        let artifact = Artifact {
            model: "test",
            directory: version.directory.path(),
            parameters: &version.parameters,
            optimization: &version.optimization,
            first_kind: self.first_kind,
            ..Artifact::default()
        };
        self.backend.load(&artifact, &Cancel::default())
    }

    #[track_caller]
    pub(crate) fn refused(&self, version: &Version) -> BackendError {
        self.load(version).map(drop).unwrap_err()
    }

    /// Nothing is left, and nothing was done that real libraries would not have forgiven.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert_eq!((self.driver.violations(), self.ort.violations()), (String::new(), String::new()));
        assert_eq!((self.driver.live(), self.ort.live()), (0, 0));
    }
}

/// An instance on that device.
pub(crate) fn on(
    model: &Arc<dyn Model>,
    kind: InstanceKind,
    batching: bool,
) -> Result<Box<dyn Instance>, BackendError> {
    let executions = Arc::new(Counts::default()) as Arc<dyn Executions>;
    let (name, ragged) = ("test_0".into(), Arc::default());
    model.instance(&InstanceSpec { name, kind, batching, ragged, executions })
}

/// What a configuration asks of GPUs.
pub(crate) fn accelerated(accelerators: &[(&str, &[(&str, &str)])]) -> Optimization {
    let accelerator = |(name, parameters): &(&str, &[(&str, &str)])| Accelerator {
        name: (*name).to_owned(),
        parameters: parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
    };
    Optimization { gpu_accelerators: accelerators.iter().map(accelerator).collect(), ..Optimization::NONE }
}
