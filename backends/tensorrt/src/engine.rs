#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::slice;
use std::sync::Arc;

use nerite_backend::{BackendError, Code, DType, Shape};
use nerite_cuda::Device;
use parking_lot::Mutex;

use crate::dtype;
use crate::library::Library;
use crate::logger;
use crate::profile::{InputRanges, Profile, Range};
use crate::runtime::Runtime;
use crate::vtable::{Dims, EngineMethods, Owned, call};

/// A model version on a device: an `ICudaEngine` and what it says of itself. The weights are here, once for all
/// instances.
pub(crate) struct Engine {
    engine: Owned,
    runtime: Runtime,
    /// What goes in, by slot.
    pub(crate) inputs: Vec<IoTensor>,
    /// What comes out, by slot.
    pub(crate) outputs: Vec<IoTensor>,
    /// What it takes together.
    pub(crate) profiles: Vec<Profile>,
    /// Held while a context is made.
    making: Mutex<()>,
}

// SAFETY: an engine belongs to no thread, but for the device that must be current.
unsafe impl Send for Engine {}
// SAFETY: all that is called through a shared reference reads, but for making contexts, which is done one at a time.
unsafe impl Sync for Engine {}

/// A tensor that goes in or comes out.
#[derive(Clone, Debug)]
pub(crate) struct IoTensor {
    pub(crate) name: CString,
    pub(crate) dtype: DType,
    /// With -1 for an extent that may vary.
    pub(crate) shape: Shape,
    /// Whether it is in the host's memory.
    pub(crate) on_host: bool,
    /// Whether its elements are extents of other tensors.
    pub(crate) is_shape: bool,
}

impl IoTensor {
    /// Its name, for errors and declarations.
    pub(crate) fn name(&self) -> &str {
        // Checked when it was read.
        self.name.to_str().unwrap_or_default()
    }
}

/// `OptProfileSelector`
#[derive(Clone, Copy)]
#[repr(i32)]
enum Select {
    Min = 0,
    Opt = 1,
    Max = 2,
}

impl Engine {
    /// Makes an engine of a plan, on the runtime's device, which is current. The error is TensorRT's own words, or says
    /// what cannot be served.
    pub(crate) fn new(mut runtime: Runtime, plan: &[u8]) -> Result<Engine, EngineError> {
        let engine = runtime.deserialize(plan).map_err(EngineError::Refused)?;
        let mut made = Engine {
            engine,
            runtime,
            inputs: Vec::new(),
            outputs: Vec::new(),
            profiles: Vec::new(),
            making: Mutex::new(()),
        };
        made.read_tensors().map_err(EngineError::Unserved)?;
        made.read_profiles().map_err(EngineError::Unserved)?;
        Ok(made)
    }

