use nerite_core::model::EnsemblePlan;

use super::*;

/// Two steps between an input `x` that may be left out and an output `y`.
const CHAIN: &str = r#"
    max_batch_size: 4
    input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] reshape { shape: [ 2, 2 ] } optional: true }
    output { name: "y" data_type: TYPE_INT32 dims: [ -1 ] label_filename: "labels.txt" }
    ensemble_scheduling {
        max_inflight_requests: 3
        step { model_name: "a" model_version: -1 input_map { key: "in" value: "x" } output_map { key: "out" value: "t" } }
        step { model_name: "b" model_version: 7 input_map { key: "in" value: "t" } output_map { key: "out" value: "y" } }
    }
"#;

fn chain(more: &str) -> Repository {
    let config = format!("{CHAIN}{more}");
    Repository::new(&[("m/config.pbtxt", &config), ("m/1/", ""), ("m/labels.txt", "no\nyes\n")])
}

#[test]
fn an_ensemble_is_planned_as_it_is_configured_and_its_platform_may_be_left_out() {
    let draft = chain("").read("m", Options::default()).unwrap();
    let plan: &EnsemblePlan = draft.plan().ensemble.as_ref().unwrap();
    assert_eq!((plan.max_batch_size, plan.max_inflight_requests), (4, 3));
    let steps: Vec<_> = plan.steps.iter().map(|step| (step.model.as_str(), step.version)).collect();
    assert_eq!(steps, [("a", None), ("b", Some(7))]);
    assert_eq!(
        (&plan.steps[0].inputs["in"], &plan.steps[1].outputs["out"]),
        (&"x".to_owned(), &"y".to_owned())
    );
    let tensors = [&plan.declaration.inputs[0], &plan.declaration.outputs[0]];
    assert_eq!(
        tensors.map(|tensor| (tensor.shape.to_string(), tensor.optional)),
        [("[-1,2,2]".to_owned(), true), ("[-1,-1]".to_owned(), false)]
    );
    assert!(draft.plan().instances.is_empty() && draft.plan().backend.is_empty());
}

#[test]
fn what_is_published_of_an_ensemble_says_what_its_steps_make_of_it_and_nothing_of_instances() {
    let repository = chain("");
    let draft = repository.read("m", Options::default()).unwrap();
    for decoupled in [false, true] {
        let spec = draft.compose(decoupled).unwrap();
        let published = ModelConfig::decode(spec.published.clone()).unwrap();
        assert_eq!((spec.platform.as_str(), spec.decoupled), ("ensemble", decoupled));
        assert_eq!(published.model_transaction_policy.map(|policy| policy.decoupled), Some(decoupled));
        assert!(published.instance_group.is_empty() && published.optimization.is_none());
        assert_eq!(spec.outputs[0].labels.as_deref(), Some(&["no".to_owned(), "yes".to_owned()][..]));
        assert_eq!(spec.inputs[0].reshape, Some(Shape::new(&[2, 2])));
    }
}

#[test]
fn what_has_no_place_in_an_ensemble_is_refused() {
    let table = [
        (
            "backend: \"onnxruntime\"",
            "ensemble scheduling cannot be set for model 'm' whose platform is not ensemble; ",
        ),
        ("instance_group { }", "instance group should not be specified for ensemble 'm'; "),
        ("optimization { }", "optimization should not be specified for ensemble 'm'; "),
        ("model_warmup { }", "model_warmup can not be specified for ensemble 'm'; "),
        (
            "parameters { key: \"nerite.max_queue_size\" value { string_value: \"4\" } }",
            "parameter 'nerite.max_queue_size' can not be specified for ensemble 'm', ",
        ),
    ];
    for (config, expected) in table {
        let message = chain(config).refusal().message;
        assert!(message.starts_with(expected), "{config}: {message}");
    }
    let version = Repository::new(&[
        ("m/config.pbtxt", &CHAIN.replace("model_version: 7", "model_version: -2")),
        ("m/1/", ""),
    ]);
    let message = version.refusal().message;
    assert!(message.starts_with("step of model 'b' of ensemble 'm' has model_version -2; "), "{message}");
}
