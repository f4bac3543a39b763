//! Running a session whose outputs are to stay on a device.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr::{NonNull, null, null_mut};
use std::slice;
use std::sync::Arc;

use nerite_backend::{DType, Slot};
use nerite_cuda::DevicePointer;
use ort::sys::{
    OrtAllocatorType, OrtIoBinding, OrtMemType, OrtMemoryInfo, OrtMemoryInfoDeviceType, OrtValue,
};

use crate::environment::made;
use crate::run::{Inputs, Values};
use crate::run_options::RunOptions;
use crate::session::Session;
use crate::status::{OrtError, ort_call};
use crate::value::Value;

/// Where the outputs of a run go, made once and used for one run after another.
pub(crate) struct Binding {
    binding: NonNull<OrtIoBinding>,
    device: MemoryInfo,
    session: Arc<Session>,
}

// SAFETY: a binding belongs to no thread.
unsafe impl Send for Binding {}

impl Binding {
    /// A binding for runs of that session, whose device has that number.
    pub(crate) fn new(session: &Arc<Session>, ordinal: u32) -> Result<Binding, OrtError> {
        let device = MemoryInfo::cuda(ordinal)?;
        let mut binding = null_mut();
        // SAFETY: the session lives as long as the binding, and the result goes to a local.
        unsafe { ort_call!(CreateIoBinding(session.as_ptr(), &mut binding)) }?;
        Ok(Binding { binding: made(binding)?, device, session: Arc::clone(session) })
    }

    /// Runs the session and gives the values of the outputs in those slots, in that order: numbers in the device's
    /// memory, strings in the host's. When it returns, the device is done with all of it.
    ///
    /// # Panics
    /// If a slot is not one of the session's.
    pub(crate) fn run(
        &mut self,
        options: &RunOptions,
        inputs: &Inputs<'_>,
        outputs: &[Slot],
    ) -> Result<Values, OrtError> {
        let values = self.run_bound(options, inputs, outputs);
        // What is bound is kept alive by that, and its memory is wanted for the next run.
        //
        // SAFETY: the binding lives and is ours alone.
        unsafe {
            (ort::api().ClearBoundInputs)(self.binding.as_ptr());
            (ort::api().ClearBoundOutputs)(self.binding.as_ptr());
        }
        values
    }

    fn run_bound(
        &mut self,
        options: &RunOptions,
        inputs: &Inputs<'_>,
        outputs: &[Slot],
    ) -> Result<Values, OrtError> {
        let binding = self.binding.as_ptr();
        for (slot, input) in inputs {
            let name = self.session.inputs()[*slot].as_ptr();
            // SAFETY: the binding is ours alone, name and value live. A value that the session wants on the device is
            // copied there by this call, which waits for it.
            unsafe { ort_call!(BindInput(binding, name, input.as_ptr())) }?;
        }
        for &slot in outputs {
            let name = self.session.outputs()[slot].as_ptr();
            let place = match self.session.output_type(slot) {
                DType::Bytes => self.session.environment().cpu.as_ptr().cast_const(),
                _ => self.device.0.as_ptr().cast_const(),
            };
            // SAFETY: as above; the place is copied.
            unsafe { ort_call!(BindOutputToDevice(binding, name, place)) }?;
        }
        // SAFETY: session, options and binding live, and the binding is of this session. The session may be used by
        // other threads, which have bindings of their own.
        unsafe { ort_call!(RunWithBinding(self.session.as_ptr(), options.as_ptr().cast_const(), binding)) }?;
        self.values(outputs.len())
    }

    fn values(&self, expected: usize) -> Result<Values, OrtError> {
        let allocator = self.session.environment().allocator.as_ptr();
        let (mut list, mut count) = (null_mut::<*mut OrtValue>(), 0);
        // SAFETY: the binding and the allocator live, and the results go to locals.
        unsafe { ort_call!(GetBoundOutputValues(self.binding.as_ptr(), allocator, &mut list, &mut count)) }?;
        let mut values = Values::new();
        if !list.is_null() {
            // SAFETY: the call gave as many values, in a list that is freed once by the allocator that it is from; the
            // values are ours now.
            unsafe {
                let each = slice::from_raw_parts(list.cast_const(), count).iter();
                values.extend(each.map(|&value| Value::from_raw(value)));
                ort_call!(AllocatorFree(allocator, list.cast()))?;
            }
        }
        if values.len() != expected {
            let message = format!("{} outputs where {expected} were bound", values.len());
            return Err(OrtError { code: OrtError::FAIL, message });
        }
        Ok(values)
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: made by `new`, released once, before its session.
        unsafe { (ort::api().ReleaseIoBinding)(self.binding.as_ptr()) }
    }
}

/// Says where memory is.
struct MemoryInfo(NonNull<OrtMemoryInfo>);

// SAFETY: it is never changed.
unsafe impl Send for MemoryInfo {}

impl MemoryInfo {
    fn cuda(ordinal: u32) -> Result<MemoryInfo, OrtError> {
        let number = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
        let (kind, memory) = (OrtAllocatorType::OrtDeviceAllocator, OrtMemType::OrtMemTypeDefault);
        let mut info = null_mut();
        // SAFETY: the name is a C string, and the result goes to a local.
        unsafe { ort_call!(CreateMemoryInfo(c"Cuda".as_ptr(), kind, number, memory, &mut info)) }?;
        made(info).map(MemoryInfo)
    }
}

impl Drop for MemoryInfo {
    fn drop(&mut self) {
        // SAFETY: made by `cuda`, released once; a binding copies it.
        unsafe { (ort::api().ReleaseMemoryInfo)(self.0.as_ptr()) }
    }
}

/// The address of a tensor's memory, if that is a device's.
pub(crate) fn device_address(value: &Value) -> Result<Option<DevicePointer>, OrtError> {
    let mut info = null();
    let mut device_type = OrtMemoryInfoDeviceType::OrtMemoryInfoDeviceType_CPU as i32;
    // SAFETY: the value lives, and so does what is read of it; results go to locals, the type through a number, because
    // a newer library may have more than the enumeration, which is `repr(i32)`.
    unsafe {
        ort_call!(GetTensorMemoryInfo(value.as_ptr(), &mut info))?;
        (ort::api().MemoryInfoGetDeviceType)(info, (&raw mut device_type).cast());
    }
    if device_type == OrtMemoryInfoDeviceType::OrtMemoryInfoDeviceType_CPU as i32 {
        return Ok(None);
    }
    let mut data = null();
    // SAFETY: the value lives and the result goes to a local.
    unsafe { ort_call!(GetTensorData(value.as_ptr(), &mut data)) }?;
    Ok(Some(data.addr() as DevicePointer))
}
