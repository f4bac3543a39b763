//! A model version in memory.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::path::Path;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;

use nerite_backend::{BackendError, Code, DType, Declaration, Shape, Slot, TensorDeclaration};
use nerite_cuda::Device;
use ort::sys::{ONNXType, OrtAllocator, OrtSession, OrtStatusPtr, OrtTypeInfo};

use crate::environment::{Environment, made};
use crate::session_options::SessionOptions;
use crate::status::{OrtError, check, ort_call};
use crate::types;

/// An ONNX Runtime session with the names of what goes in and out.
pub(crate) struct Session {
    session: NonNull<OrtSession>,
    environment: &'static Environment,
    /// By slot: first what the model needs, then the initializers that a request may override.
    inputs: Vec<CString>,
    /// By slot.
    outputs: Vec<CString>,
    /// By slot.
    output_types: Vec<DType>,
    /// The GPU that it is on, if it is on one. (Dropped last, when nothing uses it any more.)
    device: Option<Arc<Device>>,
}

// SAFETY: a session belongs to no thread.
unsafe impl Send for Session {}
// SAFETY: a session's `Run` may be called from several threads at once, and all else that is done to it only reads.
unsafe impl Sync for Session {}

/// One of a session's three lists of tensors.
#[derive(Clone, Copy)]
struct List {
    count: unsafe extern "system" fn(*const OrtSession, *mut usize) -> OrtStatusPtr,
    name: unsafe extern "system" fn(
        *const OrtSession,
        usize,
        *mut OrtAllocator,
        *mut *mut c_char,
    ) -> OrtStatusPtr,
    type_info: unsafe extern "system" fn(*const OrtSession, usize, *mut *mut OrtTypeInfo) -> OrtStatusPtr,
    /// What its members are called in errors.
    noun: &'static str,
    is_input: bool,
    optional: bool,
}

impl Session {
    /// Reads the model in that file. A session whose options have providers for a GPU is on that device.
    pub(crate) fn open(
        environment: &'static Environment,
        file: &Path,
        options: &SessionOptions,
        device: Option<Arc<Device>>,
    ) -> Result<Session, OrtError> {
        let path = CString::new(file.as_os_str().as_encoded_bytes()).map_err(|_| OrtError {
            code: OrtError::NO_SUCH_FILE,
            message: "a NUL in the file's path".to_string(),
        })?;
        let mut session = null_mut();
        // SAFETY: the environment lives forever, path and options outlive the call, and the result goes to a local.
        unsafe {
            ort_call!(CreateSession(
                environment.env.as_ptr(),
                path.as_ptr(),
                options.as_ptr(),
                &mut session
            ))?;
        }
        Ok(Session {
            session: made(session)?,
            environment,
            inputs: Vec::new(),
            outputs: Vec::new(),
            output_types: Vec::new(),
            device,
        })
    }

    /// What the model says of itself; the session goes by its slots from then on. Fails if there is something in it
    /// that the protocol cannot carry.
    pub(crate) fn declare(&mut self) -> Result<Declaration, BackendError> {
        let api = ort::api();
        let inputs = List {
            count: api.SessionGetInputCount,
            name: api.SessionGetInputName,
            type_info: api.SessionGetInputTypeInfo,
            noun: "input",
            is_input: true,
            optional: false,
        };
        let overridable = List {
            count: api.SessionGetOverridableInitializerCount,
            name: api.SessionGetOverridableInitializerName,
            type_info: api.SessionGetOverridableInitializerTypeInfo,
            noun: "optional input",
            is_input: true,
            optional: true,
        };
        let outputs = List {
            count: api.SessionGetOutputCount,
            name: api.SessionGetOutputName,
            type_info: api.SessionGetOutputTypeInfo,
            noun: "output",
            is_input: false,
            optional: false,
        };
        let mut declaration = Declaration::default();
        (self.inputs, declaration.inputs) = self.read(inputs)?.into_iter().unzip();
        for (name, tensor) in self.read(overridable)? {
            self.inputs.push(name);
            declaration.inputs.push(tensor);
        }
        (self.outputs, declaration.outputs) = self.read(outputs)?.into_iter().unzip();
        self.output_types = declaration.outputs.iter().map(|output| output.dtype).collect();
        Ok(declaration)
    }

    fn read(&self, list: List) -> Result<Vec<(CString, TensorDeclaration)>, BackendError> {
        let mut count = 0;
        // SAFETY: the session lives, and the result goes to a local.
        unsafe { check((list.count)(self.as_ptr(), &mut count)) }?;
        (0..count)
            .map(|index| {
                let name = self.name(list, index)?;
                let tensor = self.tensor(list, index, &name)?;
                Ok((name, tensor))
            })
            .collect()
    }

    fn name(&self, list: List, index: usize) -> Result<CString, OrtError> {
        let allocator = self.environment.allocator.as_ptr();
        let mut name = null_mut();
        // SAFETY: the session and the allocator live, the index is below the list's count, and the result goes to a
        // local. It is a C string that is ours, copied, and then freed by the allocator that it came from.
        unsafe {
            check((list.name)(self.as_ptr(), index, allocator, &mut name))?;
            let copy = CStr::from_ptr(name).to_owned();
            ort_call!(AllocatorFree(allocator, name.cast()))?;
            Ok(copy)
        }
    }

