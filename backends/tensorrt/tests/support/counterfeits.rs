//! The counterfeits of NVIDIA's libraries, compiled.

use std::fs;
use std::path::PathBuf;

use super::compiler::{Source, headers};
use super::stubs;

/// TensorRT, made against the headers of that version.
pub(crate) fn tensorrt(version: &str) -> PathBuf {
    let headers = headers(version);
    let declarations = fs::read_to_string(headers.join("NvInferImpl.h")).unwrap();
    let source = Source {
        text: include_str!("../cpp/nvinfer.cpp"),
        header: Some(("stubs.h", stubs::of_header(&declarations))),
        headers,
        flags: vec!["-shared".to_owned(), "-fPIC".to_owned()],
        name: "libnvinfer.so",
    };
    source.compile()
}
