use nerite_backend::Code;

use super::Repository;
use crate::Options;

#[test]
fn what_would_change_answers_is_refused() {
    let table = [
        ("instance_group { passive: true }", "instance_group.passive"),
        ("model_operations { op_library_filename: \"a.so\" }", "model_operations"),
        ("model_repository_agents { agents { name: \"checksum\" } }", "model_repository_agents"),
    ];
    for (config, what) in table {
        let error = Repository::configured(config).refusal();
        assert_eq!(error.code, Code::Unsupported, "{config}");
        assert_eq!(
            error.message,
            format!(
                "model 'm' asks for {what}, which is not supported yet; remove it if the model can be served without"
            ),
            "{config}"
        );
    }
}

#[test]
fn what_only_tunes_is_noted() {
    let table = [
        ("model_metrics { metric_control { } }", "model_metrics"),
        ("cc_model_filenames { key: \"9.0\" value: \"a\" }", "cc_model_filenames"),
        ("runtime: \"a.so\"", "runtime"),
        ("optimization { priority: PRIORITY_MAX }", "optimization.priority"),
        ("optimization { cuda { graphs: true } }", "optimization.cuda"),
        (
            "backend: \"python\"
             optimization { execution_accelerators { gpu_execution_accelerator { name: \"tensorrt\" } } }",
            "optimization.execution_accelerators",
        ),
        ("optimization { gather_kernel_buffer_threshold: 1 }", "optimization.gather_kernel_buffer_threshold"),
        ("optimization { eager_batching: true }", "optimization.eager_batching"),
        ("instance_group { host_policy: \"p\" }", "instance_group.host_policy"),
        ("instance_group { secondary_devices { } }", "instance_group.secondary_devices"),
    ];
    for (config, what) in table {
        let draft = Repository::configured(config).read("m", Options::default());
        let notes = draft.unwrap_or_else(|error| panic!("{config}: {error}")).plan().notes.clone();
        assert_eq!(notes, [format!("{what} is not supported yet and has no effect")], "{config}");
    }
}

#[test]
fn a_tuning_that_is_switched_off_is_not_noted() {
    for config in [
        "response_cache { enable: true }",
        "dynamic_batching { }",
        "optimization { graph { level: 1 } }",
        "optimization { execution_accelerators { gpu_execution_accelerator { name: \"cuda\" } } }",
    ] {
        let draft = Repository::configured(config).read("m", Options::default()).unwrap();
        assert!(draft.plan().notes.is_empty(), "{config}");
    }
}