    fn tensor(&self, list: List, index: usize, name: &CStr) -> Result<TensorDeclaration, BackendError> {
        let noun = list.noun;
        let refuse = |why: String| Err(BackendError::new(Code::Unsupported, why));
        let Ok(name) = name.to_str() else {
            return refuse(format!("{noun} {index} has a name that is not UTF-8: {name:?}"));
        };
        let mut info = null_mut();
        // SAFETY: the session lives, the index is below the list's count, and the result goes to a local.
        unsafe { check((list.type_info)(self.as_ptr(), index, &mut info)) }?;
        let info = TypeInfo(made(info)?);
        let (kind, tensor) = (info.kind()?, info.tensor()?);
        let Some(tensor) = tensor.filter(|_| kind == ONNXType::ONNX_TYPE_TENSOR as i32) else {
            let kind = kind_name(kind);
            return refuse(format!(
                "unsupported ONNX type '{kind}' for {noun} '{name}': only tensors can be served, so export the model with tensors \
                 alone"
            ));
        };
        let Some(dtype) = types::from_onnx(tensor.element_type) else {
            let element_type = types::uncarried_name(tensor.element_type);
            return refuse(format!(
                "unsupported element type '{element_type}' for {noun} '{name}': the protocol has no such type, so cast it \
                 within the model"
            ));
        };
        if !tensor.has_rank && list.is_input {
            return refuse(format!(
                "{noun} '{name}' has no declared shape, not even a number of dimensions: give it one in the model"
            ));
        }
        // An output without a rank is declared like a scalar, for want of a better word; what is served is its true shape.
        Ok(TensorDeclaration { name: name.to_string(), dtype, shape: tensor.shape, optional: list.optional })
    }

    /// For reading and running. ONNX Runtime's `Run` asks for a mutable pointer and may all the same be called from
    /// several threads at once.
    pub(crate) fn as_ptr(&self) -> *mut OrtSession {
        self.session.as_ptr()
    }

    /// The environment that it lives in.
    pub(crate) fn environment(&self) -> &'static Environment {
        self.environment
    }

    /// The names of its inputs by slot.
    pub(crate) fn inputs(&self) -> &[CString] {
        &self.inputs
    }

    /// The names of its outputs by slot.
    pub(crate) fn outputs(&self) -> &[CString] {
        &self.outputs
    }

    /// The type of an output.
    ///
    /// # Panics
    /// If there is none in that slot.
    pub(crate) fn output_type(&self, slot: Slot) -> DType {
        self.output_types[slot]
    }

    /// The GPU that it is on, if it is on one.
    pub(crate) fn device(&self) -> Option<&Arc<Device>> {
        self.device.as_ref()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: made by `open`, released once; runs borrow the session and outputs keep it alive.
        unsafe { (ort::api().ReleaseSession)(self.session.as_ptr()) }
    }
}

/// What a session says of one tensor.
struct TypeInfo(NonNull<OrtTypeInfo>);

struct TensorInfo {
    element_type: i32,
    shape: Shape,
    /// Whether the model says how many extents there are; if not, `shape` has none.
    has_rank: bool,
}

impl TypeInfo {
    fn kind(&self) -> Result<i32, OrtError> {
        let mut kind = 0;
        // SAFETY: the info lives; `ONNXType` is `repr(i32)`, so that its place may be written through, and a number
        // holds whatever a newer library has to say.
        unsafe { ort_call!(GetOnnxTypeFromTypeInfo(self.0.as_ptr(), (&raw mut kind).cast())) }?;
        Ok(kind)
    }

    /// `None` if it is not a tensor.
    fn tensor(&self) -> Result<Option<TensorInfo>, OrtError> {
        let (mut info, mut element_type, mut rank) = (null(), 0, 0);
        // SAFETY: the info lives, and what is read from it lives as long; results go to locals, the element type
        // through a number as in `kind`.
        unsafe {
            ort_call!(CastTypeInfoToTensorInfo(self.0.as_ptr(), &mut info))?;
            if info.is_null() {
                return Ok(None);
            }
            ort_call!(GetTensorElementType(info, (&raw mut element_type).cast()))?;
            ort_call!(GetDimensionsCount(info, &mut rank))?;
        }
        // SAFETY: as above.
        let has_rank = unsafe { (ort::api().TensorTypeAndShape_HasShape)(info) };
        let mut extents = vec![0; rank];
        // SAFETY: as above; there is room for `rank` extents.
        unsafe { ort_call!(GetDimensions(info, extents.as_mut_ptr(), rank)) }?;
        Ok(Some(TensorInfo { element_type, shape: Shape::new(&extents), has_rank }))
    }
}

impl Drop for TypeInfo {
    fn drop(&mut self) {
        // SAFETY: ours by the call that made it, released once.
        unsafe { (ort::api().ReleaseTypeInfo)(self.0.as_ptr()) }
    }
}

fn kind_name(kind: i32) -> &'static str {
    const NAMES: [&str; 7] = ["UNKNOWN", "TENSOR", "SEQUENCE", "MAP", "OPAQUE", "SPARSETENSOR", "OPTIONAL"];
    usize::try_from(kind).ok().and_then(|kind| NAMES.get(kind)).copied().unwrap_or("UNKNOWN")
}
