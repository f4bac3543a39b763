//! A version's files while it is served, and while it is loaded.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use nerite_backend::{Cancel, Code, DType, Model};
use support::onnx::{
    self, Graph, Message, element, external_initializer, external_initializer_with, floats, graph_attribute,
    longs, node,
};
use support::{Version, assert_tensor, infer, tensor};

/// Rows and columns of a matrix of weights: 1 MiB, which ONNX Runtime maps if it reads it by itself.
const EXTENT: i64 = 512;
const ELEMENTS: usize = (EXTENT * EXTENT) as usize;

fn matrix(name: &str) -> Message {
    onnx::tensor(name, element::FLOAT, &[EXTENT, EXTENT])
}

fn external_matrices() -> Vec<Message> {
    let bytes = (4 * ELEMENTS).to_string();
    let second = [("location", "weights.bin"), ("offset", &*bytes), ("length", &*bytes)];
    let shape = [EXTENT, EXTENT];
    vec![
        external_initializer("v", element::FLOAT, &shape, "weights.bin"),
        external_initializer_with("w", element::FLOAT, &shape, &second),
    ]
}

/// `y = x op v op w`
fn two_steps(op: &str) -> Vec<u8> {
    Graph {
        nodes: vec![node(op, &["x", "v"], &["h"], &[]), node(op, &["h", "w"], &["y"], &[])],
        initializers: external_matrices(),
        inputs: vec![matrix("x")],
        outputs: vec![matrix("y")],
    }
    .model()
}

/// The same, with the weights in an inner graph.
fn two_steps_within() -> Vec<u8> {
    let within = Graph {
        nodes: vec![node("Add", &["x", "v"], &["h"], &[]), node("Add", &["h", "w"], &["y"], &[])],
        initializers: external_matrices(),
        outputs: vec![matrix("y")],
        ..Graph::default()
    };
    let other = Graph {
        nodes: vec![node("Identity", &["x"], &["y"], &[])],
        outputs: vec![matrix("y")],
        ..Graph::default()
    };
    let branches = [graph_attribute("then_branch", &within), graph_attribute("else_branch", &other)];
    Graph {
        nodes: vec![
            node("ReduceMax", &["x"], &["most"], &[onnx::int_attribute("keepdims", 0)]),
            node("Cast", &["most"], &["positive"], &[onnx::int_attribute("to", element::BOOL as i64)]),
            node("If", &["positive"], &["y"], &branches),
        ],
        inputs: vec![matrix("x")],
        outputs: vec![matrix("y")],
        ..Graph::default()
    }
    .model()
}

fn weights(seed: usize) -> Vec<u8> {
    let numbers: Vec<f32> = (0..2 * ELEMENTS).map(|i| ((i * 7 + seed) % 1009) as f32 * 1e-3).collect();
    floats(&numbers)
}

#[track_caller]
fn answer(model: &Arc<dyn Model>) -> Vec<u8> {
    let x: Vec<f32> = (0..ELEMENTS).map(|i| (i % 31) as f32 * 0.5).collect();
    let mut outputs = infer(model, vec![tensor(DType::F32, &[EXTENT, EXTENT], floats(&x))]).unwrap();
    outputs.remove(&0).unwrap().data.into_bytes().to_vec()
}

fn overwrite(file: &Path) {
    let len = fs::metadata(file).unwrap().len() as usize;
    OpenOptions::new().write(true).open(file).unwrap().write_all(&vec![0x3f; len]).unwrap();
}

fn truncate(file: &Path) {
    OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap();
}

fn remove(file: &Path) {
    fs::remove_file(file).unwrap();
}

#[test]
fn a_loaded_version_answers_the_same_whatever_becomes_of_its_files() {
    for (name, model) in [("Add", two_steps("Add")), ("MatMul", two_steps("MatMul"))] {
        for change in [overwrite, truncate, remove] {
            let version = Version::new(&model);
            version.write("weights.bin", &weights(1));
            let (loaded, untouched) = (version.load().unwrap(), version.load().unwrap());
            let before = answer(&loaded);
            for file in ["weights.bin", "model.onnx"] {
                change(&version.directory.path().join(file));
            }
            assert!(answer(&loaded) == before, "{name}: the answer changed with the files");
            assert!(answer(&untouched) == before, "{name}: the first answer came from the changed files");
        }
    }
}

