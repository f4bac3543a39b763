//! The deadline of a call, on its way to the core.

use std::time::Instant;

use http::Request;

use super::calls::{INFER, answer, request, send};
use super::held::Held;
use crate::net::CallDeadline;

#[tokio::test]
async fn a_request_whose_deadline_has_passed_is_not_executed() {
    let mut held = Held::new(0, 0);
    let late = Request::post(INFER).extension(CallDeadline(Instant::now()));
    let call = send(&held, late, &request("held", 1), true);
    let answer = tokio::select! {
        answer = answer(call) => answer,
        _ = held.batches.recv() => panic!("it is executed"),
    };
    assert_eq!(answer.headers()["grpc-status"], "1");
}
