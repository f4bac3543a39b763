//! Models on GPUs, on counterfeits of NVIDIA's driver and of ONNX Runtime for GPUs.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../cuda/tests/support/compiler.rs"]
mod compiler;
#[path = "../../../cuda/tests/support/counterfeit.rs"]
mod counterfeit;
mod execution;
mod faults;
#[path = "../support/gpu.rs"]
mod gpu;
#[path = "../support/gpu_library.rs"]
mod gpu_library;
mod loading;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use nerite_backend::{Batch, Condition, DType, Instance, InstanceKind, Slots, Tensor};
use support::onnx::{self, Graph, element, floats, node};
use support::{Answer, Caller, assert_tensor, tensor};

pub(crate) const GPU: InstanceKind = InstanceKind::Gpu(0);

/// Gives the sum of its inputs, their difference, and texts as they are.
pub(crate) fn three_outputs() -> Vec<u8> {
    Graph {
        nodes: vec![
            node("Add", &["a", "b"], &["sum"], &[]),
            node("Sub", &["a", "b"], &["difference"], &[]),
            node("Identity", &["texts"], &["same"], &[]),
        ],
        inputs: vec![
            onnx::tensor("a", element::FLOAT, &[-1, 2]),
            onnx::tensor("b", element::FLOAT, &[-1, 2]),
            onnx::tensor("texts", element::STRING, &[-1]),
        ],
        outputs: vec![
            onnx::tensor("sum", element::FLOAT, &[-1, 2]),
            onnx::tensor("difference", element::FLOAT, &[-1, 2]),
            onnx::tensor("same", element::STRING, &[-1]),
        ],
        ..Graph::default()
    }
    .model()
}

pub(crate) const TEXT: &[u8] = b"\x02\0\0\0hi";

pub(crate) fn inputs() -> Vec<Option<Tensor>> {
    let numbers = |numbers: &[f32]| tensor(DType::F32, &[1, 2], floats(numbers));
    vec![numbers(&[5.0, 7.0]), numbers(&[2.0, 3.0]), tensor(DType::Bytes, &[1], TEXT)]
}

pub(crate) fn ask(
    instance: &mut dyn Instance,
    inputs: Vec<Option<Tensor>>,
    wanted: Slots,
) -> (Answer, Condition) {
    let caller = Arc::new(Caller::default());
    let condition = instance.execute(Batch::from(caller.request(inputs, wanted, 1)));
    (caller.answer(), condition)
}

#[track_caller]
pub(crate) fn assert_three_outputs(answer: Answer) {
    let outputs = answer.unwrap();
    assert_eq!(outputs.len(), 3);
    assert_tensor(Ok(outputs.clone()), 0, DType::F32, &[1, 2], &floats(&[7.0, 10.0]));
    assert_tensor(Ok(outputs.clone()), 1, DType::F32, &[1, 2], &floats(&[3.0, 4.0]));
    assert_tensor(Ok(outputs), 2, DType::Bytes, &[1], TEXT);
}
