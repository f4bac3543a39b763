//! The slots that are written down, held against what a C++ compiler makes of NVIDIA's headers.

use std::process::Command;

use super::*;
use crate::allocator;
use crate::logger;
use crate::version::{Layout, Product};
use compiler::{Source, headers};

#[path = "../../../cuda/tests/support/compiler.rs"]
mod compiler;

/// What the compiler says of a version's headers: a name and a number in each line.
fn compiled(version: &str, product: Product) -> Vec<(String, usize)> {
    let source = Source {
        text: include_str!("../../tests/cpp/slots.cpp"),
        header: None,
        headers: headers(version),
        flags: if product == Product::Rtx { vec!["-DIS_RTX".to_owned()] } else { Vec::new() },
        name: "slots",
    };
    let output = Command::new(source.compile()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let (name, number) = line.split_once(' ').unwrap();
        (name.to_owned(), number.parse().unwrap())
    };
    text.lines().map(line).collect()
}

fn written_down(layout: Layout, product: Product) -> Vec<(&'static str, usize)> {
    let Methods { runtime, engine, context } = Methods::of(layout);
    let (reallocate, reallocate_async, notify_shape) = allocator::tests::slots(product);
    let mut slots = vec![
        ("deserialize", runtime.deserialize),
        ("allow_host_code", runtime.allow_host_code),
        ("create_context", engine.create_context),
        ("profile_count", engine.profile_count),
        ("engine_shape", engine.shape),
        ("data_type", engine.data_type),
        ("location", engine.location),
        ("is_shape_tensor", engine.is_shape_tensor),
        ("io_mode", engine.io_mode),
        ("format", engine.format),
        ("profile_shape", engine.profile_shape),
        ("tensor_count", engine.tensor_count),
        ("tensor_name", engine.tensor_name),
        ("profile_values", engine.profile_values),
        ("set_profile", context.set_profile),
        ("set_input_shape", context.set_input_shape),
        ("context_shape", context.shape),
        ("set_address", context.set_address),
        ("infer_shapes", context.infer_shapes),
        ("set_allocator", context.set_allocator),
        ("enqueue", context.enqueue),
        ("log", logger::tests::slot(layout)),
    ];
    slots.extend(reallocate.map(|slot| ("reallocate", slot)));
    slots.extend([
        ("reallocate_async", reallocate_async),
        ("notify_shape", notify_shape),
        ("dims_size", size_of::<Dims>()),
        ("extents_offset", std::mem::offset_of!(Dims, extents)),
        ("most_extents", MOST_EXTENTS),
    ]);
    slots
}

#[test]
fn every_slot_is_where_a_compiler_puts_it() {
    for (version, layout, product) in [
        ("tensorrt-10.16", Layout::Ten, Product::TensorRt),
        ("tensorrt-11.0", Layout::Eleven, Product::TensorRt),
        ("tensorrt-11.4", Layout::Eleven, Product::TensorRt),
        ("rtx-1.5", Layout::Eleven, Product::Rtx),
        ("rtx-1.6", Layout::Eleven, Product::Rtx),
        ("rtx-1.7", Layout::Eleven, Product::Rtx),
    ] {
        let compiled = compiled(version, product);
        let expected: Vec<(String, usize)> = written_down(layout, product)
            .into_iter()
            .map(|(name, number)| (name.to_owned(), number))
            .collect();
        assert_eq!(compiled, expected, "{version}");
    }
}

#[test]
fn a_shape_goes_to_tensorrt_and_back() {
    for extents in [&[][..], &[3], &[1, 2, 3, 4, 5, 6, 7, 8]] {
        assert_eq!(Dims::new(extents).unwrap().extents(), Some(extents));
    }
    assert!(Dims::new(&[1; 9]).is_none());
    assert_eq!(Dims { count: -1, extents: [0; 8] }.extents(), None);
    assert_eq!(Dims { count: 9, extents: [0; 8] }.extents(), None);
}

#[test]
fn a_small_pointer_is_no_object() {
    // SAFETY: neither is followed.
    let objects = unsafe { [Owned::from_raw(std::ptr::null_mut()), Owned::from_raw(0x228 as *mut c_void)] };
    assert!(objects.iter().all(Option::is_none));
}
