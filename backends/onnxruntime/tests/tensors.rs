//! What goes in comes out: element types, shapes, strings, and which outputs there are.

mod support;

use std::sync::Arc;
use std::thread;

use nerite_backend::{Code, DType, Shape, Slots, strings};
use support::onnx::{
    self, Graph, element, floats, identity, initializer, longs, node, pass_through, tensor_attribute,
};
use support::{assert_tensor, infer, infer_some, load, tensor};

const NUMBERS: [(DType, u64); 13] = [
    (DType::Bool, element::BOOL),
    (DType::U8, element::UINT8),
    (DType::U16, element::UINT16),
    (DType::U32, element::UINT32),
    (DType::U64, element::UINT64),
    (DType::I8, element::INT8),
    (DType::I16, element::INT16),
    (DType::I32, element::INT32),
    (DType::I64, element::INT64),
    (DType::F16, element::FLOAT16),
    (DType::BF16, element::BFLOAT16),
    (DType::F32, element::FLOAT),
    (DType::F64, element::DOUBLE),
];

fn wire(elements: &[&[u8]]) -> Vec<u8> {
    let mut wire = Vec::new();
    elements.iter().for_each(|element| strings::push(&mut wire, element));
    wire
}

#[test]
fn numbers_of_every_type_come_back_bit_for_bit_in_every_shape() {
    for (dtype, element) in NUMBERS {
        let size = dtype.size().unwrap();
        for (declared, actual) in [
            (&[-1, 3][..], &[2, 3][..]),
            (&[], &[]),
            (&[1], &[1]),
            (&[-1, -1, 2], &[3, 1, 2]),
            (&[-1, 4], &[0, 4]),
        ] {
            let model = load(&identity(element, declared));
            let input = &model.declaration().inputs[0];
            assert_eq!((input.name.as_str(), input.dtype, &input.shape[..]), ("x", dtype, declared));
            let elements = actual.iter().product::<i64>() as usize;
            let bytes: Vec<u8> = (0..elements * size)
                .map(|i| if dtype == DType::Bool { i as u8 % 2 } else { i as u8 * 37 })
                .collect();
            assert_tensor(
                infer(&model, vec![tensor(dtype, actual, bytes.clone())]),
                0,
                dtype,
                actual,
                &bytes,
            );
        }
    }
}

#[test]
fn an_extent_of_zero_may_be_declared() {
    let model = load(&identity(element::FLOAT, &[0, 3]));
    assert_eq!(model.declaration().outputs[0].shape, Shape::new(&[0, 3]));
    assert_tensor(infer(&model, vec![tensor(DType::F32, &[0, 3], [])]), 0, DType::F32, &[0, 3], &[]);
}

#[test]
fn strings_come_back_whole_with_nul_bytes_and_without_being_utf8() {
    let model = load(&identity(element::STRING, &[-1]));
    let long = vec![b'x'; 100_000];
    let bytes = wire(&[b"plain", b"", b"a\0b\0", &[0xff, 0xfe, 0x80], &long]);
    assert_tensor(
        infer(&model, vec![tensor(DType::Bytes, &[5], bytes.clone())]),
        0,
        DType::Bytes,
        &[5],
        &bytes,
    );
    assert_tensor(infer(&model, vec![tensor(DType::Bytes, &[0], [])]), 0, DType::Bytes, &[0], &[]);
    let scalar = load(&identity(element::STRING, &[]));
    let bytes = wire(&[b"\0"]);
    assert_tensor(
        infer(&scalar, vec![tensor(DType::Bytes, &[], bytes.clone())]),
        0,
        DType::Bytes,
        &[],
        &bytes,
    );
}

