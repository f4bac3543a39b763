//! ONNX Runtime's execution providers for GPUs, as parts of a session's options.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::iter;
use std::ptr::{NonNull, null_mut};
use std::slice;

use ort::sys::{OrtCUDAProviderOptionsV2, OrtStatusPtr, OrtTensorRTProviderOptionsV2};

use crate::accelerators::ProviderOptions;
use crate::environment::made;
use crate::session_options::SessionOptions;
use crate::status::{OrtError, check, ort_call};

/// An execution provider for GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Cuda,
    TensorRt,
}

/// Why a session cannot have a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// The provider itself is not to be had: its library, or one that this needs, does not load.
    Provider(OrtError),
    /// It does not take the options.
    Options(OrtError),
}

impl Provider {
    /// ONNX Runtime's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Provider::Cuda => "CUDAExecutionProvider",
            Provider::TensorRt => "TensorrtExecutionProvider",
        }
    }

    /// The file that it is in, beside ONNX Runtime's own library.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Provider::Cuda => "libonnxruntime_providers_cuda.so",
            Provider::TensorRt => "libonnxruntime_providers_tensorrt.so",
        }
    }

    /// Adds it to the providers of sessions, behind those that were added before, for the device of that number.
    pub(crate) fn append(
        self,
        session: &SessionOptions,
        ordinal: u32,
        options: &ProviderOptions,
    ) -> Result<(), Lack> {
        match self {
            Provider::Cuda => append::<OrtCUDAProviderOptionsV2>(session, ordinal, options),
            Provider::TensorRt => append::<OrtTensorRTProviderOptionsV2>(session, ordinal, options),
        }
    }
}

/// The names of the providers that the library was built with.
pub(crate) fn built_in() -> Result<Vec<String>, OrtError> {
    let (mut names, mut count) = (null_mut(), 0);
    // SAFETY: the results go to locals.
    unsafe { ort_call!(GetAvailableProviders(&mut names, &mut count)) }?;
    let names = made(names)?;
    let len = usize::try_from(count).unwrap_or(0);
    // SAFETY: the call gave as many C strings as it says; they are copied, and then released once.
    unsafe {
        let each = slice::from_raw_parts(names.as_ptr().cast_const(), len).iter();
        let copies = each.map(|&name| CStr::from_ptr(name).to_string_lossy().into_owned()).collect();
        ort_call!(ReleaseAvailableProviders(names.as_ptr(), count))?;
        Ok(copies)
    }
}

/// What ONNX Runtime does with the options of one kind of provider.
trait Options: Sized {
    unsafe fn create(out: *mut *mut Self) -> OrtStatusPtr;
    unsafe fn update(
        this: *mut Self,
        keys: *const *const c_char,
        values: *const *const c_char,
        count: usize,
    ) -> OrtStatusPtr;
    unsafe fn append(session: &SessionOptions, this: *const Self) -> OrtStatusPtr;
    unsafe fn release(this: *mut Self);
}

macro_rules! options {
    ($options:ty, $create:ident, $update:ident, $append:ident, $release:ident) => {
        impl Options for $options {
            unsafe fn create(out: *mut *mut Self) -> OrtStatusPtr {
                // SAFETY: the caller vouches for what it hands over, here and below.
                unsafe { (ort::api().$create)(out) }
            }

            unsafe fn update(
                this: *mut Self,
                keys: *const *const c_char,
                values: *const *const c_char,
                count: usize,
            ) -> OrtStatusPtr {
                // SAFETY: as above.
                unsafe { (ort::api().$update)(this, keys, values, count) }
            }

            unsafe fn append(session: &SessionOptions, this: *const Self) -> OrtStatusPtr {
                // SAFETY: as above.
                unsafe { (ort::api().$append)(session.as_ptr().cast_mut(), this) }
            }

            unsafe fn release(this: *mut Self) {
                // SAFETY: as above.
                unsafe { (ort::api().$release)(this) }
            }
        }
    };
}

options!(
    OrtCUDAProviderOptionsV2,
    CreateCUDAProviderOptions,
    UpdateCUDAProviderOptions,
    SessionOptionsAppendExecutionProvider_CUDA_V2,
    ReleaseCUDAProviderOptions
);
options!(
    OrtTensorRTProviderOptionsV2,
    CreateTensorRTProviderOptions,
    UpdateTensorRTProviderOptions,
    SessionOptionsAppendExecutionProvider_TensorRT_V2,
    ReleaseTensorRTProviderOptions
);

/// A provider's options, released when they are dropped.
struct Owned<T: Options>(NonNull<T>);

impl<T: Options> Owned<T> {
    fn new() -> Result<Owned<T>, OrtError> {
        let mut options = null_mut();
        // SAFETY: the result goes to a local.
        unsafe { check(T::create(&mut options)) }?;
        made(options).map(Owned)
    }

    fn update<'a>(&self, options: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), OrtError> {
        // A NUL was refused when the configuration was read.
        let text = |text: &str| CString::new(text).unwrap_or_default();
        let (keys, values): (Vec<CString>, Vec<CString>) =
            options.map(|(key, value)| (text(key), text(value))).unzip();
        let pointers = |texts: &[CString]| texts.iter().map(|text| text.as_ptr()).collect::<Vec<_>>();
        let (key_pointers, value_pointers) = (pointers(&keys), pointers(&values));
        // SAFETY: the options live and nobody else has them; there are as many keys as values, all C strings that
        // outlive the call, which copies them.
        unsafe {
            check(T::update(self.0.as_ptr(), key_pointers.as_ptr(), value_pointers.as_ptr(), keys.len()))
        }
    }
}

impl<T: Options> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: made by `new`, released once; a session's options copy what they need of them.
        unsafe { T::release(self.0.as_ptr()) }
    }
}

fn append<T: Options>(session: &SessionOptions, ordinal: u32, options: &ProviderOptions) -> Result<(), Lack> {
    let owned = Owned::<T>::new().map_err(Lack::Provider)?;
    let ordinal = ordinal.to_string();
    let device = || iter::once(("device_id", ordinal.as_str()));
    // By itself, to tell a library that does not load from options that are wrong: either is found out by the first
    // update of any.
    owned.update(device()).map_err(Lack::Provider)?;
    if !options.is_empty() {
        // Each update first sets everything back to its default, the device included.
        let options = options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        owned.update(device().chain(options)).map_err(Lack::Options)?;
    }
    // SAFETY: both live; only who makes the session's options calls this, before anybody else has them.
    unsafe { check(T::append(session, owned.0.as_ptr())) }.map_err(Lack::Provider)
}
