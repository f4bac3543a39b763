mod acceptance;
mod refusals;

use bytes::Bytes;
use nerite_backend::{Code, DType, Shape};
use proptest::prelude::*;

use super::*;
use crate::mock::{input, model};
use crate::model::ModelSpec;

fn spec() -> ModelSpec {
    model("M", 8, vec![input("A", DType::F32, &[-1], 0), input("S", DType::Bytes, &[2], 1)])
}

fn given(name: &str, datatype: &str, shape: &[i64], data: &[u8]) -> InferInput {
    let data = Some(Bytes::copy_from_slice(data));
    InferInput { name: name.into(), datatype: datatype.into(), shape: shape.to_vec(), data }
}

fn text() -> InferInput {
    given("S", "BYTES", &[1, 2], &[1, 0, 0, 0, b'a', 0, 0, 0, 0])
}

fn refusal(inputs: Vec<InferInput>) -> String {
    let request = InferRequest { inputs, ..InferRequest::default() };
    admit(&spec(), request).expect_err("the request is wrong").to_string()
}

#[test]
fn a_shape_that_overflows_is_refused_whatever_bytes_come_with_it() {
    let cases: [(&[i64], &str); 5] = [
        (&[(1 << 32) + 1, 64], "input 'S' batch size does not match other inputs for 'M'"),
        (
            &[1, 1 << 62],
            "input 'A' for model 'M' has the shape [1,4611686018427387904], which is more elements",
        ),
        (&[1, -1], "All input dimensions should be specified for input 'A' for model 'M', got [1,-1]"),
        (&[1], "unexpected shape for input 'A' for model 'M'. Expected [-1,-1], got [1]. NOTE: "),
        (&[], "input 'A' has no shape but model requires batch dimension for 'M'"),
    ];
    for (shape, expected) in cases {
        let message = refusal(vec![given("A", "FP32", shape, &[0; 4]), text()]);
        assert!(
            message.starts_with(&format!("[request id: <id_unknown>] {expected}")),
            "{shape:?}: {message}"
        );
    }
}

#[test]
fn strings_that_do_not_add_up_are_told_apart() {
    let cases: [(&[u8], &str); 4] = [
        (&[0; 4], "expected 2 string elements for inference input 'S' for model 'M', got 1"),
        (
            &[0; 12],
            "unexpected number of string elements 3 for inference input 'S' for model 'M', expecting 2",
        ),
        (
            &[0; 6],
            "incomplete string length indicator for inference input 'S' for model 'M', expecting 4 bytes but only 2",
        ),
        (
            &[9, 0, 0, 0, 1],
            "incomplete string data for inference input 'S' for model 'M', expecting string of length 9",
        ),
    ];
    for (bytes, expected) in cases {
        let message =
            refusal(vec![given("A", "FP32", &[1, 1], &[0; 4]), given("S", "BYTES", &[1, 2], bytes)]);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn missing_inputs_are_listed() {
    assert_eq!(
        refusal(vec![text()]),
        "[request id: <id_unknown>] expected 2 inputs but got 1 inputs for model 'M'. Got input(s) ['S'], but missing \
         required input(s) ['A']. Please provide all required input(s)."
    );
}

proptest! {
    #[test]
    fn whatever_is_admitted_has_as_many_bytes_as_its_shape_and_type_say(
        shape in prop::collection::vec(prop_oneof![-2i64..10, Just(i64::MAX), Just(1i64 << 33)], 0..4),
        length in 0usize..64, others in -1i64..10,
    ) {
        let inputs = vec![given("A", "FP32", &shape, &vec![0; length]), given("S", "BYTES", &[others, 2], &[0; 16])];
        if let Ok(admitted) = admit(&spec(), InferRequest { inputs, ..InferRequest::default() }) {
            prop_assert!((1..=8).contains(&admitted.rows));
            let tensor = admitted.inputs[0].as_ref().unwrap();
            prop_assert_eq!(tensor.shape.clone(), Shape::new(&shape));
            prop_assert_eq!(tensor.shape.elements().unwrap() * 4, length);
        }
    }
}
