//! The functions of the API that the SDK calls. The server has them: they are left undefined in a plugin's library and
//! found when it is loaded, in the daemon itself or in Triton's `libtritonserver.so`.
//!
//! All of them exist since version 1.19 of the API at the latest: a library that names one that is missing is not
//! loaded.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};

use nerite_plugin_abi::{
    ArtifactType, Backend, BackendAttribute, DataType, Error, ErrorCode, Input, InstanceGroupKind, LogLevel,
    MemoryType, Message, Metric, MetricFamily, MetricKind, Model, ModelInstance, Output, Parameter,
    ParameterType, Request, Response, ResponseFactory,
};

unsafe extern "C" {
    pub(crate) fn TRITONSERVER_ErrorNew(code: ErrorCode, message: *const c_char) -> *mut Error;
    pub(crate) fn TRITONSERVER_ErrorDelete(error: *mut Error);
    pub(crate) fn TRITONSERVER_ErrorCode(error: *mut Error) -> ErrorCode;
    pub(crate) fn TRITONSERVER_ErrorMessage(error: *mut Error) -> *const c_char;

    pub(crate) fn TRITONSERVER_LogIsEnabled(level: LogLevel) -> bool;
    pub(crate) fn TRITONSERVER_LogMessage(
        level: LogLevel,
        file: *const c_char,
        line: c_int,
        message: *const c_char,
    ) -> *mut Error;

    pub(crate) fn TRITONSERVER_MessageNewFromSerializedJson(
        message: *mut *mut Message,
        base: *const c_char,
        size: usize,
    ) -> *mut Error;
    pub(crate) fn TRITONSERVER_MessageDelete(message: *mut Message) -> *mut Error;
    pub(crate) fn TRITONSERVER_MessageSerializeToJson(
        message: *mut Message,
        base: *mut *const c_char,
        size: *mut usize,
    ) -> *mut Error;

    pub(crate) fn TRITONSERVER_ParameterNew(
        name: *const c_char,
        kind: ParameterType,
        value: *const c_void,
    ) -> *mut Parameter;
    pub(crate) fn TRITONSERVER_ParameterDelete(parameter: *mut Parameter);

    pub(crate) fn TRITONSERVER_MetricFamilyNew(
        family: *mut *mut MetricFamily,
        kind: MetricKind,
        name: *const c_char,
        description: *const c_char,
    ) -> *mut Error;
    pub(crate) fn TRITONSERVER_MetricFamilyDelete(family: *mut MetricFamily) -> *mut Error;
    pub(crate) fn TRITONSERVER_MetricNew(
        metric: *mut *mut Metric,
        family: *mut MetricFamily,
        labels: *mut *const Parameter,
        label_count: u64,
    ) -> *mut Error;
    pub(crate) fn TRITONSERVER_MetricDelete(metric: *mut Metric) -> *mut Error;
    pub(crate) fn TRITONSERVER_MetricIncrement(metric: *mut Metric, value: f64) -> *mut Error;
    pub(crate) fn TRITONSERVER_MetricSet(metric: *mut Metric, value: f64) -> *mut Error;
    pub(crate) fn TRITONSERVER_MetricValue(metric: *mut Metric, value: *mut f64) -> *mut Error;

    pub(crate) fn TRITONBACKEND_ApiVersion(major: *mut u32, minor: *mut u32) -> *mut Error;
    pub(crate) fn TRITONBACKEND_BackendConfig(backend: *mut Backend, config: *mut *mut Message)
    -> *mut Error;
    pub(crate) fn TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(
        attributes: *mut BackendAttribute,
        enabled: bool,
    ) -> *mut Error;

    pub(crate) fn TRITONBACKEND_ModelName(model: *mut Model, name: *mut *const c_char) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelVersion(model: *mut Model, version: *mut u64) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelRepository(
        model: *mut Model,
        kind: *mut ArtifactType,
        location: *mut *const c_char,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelConfig(
        model: *mut Model,
        config_version: u32,
        config: *mut *mut Message,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelAutoCompleteConfig(model: *mut Model, wanted: *mut bool) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelSetConfig(
        model: *mut Model,
        config_version: u32,
        config: *mut Message,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelBackend(model: *mut Model, backend: *mut *mut Backend) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelState(model: *mut Model, state: *mut *mut c_void) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelSetState(model: *mut Model, state: *mut c_void) -> *mut Error;

    pub(crate) fn TRITONBACKEND_ModelInstanceName(
        instance: *mut ModelInstance,
        name: *mut *const c_char,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelInstanceKind(
        instance: *mut ModelInstance,
        kind: *mut InstanceGroupKind,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelInstanceDeviceId(
        instance: *mut ModelInstance,
        id: *mut i32,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelInstanceModel(
        instance: *mut ModelInstance,
        model: *mut *mut Model,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelInstanceState(
        instance: *mut ModelInstance,
        state: *mut *mut c_void,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelInstanceSetState(
        instance: *mut ModelInstance,
        state: *mut c_void,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelInstanceReportStatistics(
        instance: *mut ModelInstance,
        request: *mut Request,
        success: bool,
        exec_start_ns: u64,
        compute_start_ns: u64,
        compute_end_ns: u64,
        exec_end_ns: u64,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ModelInstanceReportBatchStatistics(
        instance: *mut ModelInstance,
        batch_size: u64,
        exec_start_ns: u64,
        compute_start_ns: u64,
        compute_end_ns: u64,
        exec_end_ns: u64,
    ) -> *mut Error;

    pub(crate) fn TRITONBACKEND_RequestId(request: *mut Request, id: *mut *const c_char) -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestCorrelationId(request: *mut Request, id: *mut u64) -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestCorrelationIdString(
        request: *mut Request,
        id: *mut *const c_char,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestFlags(request: *mut Request, flags: *mut u32) -> *mut Error;
    pub(crate) fn TRITONBACKEND_InferenceRequestTimeoutMicroseconds(
        request: *mut Request,
        timeout: *mut u64,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestIsCancelled(request: *mut Request, cancelled: *mut bool)
    -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestParameterCount(request: *mut Request, count: *mut u32) -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestParameter(
        request: *mut Request,
        index: u32,
        key: *mut *const c_char,
        kind: *mut ParameterType,
        value: *mut *const c_void,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestInputCount(request: *mut Request, count: *mut u32) -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestInput(
        request: *mut Request,
        name: *const c_char,
        input: *mut *mut Input,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestInputByIndex(
        request: *mut Request,
        index: u32,
        input: *mut *mut Input,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestOutputCount(request: *mut Request, count: *mut u32) -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestOutputName(
        request: *mut Request,
        index: u32,
        name: *mut *const c_char,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_RequestRelease(request: *mut Request, flags: u32) -> *mut Error;

    pub(crate) fn TRITONBACKEND_InputProperties(
        input: *mut Input,
        name: *mut *const c_char,
        data_type: *mut DataType,
        shape: *mut *const i64,
        dims_count: *mut u32,
        byte_size: *mut u64,
        buffer_count: *mut u32,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_InputBuffer(
        input: *mut Input,
        index: u32,
        buffer: *mut *const c_void,
        byte_size: *mut u64,
        memory_type: *mut MemoryType,
        memory_type_id: *mut i64,
    ) -> *mut Error;

    pub(crate) fn TRITONBACKEND_ResponseFactoryNew(
        factory: *mut *mut ResponseFactory,
        request: *mut Request,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ResponseFactoryDelete(factory: *mut ResponseFactory) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ResponseFactorySendFlags(
        factory: *mut ResponseFactory,
        flags: u32,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ResponseFactoryIsCancelled(
        factory: *mut ResponseFactory,
        cancelled: *mut bool,
    ) -> *mut Error;

    pub(crate) fn TRITONBACKEND_ResponseNew(
        response: *mut *mut Response,
        request: *mut Request,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ResponseNewFromFactory(
        response: *mut *mut Response,
        factory: *mut ResponseFactory,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ResponseDelete(response: *mut Response) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ResponseSetStringParameter(
        response: *mut Response,
        name: *const c_char,
        value: *const c_char,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ResponseSetIntParameter(
        response: *mut Response,
        name: *const c_char,
        value: i64,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ResponseSetBoolParameter(
        response: *mut Response,
        name: *const c_char,
        value: bool,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ResponseSetDoubleParameter(
        response: *mut Response,
        name: *const c_char,
        value: f64,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ResponseOutput(
        response: *mut Response,
        output: *mut *mut Output,
        name: *const c_char,
        data_type: DataType,
        shape: *const i64,
        dims_count: u32,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_OutputBuffer(
        output: *mut Output,
        buffer: *mut *mut c_void,
        byte_size: u64,
        memory_type: *mut MemoryType,
        memory_type_id: *mut i64,
    ) -> *mut Error;
    pub(crate) fn TRITONBACKEND_ResponseSend(
        response: *mut Response,
        flags: u32,
        error: *mut Error,
    ) -> *mut Error;
}
