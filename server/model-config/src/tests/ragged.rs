use nerite_backend::{
    BatchInput, BatchInputKind, BatchInputType, BatchOutput, Code, Configuration, DType, Declaration, Ragged,
    Shape, Slots,
};

use super::{Repository, declaration, published, tensor};

/// A model that is told where the requests' elements of `x` end, and gives something for each request, and for each
/// element.
fn model() -> Declaration {
    declaration(
        &[tensor("ends", DType::I32, &[-1]), tensor("x", DType::F32, &[-1])],
        &[tensor("sums", DType::F32, &[-1, 1]), tensor("y", DType::F32, &[-1])],
    )
}

const X: &str = "input { name: \"x\" data_type: TYPE_FP32 dims: -1 allow_ragged_batch: true }";
const SUMS: &str = "output { name: \"sums\" data_type: TYPE_FP32 dims: 1 }";
const Y: &str = "output { name: \"y\" data_type: TYPE_FP32 dims: -1 }";
const CUT: &str =
    "batch_output { target_name: \"y\" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: \"x\" }";

fn ends(kind: &str, fields: &str) -> String {
    format!("batch_input {{ kind: {kind} {fields} }}")
}

const ENDS: &str = "target_name: \"ends\" data_type: TYPE_INT32 source_input: \"x\"";
const KIND: &str = "BATCH_ACCUMULATED_ELEMENT_COUNT";

#[track_caller]
fn refused(config: &str, model: &Declaration, expected: &str) {
    let error = Repository::configured(config).served(model).expect_err(config);
    assert_eq!((error.code, error.message.as_str()), (Code::InvalidArgument, expected), "{config}");
}

#[test]
fn a_ragged_model_is_served_with_what_its_engine_is_to_be_given() {
    let config = format!("max_batch_size: 4 {X} {SUMS} {Y} {CUT} {}", ends(KIND, ENDS));
    let spec = Repository::configured(&config).served(&model()).unwrap();
    let expected = Ragged {
        inputs: Slots::from_iter([1]),
        batch_inputs: vec![BatchInput {
            kind: BatchInputKind::AccumulatedElementCount,
            dtype: BatchInputType::Int32,
            source: 1,
            targets: vec![0],
        }],
        batch_outputs: vec![BatchOutput { target: 1, source: 1, shape: Shape::new(&[-1, -1]) }],
    };
    assert_eq!(*spec.ragged, expected);
    assert_eq!(spec.inputs.len(), 1, "callers do not send what is made");
}

#[test]
fn every_kind_of_batch_input_is_known() {
    for (kind, expected) in [
        ("BATCH_ELEMENT_COUNT", BatchInputKind::ElementCount),
        (KIND, BatchInputKind::AccumulatedElementCount),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", BatchInputKind::AccumulatedElementCountWithZero),
        ("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", BatchInputKind::MaxElementCountAsShape),
        ("BATCH_ITEM_SHAPE_FLATTEN", BatchInputKind::ItemShapeFlatten),
        ("BATCH_ITEM_SHAPE", BatchInputKind::ItemShape),
    ] {
        let mut model = model();
        if expected == BatchInputKind::ItemShape {
            model.inputs[0].shape = Shape::new(&[-1, 1]);
        }
        let config = format!("max_batch_size: 4 {X} {SUMS} {}", ends(kind, ENDS));
        let spec = Repository::configured(&config).served(&model).unwrap();
        assert_eq!(spec.ragged.batch_inputs[0].kind, expected);
    }
}

#[test]
fn what_is_made_of_a_batch_is_not_completed_as_something_that_callers_send() {
    let spec = Repository::configured(&format!("{X} {}", ends(KIND, ENDS))).served(&model()).unwrap();
    let completed = published(&spec);
    assert_eq!(spec.inputs.iter().map(|input| &*input.name).collect::<Vec<_>>(), ["x"]);
    assert_eq!(completed.max_batch_size, 4);
    assert!(spec.scheduling.dynamic_batching);
    let spec = Repository::configured(&ends(KIND, ENDS)).served(&model()).unwrap();
    assert_eq!(spec.inputs.iter().map(|input| &*input.name).collect::<Vec<_>>(), ["x"]);
    refused(
        &format!("{X} {CUT} {}", ends(KIND, ENDS)),
        &model(),
        "unknown target output name 'y' for m; list it in output, with the dims of one request's part",
    );
}

