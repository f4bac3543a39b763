//! A server of a few lines: what the API's functions do as far as tests of the SDK need it, and what was called, in
//! order.

#![allow(unsafe_code, missing_docs, unreachable_pub, non_snake_case, clippy::missing_safety_doc)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex};

use nerite_plugin::entry::abi;
use nerite_plugin::entry::abi::{
    DataType, ErrorCode, InstanceGroupKind, LogLevel, MemoryType, MetricKind, ParameterType,
};

/// What was called that matters, in order, as text.
pub type Calls = Arc<Mutex<Vec<String>>>;

/// What is called of metrics, of which one test makes any.
pub static METRICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub struct Model {
    pub config: String,
    pub state: *mut c_void,
}

pub struct Instance {
    pub model: *mut Model,
    pub state: *mut c_void,
    pub calls: Calls,
}

/// A request with one input, `x`, whose contents lie in two pieces.
pub struct Request {
    pub name: &'static str,
    pub data_type: DataType,
    pub pieces: [Vec<u8>; 2],
    pub shape: Vec<i64>,
    pub calls: Calls,
}

struct Response {
    request: &'static str,
    /// Boxed, since the SDK points to them.
    outputs: Vec<Box<Output>>,
    calls: Calls,
}

struct Output {
    name: String,
    data_type: DataType,
    bytes: Vec<u8>,
}

struct Failure {
    code: ErrorCode,
    message: CString,
}

impl Request {
    /// One of FP32.
    pub fn new(name: &'static str, values: &[f32], calls: &Calls) -> Box<Request> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Request::of(name, DataType::FP32, values.len(), &bytes, calls)
    }

    /// One of a type, with so many elements.
    pub fn of(
        name: &'static str,
        data_type: DataType,
        count: usize,
        contents: &[u8],
        calls: &Calls,
    ) -> Box<Request> {
        let (first, second) = contents.split_at(contents.len() / 2);
        let pieces = [first.to_vec(), second.to_vec()];
        let shape = vec![1, i64::try_from(count).unwrap()];
        Box::new(Request { name, data_type, pieces, shape, calls: Arc::clone(calls) })
    }

    pub fn handle(&mut self) -> *mut abi::Request {
        ptr::from_mut(self).cast()
    }
}

fn note(calls: &Mutex<Vec<String>>, call: String) -> *mut abi::Error {
    calls.lock().unwrap().push(call);
    ptr::null_mut()
}

fn failure(message: &str) -> *mut abi::Error {
    Box::into_raw(Box::new(Failure { code: ErrorCode::INTERNAL, message: CString::new(message).unwrap() }))
        .cast()
}

/// The code and message of an error that an entry point returned.
pub fn read(error: *mut abi::Error) -> Option<(ErrorCode, String)> {
    // SAFETY: all errors are made here.
    let failure = (!error.is_null()).then(|| unsafe { Box::from_raw(error.cast::<Failure>()) })?;
    Some((failure.code, failure.message.into_string().unwrap()))
}

unsafe fn str_of<'a>(text: *const c_char) -> &'a str {
    // SAFETY: the SDK passes text up to a zero.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap()
}

/// Defines functions of the API, whose pointers are those that this file or the SDK made.
macro_rules! api {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
                // SAFETY: the SDK passes what it was given, as tests of what it does show.
                #[allow(unused_unsafe)]
                unsafe { $body }
            }
        )*
    };
}

