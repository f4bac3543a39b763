//! The texts of refusals, word for word, and which of several faults is told.

use super::*;
use crate::mock::output;

/// Two inputs in batches of up to 8, of which `S` has strings, and an optional third.
fn spec() -> ModelSpec {
    let mut optional = input("O", DType::I32, &[1], 2);
    optional.optional = true;
    let inputs = vec![input("A", DType::F32, &[4], 0), input("S", DType::Bytes, &[1], 1), optional];
    ModelSpec { outputs: vec![output("OUT", DType::F32, &[4], 0)], ..model("M", 8, inputs) }
}

fn a(shape: &[i64], bytes: usize) -> InferInput {
    given("A", "FP32", shape, &vec![0; bytes])
}

fn s(rows: i64) -> InferInput {
    given("S", "BYTES", &[rows, 1], &vec![0; 4 * usize::try_from(rows).unwrap_or(0)])
}

#[track_caller]
fn refuses(inputs: Vec<InferInput>, outputs: &[&str], text: &str) {
    let outputs = outputs.iter().map(|&name| InferOutput { name: name.into() }).collect();
    let request = InferRequest { id: "7".into(), inputs, outputs, ..InferRequest::default() };
    let refusal = admit(&spec(), request).expect_err("the request is wrong");
    assert_eq!((refusal.code(), refusal.to_string().as_str()), (Code::InvalidArgument, text));
}

#[test]
fn every_fault_has_the_text_that_clients_match_on() {
    let id = "[request id: 7]";
    let between = format!("{id} expected number of inputs between 2 and 3 but got");
    let note = "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended \
                to each input shape. If you want to specify the full shape including the batch dim in your input dims \
                config, try setting max_batch_size to zero. See the model configuration docs for more info on \
                max_batch_size.";
    let unnamed = InferInput { data: None, ..s(1) };
    let string = |bytes: &[u8]| given("S", "BYTES", &[1, 1], bytes);
    let cases = [
        (
            vec![],
            format!(
                "{between} 0 inputs for model 'M'. Got input(s) [], but missing required input(s) ['A','S']. \
                          Please provide all required input(s)."
            ),
        ),
        (
            vec![s(1)],
            format!(
                "{between} 1 inputs for model 'M'. Got input(s) ['S'], but missing required input(s) \
                              ['A']. Please provide all required input(s)."
            ),
        ),
        (
            vec![a(&[1, 4], 16), given("X", "FP32", &[1], &[])],
            "unexpected inference input 'X' for model 'M'".into(),
        ),
        (vec![a(&[1, 4], 16), a(&[1, 4], 16)], format!("{id} input 'A' already exists in request")),
        (
            vec![a(&[1, 4], 16), unnamed],
            "unable to find data for input tensor 'S' for model 'M' in request.".into(),
        ),
        (
            vec![given("A", "INT32", &[1, 4], &[0; 16]), s(1)],
            format!("{id} inference input 'A' data-type is 'INT32', but model 'M' expects 'FP32'"),
        ),
        (
            vec![given("A", "no type", &[1, 4], &[0; 16]), s(1)],
            format!("{id} inference input 'A' data-type is 'no type', but model 'M' expects 'FP32'"),
        ),
        (
            vec![a(&[4], 16), s(4)],
            format!("{id} unexpected shape for input 'A' for model 'M'. Expected [-1,4], got [4]. {note}"),
        ),
        (
            vec![a(&[1, 5], 20), s(1)],
            format!("{id} unexpected shape for input 'A' for model 'M'. Expected [-1,4], got [1,5]. {note}"),
        ),
        (
            vec![a(&[1, -1], 16), s(1)],
            format!("{id} All input dimensions should be specified for input 'A' for model 'M', got [1,-1]"),
        ),
        (
            vec![a(&[], 4), s(1)],
            format!("{id} input 'A' has no shape but model requires batch dimension for 'M'"),
        ),
        (
            vec![a(&[2, 4], 32), s(1)],
            format!("{id} input 'S' batch size does not match other inputs for 'M'"),
        ),
        (vec![a(&[9, 4], 144), s(9)], format!("{id} inference request batch-size must be <= 8 for 'M'")),
        (
            vec![a(&[1 << 40, 4], 16), given("S", "BYTES", &[1 << 40, 1], &[])],
            format!("{id} inference request batch-size must be <= 8 for 'M'"),
        ),
        (
            vec![a(&[0, 4], 0), s(0)],
            format!("{id} inference request batch-size must be >= 1 for 'M', but that of input 'A' is 0"),
        ),
        (
            vec![a(&[-1, 4], 0), s(-1)],
            format!("{id} All input dimensions should be specified for input 'A' for model 'M', got [-1,4]"),
        ),
        (
            vec![a(&[2, 4], 40), s(2)],
            format!("{id} input byte size mismatch for input 'A' for model 'M'. Expected 32, got 40"),
        ),
        (
            vec![a(&[1, 4], 16), string(&[])],
            format!("{id} expected 1 string elements for inference input 'S' for model 'M', got 0"),
        ),
        (
            vec![a(&[1, 4], 16), string(&[0; 8])],
            format!(
                "{id} unexpected number of string elements 2 for inference input 'S' for model 'M', expecting 1"
            ),
        ),
        (
            vec![a(&[1, 4], 16), string(&[1, 0])],
            format!(
                "{id} incomplete string length indicator for inference input \
            'S' for model 'M', expecting 4 bytes but only 2 bytes available. Please make sure the string length \
            indicator is in one buffer."
            ),
        ),
        (
            vec![a(&[1, 4], 16), string(&[5, 0, 0, 0, 1])],
            format!(
                "{id} incomplete string data for inference input 'S' \
            for model 'M', expecting string of length 5 but only 1 bytes available"
            ),
        ),
    ];
    for (inputs, text) in cases {
        refuses(inputs, &[], &text);
    }
    let right = || vec![a(&[1, 4], 16), s(1)];
    refuses(right(), &["NONE"], "unexpected inference output 'NONE' for model 'M'");
    refuses(right(), &["OUT", "OUT"], "[request id: 7] output 'OUT' already exists in request");
}

