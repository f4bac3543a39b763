//! Where models are found, what their configuration may ask for, and why some are refused.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nerite_backend::{Code, DType, Optimization};
use support::onnx::{
    self, Graph, Message, element, external_initializer, floats, identity, longs, node, pass_through,
    tensor_type, text_attribute, value, wrapped_type,
};
use support::{Version, assert_tensor, infer, tensor};

#[track_caller]
fn assert_refused(version: &Version, code: Code, part: &str) {
    let error = version.refused();
    assert!(error.code == code && error.message.contains(part), "{:?}: {error}", error.code);
}

#[track_caller]
fn assert_refused_with(version: &Version, code: Code, parts: &[&str]) {
    let error = version.refused();
    for part in parts {
        assert!(error.code == code && error.message.contains(part), "no {part} in {:?}: {error}", error.code);
    }
}

/// `y = op(x)`, with these types.
fn unary(op: &str, x: &Message, y: &Message) -> Vec<u8> {
    Graph {
        nodes: vec![node(op, &["x"], &["y"], &[])],
        inputs: vec![value("x", x)],
        outputs: vec![value("y", y)],
        ..Graph::default()
    }
    .model()
}

#[test]
fn a_model_is_found_by_its_default_name_by_another_and_in_a_directory() {
    let model = identity(element::FLOAT, &[1]);
    for (file, filename) in [
        ("model.onnx", None),
        ("model.onnx", Some("")),
        ("net.bin", Some("net.bin")),
        ("model.onnx/model.onnx", None),
        ("deep/model.onnx", Some("deep")),
    ] {
        let version = Version { filename, ..Version::empty() };
        version.write(file, &model);
        version.load().unwrap();
    }
}

#[test]
fn weights_may_be_in_a_file_beside_the_model() {
    let graph = Graph {
        nodes: vec![node("Add", &["x", "w"], &["y"], &[])],
        initializers: vec![external_initializer("w", element::FLOAT, &[2], "weights.bin")],
        inputs: vec![onnx::tensor("x", element::FLOAT, &[2])],
        outputs: vec![onnx::tensor("y", element::FLOAT, &[2])],
    };
    let version = Version::empty();
    version.write("model.onnx/model.onnx", &graph.model());
    version.write("model.onnx/weights.bin", &floats(&[10.0, 20.0]));
    let model = version.load().unwrap();
    let answer = infer(&model, vec![tensor(DType::F32, &[2], floats(&[1.0, 2.0]))]);
    assert_tensor(answer, 0, DType::F32, &[2], &floats(&[11.0, 22.0]));
    std::fs::remove_file(version.directory.path().join("model.onnx/weights.bin")).unwrap();
    assert!(version.refused().message.contains("weights.bin"));
}

#[test]
fn files_that_are_no_models_are_told_apart() {
    let whole = identity(element::FLOAT, &[1]);
    assert_refused(&Version::empty(), Code::NotFound, "unable to find");
    let named = Version { filename: Some("other.onnx"), ..Version::new(&whole) };
    assert_refused(&named, Code::NotFound, "other.onnx' for model 'test'");
    assert_refused(&Version::new(b""), Code::InvalidArgument, "is empty");
    assert_refused(&Version::new(&whole[..whole.len() / 2]), Code::InvalidArgument, "is truncated");
    assert_refused(&Version::new(b"<html>not found</html>"), Code::InvalidArgument, "is not an ONNX model");
    let hollow = Version::empty();
    hollow.write("model.onnx/readme", b"");
    assert_refused(&hollow, Code::NotFound, "model.onnx/model.onnx");
}

