//! Responses of decoupled models.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::thread;

use nerite_plugin_abi as abi;
use nerite_plugin_abi::ResponseCompleteFlags;

use crate::error::{Error, Result, check};
use crate::log;
use crate::response::{Response, expect_unfinished};
use crate::sys;

/// Sends any number of responses to a request of a decoupled model, from any thread, also after the execution has
/// returned and the request is released.
///
/// That no more will come is said once: with [`finish`](ResponseSender::finish), with a response
/// ([`Response::send_last`]), with an error ([`fail`](ResponseSender::fail)), or at the latest when it is dropped.
/// Dropped by a panic, it sends an error.
pub struct ResponseSender {
    factory: NonNull<abi::ResponseFactory>,
    finished: Cell<bool>,
}

// SAFETY: a factory is made to be used on other threads; whoever owns it calls, one call at a time, since it is not
// Sync.
unsafe impl Send for ResponseSender {}

impl ResponseSender {
    /// # Safety
    ///
    /// The factory was just made and is nobody else's.
    pub(crate) unsafe fn new(factory: *mut abi::ResponseFactory) -> Result<ResponseSender> {
        let factory =
            NonNull::new(factory).ok_or_else(|| Error::internal("the server gave no response factory"))?;
        Ok(ResponseSender { factory, finished: Cell::new(false) })
    }

    /// A response, to be filled and sent. One at a time, as the API demands. Fails after the last one.
    pub fn response(&mut self) -> Result<Response<'_>> {
        expect_unfinished(&self.finished)?;
        let mut response = ptr::null_mut();
        // SAFETY: the factory is alive, and the server writes a handle that is ours to send or delete.
        unsafe {
            check(sys::TRITONBACKEND_ResponseNewFromFactory(&mut response, self.factory.as_ptr()))?;
            Response::for_sender(response, &self.finished)
        }
    }

    /// Whether nobody waits for responses any more, so that there is no use in making them.
    pub fn is_cancelled(&self) -> Result<bool> {
        let mut cancelled = false;
        // SAFETY: the factory is alive, and the server writes a bool.
        unsafe {
            check(sys::TRITONBACKEND_ResponseFactoryIsCancelled(self.factory.as_ptr(), &mut cancelled))
        }?;
        Ok(cancelled)
    }

    /// Says that no more responses come.
    pub fn finish(self) -> Result<()> {
        self.send_final()
    }

    /// Sends an error, after which no more comes.
    pub fn fail(mut self, error: &Error) {
        self.send_error(error);
    }

    fn send_error(&mut self, error: &Error) {
        if self.finished.get() {
            return;
        }
        match self.response() {
            Ok(response) => response.fail(error),
            Err(no_response) => log::complaint("an error response cannot be made", &no_response),
        }
    }

    fn send_final(&self) -> Result<()> {
        if self.finished.replace(true) {
            return Ok(());
        }
        let flags = ResponseCompleteFlags::FINAL.0;
        // SAFETY: the factory is alive.
        unsafe { check(sys::TRITONBACKEND_ResponseFactorySendFlags(self.factory.as_ptr(), flags)) }
    }
}

impl Drop for ResponseSender {
    fn drop(&mut self) {
        if thread::panicking() {
            self.send_error(&Error::internal("the backend panicked before it sent all responses"));
        }
        if let Err(error) = self.send_final() {
            log::complaint("the end of a request's responses is not sent", &error);
        }
        // SAFETY: the factory is ours and is not used again; a response of it would borrow this, so there is none.
        if let Err(error) = unsafe { check(sys::TRITONBACKEND_ResponseFactoryDelete(self.factory.as_ptr())) }
        {
            log::complaint("a response factory is not deleted", &error);
        }
    }
}
