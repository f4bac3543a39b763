use nerite_backend::Code;

use super::{Repository, x_to_y};

#[track_caller]
fn refused(table: &[(&str, &str)]) {
    for (config, expected) in table {
        let error = Repository::configured(config).refusal();
        assert_eq!((error.code, error.message.as_str()), (Code::InvalidArgument, *expected), "{config}");
    }
}

#[test]
fn a_configuration_is_for_its_directory_and_one_backend() {
    refused(&[
        (
            "name: \"n\"",
            "unexpected directory name 'm' for model 'n', directory name must equal model name; rename the directory, \
             or set name to 'm' or leave it out",
        ),
        (
            "platform: \"nothing\"",
            "unexpected platform type 'nothing' for m; set backend to the engine's name instead, for instance \
             backend: \"onnxruntime\"",
        ),
        (
            "platform: \"tensorrt_plan\" backend: \"onnxruntime\"",
            "unexpected 'platform' and 'backend' pair, got:tensorrt_plan, onnxruntime for m; set platform to \
             onnxruntime_onnx, or leave one of the two out",
        ),
        (
            "max_batch_size: -1",
            "'max_batch_size' must be non-negative value for m; use 0 for a model without batching",
        ),
    ]);
    let error =
        Repository::configured("default_model_filename: \"../../model.onnx\" backend: \"b\"").refusal();
    assert_eq!(error.code, Code::Unsupported);
    assert_eq!(
        error.message,
        "model file path '../../model.onnx' in model 'm' is outside the version's directory; put the file there, and \
         set default_model_filename to its path from there"
    );
}

#[test]
fn a_models_file_that_no_file_system_has_is_refused() {
    let error = Repository::configured("default_model_filename: \"mo\\000del\" backend: \"b\"").refusal();
    assert_eq!(
        error.message,
        "model file path \"mo\\0del\" in model 'm' cannot be served: no file's name has a NUL; set \
         default_model_filename to the name of the file that is there"
    );
}

#[test]
fn a_models_file_whose_changes_would_not_be_seen_is_refused() {
    for filename in [".model.onnx", "./.a/model.onnx", "a/.model.onnx"] {
        let error = Repository::configured(&format!("default_model_filename: \"{filename}\" backend: \"b\""))
            .refusal();
        assert_eq!(error.code, Code::InvalidArgument);
        assert_eq!(
            error.message,
            format!(
                "model file path '{filename}' in model 'm' cannot be served: what has a name that begins with a dot is \
                 passed over when the server looks for changes; rename it, and set default_model_filename to the new path"
            )
        );
    }
}

#[test]
fn dynamic_batching_is_consistent() {
    refused(&[
        (
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: 8 }",
            "dynamic batching preferred size must be <= max batch size for m; remove 8 from preferred_batch_size, or \
             raise max_batch_size, which is 4",
        ),
        (
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 4, 0 ] }",
            "dynamic batching preferred size must be positive for m; remove 0 from preferred_batch_size",
        ),
        (
            "dynamic_batching { priority_levels: 2 }",
            "default priority level must be in range [1, 2] for m; set default_priority_level to one of these",
        ),
        (
            "dynamic_batching { priority_levels: 2 default_priority_level: 3 }",
            "default priority level must be in range [1, 2] for m; set default_priority_level to one of these",
        ),
        (
            "dynamic_batching { priority_levels: 2 default_priority_level: 1
             priority_queue_policy { key: 3 value { } } }",
            "priority queue policy must have priority level in range [1, 2] for m; remove the policy of level 3 from \
             priority_queue_policy, or change priority_levels",
        ),
        (
            "dynamic_batching { priority_levels: 2 default_priority_level: 1 preserve_ordering: true }",
            "Only one priority level is allowed when 'preserve_ordering' is true for m; remove preserve_ordering or \
             priority_levels",
        ),
        (
            "dynamic_batching { preserve_ordering: true
             default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 1 } }",
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m; use the \
             timeout_action REJECT, or remove preserve_ordering",
        ),
        (
            "response_cache { enable: true } model_transaction_policy { decoupled: true }",
            "Response Cache does not currently support model m with 'decoupled' transaction policy. Please disable the \
             response cache.",
        ),
    ]);
}

#[test]
fn instances_run_where_this_build_can_run_them() {
    refused(&[
        (
            "instance_group { kind: KIND_GPU }",
            "instance group m_0 of model m has kind KIND_GPU but server does not support GPUs: there is no GPU support \
             in this build; use KIND_CPU or KIND_AUTO",
        ),
        (
            "instance_group { kind: KIND_CPU gpus: 0 }",
            "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs; remove its gpus",
        ),
        (
            "instance_group { kind: KIND_MODEL gpus: 0 }",
            "instance group m_0 of model m has kind KIND_MODEL but specifies one or more GPUs; remove its gpus",
        ),
        (
            "instance_group { kind: 7 }",
            "instance group m_0 of model m has the unknown kind 7; use KIND_AUTO or KIND_CPU",
        ),
        (
            "instance_group { profile: \"0\" }",
            "instance group m_0 of model m and platform onnxruntime_onnx specifies profile field which is only \
             supported for TensorRT models; remove its profile",
        ),
        (
            "instance_group { count: 1000000 }",
            "instance group m_0 of model m has count 1000000, which must be <= 4096; lower its count",
        ),
    ]);
}

