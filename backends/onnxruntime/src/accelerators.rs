//! What a configuration says of sessions on GPUs: which execution providers they have, and with which options.

use std::collections::BTreeMap;

use nerite_backend::{Accelerator, BackendError, Code, Optimization};

use crate::parameters::parse_switch;

/// An execution provider's options under ONNX Runtime's own names, without the number of the device.
pub(crate) type ProviderOptions = BTreeMap<String, String>;

/// One of them and its value.
type ProviderOption = (String, String);

/// The execution providers of sessions on GPUs, in order of preference: TensorRT, if it is asked for, and CUDA for what
/// is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GpuProviders {
    pub(crate) tensorrt: Option<ProviderOptions>,
    pub(crate) cuda: ProviderOptions,
}

/// What a parameter's value is.
#[derive(Clone, Copy)]
enum Kind {
    Switch,
    Number,
    Text,
}

/// The parameters of the accelerator `tensorrt` that have a name or a kind of value of their own here, as in Triton; of
/// the others, whatever begins with `trt_` is ONNX Runtime's to judge.
const TENSORRT: [(&str, &str, Kind); 18] = [
    ("max_workspace_size_bytes", "trt_max_workspace_size", Kind::Number),
    ("int8_calibration_table_name", "trt_int8_calibration_table_name", Kind::Text),
    ("int8_use_native_calibration_table", "trt_int8_use_native_calibration_table", Kind::Switch),
    ("trt_max_partition_iterations", "trt_max_partition_iterations", Kind::Number),
    ("trt_min_subgraph_size", "trt_min_subgraph_size", Kind::Number),
    ("trt_dla_enable", "trt_dla_enable", Kind::Switch),
    ("trt_dla_core", "trt_dla_core", Kind::Number),
    ("trt_engine_cache_enable", "trt_engine_cache_enable", Kind::Switch),
    ("trt_dump_subgraphs", "trt_dump_subgraphs", Kind::Switch),
    ("trt_force_sequential_engine_build", "trt_force_sequential_engine_build", Kind::Switch),
    ("trt_context_memory_sharing_enable", "trt_context_memory_sharing_enable", Kind::Switch),
    ("trt_layer_norm_fp32_fallback", "trt_layer_norm_fp32_fallback", Kind::Switch),
    ("trt_timing_cache_enable", "trt_timing_cache_enable", Kind::Switch),
    ("trt_force_timing_cache", "trt_force_timing_cache", Kind::Switch),
    ("trt_detailed_build_log", "trt_detailed_build_log", Kind::Switch),
    ("trt_build_heuristics_enable", "trt_build_heuristics_enable", Kind::Switch),
    ("trt_sparsity_enable", "trt_sparsity_enable", Kind::Switch),
    ("trt_dump_ep_context_model", "trt_dump_ep_context_model", Kind::Switch),
];

/// The parameters of the accelerator `cuda` that are switches; the others are ONNX Runtime's to judge.
const CUDA_SWITCHES: [&str; 2] = ["do_copy_in_default_stream", "use_ep_level_unified_stream"];

/// Options that hold addresses of this process, or what the server itself sets.
const RESERVED: [&str; 11] = [
    "device_id",
    "has_user_compute_stream",
    "user_compute_stream",
    "gpu_external_alloc",
    "gpu_external_free",
    "gpu_external_empty_cache",
    "default_memory_arena_cfg",
    "trt_onnx_bytestream",
    "trt_onnx_bytestream_size",
    "trt_external_data_bytestream",
    "trt_external_data_bytestream_size",
];

/// Options that have a graph captured, which goes on using the addresses of the tensors that it was captured with.
const GRAPHS: [&str; 2] = ["enable_cuda_graph", "trt_cuda_graph_enable"];

/// Entries of a model's `parameters` that were the older way to say what the accelerator `cuda` takes now.
const CUDA_PARAMETERS: [&str; 4] =
    ["cudnn_conv_algo_search", "gpu_mem_limit", "arena_extend_strategy", "do_copy_in_default_stream"];

/// Whether a model's parameter of that name is one for GPUs.
pub(crate) fn is_parameter(key: &str) -> bool {
    CUDA_PARAMETERS.contains(&key)
}

/// Refuses accelerators of processors: the libraries that are known have none.
pub(crate) fn check_cpu(optimization: &Optimization) -> Result<(), BackendError> {
    let Some(Accelerator { name, .. }) = optimization.cpu_accelerators.first() else { return Ok(()) };
    Err(BackendError::new(
        Code::Unsupported,
        format!(
            "the model asks for the execution accelerator '{name}' on the CPU, which is not in this ONNX Runtime: \
             remove cpu_execution_accelerator, and its own CPU provider executes the model"
        ),
    ))
}