#[test]
fn weights_are_those_that_the_file_has_at_that_place() {
    let version = Version::new(&two_steps("Add"));
    version.write("weights.bin", &weights(1));
    let one = answer(&version.load().unwrap());
    version.write("weights.bin", &weights(2));
    let two = answer(&version.load().unwrap());
    assert!(one != two);
    version.write("weights.bin", &weights(1));
    version.write("model.onnx", &two_steps_within());
    assert!(answer(&version.load().unwrap()) == one, "an inner graph has other weights");
}

#[test]
fn weights_of_every_type_may_be_in_another_file() {
    for (element, dtype, size) in [
        (element::BOOL, DType::Bool, 1),
        (element::UINT8, DType::U8, 1),
        (element::INT64, DType::I64, 8),
        (element::FLOAT16, DType::F16, 2),
        (element::BFLOAT16, DType::BF16, 2),
        (element::DOUBLE, DType::F64, 8),
    ] {
        let graph = Graph {
            nodes: vec![node("Gather", &["w", "i"], &["y"], &[])],
            initializers: vec![external_initializer("w", element, &[3], "w.bin")],
            inputs: vec![onnx::tensor("i", element::INT64, &[1])],
            outputs: vec![onnx::tensor("y", element, &[1])],
        };
        let version = Version::new(&graph.model());
        let bytes: Vec<u8> = (0..3 * size).map(|i| u8::from(i >= 2 * size)).collect();
        version.write("w.bin", &bytes);
        let answer = infer(&version.load().unwrap(), vec![tensor(DType::I64, &[1], longs(&[2]))]);
        assert_tensor(answer, 0, dtype, &[1], &vec![1; size]);
    }
    // Of four bits each, which are packed.
    let graph = Graph {
        nodes: vec![
            node("DequantizeLinear", &["w", "s"], &["y"], &[]),
            node("Add", &["x", "y"], &["z"], &[]),
        ],
        initializers: vec![
            external_initializer("w", element::INT4, &[3], "w.bin"),
            external_initializer("s", element::FLOAT, &[], "s.bin"),
        ],
        inputs: vec![onnx::tensor("x", element::FLOAT, &[3])],
        outputs: vec![onnx::tensor("z", element::FLOAT, &[3])],
    };
    let version = Version::new(&graph.model());
    version.write("w.bin", &[0x21, 0x03]);
    version.write("s.bin", &floats(&[0.5]));
    let answer = infer(&version.load().unwrap(), vec![tensor(DType::F32, &[3], floats(&[0.0; 3]))]);
    assert_tensor(answer, 0, DType::F32, &[3], &floats(&[0.5, 1.0, 1.5]));
}

/// `y = x + w`, where `external_data` of `w` says that.
fn sum(external_data: &[(&str, &str)]) -> Vec<u8> {
    Graph {
        nodes: vec![node("Add", &["x", "w"], &["y"], &[])],
        initializers: vec![external_initializer_with("w", element::FLOAT, &[2], external_data)],
        inputs: vec![onnx::tensor("x", element::FLOAT, &[2])],
        outputs: vec![onnx::tensor("y", element::FLOAT, &[2])],
    }
    .model()
}

