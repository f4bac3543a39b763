//! Puts counterfeits of NVIDIA's libraries into a folder: what end-to-end tests have the daemon find on a machine
//! without a GPU.
//!
//! `counterfeit FOLDER` makes `FOLDER/libcuda.so.1` and `FOLDER/libnvinfer.so.11`.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../cuda/tests/support/compiler.rs"]
mod compiler;
#[path = "../../cuda/tests/support/counterfeit.rs"]
mod counterfeit;
#[path = "../tests/support/counterfeits.rs"]
mod counterfeits;
#[path = "../tests/support/stubs.rs"]
mod stubs;

use std::path::PathBuf;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("a folder is named"));
    std::fs::copy(counterfeit::driver(), folder.join("libcuda.so.1")).unwrap();
    std::fs::copy(counterfeits::tensorrt("tensorrt-11.4"), folder.join("libnvinfer.so.11")).unwrap();
}
