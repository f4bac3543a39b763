//! `TRITONBACKEND_ModelInstance`.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;
use nerite_plugin_abi::InstanceGroupKind;

use crate::guard;
use crate::handle;
use crate::instance::ModelInstance;

/// The instance's name.
///
/// # Safety
/// `name` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceName(
    instance: *mut abi::ModelInstance,
    name: *mut *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(name, "name", find(instance)?.name.as_ptr()) })
}

/// What the instance is to run on.
///
/// # Safety
/// `kind` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceKind(
    instance: *mut abi::ModelInstance,
    kind: *mut InstanceGroupKind,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(kind, "kind", find(instance)?.kind) })
}

/// The device that it is to run on: the first, where it runs on none.
///
/// # Safety
/// `device_id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceDeviceId(
    instance: *mut abi::ModelInstance,
    device_id: *mut i32,
) -> *mut abi::Error {
    guard::answer(|| {
        find(instance)?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(device_id, "device_id", 0) }
    })
}

/// The host policy, in a message that stays the server's.
///
/// # Safety
/// `host_policy` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceHostPolicy(
    instance: *mut abi::ModelInstance,
    host_policy: *mut *mut abi::Message,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        guard::store(host_policy, "host_policy", find(instance)?.host_policy.handle())
    })
}

/// Whether the instance executes nothing by itself, which none is.
///
/// # Safety
/// `is_passive` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceIsPassive(
    instance: *mut abi::ModelInstance,
    is_passive: *mut bool,
) -> *mut abi::Error {
    guard::answer(|| {
        find(instance)?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(is_passive, "is_passive", false) }
    })
}

/// How many optimization profiles the instance has: none, since they are TensorRT's.
///
/// # Safety
/// `count` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceProfileCount(
    instance: *mut abi::ModelInstance,
    count: *mut u32,
) -> *mut abi::Error {
    guard::answer(|| {
        find(instance)?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(count, "count", 0) }
    })
}

/// The name of one of them.
///
/// # Safety
/// None is needed: nothing is stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceProfileName(
    instance: *mut abi::ModelInstance,
    index: u32,
    _profile_name: *mut *const c_char,
) -> *mut abi::Error {
    guard::answer(|| {
        find(instance)?;
        Err(guard::out_of_bounds(index as usize, "optimization profiles", 0))
    })
}

/// How many secondary devices the instance has: none.
///
/// # Safety
/// `count` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceSecondaryDeviceCount(
    instance: *mut abi::ModelInstance,
    count: *mut u32,
) -> *mut abi::Error {
    guard::answer(|| {
        find(instance)?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(count, "count", 0) }
    })
}

/// What one of them is.
///
/// # Safety
/// None is needed: nothing is stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceSecondaryDeviceProperties(
    instance: *mut abi::ModelInstance,
    index: u32,
    _kind: *mut *const c_char,
    _id: *mut i64,
) -> *mut abi::Error {
    guard::answer(|| {
        find(instance)?;
        Err(guard::out_of_bounds(index as usize, "secondary devices", 0))
    })
}

/// The model that it is an instance of.
///
/// # Safety
/// `model` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceModel(
    instance: *mut abi::ModelInstance,
    model: *mut *mut abi::Model,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(model, "model", find(instance)?.model.handle()) })
}

/// What the plugin keeps with the instance; null until it is set.
///
/// # Safety
/// `state` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceState(
    instance: *mut abi::ModelInstance,
    state: *mut *mut c_void,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(state, "state", find(instance)?.state.load(Ordering::Acquire)) })
}

/// Sets it.
///
/// # Safety
/// None is needed: the pointer is not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceSetState(
    instance: *mut abi::ModelInstance,
    state: *mut c_void,
) -> *mut abi::Error {
    guard::answer(|| {
        find(instance)?.state.store(state, Ordering::Release);
        Ok(())
    })
}

/// Takes what the plugin says of the instance's memory, which the server makes nothing of: it balances no devices.
///
/// # Safety
/// None is needed: the list is not read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceReportMemoryUsage(
    instance: *mut abi::ModelInstance,
    _usage: *mut *mut abi::BufferAttributes,
    _usage_size: u32,
) -> *mut abi::Error {
    guard::answer(|| find(instance).map(drop))
}

fn find(instance: *mut abi::ModelInstance) -> Result<handle::Found<Arc<ModelInstance>>, BackendError> {
    handle::find(instance)
}
