//! What is admitted, and what the engine gets of it.

use nerite_backend::Slots;

use super::*;
use crate::model::SlotCounts;

fn admitted(spec: &ModelSpec, inputs: Vec<InferInput>, outputs: &[&str]) -> Admitted {
    let outputs = outputs.iter().map(|&name| InferOutput { name: name.into() }).collect();
    admit(spec, InferRequest { id: "7".into(), inputs, outputs, ..InferRequest::default() })
        .expect("the request is right")
}

/// The shape in which the engine gets the one input of a model.
fn shape_for_engine(spec: &ModelSpec, shape: &[i64], bytes: usize) -> Vec<i64> {
    let request = admitted(spec, vec![given("X", "UINT8", shape, &vec![0; bytes])], &[]);
    request.inputs[0].as_ref().unwrap().shape.to_vec()
}

fn one_input(max_batch_size: u32, dims: &[i64]) -> ModelSpec {
    model("M", max_batch_size, vec![input("X", DType::U8, dims, 0)])
}

#[test]
fn a_scalar_may_come_as_no_dimensions_or_as_one() {
    let spec = one_input(0, &[]);
    assert_eq!(shape_for_engine(&spec, &[], 1), [] as [i64; 0]);
    assert_eq!(shape_for_engine(&spec, &[1], 1), [] as [i64; 0]);
    let two = InferRequest { inputs: vec![given("X", "UINT8", &[2], &[0; 2])], ..InferRequest::default() };
    assert!(admit(&spec, two).is_err());
}

#[test]
fn a_dimension_of_zero_is_legal_and_has_no_bytes() {
    assert_eq!(shape_for_engine(&one_input(0, &[0, 3]), &[0, 3], 0), [0, 3]);
    assert_eq!(shape_for_engine(&one_input(0, &[-1]), &[0], 0), [0]);
    assert_eq!(shape_for_engine(&one_input(8, &[-1]), &[2, 0], 0), [2, 0]);
}

#[test]
fn a_reshape_changes_what_the_engine_gets_and_leaves_the_batch_dimension() {
    let mut spec = one_input(8, &[1]);
    spec.inputs[0].reshape = Some(Shape::default());
    assert_eq!(shape_for_engine(&spec, &[3, 1], 3), [3]);
    let mut spec = one_input(0, &[-1, 4]);
    spec.inputs[0].reshape = Some(Shape::new(&[2, 2, -1]));
    assert_eq!(shape_for_engine(&spec, &[5, 4], 20), [2, 2, 5]);
}

#[test]
fn inputs_and_outputs_go_to_the_slots_of_the_engine_whatever_their_order() {
    let mut spec = model("M", 8, vec![input("A", DType::U8, &[1], 2), input("B", DType::U8, &[1], 0)]);
    spec.slots = SlotCounts { inputs: 3, outputs: 3 };
    spec.inputs[0].optional = true;
    let row = |name, value| given(name, "UINT8", &[1, 1], &[value]);
    let bytes = |request: &Admitted| -> Vec<Option<u8>> {
        let tensors = request.inputs.iter();
        tensors.map(|tensor| tensor.as_ref().map(|tensor| tensor.data.contiguous().unwrap()[0])).collect()
    };
    let both = admitted(&spec, vec![row("B", 5), row("A", 6)], &[]);
    assert_eq!((bytes(&both), both.rows, both.meta.id.as_str()), (vec![Some(5), None, Some(6)], 1, "7"));
    assert_eq!(both.wanted, [0, 2].into_iter().collect::<Slots>());
    let one = admitted(&spec, vec![row("B", 5)], &["A_OUT"]);
    assert_eq!(bytes(&one), [Some(5), None, None]);
    assert_eq!(one.wanted, [2].into_iter().collect::<Slots>());
}
