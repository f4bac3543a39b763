use nerite_backend::{Code, DType, Declaration, Shape};
use proptest::prelude::*;

use super::{Repository, declaration, tensor, x_to_y};

#[track_caller]
fn disagrees(config: &str, model: &Declaration, expected: &str) {
    let error = Repository::configured(config).served(model).expect_err(config);
    assert_eq!((error.code, error.message.as_str()), (Code::InvalidArgument, expected), "{config}");
}

const Y: &str = "output { name: \"y\" data_type: TYPE_FP32 dims: 3 }";

fn x(dims: &str) -> String {
    format!("input {{ name: \"x\" data_type: TYPE_FP32 dims: {dims} }}")
}

fn y(dims: &str) -> String {
    format!("output {{ name: \"y\" data_type: TYPE_FP32 dims: {dims} }}")
}

#[test]
fn every_input_is_configured_and_only_what_the_model_has() {
    let model = declaration(
        &[tensor("x", DType::F32, &[2]), tensor("a", DType::I64, &[2])],
        &[tensor("y", DType::F32, &[3]), tensor("b", DType::F32, &[3])],
    );
    let (x, a) = (x("2"), "input { name: \"a\" data_type: TYPE_INT64 dims: 2 }");
    disagrees(
        &format!("{x} {Y}"),
        &model,
        "unable to load model 'm', configuration expects 1 inputs, model provides 2; those that the model requires \
         are: a, x; configure each of them, and others as optional",
    );
    disagrees(
        &format!("{x} {Y} input {{ name: \"q\" data_type: TYPE_INT64 dims: 2 }}"),
        &model,
        "unexpected inference input 'q', allowed inputs are: a, x; correct its name in the configuration of model \
         'm', or remove it",
    );
    disagrees(
        &format!("{x} {a} output {{ name: \"q\" data_type: TYPE_FP32 dims: 3 }}"),
        &model,
        "unexpected inference output 'q', allowed outputs are: b, y; correct its name in the configuration of model \
         'm', or remove it",
    );
    let spec = Repository::configured(&format!("{a} {x} {Y}")).served(&model).unwrap();
    assert_eq!(
        spec.inputs.iter().map(|input| (&*input.name, input.slot)).collect::<Vec<_>>(),
        [("a", 1), ("x", 0)]
    );
    assert_eq!(
        spec.outputs.iter().map(|output| (&*output.name, output.slot)).collect::<Vec<_>>(),
        [("y", 0)]
    );
}

#[test]
fn element_types_are_the_models() {
    let model = x_to_y(&[2], &[3]);
    disagrees(
        &format!("input {{ name: \"x\" data_type: TYPE_INT8 dims: 2 }} {Y}"),
        &model,
        "unable to load model 'm', configuration expects datatype TYPE_INT8 for input 'x', model provides TYPE_FP32; \
         set its data_type to TYPE_FP32",
    );
    disagrees(
        &format!("{} output {{ name: \"y\" data_type: TYPE_STRING dims: 3 }}", x("2")),
        &model,
        "unable to load model 'm', configuration expects datatype TYPE_STRING for output 'y', model provides \
         TYPE_FP32; set its data_type to TYPE_FP32",
    );
}

#[test]
fn shapes_are_the_models() {
    disagrees(
        &format!("max_batch_size: 8 {} {Y}", x("[ 16, 1 ]")),
        &x_to_y(&[-1, 16], &[-1, 3]),
        "model 'm', tensor 'x': the model expects 2 dimensions (shape [-1,16]) but the model configuration specifies 3 \
         dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, \
         making complete shape [-1,16,1]); set its dims to [16]",
    );
    disagrees(
        &format!("{} {Y}", x("[ 2, 2 ]")),
        &x_to_y(&[2], &[3]),
        "model 'm', tensor 'x': the model expects 1 dimensions (shape [2]) but the model configuration specifies 2 \
         dimensions (shape [2,2]); set its dims to [2]",
    );
    disagrees(
        &format!("max_batch_size: 8 {} {Y}", x("2")),
        &x_to_y(&[1, 2], &[1, 3]),
        "model 'm', tensor 'x': for the model to support batching the shape should have at least 1 dimension and the \
         first dimension must be -1; but shape expected by the model is [1,2]; set max_batch_size to 0 and give whole \
         shapes in dims, or export the model with a variable first dimension",
    );
    disagrees(
        &format!("max_batch_size: 8 {} {Y}", x("1")),
        &x_to_y(&[], &[]),
        "model 'm', tensor 'x': for the model to support batching the shape should have at least 1 dimension and the \
         first dimension must be -1; but shape expected by the model is []; set max_batch_size to 0 and give whole \
         shapes in dims, or export the model with a variable first dimension",
    );
    disagrees(
        &format!("{} {Y}", x("2")),
        &x_to_y(&[], &[3]),
        "unable to load model 'm', scalar tensor 'x', should only provide 1 in the model configuration when the model \
         doesn't support batching. Model configuration provided: [2]. Set its dims to [1].",
    );
}

#[test]
fn a_configuration_may_fix_what_the_model_leaves_open_in_inputs_alone() {
    let model = x_to_y(&[-1, -1], &[-1, -1]);
    assert!(
        Repository::configured(&format!("{} {}", x("[ 5, -1 ]"), y("[ -1, -1 ]"))).served(&model).is_ok()
    );
    disagrees(
        &format!("{} {}", x("[ -1, -1 ]"), y("[ 5, -1 ]")),
        &model,
        "model 'm', tensor 'y': the model expects 2 dimensions (shape [-1,-1]) but the model configuration specifies 2 \
         dimensions (shape [5,-1]); set its dims to [-1,-1]",
    );
    disagrees(
        &format!("{} {}", x("[ -1, 2 ]"), y("3")),
        &x_to_y(&[4, 2], &[3]),
        "model 'm', tensor 'x': the model expects 2 dimensions (shape [4,2]) but the model configuration specifies 2 \
         dimensions (shape [-1,2]); set its dims to [4,2]",
    );
}

