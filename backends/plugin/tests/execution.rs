//! Plugins in C that are given requests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nerite_backend::{
    Batch, Condition, CorrelationId, DType, Data, Meta, Parameter, Response, Sequence, Shape, Tensor,
};
use support::{CONFIG, Caller, Plugged, request, request_of};

#[test]
fn every_request_of_a_batch_is_answered_released_and_accounted_for() {
    let plugged = Plugged::new().with("identity", "identity", &[]);
    let mut served = plugged.start("identity", CONFIG);
    let callers = served.execute(&[&[1.0, 2.0], &[], &[3.0]]);
    for (caller, expected) in callers.iter().zip([&[1.0, 2.0][..], &[], &[3.0]]) {
        assert_eq!(caller.values(), expected);
        assert!(caller.responses.lock().unwrap()[0].last);
        assert!(matches!(caller.reports.lock().unwrap()[..], [Ok(())]));
        caller.assert_over();
    }
    assert_eq!(*served.account.0.lock().unwrap(), [3]);
}

#[test]
fn a_plugin_that_was_linked_with_tritons_own_library_finds_this_server_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let triton = folder.path().join("libtritonserver-717102f0.so");
    let empty = folder.path().join("empty.c");
    std::fs::write(&empty, "int nothing;").unwrap();
    let soname = format!("-Wl,-soname,{}", triton.file_name().unwrap().display());
    let mut built = std::process::Command::new("cc");
    built.args(["-shared", "-fPIC", "-o"]).arg(&triton).arg(&empty).arg(soname);
    assert!(built.status().unwrap().success());
    let flags = ["-Wl,--no-as-needed".to_owned(), triton.display().to_string()];
    let plugged = Plugged::new().with("identity", "identity", &flags.each_ref().map(String::as_str));
    // Where it is looked for there is none.
    drop(folder);
    let mut served = plugged.start("identity", CONFIG);
    assert_eq!(served.execute(&[&[1.0]])[0].values(), [1.0]);
}

#[test]
fn what_a_request_carries_reaches_the_plugin_and_what_it_says_reaches_the_caller() {
    let text = r#"
        static Error* look(Instance* instance, Request* request, Response* response) {
          const char *id, *key;
          const void* value;
          uint64_t sequence;
          uint32_t flags, count;
          int kind;
          bool cancelled;
          TRY(TRITONBACKEND_RequestId(request, &id));
          TRY(TRITONBACKEND_RequestCorrelationId(request, &sequence));
          FAILS(INVALID_ARG, TRITONBACKEND_RequestCorrelationIdString(request, &key));
          TRY(TRITONBACKEND_RequestFlags(request, &flags));
          TRY(TRITONBACKEND_RequestIsCancelled(request, &cancelled));
          EXPECT(strcmp(id, "one") == 0 && sequence == 42 && flags == 1 && !cancelled);
          TRY(TRITONBACKEND_InferenceRequestTimeoutMicroseconds(request, &sequence));
          EXPECT(sequence == 1500);
          TRY(TRITONBACKEND_RequestParameterCount(request, &count));
          EXPECT(count == 4);
          TRY(TRITONBACKEND_RequestParameter(request, 0, &key, &kind, &value));
          EXPECT(strcmp(key, "text") == 0 && kind == 0 && strcmp(value, "t") == 0);
          TRY(TRITONBACKEND_RequestParameter(request, 1, &key, &kind, &value));
          EXPECT(kind == 1 && *(const int64_t*)value == -5);
          TRY(TRITONBACKEND_RequestParameter(request, 2, &key, &kind, &value));
          EXPECT(kind == 2 && *(const bool*)value);
          TRY(TRITONBACKEND_RequestParameter(request, 3, &key, &kind, &value));
          EXPECT(kind == 3 && *(const double*)value == 0.5);
          TRY(TRITONBACKEND_ResponseSetStringParameter(response, "said", "yes"));
          TRY(TRITONBACKEND_ResponseSetIntParameter(response, "said", 3));
          return add_value(response, 1);
        }
        Error* TRITONBACKEND_ModelInstanceExecute(Instance* instance, Request** requests, uint32_t count) {
          Response* response;
          TRY(TRITONBACKEND_ResponseNew(&response, requests[0]));
          Error* problem = look(instance, requests[0], response);
          TRY(TRITONBACKEND_ResponseSend(response, FINAL, problem));
          TRITONSERVER_ErrorDelete(problem);
          return TRITONBACKEND_RequestRelease(requests[0], RELEASE_ALL);
        }"#;
    let plugged = Plugged::new().with_text("x", text, &[]);
    let mut served = plugged.start("x", CONFIG);
    let parameter = |name: &str, value| (name.to_owned(), value);
    let meta = Meta {
        id: "one".to_owned(),
        sequence: Sequence { id: CorrelationId::Number(42), start: true, end: false },
        timeout: Some(Duration::from_micros(1500)),
        parameters: vec![
            parameter("text", Parameter::String("t".to_owned())),
            parameter("int", Parameter::Int(-5)),
            parameter("bool", Parameter::Bool(true)),
            parameter("double", Parameter::Double(0.5)),
        ],
        ..Meta::default()
    };
    let caller = Arc::<Caller>::default();
    let input = Tensor::new(DType::F32, Shape::new(&[1]), Bytes::from_static(&[0; 4]));
    let request = request_of(vec![Some(input)], meta, &caller);
    served.instance.as_mut().unwrap().execute(Batch::from(request));
    assert_eq!(caller.values(), [1.0]);
    let responses = caller.responses.lock().unwrap();
    assert_eq!(responses[0].parameters, [("said".to_owned(), Parameter::Int(3))]);
}

