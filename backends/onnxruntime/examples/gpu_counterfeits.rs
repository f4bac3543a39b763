//! Puts counterfeits of ONNX Runtime for GPUs and of NVIDIA's driver into a folder: what end-to-end tests have the
//! daemon find on a machine without a GPU.
//!
//! `gpu_counterfeits FOLDER` makes `FOLDER/libcuda.so.1` and `FOLDER/libonnxruntime.so`. The latter is made of the real
//! library that the environment variable `COUNTERFEIT_OF` names.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../cuda/tests/support/compiler.rs"]
mod compiler;
#[path = "../../cuda/tests/support/counterfeit.rs"]
mod counterfeit;
#[path = "../tests/support/gpu_library.rs"]
mod gpu_library;

use std::path::PathBuf;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("a folder is named"));
    std::fs::copy(counterfeit::driver(), folder.join("libcuda.so.1")).unwrap();
    std::fs::copy(gpu_library::onnxruntime(), folder.join("libonnxruntime.so")).unwrap();
}
