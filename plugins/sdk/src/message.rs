//! JSON documents that pass between server and plugin.

#![allow(unsafe_code)]

use std::ptr;
use std::slice;

use nerite_plugin_abi as abi;
use serde_json::Value;

use crate::error::{Error, Result, check};
use crate::log;
use crate::sys;

/// A message that is deleted with this.
pub(crate) struct Message(*mut abi::Message);

impl Message {
    /// # Safety
    ///
    /// The message is ours to delete.
    pub(crate) unsafe fn new(message: *mut abi::Message) -> Message {
        Message(message)
    }

    pub(crate) fn of(json: &Value) -> Result<Message> {
        let text = serde_json::to_string(json)?;
        let mut message = ptr::null_mut();
        // SAFETY: so many bytes of text are there and outlive the call, which copies them.
        unsafe {
            check(sys::TRITONSERVER_MessageNewFromSerializedJson(
                &mut message,
                text.as_ptr().cast(),
                text.len(),
            ))?;
        }
        Ok(Message(message))
    }

    pub(crate) fn raw(&self) -> *mut abi::Message {
        self.0
    }

    pub(crate) fn json(&self) -> Result<Value> {
        // SAFETY: the message is alive.
        unsafe { json(self.0) }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is ours and is not used again.
        if let Err(error) = unsafe { check(sys::TRITONSERVER_MessageDelete(self.0)) } {
            log::complaint("a message is not deleted", &error);
        }
    }
}

/// What a message says.
///
/// # Safety
///
/// The message is alive.
pub(crate) unsafe fn json(message: *mut abi::Message) -> Result<Value> {
    let (mut base, mut size) = (ptr::null(), 0);
    // SAFETY: the message is alive, and the server writes where its text is and how many bytes it has.
    unsafe { check(sys::TRITONSERVER_MessageSerializeToJson(message, &mut base, &mut size)) }?;
    if base.is_null() {
        return Err(Error::internal("the server gave an empty message"));
    }
    // SAFETY: the server says that so many bytes are there, which stay until the message is deleted.
    Ok(serde_json::from_slice(unsafe { slice::from_raw_parts(base.cast(), size) })?)
}
