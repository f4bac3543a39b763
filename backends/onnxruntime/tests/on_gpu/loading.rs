//! Making sessions, and what is said where that cannot be done.

use nerite_backend::{Code, InstanceKind};

use crate::GPU;
use crate::gpu::{Words, World, accelerated, on};
use crate::support::Version;
use crate::support::onnx::{element, identity};

#[test]
fn a_small_model_is_brief_on_the_processor_alone() {
    let mut world = World::new();
    let version = Version::new(&identity(element::FLOAT, &[1]));
    assert!(!world.load(&version).unwrap().is_brief());
    world.first_kind = InstanceKind::Cpu;
    let model = world.load(&version).unwrap();
    assert!(model.is_brief());
    on(&model, GPU, false).unwrap();
    assert!(!model.is_brief());
    drop(model);
    world.assert_clean();
}

#[test]
fn tensorrt_comes_before_cuda_and_both_get_their_options_and_the_device() {
    let mut world = World::new();
    world.first_kind = InstanceKind::Gpu(1);
    let optimization = accelerated(&[
        ("cuda", &[("prefer_nhwc", "1")]),
        ("tensorrt", &[("precision_mode", "FP16"), ("trt_engine_cache_path", "/cache")]),
    ]);
    let version = Version { optimization, ..Version::new(&identity(element::FLOAT, &[1])) };
    let model = world.load(&version.with("gpu_mem_limit", "1048576")).unwrap();
    let calls = world.ort.calls();
    let appended: Vec<_> = calls.iter().filter(|call| !call.starts_with("GetAvailable")).collect();
    assert_eq!(
        appended,
        [
            "UpdateTensorRT()",
            "UpdateTensorRT()",
            "AppendTensorRT(device_id=1 trt_engine_cache_path=/cache trt_fp16_enable=1)",
            "UpdateCUDA()",
            "UpdateCUDA()",
            "AppendCUDA(device_id=1 gpu_mem_limit=1048576 prefer_nhwc=1)",
            "CreateSession(gpu 1)",
        ]
    );
    drop(model);
    world.assert_clean();
}

/// Has the world's engine begin anew, with no driver loaded, on a machine with so many GPUs and those providers.
fn renew(world: &mut World, gpus: i32, providers: &str) {
    world.driver.limits(gpus, 1 << 40);
    world.ort.tell("counterfeit_providers", providers);
    world.renew();
}

#[test]
fn what_is_missing_is_told_precisely_and_nothing_falls_back_in_silence() {
    let mut world = World::new();
    let version = Version::new(&identity(element::FLOAT, &[1]));
    let with_tensorrt = Version {
        optimization: accelerated(&[("tensorrt", &[])]),
        ..Version::new(&identity(element::FLOAT, &[1]))
    };
    let no_provider = [
        "needs CUDAExecutionProvider",
        "was built without it (it has AzureExecutionProvider, CPUExecutionProvider)",
        "onnxruntime-gpu",
        "KIND_CPU or KIND_AUTO",
    ];
    let no_gpu =
        "there is no NVIDIA GPU that this process may use (cuInit failed with CUDA_ERROR_NO_DEVICE (100))";
    let neither = [&no_provider[..], &["Besides, ", no_gpu]].concat();
    let no_tensorrt =
        ["the execution accelerator tensorrt needs TensorrtExecutionProvider", "and CUDA executes the model"];
    for (gpus, providers, version, code, parts) in [
        (2, "AzureExecutionProvider CPUExecutionProvider", &version, Code::Unsupported, &no_provider[..]),
        (0, "AzureExecutionProvider CPUExecutionProvider", &version, Code::Unsupported, &neither),
        (
            0,
            "CUDAExecutionProvider CPUExecutionProvider",
            &version,
            Code::Unavailable,
            &[no_gpu, "--gpus all"],
        ),
        (2, "CUDAExecutionProvider CPUExecutionProvider", &with_tensorrt, Code::Unsupported, &no_tensorrt),
    ] {
        renew(&mut world, gpus, providers);
        let error = world.refused(version);
        assert_eq!(error.code, code, "{error}");
        assert!(parts.iter().all(|part| error.message.contains(part)), "{error}");
        assert_eq!(world.backend.can_use_gpus(), gpus == 2 && providers.starts_with("CUDA"));
    }
    for call in ["UpdateCUDA", "AppendCUDA"] {
        world.ort.fail(call, 0, Words::NoLibrary as i32, false);
        let error = world.refused(&version);
        assert_eq!(error.code, Code::Unavailable);
        for part in
            ["CUDAExecutionProvider cannot be used: ", "libcublasLt.so.13: cannot open", "LD_LIBRARY_PATH"]
        {
            assert!(error.message.contains(part), "{error}");
        }
    }
    assert_eq!(world.ort.count("CreateSession"), 0);

    let model = world.load(&version).unwrap();
    let error = on(&model, InstanceKind::Gpu(2), false).err().unwrap();
    assert!(error.message.contains("there is no GPU 2: this process may use GPUs 0 to 1"), "{error}");
    drop(model);
    world.assert_clean();
}

#[test]
fn options_that_the_provider_does_not_take_are_told_from_a_library_that_does_not_load() {
    let world = World::new();
    for (name, key) in [("cuda", "made_up"), ("tensorrt", "trt_made_up")] {
        let optimization = accelerated(&[(name, &[(key, "1")])]);
        let version = Version { optimization, ..Version::new(&identity(element::FLOAT, &[1])) };
        let error = world.refused(&version);
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(
            error.message.contains(&format!("Unknown provider option: \"{key}\": correct the parameters")),
            "{error}"
        );
    }
    let wrong = accelerated(&[("openvino", &[])]);
    let mut version = Version { optimization: wrong, ..Version::new(&identity(element::FLOAT, &[1])) };
    assert!(
        world.refused(&version).message.contains("unknown Execution Accelerator 'openvino' is requested")
    );
    let cpu = std::mem::take(&mut version.optimization.gpu_accelerators);
    version.optimization.cpu_accelerators = cpu;
    assert!(
        world.refused(&version).message.contains("'openvino' on the CPU, which is not in this ONNX Runtime")
    );
    world.assert_clean();
}

#[test]
fn a_group_of_no_kind_is_on_gpus_if_the_provider_loads() {
    let mut world = World::new();
    world.driver.limits(0, 0);
    assert!(!world.backend.can_use_gpus());
    world.driver.limits(2, 1 << 40);
    world.ort.fail("AppendCUDA", 0, Words::NoLibrary as i32, false);
    assert!(!world.backend.can_use_gpus(), "the library is tried out");
    assert!(!world.backend.can_use_gpus(), "once");
    world.renew();
    assert!(world.backend.can_use_gpus());
    world.assert_clean();
}

#[test]
fn a_file_that_has_changed_is_not_loaded_on_another_device() {
    let world = World::new();
    let version = Version::new(&identity(element::INT64, &[-1]));
    let model = world.load(&version).unwrap();
    version.write("model.onnx", &identity(element::FLOAT, &[-1]));
    on(&model, GPU, true).unwrap();
    let error = on(&model, InstanceKind::Gpu(1), true).err().unwrap();
    assert!(error.code == Code::Unavailable && error.message.contains("load the model again"), "{error}");
    drop(model);
    world.assert_clean();
}