    /// The device that it is on.
    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.runtime.device
    }

    /// The library that it came from.
    pub(crate) fn library(&self) -> &Arc<Library> {
        &self.runtime.library
    }

    /// Makes an `IExecutionContext`, on the engine's device, which is current. It has memory for the largest tensors of
    /// any profile, and must not outlive the engine.
    pub(crate) fn make_context(&self) -> Result<Owned, BackendError> {
        const STATIC: i32 = 0;
        let slot = self.methods().create_context;
        let _one_at_a_time = self.making.lock();
        let (made, errors) = logger::errors_of(|| {
            // SAFETY: the slot is that of `createExecutionContext`.
            unsafe { call!(self.engine, slot, fn(i32) -> *mut c_void, STATIC) }
        });
        // SAFETY: it gives a context that is its caller's, or null.
        unsafe { Owned::from_raw(made) }.ok_or_else(|| {
            let message = format!(
                "{}: TensorRT cannot make an execution context ({}): serve fewer or smaller models on it, or fewer instances",
                self.device().label(),
                crate::runtime::told(&errors)
            );
            BackendError::new(Code::Unavailable, message)
        })
    }

    fn methods(&self) -> &'static EngineMethods {
        &self.runtime.library.methods().engine
    }

    fn read_tensors(&mut self) -> Result<(), String> {
        const INPUT: i32 = 1;
        // SAFETY: the slot is that of `getNbIOTensors`.
        let count = unsafe { call!(self.engine, self.methods().tensor_count, fn() -> i32) };
        for index in 0..count {
            // SAFETY: the slot is that of `getIOTensorName`, and the index is below the count; the name lives as long
            // as the engine.
            let name = unsafe {
                let name = call!(self.engine, self.methods().tensor_name, fn(i32) -> *const c_char, index);
                if name.is_null() { None } else { Some(CStr::from_ptr(name).to_owned()) }
            };
            let name = name.filter(|name| name.to_str().is_ok());
            let name = name.ok_or_else(|| format!("tensor {index} has a name that is not UTF-8"))?;
            let tensor = self.tensor(name)?;
            if self.number(self.methods().io_mode, &tensor.name) == INPUT {
                self.inputs.push(tensor);
            } else {
                self.outputs.push(tensor);
            }
        }
        Ok(())
    }

    fn tensor(&self, name: CString) -> Result<IoTensor, String> {
        const LINEAR: i32 = 0;
        const HOST: i32 = 1;
        let methods = self.methods();
        let shown = name.to_string_lossy();
        let dtype = dtype::of_number(self.number(methods.data_type, &name)).map_err(|what| {
            format!(
                "unsupported element type '{what}' for tensor '{shown}': the protocol has no such type, so cast it within \
                 the model"
            )
        })?;
        let format = self.number(methods.format, &name);
        if format != LINEAR {
            return Err(format!(
                "tensor '{shown}' has the format {format} and not the linear one: build the engine with linear inputs and \
                 outputs (trtexec --inputIOFormats=fp32:chw --outputIOFormats=fp32:chw)"
            ));
        }
        // SAFETY: the slots are those of `getTensorShape` and `isShapeInferenceIO`; the name outlives the calls.
        let (shape, is_shape) = unsafe {
            let shape = call!(self.engine, methods.shape, fn(*const c_char) -> Dims, name.as_ptr());
            (shape, call!(self.engine, methods.is_shape_tensor, fn(*const c_char) -> bool, name.as_ptr()))
        };
        let shape =
            shape.extents().map(Shape::new).ok_or_else(|| format!("tensor '{shown}' has no shape"))?;
        let on_host = self.number(methods.location, &name) == HOST;
        Ok(IoTensor { dtype, shape, on_host, is_shape, name })
    }

    /// Calls a method that takes a tensor's name and gives a number.
    fn number(&self, slot: usize, name: &CStr) -> i32 {
        // SAFETY: `data_type`, `format`, `location` and `io_mode` are such methods, and nothing else is given; an
        // enumeration of TensorRT is an `int32_t`. The name outlives the call.
        unsafe { call!(self.engine, slot, fn(*const c_char) -> i32, name.as_ptr()) }
    }

    fn read_profiles(&mut self) -> Result<(), String> {
        // SAFETY: the slot is that of `getNbOptimizationProfiles`.
        let count = unsafe { call!(self.engine, self.methods().profile_count, fn() -> i32) };
        for index in 0..count.max(1) {
            let inputs =
                self.inputs.iter().map(|input| self.ranges(input, index)).collect::<Result<_, String>>()?;
            self.profiles.push(Profile { inputs });
        }
        Ok(())
    }

    fn ranges(&self, input: &IoTensor, profile: i32) -> Result<InputRanges, String> {
        let shape = if input.shape.is_dynamic() {
            let select = |select| self.profile_shape(input, profile, select);
            Range { min: select(Select::Min)?, opt: select(Select::Opt)?, max: select(Select::Max)? }
        } else {
            let fixed = input.shape.to_vec();
            Range { min: fixed.clone(), opt: fixed.clone(), max: fixed }
        };
        let knows = input.is_shape && self.library().version().has_profile_values();
        let values = if knows { self.profile_value_range(input, profile, &shape) } else { None };
        Ok(InputRanges { shape, values })
    }

    fn profile_shape(&self, input: &IoTensor, profile: i32, select: Select) -> Result<Vec<i64>, String> {
        let (slot, name) = (self.methods().profile_shape, input.name.as_ptr());
        // SAFETY: the slot is that of `getProfileShape`; the name outlives the call.
        let dims = unsafe {
            call!(self.engine, slot, fn(*const c_char, i32, i32) -> Dims, name, profile, select as i32)
        };
        let extents = dims.extents().filter(|extents| extents.len() == input.shape.len());
        extents.map(<[i64]>::to_vec).ok_or_else(|| {
            format!(
                "optimization profile {profile} says nothing of input '{}': build the engine anew",
                input.name()
            )
        })
    }

    /// Which values the profile takes of a shape tensor; there are as many as it has elements.
    fn profile_value_range(&self, input: &IoTensor, profile: i32, shape: &Range) -> Option<Range> {
        let count = Shape::new(&shape.max).elements().filter(|_| shape.min == shape.max)?;
        let (slot, name) = (self.methods().profile_values, input.name.as_ptr());
        let values = |select: Select| {
            // SAFETY: the slot is that of `getProfileTensorValuesV2`, which this version has; the name outlives the
            // call. It gives null or as many values as the tensor, whose shape is fixed, has elements; they live as
            // long as the engine.
            unsafe {
                let values = call!(
                    self.engine,
                    slot,
                    fn(*const c_char, i32, i32) -> *const i64,
                    name,
                    profile,
                    select as i32
                );
                if values.is_null() { None } else { Some(slice::from_raw_parts(values, count).to_vec()) }
            }
        };
        Some(Range { min: values(Select::Min)?, opt: values(Select::Opt)?, max: values(Select::Max)? })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // TensorRT wants the device that it was made on; the fields, and so engine and runtime, are dropped after this.
        self.device().enter_to_release();
    }
}

/// Why there is no engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineError {
    /// TensorRT does not take the plan; in its words.
    Refused(String),
    /// There is something in it that cannot be served.
    Unserved(String),
}
