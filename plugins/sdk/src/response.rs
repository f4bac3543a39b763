//! A response on its way.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::mem;
use std::ptr::{self, NonNull};
use std::slice;

use nerite_plugin_abi as abi;
use nerite_plugin_abi::ResponseCompleteFlags;

use crate::byte_elements;
use crate::data_type::DataType;
use crate::element::Element;
use crate::error::{Error, RawError, Result, check};
use crate::log;
use crate::parameter::Parameter;
use crate::request::{Answer, Request};
use crate::sys;
use crate::text::with_c_text;

/// A response that is being made: its outputs are written into it, one after another, and then it is sent. Dropped
/// instead, it is deleted.
pub struct Response<'r> {
    handle: NonNull<abi::Response>,
    origin: Origin<'r>,
}

/// What a response answers.
enum Origin<'r> {
    /// A request, whose only response it is.
    Request(&'r Request),
    /// A sender, which has any number of them until it is marked as finished.
    Sender(&'r Cell<bool>),
}

impl<'r> Response<'r> {
    /// # Safety
    ///
    /// The handle was just made for that request and is nobody else's.
    #[inline]
    pub(crate) unsafe fn for_request(
        handle: *mut abi::Response,
        request: &'r Request,
    ) -> Result<Response<'r>> {
        Response::new(handle, Origin::Request(request))
    }

    /// # Safety
    ///
    /// The handle was just made by the factory of that sender and is nobody else's.
    pub(crate) unsafe fn for_sender(
        handle: *mut abi::Response,
        finished: &'r Cell<bool>,
    ) -> Result<Response<'r>> {
        Response::new(handle, Origin::Sender(finished))
    }

    #[inline]
    fn new(handle: *mut abi::Response, origin: Origin<'r>) -> Result<Response<'r>> {
        let handle = NonNull::new(handle).ok_or_else(|| Error::internal("the server gave no response"))?;
        Ok(Response { handle, origin })
    }

    /// Adds an output and gives the place for its contents, of so many bytes, all of which the backend has to write:
    /// what lay there before goes to the client otherwise. The place is in the memory where the answer is sent from, so
    /// that nothing is copied again.
    #[inline]
    pub fn output(
        &mut self,
        name: &str,
        data_type: DataType,
        shape: &[i64],
        byte_size: usize,
    ) -> Result<&mut [u8]> {
        let rank = u32::try_from(shape.len()).map_err(Error::internal)?;
        let (mut output, mut place) = (ptr::null_mut(), ptr::null_mut());
        let (mut memory, mut device) = (abi::MemoryType::CPU, 0);
        // SAFETY: the response is not sent; name and shape are as C wants them and outlive the call, which copies them.
        // The output that it writes is the response's, and alive when its buffer is asked for.
        unsafe {
            check(with_c_text(name, |name| {
                let (handle, shape) = (self.handle.as_ptr(), shape.as_ptr());
                sys::TRITONBACKEND_ResponseOutput(handle, &mut output, name, data_type.raw(), shape, rank)
            })?)?;
            let byte_size = byte_size as u64;
            check(sys::TRITONBACKEND_OutputBuffer(output, &mut place, byte_size, &mut memory, &mut device))?;
        }
        if memory == abi::MemoryType::GPU {
            return Err(Error::unsupported(format_args!("output {name:?} is wanted in the memory of a GPU")));
        }
        if byte_size == 0 {
            return Ok(&mut []);
        }
        if place.is_null() {
            return Err(Error::internal(format_args!("the server gave no memory for output {name:?}")));
        }
        // SAFETY: the server gave so many bytes to this output, for the backend to write until the response is sent,
        // which takes it by value. What they hold at first was written on the server's side, as far as can be known
        // here.
        Ok(unsafe { slice::from_raw_parts_mut(place.cast(), byte_size) })
    }

    /// Adds an output with these elements. Fails where the shape is of another number of elements.
    pub fn output_of<T: Element>(&mut self, name: &str, shape: &[i64], values: &[T]) -> Result<()> {
        let bytes = bytemuck::cast_slice(values);
        if T::DATA_TYPE.byte_size(shape) != Some(bytes.len()) {
            let count = values.len();
            return Err(Error::internal(format_args!(
                "output {name:?} has {count} elements for shape {shape:?}"
            )));
        }
        self.output(name, T::DATA_TYPE, shape, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Adds an output of [`DataType::Bytes`] with these elements. Fails where the shape is of another number of them.
    pub fn output_of_bytes<T: AsRef<[u8]>>(
        &mut self,
        name: &str,
        shape: &[i64],
        elements: &[T],
    ) -> Result<()> {
        // Of a byte each, they would have as many bytes as there are.
        if DataType::Uint8.byte_size(shape) != Some(elements.len()) {
            let count = elements.len();
            return Err(Error::internal(format_args!(
                "output {name:?} has {count} elements for shape {shape:?}"
            )));
        }
        let byte_size = byte_elements::byte_size(elements)?;
        byte_elements::write(elements, self.output(name, DataType::Bytes, shape, byte_size)?);
        Ok(())
    }

    /// Adds a parameter, which the client finds in the response.
    pub fn set_parameter(&mut self, name: &str, value: Parameter<'_>) -> Result<()> {
        let handle = self.handle.as_ptr();
        // SAFETY: the response is not sent; texts are as C wants them and outlive the calls, which copy them. What the
        // calls return is the caller's.
        with_c_text(name, |name| unsafe {
            check(match value {
                Parameter::String(text) => with_c_text(text, |text| {
                    sys::TRITONBACKEND_ResponseSetStringParameter(handle, name, text)
                })?,
                Parameter::Int(number) => sys::TRITONBACKEND_ResponseSetIntParameter(handle, name, number),
                Parameter::Bool(yes) => sys::TRITONBACKEND_ResponseSetBoolParameter(handle, name, yes),
                Parameter::Double(number) => {
                    sys::TRITONBACKEND_ResponseSetDoubleParameter(handle, name, number)
                }
            })
        })?
    }

    /// Sends it: to a request its answer, from a sender one of its responses. Fails where the request is answered
    /// already, or the sender finished.
    #[inline]
    pub fn send(self) -> Result<()> {
        match self.origin {
            Origin::Request(request) => {
                request.expect_open()?;
                request.is_answered(Answer::Given);
                self.hand_over(ResponseCompleteFlags::FINAL.0, None)
            }
            Origin::Sender(finished) => {
                expect_unfinished(finished)?;
                self.hand_over(0, None)
            }
        }
    }

    /// Sends it as the last one; a sender is finished by it. A request's only response is always the last.
    pub fn send_last(self) -> Result<()> {
        if let Origin::Sender(finished) = self.origin {
            expect_unfinished(finished)?;
            finished.set(true);
            return self.hand_over(ResponseCompleteFlags::FINAL.0, None);
        }
        self.send()
    }

    /// Sends an error in its place, as the last response. Where the request is answered already, or the sender
    /// finished, it changes nothing.
    pub fn fail(self, error: &Error) {
        match self.origin {
            Origin::Request(request) if request.expect_open().is_ok() => request.is_answered(Answer::Failed),
            Origin::Sender(finished) if !finished.replace(true) => {}
            _ => return,
        }
        if let Err(unsent) = self.hand_over(ResponseCompleteFlags::FINAL.0, Some(error)) {
            log::complaint("an error response is not sent", &unsent);
        }
    }

    /// Gives the response to the server, which owns it from then on, whatever it returns.
    #[inline]
    fn hand_over(self, flags: u32, error: Option<&Error>) -> Result<()> {
        let handle = self.handle.as_ptr();
        mem::forget(self);
        let error = error.map(|error| RawError(error.to_raw()));
        let raw = error.as_ref().map_or(ptr::null_mut(), |error| error.0);
        // SAFETY: the response was neither sent nor deleted, and is not used again; the error lives until after the
        // call.
        unsafe { check(sys::TRITONBACKEND_ResponseSend(handle, flags, raw)) }
    }
}

impl Drop for Response<'_> {
    fn drop(&mut self) {
        // SAFETY: a response that is sent forgets itself before, so this one is not.
        if let Err(error) = unsafe { check(sys::TRITONBACKEND_ResponseDelete(self.handle.as_ptr())) } {
            log::complaint("a response is not deleted", &error);
        }
    }
}

pub(crate) fn expect_unfinished(finished: &Cell<bool>) -> Result<()> {
    if finished.get() {
        Err(Error::internal("the backend sends a response after the last one"))
    } else {
        Ok(())
    }
}
