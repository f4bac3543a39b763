//! The counterfeit of ONNX Runtime for GPUs.

use std::mem::{offset_of, size_of};
use std::path::PathBuf;

use ort::sys::OrtApi;

use crate::compiler::{Source, headers};

macro_rules! slots {
    ($($function:ident),* $(,)?) => {{
        let mut text = String::from("#pragma once\nenum Slot {\n");
        $(
            let place = offset_of!(OrtApi, $function) / size_of::<usize>();
            text.push_str(&format!("{} = {place},\n", stringify!($function)));
        )*
        text.push_str(&format!("SLOTS = {}\n}};\n", size_of::<OrtApi>() / size_of::<usize>()));
        text
    }};
}

/// ONNX Runtime for GPUs, compiled.
pub(crate) fn onnxruntime() -> PathBuf {
    let slots = slots![
        CreateStatus,
        GetAvailableProviders,
        ReleaseAvailableProviders,
        CreateCUDAProviderOptions,
        UpdateCUDAProviderOptions,
        SessionOptionsAppendExecutionProvider_CUDA_V2,
        ReleaseCUDAProviderOptions,
        CreateTensorRTProviderOptions,
        UpdateTensorRTProviderOptions,
        SessionOptionsAppendExecutionProvider_TensorRT_V2,
        ReleaseTensorRTProviderOptions,
        ReleaseSessionOptions,
        CreateSession,
        ReleaseSession,
        CreateMemoryInfo,
        CreateCpuMemoryInfo,
        ReleaseMemoryInfo,
        CreateIoBinding,
        ReleaseIoBinding,
        BindInput,
        BindOutputToDevice,
        ClearBoundOutputs,
        RunWithBinding,
        Run,
        GetBoundOutputValues,
        CreateTensorWithDataAsOrtValue,
        ReleaseValue,
        GetTensorMemoryInfo,
        MemoryInfoGetDeviceType,
        GetTensorSizeInBytes,
        GetTensorElementTypeAndShapeDataReference,
        GetTensorData,
    ];
    let source = Source {
        text: include_str!("../cpp/onnxruntime.cpp"),
        header: Some(("slots.h", slots)),
        headers: headers("cuda"),
        flags: vec!["-shared".to_owned(), "-fPIC".to_owned()],
        name: "libonnxruntime.so",
    };
    source.compile()
}