#[test]
fn weights_that_cannot_be_read_are_refused_with_a_remedy() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), [0; 8]).unwrap();
    let absolute = outside.path().to_str().unwrap();
    for (external_data, code, parts) in [
        (
            &[("location", "none.bin")][..],
            Code::NotFound,
            &["unable to find '", "none.bin'", "model.onnx'", "copy it"][..],
        ),
        (&[("location", "dangling")], Code::NotFound, &["dangling'", "copy it"]),
        (&[("location", "loop")], Code::Unavailable, &["loop'", "leads to itself", "correct the link"]),
        (&[("location", "folder")], Code::InvalidArgument, &["folder'", "is not a file"]),
        (&[("location", absolute)], Code::InvalidArgument, &["an absolute path", "relative to it"]),
        (&[("location", "../w.bin")], Code::InvalidArgument, &["lead out of the model's directory"]),
        (&[("location", "folder/../w.bin")], Code::InvalidArgument, &["lead out of the model's directory"]),
        (&[("location", "outside")], Code::InvalidArgument, &["a link that leads out", "beside the model"]),
        (&[("location", ".w.bin")], Code::InvalidArgument, &["begins with a dot", "rename it"]),
        (&[("location", "folder/.w/w.bin")], Code::InvalidArgument, &["begins with a dot", "rename it"]),
        (
            &[("location", "w\0.bin")],
            Code::InvalidArgument,
            &["\"w\\0.bin\"", "has a NUL", "another location"],
        ),
        (&[("location", "")], Code::InvalidArgument, &["a location without a name"]),
        (&[("offset", "0")], Code::InvalidArgument, &["a location without a name"]),
        (
            &[("location", "short.bin")],
            Code::InvalidArgument,
            &["file_length: 7", "truncated: copy it again", "short.bin'"],
        ),
        (
            &[("location", "w.bin"), ("offset", "4"), ("length", "8")],
            Code::InvalidArgument,
            &["w.bin' is truncated", "up to byte 12, and it has 8", "copy it again"],
        ),
        (&[("location", "empty.bin")], Code::InvalidArgument, &["empty.bin' is empty", "copy it again"]),
        (
            &[("location", "pointer.bin"), ("length", "8")],
            Code::InvalidArgument,
            &["Git LFS pointer", "git lfs pull"],
        ),
        (
            &[("location", "w.bin"), ("length", "4")],
            Code::InvalidArgument,
            &["Computed size: 8, external_data.length: 4", "export"],
        ),
        (
            &[("location", "w.bin"), ("offset", "-4")],
            Code::InvalidArgument,
            &["'-4' for its offset", "export"],
        ),
        (
            &[("location", "w.bin"), ("offset", "18446744073709551615")],
            Code::InvalidArgument,
            &["is truncated", "copy it again"],
        ),
    ] {
        let version = Version::new(&sum(external_data));
        let place = |name| version.directory.path().join(name);
        version.write("w.bin", &[0; 8]);
        version.write("short.bin", &[0; 7]);
        version.write("empty.bin", b"");
        version.write("pointer.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 8\n");
        fs::create_dir(place("folder")).unwrap();
        symlink("nowhere", place("dangling")).unwrap();
        symlink("loop", place("loop")).unwrap();
        symlink(outside.path(), place("outside")).unwrap();
        let error = version.refused();
        assert_eq!(error.code, code, "{external_data:?}: {error}");
        for part in parts {
            // The pointer is longer than the weights would be.
            assert!(error.message.contains(part), "{external_data:?}: no {part} in: {error}");
        }
    }
}

#[test]
fn a_file_of_zeros_is_refused_without_being_read_to_its_end() {
    for (model, from) in [(vec![], "from byte 0 on"), (two_steps("Add"), "zeros from byte")] {
        let version = Version::new(&model);
        version.write("weights.bin", &weights(1));
        let file = OpenOptions::new().write(true).open(version.directory.path().join("model.onnx")).unwrap();
        // Some hours' worth of bytes.
        file.set_len(1 << 40).unwrap();
        let error = version.refused();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains(from) && error.message.ends_with("copy it again"), "{error}");
    }
}

/// `y = x + v + w`, with each in a file of its own.
fn sum_of_two() -> Vec<u8> {
    Graph {
        nodes: vec![node("Add", &["x", "v"], &["h"], &[]), node("Add", &["h", "w"], &["y"], &[])],
        initializers: vec![
            external_initializer("v", element::FLOAT, &[2], "v.bin"),
            external_initializer("w", element::FLOAT, &[2], "w.bin"),
        ],
        inputs: vec![onnx::tensor("x", element::FLOAT, &[2])],
        outputs: vec![onnx::tensor("y", element::FLOAT, &[2])],
    }
    .model()
}

