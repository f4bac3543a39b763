//! What an execution costs over a bare `Run` of the same session, for a perceptron of 64-256-256-10 and one row.
//! Interleaved rounds, so that a noisy machine spoils both alike; prints the median of each. The library is found
//! through `ORT_DYLIB_PATH`.
#![allow(unsafe_code)]

#[path = "../tests/support/onnx.rs"]
mod onnx;

use std::ffi::{CString, c_char};
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use nerite_backend::{
    Artifact, Backend, BackendError, Batch, Cancel, DType, Exchange, Executions, Inputs, InstanceKind,
    InstanceSpec, Meta, Phases, Request, Responder, Response, Sent, Shape, Slots, Tensor,
};
use nerite_onnxruntime::{OnnxRuntime, Options};
use onnx::{Graph, element, floats, initializer, node, tensor};
use ort::sys::{
    GraphOptimizationLevel, ONNXTensorElementDataType, OrtAllocatorType, OrtEnv, OrtLoggingLevel, OrtMemType,
    OrtMemoryInfo, OrtSession,
};

const ROUNDS: usize = 200;
const RUNS: usize = 500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("model.onnx");
    std::fs::write(&file, perceptron())?;
    let artifact = Artifact { model: "perceptron", directory: directory.path(), ..Artifact::default() };
    let options = Options { intra_op_threads: 1, ..Options::default() };
    let model = OnnxRuntime::new(options).load(&artifact, &Cancel::default())?;
    let executions: Arc<dyn Executions> = Arc::new(Nobody::default());
    let mut instance = model.instance(&InstanceSpec {
        name: String::new(),
        kind: InstanceKind::Cpu,
        batching: true,
        ragged: Arc::default(),
        executions,
    })?;
    let exchange: Arc<dyn Exchange> = Arc::new(Nobody::default());
    let input = Tensor::new(DType::F32, Shape::new(&[1, 64]), Bytes::from(floats(&[0.5; 64])));
    let request = || {
        let inputs = Inputs::from_iter([Some(input.clone())]);
        Request::new(inputs, Slots::all(1), 1, Meta::default(), Responder::new(Arc::clone(&exchange)))
    };
    let bare = Bare::new(file.to_str().ok_or("a path that is not UTF-8")?);

    let (mut with, mut without, mut making) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.push(per_run(|| drop(instance.execute(Batch::from(request())))));
        making.push(per_run(|| drop(Batch::from(request()))));
        without.push(per_run(|| bare.run()));
    }
    let (with, making, without) = (median(with), median(making), median(without));
    println!("execute {with:.0} ns, of which making the request {making:.0} ns; bare Run {without:.0} ns");
    println!("the boundary costs {:.0} ns", with - making - without);
    Ok(())
}

fn per_run(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..RUNS).for_each(|_| run());
    start.elapsed().as_nanos() as f64 / RUNS as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn perceptron() -> Vec<u8> {
    let mut graph = Graph { inputs: vec![tensor("x0", element::FLOAT, &[-1, 64])], ..Graph::default() };
    for (layer, [from, to]) in [[64, 256], [256, 256], [256, 10]].into_iter().enumerate() {
        let [weights, product, input, output] =
            [format!("w{layer}"), format!("p{layer}"), format!("x{layer}"), format!("x{}", layer + 1)];
        let numbers: Vec<f32> = (0..from * to).map(|i| (i % 13) as f32 * 0.01 - 0.06).collect();
        graph.initializers.push(initializer(&weights, element::FLOAT, &[from, to], &floats(&numbers)));
        graph.nodes.push(node("MatMul", &[&input, &weights], &[&product], &[]));
        graph.nodes.push(node("Relu", &[&product], &[&output], &[]));
    }
    graph.outputs.push(tensor("x3", element::FLOAT, &[-1, 10]));
    graph.model()
}

/// A server that takes everything and keeps nothing.
#[derive(Default)]
struct Nobody {
    cancel: Cancel,
}

impl Exchange for Nobody {
    fn respond(&self, response: Response) -> Sent {
        assert!(response.error.is_none(), "{response:?}");
        Sent::Taken
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    fn report(&self, _phases: &Phases, _result: Result<(), &BackendError>) {}

    fn release(&self) {}
}

impl Executions for Nobody {
    fn executed(&self, _rows: u32, _phases: &Phases) {}

    fn rerun(&self, _requests: usize) {}
}

/// The same session without anything around it.
struct Bare {
    session: *mut OrtSession,
    memory: *mut OrtMemoryInfo,
    input: [f32; 64],
    names: [CString; 2],
}

impl Bare {
    fn new(file: &str) -> Bare {
        let (api, file) = (ort::api(), CString::new(file).expect("a path has no NUL"));
        let (mut env, mut options, mut session, mut memory): (*mut OrtEnv, _, _, _) =
            (null_mut(), null_mut(), null_mut(), null_mut());
        // SAFETY: the library is loaded; every call gets what those before it made, and locals for its result. Nothing
        // is released before the process ends.
        unsafe {
            // Gives the process's one environment, threads and all.
            let level = OrtLoggingLevel::ORT_LOGGING_LEVEL_WARNING;
            assert!((api.CreateEnv)(level, c"bare".as_ptr(), &mut env).0.is_null());
            assert!((api.CreateSessionOptions)(&mut options).0.is_null());
            let optimization = GraphOptimizationLevel::ORT_ENABLE_ALL;
            assert!((api.SetSessionGraphOptimizationLevel)(options, optimization).0.is_null());
            assert!((api.DisablePerSessionThreads)(options).0.is_null());
            assert!((api.CreateSession)(env, file.as_ptr(), options, &mut session).0.is_null());
            let (arena, place) = (OrtAllocatorType::OrtArenaAllocator, OrtMemType::OrtMemTypeDefault);
            assert!((api.CreateCpuMemoryInfo)(arena, place, &mut memory).0.is_null());
        }
        Bare { session, memory, input: [0.5; 64], names: [c"x0".to_owned(), c"x3".to_owned()] }
    }

    fn run(&self) {
        let api = ort::api();
        let (mut input, mut output) = (null_mut(), null_mut());
        let names: [*const c_char; 2] = [self.names[0].as_ptr(), self.names[1].as_ptr()];
        let element = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
        let data = self.input.as_ptr().cast_mut().cast();
        // SAFETY: the session lives, names and memory outlive the calls, and values are released once.
        unsafe {
            let made = (api.CreateTensorWithDataAsOrtValue)(
                self.memory,
                data,
                256,
                [1, 64].as_ptr(),
                2,
                element,
                &mut input,
            );
            assert!(made.0.is_null());
            let values = [input.cast_const()];
            let ran =
                (api.Run)(self.session, null(), &names[0], values.as_ptr(), 1, &names[1], 1, &mut output);
            assert!(ran.0.is_null());
            (api.ReleaseValue)(output);
            (api.ReleaseValue)(input);
        }
    }
}
