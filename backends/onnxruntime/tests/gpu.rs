//! ONNX Runtime on a real GPU: answers are the processor's within a tolerance, and a table tells how fast. Skipped,
//! with a message, where there is no GPU or the library cannot use it. `scripts/gpu-check` runs it with ORT_DYLIB_PATH
//! and LD_LIBRARY_PATH set.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nerite_backend::{
    Accelerator, Artifact, Backend, Batch, Cancel, DType, Executions, Instance, InstanceKind, InstanceSpec,
    Model, Optimization, Slots, Tensor,
};
use nerite_onnxruntime::{OnnxRuntime, Options};
use support::onnx::{self, Graph, element, floats, initializer, longs, node};
use support::{Caller, Counts, Version, library, tensor};

/// How far an answer may be from the processor's, of 1 and of its own size.
const TOLERANCE: f32 = 1e-3;

/// How long each line of the table is measured.
const MEASURED: Duration = Duration::from_millis(500);

struct Case {
    name: &'static str,
    file: PathBuf,
    /// The inputs of so many rows.
    inputs: fn(usize) -> Vec<Option<Tensor>>,
}

/// Numbers between -1 and 1 that look like nothing in particular.
fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn numbers(shape: &[i64], seed: u32) -> Option<Tensor> {
    tensor(DType::F32, shape, floats(&noise(shape.iter().product::<i64>() as usize, seed)))
}

/// Weights whose products keep the size of what they are multiplied with.
fn weights(name: &str, rows: i64, columns: i64) -> onnx::Message {
    let scale = 1.7 / (rows as f32).sqrt();
    let values: Vec<f32> =
        noise((rows * columns) as usize, (rows * columns) as u32).iter().map(|w| w * scale).collect();
    initializer(name, element::FLOAT, &[rows, columns], &floats(&values))
}

/// 784 numbers, two hidden layers of 512, ten classes.
fn mlp() -> Vec<u8> {
    Graph {
        nodes: vec![
            node("MatMul", &["x", "w1"], &["a1"], &[]),
            node("Relu", &["a1"], &["h1"], &[]),
            node("MatMul", &["h1", "w2"], &["a2"], &[]),
            node("Relu", &["a2"], &["h2"], &[]),
            node("MatMul", &["h2", "w3"], &["a3"], &[]),
            node("Softmax", &["a3"], &["y"], &[]),
        ],
        initializers: vec![weights("w1", 784, 512), weights("w2", 512, 512), weights("w3", 512, 10)],
        inputs: vec![onnx::tensor("x", element::FLOAT, &[-1, 784])],
        outputs: vec![onnx::tensor("y", element::FLOAT, &[-1, 10])],
    }
    .model()
}

/// A layer of a transformer, without its residual paths: attention over 64 places of 256 numbers, and a feed-forward
/// part.
fn attention() -> Vec<u8> {
    Graph {
        nodes: vec![
            node("MatMul", &["x", "wq"], &["q"], &[]),
            node("MatMul", &["x", "wk"], &["k"], &[]),
            node("MatMul", &["x", "wv"], &["v"], &[]),
            node("Mul", &["q", "scale"], &["qs"], &[]),
            node("Transpose", &["k"], &["kt"], &[onnx::ints_attribute("perm", &[0, 2, 1])]),
            node("MatMul", &["qs", "kt"], &["scores"], &[]),
            node("Softmax", &["scores"], &["weights"], &[]),
            node("MatMul", &["weights", "v"], &["mixed"], &[]),
            node("MatMul", &["mixed", "w1"], &["wide"], &[]),
            node("Tanh", &["wide"], &["bent"], &[]),
            node("MatMul", &["bent", "w2"], &["y"], &[]),
        ],
        initializers: vec![
            weights("wq", 256, 256),
            weights("wk", 256, 256),
            weights("wv", 256, 256),
            weights("w1", 256, 1024),
            weights("w2", 1024, 256),
            initializer("scale", element::FLOAT, &[1], &floats(&[1.0 / 16.0])),
        ],
        inputs: vec![onnx::tensor("x", element::FLOAT, &[-1, 64, 256])],
        outputs: vec![onnx::tensor("y", element::FLOAT, &[-1, 64, 256])],
    }
    .model()
}

/// Token ids, all attended to.
fn tokens(rows: usize) -> Vec<Option<Tensor>> {
    let shape = [rows as i64, 32];
    let ids: Vec<i64> = (0..rows as i64 * 32).map(|i| 1000 + i * 37 % 20_000).collect();
    let all = |value: i64| tensor(DType::I64, &shape, longs(&vec![value; rows * 32]));
    vec![tensor(DType::I64, &shape, longs(&ids)), all(1), all(0)]
}

/// A file of the sample repository or of a package's data, where the scripts put it.
fn fetched(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let found = path.exists();
    if !found {
        eprintln!("{} is not there and is left out", path.display());
    }
    found.then_some(path)
}