api! {
    fn TRITONSERVER_ErrorNew(code: ErrorCode, message: *const c_char) -> *mut abi::Error {
        Box::into_raw(Box::new(Failure { code, message: CStr::from_ptr(message).to_owned() })).cast()
    }
    fn TRITONSERVER_ErrorDelete(error: *mut abi::Error) {
        drop(Box::from_raw(error.cast::<Failure>()));
    }
    fn TRITONSERVER_ErrorCode(error: *mut abi::Error) -> ErrorCode {
        (*error.cast::<Failure>()).code
    }
    fn TRITONSERVER_ErrorMessage(error: *mut abi::Error) -> *const c_char {
        (&*error.cast::<Failure>()).message.as_ptr()
    }
    fn TRITONSERVER_LogIsEnabled(_level: LogLevel) -> bool {
        true
    }
    fn TRITONSERVER_LogMessage(
        _level: LogLevel, file: *const c_char, line: c_int, message: *const c_char,
    ) -> *mut abi::Error {
        println!("{}:{line}: {}", str_of(file), str_of(message));
        ptr::null_mut()
    }
    fn TRITONSERVER_MessageDelete(_message: *mut abi::Message) -> *mut abi::Error {
        ptr::null_mut()
    }
    fn TRITONSERVER_MessageSerializeToJson(
        message: *mut abi::Message, base: *mut *const c_char, size: *mut usize,
    ) -> *mut abi::Error {
        let config = &(&*message.cast::<Model>()).config;
        *base = config.as_ptr().cast();
        *size = config.len();
        ptr::null_mut()
    }

    fn TRITONSERVER_ParameterNew(
        name: *const c_char, _kind: ParameterType, value: *const c_void,
    ) -> *mut abi::Parameter {
        Box::into_raw(Box::new(format!("{}={}", str_of(name), str_of(value.cast())))).cast()
    }
    fn TRITONSERVER_ParameterDelete(parameter: *mut abi::Parameter) {
        drop(Box::from_raw(parameter.cast::<String>()));
    }
    fn TRITONSERVER_MetricFamilyNew(
        family: *mut *mut abi::MetricFamily, _kind: MetricKind, name: *const c_char, _description: *const c_char,
    ) -> *mut abi::Error {
        *family = Box::into_raw(Box::new(str_of(name).to_owned())).cast();
        ptr::null_mut()
    }
    fn TRITONSERVER_MetricFamilyDelete(family: *mut abi::MetricFamily) -> *mut abi::Error {
        note(&METRICS, format!("{} is deleted", Box::from_raw(family.cast::<String>())))
    }
    fn TRITONSERVER_MetricNew(
        metric: *mut *mut abi::Metric, family: *mut abi::MetricFamily, labels: *mut *const abi::Parameter, count: u64,
    ) -> *mut abi::Error {
        let labels = std::slice::from_raw_parts(labels, count as usize).iter();
        let labels: Vec<&str> = labels.map(|label| (&*label.cast::<String>()).as_str()).collect();
        let name = &*family.cast::<String>();
        *metric = Box::into_raw(Box::new(format!("{name} {}", labels.join(" ")))).cast();
        ptr::null_mut()
    }
    fn TRITONSERVER_MetricDelete(metric: *mut abi::Metric) -> *mut abi::Error {
        note(&METRICS, format!("{} is deleted", Box::from_raw(metric.cast::<String>())))
    }
    fn TRITONSERVER_MetricIncrement(metric: *mut abi::Metric, value: f64) -> *mut abi::Error {
        note(&METRICS, format!("{} grows by {value}", &*metric.cast::<String>()))
    }

    fn TRITONBACKEND_ApiVersion(major: *mut u32, minor: *mut u32) -> *mut abi::Error {
        (*major, *minor) = (1, 19);
        ptr::null_mut()
    }
    fn TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(
        attributes: *mut abi::BackendAttribute, enabled: bool,
    ) -> *mut abi::Error {
        *attributes.cast::<bool>() = enabled;
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelName(_model: *mut abi::Model, name: *mut *const c_char) -> *mut abi::Error {
        *name = c"model".as_ptr();
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelVersion(_model: *mut abi::Model, version: *mut u64) -> *mut abi::Error {
        *version = 3;
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelRepository(
        _model: *mut abi::Model, kind: *mut abi::ArtifactType, location: *mut *const c_char,
    ) -> *mut abi::Error {
        *kind = abi::ArtifactType::FILESYSTEM;
        *location = c"/models/model".as_ptr();
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelConfig(
        model: *mut abi::Model, _version: u32, config: *mut *mut abi::Message,
    ) -> *mut abi::Error {
        *config = model.cast();
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelState(model: *mut abi::Model, state: *mut *mut c_void) -> *mut abi::Error {
        *state = (*model.cast::<Model>()).state;
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelSetState(model: *mut abi::Model, state: *mut c_void) -> *mut abi::Error {
        (*model.cast::<Model>()).state = state;
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelInstanceName(
        _instance: *mut abi::ModelInstance, name: *mut *const c_char,
    ) -> *mut abi::Error {
        *name = c"model_0".as_ptr();
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelInstanceKind(
        _instance: *mut abi::ModelInstance, kind: *mut InstanceGroupKind,
    ) -> *mut abi::Error {
        *kind = InstanceGroupKind::CPU;
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelInstanceDeviceId(_instance: *mut abi::ModelInstance, id: *mut i32) -> *mut abi::Error {
        *id = 0;
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelInstanceModel(
        instance: *mut abi::ModelInstance, model: *mut *mut abi::Model,
    ) -> *mut abi::Error {
        *model = (*instance.cast::<Instance>()).model.cast();
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelInstanceState(
        instance: *mut abi::ModelInstance, state: *mut *mut c_void,
    ) -> *mut abi::Error {
        *state = (*instance.cast::<Instance>()).state;
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelInstanceSetState(instance: *mut abi::ModelInstance, state: *mut c_void) -> *mut abi::Error {
        (*instance.cast::<Instance>()).state = state;
        ptr::null_mut()
    }
    fn TRITONBACKEND_ModelInstanceReportStatistics(
        _instance: *mut abi::ModelInstance, request: *mut abi::Request, success: bool,
        begins: u64, compute_begins: u64, compute_ends: u64, ends: u64,
    ) -> *mut abi::Error {
        assert!(0 < begins && begins <= compute_begins && compute_begins <= compute_ends && compute_ends <= ends);
        let request = &*request.cast::<Request>();
        note(&request.calls, format!("{} is counted as {}", request.name, if success { "good" } else { "bad" }))
    }
    fn TRITONBACKEND_ModelInstanceReportBatchStatistics(
        instance: *mut abi::ModelInstance, rows: u64, _begins: u64, _compute_begins: u64, _compute_ends: u64, _ends: u64,
    ) -> *mut abi::Error {
        note(&(*instance.cast::<Instance>()).calls.clone(), format!("a batch of {rows} is counted"))
    }

    fn TRITONBACKEND_RequestId(_request: *mut abi::Request, id: *mut *const c_char) -> *mut abi::Error {
        *id = ptr::null();
        ptr::null_mut()
    }
    fn TRITONBACKEND_RequestCorrelationId(_request: *mut abi::Request, _id: *mut u64) -> *mut abi::Error {
        failure("the correlation id is a text")
    }
    fn TRITONBACKEND_RequestCorrelationIdString(
        _request: *mut abi::Request, id: *mut *const c_char,
    ) -> *mut abi::Error {
        *id = c"sequence".as_ptr();
        ptr::null_mut()
    }
    fn TRITONBACKEND_RequestFlags(_request: *mut abi::Request, flags: *mut u32) -> *mut abi::Error {
        *flags = 2;
        ptr::null_mut()
    }
    fn TRITONBACKEND_InferenceRequestTimeoutMicroseconds(
        _request: *mut abi::Request, timeout: *mut u64,
    ) -> *mut abi::Error {
        *timeout = 1500;
        ptr::null_mut()
    }
    fn TRITONBACKEND_RequestIsCancelled(_request: *mut abi::Request, cancelled: *mut bool) -> *mut abi::Error {
        *cancelled = true;
        ptr::null_mut()
    }
    fn TRITONBACKEND_RequestInputCount(_request: *mut abi::Request, count: *mut u32) -> *mut abi::Error {
        *count = 1;
        ptr::null_mut()
    }
    fn TRITONBACKEND_RequestOutputCount(_request: *mut abi::Request, count: *mut u32) -> *mut abi::Error {
        *count = 1;
        ptr::null_mut()
    }
    fn TRITONBACKEND_RequestOutputName(
        _request: *mut abi::Request, _index: u32, name: *mut *const c_char,
    ) -> *mut abi::Error {
        *name = c"y".as_ptr();
        ptr::null_mut()
    }
    fn TRITONBACKEND_RequestInputByIndex(
        request: *mut abi::Request, index: u32, input: *mut *mut abi::Input,
    ) -> *mut abi::Error {
        *input = request.cast();
        if index == 0 { ptr::null_mut() } else { failure("there is one input") }
    }
    fn TRITONBACKEND_RequestInput(
        request: *mut abi::Request, name: *const c_char, input: *mut *mut abi::Input,
    ) -> *mut abi::Error {
        *input = request.cast();
        if str_of(name) == "x" { ptr::null_mut() } else { failure("the input is named x") }
    }
    fn TRITONBACKEND_RequestParameterCount(_request: *mut abi::Request, count: *mut u32) -> *mut abi::Error {
        *count = 2;
        ptr::null_mut()
    }
    fn TRITONBACKEND_RequestParameter(
        request: *mut abi::Request, index: u32, key: *mut *const c_char, kind: *mut ParameterType,
        value: *mut *const c_void,
    ) -> *mut abi::Error {
        let rank = &raw const (*request.cast::<Request>()).shape;
        (*key, *kind, *value) = match index {
            0 => (c"said".as_ptr(), ParameterType::STRING, c"words".as_ptr().cast()),
            _ => (c"rows".as_ptr(), ParameterType::INT, (*rank).as_ptr().cast()),
        };
        ptr::null_mut()
    }
    fn TRITONBACKEND_RequestRelease(request: *mut abi::Request, flags: u32) -> *mut abi::Error {
        assert_eq!(flags, 1);
        let request = &*request.cast::<Request>();
        note(&request.calls, format!("{} is released", request.name))
    }
    fn TRITONBACKEND_InputProperties(
        input: *mut abi::Input, name: *mut *const c_char, data_type: *mut DataType, shape: *mut *const i64,
        rank: *mut u32, size: *mut u64, pieces: *mut u32,
    ) -> *mut abi::Error {
        let request = &*input.cast::<Request>();
        *name = c"x".as_ptr();
        *data_type = request.data_type;
        (*shape, *rank) = (request.shape.as_ptr(), 2);
        *size = request.pieces.iter().map(|piece| piece.len() as u64).sum();
        *pieces = 2;
        ptr::null_mut()
    }
    fn TRITONBACKEND_InputBuffer(
        input: *mut abi::Input, index: u32, buffer: *mut *const c_void, size: *mut u64, memory: *mut MemoryType,
        _device: *mut i64,
    ) -> *mut abi::Error {
        let Some(piece) = (&*input.cast::<Request>()).pieces.get(index as usize) else {
            return failure("there are two pieces");
        };
        (*buffer, *size, *memory) = (piece.as_ptr().cast(), piece.len() as u64, MemoryType::CPU);
        ptr::null_mut()
    }

    fn TRITONBACKEND_ResponseFactoryNew(
        factory: *mut *mut abi::ResponseFactory, request: *mut abi::Request,
    ) -> *mut abi::Error {
        let request = &*request.cast::<Request>();
        let calls = Arc::clone(&request.calls);
        *factory = Box::into_raw(Box::new(Response { request: request.name, outputs: Vec::new(), calls })).cast();
        ptr::null_mut()
    }
    fn TRITONBACKEND_ResponseFactoryDelete(factory: *mut abi::ResponseFactory) -> *mut abi::Error {
        let factory = Box::from_raw(factory.cast::<Response>());
        note(&factory.calls, format!("{}'s factory is deleted", factory.request))
    }
    fn TRITONBACKEND_ResponseFactorySendFlags(factory: *mut abi::ResponseFactory, flags: u32) -> *mut abi::Error {
        let factory = &*factory.cast::<Response>();
        note(&factory.calls, format!("{} is sent flags {flags}", factory.request))
    }
    fn TRITONBACKEND_ResponseFactoryIsCancelled(
        _factory: *mut abi::ResponseFactory, cancelled: *mut bool,
    ) -> *mut abi::Error {
        *cancelled = false;
        ptr::null_mut()
    }
    fn TRITONBACKEND_ResponseNew(response: *mut *mut abi::Response, request: *mut abi::Request) -> *mut abi::Error {
        let mut factory = ptr::null_mut();
        TRITONBACKEND_ResponseFactoryNew(&mut factory, request);
        *response = factory.cast();
        ptr::null_mut()
    }
    fn TRITONBACKEND_ResponseNewFromFactory(
        response: *mut *mut abi::Response, factory: *mut abi::ResponseFactory,
    ) -> *mut abi::Error {
        let factory = &*factory.cast::<Response>();
        let calls = Arc::clone(&factory.calls);
        *response = Box::into_raw(Box::new(Response { request: factory.request, outputs: Vec::new(), calls })).cast();
        ptr::null_mut()
    }
    fn TRITONBACKEND_ResponseDelete(response: *mut abi::Response) -> *mut abi::Error {
        let response = Box::from_raw(response.cast::<Response>());
        note(&response.calls, format!("{}'s response is deleted", response.request))
    }
    fn TRITONBACKEND_ResponseOutput(
        response: *mut abi::Response, output: *mut *mut abi::Output, name: *const c_char, data_type: DataType,
        _shape: *const i64, _rank: u32,
    ) -> *mut abi::Error {
        let mut made = Box::new(Output { name: str_of(name).to_owned(), data_type, bytes: Vec::new() });
        *output = ptr::from_mut(&mut *made).cast();
        (&mut *response.cast::<Response>()).outputs.push(made);
        ptr::null_mut()
    }
    fn TRITONBACKEND_OutputBuffer(
        output: *mut abi::Output, buffer: *mut *mut c_void, size: u64, memory: *mut MemoryType, _device: *mut i64,
    ) -> *mut abi::Error {
        let output = &mut *output.cast::<Output>();
        output.bytes = vec![0; size as usize];
        (*buffer, *memory) = (output.bytes.as_mut_ptr().cast(), MemoryType::CPU);
        ptr::null_mut()
    }
    fn TRITONBACKEND_ResponseSend(
        response: *mut abi::Response, flags: u32, error: *mut abi::Error,
    ) -> *mut abi::Error {
        let response = Box::from_raw(response.cast::<Response>());
        let name = response.request;
        if !error.is_null() {
            let message = (&*error.cast::<Failure>()).message.to_str().unwrap();
            return note(&response.calls, format!("{name} is sent flags {flags} and the error {message:?}"));
        }
        let outputs = response.outputs.iter().map(|output| {
            if output.data_type == DataType::BYTES {
                return format!("{} = {:?}", output.name, output.bytes);
            }
            let values = output.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            format!("{} = {:?}", output.name, values.collect::<Vec<_>>())
        });
        let outputs: Vec<String> = outputs.collect();
        note(&response.calls, format!("{name} is sent flags {flags} and {}", outputs.join(", ")))
    }
}

/// What the SDK may call and no test does.
macro_rules! unused {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            pub extern "C" fn $name() -> *mut abi::Error {
                failure(concat!(stringify!($name), " is not there"))
            }
        )*
    };
}

unused! {
    TRITONSERVER_MessageNewFromSerializedJson
    TRITONSERVER_MetricSet
    TRITONSERVER_MetricValue
    TRITONBACKEND_BackendConfig
    TRITONBACKEND_ModelAutoCompleteConfig
    TRITONBACKEND_ModelSetConfig
    TRITONBACKEND_ModelBackend
    TRITONBACKEND_ResponseSetStringParameter
    TRITONBACKEND_ResponseSetIntParameter
    TRITONBACKEND_ResponseSetBoolParameter
    TRITONBACKEND_ResponseSetDoubleParameter
}
