use nerite_backend::{DType, Declaration, Shape};
use nerite_proto::inference::ModelConfig;
use nerite_proto::inference::model_config::SchedulingChoice;

use super::{Repository, declaration, published, strict, tensor, x_to_y};
use crate::Options;

/// What the completed configuration says of batching, inputs and outputs, as a configuration.
#[track_caller]
fn completes(config: &str, model: &Declaration, expected: &str) {
    let spec =
        Repository::configured(config).served(model).unwrap_or_else(|error| panic!("{config}: {error}"));
    let published = published(&spec);
    let relevant = ModelConfig {
        max_batch_size: published.max_batch_size,
        input: published.input,
        output: published.output,
        scheduling_choice: published.scheduling_choice,
        ..Default::default()
    };
    assert_eq!(Ok(relevant), crate::parse_model_config(expected, "expected"), "{config}");
    assert_eq!(spec.max_batch_size, published.max_batch_size.unsigned_abs());
    let dynamic = matches!(published_scheduling(&spec), Some(SchedulingChoice::DynamicBatching(_)));
    assert_eq!(spec.scheduling.dynamic_batching, dynamic && spec.max_batch_size > 0);
}

fn published_scheduling(spec: &nerite_core::model::ModelSpec) -> Option<SchedulingChoice> {
    published(spec).scheduling_choice
}

const X: &str = "input { name: \"x\" data_type: TYPE_FP32 dims: 2 }";
const Y: &str = "output { name: \"y\" data_type: TYPE_FP32 dims: 3 }";

#[test]
fn a_model_that_can_batch_gets_a_size_and_dynamic_batching() {
    let model = x_to_y(&[-1, 2], &[-1, 3]);
    completes(
        "",
        &model,
        &format!("max_batch_size: 4 dynamic_batching {{ preferred_batch_size: 4 }} {X} {Y}"),
    );
    completes(
        "max_batch_size: 16",
        &model,
        &format!("max_batch_size: 16 dynamic_batching {{ preferred_batch_size: 16 }} {X} {Y}"),
    );
    completes("max_batch_size: 1", &model, &format!("max_batch_size: 1 {X} {Y}"));
    completes(
        "max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 7 }",
        &model,
        &format!(
            "max_batch_size: 8 dynamic_batching {{ max_queue_delay_microseconds: 7 preferred_batch_size: 8 }} {X} {Y}"
        ),
    );
}

#[test]
fn the_default_size_of_a_batch_is_an_option() {
    for (default, size) in [(0, 0), (1, 1), (32, 32)] {
        let options = Options { default_max_batch_size: default, ..Options::default() };
        let draft = Repository::configured("").read("m", options).unwrap();
        let spec = draft.complete(&x_to_y(&[-1, 2], &[-1, 3])).unwrap();
        assert_eq!((spec.max_batch_size, spec.scheduling.dynamic_batching), (size, size > 1));
        let dims: &[i64] = if size == 0 { &[-1, 2] } else { &[2] };
        assert_eq!(spec.inputs[0].dims[..], *dims);
    }
}

#[test]
fn only_the_missing_side_is_filled() {
    let model = declaration(
        &[tensor("x", DType::F32, &[-1, 2])],
        &[tensor("y", DType::F32, &[-1, 3]), tensor("z", DType::Bytes, &[-1])],
    );
    let batching = "max_batch_size: 4 dynamic_batching { preferred_batch_size: 4 }";
    completes(Y, &model, &format!("{batching} {X} {Y}"));
    let z = "output { name: \"z\" data_type: TYPE_STRING dims: 1 reshape { } }";
    completes(X, &model, &format!("{batching} {X} {Y} {z}"));
}