#[test]
fn many_strings_of_all_lengths_come_back_whole() {
    let model = load(&identity(element::STRING, &[-1]));
    let strings: Vec<Vec<u8>> = (0..5000).map(|i| vec![i as u8; i * 7 % 43]).collect();
    let bytes = wire(&strings.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let input = tensor(DType::Bytes, &[5000], bytes.clone());
    assert_tensor(infer(&model, vec![input]), 0, DType::Bytes, &[5000], &bytes);
}

#[test]
fn more_strings_than_a_tensor_may_have_are_refused() {
    let model = load(&identity(element::STRING, &[-1]));
    let count = (4 << 20) + 1;
    let input = tensor(DType::Bytes, &[count], vec![0; 4 * count as usize]);
    let error = infer(&model, vec![input]).unwrap_err();
    let text = "has 4194305 strings, and this engine takes at most 4194304 in one tensor";
    assert!(error.code == Code::InvalidArgument && error.message.ends_with(text), "{error}");
}

#[test]
fn bytes_that_do_not_fit_type_and_shape_are_refused() {
    let numbers = load(&identity(element::FLOAT, &[-1, 4]));
    let bools = load(&identity(element::BOOL, &[-1]));
    let strings = load(&identity(element::STRING, &[-1]));
    for (model, input, part) in [
        (&numbers, tensor(DType::F32, &[1, 4], [0; 15]), "does not fit its shape"),
        (&numbers, tensor(DType::F32, &[1 << 62, 4], [0; 16]), "no tensor can have"),
        (&numbers, tensor(DType::F32, &[-1, 4], [0; 16]), "no tensor can have"),
        (&bools, tensor(DType::Bool, &[4], [0, 1, 2, 3]), "has the byte 2 at 2, but a BOOL is 0 or 1"),
        (&strings, tensor(DType::Bytes, &[2], wire(&[b"a"])), "1 strings where its shape says 2"),
        (&strings, tensor(DType::Bytes, &[1], [9, 0, 0, 0, b'a']), "incomplete string data"),
        (&strings, tensor(DType::Bytes, &[1 << 20], []), "0 strings"),
    ] {
        let error = infer(model, vec![input]).unwrap_err();
        assert!(error.code == Code::InvalidArgument && error.message.contains(part), "{error}");
    }
}

#[test]
fn a_failing_run_gives_onnx_runtimes_own_message() {
    let model = load(&identity(element::FLOAT, &[-1, 4]));
    let error = infer(&model, vec![tensor(DType::F32, &[1, 5], [0; 20])]).unwrap_err();
    assert_eq!(error.code, Code::Internal);
    assert!(
        error.message.starts_with("onnx runtime error 2: Got invalid dimensions for input: x"),
        "{error}"
    );
    let error = infer(&model, vec![tensor(DType::I32, &[1, 4], [0; 16])]).unwrap_err();
    assert!(error.message.starts_with("onnx runtime error 2: Unexpected input data type"), "{error}");
    let error = infer(&model, vec![None]).unwrap_err();
    assert!(error.message.starts_with("onnx runtime error "), "{error}");
}

#[test]
fn a_model_without_inputs_gives_its_constant() {
    let constant = initializer("", element::INT64, &[2], &longs(&[7, -1]));
    let graph = Graph {
        nodes: vec![node("Constant", &[], &["y"], &[tensor_attribute("value", &constant)])],
        outputs: vec![onnx::tensor("y", element::INT64, &[2])],
        ..Graph::default()
    };
    let model = load(&graph.model());
    assert!(model.declaration().inputs.is_empty());
    let answer = infer(&model, vec![]);
    drop(model);
    // The output is memory of the session, which it keeps alive.
    assert_tensor(answer, 0, DType::I64, &[2], &longs(&[7, -1]));
}

#[test]
fn an_output_that_is_the_input_itself_outlives_the_request() {
    let model = load(&pass_through(element::FLOAT, &[2]));
    let input = tensor(DType::F32, &[2], floats(&[1.0, 2.0]));
    let memory = input.clone().unwrap();
    let output = infer(&model, vec![input]).unwrap().remove(&0).unwrap();
    let (given, taken) = (output.data.contiguous().unwrap(), memory.data.contiguous().unwrap());
    assert_eq!(given, taken);
    assert_ne!(given.as_ptr(), taken.as_ptr());
}

#[test]
fn only_wanted_outputs_are_given() {
    let graph = Graph {
        nodes: vec![
            node("Neg", &["x"], &["a"], &[]),
            node("Abs", &["x"], &["b"], &[]),
            node("Identity", &["x"], &["c"], &[]),
        ],
        inputs: vec![onnx::tensor("x", element::FLOAT, &[1])],
        outputs: ["a", "b", "c"].map(|name| onnx::tensor(name, element::FLOAT, &[1])).to_vec(),
        ..Graph::default()
    };
    let model = load(&graph.model());
    let names: Vec<&str> = model.declaration().outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let answer =
        infer_some(&model, vec![tensor(DType::F32, &[1], floats(&[-3.0]))], Slots::from_iter([1])).unwrap();
    assert_eq!(answer.keys().copied().collect::<Vec<_>>(), [1]);
    assert_tensor(Ok(answer), 1, DType::F32, &[1], &floats(&[3.0]));
}

#[test]
fn an_initializer_that_is_an_input_too_is_optional_and_comes_last() {
    let graph = Graph {
        nodes: vec![node("Mul", &["x", "scale"], &["y"], &[])],
        initializers: vec![initializer("scale", element::FLOAT, &[1], &floats(&[2.0]))],
        inputs: vec![onnx::tensor("scale", element::FLOAT, &[1]), onnx::tensor("x", element::FLOAT, &[-1])],
        outputs: vec![onnx::tensor("y", element::FLOAT, &[-1])],
    };
    let model = load(&graph.model());
    let inputs = model.declaration().inputs.iter().map(|input| (input.name.as_str(), input.optional));
    assert_eq!(inputs.collect::<Vec<_>>(), [("x", false), ("scale", true)]);
    let x = || tensor(DType::F32, &[2], floats(&[1.0, 5.0]));
    assert_tensor(infer(&model, vec![x(), None]), 0, DType::F32, &[2], &floats(&[2.0, 10.0]));
    let scale = tensor(DType::F32, &[1], floats(&[-1.0]));
    assert_tensor(infer(&model, vec![x(), scale]), 0, DType::F32, &[2], &floats(&[-1.0, -5.0]));
}

#[test]
fn instances_that_share_a_session_do_not_mix_their_answers() {
    let model = load(&identity(element::INT64, &[-1]));
    thread::scope(|scope| {
        for seed in 0..4 {
            let model = Arc::clone(&model);
            scope.spawn(move || {
                for round in 0..200 {
                    let bytes = longs(&[seed, round]);
                    assert_tensor(
                        infer(&model, vec![tensor(DType::I64, &[2], bytes.clone())]),
                        0,
                        DType::I64,
                        &[2],
                        &bytes,
                    );
                }
            });
        }
    });
}
