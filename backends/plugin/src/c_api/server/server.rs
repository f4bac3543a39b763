//! `TRITONSERVER_Server`: the process itself, of which there is one.

use std::ptr;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;
use nerite_backend::{BackendError, Code, Host};
use nerite_plugin_abi as abi;

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

/// The same for a function that is given a handle of the server.
pub(crate) fn host_of(server: *mut abi::Server) -> Result<Arc<dyn Host>, BackendError> {
    handle::find::<Server>(server)?;
    host()
}
