//! The functions of the C API, kept in the program although nothing in it calls them.
//!
//! The linker drops what nobody uses, and a program tells libraries that it loads of none of its functions unless it is
//! asked to: the table here uses them all, and whoever links the program passes
//! `-Wl,--export-dynamic-symbol=TRITON*` (`build.rs` of the daemon and of this crate's tests).

use std::hint::black_box;

macro_rules! exports {
    ($($module:path => [$($function:ident,)*];)*) => {
        /// A function's address. Only its being here matters.
        struct Address(#[expect(dead_code, reason = "it is there to be there")] *const ());

        // SAFETY: the address of a function is a number that never changes.
        unsafe impl Sync for Address {}

        #[used]
        static TABLE: [Address; NAMES.len()] = {
            $(use $module::{$($function,)*};)*
            [$($(Address($function as *const ()),)*)*]
        };

        /// Their names.
        pub(crate) const NAMES: &[&str] = &[$($(stringify!($function),)*)*];
    };
}

exports! {
    crate::c_api::backend::attribute => [
        TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup,
        TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading,
    ];
    crate::c_api::backend::backend => [
        TRITONBACKEND_ApiVersion,
        TRITONBACKEND_BackendName,
        TRITONBACKEND_BackendConfig,
        TRITONBACKEND_BackendExecutionPolicy,
        TRITONBACKEND_BackendSetExecutionPolicy,
        TRITONBACKEND_BackendArtifacts,
        TRITONBACKEND_BackendMemoryManager,
        TRITONBACKEND_BackendState,
        TRITONBACKEND_BackendSetState,
    ];
    crate::c_api::backend::factory => [
        TRITONBACKEND_ResponseFactoryNew,
        TRITONBACKEND_ResponseFactoryDelete,
        TRITONBACKEND_ResponseFactorySendFlags,
        TRITONBACKEND_ResponseFactoryIsCancelled,
    ];
    crate::c_api::backend::input => [
        TRITONBACKEND_InputProperties,
        TRITONBACKEND_InputPropertiesForHostPolicy,
        TRITONBACKEND_InputBuffer,
        TRITONBACKEND_InputBufferForHostPolicy,
        TRITONBACKEND_InputBufferAttributes,
    ];
    crate::c_api::backend::instance => [
        TRITONBACKEND_ModelInstanceName,
        TRITONBACKEND_ModelInstanceKind,
        TRITONBACKEND_ModelInstanceDeviceId,
        TRITONBACKEND_ModelInstanceHostPolicy,
        TRITONBACKEND_ModelInstanceIsPassive,
        TRITONBACKEND_ModelInstanceProfileCount,
        TRITONBACKEND_ModelInstanceProfileName,
        TRITONBACKEND_ModelInstanceSecondaryDeviceCount,
        TRITONBACKEND_ModelInstanceSecondaryDeviceProperties,
        TRITONBACKEND_ModelInstanceModel,
        TRITONBACKEND_ModelInstanceState,
        TRITONBACKEND_ModelInstanceSetState,
        TRITONBACKEND_ModelInstanceReportMemoryUsage,
    ];
    crate::c_api::backend::memory => [
        TRITONBACKEND_MemoryManagerAllocate,
        TRITONBACKEND_MemoryManagerFree,
    ];
    crate::c_api::backend::model => [
        TRITONBACKEND_ModelName,
        TRITONBACKEND_ModelVersion,
        TRITONBACKEND_ModelRepository,
        TRITONBACKEND_ModelConfig,
        TRITONBACKEND_ModelAutoCompleteConfig,
        TRITONBACKEND_ModelSetConfig,
        TRITONBACKEND_ModelServer,
        TRITONBACKEND_ModelBackend,
        TRITONBACKEND_ModelState,
        TRITONBACKEND_ModelSetState,
        TRITONBACKEND_ModelReportMemoryUsage,
    ];
    crate::c_api::backend::output => [
        TRITONBACKEND_OutputBuffer,
        TRITONBACKEND_OutputBufferAttributes,
    ];
    crate::c_api::backend::request => [
        TRITONBACKEND_RequestId,
        TRITONBACKEND_RequestIsCancelled,
        TRITONBACKEND_RequestCorrelationId,
        TRITONBACKEND_RequestCorrelationIdString,
        TRITONBACKEND_RequestFlags,
        TRITONBACKEND_InferenceRequestTimeoutMicroseconds,
        TRITONBACKEND_RequestParameterCount,
        TRITONBACKEND_RequestParameter,
        TRITONBACKEND_RequestInputCount,
        TRITONBACKEND_RequestInputName,
        TRITONBACKEND_RequestInput,
        TRITONBACKEND_RequestInputByIndex,
        TRITONBACKEND_RequestOutputCount,
        TRITONBACKEND_RequestOutputName,
        TRITONBACKEND_RequestOutputBufferProperties,
        TRITONBACKEND_RequestRelease,
        TRITONBACKEND_RequestTrace,
    ];
    crate::c_api::backend::response => [
        TRITONBACKEND_ResponseNew,
        TRITONBACKEND_ResponseNewFromFactory,
        TRITONBACKEND_ResponseDelete,
        TRITONBACKEND_ResponseSetStringParameter,
        TRITONBACKEND_ResponseSetIntParameter,
        TRITONBACKEND_ResponseSetBoolParameter,
        TRITONBACKEND_ResponseSetDoubleParameter,
        TRITONBACKEND_ResponseOutput,
        TRITONBACKEND_ResponseSend,
        TRITONBACKEND_InferenceResponseOutputByName,
        TRITONBACKEND_InferenceResponseOutput,
    ];
    crate::c_api::backend::response_statistics => [
        TRITONBACKEND_ModelInstanceResponseStatisticsNew,
        TRITONBACKEND_ModelInstanceResponseStatisticsSetModelInstance,
        TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseFactory,
        TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseStart,
        TRITONBACKEND_ModelInstanceResponseStatisticsSetComputeOutputStart,
        TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseEnd,
        TRITONBACKEND_ModelInstanceResponseStatisticsSetError,
        TRITONBACKEND_ModelInstanceResponseStatisticsDelete,
        TRITONBACKEND_ModelInstanceReportResponseStatistics,
    ];
    crate::c_api::backend::state => [
        TRITONBACKEND_StateNew,
        TRITONBACKEND_StateUpdate,
        TRITONBACKEND_StateBuffer,
        TRITONBACKEND_StateBufferAttributes,
    ];
    crate::c_api::backend::statistics => [
        TRITONBACKEND_ModelInstanceReportStatistics,
        TRITONBACKEND_ModelInstanceReportBatchStatistics,
    ];
    crate::c_api::server::buffer_attributes => [
        TRITONSERVER_BufferAttributesNew,
        TRITONSERVER_BufferAttributesDelete,
        TRITONSERVER_BufferAttributesSetMemoryTypeId,
        TRITONSERVER_BufferAttributesSetMemoryType,
        TRITONSERVER_BufferAttributesSetCudaIpcHandle,
        TRITONSERVER_BufferAttributesSetByteSize,
        TRITONSERVER_BufferAttributesMemoryTypeId,
        TRITONSERVER_BufferAttributesMemoryType,
        TRITONSERVER_BufferAttributesCudaIpcHandle,
        TRITONSERVER_BufferAttributesByteSize,
    ];
    crate::c_api::server::data_type => [
        TRITONSERVER_ApiVersion,
        TRITONSERVER_DataTypeString,
        TRITONSERVER_StringToDataType,
        TRITONSERVER_DataTypeByteSize,
        TRITONSERVER_MemoryTypeString,
        TRITONSERVER_InstanceGroupKindString,
    ];
    crate::c_api::server::error => [
        TRITONSERVER_ErrorNew,
        TRITONSERVER_ErrorDelete,
        TRITONSERVER_ErrorCode,
        TRITONSERVER_ErrorCodeString,
        TRITONSERVER_ErrorMessage,
    ];
    crate::c_api::server::infer => [
        TRITONSERVER_ServerInferAsync,
    ];
    crate::c_api::server::inference_input => [
        TRITONSERVER_InferenceRequestAddInput,
        TRITONSERVER_InferenceRequestRemoveInput,
        TRITONSERVER_InferenceRequestRemoveAllInputs,
        TRITONSERVER_InferenceRequestAppendInputData,
        TRITONSERVER_InferenceRequestAppendInputDataWithHostPolicy,
        TRITONSERVER_InferenceRequestAppendInputDataWithBufferAttributes,
        TRITONSERVER_InferenceRequestRemoveAllInputData,
        TRITONSERVER_InferenceRequestAddRequestedOutput,
        TRITONSERVER_InferenceRequestRemoveRequestedOutput,
        TRITONSERVER_InferenceRequestRemoveAllRequestedOutputs,
    ];
    crate::c_api::server::inference_request => [
        TRITONSERVER_InferenceRequestNew,
        TRITONSERVER_InferenceRequestDelete,
        TRITONSERVER_InferenceRequestId,
        TRITONSERVER_InferenceRequestSetId,
        TRITONSERVER_InferenceRequestCancel,
        TRITONSERVER_InferenceRequestIsCancelled,
    ];
    crate::c_api::server::inference_request::callbacks => [
        TRITONSERVER_InferenceRequestSetReleaseCallback,
        TRITONSERVER_InferenceRequestSetResponseCallback,
    ];
    crate::c_api::server::inference_request::parameters => [
        TRITONSERVER_InferenceRequestSetStringParameter,
        TRITONSERVER_InferenceRequestSetIntParameter,
        TRITONSERVER_InferenceRequestSetBoolParameter,
        TRITONSERVER_InferenceRequestSetDoubleParameter,
    ];
    crate::c_api::server::inference_request::sequence => [
        TRITONSERVER_InferenceRequestFlags,
        TRITONSERVER_InferenceRequestSetFlags,
        TRITONSERVER_InferenceRequestCorrelationId,
        TRITONSERVER_InferenceRequestCorrelationIdString,
        TRITONSERVER_InferenceRequestSetCorrelationId,
        TRITONSERVER_InferenceRequestSetCorrelationIdString,
    ];
    crate::c_api::server::inference_request::terms => [
        TRITONSERVER_InferenceRequestPriority,
        TRITONSERVER_InferenceRequestPriorityUInt64,
        TRITONSERVER_InferenceRequestSetPriority,
        TRITONSERVER_InferenceRequestSetPriorityUInt64,
        TRITONSERVER_InferenceRequestTimeoutMicroseconds,
        TRITONSERVER_InferenceRequestSetTimeoutMicroseconds,
    ];
    crate::c_api::server::inference_response => [
        TRITONSERVER_InferenceResponseDelete,
        TRITONSERVER_InferenceResponseError,
        TRITONSERVER_InferenceResponseModel,
        TRITONSERVER_InferenceResponseId,
        TRITONSERVER_InferenceResponseParameterCount,
        TRITONSERVER_InferenceResponseParameter,
        TRITONSERVER_InferenceResponseOutputCount,
        TRITONSERVER_InferenceResponseOutput,
        TRITONSERVER_InferenceResponseOutputClassificationLabel,
    ];
    crate::c_api::server::inference_trace => [
        TRITONSERVER_InferenceTraceNew,
        TRITONSERVER_InferenceTraceTensorNew,
        TRITONSERVER_InferenceTraceReportActivity,
        TRITONSERVER_InferenceTraceId,
        TRITONSERVER_InferenceTraceParentId,
        TRITONSERVER_InferenceTraceModelName,
        TRITONSERVER_InferenceTraceModelVersion,
        TRITONSERVER_InferenceTraceRequestId,
        TRITONSERVER_InferenceTraceSetContext,
        TRITONSERVER_InferenceTraceContext,
        TRITONSERVER_InferenceTraceLevelString,
        TRITONSERVER_InferenceTraceActivityString,
        TRITONSERVER_InferenceTraceDelete,
        TRITONSERVER_InferenceTraceSpawnChildTrace,
    ];
    crate::c_api::server::log => [
        TRITONSERVER_LogIsEnabled,
        TRITONSERVER_LogMessage,
    ];
    crate::c_api::server::message => [
        TRITONSERVER_MessageNewFromSerializedJson,
        TRITONSERVER_MessageDelete,
        TRITONSERVER_MessageSerializeToJson,
    ];
    crate::c_api::server::metric => [
        TRITONSERVER_MetricFamilyNew,
        TRITONSERVER_MetricFamilyDelete,
        TRITONSERVER_GetMetricFamilyKind,
        TRITONSERVER_MetricArgsNew,
        TRITONSERVER_MetricArgsSetHistogram,
        TRITONSERVER_MetricArgsDelete,
        TRITONSERVER_MetricNew,
        TRITONSERVER_MetricNewWithArgs,
        TRITONSERVER_MetricDelete,
        TRITONSERVER_MetricValue,
        TRITONSERVER_MetricIncrement,
        TRITONSERVER_MetricSet,
        TRITONSERVER_MetricObserve,
        TRITONSERVER_GetMetricKind,
    ];
    crate::c_api::server::parameter => [
        TRITONSERVER_ParameterTypeString,
        TRITONSERVER_ParameterNew,
        TRITONSERVER_ParameterBytesNew,
        TRITONSERVER_ParameterDelete,
    ];
    crate::c_api::server::response_allocator => [
        TRITONSERVER_ResponseAllocatorNew,
        TRITONSERVER_ResponseAllocatorSetBufferAttributesFunction,
        TRITONSERVER_ResponseAllocatorSetQueryFunction,
        TRITONSERVER_ResponseAllocatorDelete,
    ];
    crate::c_api::server::server => [
        TRITONSERVER_ServerIsLive,
        TRITONSERVER_ServerIsReady,
        TRITONSERVER_ServerModelIsReady,
        TRITONSERVER_ServerModelBatchProperties,
        TRITONSERVER_ServerModelTransactionProperties,
        TRITONSERVER_ServerLoadModel,
        TRITONSERVER_ServerLoadModelWithParameters,
        TRITONSERVER_ServerUnloadModel,
        TRITONSERVER_ServerUnloadModelAndDependents,
    ];
    crate::c_api::server::unsupported => [
        TRITONSERVER_InferenceRequestAddRawInput,
        TRITONSERVER_MetricsDelete,
        TRITONSERVER_MetricsFormatted,
        TRITONSERVER_ServerNew,
        TRITONSERVER_ServerDelete,
        TRITONSERVER_ServerStop,
        TRITONSERVER_ServerSetExitTimeout,
        TRITONSERVER_ServerRegisterModelRepository,
        TRITONSERVER_ServerUnregisterModelRepository,
        TRITONSERVER_ServerPollModelRepository,
        TRITONSERVER_ServerMetadata,
        TRITONSERVER_ServerModelMetadata,
        TRITONSERVER_ServerModelStatistics,
        TRITONSERVER_ServerModelConfig,
        TRITONSERVER_ServerModelIndex,
        TRITONSERVER_ServerMetrics,
        TRITONSERVER_ServerOptionsNew,
        TRITONSERVER_ServerOptionsDelete,
        TRITONSERVER_ServerOptionsSetServerId,
        TRITONSERVER_ServerOptionsSetModelRepositoryPath,
        TRITONSERVER_ServerOptionsSetModelControlMode,
        TRITONSERVER_ServerOptionsSetStartupModel,
        TRITONSERVER_ServerOptionsSetStrictModelConfig,
        TRITONSERVER_ServerOptionsSetModelConfigName,
        TRITONSERVER_ServerOptionsSetRateLimiterMode,
        TRITONSERVER_ServerOptionsAddRateLimiterResource,
        TRITONSERVER_ServerOptionsSetPinnedMemoryPoolByteSize,
        TRITONSERVER_ServerOptionsSetCudaMemoryPoolByteSize,
        TRITONSERVER_ServerOptionsSetCudaVirtualAddressSize,
        TRITONSERVER_ServerOptionsSetResponseCacheByteSize,
        TRITONSERVER_ServerOptionsSetCacheConfig,
        TRITONSERVER_ServerOptionsSetCacheDirectory,
        TRITONSERVER_ServerOptionsSetMinSupportedComputeCapability,
        TRITONSERVER_ServerOptionsSetExitOnError,
        TRITONSERVER_ServerOptionsSetStrictReadiness,
        TRITONSERVER_ServerOptionsSetExitTimeout,
        TRITONSERVER_ServerOptionsSetBufferManagerThreadCount,
        TRITONSERVER_ServerOptionsSetModelLoadThreadCount,
        TRITONSERVER_ServerOptionsSetModelLoadRetryCount,
        TRITONSERVER_ServerOptionsSetModelNamespacing,
        TRITONSERVER_ServerOptionsSetEnablePeerAccess,
        TRITONSERVER_ServerOptionsSetLogFile,
        TRITONSERVER_ServerOptionsSetLogInfo,
        TRITONSERVER_ServerOptionsSetLogWarn,
        TRITONSERVER_ServerOptionsSetLogError,
        TRITONSERVER_ServerOptionsSetLogFormat,
        TRITONSERVER_ServerOptionsSetLogVerbose,
        TRITONSERVER_ServerOptionsSetMetrics,
        TRITONSERVER_ServerOptionsSetGpuMetrics,
        TRITONSERVER_ServerOptionsSetCpuMetrics,
        TRITONSERVER_ServerOptionsSetMetricsInterval,
        TRITONSERVER_ServerOptionsSetBackendDirectory,
        TRITONSERVER_ServerOptionsSetRepoAgentDirectory,
        TRITONSERVER_ServerOptionsSetModelLoadDeviceLimit,
        TRITONSERVER_ServerOptionsSetBackendConfig,
        TRITONSERVER_ServerOptionsSetHostPolicy,
        TRITONSERVER_ServerOptionsSetMetricsConfig,
    ];
}

/// Uses the table, so that it is part of the program.
pub(crate) fn keep() {
    black_box(&TABLE);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::NAMES;

    #[test]
    fn every_function_of_the_api_is_kept_and_no_other() {
        let list: BTreeSet<&str> =
            include_str!("../api-1.19.txt").lines().filter(|line| line.starts_with("TRITON")).collect();
        let names: BTreeSet<&str> = NAMES.iter().copied().collect();
        assert_eq!(names.symmetric_difference(&list).collect::<Vec<_>>(), [&""; 0]);
        assert_eq!(names.len(), NAMES.len());
    }
}
