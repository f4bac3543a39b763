//! What loading needs, what it says when that is not there, and what it makes of a plan.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use nerite_backend::{Artifact, Backend, Cancel, Code, Configuration, DType, InstanceKind};
use nerite_cuda::device_count;
use nerite_tensorrt::{Options, TensorRt};
use support::{Product, World, spec};

const PLAN: &str = "in x 0 device data -1,4\nout y 0 device data -1,4 copy x\nprofile\nrange x 1,4 4,4 8,4\n";

#[test]
fn without_nvidias_libraries_a_model_says_what_it_lacks_and_how_to_get_it() {
    let world = World::new(Product::Ten, PLAN);
    let nowhere = |name: &str| Some(PathBuf::from(format!("/nowhere/{name}")));
    let driver = ["libcuda.so.1' cannot be loaded", "an NVIDIA GPU and its driver", "docker run --gpus all"];
    let library = [
        "libnvinfer.so.10' cannot be loaded",
        "install TensorRT 10 or 11",
        "--backend-config=tensorrt,library=PATH",
    ];
    for (without_driver, without_library) in [(true, false), (false, true), (true, true)] {
        let options = Options {
            driver: if without_driver { nowhere("libcuda.so.1") } else { world.options.driver.clone() },
            library: if without_library {
                nowhere("libnvinfer.so.10")
            } else {
                world.options.library.clone()
            },
            ..Options::default()
        };
        let error = world.load_with(&TensorRt::new(options)).err().unwrap();
        for (parts, missing) in [(driver, without_driver), (library, without_library)] {
            assert!(parts.iter().all(|part| error.message.contains(part) == missing), "{error}");
        }
    }
    world.assert_clean();
}

#[test]
fn a_library_that_the_system_does_not_have_is_searched_for_under_every_name() {
    let world = World::new(Product::Ten, PLAN);
    let options = Options { library: None, ..world.options.clone() };
    // Where a TensorRT is installed there is nothing to see.
    let error = world.load_with(&TensorRt::new(options)).err();
    if let Some(error) = error.filter(|error| error.code == Code::NotFound) {
        for name in ["libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer_lean.so.11", "libtensorrt_rtx.so.1"]
        {
            assert!(error.message.contains(name), "{error}");
        }
    }
}

#[test]
fn what_is_not_nvidias_library_is_told_apart() {
    let world = World::new(Product::Ten, PLAN);
    let libc = || Some(PathBuf::from("libc.so.6"));
    let options = Options { driver: libc(), ..world.options.clone() };
    let error = world.load_with(&TensorRt::new(options)).err().unwrap();
    assert!(error.message.contains("'libc.so.6' is not the NVIDIA driver's library"), "{error}");
    let options = Options { library: libc(), ..world.options.clone() };
    let error = world.load_with(&TensorRt::new(options)).err().unwrap();
    assert!(
        error.code == Code::Unsupported && error.message.contains("'libc.so.6' is not TensorRT's library"),
        "{error}"
    );
    for (version, name) in
        [(80_601, "TensorRT 8.6.1"), (120_000, "TensorRT 12.0.0"), (10_400, "TensorRT for RTX 1.4.0")]
    {
        world.tensorrt.version(version);
        let error = world.refused();
        assert!(
            error.code == Code::Unsupported && error.message.contains(&format!("is {name}, and")),
            "{error}"
        );
    }
}

#[test]
fn without_a_device_a_model_says_so_and_loads_once_there_is_one() {
    let world = World::new(Product::Eleven, PLAN);
    world.driver.limits(0, 0);
    let backend = world.backend();
    let error = world.load_with(&backend).err().unwrap();
    assert!(error.message.contains("there is no NVIDIA GPU that this process may use"), "{error}");
    assert_eq!(device_count(world.options.driver.as_deref()), 0);
    world.driver.limits(3, 1 << 20);
    assert_eq!(device_count(world.options.driver.as_deref()), 3);
    assert_eq!(device_count(Some(Path::new("/nowhere/libcuda.so.1"))), 0);
    world.load_with(&backend).unwrap();
    world.assert_clean();
}