#[test]
fn an_input_lies_where_its_elements_may_lie_and_is_left_out_if_it_was() {
    let text = r#"
        static Error* look(Request* request) {
          Input* input;
          BufferAttributes *attributes, *again;
          const void *data, *same;
          const char* name;
          uint32_t count;
          uint64_t size;
          size_t told;
          int memory = 2;
          int64_t device = 3;
          TRY(TRITONBACKEND_RequestInputCount(request, &count));
          EXPECT(count == 1);
          TRY(TRITONBACKEND_RequestInputName(request, 0, &name));
          EXPECT(strcmp(name, "b") == 0);
          FAILS(INVALID_ARG, TRITONBACKEND_RequestInput(request, "a", &input));
          TRY(TRITONBACKEND_RequestInput(request, "b", &input));
          TRY(TRITONBACKEND_InputBuffer(input, 0, &data, &size, &memory, &device));
          EXPECT(memory == 0 && device == 0 && size == 16 && (uintptr_t)data % 8 == 0);
          EXPECT(((const double*)data)[1] == 2.5);
          TRY(TRITONBACKEND_InputBufferAttributes(input, 0, &same, &attributes));
          TRY(TRITONBACKEND_InputBufferAttributes(input, 0, &same, &again));
          TRY(TRITONSERVER_BufferAttributesByteSize(attributes, &told));
          EXPECT(same == data && attributes == again && told == 16);
          return NULL;
        }
        Error* TRITONBACKEND_ModelInstanceExecute(Instance* instance, Request** requests, uint32_t count) {
          Response* response;
          TRY(look(requests[0]));
          TRY(TRITONBACKEND_ResponseNew(&response, requests[0]));
          TRY(add_value(response, 1));
          TRY(TRITONBACKEND_ResponseSend(response, FINAL, NULL));
          return TRITONBACKEND_RequestRelease(requests[0], RELEASE_ALL);
        }"#;
    let plugged = Plugged::new().with_text("x", text, &[]);
    let config = r#"{"name": "m", "input": [{"name": "a", "data_type": "TYPE_FP32", "dims": [1], "optional": true},
        {"name": "b", "data_type": "TYPE_FP64", "dims": [-1]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1]}]}"#;
    let mut served = plugged.start("x", config);
    let values: Bytes = [1.5f64, 2.5].iter().flat_map(|value| value.to_le_bytes()).collect();
    for offset in 0..8 {
        let message: Bytes = [&vec![0; offset][..], &values].concat().into();
        let input = Tensor::new(DType::F64, Shape::new(&[2]), Data::from(message.slice(offset..)));
        let caller = Arc::<Caller>::default();
        let request = request_of(vec![None, Some(input)], Meta::default(), &caller);
        served.instance.as_mut().unwrap().execute(Batch::from(request));
        assert_eq!(caller.values(), [1.0], "{offset}");
    }
}