#[test]
fn a_reshape_is_what_the_model_is_compared_with() {
    let config = format!(
        "max_batch_size: 2 input {{ name: \"x\" data_type: TYPE_FP32 dims: 4 reshape {{ shape: [ 2, 2 ] }} }} {Y}"
    );
    let spec = Repository::configured(&config).served(&x_to_y(&[-1, 2, 2], &[-1, 3])).unwrap();
    assert_eq!(
        (spec.inputs[0].dims.clone(), spec.inputs[0].reshape.clone()),
        (Shape::new(&[4]), Some(Shape::new(&[2, 2])))
    );
    disagrees(
        &config,
        &x_to_y(&[-1, 4], &[-1, 3]),
        "model 'm', tensor 'x': the model expects 2 dimensions (shape [-1,4]) but the model configuration specifies 3 \
         dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, \
         making complete shape [-1,2,2]); set the shape of its reshape to [4]",
    );
    disagrees(
        &config,
        &x_to_y(&[-1], &[-1, 3]),
        "model 'm', tensor 'x': the model expects 1 dimensions (shape [-1]) but the model configuration specifies 3 \
         dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, \
         making complete shape [-1,2,2]); set its dims to [1] and give it an empty reshape",
    );
}

#[test]
fn a_scalar_that_is_configured_as_one_element_is_a_scalar_to_the_engine() {
    let table = [
        ("[ ]", "", None),
        ("1", "", Some(Shape::default())),
        ("[ 1, 1 ]", "", Some(Shape::default())),
        ("1", "reshape { }", Some(Shape::default())),
    ];
    for (dims, reshape, expected) in table {
        let config = format!("input {{ name: \"x\" data_type: TYPE_FP32 dims: {dims} {reshape} }} {Y}");
        let spec = Repository::configured(&config).served(&x_to_y(&[], &[3])).unwrap();
        assert_eq!(spec.inputs[0].reshape, expected, "{config}");
    }
}

#[test]
fn an_optional_input_is_served_if_it_is_configured() {
    let mut model = x_to_y(&[2], &[3]);
    let mut optional = tensor("o", DType::F32, &[2]);
    optional.optional = true;
    model.inputs.push(optional);
    let o = "input { name: \"o\" data_type: TYPE_FP32 dims: 2 optional: true }";
    let spec = Repository::configured(&format!("{o} {} {Y}", x("2"))).served(&model).unwrap();
    assert_eq!(spec.required_inputs(), 1);
    assert!(Repository::configured(&format!("{} {Y}", x("2"))).served(&model).is_ok());
    disagrees(
        &format!("{} {} {Y}", o.replace(" optional: true", ""), x("2")),
        &model,
        "unable to load model 'm', configuration expects 2 inputs, model provides 1; those that the model requires \
         are: x; configure each of them, and others as optional",
    );
    disagrees(
        &format!("max_batch_size: 2 {o} {} {Y}", x("2")),
        &model,
        "unable to load model 'm', optional input 'o' is not supported for models that support batching; leave it out \
         of the configuration, or set max_batch_size to 0",
    );
}

#[test]
fn an_input_that_the_model_requires_is_not_made_optional_by_its_configuration() {
    let mut model = x_to_y(&[2], &[3]);
    let mut optional = tensor("o", DType::F32, &[2]);
    optional.optional = true;
    model.inputs.push(optional);
    let x = "input { name: \"x\" data_type: TYPE_FP32 dims: 2 optional: true }";
    let o = "input { name: \"o\" data_type: TYPE_FP32 dims: 2 }";
    let refused = "unable to load model 'm', configuration says that input 'x' is optional, but the model requires it; \
                   remove its optional";
    // The number of required inputs is right in the second.
    disagrees(&format!("{x} {Y}"), &model, refused);
    disagrees(&format!("{x} {o} {Y}"), &model, refused);
}

#[test]
fn a_decoupled_model_says_so() {
    let config = "model_transaction_policy { decoupled: true }";
    assert!(Repository::configured(config).served(&x_to_y(&[2], &[3])).unwrap().decoupled);
}

fn dims() -> impl Strategy<Value = Vec<i64>> {
    proptest::collection::vec(prop_oneof![-2i64..4, any::<i64>()], 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn no_configuration_and_no_model_make_completion_panic(
        size in -1i32..3, x in dims(), y in dims(), configured in dims(), reshape in dims(), with_output in any::<bool>()
    ) {
        let list = |dims: &[i64]| format!("{dims:?}");
        let output = if with_output { y_of(&configured) } else { String::new() };
        let config = format!(
            "max_batch_size: {size} input {{ name: \"x\" data_type: TYPE_FP32 dims: {} reshape {{ shape: {} }} }} {output}",
            list(&configured), list(&reshape),
        );
        let _ = Repository::configured(&config).served(&x_to_y(&x, &y));
        if let Ok(spec) = Repository::configured("").served(&x_to_y(&x, &y)) {
            prop_assert_eq!(spec.inputs[0].dims.len(), spec.full_shape(&spec.inputs[0].dims).len() - usize::from(spec.batching()));
        }
    }
}

fn y_of(dims: &[i64]) -> String {
    y(&format!("{dims:?}"))
}
