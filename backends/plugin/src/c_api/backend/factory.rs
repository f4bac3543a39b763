//! `TRITONBACKEND_ResponseFactory`.

use std::sync::Arc;

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;
use nerite_plugin_abi::ResponseCompleteFlags;

use super::request::Request;
use crate::answering::Answering;
use crate::guard;
use crate::handle::{self, object};
use crate::held;
use crate::pointer::Kept;

/// Makes responses to a request that may be released already.
pub(crate) struct ResponseFactory {
    answering: Arc<Answering>,
    /// Its place among what its instance's plugin holds.
    key: usize,
}

object!(ResponseFactory, ResponseFactory, "TRITONBACKEND_ResponseFactory");

impl ResponseFactory {
    /// How the request is answered.
    pub(crate) fn answering(&self) -> &Arc<Answering> {
        &self.answering
    }

    fn export(answering: &Arc<Answering>) -> Result<*mut abi::ResponseFactory, BackendError> {
        let make = |key| handle::export(ResponseFactory { answering: Arc::clone(answering), key });
        answering.instance.held.add(make, |handle| held::HeldObject::Factory(Kept(handle)))
    }
}

/// Makes a factory for a request, which may be released before the responses are sent.
///
/// # Safety
/// `factory` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseFactoryNew(
    factory: *mut *mut abi::ResponseFactory,
    request: *mut abi::Request,
) -> *mut abi::Error {
    guard::answer(|| {
        let request = handle::find::<Request>(request)?;
        guard::check(factory, "factory")?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(factory, "factory", ResponseFactory::export(request.answering())?) }
    })
}

/// Deletes a factory. A request that can be answered by nobody any more is answered with an error.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseFactoryDelete(
    factory: *mut abi::ResponseFactory,
) -> *mut abi::Error {
    guard::answer(|| {
        let factory = handle::take::<ResponseFactory>(factory)?;
        factory.answering.instance.held.remove(factory.key);
        Ok(())
    })
}

/// Sends flags without a response: that no response follows.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseFactorySendFlags(
    factory: *mut abi::ResponseFactory,
    send_flags: u32,
) -> *mut abi::Error {
    guard::answer(|| {
        let answering = Arc::clone(handle::find::<ResponseFactory>(factory)?.answering());
        if send_flags & ResponseCompleteFlags::FINAL.0 != 0 { answering.end() } else { Ok(()) }
    })
}

/// Whether nobody waits for a response any more.
///
/// # Safety
/// `is_cancelled` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseFactoryIsCancelled(
    factory: *mut abi::ResponseFactory,
    is_cancelled: *mut bool,
) -> *mut abi::Error {
    guard::answer(|| {
        let factory = handle::find::<ResponseFactory>(factory)?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(is_cancelled, "is_cancelled", factory.answering.is_cancelled()) }
    })
}
