//! What an instance on a GPU lacks, and how to get it.

use std::path::Path;

use nerite_backend::{BackendError, Code};

use crate::providers::Provider;
use crate::status::OrtError;

const OTHERWISE: &str = "or set the kind of the instance group to KIND_CPU or KIND_AUTO";

/// There is no driver, or no device.
pub(crate) fn driver(error: BackendError) -> BackendError {
    let message = format!(
        "{error}: an instance of KIND_GPU needs an NVIDIA GPU and its driver: install the driver, give a container the \
         GPU (docker run --gpus all), {OTHERWISE}"
    );
    BackendError { message, ..error }
}

/// The library was built without that provider.
pub(crate) fn provider(provider: Provider, library: &Path, built_in: &[String]) -> BackendError {
    let (name, path) = (provider.name(), library.display());
    let (has, remedy) = match provider {
        Provider::Cuda => ("an instance of KIND_GPU needs", OTHERWISE),
        Provider::TensorRt => (
            "the execution accelerator tensorrt needs",
            "or remove the accelerator, and CUDA executes the model",
        ),
    };
    let message = format!(
        "{has} {name}, and ONNX Runtime's library '{path}' was built without it (it has {}): take a library that was \
         built for GPUs (Python package onnxruntime-gpu has one) and name it with the environment variable \
         ORT_DYLIB_PATH or with --backend-config=onnxruntime,library=PATH, {remedy}",
        built_in.join(", ")
    );
    BackendError::new(Code::Unsupported, message)
}

/// The provider is in a library of its own, which does not load.
pub(crate) fn library_of(provider: Provider, library: &Path, error: &OrtError) -> BackendError {
    let file =
        library.canonicalize().unwrap_or_else(|_| library.to_path_buf()).with_file_name(provider.file());
    let (needs, otherwise) = match provider {
        Provider::Cuda => ("CUDA (cuBLAS, cuDNN, cuFFT, cuRAND)", OTHERWISE),
        Provider::TensorRt => {
            ("TensorRT and CUDA", "or remove the accelerator tensorrt, and CUDA executes the model")
        }
    };
    let message = format!(
        "{} cannot be used: {}: '{}' has to be there, and the libraries of {needs} that it was built with, which the \
         system's loader finds if their directories are in LD_LIBRARY_PATH; install them, {otherwise}",
        provider.name(),
        error.message,
        file.display()
    );
    BackendError::new(Code::Unavailable, message)
}

/// The provider does not take an option.
pub(crate) fn option(provider: Provider, error: &OrtError) -> BackendError {
    BackendError::invalid(format!(
        "{} does not take its options: {}: correct the parameters of the execution accelerator",
        provider.name(),
        error.message
    ))
}
