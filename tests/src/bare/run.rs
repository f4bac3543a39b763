//! The floor under a server of models: the network's thread calls `Run` itself, and nothing stands between.
//!
//! Names and buffers are bound to the session once, so that a run is one call and two copies of a row. There are no
//! checks, queues, batches, names of models or counts.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use nerite_proto::inference::model_infer_response::InferOutputTensor;
use nerite_proto::inference::{ModelInferRequest, ModelInferResponse};
use ort::environment::Environment;
use ort::memory::Allocator;
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, Tensor};
use tonic::Status;

use super::Infer;

/// Answers a request with one row of the FP32 output that a model makes of one row of its FP32 input.
#[derive(Clone)]
pub struct Run {
    idle: Arc<Mutex<Vec<Bound>>>,
    /// All of an answer but the numbers.
    answer: Arc<ModelInferResponse>,
}

impl Run {
    /// The model in that file, for as many requests at once. ONNX Runtime's library is that of `ORT_DYLIB_PATH`.
    pub fn new(file: &Path, at_once: usize) -> anyhow::Result<Run> {
        let library = std::env::var_os("ORT_DYLIB_PATH").context("ORT_DYLIB_PATH names no library")?;
        let environment = ort::init_from(library)?.with_name("bare").with_telemetry(false).build()?;
        let idle =
            (0..at_once).map(|_| Bound::new(&environment, file)).collect::<anyhow::Result<Vec<_>>>()?;
        let output = idle.first().context("no request at once")?.declare()?;
        let answer = ModelInferResponse {
            model_name: "bare".to_owned(),
            model_version: "1".to_owned(),
            outputs: vec![output],
            ..ModelInferResponse::default()
        };
        Ok(Run { idle: Arc::new(Mutex::new(idle)), answer: Arc::new(answer) })
    }
}

impl Infer for Run {
    fn infer(&self, request: &ModelInferRequest) -> Result<ModelInferResponse, Status> {
        let row =
            request.raw_input_contents.first().ok_or_else(|| Status::invalid_argument("no contents"))?;
        let lock = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = lock().pop();
        let mut bound = taken.ok_or_else(|| Status::resource_exhausted("more requests than threads"))?;
        let numbers = bound.run(row);
        lock().push(bound);
        let numbers = numbers.map_err(|error| Status::internal(error.to_string()))?;
        let mut answer = ModelInferResponse::clone(&self.answer);
        answer.raw_output_contents.push(numbers.into());
        Ok(answer)
    }
}

/// A session with the buffers that it reads and writes. Each has its own, as `ort` takes a session for one run at a
/// time.
struct Bound {
    session: Session,
    binding: IoBinding,
    input: Tensor<f32>,
}

impl Bound {
    fn new(environment: &Environment, file: &Path) -> anyhow::Result<Bound> {
        // A model for this floor is small: it is computed on the thread that asks.
        let one_thread = Session::builder(environment)?.with_intra_threads(1).map_err(ort::Error::<()>::from);
        let session = one_thread?.commit_from_file(file)?;
        let ([from], [to]) = (session.inputs(), session.outputs()) else {
            anyhow::bail!("the model has more than one input or output");
        };
        let input = Tensor::<f32>::new(&Allocator::default(), row(from)?)?;
        let output = Tensor::<f32>::new(&Allocator::default(), row(to)?)?;
        let mut binding = session.create_binding()?;
        binding.bind_input(from.name(), &input)?;
        binding.bind_output(to.name(), output)?;
        Ok(Bound { session, binding, input })
    }

    /// What an answer says of the output.
    fn declare(&self) -> anyhow::Result<InferOutputTensor> {
        let output = self.session.outputs().first().context("an output")?;
        Ok(InferOutputTensor {
            name: output.name().to_owned(),
            datatype: "FP32".to_owned(),
            shape: row(output)?,
            ..InferOutputTensor::default()
        })
    }

    fn run(&mut self, row: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (_, input) = self.input.extract_tensor_mut();
        let (words, []) = row.as_chunks::<4>() else { anyhow::bail!("{} bytes", row.len()) };
        anyhow::ensure!(words.len() == input.len(), "{} numbers for {}", words.len(), input.len());
        for (number, word) in input.iter_mut().zip(words) {
            *number = f32::from_le_bytes(*word);
        }
        let outputs = self.session.run_binding(&self.binding)?;
        let (_, numbers) = outputs[0].try_extract_tensor::<f32>()?;
        Ok(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    }
}

/// The shape of one row.
fn row(outlet: &Outlet) -> anyhow::Result<Vec<i64>> {
    let shape = outlet.dtype().tensor_shape().with_context(|| format!("{} is no tensor", outlet.name()))?;
    Ok(shape.iter().map(|&extent| extent.max(1)).collect())
}
