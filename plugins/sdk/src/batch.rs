//! The requests of one execution.

#![allow(unsafe_code)]

use std::mem;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use nerite_plugin_abi as abi;

use crate::clock::{self, Times};
use crate::error::{Error, Result, check};
use crate::log;
use crate::request::Request;
use crate::response::Response;
use crate::sys;

/// The requests that an instance is to execute together; a slice of [`Request`]s.
///
/// Those that are not taken out of it ([`take`](Batch::take)) are released when the execution returns.
pub struct Batch {
    instance: NonNull<abi::ModelInstance>,
    requests: Vec<Request>,
    rows: u64,
    times: Times,
}

impl Batch {
    /// # Safety
    ///
    /// The server called the execution of that instance with these requests, and nobody else releases them.
    pub(crate) unsafe fn new(
        instance: NonNull<abi::ModelInstance>,
        handles: &[*mut abi::Request],
        batches: bool,
    ) -> Batch {
        let begins = clock::now();
        let handles = handles.iter().filter_map(|&handle| NonNull::new(handle));
        // SAFETY: the caller's promise.
        let requests = handles.map(|handle| unsafe { Request::new(handle, instance, begins) });
        let requests: Vec<Request> = requests.collect();
        let rows = if batches { requests.iter().map(Request::rows).sum() } else { requests.len() as u64 };
        Batch { instance, requests, rows, times: Times::of_all(begins, 0) }
    }

    /// How many rows all requests have together; where the model does not batch, how many requests there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Answers each request with what `fill` writes into its response, or with the error that it returns.
    pub fn respond_each(&mut self, mut fill: impl FnMut(&Request, &mut Response<'_>) -> Result<()>) {
        for request in &self.requests {
            let sent = request.response().and_then(|mut response| {
                fill(request, &mut response)?;
                response.send()
            });
            if let Err(error) = sent {
                request.fail(&error);
            }
        }
    }

    /// Takes the requests out, to hold them longer than this execution. Each is released when it is dropped; all have
    /// to be before the instance is.
    pub fn take(&mut self) -> Vec<Request> {
        mem::take(&mut self.requests)
    }

    /// Says that the inputs are ready and the computation begins; what was before counts as time for inputs.
    pub fn compute_start(&mut self) {
        self.times.compute_begins = clock::now();
    }

    /// Says that the results are there; what is after counts as time for outputs.
    pub fn compute_end(&mut self) {
        self.times.compute_ends = clock::now();
    }

    /// Answers what is not answered.
    pub(crate) fn fail(&self, error: &Error) {
        self.requests.iter().filter(|request| request.is_open()).for_each(|request| request.fail(error));
    }

    /// Reports what it took and releases the requests that are left.
    pub(crate) fn finish(mut self) {
        self.times.execution_ends = clock::now();
        if self.times.compute_ends == 0 {
            self.times.compute_ends = self.times.execution_ends;
        }
        let times = self.times;
        for mut request in self.requests.drain(..) {
            request.is_executed(times);
        }
        // SAFETY: this is still the execution of that instance.
        let reported = unsafe {
            check(sys::TRITONBACKEND_ModelInstanceReportBatchStatistics(
                self.instance.as_ptr(),
                self.rows,
                times.execution_begins,
                times.compute_begins,
                times.compute_ends,
                times.execution_ends,
            ))
        };
        if let Err(error) = reported {
            log::complaint("a batch's statistics are not reported", &error);
        }
    }
}

impl Deref for Batch {
    type Target = [Request];

    fn deref(&self) -> &[Request] {
        &self.requests
    }
}

impl DerefMut for Batch {
    fn deref_mut(&mut self) -> &mut [Request] {
        &mut self.requests
    }
}
