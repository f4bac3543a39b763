use std::sync::Arc;

use nerite_backend::{BackendError, Compute, DType, Outputs, Run, Slots, Tensor, bools};
use nerite_cuda::{PinnedPool, Stream};
use smallvec::SmallVec;

use crate::context::Context;
use crate::engine::{Engine, IoTensor};
use crate::profile::{self, Given};
use crate::rooms::{InputRoom, Landing, OutputRoom, size};

/// Runs an engine for one caller at a time. (The fields are dropped in this order: what runs, then what it uses.)
pub(crate) struct TrtCompute {
    /// By profile; those that were not needed yet are not there.
    contexts: Vec<Option<Context>>,
    stream: Stream,
    /// By slot.
    inputs: Vec<InputRoom>,
    /// By slot.
    outputs: Vec<OutputRoom>,
    pool: Arc<PinnedPool>,
    profiles: Vec<usize>,
    engine: Arc<Engine>,
}

type Landings = SmallVec<[Landing; 4]>;

impl TrtCompute {
    /// An executor with a context for the first of those profiles.
    pub(crate) fn new(engine: Arc<Engine>, profiles: Vec<usize>) -> Result<TrtCompute, BackendError> {
        let device = engine.device();
        device.enter()?;
        let stream = Stream::new(device)?;
        let inputs = engine.inputs.iter();
        let outputs = engine.outputs.iter();
        let mut made = TrtCompute {
            contexts: engine.profiles.iter().map(|_| None).collect(),
            stream,
            inputs: inputs.map(|_| InputRoom::new(device)).collect(),
            outputs: outputs.map(|_| OutputRoom::new(device)).collect(),
            pool: PinnedPool::new(device),
            profiles,
            engine: Arc::clone(&engine),
        };
        if let Some(&first) = made.profiles.first() {
            made.make_context(first)?;
        }
        Ok(made)
    }

    fn make_context(&mut self, profile: usize) -> Result<(), BackendError> {
        let made = Context::new(&self.engine, profile, &self.stream)?;
        let place = self.contexts.get_mut(profile);
        *place.ok_or_else(|| BackendError::internal("an engine lost a profile"))? = Some(made);
        Ok(())
    }

    /// Begins a run and waits for it. What it writes to is in `landings`, whatever happens.
    fn run(
        &mut self,
        inputs: &[Option<Tensor>],
        wanted: &Slots,
        landings: &mut Landings,
    ) -> Result<(), BackendError> {
        let engine = Arc::clone(&self.engine);
        let inputs = given(&engine, inputs)?;
        let profile = choose(&engine, &self.profiles, &inputs)?;
        if self.contexts.get(profile).is_some_and(Option::is_none) {
            self.make_context(profile)?;
        }
        let context = self.contexts.get_mut(profile).and_then(Option::as_mut);
        let context = context.ok_or_else(|| BackendError::internal("an engine lost a profile"))?;
        // TensorRT writes to what it knows as an output on the host when it works out shapes, and what it knows is the
        // last run's, which is no longer ours.
        for tensor in engine.outputs.iter().filter(|tensor| tensor.on_host) {
            context.forget_address(tensor)?;
        }
        for ((tensor, room), (given, bytes)) in engine.inputs.iter().zip(&mut self.inputs).zip(&inputs) {
            room.place(context, engine.device(), tensor, (given.shape, bytes))?;
        }
        context.infer_shapes()?;
        for (tensor, room) in engine.outputs.iter().zip(&mut self.outputs) {
            landings.push(room.place(context, &self.pool, &engine, tensor)?);
        }
        // All memory is there: to free what was too small while a device works would make it wait.
        for (room, (_, bytes)) in self.inputs.iter().zip(&inputs) {
            room.upload(&self.stream, bytes.len())?;
        }
        let begun = context.enqueue(&self.stream);
        for (slot, (tensor, room)) in engine.outputs.iter().zip(&mut self.outputs).enumerate() {
            if let Some(landing) = landings.get_mut(slot) {
                room.learn(tensor, landing, begun.is_ok())?;
                if begun.is_ok() && wanted.contains(slot) {
                    room.fetch(&self.stream, &self.pool, tensor, landing)?;
                }
            }
        }
        begun?;
        self.stream.wait()
    }
}

impl Compute for TrtCompute {
    fn compute(
        &mut self,
        inputs: &[Option<Tensor>],
        wanted: &Slots,
        _run: &Run<'_>,
    ) -> Result<Outputs, BackendError> {
        self.engine.device().enter()?;
        let mut landings = Landings::new();
        if let Err(error) = self.run(inputs, wanted, &mut landings) {
            // Nothing that was begun may still go on when its memory is used again. What the device says of it is
            // nearer to the cause than what TensorRT does.
            return Err(self.stream.settle().err().unwrap_or(error));
        }
        let landed = self.engine.outputs.iter().zip(landings).enumerate();
        let each = landed
            .map(|(slot, (tensor, landing))| landing.into_tensor(tensor).filter(|_| wanted.contains(slot)));
        Ok(each.collect())
    }
}

/// The inputs by slot, each with its bytes, all checked.
fn given<'a>(
    engine: &'a Engine,
    inputs: &'a [Option<Tensor>],
) -> Result<Vec<(Given<'a>, &'a [u8])>, BackendError> {
    let each = engine.inputs.iter().enumerate().map(|(slot, declared)| {
        let tensor = inputs.get(slot).and_then(Option::as_ref);
        let tensor =
            tensor.ok_or_else(|| BackendError::invalid(format!("input '{}' is missing", declared.name())))?;
        let bytes = checked(declared, tensor)?;
        let values = if declared.is_shape { values(declared.dtype, bytes) } else { None };
        Ok((Given { name: declared.name(), shape: &tensor.shape, values }, bytes))
    });
    each.collect()
}

/// The tensor's bytes, if they are what type and shape say.
fn checked<'a>(declared: &IoTensor, tensor: &'a Tensor) -> Result<&'a [u8], BackendError> {
    let wrong = |what: String| BackendError::invalid(format!("input '{}' {what}", declared.name()));
    if tensor.dtype != declared.dtype {
        return Err(wrong(format!("has type {}, and the model takes {}", tensor.dtype, declared.dtype)));
    }
    let bytes =
        tensor.data.contiguous().ok_or_else(|| wrong("is not in one piece of host memory".to_owned()))?;
    if size(declared, &tensor.shape)? != bytes.len() {
        return Err(wrong(format!("has {} bytes, which do not fit its shape {}", bytes.len(), tensor.shape)));
    }
    match bools::first_stray(bytes).filter(|_| tensor.dtype == DType::Bool) {
        Some((place, byte)) => Err(wrong(format!("has the byte {byte} at {place}, but a BOOL is 0 or 1"))),
        None => Ok(bytes),
    }
}

/// The elements of a shape tensor.
fn values(dtype: DType, bytes: &[u8]) -> Option<Vec<i64>> {
    match dtype {
        DType::I32 => {
            Some(bytes.as_chunks::<4>().0.iter().map(|&bytes| i32::from_ne_bytes(bytes).into()).collect())
        }
        DType::I64 => Some(bytes.as_chunks::<8>().0.iter().map(|&bytes| i64::from_ne_bytes(bytes)).collect()),
        _ => None,
    }
}

fn choose(engine: &Engine, allowed: &[usize], inputs: &[(Given<'_>, &[u8])]) -> Result<usize, BackendError> {
    let inputs: SmallVec<[Given<'_>; 4]> = inputs.iter().map(|(given, _)| given.clone()).collect();
    profile::choose(&engine.profiles, allowed, &inputs).map_err(BackendError::invalid)
}
