//! NVIDIA's own libraries. Where there is no device they are found and started, their messages arrive, and what they
//! refuse is refused: the driver is a counterfeit that says there is one device, which they do not find. Where there is
//! a device, an engine runs on it.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use nerite_backend::{Code, DType};
use nerite_cuda::device_count;
use support::compiler::{Source, headers, real_library};
use support::{Product, World, assert_output, infer, instance, tensor};

#[test]
fn real_libraries_are_told_apart_and_what_they_say_is_heard() {
    if device_count(None) > 0 {
        eprintln!("this machine has a device, on which other tests tell more");
        return;
    }
    for (name, parts) in [
        ("libnvinfer_lean.so.10", &["TensorRT 10.16.1 cannot be started", "CUDA initialization failure"][..]),
        ("libnvinfer_lean.so.11", &["TensorRT 11.4.0 cannot be started", "CUDA initialization failure"]),
        ("libtensorrt_rtx.so.1", &["TensorRT for RTX 1.7.1", "cannot load", "readHeader"]),
    ] {
        let Some(library) = real_library(name) else {
            eprintln!("{name} is not there and was not tested: run scripts/fetch-tensorrt-libraries");
            continue;
        };
        let mut world = World::new(Product::Eleven, "");
        world.options.library = Some(library);
        let error = world.refused();
        assert!(parts.iter().all(|part| error.message.contains(part)), "{name}: {error}");
        assert!(matches!(error.code, Code::Unavailable | Code::InvalidArgument));
        assert_eq!(world.driver.live(), 0);
    }
}

/// Has TensorRT for RTX build an engine that gives `x` back doubled, in batches of up to 16 rows of 4; that takes no
/// device.
fn build(library: &Path, plan: &Path) {
    let source = Source {
        text: include_str!("cpp/engine.cpp"),
        header: None,
        headers: headers("rtx-1.7"),
        flags: Vec::new(),
        name: "engine",
    };
    let output = Command::new(source.compile()).arg(library).arg(plan).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_engine_that_tensorrt_built_is_refused_without_a_device_and_runs_on_one() {
    let Some(library) = real_library("libtensorrt_rtx.so.1") else {
        eprintln!("TensorRT for RTX is not there and was not tested: run scripts/fetch-tensorrt-libraries");
        return;
    };
    let mut world = World::new(Product::Rtx, "");
    build(&library, &world.folder.path().join("model.plan"));
    world.options.library = Some(library);
    if device_count(None) == 0 {
        let error = world.refused();
        assert_eq!(error.code, Code::InvalidArgument);
        for part in ["TensorRT for RTX 1.7.1", "cannot load", "CUDA", "build it anew"] {
            assert!(error.message.contains(part), "{error}");
        }
        assert_eq!(world.driver.live(), 0);
        return;
    }
    world.options.driver = None;
    let model = world.load().unwrap();
    let declaration = model.declaration();
    assert_eq!((&declaration.inputs[0].shape[..], declaration.inputs[0].dtype), (&[-1, 4][..], DType::F32));
    let mut instance = instance(&model, false);
    for rows in [1, 16, 7] {
        let bytes =
            |factor: f32| (0..rows * 4).flat_map(|i| (factor * i as f32).to_ne_bytes()).collect::<Vec<u8>>();
        let answer = infer(&mut *instance, vec![tensor(DType::F32, &[rows, 4], bytes(1.5))], 1);
        assert_output(&answer, 0, DType::F32, &[rows, 4], &bytes(3.0));
    }
    let refused = infer(&mut *instance, vec![tensor(DType::F32, &[17, 4], vec![0; 17 * 16])], 1).unwrap_err();
    assert!(
        refused.message.contains("profile 0 takes of 'x' shape [1,4] to [16,4], not [17,4]"),
        "{refused}"
    );
}
