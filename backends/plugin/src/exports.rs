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
    crate::c_api::backend::state => [
        TRITONBACKEND_StateNew,
        TRITONBACKEND_StateUpdate,
        TRITONBACKEND_StateBuffer,
        TRITONBACKEND_StateBufferAttributes,
    ];
    crate::c_api::backend::statistics => [
        TRITONBACKEND_ModelInstanceReportStatistics,
        TRITONBACKEND_ModelInstanceReportResponseStatistics,
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
    crate::c_api::server::error => [
        TRITONSERVER_ErrorNew,
        TRITONSERVER_ErrorDelete,
        TRITONSERVER_ErrorCode,
        TRITONSERVER_ErrorCodeString,
        TRITONSERVER_ErrorMessage,
    ];
    crate::c_api::server::message => [
        TRITONSERVER_MessageNewFromSerializedJson,
        TRITONSERVER_MessageDelete,
        TRITONSERVER_MessageSerializeToJson,
    ];
    crate::c_api::server::parameter => [
        TRITONSERVER_ParameterTypeString,
        TRITONSERVER_ParameterNew,
        TRITONSERVER_ParameterBytesNew,
        TRITONSERVER_ParameterDelete,
    ];
}

/// Uses the table, so that it is part of the program.
pub(crate) fn keep() {
    black_box(&TABLE);
}