#[test]
fn a_bool_that_is_neither_0_nor_1_is_refused_wherever_it_stands() {
    let spec = model("M", 0, vec![input("B", DType::Bool, &[-1], 0)]);
    let request = |bytes: &[u8]| InferRequest {
        id: "7".into(),
        inputs: vec![given("B", "BOOL", &[bytes.len() as i64], bytes)],
        ..InferRequest::default()
    };
    assert!(admit(&spec, request(&[0, 1].repeat(50))).is_ok());
    for (place, byte) in [(0, 2), (63, 0x80), (99, 0xff)] {
        let mut bytes = [1; 100];
        bytes[place] = byte;
        let refusal = admit(&spec, request(&bytes)).expect_err("the request is wrong");
        let text = format!(
            "[request id: 7] input 'B' for model 'M' has the byte {byte} at {place}, but a BOOL is 0 or 1"
        );
        assert_eq!((refusal.code(), refusal.to_string()), (Code::InvalidArgument, text));
    }
}

#[test]
fn an_optional_input_does_not_stand_in_for_a_required_one() {
    let o = || given("O", "INT32", &[1, 1], &[0; 4]);
    let text = "[request id: 7] expected number of inputs between 2 and 3 but got 2 inputs for model 'M'. Got input(s) \
                ['S','O'], but missing required input(s) ['A']. Please provide all required input(s).";
    refuses(vec![s(1), o()], &[], text);
    let wrong_too = given("A", "INT32", &[9], &[]);
    refuses(vec![wrong_too, o()], &[], &text.replace("['S','O']", "['A','O']").replace("['A'].", "['S']."));
    let unknown = given("X", "FP32", &[1], &[]);
    refuses(vec![o(), unknown], &[], "unexpected inference input 'X' for model 'M'");
}

#[test]
fn of_several_faults_the_first_in_the_order_of_checks_is_told() {
    let wrong = || given("A", "INT32", &[9, 5], &[0; 3]);
    refuses(vec![wrong()], &["NONE"], "unexpected inference output 'NONE' for model 'M'");
    let more = given("X", "FP32", &[1], &[]);
    refuses(vec![wrong(), more], &[], "unexpected inference input 'X' for model 'M'");
    refuses(vec![wrong(), s(9)], &[], "[request id: 7] inference request batch-size must be <= 8 for 'M'");
    let typed = given("A", "INT32", &[1, 5], &[0; 3]);
    let text = "[request id: 7] inference input 'A' data-type is 'INT32', but model 'M' expects 'FP32'";
    refuses(vec![typed, s(1)], &[], text);
}

#[test]
fn without_batching_a_wrong_shape_comes_without_the_note_and_a_huge_one_does_not_overflow() {
    let spec = model("M", 0, vec![input("A", DType::F32, &[-1, -1], 0)]);
    let refusal = |shape: &[i64]| {
        let request = InferRequest { inputs: vec![a(shape, 256)], ..InferRequest::default() };
        admit(&spec, request).expect_err("the request is wrong").to_string()
    };
    let id = "[request id: <id_unknown>]";
    let elements = ((1i64 << 32) + 1) * 64;
    assert_eq!(
        refusal(&[4]),
        format!("{id} unexpected shape for input 'A' for model 'M'. Expected [-1,-1], got [4].")
    );
    assert_eq!(
        refusal(&[(1 << 32) + 1, 64]),
        format!(
            "{id} input byte size mismatch for input 'A' for model 'M'. Expected {}, got 256",
            elements * 4
        )
    );
    for shape in [[1, 1 << 62], [i64::MAX, i64::MAX]] {
        let expected = "is more elements than can be counted";
        assert!(refusal(&shape).ends_with(expected), "{}", refusal(&shape));
    }
    assert!(refusal(&[-2, 4]).contains("All input dimensions should be specified"));
}
