//! Where the tensors of a run are.

use std::sync::Arc;

use bytes::Bytes;
use nerite_backend::{BackendError, Buffer, Shape, Tensor};
use nerite_cuda::{Device, DeviceBuffer, Lent, PinnedBuffer, PinnedPool, Stream};

use crate::allocator::OutputAllocator;
use crate::context::Context;
use crate::engine::{Engine, IoTensor};

/// Memory for an input.
pub(crate) struct InputRoom {
    pinned: Option<PinnedBuffer>,
    /// Without memory for an input that stays on the host.
    device: DeviceBuffer,
}

/// Memory for an output.
pub(crate) struct OutputRoom {
    device: DeviceBuffer,
    /// For one whose size is not known before the run.
    allocator: Option<OutputAllocator>,
}

/// An output of a run.
pub(crate) struct Landing {
    place: Place,
    /// Not known yet where only the run can tell it.
    shape: Shape,
    /// Where it is, or is being copied to, in the host's memory. It must stay until the stream has come to rest.
    memory: Option<Lent>,
}

/// Where TensorRT writes an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To the room's buffer on the device.
    Device,
    /// To the landing's memory on the host.
    Host,
    /// To where its allocator says, on the device.
    Unknown,
}

impl InputRoom {
    /// No memory yet.
    pub(crate) fn new(device: &Arc<Device>) -> InputRoom {
        InputRoom { pinned: None, device: DeviceBuffer::new(device) }
    }

    /// Takes an input, and says to the context where it will be.
    pub(crate) fn place(
        &mut self,
        context: &mut Context,
        device: &Arc<Device>,
        tensor: &IoTensor,
        (shape, bytes): (&[i64], &[u8]),
    ) -> Result<(), BackendError> {
        let pinned = self.pinned(device, bytes.len())?;
        pinned.as_mut_slice()[..bytes.len()].copy_from_slice(bytes);
        if tensor.on_host {
            context.set_host_address(tensor, pinned)?;
            return context.set_input_shape(tensor, shape);
        }
        context.set_input_shape(tensor, shape)?;
        self.device.reserve(bytes.len())?;
        context.set_device_address(tensor, &self.device)
    }

    /// The pinned buffer, with room for so many bytes.
    fn pinned(&mut self, device: &Arc<Device>, len: usize) -> Result<&mut PinnedBuffer, BackendError> {
        // The old one goes first, to make room for the new.
        self.pinned.take_if(|pinned| pinned.capacity() < len);
        match &mut self.pinned {
            Some(pinned) => Ok(pinned),
            place => Ok(place.insert(PinnedBuffer::new(device, len)?)),
        }
    }

    /// Begins to copy so many bytes to the device, unless the input stays on the host.
    pub(crate) fn upload(&self, stream: &Stream, len: usize) -> Result<(), BackendError> {
        match &self.pinned {
            Some(pinned) if len > 0 && self.device.address() != 0 => stream.upload(pinned, &self.device, len),
            _ => Ok(()),
        }
    }
}

impl OutputRoom {
    /// No memory yet.
    pub(crate) fn new(device: &Arc<Device>) -> OutputRoom {
        OutputRoom { device: DeviceBuffer::new(device), allocator: None }
    }

    /// Makes room for an output, and says to the context where it is to go.
    pub(crate) fn place(
        &mut self,
        context: &mut Context,
        pool: &Arc<PinnedPool>,
        engine: &Engine,
        tensor: &IoTensor,
    ) -> Result<Landing, BackendError> {
        let shape = context.shape(tensor)?;
        if shape.is_dynamic() {
            if tensor.on_host {
                return Err(BackendError::internal(format!(
                    "output '{}' is in the host's memory and has the shape {shape}, which TensorRT does not know before \
                     the run",
                    tensor.name()
                )));
            }
            let product = engine.library().version().product;
            let allocator =
                self.allocator.get_or_insert_with(|| OutputAllocator::new(engine.device(), product));
            allocator.begin();
            context.set_allocator(tensor, allocator)?;
            return Ok(Landing { place: Place::Unknown, shape, memory: None });
        }
        let len = size(tensor, &shape)?;
        if tensor.on_host {
            let mut memory = pool.take(len)?;
            context.set_host_address(tensor, memory.buffer())?;
            return Ok(Landing { place: Place::Host, shape, memory: Some(memory) });
        }
        self.device.reserve(len)?;
        context.set_device_address(tensor, &self.device)?;
        Ok(Landing { place: Place::Device, shape, memory: None })
    }

    /// Asks the allocator, if the output has one, what the run told it. A failure of its own says more than TensorRT's.
    pub(crate) fn learn(
        &mut self,
        tensor: &IoTensor,
        landing: &mut Landing,
        begun: bool,
    ) -> Result<(), BackendError> {
        let Some(allocator) = self.allocator.as_mut().filter(|_| landing.place == Place::Unknown) else {
            return Ok(());
        };
        let (shape, _) = allocator.result()?;
        match shape.filter(|shape| !shape.is_dynamic()) {
            Some(shape) => landing.shape = shape,
            None if begun => {
                let message = format!("TensorRT gave no shape of output '{}'", tensor.name());
                return Err(BackendError::internal(message));
            }
            None => {}
        }
        Ok(())
    }

    /// Begins to copy an output to the host.
    pub(crate) fn fetch(
        &mut self,
        stream: &Stream,
        pool: &Arc<PinnedPool>,
        tensor: &IoTensor,
        landing: &mut Landing,
    ) -> Result<(), BackendError> {
        let memory = match (landing.place, &mut self.allocator) {
            (Place::Host, _) => return Ok(()),
            (Place::Unknown, Some(allocator)) => allocator.result()?.1,
            (Place::Device | Place::Unknown, _) => &self.device,
        };
        let len = size(tensor, &landing.shape)?;
        if len > memory.capacity() {
            let (name, shape) = (tensor.name(), &landing.shape);
            let message = format!(
                "TensorRT says that output '{name}' has shape {shape}, for which it asked for no memory"
            );
            return Err(BackendError::internal(message));
        }
        let lent = landing.memory.insert(pool.take(len)?);
        if len > 0 { stream.download(memory, lent.buffer(), len) } else { Ok(()) }
    }
}

impl Landing {
    /// The output once the run is over; `None` if it was not fetched.
    pub(crate) fn into_tensor(self, tensor: &IoTensor) -> Option<Tensor> {
        let memory = self.memory?;
        let bytes = if self.shape.contains(&0) { Bytes::new() } else { memory.into_bytes() };
        Some(Tensor::new(tensor.dtype, self.shape, Buffer::from(bytes)))
    }
}

/// How many bytes a tensor of that shape has.
pub(crate) fn size(tensor: &IoTensor, shape: &Shape) -> Result<usize, BackendError> {
    let elements = shape.elements();
    let size = elements.and_then(|elements| elements.checked_mul(tensor.dtype.size()?));
    size.ok_or_else(|| {
        BackendError::invalid(format!(
            "tensor '{}' has the shape {shape}, which no tensor can have",
            tensor.name()
        ))
    })
}
