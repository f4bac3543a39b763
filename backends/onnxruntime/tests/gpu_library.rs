//! ONNX Runtime's own library for GPUs, where there is none. Alone in its process, which can have only one.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../cuda/tests/support/compiler.rs"]
mod compiler;
#[path = "../../cuda/tests/support/counterfeit.rs"]
mod counterfeit;
#[path = "support/gpu.rs"]
mod gpu;
#[path = "support/gpu_library.rs"]
mod gpu_library;
mod support;

use std::path::Path;

use gpu::accelerated;
use nerite_backend::{Artifact, Backend, BackendError, Cancel, Code, DType, InstanceKind, Optimization};
use nerite_onnxruntime::{OnnxRuntime, Options};
use support::onnx::{element, floats, identity};
use support::{Version, assert_tensor, infer, tensor};

fn load(
    backend: &OnnxRuntime,
    version: &Version,
    first_kind: InstanceKind,
    optimization: &Optimization,
) -> Result<std::sync::Arc<dyn nerite_backend::Model>, BackendError> {
    let directory = version.directory.path();
    let artifact = Artifact { model: "test", directory, first_kind, optimization, ..Artifact::default() };
    backend.load(&artifact, &Cancel::default())
}

#[test]
fn the_real_library_for_gpus_serves_on_the_processor_and_says_what_it_lacks_on_a_gpu() {
    let library =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/onnxruntime-gpu/lib/libonnxruntime.so");
    if !library.exists() {
        eprintln!("it is not there and was not tested: run scripts/fetch-onnxruntime-gpu");
        return;
    }
    if nerite_cuda::device_count(None) > 0 {
        eprintln!("this machine has a device, on which another test tells more");
        return;
    }
    let options = Options { library: Some(library), ..Options::default() };
    let version = Version::new(&identity(element::FLOAT, &[2]));
    let none = Optimization::NONE;
    let gpu = InstanceKind::Gpu(0);

    let without_driver = OnnxRuntime::new(options.clone());
    let error = load(&without_driver, &version, gpu, &none).err().unwrap();
    assert_eq!(error.code, Code::Unavailable);
    assert!(
        error.message.starts_with("the NVIDIA driver's library 'libcuda.so.1' cannot be loaded"),
        "{error}"
    );
    assert!(!without_driver.can_use_gpus());

    let folder = tempfile::tempdir().unwrap();
    let driver = counterfeit::Counterfeit::new(&folder, "libcuda.so.1", &counterfeit::driver());
    let with_driver = OnnxRuntime::new(Options { driver: Some(driver.path.clone()), ..options });
    for (optimization, provider, library) in [
        (none.clone(), "CUDAExecutionProvider", "libcublasLt.so.13"),
        (accelerated(&[("tensorrt", &[])]), "TensorrtExecutionProvider", "libcublas.so.13"),
    ] {
        let error = load(&with_driver, &version, gpu, &optimization).err().unwrap();
        assert_eq!(error.code, Code::Unavailable, "{error}");
        for part in [
            &format!("{provider} cannot be used: "),
            library,
            "cannot open shared object file",
            "LD_LIBRARY_PATH",
        ] {
            assert!(error.message.contains(part), "{part}: {error}");
        }
    }
    assert!(!with_driver.can_use_gpus());

    let model = load(&with_driver, &version, InstanceKind::Cpu, &none).unwrap();
    let bytes = floats(&[1.0, 2.0]);
    assert_tensor(infer(&model, vec![tensor(DType::F32, &[2], bytes.clone())]), 0, DType::F32, &[2], &bytes);
    assert_eq!((driver.violations(), driver.live()), (String::new(), 0));
}
