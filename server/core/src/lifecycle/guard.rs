use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::model::LoadError;

/// Turns a panic of `what` into an error: one bad model must not take the process down.
pub(super) fn guarded<T>(what: &str, work: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(LoadError::internal(format!("{what} panicked: {}", panic_text(&*panic)))))
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it did not say why")
}
