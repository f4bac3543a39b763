#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};
use std::ptr::null_mut;
use std::sync::Arc;

use nerite_backend::{BackendError, Shape};
use nerite_cuda::{DeviceBuffer, PinnedBuffer, Stream, StreamHandle};

use crate::allocator::OutputAllocator;
use crate::engine::{Engine, IoTensor};
use crate::logger;
use crate::runtime::told;
use crate::vtable::{ContextMethods, Dims, Owned, call};

/// An `IExecutionContext`, set to one of the engine's optimisation profiles.
///
/// The device is current whenever it is called, and the memory that it was told of stays until it was told of other, or
/// the stream has come to rest.
pub(crate) struct Context {
    context: Owned,
    /// It must outlive the context.
    engine: Arc<Engine>,
}

// SAFETY: a context belongs to no thread; it is used by one at a time, which the exclusive references see to.
unsafe impl Send for Context {}

impl Context {
    /// A context for that profile; `stream` is where it will be used.
    pub(crate) fn new(
        engine: &Arc<Engine>,
        profile: usize,
        stream: &Stream,
    ) -> Result<Context, BackendError> {
        let mut made = Context { context: engine.make_context()?, engine: Arc::clone(engine) };
        // A new one has the first.
        if profile != 0 {
            made.set_profile(profile, stream)?;
        }
        Ok(made)
    }

    fn set_profile(&mut self, profile: usize, stream: &Stream) -> Result<(), BackendError> {
        let number = i32::try_from(profile).unwrap_or(i32::MAX);
        let (slot, stream) = (self.methods().set_profile, stream.handle());
        let (set, errors) = logger::errors_of(|| {
            // SAFETY: the slot is that of `setOptimizationProfileAsync`, and the stream lives.
            unsafe { call!(self.context, slot, fn(i32, StreamHandle) -> bool, number, stream) }
        });
        if set {
            Ok(())
        } else {
            Err(failed(format_args!("optimization profile {profile} cannot be set"), &errors))
        }
    }

    /// Says which shape an input has.
    pub(crate) fn set_input_shape(&mut self, input: &IoTensor, shape: &[i64]) -> Result<(), BackendError> {
        let dims = Dims::new(shape).ok_or_else(|| {
            BackendError::invalid(format!("input '{}' has more dimensions than TensorRT knows", input.name()))
        })?;
        let (slot, name) = (self.methods().set_input_shape, input.name.as_ptr());
        let (set, errors) = logger::errors_of(|| {
            // SAFETY: the slot is that of `setInputShape`; name and dims outlive the call.
            unsafe {
                call!(self.context, slot, fn(*const c_char, *const Dims) -> bool, name, &raw const dims)
            }
        });
        let shape = Shape::new(shape);
        if set {
            Ok(())
        } else {
            Err(failed(format_args!("input '{}' cannot have shape {shape}", input.name()), &errors))
        }
    }

    /// Says where a tensor is on the device.
    pub(crate) fn set_device_address(
        &mut self,
        tensor: &IoTensor,
        memory: &DeviceBuffer,
    ) -> Result<(), BackendError> {
        self.set_address(&tensor.name, memory.address() as *mut c_void)
    }

    /// Says where a tensor is in the host's memory.
    pub(crate) fn set_host_address(
        &mut self,
        tensor: &IoTensor,
        memory: &PinnedBuffer,
    ) -> Result<(), BackendError> {
        self.set_address(&tensor.name, memory.as_ptr().cast())
    }

    /// Says that the place of a tensor is not known yet.
    pub(crate) fn forget_address(&mut self, tensor: &IoTensor) -> Result<(), BackendError> {
        self.set_address(&tensor.name, null_mut())
    }

    fn set_address(&mut self, name: &CStr, address: *mut c_void) -> Result<(), BackendError> {
        let slot = self.methods().set_address;
        let (set, errors) = logger::errors_of(|| {
            // SAFETY: the slot is that of `setTensorAddress`; the name outlives the call, and the memory is the
            // caller's business until the stream has come to rest.
            unsafe {
                call!(self.context, slot, fn(*const c_char, *mut c_void) -> bool, name.as_ptr(), address)
            }
        });
        let shown = name.to_string_lossy();
        if set { Ok(()) } else { Err(failed(format_args!("memory for '{shown}' cannot be set"), &errors)) }
    }

    /// Says who gives memory for an output when its size is known.
    pub(crate) fn set_allocator(
        &mut self,
        output: &IoTensor,
        allocator: &OutputAllocator,
    ) -> Result<(), BackendError> {
        self.forget_address(output)?;
        let (slot, name, allocator) =
            (self.methods().set_allocator, output.name.as_ptr(), allocator.as_ptr());
        let (set, errors) = logger::errors_of(|| {
            // SAFETY: the slot is that of `setOutputAllocator`; the allocator outlives the context.
            unsafe { call!(self.context, slot, fn(*const c_char, *mut c_void) -> bool, name, allocator) }
        });
        if set {
            Ok(())
        } else {
            Err(failed(format_args!("output '{}' has no allocator", output.name()), &errors))
        }
    }

    /// Works out the shapes of the outputs from the inputs' shapes and from the values of shape tensors, all of which
    /// were set.
    pub(crate) fn infer_shapes(&mut self) -> Result<(), BackendError> {
        let slot = self.methods().infer_shapes;
        let (missing, errors) = logger::errors_of(|| {
            // SAFETY: the slot is that of `inferShapes`, which writes no names where it is given room for none.
            unsafe { call!(self.context, slot, fn(i32, *mut *const c_char) -> i32, 0, null_mut()) }
        });
        if missing == 0 {
            Ok(())
        } else {
            Err(failed(format_args!("the inputs do not fit together"), &errors))
        }
    }

    /// The shape of an output, with -1 for an extent that only the run can tell.
    pub(crate) fn shape(&self, output: &IoTensor) -> Result<Shape, BackendError> {
        let (slot, name) = (self.methods().shape, output.name.as_ptr());
        // SAFETY: the slot is that of `getTensorShape`; the name outlives the call.
        let dims = unsafe { call!(self.context, slot, fn(*const c_char) -> Dims, name) };
        let extents = dims.extents().map(Shape::new);
        extents.ok_or_else(|| failed(format_args!("output '{}' has no shape", output.name()), ""))
    }

    /// Begins the run on the stream.
    pub(crate) fn enqueue(&mut self, stream: &Stream) -> Result<(), BackendError> {
        let (slot, stream) = (self.methods().enqueue, stream.handle());
        let (begun, errors) = logger::errors_of(|| {
            // SAFETY: the slot is that of `enqueueV3`, and the stream lives. The memory that it uses stays until the
            // stream has come to rest.
            unsafe { call!(self.context, slot, fn(StreamHandle) -> bool, stream) }
        });
        if begun { Ok(()) } else { Err(failed(format_args!("the model could not be executed"), &errors)) }
    }

    fn methods(&self) -> &'static ContextMethods {
        &self.engine.library().methods().context
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // TensorRT wants the device that it was made on; the fields are dropped after this.
        self.engine.device().enter_to_release();
    }
}

fn failed(what: std::fmt::Arguments<'_>, errors: &str) -> BackendError {
    BackendError::internal(format!("TensorRT: {what} ({})", told(errors)))
}
