use super::*;

fn accelerator(name: &str, parameters: &[(&str, &str)]) -> Accelerator {
    let parameters = parameters.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    Accelerator { name: name.to_owned(), parameters: parameters.collect() }
}

fn read(accelerators: &[Accelerator], parameters: &[(&str, &str)]) -> Result<GpuProviders, BackendError> {
    let optimization = Optimization { gpu_accelerators: accelerators.to_vec(), ..Optimization::NONE };
    GpuProviders::read(&optimization, &accelerator("", parameters).parameters)
}

fn options(pairs: &[(&str, &str)]) -> ProviderOptions {
    accelerator("", pairs).parameters
}

#[test]
fn without_accelerators_a_session_has_cuda_as_it_is() {
    assert_eq!(read(&[], &[]), Ok(GpuProviders::default()));
}

#[test]
fn the_parameters_of_tensorrt_have_the_names_that_triton_gives_them() {
    let tensorrt = accelerator(
        "tensorrt",
        &[
            ("precision_mode", "FP16"),
            ("max_workspace_size_bytes", "1073741824"),
            ("int8_calibration_table_name", "table"),
            ("int8_use_native_calibration_table", "False"),
            ("trt_engine_cache_enable", "true"),
            ("trt_engine_cache_path", "/cache"),
            ("trt_dla_core", "0"),
            ("trt_max_cached_engines", "3"),
            ("trt_cuda_graph_enable", "0"),
            ("trt_tactic_sources", ""),
        ],
    );
    let expected = options(&[
        ("trt_fp16_enable", "1"),
        ("trt_max_workspace_size", "1073741824"),
        ("trt_int8_calibration_table_name", "table"),
        ("trt_int8_use_native_calibration_table", "0"),
        ("trt_engine_cache_enable", "1"),
        ("trt_engine_cache_path", "/cache"),
        ("trt_dla_core", "0"),
        ("trt_max_cached_engines", "3"),
    ]);
    let providers =
        read(&[tensorrt, accelerator("cuda", &[("prefer_nhwc", "1"), ("sdpa_kernel", "")])], &[]).unwrap();
    assert_eq!(providers.tensorrt, Some(expected));
    assert_eq!(providers.cuda, options(&[("prefer_nhwc", "1")]));
    for (mode, expected) in
        [("FP32", &[][..]), ("BF16", &[("trt_bf16_enable", "1")]), ("INT8", &[("trt_int8_enable", "1")])]
    {
        let providers = read(&[accelerator("tensorrt", &[("precision_mode", mode)])], &[]).unwrap();
        assert_eq!(providers.tensorrt, Some(options(expected)), "{mode}");
    }
}

#[test]
fn the_older_parameters_of_cuda_are_numbers_and_come_before_its_accelerator() {
    let cuda = accelerator(
        "cuda",
        &[
            ("cudnn_conv_algo_search", "DEFAULT"),
            ("use_ep_level_unified_stream", "TRUE"),
            ("cudnn_conv_use_max_workspace", "0"),
            ("enable_cuda_graph", "false"),
        ],
    );
    let older = [
        ("cudnn_conv_algo_search", "1"),
        ("gpu_mem_limit", "4294967200"),
        ("arena_extend_strategy", "1"),
        ("do_copy_in_default_stream", "false"),
        ("intra_op_thread_count", "2"),
    ];
    let expected = options(&[
        ("cudnn_conv_algo_search", "HEURISTIC"),
        ("use_ep_level_unified_stream", "1"),
        ("cudnn_conv_use_max_workspace", "0"),
        ("gpu_mem_limit", "4294967200"),
        ("arena_extend_strategy", "kSameAsRequested"),
        ("do_copy_in_default_stream", "0"),
    ]);
    assert_eq!(read(&[cuda], &older).unwrap(), GpuProviders { tensorrt: None, cuda: expected });
}

#[test]
fn what_cannot_be_done_is_refused_with_the_name_of_the_parameter() {
    let tensorrt = |key, value| read(&[accelerator("tensorrt", &[(key, value)])], &[]);
    let cuda = |key, value| read(&[accelerator("cuda", &[(key, value)])], &[]);
    for (refused, part) in [
        (read(&[accelerator("openvino", &[])], &[]), "unknown Execution Accelerator 'openvino' is requested"),
        (read(&[accelerator("cuda", &[]), accelerator("cuda", &[])], &[]), "'cuda' is asked for twice"),
        (tensorrt("precision_mode", "FP8"), "unsupported precision mode 'FP8' is requested"),
        (
            tensorrt("workspace", "1"),
            "unknown parameter 'workspace' is provided for TensorRT Execution Accelerator",
        ),
        (tensorrt("max_workspace_size_bytes", "1 GB"), "'max_workspace_size_bytes': expected a whole number"),
        (tensorrt("trt_engine_cache_enable", "on"), "'trt_engine_cache_enable': expected 1 or true"),
        (tensorrt("trt_onnx_bytestream", "1"), "'trt_onnx_bytestream': it is for the server to set"),
        (tensorrt("trt_cuda_graph_enable", "1"), "'trt_cuda_graph_enable': CUDA graphs are not supported"),
        (tensorrt("trt_engine_cache_path", "a\0b"), "'trt_engine_cache_path': it has a NUL in it"),
        (cuda("device_id", "3"), "'device_id': it is for the server to set"),
        (cuda("user_compute_stream", "1"), "'user_compute_stream': it is for the server to set"),
        (cuda("gpu_external_alloc", "1"), "'gpu_external_alloc': it is for the server to set"),
        (cuda("enable_cuda_graph", "1"), "'enable_cuda_graph': CUDA graphs are not supported"),
        (cuda("do_copy_in_default_stream", "2"), "'do_copy_in_default_stream': expected 1 or true"),
        (
            read(&[], &[("cudnn_conv_algo_search", "3")]),
            "expected 0 (EXHAUSTIVE) or 1 (HEURISTIC) or 2 (DEFAULT)",
        ),
        (read(&[], &[("gpu_mem_limit", "-1")]), "'gpu_mem_limit': expected a whole number"),
        (
            read(&[], &[("arena_extend_strategy", "x")]),
            "'arena_extend_strategy': expected 0 (kNextPowerOfTwo)",
        ),
    ] {
        let error = refused.unwrap_err();
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn accelerators_of_processors_are_not_there() {
    assert_eq!(check_cpu(&Optimization::NONE), Ok(()));
    let optimization =
        Optimization { cpu_accelerators: vec![accelerator("openvino", &[])], ..Optimization::NONE };
    let error = check_cpu(&optimization).unwrap_err();
    assert_eq!(error.code, Code::Unsupported);
    assert!(error.message.contains("'openvino' on the CPU, which is not in this ONNX Runtime"), "{error}");
}