#[test]
fn a_contradictory_configuration_is_refused_in_tritons_words() {
    let base = format!("max_batch_size: 4 {X} {SUMS}");
    let full = format!("{base} {Y}");
    let table = [
        (
            format!("{base} {}", ends(KIND, "target_name: \"ends\" data_type: TYPE_INT32")),
            "batch input kind 'BATCH_ACCUMULATED_ELEMENT_COUNT' expects 1 source input, got 0 for m; give it one \
             source_input",
        ),
        (
            format!("{base} {}", ends(KIND, &format!("{ENDS} source_input: \"x\""))),
            "batch input kind 'BATCH_ACCUMULATED_ELEMENT_COUNT' expects 1 source input, got 2 for m; give it one \
             source_input",
        ),
        (
            format!(
                "{base} {}",
                ends(KIND, "target_name: \"ends\" data_type: TYPE_INT64 source_input: \"x\"")
            ),
            "batch input data type must be TYPE_INT32 or TYPE_FP32 for m; set the data_type of the batch_input for ends",
        ),
        (
            format!(
                "{base} {}",
                ends(KIND, "target_name: \"ends\" data_type: TYPE_INT32 source_input: \"q\"")
            ),
            "unknown source input name 'q' for m; correct the source_input, or list it in input",
        ),
        (
            format!("{full} batch_output {{ target_name: \"y\" }}"),
            "batch output kind 'BATCH_SCATTER_WITH_INPUT_SHAPE' expects 1 source input, got 0 for m; give it one \
             source_input",
        ),
        (
            format!("{full} batch_output {{ target_name: \"q\" source_input: \"x\" }}"),
            "unknown target output name 'q' for m; list it in output, with the dims of one request's part",
        ),
        (
            format!("{full} batch_output {{ target_name: [ \"y\", \"y\" ] source_input: \"x\" }}"),
            "target output name 'y' can only be specified once for m; leave one of them",
        ),
    ];
    for (config, expected) in &table {
        refused(config, &model(), expected);
    }
}

#[test]
fn a_configuration_that_does_not_fit_its_model_is_refused_with_what_does() {
    let base = format!("max_batch_size: 4 {X} {SUMS}");
    let mut rows = model();
    rows.inputs[1].shape = Shape::new(&[-1, -1]);
    refused(
        &format!("{base} {}", ends(KIND, ENDS)),
        &rows,
        "unable to load model 'm', configuration expects model provides input with shape [-1]  for ragged input 'x', \
         model provides [-1,-1]; remove its allow_ragged_batch, or export the model with one variable dimension for it",
    );
    refused(
        &base,
        &model(),
        "unable to load model 'm', configuration expects 1 inputs, model provides 2; those that the model requires \
         are: ends, x; configure each of them, and others as optional",
    );
    refused(
        &format!("max_batch_size: 0 {X} {SUMS} {}", ends(KIND, ENDS)),
        &model(),
        "unable to load model 'm', configuration asks for ragged batches of input 'x', but max_batch_size is 0 and \
         there are no batches; set max_batch_size, or remove it",
    );
    let table = [
        (
            ends(KIND, &ENDS.replace("ends", "starts")),
            "batch_input has the target 'starts', which is no input of the model; its inputs are: ends, x",
        ),
        (
            ends(KIND, &ENDS.replace("INT32", "FP32")),
            "batch_input gives input 'ends' the data_type TYPE_FP32, but the model's is TYPE_INT32; use that of the model",
        ),
        (
            ends("BATCH_ITEM_SHAPE", ENDS),
            "batch_input of kind BATCH_ITEM_SHAPE gives input 'ends' the shape [-1,1], but the model's is [-1]; use \
             another kind, or export the model with that shape",
        ),
        (
            format!("{0} {0}", ends(KIND, ENDS)),
            "input 'ends' is given by a batch_input and also by another or by callers; leave it in one place",
        ),
        (
            ends(KIND, &ENDS.replace("ends", "x")),
            "input 'x' is given by a batch_input and also by another or by callers; leave it in one place",
        ),
        (
            ends(KIND, "data_type: TYPE_INT32 source_input: \"x\""),
            "a batch_input has no target_name; name the model's input that is for it",
        ),
        (
            format!("{} {CUT} {}", ends(KIND, ENDS), Y.replace("dims: -1", "dims: [ 2, -1 ]")),
            "batch_output takes the variable dimensions of output 'y' from input 'x', which has no dimension 1 besides \
             that of the batch; give the output dims like those of the input, or another source_input",
        ),
    ];
    for (more, expected) in table {
        refused(&format!("{base} {more}"), &model(), &format!("unable to load model 'm', {expected}"));
    }
}

#[test]
fn a_backend_that_makes_batches_itself_is_only_given_requests_that_may_go_together() {
    let config = format!("backend: \"own\" max_batch_size: 4 {X} {SUMS} {Y} {CUT} {}", ends(KIND, ENDS));
    let own = Declaration {
        configuration: Configuration::AsWritten,
        ..declaration(
            &[tensor("x", DType::F32, &[-1, -1])],
            &[tensor("sums", DType::F32, &[-1, 1]), tensor("y", DType::F32, &[-1, -1])],
        )
    };
    let spec = Repository::configured(&config).served(&own).unwrap();
    assert_eq!(*spec.ragged, Ragged { inputs: Slots::from_iter([0]), ..Ragged::default() });
}
