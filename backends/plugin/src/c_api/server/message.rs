//! `TRITONSERVER_Message`.

use std::ffi::c_char;

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;
use serde::de::IgnoredAny;

use crate::guard;
use crate::handle::{self, object};

/// A JSON document that is passed whole.
pub(crate) struct Message {
    pub(crate) json: String,
}

object!(Message, Message, "TRITONSERVER_Message");

/// Makes a message of a JSON document.
///
/// # Safety
/// `message` may be written; `base` points to `byte_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MessageNewFromSerializedJson(
    message: *mut *mut abi::Message,
    base: *const c_char,
    byte_size: usize,
) -> *mut abi::Error {
    guard::answer(|| {
        // SAFETY: by the caller's word.
        let bytes = unsafe { guard::bytes(base.cast(), byte_size, "base") }?;
        let json = str::from_utf8(bytes)
            .map_err(|problem| BackendError::invalid(format!("the message is not UTF-8: {problem}")))?;
        serde_json::from_str::<IgnoredAny>(json)
            .map_err(|problem| BackendError::invalid(format!("the message is not JSON: {problem}")))?;
        // SAFETY: by the caller's word.
        unsafe { guard::hand_out(message, "message", Message { json: json.to_owned() }) }
    })
}

/// Deletes a message, if it is one.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MessageDelete(message: *mut abi::Message) -> *mut abi::Error {
    guard::answer(|| handle::delete::<Message>(message))
}

/// The text of a message, which has it for as long as it is not deleted.
///
/// # Safety
/// `base` and `byte_size` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MessageSerializeToJson(
    message: *mut abi::Message,
    base: *mut *const c_char,
    byte_size: *mut usize,
) -> *mut abi::Error {
    guard::answer(|| {
        let message = handle::find::<Message>(message)?;
        // SAFETY: by the caller's word.
        unsafe {
            guard::store(base, "base", message.json.as_ptr().cast())?;
            guard::store(byte_size, "byte_size", message.json.len())
        }
    })
}

#[cfg(test)]
mod tests {
    use std::{ptr, slice};

    use super::*;
    use crate::c_api::server::error;

    fn new(json: &[u8]) -> Result<*mut abi::Message, BackendError> {
        let mut message = ptr::null_mut();
        // SAFETY: the pointers are to what is here.
        let problem = unsafe {
            TRITONSERVER_MessageNewFromSerializedJson(&mut message, json.as_ptr().cast(), json.len())
        };
        error::take(problem).map(|()| message)
    }

    #[test]
    fn a_message_has_the_text_that_it_was_made_of_until_it_is_deleted() {
        let message = new(br#"{"a": [1, "b"]}"#).unwrap();
        let (mut base, mut size) = (ptr::null(), 0);
        // SAFETY: the pointers are to what is here, and the text is the message's, which is not deleted yet.
        let text = unsafe {
            error::take(TRITONSERVER_MessageSerializeToJson(message, &mut base, &mut size)).unwrap();
            slice::from_raw_parts(base.cast::<u8>(), size)
        };
        assert_eq!(text, br#"{"a": [1, "b"]}"#);
        // SAFETY: none is needed.
        unsafe {
            error::take(TRITONSERVER_MessageDelete(message)).unwrap();
            assert!(error::take(TRITONSERVER_MessageDelete(message)).is_err());
            error::take(TRITONSERVER_MessageDelete(ptr::null_mut())).unwrap();
        }
    }

    #[test]
    fn what_is_not_json_is_no_message() {
        for text in [&b"{"[..], b"", b"\"\xff\"", b"1 2"] {
            assert!(new(text).is_err(), "{text:?}");
        }
        let mut message = ptr::null_mut();
        // SAFETY: no byte is read of a null pointer.
        let problem = unsafe { TRITONSERVER_MessageNewFromSerializedJson(&mut message, ptr::null(), 7) };
        assert!(error::take(problem).unwrap_err().message.contains("base is NULL"));
    }
}
