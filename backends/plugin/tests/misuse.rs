//! Plugins that do what they must not: each request is answered at most once and released once, and nothing else
//! suffers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use nerite_backend::{Code, Response};
use support::{CONFIG, Plugged, Served};

/// A model of a backend whose `execute` is this.
fn served(body: &str) -> (Plugged, Served) {
    served_as(body, CONFIG)
}

fn served_as(body: &str, config: &str) -> (Plugged, Served) {
    let text = format!(
        "Error* TRITONBACKEND_ModelInstanceExecute(Instance* instance, Request** requests, uint32_t count) {{ {body} }}"
    );
    let plugged = Plugged::new().with_text("x", &text, &[]);
    let served = plugged.start("x", config);
    (plugged, served)
}

fn decoupled() -> String {
    CONFIG.replacen('{', r#"{"model_transaction_policy": {"decoupled": true}, "#, 1)
}

#[test]
fn requests_that_are_not_taken_are_answered_with_the_error() {
    let (_plugged, mut served) = served(r#"return TRITONSERVER_ErrorNew(UNAVAILABLE, "not now");"#);
    for caller in served.execute(&[&[1.0], &[2.0]]) {
        let error = caller.error();
        assert_eq!((error.code, error.message.as_str()), (Code::Unavailable, "not now"));
        caller.assert_over();
    }
}

#[test]
fn an_error_after_a_request_was_released_is_the_answer_to_the_others_alone() {
    let (_plugged, mut served) = served(
        r#"Response* response;
           TRY(TRITONBACKEND_ResponseNew(&response, requests[0]));
           TRY(add_value(response, 7));
           TRY(TRITONBACKEND_ResponseSend(response, FINAL, NULL));
           TRY(TRITONBACKEND_RequestRelease(requests[0], RELEASE_ALL));
           return TRITONSERVER_ErrorNew(INTERNAL, "half way");"#,
    );
    let callers = served.execute(&[&[1.0], &[2.0]]);
    assert_eq!(callers[0].values(), [7.0]);
    assert_eq!(callers[1].error().message, "half way");
    callers.iter().for_each(|caller| caller.assert_over());
}

#[test]
fn an_error_after_a_request_was_answered_is_not_its_second_answer() {
    let (_plugged, mut served) = served(
        r#"Response* response;
           TRY(TRITONBACKEND_ResponseNew(&response, requests[0]));
           TRY(add_value(response, 7));
           TRY(TRITONBACKEND_ResponseSend(response, FINAL, NULL));
           return TRITONSERVER_ErrorNew(INTERNAL, "too late");"#,
    );
    let callers = served.execute(&[&[1.0]]);
    assert_eq!(callers[0].values(), [7.0]);
    callers[0].assert_over();
}

#[test]
fn what_was_given_back_is_no_good_a_second_time() {
    let (_plugged, mut served) = served(
        r#"Request* request = requests[0];
           Response* response;
           Input* input;
           Factory* factory;
           Output* output;
           const void* data;
           void* buffer;
           const char* text;
           uint64_t size;
           int memory = 0;
           int64_t device = 0, one = 1;
           bool cancelled;
           TRY(TRITONBACKEND_RequestInputByIndex(request, 0, &input));
           TRY(TRITONBACKEND_ResponseNew(&response, request));
           TRY(TRITONBACKEND_ResponseOutput(response, &output, "y", 11, &one, 1));
           TRY(TRITONBACKEND_OutputBuffer(output, &buffer, 4, &memory, &device));
           TRY(TRITONBACKEND_ResponseSend(response, FINAL, NULL));
           TRY(TRITONBACKEND_ResponseFactoryNew(&factory, request));
           TRY(TRITONBACKEND_RequestRelease(request, RELEASE_ALL));
           /* From here on an error would be an answer to nobody, and so the process would have to end. */
           if (code_of(TRITONBACKEND_RequestRelease(request, RELEASE_ALL)) != INVALID_ARG) abort();
           if (code_of(TRITONBACKEND_RequestId(request, &text)) != INVALID_ARG) abort();
           if (code_of(TRITONBACKEND_ResponseNew(&response, request)) != INVALID_ARG) abort();
           if (code_of(TRITONBACKEND_InputBuffer(input, 0, &data, &size, &memory, &device)) != INVALID_ARG) abort();
           if (code_of(TRITONBACKEND_OutputBuffer(output, &buffer, 4, &memory, &device)) != INVALID_ARG) abort();
           if (code_of(TRITONBACKEND_ResponseSend(response, FINAL, NULL)) != INVALID_ARG) abort();
           if (code_of(TRITONBACKEND_ResponseDelete(response)) != INVALID_ARG) abort();
           if (code_of(TRITONBACKEND_ModelInstanceReportStatistics(instance, request, true, 1, 2, 3, 4)) != INVALID_ARG)
             abort();
           if (code_of(TRITONBACKEND_ResponseFactoryDelete(factory)) != -1) abort();
           if (code_of(TRITONBACKEND_ResponseFactoryDelete(factory)) != INVALID_ARG) abort();
           if (code_of(TRITONBACKEND_ResponseFactorySendFlags(factory, FINAL)) != INVALID_ARG) abort();
           if (code_of(TRITONBACKEND_ResponseFactoryIsCancelled(factory, &cancelled)) != INVALID_ARG) abort();
           return NULL;"#,
    );
    let callers = served.execute(&[&[1.0]]);
    assert_eq!(callers[0].values(), [0.0]);
    callers[0].assert_over();
}

#[test]
fn a_second_answer_is_an_error_of_the_plugin_and_reaches_nobody() {
    let (_plugged, mut served) = served(
        r#"Response *first, *second;
           TRY(TRITONBACKEND_ResponseNew(&first, requests[0]));
           TRY(TRITONBACKEND_ResponseNew(&second, requests[0]));
           TRY(add_value(first, 1));
           TRY(add_value(second, 2));
           TRY(TRITONBACKEND_ResponseSend(first, FINAL, NULL));
           if (code_of(TRITONBACKEND_ResponseSend(second, FINAL, NULL)) != 6) abort();
           return TRITONBACKEND_RequestRelease(requests[0], RELEASE_ALL);"#,
    );
    let callers = served.execute(&[&[1.0]]);
    assert_eq!(callers[0].values(), [1.0]);
    callers[0].assert_over();
}

#[test]
fn an_ordinary_response_without_the_final_flag_is_the_answer_and_the_flag_may_follow() {
    let (_plugged, mut served) = served(
        r#"Response* response;
           Factory* factory;
           TRY(TRITONBACKEND_ResponseNew(&response, requests[0]));
           TRY(TRITONBACKEND_ResponseFactoryNew(&factory, requests[0]));
           TRY(add_value(response, 1));
           TRY(TRITONBACKEND_ResponseSend(response, 0, NULL));
           if (code_of(TRITONBACKEND_ResponseFactorySendFlags(factory, FINAL)) != -1) abort();
           if (code_of(TRITONBACKEND_ResponseFactorySendFlags(factory, FINAL)) != 6) abort();
           if (code_of(TRITONBACKEND_ResponseFactoryDelete(factory)) != -1) abort();
           return TRITONBACKEND_RequestRelease(requests[0], RELEASE_ALL);"#,
    );
    let callers = served.execute(&[&[1.0]]);
    assert_eq!(callers[0].values(), [1.0]);
    callers[0].assert_over();
}

#[test]
fn the_final_flag_without_a_response_of_an_ordinary_model_is_an_error() {
    let (_plugged, mut served) = served(
        r#"Factory* factory;
           TRY(TRITONBACKEND_ResponseFactoryNew(&factory, requests[0]));
           TRY(TRITONBACKEND_ResponseFactorySendFlags(factory, FINAL));
           TRY(TRITONBACKEND_ResponseFactoryDelete(factory));
           return TRITONBACKEND_RequestRelease(requests[0], RELEASE_ALL);"#,
    );
    let callers = served.execute(&[&[1.0]]);
    assert_eq!(callers[0].error().message, "the model ended the request without a response to it");
    callers[0].assert_over();
}

#[test]
fn a_request_that_is_released_unanswered_can_be_answered_by_nobody() {
    let (_plugged, mut served) = served(
        r#"Response* response;
           TRY(TRITONBACKEND_ResponseNew(&response, requests[0]));
           TRY(TRITONBACKEND_ResponseDelete(response));
           return TRITONBACKEND_RequestRelease(requests[0], RELEASE_ALL);"#,
    );
    let callers = served.execute(&[&[1.0]]);
    // The server answers when nobody else can.
    assert!(callers[0].responses.lock().unwrap().is_empty());
    callers[0].assert_over();
}

#[test]
fn what_a_plugin_keeps_for_ever_is_let_go_with_its_instance() {
    let (_plugged, mut served) = served(
        r#"Response* response;
           Factory* factory;
           TRY(TRITONBACKEND_ResponseNew(&response, requests[0]));
           TRY(TRITONBACKEND_ResponseFactoryNew(&factory, requests[0]));
           return TRITONBACKEND_RequestRelease(requests[0], RELEASE_ALL);"#,
    );
    let callers = served.execute(&[&[1.0], &[2.0]]);
    assert!(!*callers[0].over.lock().unwrap() && *callers[1].released.lock().unwrap() == 0);
    drop(served.instance.take());
    assert!(callers[1].error().message.contains("finalised before"));
    callers.iter().for_each(|caller| caller.assert_over());
}

#[test]
fn an_output_that_does_not_fit_its_shape_or_is_not_configured_is_told_of() {
    let (_plugged, mut served) = served(
        r#"for (uint32_t i = 0; i < count; i++) {
             Response* response;
             Output *output, *other;
             void* buffer;
             int memory = 2;
             int64_t device = 7, dims[] = {2, -1};
             TRY(TRITONBACKEND_ResponseNew(&response, requests[i]));
             FAILS(INVALID_ARG, TRITONBACKEND_ResponseOutput(response, &output, "z", 11, dims, 1));
             FAILS(INVALID_ARG, TRITONBACKEND_ResponseOutput(response, &output, "y", 99, dims, 1));
             FAILS(INVALID_ARG, TRITONBACKEND_ResponseOutput(response, &output, "y", 11, dims, 2));
             FAILS(INVALID_ARG, TRITONBACKEND_ResponseOutput(response, &output, NULL, 11, dims, 1));
             FAILS(INVALID_ARG, TRITONBACKEND_ResponseOutput(response, &output, "y", 11, NULL, 1));
             TRY(TRITONBACKEND_ResponseOutput(response, &output, "y", 11, dims, 1));
             FAILS(6, TRITONBACKEND_ResponseOutput(response, &other, "y", 11, dims, 1));
             if (i == 1) {
               FAILS(UNAVAILABLE, TRITONBACKEND_OutputBuffer(output, &buffer, UINT64_MAX, &memory, &device));
               TRY(TRITONBACKEND_OutputBuffer(output, &buffer, 12, &memory, &device));
               EXPECT(memory == 0 && device == 0);
               FAILS(6, TRITONBACKEND_OutputBuffer(output, &buffer, 12, &memory, &device));
             }
             TRY(TRITONBACKEND_ResponseSend(response, FINAL, NULL));
             TRY(TRITONBACKEND_RequestRelease(requests[i], RELEASE_ALL));
           }
           return NULL;"#,
    );
    let callers = served.execute(&[&[1.0], &[2.0]]);
    let said = "output 'y' of the model has a buffer of";
    for (caller, size) in callers.iter().zip([0, 12]) {
        let error = caller.error();
        assert_eq!(error.code, Code::Internal);
        assert_eq!(error.message, format!("{said} {size} bytes, and FP32 in shape [2] has 8"));
        caller.assert_over();
    }
}

#[test]
fn a_decoupled_model_sends_any_number_of_responses_and_none_after_the_last() {
    let (_plugged, mut served) = served_as(
        r#"Factory* factory;
           Response *response, *late;
           TRY(TRITONBACKEND_ResponseFactoryNew(&factory, requests[0]));
           TRY(TRITONBACKEND_RequestRelease(requests[0], RELEASE_ALL));
           if (code_of(TRITONBACKEND_ResponseNewFromFactory(&late, factory)) != -1) abort();
           for (int i = 0; i < 3; i++) {
             if (code_of(TRITONBACKEND_ResponseNewFromFactory(&response, factory)) != -1) abort();
             if (code_of(add_value(response, i)) != -1) abort();
             if (code_of(TRITONBACKEND_ResponseSend(response, 0, NULL)) != -1) abort();
           }
           if (code_of(TRITONBACKEND_ResponseFactorySendFlags(factory, 0)) != -1) abort();
           if (code_of(TRITONBACKEND_ResponseFactorySendFlags(factory, FINAL)) != -1) abort();
           if (code_of(TRITONBACKEND_ResponseFactorySendFlags(factory, FINAL)) != 6) abort();
           if (code_of(TRITONBACKEND_ResponseSend(late, 0, NULL)) != 6) abort();
           if (code_of(TRITONBACKEND_ResponseFactoryDelete(factory)) != -1) abort();
           return NULL;"#,
        &decoupled(),
    );
    let callers = served.execute(&[&[1.0]]);
    let responses = callers[0].responses.lock().unwrap();
    let told: Vec<(usize, bool)> =
        responses.iter().map(|Response { outputs, last, .. }| (outputs.len(), *last)).collect();
    assert_eq!(told, [(1, false), (1, false), (1, false), (0, true)]);
    drop(responses);
    callers[0].assert_over();
}

#[test]
fn handles_of_another_kind_and_null_are_errors_everywhere() {
    let (_plugged, mut served) = served(
        r#"void* request = requests[0];
           void* nothing = NULL;
           void* wild = (void*)0x1234567;
           void* wrong[] = {nothing, wild, instance, request};
           Input* input;
           void* out;
           const char* text;
           uint32_t number;
           int kind;
           int64_t id;
           uint64_t size;
           bool flag;
           size_t length;
           for (int i = 0; i < 4; i++) {
             void* it = wrong[i];
             FAILS(INVALID_ARG, TRITONBACKEND_BackendName(it, &text));
             FAILS(INVALID_ARG, TRITONBACKEND_ModelName(it, &text));
             FAILS(INVALID_ARG, TRITONBACKEND_ModelSetState(it, NULL));
             FAILS(INVALID_ARG, TRITONBACKEND_InputProperties(it, NULL, NULL, NULL, NULL, NULL, NULL));
             FAILS(INVALID_ARG, TRITONBACKEND_InputBuffer(it, 0, (const void**)&out, &size, &kind, &id));
             FAILS(INVALID_ARG, TRITONBACKEND_OutputBuffer(it, &out, 1, &kind, &id));
             FAILS(INVALID_ARG, TRITONBACKEND_ResponseSend(it, FINAL, NULL));
             FAILS(INVALID_ARG, TRITONBACKEND_ResponseDelete(it));
             FAILS(INVALID_ARG, TRITONBACKEND_ResponseFactoryIsCancelled(it, &flag));
             FAILS(INVALID_ARG, TRITONBACKEND_MemoryManagerAllocate(it, &out, 0, 0, 1));
             FAILS(INVALID_ARG, TRITONSERVER_MessageSerializeToJson(it, &text, &length));
             if (it != instance) FAILS(INVALID_ARG, TRITONBACKEND_ModelInstanceName(it, &text));
             if (it != request) FAILS(INVALID_ARG, TRITONBACKEND_RequestId(it, &text));
           }
           FAILS(INVALID_ARG, TRITONBACKEND_RequestId(request, NULL));
           FAILS(INVALID_ARG, TRITONBACKEND_RequestInput(request, NULL, &input));
           FAILS(INVALID_ARG, TRITONBACKEND_RequestInput(request, "none", &input));
           FAILS(INVALID_ARG, TRITONBACKEND_RequestInput(request, "x", NULL));
           FAILS(INVALID_ARG, TRITONBACKEND_RequestInputByIndex(request, 1, &input));
           FAILS(INVALID_ARG, TRITONBACKEND_RequestOutputName(request, 1, &text));
           FAILS(INVALID_ARG, TRITONBACKEND_RequestParameter(request, 0, &text, &kind, (const void**)&out));
           FAILS(INVALID_ARG, TRITONBACKEND_RequestRelease(request, 0));
           FAILS(UNSUPPORTED, TRITONBACKEND_RequestRelease(request, 2));
           TRY(TRITONBACKEND_RequestInput(request, "x", &input));
           TRY(TRITONBACKEND_RequestOutputCount(request, &number));
           EXPECT(number == 1);
           FAILS(INVALID_ARG, TRITONBACKEND_InputBuffer(input, 1, (const void**)&out, &size, &kind, &id));
           Response* response;
           FAILS(INVALID_ARG, TRITONBACKEND_ResponseNew(NULL, request));
           TRY(TRITONBACKEND_ResponseNew(&response, request));
           TRY(add_value(response, 1));
           TRY(TRITONBACKEND_ResponseSend(response, FINAL, NULL));
           return TRITONBACKEND_RequestRelease(request, RELEASE_ALL);"#,
    );
    let callers = served.execute(&[&[1.0]]);
    assert_eq!(callers[0].values(), [1.0]);
}

#[test]
fn no_memory_is_lost_or_used_that_is_not_there() {
    support::watched("no_memory_is_lost_or_used_that_is_not_there");
}
