//! Functions that are there to be linked with, and do nothing: they are for whoever makes a server of the library, and
//! here the server is there already.

use std::ffi::{c_char, c_double, c_int, c_uint};

use nerite_plugin_abi::{
    InferenceRequest, InstanceGroupKind, LogFormat, Message, MetricFormat, Metrics, ModelControlMode,
    Parameter, RateLimitMode, Server, ServerOptions,
};

/// Defines functions that return an error which names them.
macro_rules! unsupported {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?);)*) => {
        $(
            /// Does nothing, and says so.
            ///
            /// # Safety
            /// None is needed.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($argument: $type),*) -> *mut nerite_plugin_abi::Error {
                $(let _ = $argument;)*
                $crate::c_api::server::error::export(nerite_backend::BackendError::new(
                    nerite_backend::Code::Unsupported,
                    concat!(stringify!($name), " is not supported by this server"),
                ))
            }
        )*
    };
}
pub(super) use unsupported;

unsupported! {
    fn TRITONSERVER_InferenceRequestAddRawInput(request: *mut InferenceRequest, name: *const c_char);

    fn TRITONSERVER_MetricsDelete(metrics: *mut Metrics);
    fn TRITONSERVER_MetricsFormatted(
        metrics: *mut Metrics,
        format: MetricFormat,
        base: *mut *const c_char,
        byte_size: *mut usize
    );

    fn TRITONSERVER_ServerNew(server: *mut *mut Server, options: *mut ServerOptions);
    fn TRITONSERVER_ServerDelete(server: *mut Server);
    fn TRITONSERVER_ServerStop(server: *mut Server);
    fn TRITONSERVER_ServerSetExitTimeout(server: *mut Server, timeout: c_uint);
    fn TRITONSERVER_ServerRegisterModelRepository(
        server: *mut Server,
        repository_path: *const c_char,
        name_mapping: *mut *const Parameter,
        mapping_count: u32
    );
    fn TRITONSERVER_ServerUnregisterModelRepository(server: *mut Server, repository_path: *const c_char);
    fn TRITONSERVER_ServerPollModelRepository(server: *mut Server);
    fn TRITONSERVER_ServerMetadata(server: *mut Server, server_metadata: *mut *mut Message);
    fn TRITONSERVER_ServerModelMetadata(
        server: *mut Server,
        model_name: *const c_char,
        model_version: i64,
        model_metadata: *mut *mut Message
    );
    fn TRITONSERVER_ServerModelStatistics(
        server: *mut Server,
        model_name: *const c_char,
        model_version: i64,
        model_stats: *mut *mut Message
    );
    fn TRITONSERVER_ServerModelConfig(
        server: *mut Server,
        model_name: *const c_char,
        model_version: i64,
        config_version: u32,
        model_config: *mut *mut Message
    );
    fn TRITONSERVER_ServerModelIndex(server: *mut Server, flags: u32, model_index: *mut *mut Message);
    fn TRITONSERVER_ServerMetrics(server: *mut Server, metrics: *mut *mut Metrics);

    fn TRITONSERVER_ServerOptionsNew(options: *mut *mut ServerOptions);
    fn TRITONSERVER_ServerOptionsDelete(options: *mut ServerOptions);
    fn TRITONSERVER_ServerOptionsSetServerId(options: *mut ServerOptions, server_id: *const c_char);
    fn TRITONSERVER_ServerOptionsSetModelRepositoryPath(options: *mut ServerOptions, path: *const c_char);
    fn TRITONSERVER_ServerOptionsSetModelControlMode(options: *mut ServerOptions, mode: ModelControlMode);
    fn TRITONSERVER_ServerOptionsSetStartupModel(options: *mut ServerOptions, model_name: *const c_char);
    fn TRITONSERVER_ServerOptionsSetStrictModelConfig(options: *mut ServerOptions, strict: bool);
    fn TRITONSERVER_ServerOptionsSetModelConfigName(options: *mut ServerOptions, name: *const c_char);
    fn TRITONSERVER_ServerOptionsSetRateLimiterMode(options: *mut ServerOptions, mode: RateLimitMode);
    fn TRITONSERVER_ServerOptionsAddRateLimiterResource(
        options: *mut ServerOptions,
        resource_name: *const c_char,
        resource_count: usize,
        device: c_int
    );
    fn TRITONSERVER_ServerOptionsSetPinnedMemoryPoolByteSize(options: *mut ServerOptions, size: u64);
    fn TRITONSERVER_ServerOptionsSetCudaMemoryPoolByteSize(
        options: *mut ServerOptions,
        gpu_device: c_int,
        size: u64
    );
    fn TRITONSERVER_ServerOptionsSetCudaVirtualAddressSize(
        options: *mut ServerOptions,
        gpu_device: c_int,
        size: usize
    );
    fn TRITONSERVER_ServerOptionsSetResponseCacheByteSize(options: *mut ServerOptions, size: u64);
    fn TRITONSERVER_ServerOptionsSetCacheConfig(
        options: *mut ServerOptions,
        cache_name: *const c_char,
        config_json: *const c_char
    );
    fn TRITONSERVER_ServerOptionsSetCacheDirectory(options: *mut ServerOptions, cache_dir: *const c_char);
    fn TRITONSERVER_ServerOptionsSetMinSupportedComputeCapability(options: *mut ServerOptions, cc: c_double);
    fn TRITONSERVER_ServerOptionsSetExitOnError(options: *mut ServerOptions, exit: bool);
    fn TRITONSERVER_ServerOptionsSetStrictReadiness(options: *mut ServerOptions, strict: bool);
    fn TRITONSERVER_ServerOptionsSetExitTimeout(options: *mut ServerOptions, timeout: c_uint);
    fn TRITONSERVER_ServerOptionsSetBufferManagerThreadCount(options: *mut ServerOptions, thread_count: c_uint);
    fn TRITONSERVER_ServerOptionsSetModelLoadThreadCount(options: *mut ServerOptions, thread_count: c_uint);
    fn TRITONSERVER_ServerOptionsSetModelLoadRetryCount(options: *mut ServerOptions, retry_count: c_uint);
    fn TRITONSERVER_ServerOptionsSetModelNamespacing(options: *mut ServerOptions, enable_namespace: bool);
    fn TRITONSERVER_ServerOptionsSetEnablePeerAccess(options: *mut ServerOptions, enable_peer_access: bool);
    fn TRITONSERVER_ServerOptionsSetLogFile(options: *mut ServerOptions, file: *const c_char);
    fn TRITONSERVER_ServerOptionsSetLogInfo(options: *mut ServerOptions, log: bool);
    fn TRITONSERVER_ServerOptionsSetLogWarn(options: *mut ServerOptions, log: bool);
    fn TRITONSERVER_ServerOptionsSetLogError(options: *mut ServerOptions, log: bool);
    fn TRITONSERVER_ServerOptionsSetLogFormat(options: *mut ServerOptions, format: LogFormat);
    fn TRITONSERVER_ServerOptionsSetLogVerbose(options: *mut ServerOptions, level: c_int);
    fn TRITONSERVER_ServerOptionsSetMetrics(options: *mut ServerOptions, metrics: bool);
    fn TRITONSERVER_ServerOptionsSetGpuMetrics(options: *mut ServerOptions, gpu_metrics: bool);
    fn TRITONSERVER_ServerOptionsSetCpuMetrics(options: *mut ServerOptions, cpu_metrics: bool);
    fn TRITONSERVER_ServerOptionsSetMetricsInterval(options: *mut ServerOptions, metrics_interval_ms: u64);
    fn TRITONSERVER_ServerOptionsSetBackendDirectory(options: *mut ServerOptions, backend_dir: *const c_char);
    fn TRITONSERVER_ServerOptionsSetRepoAgentDirectory(options: *mut ServerOptions, directory: *const c_char);
    fn TRITONSERVER_ServerOptionsSetModelLoadDeviceLimit(
        options: *mut ServerOptions,
        kind: InstanceGroupKind,
        device_id: c_int,
        fraction: c_double
    );
    fn TRITONSERVER_ServerOptionsSetBackendConfig(
        options: *mut ServerOptions,
        backend_name: *const c_char,
        setting: *const c_char,
        value: *const c_char
    );
    fn TRITONSERVER_ServerOptionsSetHostPolicy(
        options: *mut ServerOptions,
        policy_name: *const c_char,
        setting: *const c_char,
        value: *const c_char
    );
    fn TRITONSERVER_ServerOptionsSetMetricsConfig(
        options: *mut ServerOptions,
        name: *const c_char,
        setting: *const c_char,
        value: *const c_char
    );
}