/// Answers one of two requests well and the other with an internal error.
const HALF: &str = r#"
    Error* TRITONBACKEND_ModelInstanceExecute(Instance* instance, Request** requests, uint32_t count) {
      for (uint32_t i = 0; i < count; i++) {
        Response* response;
        Error* problem = i == 0 ? NULL : TRITONSERVER_ErrorNew(INTERNAL, "no more");
        TRITONBACKEND_ResponseNew(&response, requests[i]);
        if (problem == NULL) add_value(response, 1);
        TRITONBACKEND_ResponseSend(response, FINAL, problem);
        TRITONSERVER_ErrorDelete(problem);
        TRITONBACKEND_RequestRelease(requests[i], RELEASE_ALL);
      }
      return NULL;
    }"#;
const READY: &str = "Error* TRITONBACKEND_ModelInstanceReady(Instance* instance) { return NULL; }";

#[test]
fn a_request_that_fails_beside_others_leaves_a_doubt_where_the_plugin_can_be_asked() {
    let condition = |text: &str, count: usize| {
        let plugged = Plugged::new().with_text("x", text, &[]);
        let mut served = plugged.start("x", CONFIG);
        let callers: Vec<Arc<Caller>> = (0..count).map(|_| Arc::default()).collect();
        let requests = callers.iter().map(|caller| request(&[1.0], caller)).collect();
        served.instance.as_mut().unwrap().execute(Batch::new(requests))
    };
    assert_eq!(condition(HALF, 2), Condition::Sound);
    let asked = format!("{HALF}\n{READY}");
    let Condition::Doubtful(reason) = condition(&asked, 2) else { panic!("no doubt is left") };
    assert!(reason.message.starts_with("a request of its last batch failed"), "{}", reason.message);
    assert_eq!(condition(&asked, 1), Condition::Sound, "none has failed");
}

#[test]
fn responses_may_be_sent_by_another_thread_when_the_execution_is_over() {
    let text = r#"
        #include <pthread.h>
        static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
        static void* later(void* factory) {
          pthread_mutex_lock(&held);
          for (int i = 0; i < 100; i++) {
            Response* response;
            TRITONBACKEND_ResponseNewFromFactory(&response, factory);
            add_value(response, i);
            TRITONBACKEND_ResponseSend(response, i == 99 ? FINAL : 0, NULL);
          }
          TRITONBACKEND_ResponseFactoryDelete(factory);
          pthread_mutex_unlock(&held);
          return NULL;
        }
        Error* TRITONBACKEND_ModelInstanceExecute(Instance* instance, Request** requests, uint32_t count) {
          pthread_mutex_lock(&held);
          for (uint32_t i = 0; i < count; i++) {
            Factory* factory;
            pthread_t thread;
            TRITONBACKEND_ResponseFactoryNew(&factory, requests[i]);
            TRITONBACKEND_RequestRelease(requests[i], RELEASE_ALL);
            pthread_create(&thread, NULL, later, factory);
            pthread_detach(thread);
          }
          pthread_mutex_unlock(&held);
          return NULL;
        }"#;
    let plugged = Plugged::new().with_text("x", text, &[]);
    let config = CONFIG.replacen('{', r#"{"model_transaction_policy": {"decoupled": true}, "#, 1);
    let mut served = plugged.start("x", &config);
    let callers = served.execute(&[&[1.0], &[2.0], &[3.0]]);
    for caller in callers {
        while !*caller.over.lock().unwrap() {
            std::thread::yield_now();
        }
        let responses = caller.responses.lock().unwrap();
        let lasts: Vec<bool> = responses.iter().map(|Response { last, .. }| *last).collect();
        assert_eq!((lasts.len(), lasts.iter().position(|last| *last)), (100, Some(99)));
        assert_eq!(*caller.released.lock().unwrap(), 1);
    }
}

#[test]
fn no_memory_is_lost_or_used_that_is_not_there() {
    support::watched("no_memory_is_lost_or_used_that_is_not_there");
}
