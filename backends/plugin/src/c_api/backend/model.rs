//! `TRITONBACKEND_Model`.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nerite_backend::{BackendError, Code};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{ArtifactType, MODEL_CONFIG_VERSION};

use crate::c_api::server::message::Message;
use crate::c_api::server::server;
use crate::guard;
use crate::handle;
use crate::model::Model;

/// The model's name.
///
/// # Safety
/// `name` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelName(
    model: *mut abi::Model,
    name: *mut *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(name, "name", find(model)?.name.as_ptr()) })
}

/// The model's version.
///
/// # Safety
/// `version` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelVersion(
    model: *mut abi::Model,
    version: *mut u64,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(version, "version", find(model)?.version) })
}

/// The model's directory, in which that of the version lies.
///
/// # Safety
/// `artifact_type` and `location` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelRepository(
    model: *mut abi::Model,
    artifact_type: *mut ArtifactType,
    location: *mut *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        let model = find(model)?;
        guard::store(artifact_type, "artifact_type", ArtifactType::FILESYSTEM)?;
        guard::store(location, "location", model.repository.as_ptr())
    })
}

/// The model's configuration, in a message that the caller deletes.
///
/// # Safety
/// `model_config` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelConfig(
    model: *mut abi::Model,
    config_version: u32,
    model_config: *mut *mut abi::Message,
) -> *mut abi::Error {
    guard::answer(|| {
        let model = find(model)?;
        check_version(config_version)?;
        let json = Arc::clone(&model.config.lock().json);
        // SAFETY: by the caller's word.
        unsafe { guard::hand_out(model_config, "model_config", Message { json: json.as_ref().to_owned() }) }
    })
}

/// Whether the plugin may complete the configuration.
///
/// # Safety
/// `auto_complete_config` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelAutoCompleteConfig(
    model: *mut abi::Model,
    auto_complete_config: *mut bool,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        guard::store(auto_complete_config, "auto_complete_config", find(model)?.auto_complete)
    })
}

/// Completes the configuration, while the model is initialised. The message stays the plugin's.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelSetConfig(
    model: *mut abi::Model,
    config_version: u32,
    model_config: *mut abi::Message,
) -> *mut abi::Error {
    guard::answer(|| {
        let model = find(model)?;
        check_version(config_version)?;
        let json: Arc<str> = handle::find::<Message>(model_config)?.json.as_str().into();
        if !model.auto_complete {
            return Err(BackendError::new(
                Code::Unsupported,
                "the configuration cannot be set: the server was started with --disable-auto-complete-config",
            ));
        }
        let mut config = model.config.lock();
        if !config.open {
            return Err(BackendError::new(
                Code::Unsupported,
                "the configuration can be set within TRITONBACKEND_ModelInitialize alone",
            ));
        }
        config.json = json;
        config.completed = true;
        Ok(())
    })
}

/// The server that the model is served by.
///
/// # Safety
/// `server` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelServer(
    model: *mut abi::Model,
    server: *mut *mut abi::Server,
) -> *mut abi::Error {
    guard::answer(|| {
        find(model)?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(server, "server", server::handle()) }
    })
}

/// The backend that the model is of.
///
/// # Safety
/// `backend` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelBackend(
    model: *mut abi::Model,
    backend: *mut *mut abi::Backend,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(backend, "backend", find(model)?.backend.handle()) })
}

/// What the plugin keeps with the model; null until it is set.
///
/// # Safety
/// `state` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelState(
    model: *mut abi::Model,
    state: *mut *mut c_void,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(state, "state", find(model)?.state.load(Ordering::Acquire)) })
}

/// Sets it.
///
/// # Safety
/// None is needed: the pointer is not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelSetState(
    model: *mut abi::Model,
    state: *mut c_void,
) -> *mut abi::Error {
    guard::answer(|| {
        find(model)?.state.store(state, Ordering::Release);
        Ok(())
    })
}

/// Takes what the plugin says of the model's memory, which the server makes nothing of: it balances no devices.
///
/// # Safety
/// None is needed: the list is not read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelReportMemoryUsage(
    model: *mut abi::Model,
    _usage: *mut *mut abi::BufferAttributes,
    _usage_size: u32,
) -> *mut abi::Error {
    guard::answer(|| find(model).map(drop))
}

fn check_version(version: u32) -> Result<(), BackendError> {
    if version == MODEL_CONFIG_VERSION {
        return Ok(());
    }
    Err(BackendError::new(
        Code::Unsupported,
        format!(
            "model configuration version {version} is not supported, supported versions are: {MODEL_CONFIG_VERSION}"
        ),
    ))
}

fn find(model: *mut abi::Model) -> Result<handle::Found<Arc<Model>>, BackendError> {
    handle::find(model)
}