#[test]
fn a_device_that_is_not_there_is_told() {
    let mut world = World::new(Product::Ten, PLAN);
    let model = world.load().unwrap();
    let error = model.instance(&spec("test_0", InstanceKind::Gpu(1), false)).err().unwrap();
    assert!(error.message.contains("there is no GPU 1: this process may use GPU 0 alone"), "{error}");
    for (kind, part) in
        [(InstanceKind::Cpu, "on the CPU"), (InstanceKind::Model, "on what the model chooses")]
    {
        let error = model.instance(&spec("test_0", kind, false)).err().unwrap();
        assert!(error.code == Code::Unsupported && error.message.contains(part), "{error}");
        assert!(error.message.contains("KIND_GPU"), "{error}");
    }
    world.configuration = r#"{"instanceGroup": [{"name": "test", "gpus": [4]}]}"#.to_owned();
    assert!(world.refused().message.contains("there is no GPU 4"));
}

#[test]
fn a_plan_of_another_version_is_refused_in_tensorrts_words_with_a_remedy() {
    for product in Product::ALL {
        let mut world = World::new(product, PLAN);
        std::fs::write(world.folder.path().join("model.plan"), "plan 9\n").unwrap();
        let error = world.refused();
        assert_eq!(error.code, Code::InvalidArgument);
        for part in [
            "model.plan' on GPU 0 (Counterfeit GPU)",
            "The engine plan file is not compatible with this version of TensorRT",
            "build it anew with this version",
            "--backend-config=tensorrt,version-compatible=true",
        ] {
            assert!(error.message.contains(part), "{error}");
        }
        world.options.version_compatible = true;
        let error = world.refused();
        assert!(
            !error.message.contains("--backend-config") && error.message.contains("--versionCompatible"),
            "{error}"
        );
        world.assert_clean();
    }
}

#[test]
fn code_of_an_engines_own_is_allowed_only_if_the_options_say_so() {
    for product in Product::ALL {
        let mut world = World::new(product, PLAN);
        world.load().unwrap();
        assert_eq!(world.tensorrt.count("setEngineHostCodeAllowed"), 0);
        world.options.version_compatible = true;
        world.load().unwrap();
        let calls = world.tensorrt.calls();
        assert_eq!(calls[1], "setEngineHostCodeAllowed(true)", "{calls:?}");
        assert!(calls[2].starts_with("deserializeCudaEngine("), "{calls:?}");
        world.assert_clean();
    }
}

#[test]
fn an_engine_declares_its_tensors_and_leaves_the_configuration_to_be_completed() {
    for product in Product::ALL {
        let world = World::new(
            product,
            "in x 1 device data -1,3,-1\nin s 3 host shape 2\nout y 8 device data -1,2 copy x\n\
             profile\nrange x 1,3,1 1,3,1 8,3,9\nvalues s 1,1 1,1 2,2\n",
        );
        let model = world.load().unwrap();
        let declaration = model.declaration();
        let told = |tensor: &nerite_backend::TensorDeclaration| {
            (tensor.name.clone(), tensor.dtype, tensor.shape.to_vec(), tensor.optional)
        };
        let inputs: Vec<_> = declaration.inputs.iter().map(told).collect();
        let expected = [
            ("x".to_owned(), DType::F16, vec![-1, 3, -1], false),
            ("s".to_owned(), DType::I32, vec![2], false),
        ];
        assert_eq!(inputs, expected);
        assert_eq!(told(&declaration.outputs[0]), ("y".to_owned(), DType::I64, vec![-1, 2], false));
        assert_eq!(declaration.configuration, Configuration::FromTensors);
    }
}