#[test]
fn inputs_and_outputs_are_sound() {
    let x = "name: \"x\" data_type: TYPE_FP32";
    let table = [
        ("0", "", "model input must specify 'name' for m; give the name that it has in the model"),
        (
            "0",
            "name: \"x\"",
            "model input 'x' must specify 'data_type' for m; give the type that it has in the model, for instance \
             TYPE_FP32",
        ),
        (
            "0",
            "name: \"x\" data_type: 99 dims: 1",
            "model input 'x' must specify 'data_type' for m; give the type that it has in the model, for instance \
             TYPE_FP32",
        ),
        (
            "1",
            x,
            "model input 'x' must specify 'dims' for m; give its shape without the batch dimension, or dims [1] with \
             an empty reshape where nothing is left",
        ),
        (
            "1",
            &format!("{x} dims: [ 2, 0 ]"),
            "model input 'x' dimension must be integer >= 1, or -1 to indicate a variable-size dimension for m; \
             change 0 in its dims",
        ),
        (
            "0",
            &format!("{x} dims: -2"),
            "model input 'x' dimension must be integer >= 0, or -1 to indicate a variable-size dimension for m; \
             change -2 in its dims",
        ),
        (
            "1",
            &format!("{x} dims: 1 reshape {{ shape: 0 }}"),
            "model input 'x' reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension for \
             m; change 0 in its reshape",
        ),
        (
            "1",
            &format!("{x} dims: 4 reshape {{ shape: [ 2, 3 ] }}"),
            "model input 'x' has different size for dims and reshape for m; a reshape keeps the number of elements \
             before, between and after variable dimensions: change dims [4] or reshape [2,3]",
        ),
        (
            "1",
            &format!("{x} dims: [ -1, 2, -1 ] reshape {{ shape: [ -1, 2 ] }}"),
            "model input 'x' has different number of variable-size dimensions for dims and reshape for m; a reshape \
             keeps the number of elements before, between and after variable dimensions: change dims [-1,2,-1] or \
             reshape [-1,2]",
        ),
        (
            "1",
            &format!("{x} dims: [ 3, 4 ] format: FORMAT_NHWC"),
            "model input NHWC/NCHW require 3 dims for m; remove the format of input 'x', or give it 3 dims",
        ),
        (
            "1",
            &format!("{x} dims: 1 is_shape_tensor: true"),
            "shape tensors are only supported for TensorRT platform for m; remove is_shape_tensor of 'x'",
        ),
        (
            "1",
            &format!("{x} dims: 1 is_non_linear_format_io: true"),
            "Non-linear IO format is only supported for the TensorRT platform for m; remove is_non_linear_format_io \
             of 'x'",
        ),
    ];
    let y = "output { name: \"y\" data_type: TYPE_FP32 dims: 1 }";
    for (size, input, expected) in table {
        refused(&[(&format!("max_batch_size: {size} input {{ {input} }} {y}"), expected)]);
    }
    let good = format!("input {{ {x} dims: 1 }}");
    refused(&[
        (
            &format!("{good} {good} {y}"),
            "model input 'x' is specified more than once for m; leave one of them, or correct its name",
        ),
        (
            &format!("{good} {y} {y}"),
            "model output 'y' is specified more than once for m; leave one of them, or correct its name",
        ),
        (
            &format!("{good} output {{ {x} dims: -3 }}"),
            "model output 'x' dimension must be integer >= 0, or -1 to indicate a variable-size dimension for m; \
             change -3 in its dims",
        ),
    ]);
}

#[test]
fn priority_levels_are_not_without_end() {
    let config = "max_batch_size: 4 dynamic_batching { priority_levels: 5000 default_priority_level: 1 }";
    let error = Repository::configured(config).served(&x_to_y(&[-1, 2], &[-1, 3])).unwrap_err();
    assert_eq!(error.message, "priority levels must be <= 4096 for m, got 5000; lower priority_levels");
}

#[test]
fn a_parameter_of_our_own_is_known_and_has_a_value_of_its_kind() {
    let served = |name: &str, value: &str| {
        let parameter = format!("key: \"nerite.{name}\" value {{ string_value: \"{value}\" }}");
        let configured = Repository::configured(&format!("parameters {{ {parameter} }}"));
        configured.served(&x_to_y(&[-1, 2], &[-1, 3])).map(|spec| spec.scheduling.brief)
    };
    assert_eq!(served("brief", "true"), Ok(true));
    assert_eq!(served("brief", "false"), Ok(false));
    assert_eq!(
        served("brief", "yes").unwrap_err().message,
        "parameter 'nerite.brief' of model 'm' is 'yes', expected true or false"
    );
    assert_eq!(
        served("quick", "true").unwrap_err().message,
        "unknown parameter 'nerite.quick' of model 'm'; there are max_queue_size, default_timeout_microseconds, \
         timeout_action, allow_timeout_override and brief"
    );
}
