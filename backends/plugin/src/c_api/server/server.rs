//! `TRITONSERVER_Server`: the process itself, of which there is one.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::slice;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;
use nerite_backend::{BackendError, Code, Host, LoadParameter};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{ModelBatchFlags, ModelTxnPropertyFlags};

use super::inference_request::version;
use super::parameter::{Parameter, Value};
use crate::guard;
use crate::handle::{self, object};

/// The server that plugins run in.
pub(crate) struct Server;

object!(Server, Server, "TRITONSERVER_Server");

static HOST: ArcSwapOption<Arc<dyn Host>> = ArcSwapOption::const_empty();

/// The handle of the server, the same for all plugins.
pub(crate) fn handle() -> *mut abi::Server {
    static HANDLE: LazyLock<usize> =
        LazyLock::new(|| handle::export(Server).map_or(0, |handle| handle.addr()));
    ptr::without_provenance_mut(*HANDLE)
}

/// Has what plugins ask of the server answered by `host` from now on.
pub fn set_host(host: Arc<dyn Host>) {
    HOST.store(Some(Arc::new(host)));
}

/// What answers plugins; not there before the server can.
pub(crate) fn host() -> Result<Arc<dyn Host>, BackendError> {
    let host = HOST.load();
    let host = host.as_ref().ok_or_else(|| {
        BackendError::new(
            Code::Unavailable,
            "the server has not come so far that plugins can ask it for anything",
        )
    })?;
    Ok(Arc::clone(host))
}

/// Refuses what is no handle of the server.
pub(super) fn check(server: *mut abi::Server) -> Result<(), BackendError> {
    handle::find::<Server>(server).map(drop)
}

/// What answers plugins that have a handle of the server.
pub(super) fn host_of(server: *mut abi::Server) -> Result<Arc<dyn Host>, BackendError> {
    check(server)?;
    host()
}

/// Whether the server lives, as it does if it answers.
///
/// # Safety
/// `live` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ServerIsLive(
    server: *mut abi::Server,
    live: *mut bool,
) -> *mut abi::Error {
    guard::answer(|| {
        check(server)?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(live, "live", true) }
    })
}

/// Whether the server is ready.
///
/// # Safety
/// `ready` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ServerIsReady(
    server: *mut abi::Server,
    ready: *mut bool,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(ready, "ready", host_of(server)?.is_ready()) })
}

/// Whether a model can be called. One that is not known cannot.
///
/// # Safety
/// `model_name` is a text of C, and `ready` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ServerModelIsReady(
    server: *mut abi::Server,
    model_name: *const c_char,
    model_version: i64,
    ready: *mut bool,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        let (model, version) = (guard::text(model_name, "model_name")?, version(model_version)?);
        guard::store(ready, "ready", host_of(server)?.is_model_ready(&model, version)?)
    })
}

/// Whether requests of a model combine, of [`ModelBatchFlags`].
///
/// # Safety
/// `model_name` is a text of C, `flags` may be written, and so may `voidp` if it is not null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ServerModelBatchProperties(
    server: *mut abi::Server,
    model_name: *const c_char,
    model_version: i64,
    flags: *mut u32,
    voidp: *mut *mut c_void,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        let (model, version) = (guard::text(model_name, "model_name")?, version(model_version)?);
        let batches = host_of(server)?.max_batch_size(&model, version)? > 0;
        let answer = if batches { ModelBatchFlags::FIRST_DIM } else { ModelBatchFlags::UNKNOWN };
        guard::store_if_asked(voidp, ptr::null_mut());
        guard::store(flags, "flags", answer.0)
    })
}

/// How many responses a request of a model has, of [`ModelTxnPropertyFlags`].
///
/// # Safety
/// As for [`TRITONSERVER_ServerModelBatchProperties`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ServerModelTransactionProperties(
    server: *mut abi::Server,
    model_name: *const c_char,
    model_version: i64,
    txn_flags: *mut u32,
    voidp: *mut *mut c_void,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        let (model, version) = (guard::text(model_name, "model_name")?, version(model_version)?);
        let is_decoupled = host_of(server)?.is_decoupled(&model, version)?;
        let answer =
            if is_decoupled { ModelTxnPropertyFlags::DECOUPLED } else { ModelTxnPropertyFlags::ONE_TO_ONE };
        guard::store_if_asked(voidp, ptr::null_mut());
        guard::store(txn_flags, "txn_flags", answer.0)
    })
}

/// Loads a model, and returns when it can be called.
///
/// # Safety
/// `model_name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ServerLoadModel(
    server: *mut abi::Server,
    model_name: *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word; there are no parameters.
    unsafe { TRITONSERVER_ServerLoadModelWithParameters(server, model_name, ptr::null_mut(), 0) }
}

/// Loads a model with the parameters of a client's call, and returns when it can be called.
///
/// # Safety
/// `model_name` is a text of C, and `parameters` points to `parameter_count` handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ServerLoadModelWithParameters(
    server: *mut abi::Server,
    model_name: *const c_char,
    parameters: *mut *const abi::Parameter,
    parameter_count: u64,
) -> *mut abi::Error {
    guard::answer(|| {
        // SAFETY: by the caller's word.
        let (model, handles) =
            unsafe { (guard::text(model_name, "model_name")?, list(parameters, parameter_count)?) };
        let parameters = handles.iter().map(|&handle| load_parameter(handle));
        host_of(server)?.load_model(&model, parameters.collect::<Result<_, _>>()?)
    })
}

/// Handles that a plugin passes as an array.
///
/// # Safety
/// `base` points to so many, which do not change while they are used.
pub(super) unsafe fn list<'a>(
    base: *mut *const abi::Parameter,
    count: u64,
) -> Result<&'a [*const abi::Parameter], BackendError> {
    /// More than anybody passes.
    const MAX: u64 = 100_000;
    if count == 0 {
        return Ok(&[]);
    }
    if base.is_null() || !base.is_aligned() || count > MAX {
        return Err(BackendError::invalid(format!(
            "there is no pointer to {count} parameters, {MAX} at most"
        )));
    }
    // SAFETY: neither null nor in between and not too many, so by the caller's word there are so many.
    Ok(unsafe { slice::from_raw_parts(base, count as usize) })
}

fn load_parameter(handle: *const abi::Parameter) -> Result<(String, LoadParameter), BackendError> {
    let parameter = handle::find::<Parameter>(handle.cast_mut())?;
    let name = parameter.name.clone();
    let value = match &parameter.value {
        Value::String(text) => LoadParameter::Text(text.to_string_lossy().into_owned()),
        &Value::Bytes(base, byte_size) => {
            // SAFETY: the plugin promised that there are so many bytes as long as there is the parameter, which is held
            // here.
            LoadParameter::Bytes(unsafe { guard::bytes(base.0, byte_size, "byte_ptr") }?.to_vec())
        }
        Value::Int(_) | Value::Bool(_) | Value::Double(_) => {
            return Err(BackendError::invalid(format!(
                "load parameter '{name}' is neither a string nor bytes"
            )));
        }
    };
    Ok((name, value))
}

/// Unloads a model, which may be unknown, and returns when it cannot be called any more.
///
/// # Safety
/// `model_name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ServerUnloadModel(
    server: *mut abi::Server,
    model_name: *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { host_of(server)?.unload_model(&guard::text(model_name, "model_name")?, false) })
}

/// Unloads a model with those that depend on it.
///
/// # Safety
/// `model_name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ServerUnloadModelAndDependents(
    server: *mut abi::Server,
    model_name: *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { host_of(server)?.unload_model(&guard::text(model_name, "model_name")?, true) })
}