#[test]
fn what_is_in_the_place_of_a_file_is_told_with_a_remedy() {
    let whole = identity(element::FLOAT, &[1]);
    type Put = fn(&Path, &[u8]);
    fn write(file: &Path, bytes: &[u8]) {
        fs::write(file, bytes).unwrap();
    }
    for (put, code, parts) in [
        (
            (|_, _| {}) as Put,
            Code::NotFound,
            &["unable to find '", "for model 'test'", "copy the file there"][..],
        ),
        (|file, _| write(file, b""), Code::InvalidArgument, &["is empty", "copy the model's file again"]),
        (|file, model| write(file, &model[..20]), Code::InvalidArgument, &["is truncated", "copy it again"]),
        (
            |file, _| write(file, b"\x00garbage"),
            Code::InvalidArgument,
            &["is not an ONNX model", "put the model"],
        ),
        (
            |file, _| write(file, b"<!DOCTYPE html><html>404</html>"),
            Code::InvalidArgument,
            &["is not an ONNX model", "an HTML or XML page", "download the file"],
        ),
        (
            |file, _| write(file, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
            Code::InvalidArgument,
            &["is a Git LFS pointer", "run `git lfs pull`"],
        ),
        (
            |file, _| fs::create_dir(file).unwrap(),
            Code::NotFound,
            &["model.onnx/model.onnx' for model 'test'", "put the file there"],
        ),
        (
            |file, _| symlink("../elsewhere.onnx", file).unwrap(),
            Code::NotFound,
            &["unable to find '", "a link to '../elsewhere.onnx'", "correct the link"],
        ),
        (
            |file, _| symlink("model.onnx", file).unwrap(),
            Code::Unavailable,
            &["unable to read '", "a link that leads to itself", "correct the link"],
        ),
        (
            |file, _| drop(UnixListener::bind(file).unwrap()),
            Code::InvalidArgument,
            &["is not a file", "put the model's file there"],
        ),
    ] {
        let version = Version::empty();
        put(&version.directory.path().join("model.onnx"), &whole);
        assert_refused_with(&version, code, parts);
    }
    let beneath_a_file = Version { filename: Some("model.onnx/net"), ..Version::new(&whole) };
    assert_refused_with(&beneath_a_file, Code::Unavailable, &["not a directory", "correct the path"]);
    let long: &'static str = Box::leak("x".repeat(300).into_boxed_str());
    let too_long = Version { filename: Some(long), ..Version::new(&whole) };
    assert_refused_with(&too_long, Code::Unavailable, &["unable to read '", "give it a shorter name"]);
}

#[test]
fn a_file_that_must_not_be_read_is_told_with_a_remedy() {
    let version = Version::new(&identity(element::FLOAT, &[1]));
    let file = version.directory.path().join("model.onnx");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Permissions do not hold for root.
    if fs::File::open(&file).is_err() {
        let parts = ["unable to read '", "let the server's user read the file"];
        assert_refused_with(&version, Code::Unavailable, &parts);
    }
}

#[test]
fn what_this_onnx_runtime_cannot_run_is_told_with_a_remedy() {
    let float = tensor_type(element::FLOAT, Some(&[1]));
    let graph = |node| Graph {
        nodes: vec![node],
        inputs: vec![value("x", &float)],
        outputs: vec![value("y", &float)],
        ..Graph::default()
    };
    let plain = |op| graph(node(op, &["x"], &["y"], &[]));
    let of_acme =
        || graph(Message::default().bytes(1, "x").bytes(2, "y").bytes(4, "Frob").bytes(7, "com.acme"));
    let opset = [("", 21)];
    let newer = "use a newer ONNX Runtime";
    let others = "operators that this ONNX Runtime has";
    for (model, code, parts) in [
        (plain("Neg").model_for(10, &[("", 999)]), Code::Unsupported, ["Opset 999", newer]),
        (plain("Neg").model_for(999, &opset), Code::Unsupported, ["IR version: 999", newer]),
        (plain("Frobnicate").model(), Code::InvalidArgument, ["Frobnicate", others]),
        (plain("Gelu").model_for(10, &[("", 10)]), Code::InvalidArgument, ["Gelu", others]),
        (of_acme().model_for(10, &opset), Code::InvalidArgument, ["domain 'com.acme'", others]),
        (of_acme().model_for(10, &[("", 21), ("com.acme", 1)]), Code::Unsupported, ["com.acme:Frob", others]),
        (plain("Neg").model_for(10, &[]), Code::InvalidArgument, ["Missing opset", "copy it again"]),
        (b"\x08\x0a".to_vec(), Code::InvalidArgument, ["No graph", "copy it again"]),
        (
            graph(node("Neg", &["missing"], &["y"], &[])).model(),
            Code::InvalidArgument,
            ["missing", "correct the model and export it anew"],
        ),
        (
            pass_through(element::COMPLEX64, &[1]),
            Code::Unsupported,
            ["complex64", "with other types of elements"],
        ),
    ] {
        let version = Version::new(&model);
        assert_refused_with(&version, code, &parts);
        assert_refused_with(&version, code, &["onnx runtime error", "model.onnx'"]);
    }
}

#[test]
fn a_model_cut_short_within_a_field_is_called_truncated() {
    let whole = identity(element::FLOAT, &[1]);
    let loads = (1..whole.len()).map(|len| Version::new(&whole[..len]).load());
    // A cut between two fields leaves a message that is whole, if not always a model.
    let (cut, between): (Vec<_>, Vec<_>) =
        loads.partition(|load| load.as_ref().is_err_and(|error| error.message.contains("is truncated")));
    assert!(between.len() <= 3, "{} of {} cuts were not told", between.len(), cut.len() + between.len());
}

#[test]
fn graphs_that_onnx_runtime_refuses_are_refused_with_its_words() {
    let float = tensor_type(element::FLOAT, Some(&[1]));
    let error = Version::new(&unary("Frobnicate", &float, &float)).refused();
    assert!(error.message.contains("onnx runtime error") && error.message.contains("Frobnicate"), "{error}");
    let error = Version::new(&pass_through(element::COMPLEX64, &[1])).refused();
    assert!(error.message.contains("onnx runtime error") && error.message.contains("complex64"), "{error}");
    let half_built = Graph {
        nodes: vec![node("Identity", &["missing"], &["y"], &[])],
        outputs: vec![value("y", &float)],
        ..Graph::default()
    };
    let error = Version::new(&half_built.model()).refused();
    assert!(error.message.contains("onnx runtime error") && error.message.contains("missing"), "{error}");
}

#[test]
fn a_locale_that_is_not_there_is_named() {
    let text = tensor_type(element::STRING, Some(&[-1]));
    let graph = Graph {
        nodes: vec![node(
            "StringNormalizer",
            &["x"],
            &["y"],
            &[text_attribute("case_change_action", "LOWER"), text_attribute("locale", "xx_XX")],
        )],
        inputs: vec![value("x", &text)],
        outputs: vec![value("y", &text)],
        ..Graph::default()
    };
    assert_refused_with(
        &Version::new(&graph.model()),
        Code::Unsupported,
        &["onnx runtime error", "xx_XX", "install that locale"],
    );
}

#[test]
fn what_the_protocol_cannot_carry_is_refused_by_name() {
    let float = tensor_type(element::FLOAT, Some(&[1]));
    let sequence = wrapped_type(4, &float);
    let optional = wrapped_type(9, &float);
    for (model, part) in [
        (
            unary("SequenceConstruct", &float, &sequence),
            "'SEQUENCE' for output 'y': only tensors can be served",
        ),
        (
            unary("SequenceLength", &sequence, &tensor_type(element::INT64, Some(&[]))),
            "'SEQUENCE' for input 'x'",
        ),
        (
            unary("OptionalHasElement", &optional, &tensor_type(element::BOOL, Some(&[]))),
            "'OPTIONAL' for input 'x'",
        ),
        (pass_through(element::FLOAT8E4M3FN, &[1]), "'FLOAT8E4M3FN' for input 'x'"),
        (pass_through(element::INT4, &[2]), "'INT4' for input 'x'"),
    ] {
        assert_refused(&Version::new(&model), Code::Unsupported, part);
    }
}

#[test]
fn parameters_and_graph_levels_are_taken_and_wrong_ones_are_refused() {
    let model = identity(element::FLOAT, &[1]);
    for (key, good, bad) in [
        ("intra_op_thread_count", "2", "two"),
        ("inter_op_thread_count", "2", "-1"),
        ("execution_mode", "1", "2"),
        ("enable_mem_arena", "0", "perhaps"),
        ("enable_mem_pattern", "true", "2"),
        ("memory.enable_memory_arena_shrinkage", "cpu:0", "npu:0"),
        ("session.use_device_allocator_for_initializers", "1", "x"),
    ] {
        let loaded = Version::new(&model).with(key, good).load().unwrap();
        let answer = infer(&loaded, vec![tensor(DType::F32, &[1], floats(&[1.5]))]);
        assert_tensor(answer, 0, DType::F32, &[1], &floats(&[1.5]));
        assert_refused(&Version::new(&model).with(key, bad), Code::InvalidArgument, key);
    }
    Version::new(&model).with("made_up", "anything").load().unwrap();
    for graph_level in -1..=3 {
        let optimization = Optimization { graph_level, ..Optimization::NONE };
        Version { optimization, ..Version::new(&model) }.load().unwrap();
    }
}

#[test]
fn an_input_needs_a_declared_rank_and_an_output_does_not() {
    let unranked = tensor_type(element::FLOAT, None);
    let float = tensor_type(element::FLOAT, Some(&[1]));
    assert_refused(
        &Version::new(&unary("Neg", &unranked, &float)),
        Code::Unsupported,
        "input 'x' has no declared shape",
    );
    let graph = Graph {
        nodes: vec![node("Reshape", &["x", "shape"], &["y"], &[])],
        inputs: vec![value("x", &float), onnx::tensor("shape", element::INT64, &[-1])],
        outputs: vec![value("y", &unranked)],
        ..Graph::default()
    };
    let model = Version::new(&graph.model()).load().unwrap();
    let inputs = vec![tensor(DType::F32, &[1], floats(&[4.0])), tensor(DType::I64, &[3], longs(&[1, 1, 1]))];
    assert_tensor(infer(&model, inputs), 0, DType::F32, &[1, 1, 1], &floats(&[4.0]));
}
