//! One request of a batch.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::c_char;
use std::ptr::{self, NonNull};
use std::thread;
use std::time::Duration;

use nerite_plugin_abi as abi;
use nerite_plugin_abi::{ParameterType, RequestFlags, RequestReleaseFlags};

use crate::clock::{self, Times};
use crate::error::{Error, Result, check};
use crate::input::Input;
use crate::log;
use crate::parameter::Parameter;
use crate::response::Response;
use crate::sender::ResponseSender;
use crate::sys;
use crate::text::{text, with_c_text};

/// One request: what the client sent, and the duty to answer.
///
/// It is answered by one [`Response`], by an error ([`fail`](Request::fail)), or through a [`ResponseSender`] where the
/// model is decoupled. When it is dropped, it is released, once; one that was not answered is answered with an error.
pub struct Request {
    handle: NonNull<abi::Request>,
    instance: NonNull<abi::ModelInstance>,
    answer: Cell<Answer>,
    execution_begins: u64,
    times: Option<Times>,
}

/// How far a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Not yet.
    Open,
    /// With a response, or by a sender.
    Given,
    /// With an error.
    Failed,
}

/// Which sequence a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorrelationId<'r> {
    /// None.
    None,
    /// One with a number.
    Number(u64),
    /// One with a name.
    Text(&'r str),
}

// SAFETY: the server binds a request to no thread; whoever owns it calls, one call at a time, since it is not Sync.
unsafe impl Send for Request {}

impl Request {
    /// # Safety
    ///
    /// The request was handed over by the server to an execution of that instance, and nobody else releases it.
    #[inline]
    pub(crate) unsafe fn new(
        handle: NonNull<abi::Request>,
        instance: NonNull<abi::ModelInstance>,
        execution_begins: u64,
    ) -> Request {
        Request { handle, instance, answer: Cell::new(Answer::Open), execution_begins, times: None }
    }

    /// What the client calls the request; empty where it does not.
    pub fn id(&self) -> Result<&str> {
        // SAFETY: the server keeps the text as long as the request.
        unsafe { self.get_text(|handle, id| sys::TRITONBACKEND_RequestId(handle, id)) }
    }