#[test]
fn a_configuration_with_inputs_and_outputs_is_left_alone() {
    let whole = "input { name: \"x\" data_type: TYPE_FP32 dims: [ -1, 2 ] }
                 output { name: \"y\" data_type: TYPE_FP32 dims: [ -1, 3 ] }";
    completes(whole, &x_to_y(&[-1, 2], &[-1, 3]), whole);
    let batched = format!("max_batch_size: 8 {X} {Y}");
    completes(&batched, &x_to_y(&[-1, 2], &[-1, 3]), &batched);
}

#[test]
fn rows_without_dimensions_are_one_element_to_callers() {
    let model = declaration(&[tensor("x", DType::I64, &[-1])], &[tensor("y", DType::Bool, &[-1, -1])]);
    completes(
        "max_batch_size: 1",
        &model,
        "max_batch_size: 1 input { name: \"x\" data_type: TYPE_INT64 dims: 1 reshape { } }
         output { name: \"y\" data_type: TYPE_BOOL dims: -1 }",
    );
    let spec = Repository::configured("").served(&model).unwrap();
    assert_eq!(spec.inputs[0].dims, Shape::new(&[1]));
    assert_eq!(spec.inputs[0].reshape, Some(Shape::default()));
    assert_eq!(spec.outputs[0].reshape, None);
}

#[test]
fn scalars_and_empty_tensors_stay_what_they_are_without_batching() {
    let model = x_to_y(&[], &[0, 3]);
    completes(
        "",
        &model,
        "input { name: \"x\" data_type: TYPE_FP32 } output { name: \"y\" data_type: TYPE_FP32 dims: [ 0, 3 ] }",
    );
    let spec = Repository::configured("").served(&model).unwrap();
    assert_eq!((spec.inputs[0].dims.clone(), spec.inputs[0].reshape.clone()), (Shape::default(), None));
}

#[test]
fn a_model_that_cannot_batch_is_served_without() {
    for model in [
        x_to_y(&[1, 2], &[-1, 3]),
        x_to_y(&[-1, 2], &[3]),
        x_to_y(&[], &[-1]),
        x_to_y(&[-1, 0], &[-1]),
        declaration(&[], &[tensor("y", DType::F32, &[-1, 3])]),
    ] {
        let spec = Repository::configured("").served(&model).unwrap();
        assert_eq!((spec.max_batch_size, spec.scheduling.dynamic_batching), (0, false), "{model:?}");
        assert_eq!(spec.outputs[0].dims, model.outputs[0].shape, "{model:?}");
        let error = Repository::configured("max_batch_size: 2").served(&model).unwrap_err();
        assert_eq!(
            error.message,
            "autofill failed for model 'm': model does not support batching while non-zero max_batch_size is \
             specified; set max_batch_size to 0, or export the model with a variable first dimension of every input \
             and output"
        );
    }
}

#[test]
fn optional_inputs_are_not_filled_in() {
    let mut optional = tensor("o", DType::F32, &[2]);
    optional.optional = true;
    let model = declaration(&[optional, tensor("x", DType::F32, &[2])], &[tensor("y", DType::F32, &[3])]);
    let spec = Repository::configured("").served(&model).unwrap();
    assert_eq!(spec.inputs.iter().map(|input| (&*input.name, input.slot)).collect::<Vec<_>>(), [("x", 1)]);
    assert_eq!((spec.slots.inputs, spec.slots.outputs), (2, 1));
}

#[test]
fn nothing_is_filled_in_when_auto_completion_is_disabled() {
    let repository = Repository::configured("max_batch_size: 8");
    let error = repository.read("m", strict()).unwrap().complete(&x_to_y(&[-1, 2], &[-1, 3])).unwrap_err();
    assert_eq!(
        error.message,
        "unable to load model 'm', configuration expects 0 inputs, model provides 1; those that the model requires \
         are: x; configure each of them, and others as optional"
    );
    let repository = Repository::configured("max_batch_size: 8 input { name: \"x\" data_type: TYPE_FP32 }");
    let error = repository.read("m", strict()).err().unwrap();
    assert_eq!(
        error.message,
        "model input 'x' must specify 'dims' for m; give its shape without the batch dimension, or dims [1] with an \
         empty reshape where nothing is left"
    );
}

#[test]
fn every_element_type_has_its_name_in_a_completed_configuration() {
    for dtype in DType::ALL {
        let model = declaration(&[tensor("x", dtype, &[2])], &[tensor("y", dtype, &[2])]);
        let spec = Repository::configured("").served(&model).unwrap();
        assert_eq!((spec.inputs[0].dtype, spec.outputs[0].dtype), (dtype, dtype));
        assert_eq!(published(&spec).input[0].data_type().as_str_name(), dtype.config_name());
    }
}
