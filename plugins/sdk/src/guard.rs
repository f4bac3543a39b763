//! Panics become errors: none may pass the boundary to C.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use nerite_plugin_abi as abi;

use crate::error::{Error, Result};

/// The result of `work`, or an error that tells of its panic.
pub(crate) fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What is unwound through is the plugin's state, whose author is told what becomes of it.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(of_panic(payload.as_ref())))
}

/// The same as C has it.
pub(crate) fn guard(work: impl FnOnce() -> Result<()>) -> *mut abi::Error {
    catch(work).map_or_else(|error| error.to_raw(), |()| ptr::null_mut())
}

fn of_panic(payload: &(dyn Any + Send)) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    Error::internal(format_args!("the backend panicked: {}", text.unwrap_or("without a word")))
}
