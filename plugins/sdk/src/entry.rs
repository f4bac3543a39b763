//! The entry points: what the exported functions do, for any model.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

pub use nerite_plugin_abi as abi;
use nerite_plugin_abi::{BACKEND_API_VERSION_MAJOR, BACKEND_API_VERSION_MINOR};

use crate::batch::Batch;
use crate::error::{Error, Result, check};
use crate::guard::{catch, guard};
use crate::instance::{Instance, InstanceContext};
use crate::model::{Model, ModelContext};
use crate::sys;

/// Exports a model's type as the backend of this library: defines its entry points. Once in a library.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use nerite_plugin::{Batch, Instance, InstanceContext, Model, ModelContext, Result};
/// struct Nothing;
///
/// impl Model for Nothing {
///     type Instance = Nothing;
///
///     fn load(_: &ModelContext<'_>) -> Result<Nothing> {
///         Ok(Nothing)
///     }
///
///     fn instance(self: &Arc<Nothing>, _: &InstanceContext<'_>) -> Result<Nothing> {
///         Ok(Nothing)
///     }
/// }
///
/// impl Instance for Nothing {
///     fn execute(&mut self, batch: &mut Batch) -> Result<()> {
///         batch.respond_each(|_, _| Ok(()));
///         Ok(())
///     }
/// }
///
/// nerite_plugin::export!(Nothing);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    ($model:ty) => {
        const _: () = {
            use $crate::entry;

            #[unsafe(no_mangle)]
            unsafe extern "C" fn TRITONBACKEND_Initialize(
                backend: *mut entry::abi::Backend,
            ) -> *mut entry::abi::Error {
                entry::initialize(backend)
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn TRITONBACKEND_GetBackendAttribute(
                _: *mut entry::abi::Backend,
                attributes: *mut entry::abi::BackendAttribute,
            ) -> *mut entry::abi::Error {
                // SAFETY: the server calls this as the API says.
                unsafe { entry::attributes(attributes) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn TRITONBACKEND_ModelInitialize(
                model: *mut entry::abi::Model,
            ) -> *mut entry::abi::Error {
                // SAFETY: the server calls this as the API says.
                unsafe { entry::model_initialize::<$model>(model) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn TRITONBACKEND_ModelFinalize(
                model: *mut entry::abi::Model,
            ) -> *mut entry::abi::Error {
                // SAFETY: the server calls this as the API says.
                unsafe { entry::model_finalize::<$model>(model) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn TRITONBACKEND_ModelInstanceInitialize(
                instance: *mut entry::abi::ModelInstance,
            ) -> *mut entry::abi::Error {
                // SAFETY: the server calls this as the API says.
                unsafe { entry::instance_initialize::<$model>(instance) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn TRITONBACKEND_ModelInstanceFinalize(
                instance: *mut entry::abi::ModelInstance,
            ) -> *mut entry::abi::Error {
                // SAFETY: the server calls this as the API says.
                unsafe { entry::instance_finalize::<$model>(instance) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn TRITONBACKEND_ModelInstanceReady(
                instance: *mut entry::abi::ModelInstance,
            ) -> *mut entry::abi::Error {
                // SAFETY: the server calls this as the API says.
                unsafe { entry::instance_ready::<$model>(instance) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn TRITONBACKEND_ModelInstanceExecute(
                instance: *mut entry::abi::ModelInstance,
                requests: *mut *mut entry::abi::Request,
                request_count: u32,
            ) -> *mut entry::abi::Error {
                // SAFETY: the server calls this as the API says.
                unsafe { entry::execute::<$model>(instance, requests, request_count) }
            }
        };
    };
}

/// What the server keeps for a model.
struct ModelState<M> {
    model: Arc<M>,
    batches: bool,
}

/// What the server keeps for an instance.
struct InstanceState<I> {
    /// Not waited for: executions come one at a time, and whoever asks whether it is ready does not wait.
    /// A panic leaves it poisoned, which is how it is known.
    instance: Mutex<I>,
    batches: bool,
}

/// Checks that the server is one that this library was made for, as the API advises.
pub fn initialize(_: *mut abi::Backend) -> *mut abi::Error {
    guard(|| {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: the server writes two numbers.
        unsafe { check(sys::TRITONBACKEND_ApiVersion(&mut major, &mut minor)) }?;
        if major == BACKEND_API_VERSION_MAJOR && minor >= BACKEND_API_VERSION_MINOR {
            return Ok(());
        }
        Err(Error::unsupported(format_args!(
            "the backend needs version {BACKEND_API_VERSION_MAJOR}.{BACKEND_API_VERSION_MINOR} of the backend API, and \
             the server has {major}.{minor}; take a newer server, or build the backend with an older SDK"
        )))
    })
}

/// Says that instances may be made at the same time, which the bounds of [`Model`] make safe.
///
/// # Safety
///
/// Called by the server as `TRITONBACKEND_GetBackendAttribute`.
pub unsafe fn attributes(attributes: *mut abi::BackendAttribute) -> *mut abi::Error {
    guard(|| {
        // SAFETY: the server passes attributes that are alive during the call.
        unsafe { check(sys::TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attributes, true)) }
    })
}

/// Loads a model.
///
/// # Safety
///
/// Called by the server as `TRITONBACKEND_ModelInitialize`.
pub unsafe fn model_initialize<M: Model>(model: *mut abi::Model) -> *mut abi::Error {
    guard(|| {
        let handle = some(model)?;
        // SAFETY: the model is being initialised until this returns, which the context does not outlive.
        let context = unsafe { ModelContext::new(handle) }?;
        let model = Arc::new(M::load(&context)?);
        let state = Box::new(ModelState { model, batches: context.config().max_batch_size() > 0 });
        // SAFETY: the model is alive; the server gives the pointer back until it is finalised, where it is freed.
        unsafe { keep(state, |state| sys::TRITONBACKEND_ModelSetState(handle.as_ptr(), state)) }
    })
}

/// Drops a model.
///
/// # Safety
///
/// Called by the server as `TRITONBACKEND_ModelFinalize`, with the type that it was initialised with.
pub unsafe fn model_finalize<M: Model>(model: *mut abi::Model) -> *mut abi::Error {
    guard(|| {
        let handle = some(model)?;
        let mut state = ptr::null_mut();
        // SAFETY: the model is alive. What it holds was made by model_initialize of the same type, and is not used
        // again: it is taken out of the model, and its instances are finalised.
        unsafe {
            check(sys::TRITONBACKEND_ModelState(handle.as_ptr(), &mut state))?;
            check(sys::TRITONBACKEND_ModelSetState(handle.as_ptr(), ptr::null_mut()))?;
            free::<ModelState<M>>(state);
        }
        Ok(())
    })
}

/// Makes an instance.
///
/// # Safety
///
/// Called by the server as `TRITONBACKEND_ModelInstanceInitialize`, with the type that its model was initialised with.
pub unsafe fn instance_initialize<M: Model>(instance: *mut abi::ModelInstance) -> *mut abi::Error {
    guard(|| {
        let handle = some(instance)?;
        // SAFETY: the instance is being initialised until this returns, which the context does not outlive.
        let context = unsafe { InstanceContext::new(handle) }?;
        let (mut model, mut state) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the instance is alive, and so is its model, which holds what model_initialize made.
        let model = unsafe {
            check(sys::TRITONBACKEND_ModelInstanceModel(handle.as_ptr(), &mut model))?;
            check(sys::TRITONBACKEND_ModelState(model, &mut state))?;
            some(state.cast::<ModelState<M>>())?.as_ref()
        };
        let instance = Mutex::new(model.model.instance(&context)?);
        let state = Box::new(InstanceState { instance, batches: model.batches });
        // SAFETY: as of a model's.
        unsafe { keep(state, |state| sys::TRITONBACKEND_ModelInstanceSetState(handle.as_ptr(), state)) }
    })
}

/// Drops an instance.
///
/// # Safety
///
/// Called by the server as `TRITONBACKEND_ModelInstanceFinalize`, with the type that it was initialised with.
pub unsafe fn instance_finalize<M: Model>(instance: *mut abi::ModelInstance) -> *mut abi::Error {
    guard(|| {
        let handle = some(instance)?;
        let mut state = ptr::null_mut();
        // SAFETY: as of a model's; the server executes nothing any more.
        unsafe {
            check(sys::TRITONBACKEND_ModelInstanceState(handle.as_ptr(), &mut state))?;
            check(sys::TRITONBACKEND_ModelInstanceSetState(handle.as_ptr(), ptr::null_mut()))?;
            free::<InstanceState<M::Instance>>(state);
        }
        Ok(())
    })
}

/// Asks an instance whether it can execute. One that executes can.
///
/// # Safety
///
/// Called by the server as `TRITONBACKEND_ModelInstanceReady`, with the type that it was initialised with.
pub unsafe fn instance_ready<M: Model>(instance: *mut abi::ModelInstance) -> *mut abi::Error {
    guard(|| {
        // SAFETY: the server does not finalise the instance before this returns.
        let state = unsafe { instance_state::<M>(instance) }?;
        match state.instance.try_lock() {
            Ok(mut instance) => instance.ready(),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Poisoned(_)) => {
                Err(Error::unavailable("the backend panicked in this instance"))
            }
        }
    })
}

/// Executes a batch. The requests are this library's from the moment that its state is found; all that goes wrong after
/// it is told to their clients.
///
/// # Safety
///
/// Called by the server as `TRITONBACKEND_ModelInstanceExecute`, with the type that the instance was initialised with.
pub unsafe fn execute<M: Model>(
    instance: *mut abi::ModelInstance,
    requests: *mut *mut abi::Request,
    request_count: u32,
) -> *mut abi::Error {
    guard(|| {
        let handle = some(instance)?;
        // SAFETY: the server does not finalise the instance before this returns.
        let state = unsafe { instance_state::<M>(instance) }?;
        let requests = some(requests)?;
        // SAFETY: the server passes so many pointers and leaves them alone until this returns.
        let requests = unsafe { slice::from_raw_parts(requests.as_ptr(), request_count as usize) };
        if requests.iter().any(|request| request.is_null()) {
            return Err(Error::internal("the server passed a null request"));
        }
        // SAFETY: the server hands the requests over by this call, which returns no error from here on.
        let mut batch = unsafe { Batch::new(handle, requests, state.batches) };
        let executed = catch(|| {
            // One that panicked is used again where the server does not replace it; nothing else is left in Triton.
            let mut instance = state.instance.lock().unwrap_or_else(PoisonError::into_inner);
            instance.execute(&mut batch)
        });
        if let Err(error) = executed {
            batch.fail(&error);
        }
        batch.finish();
        Ok(())
    })
}

/// # Safety
///
/// The instance was initialised with the type and is not finalised during `'a`.
unsafe fn instance_state<'a, M: Model>(
    instance: *mut abi::ModelInstance,
) -> Result<&'a InstanceState<M::Instance>> {
    let mut state = ptr::null_mut();
    // SAFETY: the instance is alive, and what it holds was made by instance_initialize of the same type; it is shared,
    // and only ever freed when the instance is finalised.
    unsafe {
        check(sys::TRITONBACKEND_ModelInstanceState(some(instance)?.as_ptr(), &mut state))?;
        Ok(some(state.cast::<InstanceState<M::Instance>>())?.as_ref())
    }
}

/// Gives a state to the server, or frees it where the server does not take it.
///
/// # Safety
///
/// Where the call succeeds, the server keeps the pointer and does nothing else with it.
unsafe fn keep<T>(state: Box<T>, set: impl FnOnce(*mut c_void) -> *mut abi::Error) -> Result<()> {
    let state = Box::into_raw(state);
    // SAFETY: what the call returns is the caller's.
    let kept = unsafe { check(set(state.cast())) };
    if kept.is_err() {
        // SAFETY: the pointer was a box just before, and nobody kept it.
        drop(unsafe { Box::from_raw(state) });
    }
    kept
}

/// # Safety
///
/// The pointer is null or was kept by [`keep`] with the same type, and is not used again.
unsafe fn free<T>(state: *mut c_void) {
    if !state.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(state.cast::<T>()) });
    }
}

fn some<T>(pointer: *mut T) -> Result<NonNull<T>> {
    NonNull::new(pointer).ok_or_else(|| Error::internal("the server passed a null pointer"))
}
