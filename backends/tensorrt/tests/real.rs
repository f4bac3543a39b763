//! NVIDIA's own libraries where there is no device: they are found and started, their messages arrive, and what they refuse is
//! refused. The driver is a counterfeit that says there is one device, which they do not find.
#![allow(clippy::unwrap_used)]

mod support;

use nerite_backend::Code;
use nerite_tensorrt::device_count;
use support::compiler::real_library;
use support::{Product, World};

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