    /// Which sequence it belongs to.
    pub fn correlation_id(&self) -> Result<CorrelationId<'_>> {
        let number = self.get(|handle, id| {
            // SAFETY: the request is alive, and the server writes a number.
            unsafe { sys::TRITONBACKEND_RequestCorrelationId(handle, id) }
        });
        match number {
            Ok(0) => Ok(CorrelationId::None),
            Ok(number) => Ok(CorrelationId::Number(number)),
            // The server answers with an error where the id is a text.
            Err(_) => {
                // SAFETY: the server keeps the text as long as the request.
                let text = unsafe {
                    self.get_text(|handle, id| sys::TRITONBACKEND_RequestCorrelationIdString(handle, id))
                };
                text.map(|text| if text.is_empty() { CorrelationId::None } else { CorrelationId::Text(text) })
            }
        }
    }

    /// Whether it is the first of its sequence.
    pub fn starts_sequence(&self) -> Result<bool> {
        self.has(RequestFlags::SEQUENCE_START)
    }

    /// Whether it is the last of its sequence.
    pub fn ends_sequence(&self) -> Result<bool> {
        self.has(RequestFlags::SEQUENCE_END)
    }

    fn has(&self, flag: RequestFlags) -> Result<bool> {
        let flags: u32 = self.get(|handle, flags| {
            // SAFETY: the request is alive, and the server writes a number.
            unsafe { sys::TRITONBACKEND_RequestFlags(handle, flags) }
        })?;
        Ok(flags & flag.0 != 0)
    }

    /// How long the client lets it wait; none where it does not say.
    pub fn timeout(&self) -> Result<Option<Duration>> {
        let microseconds = self.get(|handle, timeout| {
            // SAFETY: the request is alive, and the server writes a number.
            unsafe { sys::TRITONBACKEND_InferenceRequestTimeoutMicroseconds(handle, timeout) }
        })?;
        Ok(Some(Duration::from_micros(microseconds)).filter(|timeout| !timeout.is_zero()))
    }

    /// Whether nobody waits for the answer any more; a backend that notices answers with [`Error::cancelled`].
    pub fn is_cancelled(&self) -> Result<bool> {
        self.get(|handle, cancelled| {
            // SAFETY: the request is alive, and the server writes a bool.
            unsafe { sys::TRITONBACKEND_RequestIsCancelled(handle, cancelled) }
        })
    }

    /// All parameters with their names, in no order.
    pub fn parameters(&self) -> impl Iterator<Item = Result<(&str, Parameter<'_>)>> {
        let count: u32 = self
            .get(|handle, count| {
                // SAFETY: the request is alive, and the server writes a number.
                unsafe { sys::TRITONBACKEND_RequestParameterCount(handle, count) }
            })
            .unwrap_or(0);
        (0..count).map(|index| self.parameter_at(index))
    }

    /// The parameter of that name.
    pub fn parameter(&self, name: &str) -> Result<Option<Parameter<'_>>> {
        let found =
            self.parameters().find(|parameter| parameter.as_ref().map_or(true, |(key, _)| *key == name));
        found.transpose().map(|found| found.map(|(_, value)| value))
    }

    fn parameter_at(&self, index: u32) -> Result<(&str, Parameter<'_>)> {
        let (mut key, mut kind, mut value) = (ptr::null(), ParameterType::STRING, ptr::null());
        // SAFETY: the request is alive; the server checks the index and writes one value behind each pointer, which it
        // keeps as long as the request.
        unsafe {
            check(sys::TRITONBACKEND_RequestParameter(
                self.handle.as_ptr(),
                index,
                &mut key,
                &mut kind,
                &mut value,
            ))?;
            Ok((text(key)?, Parameter::new(kind, value)?))
        }
    }

    /// How many inputs there are.
    pub fn input_count(&self) -> Result<u32> {
        self.get(|handle, count| {
            // SAFETY: the request is alive, and the server writes a number.
            unsafe { sys::TRITONBACKEND_RequestInputCount(handle, count) }
        })
    }

    /// The input of that name. Fails where the request has none.
    #[inline]
    pub fn input(&self, name: &str) -> Result<Input<'_>> {
        let mut input = ptr::null_mut();
        // SAFETY: the request is alive, the name ends with a zero, and the server writes a handle.
        unsafe {
            check(with_c_text(name, |name| {
                sys::TRITONBACKEND_RequestInput(self.handle.as_ptr(), name, &mut input)
            })?)?;
            Input::new(input)
        }
    }

    /// The input at that place. The order may differ from request to request.
    #[inline]
    pub fn input_at(&self, index: u32) -> Result<Input<'_>> {
        let mut input = ptr::null_mut();
        // SAFETY: the request is alive; the server checks the index and writes a handle.
        unsafe {
            check(sys::TRITONBACKEND_RequestInputByIndex(self.handle.as_ptr(), index, &mut input))?;
            Input::new(input)
        }
    }

    /// The names of the outputs that the client wants; a backend computes no others.
    #[inline]
    pub fn requested_outputs(&self) -> impl Iterator<Item = Result<&str>> {
        let count: u32 = self
            .get(|handle, count| {
                // SAFETY: the request is alive, and the server writes a number.
                unsafe { sys::TRITONBACKEND_RequestOutputCount(handle, count) }
            })
            .unwrap_or(0);
        (0..count).map(|index| {
            // SAFETY: the server checks the index and keeps the text as long as the request.
            unsafe { self.get_text(|handle, name| sys::TRITONBACKEND_RequestOutputName(handle, index, name)) }
        })
    }

    /// Whether the client wants the output of that name.
    pub fn wants(&self, output: &str) -> bool {
        self.requested_outputs().any(|name| name.is_ok_and(|name| name == output))
    }

    /// The request's one response, to be filled and sent. Dropped instead, it is as if it had not been made. Fails
    /// where the request is answered already.
    #[inline]
    pub fn response(&self) -> Result<Response<'_>> {
        self.expect_open()?;
        let mut response = ptr::null_mut();
        // SAFETY: the request is alive, and the server writes a handle that is ours to send or delete.
        unsafe {
            check(sys::TRITONBACKEND_ResponseNew(&mut response, self.handle.as_ptr()))?;
            Response::for_request(response, self)
        }
    }

    /// For decoupled models: what sends any number of responses, now or later, from any thread. The request itself may
    /// be dropped as soon as its inputs are not needed any more. Fails where the request is answered already.
    pub fn sender(&self) -> Result<ResponseSender> {
        self.expect_open()?;
        let mut factory = ptr::null_mut();
        // SAFETY: the request is alive, and the server writes a handle that is ours to delete.
        let sender = unsafe {
            check(sys::TRITONBACKEND_ResponseFactoryNew(&mut factory, self.handle.as_ptr()))?;
            ResponseSender::new(factory)
        }?;
        self.answer.set(Answer::Given);
        Ok(sender)
    }

    /// Answers with an error. Of one that is answered already the log tells.
    pub fn fail(&self, error: &Error) {
        if !self.is_open() {
            return log::complaint("an error comes after the answer", error);
        }
        match self.response() {
            Ok(response) => response.fail(error),
            Err(no_response) => log::complaint("an error response cannot be made", &no_response),
        }
        self.answer.set(Answer::Failed);
    }

    /// How many rows it brings to a batch: the first extent of its first input. One where there is none.
    pub(crate) fn rows(&self) -> u64 {
        let first = self.input_at(0).ok().and_then(|input| input.shape().first().copied());
        first.and_then(|extent| u64::try_from(extent).ok()).unwrap_or(1)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.answer.get() == Answer::Open
    }

    #[inline]
    pub(crate) fn expect_open(&self) -> Result<()> {
        if self.is_open() { Ok(()) } else { Err(Error::internal("the backend answers a request twice")) }
    }

    #[inline]
    pub(crate) fn is_answered(&self, answer: Answer) {
        self.answer.set(answer);
    }

    pub(crate) fn is_executed(&mut self, times: Times) {
        self.times = Some(times);
    }

    #[inline]
    fn get<T: Default>(&self, call: impl FnOnce(*mut abi::Request, *mut T) -> *mut abi::Error) -> Result<T> {
        let mut value = T::default();
        // SAFETY: the calls that are passed are of the API, whose errors are the caller's.
        unsafe { check(call(self.handle.as_ptr(), &mut value)) }?;
        Ok(value)
    }

    /// # Safety
    ///
    /// What the call writes is null or text that neither moves nor changes as long as the request is not released.
    #[inline]
    unsafe fn get_text(
        &self,
        call: impl FnOnce(*mut abi::Request, *mut *const c_char) -> *mut abi::Error,
    ) -> Result<&str> {
        let mut value = ptr::null();
        // SAFETY: as of get, and the caller's promise.
        unsafe {
            check(call(self.handle.as_ptr(), &mut value))?;
            text(value)
        }
    }

    fn report(&self) {
        let success = self.answer.get() == Answer::Given;
        let times = self.times.unwrap_or_else(|| Times::of_all(self.execution_begins, clock::now()));
        // SAFETY: the request is not yet released, and so its instance is not finalised.
        let reported = unsafe {
            check(sys::TRITONBACKEND_ModelInstanceReportStatistics(
                self.instance.as_ptr(),
                self.handle.as_ptr(),
                success,
                times.execution_begins,
                times.compute_begins,
                times.compute_ends,
                times.execution_ends,
            ))
        };
        if let Err(error) = reported {
            log::complaint("a request's statistics are not reported", &error);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.is_open() {
            let panicking = thread::panicking();
            self.fail(&Error::internal(if panicking {
                "the backend panicked before it answered the request"
            } else {
                "the backend dropped the request without an answer"
            }));
        }
        self.report();
        // SAFETY: the request is ours and is not used again: this is its drop, and nothing that borrows it is left.
        let released = unsafe {
            check(sys::TRITONBACKEND_RequestRelease(self.handle.as_ptr(), RequestReleaseFlags::ALL.0))
        };
        if let Err(error) = released {
            log::complaint("a request is not released", &error);
        }
    }
}
