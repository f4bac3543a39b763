use std::sync::Arc;

use nerite_backend::{Accelerator, Code, DType, InstanceKind, Optimization};
use nerite_core::model::{ConfigSource, InstanceGroup, LoadPlan, VersionPolicy};

use super::{Repository, declaration, published, strict, tensor, x_to_y};
use crate::{Gpus, ModelConfigs, Options};

fn plan(repository: &Repository, name: &str) -> LoadPlan {
    repository.read(name, Options::default()).unwrap_or_else(|error| panic!("{error}")).plan().clone()
}

#[test]
fn a_model_without_a_configuration_is_read_from_its_files() {
    let table = [
        ("m/1/model.onnx", "onnxruntime", "onnxruntime_onnx", "model.onnx"),
        ("m/1/model.onnx/", "onnxruntime", "onnxruntime_onnx", "model.onnx"),
        ("m/1/model.plan", "tensorrt", "tensorrt_plan", "model.plan"),
        ("m/1/model.xml", "openvino", "openvino", "model.xml"),
        ("m/1/model.pt", "pytorch", "pytorch_libtorch", "model.pt"),
        ("m/1/model.py", "python", "python", "model.py"),
    ];
    for (file, backend, platform, filename) in table {
        let repository = Repository::new(&[(file, "")]);
        let plan = plan(&repository, "m");
        assert_eq!((plan.backend.as_str(), plan.filename.as_deref()), (backend, Some(filename)), "{file}");
        let spec = repository.served(&x_to_y(&[-1, 2], &[-1, 3])).unwrap();
        assert_eq!((spec.name.as_str(), spec.platform.as_str()), ("m", platform), "{file}");
    }
}

#[test]
fn the_backend_comes_from_whatever_part_of_the_configuration_says_it() {
    let table = [
        ("backend: \"onnxruntime\"", "onnxruntime", Some("model.onnx")),
        ("platform: \"onnxruntime_onnx\"", "onnxruntime", Some("model.onnx")),
        ("default_model_filename: \"model.onnx\"", "onnxruntime", Some("model.onnx")),
        ("platform: \"onnxruntime_onnx\" default_model_filename: \"a.onnx\"", "onnxruntime", Some("a.onnx")),
        ("backend: \"tensorrt\"", "tensorrt", Some("model.plan")),
        ("platform: \"tensorrt_plan\"", "tensorrt", Some("model.plan")),
        ("backend: \"mine\"", "mine", None),
        ("backend: \"mine\" platform: \"any\" default_model_filename: \"f\"", "mine", Some("f")),
    ];
    for (config, backend, filename) in table {
        let plan = plan(&Repository::new(&[("m/config.pbtxt", config)]), "m");
        assert_eq!((plan.backend.as_str(), plan.filename.as_deref()), (backend, filename), "{config}");
    }
}

#[test]
fn only_the_lexically_first_version_says_the_backend() {
    let repository =
        Repository::new(&[("m/2/model.plan", ""), ("m/10/model.onnx", ""), ("m/1x/model.py", "")]);
    assert_eq!(plan(&repository, "m").backend, "onnxruntime");
}

#[test]
fn a_models_name_may_say_its_backend() {
    let repository = Repository::new(&[("m.mine/1/data", ""), ("m.a.b/1/", "")]);
    assert_eq!(plan(&repository, "m.mine").backend, "mine");
    assert_eq!(plan(&repository, "m.mine").filename.as_deref(), Some("model.mine"));
    assert_eq!(plan(&repository, "m.a.b").backend, "a.b");
    let error = Repository::new(&[("m/1/data", "")]).refusal();
    assert_eq!(error.code, Code::InvalidArgument);
    assert_eq!(
        error.message,
        "Invalid model name: Could not determine backend for model 'm' with no backend in model configuration. \
         Expected model name of the form 'model.<backend_name>', or a model file (model.onnx for ONNX \
         Runtime) in its first version directory."
    );
}

#[test]
fn a_model_without_a_version_whose_backend_is_not_known_is_told_what_is_wrong_with_its_folders() {
    let name_it = "name the folder of a version by a whole number without leading zeros, such as 1";
    for (files, told) in [
        (&[("m/v1/model.onnx", "")][..], format!(": 'v1' is none; {name_it}")),
        (&[("m/+1/model.onnx", ""), ("m/00/model.onnx", "")], format!(": '+1', '00' are none; {name_it}")),
        (
            &[("m/18446744073709551616/model.onnx", "")],
            format!(": '18446744073709551616' is none; {name_it}"),
        ),
        (&[("m/", "")], "; put the model's files into a folder '1' in it".to_owned()),
        (
            &[("m/1", "")],
            ": '1' is neither a directory nor a link to one; put a folder with the model's files there"
                .to_owned(),
        ),
    ] {
        let error = Repository::new(files).refusal();
        assert_eq!(error.code, Code::InvalidArgument);
        assert_eq!(
            error.message,
            format!(
                "Invalid model name: Could not determine backend for model 'm' with no backend in model configuration. \
                 Expected model name of the form 'model.<backend_name>'; its directory has no version{told}"
            )
        );
    }
}

