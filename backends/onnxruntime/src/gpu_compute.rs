//! Runs on a GPU.
#![allow(unsafe_code)]

use std::sync::Arc;

use bytes::Bytes;
use nerite_backend::{BackendError, Buffer, Compute, DType, Outputs, Run, Shape, Slot, Slots, Tensor};
use nerite_cuda::{Device, Lent, PinnedPool, Stream};
use smallvec::SmallVec;

use crate::binding::{Binding, device_address};
use crate::compute::{given, missing, wanted_slots, why_ended};
use crate::gpus;
use crate::output;
use crate::run::Inputs;
use crate::run_options::RunOptions;
use crate::session::Session;
use crate::value::Value;

/// One executor of a session on a GPU. (The fields are dropped in this order: what uses the session, then the session.)
pub(crate) struct GpuCompute {
    binding: Binding,
    stream: Stream,
    pool: Arc<PinnedPool>,
    options: Arc<RunOptions>,
    device: Arc<Device>,
    session: Arc<Session>,
}

/// An output on its way to the caller.
enum Landing {
    /// It is in the host's memory.
    Host(Tensor),
    /// It is copied there from the value, which has to live until the stream has been waited for.
    Fetched { lent: Lent, dtype: DType, shape: Shape, _value: Value },
}

type Landings = SmallVec<[Landing; 4]>;

impl GpuCompute {
    /// An executor of a session that is on that device.
    pub(crate) fn new(
        session: Arc<Session>,
        device: Arc<Device>,
        options: RunOptions,
    ) -> Result<GpuCompute, BackendError> {
        device.enter()?;
        let stream = Stream::new(&device)?;
        let binding = Binding::new(&session, device.ordinal())?;
        let pool = PinnedPool::new(&device);
        Ok(GpuCompute { binding, stream, pool, options: Arc::new(options), device, session })
    }

    /// Runs the session and brings its outputs to the host: each is copied once, into pinned memory that goes to the
    /// caller as it is. What was begun to be copied is in `landings`, whatever happens.
    fn run(
        &mut self,
        inputs: &Inputs<'_>,
        slots: &[Slot],
        run: &Run<'_>,
        landings: &mut Landings,
    ) -> Result<(), BackendError> {
        let options = Arc::clone(&self.options);
        let watch = run.cancel.map(|cancel| options.watch(cancel));
        let values = self.binding.run(&options, inputs, slots).map_err(|error| {
            let error = why_ended(watch.as_ref(), error);
            gpus::out_of_memory(&self.device, &error.message).unwrap_or(error)
        })?;
        drop(watch);
        // ONNX Runtime has used the device from this thread.
        self.device.enter()?;
        for (value, &slot) in values.into_iter().zip(slots) {
            let value = value.ok_or_else(|| missing(&self.session, slot))?;
            landings.push(self.land(value, inputs)?);
        }
        let is_copied = landings.iter().any(|landing| matches!(landing, Landing::Fetched { .. }));
        if is_copied { self.stream.wait() } else { Ok(()) }
    }

    /// Begins to copy an output, if it is not in the host's memory.
    fn land(&self, value: Value, inputs: &Inputs<'_>) -> Result<Landing, BackendError> {
        let Some(address) = device_address(&value)? else {
            return output::into_tensor(&self.session, value, inputs).map(Landing::Host);
        };
        let (dtype, shape, len) = output::measure(&value)?;
        if len == 0 {
            return Ok(Landing::Host(Tensor::new(dtype, shape, Buffer::from(Bytes::new()))));
        }
        let mut lent = self.pool.take(len)?;
        // SAFETY: the value's type and shape say how long its memory is, which is on this device; the run that wrote it
        // is over. Value and buffer go to a landing, of which `compute` lets go when it has waited for the stream.
        unsafe { self.stream.download_from(address, lent.buffer(), len) }?;
        Ok(Landing::Fetched { lent, dtype, shape, _value: value })
    }
}

impl Landing {
    /// The output, once the stream has been waited for.
    fn into_tensor(self) -> Tensor {
        match self {
            Landing::Host(tensor) => tensor,
            Landing::Fetched { lent, dtype, shape, _value } => {
                Tensor::new(dtype, shape, Buffer::from(lent.into_bytes()))
            }
        }
    }
}

impl Compute for GpuCompute {
    fn compute(
        &mut self,
        inputs: &[Option<Tensor>],
        wanted: &Slots,
        run: &Run<'_>,
    ) -> Result<Outputs, BackendError> {
        // ONNX Runtime copies inputs through whichever device is the thread's current one.
        self.device.enter()?;
        let slots = wanted_slots(&self.session, wanted);
        let mut outputs = Outputs::from_elem(None, self.session.outputs().len());
        if slots.is_empty() {
            return Ok(outputs);
        }
        let session = Arc::clone(&self.session);
        let inputs = given(&session, inputs)?;
        let mut landings = Landings::new();
        if let Err(error) = self.run(&inputs, &slots, run, &mut landings) {
            // No copy may go on when what it is from or to is used again, not even on a device that is lost. What such a
            // device says is nearer to the cause than what ONNX Runtime does.
            self.device.enter_to_release();
            return Err(self.stream.settle().err().unwrap_or(error));
        }
        for (slot, landing) in slots.into_iter().zip(landings) {
            outputs[slot] = Some(landing.into_tensor());
        }
        Ok(outputs)
    }
}