fn cases(made: &Version) -> Vec<Case> {
    made.write("mlp.onnx", &mlp());
    made.write("attention.onnx", &attention());
    let file = |name: &str| made.directory.path().join(name);
    let mut cases = vec![
        Case { name: "mlp", file: file("mlp.onnx"), inputs: |rows| vec![numbers(&[rows as i64, 784], 1)] },
        Case {
            name: "attention",
            file: file("attention.onnx"),
            inputs: |rows| vec![numbers(&[rows as i64, 64, 256], 2)],
        },
    ];
    if let Some(file) = fetched("model-repository/mobilenet_v2/1/model.onnx") {
        let inputs = |rows| vec![numbers(&[rows as i64, 3, 224, 224], 3)];
        cases.push(Case { name: "mobilenet_v2", file, inputs });
    }
    let minilm = std::env::var_os("NERITE_MINILM").map(PathBuf::from);
    match minilm.filter(|file| file.exists()) {
        Some(file) => cases.push(Case { name: "minilm", file, inputs: tokens }),
        None => eprintln!("NERITE_MINILM names no file, and MiniLM is left out"),
    }
    cases
}

/// Without TF32, the cores of which round what they multiply to ten bits.
fn exact() -> Optimization {
    let parameters = [("use_tf32".to_owned(), "0".to_owned())].into();
    let cuda = Accelerator { name: "cuda".to_owned(), parameters };
    Optimization { gpu_accelerators: vec![cuda], ..Optimization::NONE }
}

fn load(
    backend: &OnnxRuntime,
    case: &Case,
    kind: InstanceKind,
    optimization: &Optimization,
) -> (Arc<dyn Model>, Box<dyn Instance>) {
    let artifact = Artifact {
        model: case.name,
        directory: case.file.parent().unwrap(),
        filename: case.file.file_name().unwrap().to_str(),
        first_kind: kind,
        optimization,
        ..Artifact::default()
    };
    let model =
        backend.load(&artifact, &Cancel::default()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let executions = Arc::new(Counts::default()) as Arc<dyn Executions>;
    let (name, ragged) = ("gpu_0".into(), Arc::default());
    let spec = InstanceSpec { name, kind, batching: true, ragged, executions };
    let instance = model.instance(&spec).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    (model, instance)
}

/// The numbers of the first output.
fn run(instance: &mut dyn Instance, inputs: Vec<Option<Tensor>>, rows: usize) -> Vec<f32> {
    let caller = Arc::new(Caller::default());
    instance.execute(Batch::from(caller.request(inputs, Slots::all(1), rows as u32)));
    let output = caller.answer().unwrap_or_else(|error| panic!("{error}")).remove(&0).unwrap();
    assert_eq!(output.dtype, DType::F32);
    let bytes = output.data.into_bytes();
    bytes.chunks_exact(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect()
}

/// Rows in a second.
fn throughput(instance: &mut dyn Instance, case: &Case, rows: usize) -> f64 {
    let inputs = (case.inputs)(rows);
    let mut runs = 0;
    let begin = Instant::now();
    while begin.elapsed() < MEASURED || runs < 3 {
        run(instance, inputs.clone(), rows);
        runs += 1;
    }
    (runs * rows) as f64 / begin.elapsed().as_secs_f64()
}

#[test]
fn answers_on_a_real_gpu_are_those_of_the_processor() {
    if nerite_cuda::device_count(None) == 0 {
        eprintln!("skipped: there is no NVIDIA GPU that this process may use");
        return;
    }
    let backend = OnnxRuntime::new(Options { library: Some(library()), ..Options::default() });
    if !backend.can_use_gpus() {
        // The error of a load says why.
        let version = Version::new(&mlp());
        let artifact = Artifact {
            model: "mlp",
            directory: version.directory.path(),
            first_kind: InstanceKind::Gpu(0),
            ..Artifact::default()
        };
        let why = backend.load(&artifact, &Cancel::default()).err().map(|error| error.message);
        assert!(std::env::var_os("NERITE_REQUIRE_GPU").is_none(), "{why:?}");
        eprintln!("skipped: there is a GPU, and this ONNX Runtime cannot use it: {why:?}");
        return;
    }
    let made = Version::empty();
    println!(
        "{:<14} {:>5} {:>12} {:>12} {:>9} {:>10}",
        "model", "rows", "CPU rows/s", "GPU rows/s", "ratio", "difference"
    );
    for case in cases(&made) {
        let (_cpu_model, mut cpu) = load(&backend, &case, InstanceKind::Cpu, &Optimization::NONE);
        let (_exact_model, mut exact) = load(&backend, &case, InstanceKind::Gpu(0), &exact());
        let (_gpu_model, mut gpu) = load(&backend, &case, InstanceKind::Gpu(0), &Optimization::NONE);
        for rows in [1, 7, 32] {
            let expected = run(&mut *cpu, (case.inputs)(rows), rows);
            let found = run(&mut *exact, (case.inputs)(rows), rows);
            assert_eq!(expected.len(), found.len(), "{}", case.name);
            let difference = expected.iter().zip(&found).fold(0f32, |most, (expected, found)| {
                assert!(found.is_finite(), "{}: {found}", case.name);
                most.max((expected - found).abs() / expected.abs().max(1.0))
            });
            assert!(difference <= TOLERANCE, "{} with {rows} rows: {difference}", case.name);
            let (on_cpu, on_gpu) = (throughput(&mut *cpu, &case, rows), throughput(&mut *gpu, &case, rows));
            println!(
                "{:<14} {rows:>5} {on_cpu:>12.0} {on_gpu:>12.0} {:>9.1} {difference:>10.1e}",
                case.name,
                on_gpu / on_cpu
            );
        }
    }
}