#[test]
fn a_named_configuration_is_read_where_there_is_one() {
    let repository = Repository::new(&[
        ("m/config.pbtxt", "max_batch_size: 1"),
        ("m/configs/big.pbtxt", "max_batch_size: 64"),
        ("m/1/model.onnx", ""),
    ]);
    for (name, size) in [(None, 1), (Some("big"), 64), (Some("small"), 1)] {
        let options = Options { config_name: name.map(str::to_owned), ..Options::default() };
        let spec = repository.read("m", options).unwrap().complete(&x_to_y(&[-1, 2], &[-1, 3])).unwrap();
        assert_eq!(spec.max_batch_size, size, "{name:?}");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_an_internal_error_that_says_where() {
    let error = Repository::configured("name: \"m\"\ninputs { }").refusal();
    assert_eq!(error.code, Code::Internal);
    assert_eq!(
        error.message,
        "failed to read text proto from REPO/m/config.pbtxt:2:1: expected a field of ModelConfig, found 'inputs'; the \
         nearest known field is 'input'"
    );
    let repository = Repository::new(&[("m/config.pbtxt/", ""), ("m/1/model.onnx", "")]);
    let error = repository.refusal();
    assert_eq!(error.code, Code::Internal);
    assert!(error.message.starts_with("failed to open text file for read REPO/m/config.pbtxt: "), "{error}");
}

#[test]
fn without_auto_completion_a_configuration_is_required() {
    let error = Repository::new(&[("m/1/model.onnx", "")]).read("m", strict()).err().unwrap();
    assert_eq!(error.code, Code::Internal);
    assert!(error.message.contains("failed to open text file for read"), "{error}");
    assert!(error.message.contains("No such file or directory"), "{error}");
    assert!(
        error.message.ends_with("; write it, or start without --disable-auto-complete-config"),
        "{error}"
    );
}

#[test]
fn the_plan_holds_what_loading_needs() {
    let repository = Repository::configured(
        "parameters { key: \"intra_op_thread_count\" value { string_value: \"2\" } }
         optimization { graph { level: -1 } execution_accelerators {
           gpu_execution_accelerator [ { name: \"tensorrt\" parameters { key: \"precision_mode\" value: \"FP16\" } } ]
           cpu_execution_accelerator { name: \"openvino\" } } }
         version_policy { specific { versions: [ 3, 1 ] } }
         instance_group [ { count: 3 }, { name: \"other\" kind: KIND_MODEL }, { kind: KIND_CPU } ]",
    );
    let plan = plan(&repository, "m");
    assert_eq!(
        plan.parameters.into_iter().collect::<Vec<_>>(),
        [("intra_op_thread_count".into(), "2".into())]
    );
    let accelerator = |name: &str, parameters: &[(&str, &str)]| Accelerator {
        name: name.into(),
        parameters: parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
    };
    let optimization = Optimization {
        graph_level: -1,
        gpu_accelerators: vec![accelerator("tensorrt", &[("precision_mode", "FP16")])],
        cpu_accelerators: vec![accelerator("openvino", &[])],
    };
    assert_eq!(plan.optimization, optimization);
    assert_eq!(plan.version_policy, VersionPolicy::Specific(vec![3, 1]));
    let group = |name: &str, kind, count| InstanceGroup { name: name.into(), kind, count, rate_limit: None };
    let (cpu, model) = (InstanceKind::Cpu, InstanceKind::Model);
    assert_eq!(plan.instances, [group("m_0", cpu, 3), group("other", model, 1), group("m_2", cpu, 2)]);
    assert!(plan.auto_complete && plan.configuration.is_empty(), "the backend is told what it needs");
    assert!(plan.notes.is_empty());
}

#[test]
fn a_backend_that_is_not_the_servers_own_gets_the_whole_configuration() {
    let plan = plan(&Repository::configured("backend: \"python\" max_batch_size: 8"), "m");
    let configuration: serde_json::Value = serde_json::from_str(&plan.configuration).unwrap();
    assert_eq!(configuration["max_batch_size"], 8);
    assert_eq!(configuration["default_model_filename"], "model.py", "normalised");
}

#[test]
fn a_model_has_one_group_of_instances_by_default() {
    let group =
        |count| [InstanceGroup { name: "m".into(), kind: InstanceKind::Cpu, count, rate_limit: None }];
    assert_eq!(plan(&Repository::configured(""), "m").instances, group(2));
    assert_eq!(plan(&Repository::configured("backend: \"python\""), "m").instances, group(1));
}

/// A machine with so many GPUs, which ONNX Runtime may be able to use.
#[derive(Debug)]
struct Machine {
    gpus: u32,
    serve: bool,
}

impl Gpus for Machine {
    fn count(&self) -> u32 {
        self.gpus
    }

    fn serve(&self, backend: &str) -> bool {
        assert_eq!(backend, "onnxruntime", "the others have no choice");
        self.serve
    }
}

fn with_gpus(gpus: u32, serve: bool) -> Options {
    Options { gpus: Arc::new(Machine { gpus, serve }), ..Options::default() }
}

#[test]
fn a_group_of_no_kind_is_on_gpus_where_onnx_runtime_can_use_them() {
    let on = |serve, backend: &str, groups: &str| {
        let repository = Repository::configured(&format!("backend: \"{backend}\" {groups}"));
        let groups = repository.read("m", with_gpus(2, serve)).unwrap().plan().instances.clone();
        groups.into_iter().map(|group| (group.name, group.kind, group.count)).collect::<Vec<_>>()
    };
    let (cpu, gpu) = (InstanceKind::Cpu, InstanceKind::Gpu);
    let both = [("m_gpu0".to_owned(), gpu(0), 1), ("m_gpu1".to_owned(), gpu(1), 1)];
    assert_eq!(on(true, "onnxruntime", ""), both);
    assert_eq!(on(false, "onnxruntime", ""), [("m".to_owned(), cpu, 2)]);
    assert_eq!(on(true, "python", ""), [("m".to_owned(), cpu, 1)]);
    let named = |kind| [("m_0".to_owned(), kind, 3)];
    assert_eq!(on(true, "onnxruntime", "instance_group { count: 3 gpus: 1 }"), named(gpu(1)));
    assert_eq!(on(true, "onnxruntime", "instance_group { count: 3 kind: KIND_CPU }"), named(cpu));
    assert_eq!(
        on(false, "onnxruntime", "instance_group { count: 3 kind: KIND_GPU gpus: 1 }"),
        named(gpu(1)),
        "for the engine to say what is missing"
    );
}

#[test]
fn models_for_tensorrt_have_their_instances_on_gpus() {
    let tensorrt = |groups: &str| Repository::configured(&format!("backend: \"tensorrt\" {groups}"));
    let group = |name: &str, gpu, count| InstanceGroup {
        name: name.into(),
        kind: InstanceKind::Gpu(gpu),
        count,
        rate_limit: None,
    };
    let on = |count, groups| {
        let options = with_gpus(count, false);
        tensorrt(groups).read("m", options).unwrap().plan().instances.clone()
    };
    assert_eq!(on(1, ""), [group("m", 0, 1)]);
    assert_eq!(on(0, ""), [group("m", 0, 1)], "for the engine to say that there is none");
    assert_eq!(on(2, "instance_group { count: 3 }"), [group("m_0_gpu0", 0, 3), group("m_0_gpu1", 1, 3)]);
    assert_eq!(on(9, "instance_group { kind: KIND_GPU gpus: 2 }"), [group("m_0", 2, 1)]);
    assert_eq!(
        on(1, "instance_group { name: \"g\" gpus: [ 3, 1 ] }"),
        [group("g_gpu3", 3, 1), group("g_gpu1", 1, 1)]
    );
    for (groups, part) in [
        ("instance_group { kind: KIND_CPU }", "KIND_CPU, and models of backend tensorrt run on GPUs alone"),
        (
            "instance_group { kind: KIND_MODEL }",
            "KIND_MODEL, and models of backend tensorrt run on GPUs alone",
        ),
        ("instance_group { gpus: -1 }", "specifies GPU -1; correct its gpus"),
    ] {
        let refusal = tensorrt(groups).refusal();
        assert!(refusal.message.contains(part), "{}", refusal.message);
    }
}

#[test]
fn version_policies_have_their_defaults() {
    let table = [
        ("", VersionPolicy::Latest(1)),
        ("version_policy { }", VersionPolicy::Latest(1)),
        ("version_policy { latest { } }", VersionPolicy::Latest(1)),
        ("version_policy { latest { num_versions: 3 } }", VersionPolicy::Latest(3)),
        ("version_policy { all { } }", VersionPolicy::All),
        ("version_policy { specific { versions: [ 2, -1 ] } }", VersionPolicy::Specific(vec![2, -1])),
    ];
    for (config, policy) in table {
        assert_eq!(plan(&Repository::configured(config), "m").version_policy, policy, "{config}");
    }
}

#[test]
fn what_is_published_says_every_default() {
    let config = "max_batch_size: 8 dynamic_batching { }
        input { name: \"x\" data_type: TYPE_FP32 dims: 2 } output { name: \"y\" data_type: TYPE_FP32 dims: 3 }";
    let published = published(&Repository::configured(config).served(&x_to_y(&[-1, 2], &[-1, 3])).unwrap());
    let expected = crate::parse_model_config(
        "name: \"m\" platform: \"onnxruntime_onnx\" backend: \"onnxruntime\" default_model_filename: \"model.onnx\"
         version_policy { latest { num_versions: 1 } } max_batch_size: 8
         input { name: \"x\" data_type: TYPE_FP32 dims: 2 } output { name: \"y\" data_type: TYPE_FP32 dims: 3 }
         instance_group { name: \"m\" count: 2 kind: KIND_CPU }
         optimization { input_pinned_memory { enable: true } output_pinned_memory { enable: true } }
         dynamic_batching { preferred_batch_size: 8 }",
        "expected",
    );
    assert_eq!(Ok(published), expected);
}

#[test]
fn labels_are_the_lines_of_a_file_in_the_models_directory() {
    let output = "output { name: \"y\" data_type: TYPE_FP32 dims: 3 label_filename: \"LABELS\" }";
    let model = declaration(&[tensor("x", DType::F32, &[2])], &[tensor("y", DType::F32, &[3])]);
    let table: [(&str, Result<&[&str], &str>); 7] = [
        ("labels.txt", Ok(&["cat", "", "dog"])),
        ("./1/../labels.txt", Ok(&["cat", "", "dog"])),
        ("windows.txt", Ok(&["cat", "dog"])),
        (
            "absent.txt",
            Err(
                "failed to open text file for read REPO/m/absent.txt: No such file or directory (os error 2); put the \
                 labels of output 'y' of model 'm' there, one a line, or remove its label_filename",
            ),
        ),
        ("bad.txt", Err("label file REPO/m/bad.txt is not valid UTF-8 in line 2; save it as UTF-8")),
        (
            ".labels.txt",
            Err(
                "label file path 'REPO/m/.labels.txt' for output 'y' in model 'm' cannot be used: what has a name that \
                 begins with a dot is passed over when the server looks for changes; rename it, and set label_filename to \
                 the new path",
            ),
        ),
        (
            "../m/labels.txt",
            Err(
                "label file path 'REPO/m/../m/labels.txt' for output 'y' in model 'm' is outside model directory; put \
                 the file there, and set label_filename to its path from there",
            ),
        ),
    ];
    for (file, expected) in table {
        let repository = Repository::configured(&output.replace("LABELS", file));
        let directory = repository.0.path().join("m");
        std::fs::write(directory.join("labels.txt"), "cat\n\ndog\n").unwrap();
        std::fs::write(directory.join(".labels.txt"), "cat\n").unwrap();
        std::fs::write(directory.join("windows.txt"), "cat\r\ndog").unwrap();
        std::fs::write(directory.join("bad.txt"), b"cat\n\xff").unwrap();
        match (repository.served(&model), expected) {
            (Ok(spec), Ok(expected)) => {
                assert_eq!(spec.outputs[0].labels.as_deref().unwrap(), expected, "{file}")
            }
            (Err(error), Err(expected)) => {
                let message = error.message.replace(&repository.0.path().display().to_string(), "REPO");
                assert!(message.starts_with(expected), "{file}: {message}");
            }
            (got, expected) => panic!("{file}: {got:?} is not {expected:?}"),
        }
    }
}

#[test]
fn an_override_stands_in_the_place_of_the_models_own_configuration() {
    let repository = Repository::new(&[("m/config.pbtxt", "nonsense"), ("m/1/model.onnx", "")]);
    let overridden = |text: &str| ModelConfigs::default().read(&repository.model("m"), Some(text));
    let refused = |text: &str| overridden(text).err().expect("a refusal");
    let draft = overridden(r#"{"maxBatchSize": "16", "instance_group": [{"count": 3}]}"#).unwrap();
    let spec = draft.complete(&x_to_y(&[-1, 2], &[-1, 3])).unwrap();
    assert_eq!((spec.name.as_str(), spec.max_batch_size), ("m", 16));
    assert_eq!(draft.plan().instances[0].count, 3);
    assert!(overridden("{\"name\": \"m\"}").is_ok());

    let error = refused(r#"{"input": [{"dim": [2]}]}"#);
    assert_eq!(error.code, Code::InvalidArgument);
    let expected = "failed to load the configuration override for model 'm': input[0]: unrecognized field name 'dim' \
                    at line 1 column 17";
    assert_eq!(error.message, expected);
    // What it says is checked as what a file says.
    assert!(refused("{\"name\": \"n\"}").message.starts_with("unexpected directory name 'm' for model 'n'"));
    assert!(refused("{\"max_batch_size\": -1}").message.contains("must be non-negative"));
}