impl GpuProviders {
    /// Reads a configuration's accelerators for GPUs, and its `parameters`, which come before them.
    pub(crate) fn read(
        optimization: &Optimization,
        parameters: &BTreeMap<String, String>,
    ) -> Result<GpuProviders, BackendError> {
        let mut read = GpuProviders::default();
        for (i, accelerator) in optimization.gpu_accelerators.iter().enumerate() {
            let name = accelerator.name.as_str();
            if optimization.gpu_accelerators.iter().take(i).any(|other| other.name == name) {
                return Err(BackendError::invalid(format!(
                    "the execution accelerator '{name}' is asked for twice: put its parameters together"
                )));
            }
            match name {
                "tensorrt" => read.tensorrt = Some(options(accelerator, tensorrt_option)?),
                "cuda" => read.cuda = options(accelerator, cuda_option)?,
                _ => {
                    return Err(BackendError::invalid(format!(
                        "unknown Execution Accelerator '{name}' is requested: on GPUs there are tensorrt and cuda"
                    )));
                }
            }
        }
        for key in CUDA_PARAMETERS {
            if let Some(value) = parameters.get(key) {
                read.cuda.insert(key.to_owned(), older_option(key, value)?);
            }
        }
        Ok(read)
    }
}

/// The accelerator's parameters as `option` translates them; without those that leave things as they are.
fn options(
    accelerator: &Accelerator,
    option: fn(&str, &str) -> Result<Option<ProviderOption>, BackendError>,
) -> Result<ProviderOptions, BackendError> {
    let mut options = ProviderOptions::new();
    for (key, value) in &accelerator.parameters {
        if RESERVED.contains(&key.as_str()) {
            return Err(wrong(key, "it is for the server to set: remove it"));
        }
        if key.contains('\0') || value.contains('\0') {
            return Err(wrong(key, "it has a NUL in it"));
        }
        if GRAPHS.contains(&key.as_str()) {
            if parse_switch(key, value)? {
                return Err(BackendError::new(
                    Code::Unsupported,
                    format!(
                        "parameter '{key}': CUDA graphs are not supported for ONNX models, whose tensors are \
                         somewhere else in each run: remove it"
                    ),
                ));
            }
            continue;
        }
        options.extend(option(key, value)?.filter(|(_, value)| !value.is_empty()));
    }
    Ok(options)
}

fn tensorrt_option(key: &str, value: &str) -> Result<Option<ProviderOption>, BackendError> {
    if key == "precision_mode" {
        let option = match value {
            "FP32" => return Ok(None),
            "FP16" => "trt_fp16_enable",
            "BF16" => "trt_bf16_enable",
            "INT8" => "trt_int8_enable",
            _ => {
                let why = format!(
                    "unsupported precision mode '{value}' is requested: expected FP32, FP16, BF16 or INT8"
                );
                return Err(wrong(key, &why));
            }
        };
        return Ok(Some((option.to_owned(), "1".to_owned())));
    }
    let known = TENSORRT.iter().find(|(name, ..)| *name == key);
    let (option, kind) = match known {
        Some(&(_, option, kind)) => (option, kind),
        None if key.starts_with("trt_") => (key, Kind::Text),
        None => {
            return Err(BackendError::invalid(format!(
                "unknown parameter '{key}' is provided for TensorRT Execution Accelerator: it takes precision_mode, \
                 max_workspace_size_bytes, int8_calibration_table_name, int8_use_native_calibration_table and what \
                 begins with trt_"
            )));
        }
    };
    Ok(Some((option.to_owned(), checked(key, value, kind)?)))
}

fn cuda_option(key: &str, value: &str) -> Result<Option<ProviderOption>, BackendError> {
    let kind = if CUDA_SWITCHES.contains(&key) { Kind::Switch } else { Kind::Text };
    Ok(Some((key.to_owned(), checked(key, value, kind)?)))
}

/// The value of an option that is given as a parameter of the model: numbers where the accelerator has names.
fn older_option(key: &str, value: &str) -> Result<String, BackendError> {
    let one_of = |names: &[&str]| {
        let name = value.trim().parse().ok().and_then(|number: usize| names.get(number));
        name.map(|name| (*name).to_owned()).ok_or_else(|| {
            let meant: Vec<String> =
                names.iter().enumerate().map(|(i, name)| format!("{i} ({name})")).collect();
            wrong(key, &format!("expected {}, got '{value}'", meant.join(" or ")))
        })
    };
    match key {
        "cudnn_conv_algo_search" => one_of(&["EXHAUSTIVE", "HEURISTIC", "DEFAULT"]),
        "arena_extend_strategy" => one_of(&["kNextPowerOfTwo", "kSameAsRequested"]),
        "gpu_mem_limit" => checked(key, value, Kind::Number),
        _ => checked(key, value, Kind::Switch),
    }
}

fn checked(key: &str, value: &str, kind: Kind) -> Result<String, BackendError> {
    match kind {
        Kind::Switch => Ok(if parse_switch(key, value)? { "1" } else { "0" }.to_owned()),
        Kind::Number => match value.trim().parse::<u64>() {
            Ok(number) => Ok(number.to_string()),
            Err(_) => Err(wrong(key, &format!("expected a whole number, got '{value}'"))),
        },
        Kind::Text => Ok(value.to_owned()),
    }
}

fn wrong(key: &str, why: &str) -> BackendError {
    BackendError::invalid(format!("parameter '{key}': {why}"))
}

#[cfg(test)]
mod tests;
