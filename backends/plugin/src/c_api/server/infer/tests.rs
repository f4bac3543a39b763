use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::LazyLock;

use nerite_backend::{Code, DType, LoadParameter, OnAnswer};
use nerite_plugin_abi::{DataType, MemoryType, ResponseCompleteFlags};

use super::super::inference_input::*;
use super::super::inference_request::{callbacks::*, parameters::*, sequence::*, terms::*, *};
use super::super::inference_response::*;
use super::super::response_allocator::*;
use super::super::{error, server};
use super::*;

/// A server in which the test answers. Models are told apart by their names, each test's own.
#[derive(Default)]
struct TestHost(Mutex<HashMap<String, (InferCall, OnAnswer)>>);

impl Host for TestHost {
    fn is_model_ready(&self, model: &str, _: Option<u64>) -> Result<bool, BackendError> {
        Ok(model == "ready")
    }

    fn is_decoupled(&self, model: &str, _: Option<u64>) -> Result<bool, BackendError> {
        Ok(model == "decoupled")
    }

    fn max_batch_size(&self, _: &str, _: Option<u64>) -> Result<u32, BackendError> {
        Ok(8)
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn has_metric(&self, name: &str) -> bool {
        name == "nv_own"
    }

    fn aside(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn infer(&self, call: InferCall, on_answer: OnAnswer) -> Result<(), BackendError> {
        if call.model == "unknown" {
            return Err(BackendError::new(Code::NotFound, "no such model"));
        }
        self.0.lock().insert(call.model.clone(), (call, on_answer));
        Ok(())
    }

    fn load_model(&self, _: &str, parameters: Vec<(String, LoadParameter)>) -> Result<(), BackendError> {
        Err(BackendError::invalid(format!("{parameters:?}")))
    }

    fn unload_model(&self, model: &str, with_dependents: bool) -> Result<(), BackendError> {
        Err(BackendError::invalid(format!("{model} {with_dependents}")))
    }
}

fn host() -> Arc<TestHost> {
    static HOST: LazyLock<Arc<TestHost>> = LazyLock::new(|| {
        let host = Arc::<TestHost>::default();
        server::set_host(Arc::clone(&host) as Arc<dyn Host>);
        host
    });
    Arc::clone(&HOST)
}

/// What the plugin's functions were called with, and how its allocator behaves.
#[derive(Default)]
struct Plugin {
    events: Mutex<Vec<String>>,
    responses: Mutex<Vec<Kept<abi::InferenceResponse>>>,
    fails_at: Option<&'static CStr>,
    of_a_device: bool,
}

impl Plugin {
    fn note(&self, event: impl Into<String>) {
        self.events.lock().push(event.into());
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock())
    }

    fn userp(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// # Safety
/// `userp` is a test's plugin, which is still there.
unsafe fn plugin<'a>(userp: *mut c_void) -> &'a Plugin {
    // SAFETY: by the caller's word.
    unsafe { &*userp.cast::<Plugin>() }
}

unsafe extern "C" fn alloc(
    _: *mut abi::ResponseAllocator,
    name: *const c_char,
    byte_size: usize,
    _: MemoryType,
    _: i64,
    userp: *mut c_void,
    buffer: *mut *mut c_void,
    buffer_userp: *mut *mut c_void,
    memory_type: *mut MemoryType,
    _: *mut i64,
) -> *mut abi::Error {
    // SAFETY: called by the server with what the test gave it.
    unsafe {
        let (plugin, name) = (plugin(userp), CStr::from_ptr(name));
        plugin.note(format!("alloc {} {byte_size}", name.to_string_lossy()));
        if plugin.fails_at == Some(name) {
            return error::TRITONSERVER_ErrorNew(abi::ErrorCode::UNAVAILABLE, c"no memory".as_ptr());
        }
        if plugin.of_a_device {
            *memory_type = MemoryType::GPU;
        }
        if byte_size > 0 {
            *buffer = Box::into_raw(vec![0_u8; byte_size].into_boxed_slice()).cast();
            *buffer_userp = userp;
        }
    }
    ptr::null_mut()
}

unsafe extern "C" fn free(
    _: *mut abi::ResponseAllocator,
    buffer: *mut c_void,
    buffer_userp: *mut c_void,
    byte_size: usize,
    _: MemoryType,
    _: i64,
) -> *mut abi::Error {
    // SAFETY: called by the server with what `alloc` gave it.
    unsafe {
        plugin(buffer_userp).note(format!("free {byte_size}"));
        drop(Box::from_raw(ptr::slice_from_raw_parts_mut(buffer.cast::<u8>(), byte_size)));
    }
    ptr::null_mut()
}

unsafe extern "C" fn respond(response: *mut abi::InferenceResponse, flags: u32, userp: *mut c_void) {
    // SAFETY: called by the server with what the test gave it.
    let plugin = unsafe { plugin(userp) };
    let what = if response.is_null() { "nothing" } else { "response" };
    let last = if flags == ResponseCompleteFlags::FINAL.0 { " final" } else { "" };
    plugin.note(format!("{what}{last}"));
    plugin.responses.lock().push(Kept(response));
}

unsafe extern "C" fn release(request: *mut abi::InferenceRequest, flags: u32, userp: *mut c_void) {
    assert_eq!(flags, RequestReleaseFlags::ALL.0);
    // SAFETY: called by the server with what the test gave it.
    unsafe {
        plugin(userp).note("release");
        error::take(TRITONSERVER_InferenceRequestDelete(request)).unwrap();
    }
}

/// A request for `model` with one input of these bytes.
fn request(model: &CStr, plugin: &Plugin, bytes: &[u8]) -> *mut abi::InferenceRequest {
    host();
    // SAFETY: texts, pointers to what is here, and to what the test keeps until the request is over.
    unsafe {
        let (mut request, mut allocator) = (ptr::null_mut(), ptr::null_mut());
        let new = TRITONSERVER_InferenceRequestNew(&mut request, server::handle(), model.as_ptr(), -1);
        error::take(new).unwrap();
        let shape = [bytes.len() as i64];
        let (name, dtype) = (c"IN".as_ptr(), DataType::UINT8);
        error::take(TRITONSERVER_InferenceRequestAddInput(request, name, dtype, shape.as_ptr(), 1)).unwrap();
        let (base, size) = (bytes.as_ptr().cast(), bytes.len());
        let cpu = MemoryType::CPU;
        error::take(TRITONSERVER_InferenceRequestAppendInputData(request, name, base, size, cpu, 0)).unwrap();
        error::take(TRITONSERVER_ResponseAllocatorNew(&mut allocator, Some(alloc), Some(free), None))
            .unwrap();
        error::take(TRITONSERVER_InferenceRequestSetReleaseCallback(request, Some(release), plugin.userp()))
            .unwrap();
        error::take(TRITONSERVER_InferenceRequestSetResponseCallback(
            request,
            allocator,
            plugin.userp(),
            Some(respond),
            plugin.userp(),
        ))
        .unwrap();
        error::take(TRITONSERVER_ResponseAllocatorDelete(allocator)).unwrap();
        request
    }
}

fn start(request: *mut abi::InferenceRequest) -> Result<(), BackendError> {
    // SAFETY: the test keeps what it promised.
    error::take(unsafe { TRITONSERVER_ServerInferAsync(server::handle(), request, ptr::null_mut()) })
}

/// The call that arrived at the server, and the way to answer it.
fn arrived(model: &str) -> (InferCall, OnAnswer) {
    host().0.lock().remove(model).unwrap()
}

fn outputs(names: &[(&str, &[u8])]) -> Vec<(String, Tensor)> {
    let output = |(name, bytes): &(&str, &[u8])| {
        let shape = Shape::new(&[bytes.len() as i64]);
        (name.to_string(), Tensor::new(DType::U8, shape, Bytes::copy_from_slice(bytes)))
    };
    names.iter().map(output).collect()
}

fn answer(outputs: Result<Vec<(String, Tensor)>, BackendError>, last: bool) -> InferAnswer {
    let parameters = vec![("p".to_owned(), nerite_backend::Parameter::Int(7))];
    InferAnswer { model: "model".into(), version: 3, outputs, parameters, empty: false, last }
}

fn delete(plugin: &Plugin) {
    for response in std::mem::take(&mut *plugin.responses.lock()) {
        // SAFETY: none is needed.
        error::take(unsafe { TRITONSERVER_InferenceResponseDelete(response.0) }).unwrap();
    }
}

/// The error of the only response.
fn failure(plugin: &Plugin) -> BackendError {
    let response = plugin.responses.lock()[0].0;
    // SAFETY: none is needed.
    error::take(unsafe { TRITONSERVER_InferenceResponseError(response) }).unwrap_err()
}

#[test]
fn an_answer_is_copied_into_the_plugins_memory_which_it_gets_back_with_the_response() {
    let (plugin, bytes) = (Plugin::default(), *b"input");
    start(request(c"answered", &plugin, &bytes)).unwrap();
    let (call, mut on_answer) = arrived("answered");
    let (name, tensor) = &call.inputs[0];
    assert_eq!((name.as_str(), tensor.data.contiguous()), ("IN", Some(&bytes[..])));
    assert_eq!(tensor.data.contiguous().unwrap().as_ptr(), bytes.as_ptr(), "not copied");
    drop(call);
    on_answer(answer(Ok(outputs(&[("A", b"abc"), ("B", b"")])), true));
    assert_eq!(plugin.events(), ["alloc A 3", "alloc B 0", "response final", "release"]);
    let response = plugin.responses.lock()[0].0;
    // SAFETY: the pointers are to what is here, and the response is not deleted yet.
    unsafe {
        assert!(TRITONSERVER_InferenceResponseError(response).is_null());
        let (mut name, mut version, mut count) = (ptr::null(), 0, 0);
        error::take(TRITONSERVER_InferenceResponseModel(response, &mut name, &mut version)).unwrap();
        assert_eq!((CStr::from_ptr(name), version), (c"model", 3));
        error::take(TRITONSERVER_InferenceResponseOutputCount(response, &mut count)).unwrap();
        assert_eq!(count, 2);
        let (mut shape, mut dims, mut base, mut size) = (ptr::null(), 0, ptr::null(), 0);
        let (mut dtype, mut memory, mut id, mut userp) =
            (DataType::INVALID, MemoryType::GPU, 7, ptr::null_mut());
        let output = TRITONSERVER_InferenceResponseOutput(
            response,
            0,
            &mut name,
            &mut dtype,
            &mut shape,
            &mut dims,
            &mut base,
            &mut size,
            &mut memory,
            &mut id,
            &mut userp,
        );
        error::take(output).unwrap();
        assert_eq!((CStr::from_ptr(name), dtype, dims, *shape), (c"A", DataType::UINT8, 1, 3));
        assert_eq!((memory, id, userp), (MemoryType::CPU, 0, plugin.userp()));
        assert_eq!(slice::from_raw_parts(base.cast::<u8>(), size), b"abc");
        let (mut kind, mut value) = (abi::ParameterType::STRING, ptr::null());
        error::take(TRITONSERVER_InferenceResponseParameter(response, 0, &mut name, &mut kind, &mut value))
            .unwrap();
        assert_eq!((kind, *value.cast::<i64>()), (abi::ParameterType::INT, 7));
        let beyond = TRITONSERVER_InferenceResponseParameter(response, 1, &mut name, &mut kind, &mut value);
        assert!(error::take(beyond).is_err());
        delete(&plugin);
        assert_eq!(plugin.events(), ["free 3"]);
        assert!(error::take(TRITONSERVER_InferenceResponseDelete(response)).is_err());
        assert!(error::take(TRITONSERVER_InferenceResponseOutputCount(response, &mut count)).is_err());
    }
}

#[test]
fn a_request_is_released_when_nobody_has_a_slice_of_its_inputs() {
    let (plugin, bytes) = (Plugin::default(), *b"input");
    start(request(c"sliced", &plugin, &bytes)).unwrap();
    let (call, mut on_answer) = arrived("sliced");
    let slice = call.inputs[0].1.data.buffers()[0].slice(1..2);
    drop(call);
    on_answer(answer(Ok(Vec::new()), true));
    assert_eq!(plugin.events(), ["response final"]);
    drop(slice);
    assert_eq!(plugin.events(), ["release"]);
    delete(&plugin);
}

#[test]
fn a_failure_is_told_when_nobody_reads_the_inputs_any_more() {
    let (plugin, bytes) = (Plugin::default(), *b"input");
    start(request(c"failed", &plugin, &bytes)).unwrap();
    let (call, mut on_answer) = arrived("failed");
    on_answer(answer(Err(BackendError::new(Code::Cancelled, "cancelled")), true));
    assert!(plugin.events().is_empty());
    drop(call);
    assert_eq!(plugin.events(), ["response final", "release"]);
    assert_eq!(failure(&plugin), BackendError::new(Code::Cancelled, "cancelled"));
    // The plugin must not delete the error of a response. Here it did.
    delete(&plugin);
}

#[test]
fn a_request_that_the_server_forgets_ends_with_an_error() {
    let (plugin, bytes) = (Plugin::default(), *b"input");
    start(request(c"forgotten", &plugin, &bytes)).unwrap();
    drop(arrived("forgotten"));
    assert_eq!(plugin.events(), ["response final", "release"]);
    assert_eq!(failure(&plugin).code, Code::Internal);
    delete(&plugin);
}

#[test]
fn many_answers_come_in_order_and_the_last_may_be_empty() {
    let (plugin, bytes) = (Plugin::default(), *b"input");
    start(request(c"many", &plugin, &bytes)).unwrap();
    let (call, mut on_answer) = arrived("many");
    drop(call);
    on_answer(answer(Ok(outputs(&[("A", b"1")])), false));
    on_answer(answer(Err(BackendError::internal("one of them")), false));
    on_answer(InferAnswer { empty: true, ..answer(Ok(Vec::new()), true) });
    assert_eq!(plugin.events(), ["alloc A 1", "response", "response", "nothing final", "release"]);
    delete(&plugin);
}

#[test]
fn a_request_that_the_server_refuses_stays_the_plugins() {
    let (plugin, bytes) = (Plugin::default(), *b"input");
    let request = request(c"unknown", &plugin, &bytes);
    assert_eq!(start(request).unwrap_err().code, Code::NotFound);
    assert_eq!(start(request).unwrap_err().code, Code::NotFound, "it can be tried again");
    // SAFETY: none is needed.
    error::take(unsafe { TRITONSERVER_InferenceRequestDelete(request) }).unwrap();
    assert!(start(request).is_err());
    assert!(plugin.events().is_empty());
}

#[test]
fn a_request_under_way_can_be_cancelled_and_nothing_else() {
    let (plugin, bytes) = (Plugin::default(), *b"input");
    let request = request(c"under_way", &plugin, &bytes);
    // SAFETY: none is needed.
    let cancel = || error::take(unsafe { TRITONSERVER_InferenceRequestCancel(request) });
    cancel().unwrap();
    start(request).unwrap();
    let (call, mut on_answer) = arrived("under_way");
    assert!(!call.cancel.is_cancelled(), "to cancel a request before it is executed means nothing");
    cancel().unwrap();
    assert!(call.cancel.is_cancelled());
    assert!(start(request).is_err());
    // SAFETY: texts, and pointers to what is here.
    unsafe {
        let mut is_cancelled = false;
        error::take(TRITONSERVER_InferenceRequestIsCancelled(request, &mut is_cancelled)).unwrap();
        assert!(is_cancelled);
        assert!(error::take(TRITONSERVER_InferenceRequestDelete(request)).is_err());
        assert!(error::take(TRITONSERVER_InferenceRequestSetPriority(request, 1)).is_err());
        assert!(error::take(TRITONSERVER_InferenceRequestRemoveAllInputs(request)).is_err());
    }
    drop(call);
    on_answer(answer(Ok(Vec::new()), true));
    assert!(cancel().is_err(), "the plugin has deleted it");
    delete(&plugin);
}

#[test]
fn memory_that_is_not_there_or_cannot_be_written_makes_a_response_a_failure() {
    let bytes = *b"input";
    let failing = Plugin { fails_at: Some(c"B"), ..Plugin::default() };
    start(request(c"no_memory", &failing, &bytes)).unwrap();
    let (call, mut on_answer) = arrived("no_memory");
    drop(call);
    on_answer(answer(Ok(outputs(&[("A", b"abc"), ("B", b"b")])), true));
    assert_eq!(failing.events(), ["alloc A 3", "alloc B 1", "free 3", "response final", "release"]);
    assert_eq!(failure(&failing), BackendError::new(Code::Unavailable, "no memory"));
    delete(&failing);

    let device = Plugin { of_a_device: true, ..Plugin::default() };
    start(request(c"device", &device, &bytes)).unwrap();
    let (call, mut on_answer) = arrived("device");
    drop(call);
    on_answer(answer(Ok(outputs(&[("A", b"abc")])), true));
    assert_eq!(device.events(), ["alloc A 3", "free 3", "response final", "release"]);
    assert_eq!(failure(&device).code, Code::Unsupported);
    delete(&device);
}

#[test]
fn a_request_says_what_it_was_told() {
    let (plugin, bytes) = (Plugin::default(), *b"input");
    let request = request(c"told", &plugin, &bytes);
    // SAFETY: texts, and pointers to what is here.
    unsafe {
        let ok = |problem| error::take(problem).unwrap();
        ok(TRITONSERVER_InferenceRequestSetId(request, c"id".as_ptr()));
        ok(TRITONSERVER_InferenceRequestSetFlags(request, RequestFlags::SEQUENCE_END.0));
        ok(TRITONSERVER_InferenceRequestSetCorrelationIdString(request, c"s".as_ptr()));
        ok(TRITONSERVER_InferenceRequestSetPriorityUInt64(request, u64::MAX));
        ok(TRITONSERVER_InferenceRequestSetTimeoutMicroseconds(request, 1_500));
        ok(TRITONSERVER_InferenceRequestAddRequestedOutput(request, c"A".as_ptr()));
        ok(TRITONSERVER_InferenceRequestSetStringParameter(request, c"p".as_ptr(), c"1".as_ptr()));
        ok(TRITONSERVER_InferenceRequestSetBoolParameter(request, c"p".as_ptr(), true));
        // A second piece behind the first.
        let more = b"!";
        let (base, cpu) = (more.as_ptr().cast(), MemoryType::CPU);
        ok(TRITONSERVER_InferenceRequestAppendInputData(request, c"IN".as_ptr(), base, 1, cpu, 0));
        let gpu = MemoryType::GPU;
        let of_a_device =
            TRITONSERVER_InferenceRequestAppendInputData(request, c"IN".as_ptr(), base, 1, gpu, 0);
        assert_eq!(error::take(of_a_device).unwrap_err().code, Code::Unsupported);
        let again =
            TRITONSERVER_InferenceRequestAddInput(request, c"IN".as_ptr(), DataType::BOOL, ptr::null(), 0);
        assert!(error::take(again).is_err());
        let (mut number, mut text, mut priority) = (0, ptr::null(), 0);
        assert!(error::take(TRITONSERVER_InferenceRequestCorrelationId(request, &mut number)).is_err());
        ok(TRITONSERVER_InferenceRequestCorrelationIdString(request, &mut text));
        assert_eq!(CStr::from_ptr(text), c"s");
        ok(TRITONSERVER_InferenceRequestPriority(request, &mut priority));
        assert_eq!(priority, u32::MAX);
    }
    start(request).unwrap();
    let (call, mut on_answer) = arrived("told");
    assert_eq!((call.id.as_str(), call.version, call.priority), ("id", None, u64::MAX));
    let sequence = Sequence { id: CorrelationId::Text("s".into()), start: false, end: true };
    assert_eq!((&call.sequence, call.timeout), (&sequence, Some(Duration::from_micros(1_500))));
    assert_eq!(call.outputs, ["A"]);
    assert_eq!(call.parameters, [("p".to_owned(), nerite_backend::Parameter::Bool(true))]);
    assert_eq!(call.inputs[0].1.data.contiguous(), Some(&b"input!"[..]));
    drop(call);
    on_answer(answer(Ok(Vec::new()), true));
    delete(&plugin);
}

#[test]
fn a_request_without_callbacks_and_a_server_that_is_none_are_refused() {
    host();
    // SAFETY: texts, and pointers to what is here.
    unsafe {
        let mut request = ptr::null_mut();
        let name = c"bare".as_ptr();
        let null = ptr::null_mut();
        assert!(error::take(TRITONSERVER_InferenceRequestNew(&mut request, null, name, -1)).is_err());
        let server = server::handle();
        assert!(error::take(TRITONSERVER_InferenceRequestNew(&mut request, server, name, -2)).is_err());
        error::take(TRITONSERVER_InferenceRequestNew(&mut request, server, name, 1)).unwrap();
        assert!(start(request).unwrap_err().message.contains("callback"));
        let trace = ptr::dangling_mut();
        assert!(error::take(TRITONSERVER_ServerInferAsync(server, request, trace)).is_err());
        error::take(TRITONSERVER_InferenceRequestDelete(request)).unwrap();
        error::take(TRITONSERVER_InferenceRequestDelete(ptr::null_mut())).unwrap();
    }
}

#[test]
fn the_server_is_asked_about_models_and_to_load_them() {
    use super::super::parameter::*;
    use super::super::server::{
        TRITONSERVER_ServerLoadModelWithParameters, TRITONSERVER_ServerModelBatchProperties,
        TRITONSERVER_ServerModelIsReady, TRITONSERVER_ServerModelTransactionProperties,
        TRITONSERVER_ServerUnloadModelAndDependents,
    };
    host();
    let server = server::handle();
    // SAFETY: texts, and pointers to what is here.
    unsafe {
        let (mut is_ready, mut flags) = (false, 0);
        error::take(TRITONSERVER_ServerModelIsReady(server, c"ready".as_ptr(), 1, &mut is_ready)).unwrap();
        assert!(is_ready);
        error::take(TRITONSERVER_ServerModelTransactionProperties(
            server,
            c"decoupled".as_ptr(),
            -1,
            &mut flags,
            ptr::null_mut(),
        ))
        .unwrap();
        assert_eq!(flags, abi::ModelTxnPropertyFlags::DECOUPLED.0);
        error::take(TRITONSERVER_ServerModelBatchProperties(
            server,
            c"any".as_ptr(),
            -1,
            &mut flags,
            ptr::null_mut(),
        ))
        .unwrap();
        assert_eq!(flags, abi::ModelBatchFlags::FIRST_DIM.0);
        let file = b"bytes";
        let config =
            TRITONSERVER_ParameterNew(c"config".as_ptr(), abi::ParameterType::STRING, c"{}".as_ptr().cast());
        let file = TRITONSERVER_ParameterBytesNew(c"file:1/f".as_ptr(), file.as_ptr().cast(), 5);
        let mut parameters = [config.cast_const(), file.cast_const()];
        let loaded =
            TRITONSERVER_ServerLoadModelWithParameters(server, c"any".as_ptr(), parameters.as_mut_ptr(), 2);
        let told = error::take(loaded).unwrap_err().message;
        assert_eq!(told, r#"[("config", Text("{}")), ("file:1/f", Bytes([98, 121, 116, 101, 115]))]"#);
        let unloaded = TRITONSERVER_ServerUnloadModelAndDependents(server, c"any".as_ptr());
        assert_eq!(error::take(unloaded).unwrap_err().message, "any true");
        TRITONSERVER_ParameterDelete(config);
        TRITONSERVER_ParameterDelete(file);
    }
}

#[test]
fn a_metric_of_the_servers_own_cannot_be_a_plugins() {
    use super::super::metric::*;
    host();
    let mut family = ptr::null_mut();
    // SAFETY: texts, and a pointer to what is here.
    let made = unsafe {
        let (name, help) = (c"nv_own".as_ptr(), c"Help".as_ptr());
        TRITONSERVER_MetricFamilyNew(&mut family, abi::MetricKind::COUNTER, name, help)
    };
    assert!(error::take(made).unwrap_err().message.contains("the server's own"));
}
