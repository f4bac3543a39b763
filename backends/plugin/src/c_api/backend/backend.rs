//! `TRITONBACKEND_Backend`, and the version of the API.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{ArtifactType, ExecutionPolicy};

use crate::backend::Backend;
use crate::guard;
use crate::handle;

/// The version of this API. A plugin that was built for a later one cannot rely on what that has more.
///
/// # Safety
/// `major` and `minor` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ApiVersion(major: *mut u32, minor: *mut u32) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        guard::store(major, "major", abi::BACKEND_API_VERSION_MAJOR)?;
        guard::store(minor, "minor", abi::BACKEND_API_VERSION_MINOR)
    })
}

/// The backend's name.
///
/// # Safety
/// `name` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_BackendName(
    backend: *mut abi::Backend,
    name: *mut *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(name, "name", find(backend)?.name.as_ptr()) })
}

/// The settings that the server was started with for this backend. The message stays the server's.
///
/// # Safety
/// `backend_config` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_BackendConfig(
    backend: *mut abi::Backend,
    backend_config: *mut *mut abi::Message,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        guard::store(backend_config, "backend_config", find(backend)?.config.handle())
    })
}

/// When instances may be given their next batch.
///
/// # Safety
/// `policy` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_BackendExecutionPolicy(
    backend: *mut abi::Backend,
    policy: *mut ExecutionPolicy,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        let set = find(backend)?.execution_policy.load(Ordering::Acquire);
        guard::store(policy, "policy", ExecutionPolicy(set))
    })
}

/// Sets it, for models that are loaded afterwards.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_BackendSetExecutionPolicy(
    backend: *mut abi::Backend,
    policy: ExecutionPolicy,
) -> *mut abi::Error {
    guard::answer(|| {
        if policy != ExecutionPolicy::BLOCKING && policy != ExecutionPolicy::DEVICE_BLOCKING {
            return Err(BackendError::invalid(format!("{} is no execution policy", policy.0)));
        }
        find(backend)?.execution_policy.store(policy.0, Ordering::Release);
        Ok(())
    })
}

/// The directory of the backend's library.
///
/// # Safety
/// `artifact_type` and `location` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_BackendArtifacts(
    backend: *mut abi::Backend,
    artifact_type: *mut ArtifactType,
    location: *mut *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        let backend = find(backend)?;
        guard::store(artifact_type, "artifact_type", ArtifactType::FILESYSTEM)?;
        guard::store(location, "location", backend.directory.as_ptr())
    })
}

/// Where the backend gets memory.
///
/// # Safety
/// `manager` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_BackendMemoryManager(
    backend: *mut abi::Backend,
    manager: *mut *mut abi::MemoryManager,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(manager, "manager", find(backend)?.memory_manager.handle()) })
}

/// What the plugin keeps with the backend; null until it is set.
///
/// # Safety
/// `state` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_BackendState(
    backend: *mut abi::Backend,
    state: *mut *mut c_void,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(state, "state", find(backend)?.state.load(Ordering::Acquire)) })
}

/// Sets it.
///
/// # Safety
/// None is needed: the pointer is not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_BackendSetState(
    backend: *mut abi::Backend,
    state: *mut c_void,
) -> *mut abi::Error {
    guard::answer(|| {
        find(backend)?.state.store(state, Ordering::Release);
        Ok(())
    })
}

fn find(backend: *mut abi::Backend) -> Result<handle::Found<Arc<Backend>>, BackendError> {
    handle::find(backend)
}