#[test]
fn a_configuration_without_a_batch_size_gets_the_engines() {
    let mut world = World::new(Product::Ten, PLAN);
    world.configuration = r#"{"name": "test"}"#.to_owned();
    let model = world.load().unwrap();
    let Configuration::Completed(text) = &model.declaration().configuration else {
        unreachable!("nothing completed")
    };
    assert!(text.contains(r#""max_batch_size":8"#) && text.contains(r#""dims":[4]"#), "{text}");
}

#[test]
fn what_the_protocol_cannot_carry_is_refused_by_name() {
    for (plan, part) in [
        ("in x 6 device data 1\n", "unsupported element type 'FP8' for tensor 'x'"),
        ("out y 9 device data 1 copy x\n", "unsupported element type 'INT4' for tensor 'y'"),
        ("in x 99 device data 1\n", "unsupported element type 'number 99' for tensor 'x'"),
        ("format 4\nin x 0 device data 1\n", "tensor 'x' has the format 4 and not the linear one"),
        ("in x 0 device data -1\nprofile\n", "optimization profile 0 says nothing of input 'x'"),
    ] {
        let world = World::new(Product::Eleven, plan);
        let error = world.refused();
        assert!(error.code == Code::Unsupported && error.message.contains(part), "{error}");
        world.assert_clean();
    }
}

#[test]
fn batches_that_no_profile_takes_are_refused_when_the_model_loads() {
    let mut world = World::new(Product::Ten, PLAN);
    world.configuration = r#"{"maxBatchSize": 9}"#.to_owned();
    let error = world.refused();
    assert!(
        error.message.contains("batches of 9, and no optimization profile of the engine takes more than 8"),
        "{error}"
    );
    world.configuration = r#"{"maxBatchSize": 8}"#.to_owned();
    world.load().unwrap();
}

#[test]
fn a_model_may_go_on_any_thread() {
    for product in Product::ALL {
        let world = World::new(product, PLAN);
        let model = world.load().unwrap();
        std::thread::spawn(move || drop(model)).join().unwrap();
        world.assert_clean();
    }
}

#[test]
fn a_load_that_is_no_longer_wanted_ends() {
    let world = World::new(Product::Ten, PLAN);
    let cancel = Cancel::default();
    cancel.cancel();
    let artifact = Artifact { directory: world.folder.path(), ..Artifact::default() };
    let error = world.backend().load(&artifact, &cancel).err().unwrap();
    assert_eq!(error.code, Code::Cancelled);
}

/// A library of plugins that appends to a file what happens to it.
fn plugins(folder: &Path, name: &str) -> PathBuf {
    let (source, library) = (folder.join("plugins.c"), folder.join(name));
    let text = "#include <stdio.h>\n\
                static void note(const char *what) { FILE *f = fopen(NOTES, \"a\"); fputs(what, f); fclose(f); }\n\
                __attribute__((constructor)) static void load(void) { note(NAME \" loaded \"); }\n\
                _Bool initLibNvInferPlugins(void *logger, const char *space)\n\
                { note(logger && !*space ? \"and registered\\n\" : \"wrongly\\n\"); return 1; }\n";
    std::fs::write(&source, text).unwrap();
    let notes = format!("-DNOTES=\"{}\"", folder.join("notes").display());
    let mut command = Command::new("cc");
    command
        .args(["-shared", "-fPIC", &notes, &format!("-DNAME=\"{name}\""), "-o"])
        .arg(&library)
        .arg(&source);
    assert!(command.status().expect("this test needs a C compiler, as Rust does").success());
    library
}

#[test]
fn tensorrts_plugins_beside_it_and_those_that_are_named_are_loaded_and_registered() {
    let mut world = World::new(Product::Ten, PLAN);
    let folder = world.folder.path();
    plugins(folder, "libnvinfer_plugin.so.10");
    let named = plugins(folder, "mine.so");
    world.options.plugins = vec![named];
    world.load().unwrap();
    let notes = std::fs::read_to_string(world.folder.path().join("notes")).unwrap();
    assert_eq!(notes, "libnvinfer_plugin.so.10 loaded and registered\nmine.so loaded and registered\n");
    world.options.plugins = vec![PathBuf::from("/nowhere/mine.so")];
    assert!(
        world
            .refused()
            .message
            .contains("the library of TensorRT plugins '/nowhere/mine.so' cannot be loaded")
    );
}