#[test]
fn a_model_that_does_not_fit_into_memory_is_refused_before_it_is_read() {
    let version = Version { memory: Some(3 << 30), ..Version::new(&sum_of_two()) };
    for name in ["v.bin", "w.bin"] {
        version.write(name, &[0; 8]);
        OpenOptions::new()
            .write(true)
            .open(version.directory.path().join(name))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
    }
    let start = Instant::now();
    let error = version.refused();
    assert!(start.elapsed().as_secs() < 10, "it was read");
    assert_eq!(error.code, Code::Unavailable);
    for part in [
        "model.onnx' does not fit into memory: it has ",
        "2.0 GiB of weights in files beside it",
        "takes 4.0 GiB, and the process may use 3.0 GiB",
        "give the process more memory, or serve fewer or smaller models",
    ] {
        assert!(error.message.contains(part), "no {part} in: {error}");
    }
    for name in ["v.bin", "w.bin"] {
        version.write(name, &[0; 8]);
    }
    version.load().unwrap();
    // The weights in the model's own file count as well.
    let large = Graph {
        nodes: vec![node("Add", &["x", "w"], &["y"], &[])],
        initializers: vec![onnx::initializer("w", element::FLOAT, &[1 << 20], &vec![0; 4 << 20])],
        inputs: vec![onnx::tensor("x", element::FLOAT, &[1])],
        outputs: vec![onnx::tensor("y", element::FLOAT, &[1 << 20])],
    };
    let refused = |memory| Version { memory: Some(memory), ..Version::new(&large.model()) }.load().is_err();
    assert!(refused(8 << 20) && !refused(9 << 20));
}

#[test]
fn weights_may_be_links_beside_what_the_model_links_to() {
    let version = Version::empty();
    version.write("blobs/a", &sum(&[("location", "w.bin")]));
    version.write("blobs/b", &floats(&[1.0, 2.0]));
    version.write("snapshot/readme", b"");
    let place = |name| version.directory.path().join(name);
    symlink("../blobs/a", place("snapshot/model.onnx")).unwrap();
    symlink("../blobs/b", place("snapshot/w.bin")).unwrap();
    let version = Version { filename: Some("snapshot"), ..version };
    let answer = infer(&version.load().unwrap(), vec![tensor(DType::F32, &[2], floats(&[1.0, 2.0]))]);
    assert_tensor(answer, 0, DType::F32, &[2], &floats(&[2.0, 4.0]));
}

/// A long chain of operators that cannot be put together.
fn slow_to_load() -> Vec<u8> {
    const STEPS: usize = 10_000;
    let mut graph = Graph {
        inputs: vec![onnx::tensor("h0", element::FLOAT, &[1])],
        outputs: vec![onnx::tensor(&format!("h{STEPS}"), element::FLOAT, &[1])],
        ..Graph::default()
    };
    for step in 0..STEPS {
        let names = [format!("h{step}"), format!("h{}", step + 1)];
        graph.nodes.push(node(["Sin", "Cos"][step % 2], &[&names[0]], &[&names[1]], &[]));
    }
    graph.model()
}

#[test]
fn a_load_that_is_cancelled_on_its_way_ends_early() {
    let version = Version::new(&slow_to_load());
    let start = Instant::now();
    version.load().unwrap();
    let whole = start.elapsed();
    let ends_early = || {
        let (cancel, start) = (Cancel::default(), Instant::now());
        let loaded = thread::scope(|scope| {
            let load = scope.spawn(|| version.load_with(&cancel));
            // Long enough for the load to be under way; if it is not, it is cancelled all the same.
            thread::sleep(whole / 20);
            cancel.cancel();
            load.join().unwrap()
        });
        let taken = start.elapsed();
        assert_eq!(loaded.err().expect("the load was cancelled").code, Code::Cancelled);
        println!("a whole load took {whole:?}, one that was cancelled {taken:?}");
        taken < whole / 2
    };
    // More than once, because others may have the processor just then.
    assert!((0..5).any(|_| ends_early()), "a cancelled load took as long as a whole one");
}
