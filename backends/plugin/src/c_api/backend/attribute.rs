//! `TRITONBACKEND_BackendAttribute`.

use std::ptr;

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;
use nerite_plugin_abi::InstanceGroupKind;
use parking_lot::Mutex;

use crate::backend::Backend;
use crate::guard;
use crate::handle::{self, object};

/// What a backend says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes {
    /// Whether several of its instances may be made at a time.
    pub(crate) parallel_instance_loading: bool,
}

/// The object that a backend is given to say it.
#[derive(Default)]
pub(crate) struct BackendAttribute(Mutex<Attributes>);

object!(BackendAttribute, BackendAttribute, "TRITONBACKEND_BackendAttribute");

/// Asks a backend. What it says counts only if it succeeds.
pub(crate) fn ask(backend: &Backend) -> Attributes {
    let Some(get) = backend.library.get_attribute else { return Attributes::default() };
    let Ok(attribute) = handle::export(BackendAttribute::default()) else { return Attributes::default() };
    // SAFETY: the handles are those that the C API says.
    let outcome = unsafe { get.ask(&backend.name, backend.handle(), attribute) };
    let said = handle::take::<BackendAttribute>(attribute).map(|attribute| *attribute.0.lock());
    match (outcome, said) {
        (Ok(()), Ok(attributes)) => attributes,
        (Err(problem), _) | (_, Err(problem)) => {
            tracing::warn!(
                "backend '{}' failed to tell its attributes, which are ignored: {problem}",
                backend.name()
            );
            Attributes::default()
        }
    }
}

/// Takes note of where the backend prefers its instances. There is nothing to prefer on a server without a GPU: what a
/// configuration leaves open becomes an instance on the processor.
///
/// # Safety
/// None is needed: the devices are not read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(
    backend_attributes: *mut abi::BackendAttribute,
    kind: InstanceGroupKind,
    _count: u64,
    device_ids: *const u64,
    id_count: u64,
) -> *mut abi::Error {
    guard::answer(|| {
        handle::find::<BackendAttribute>(backend_attributes)?;
        if kind.0 > InstanceGroupKind::MODEL.0 {
            return Err(BackendError::invalid(format!("{} is no kind of instance groups", kind.0)));
        }
        if ptr::eq(device_ids, ptr::null()) && id_count > 0 {
            return Err(BackendError::invalid("device_ids is NULL, where devices are needed"));
        }
        Ok(())
    })
}

/// Says whether several instances may be made at a time.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(
    backend_attributes: *mut abi::BackendAttribute,
    enabled: bool,
) -> *mut abi::Error {
    guard::answer(|| {
        let attribute = handle::find::<BackendAttribute>(backend_attributes)?;
        attribute.0.lock().parallel_instance_loading = enabled;
        Ok(())
    })
}
