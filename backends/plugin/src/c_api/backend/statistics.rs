//! What plugins report of their executions.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use nerite_backend::{BackendError, Code, Phases};
use nerite_plugin_abi as abi;

use super::request::Request;
use crate::guard;
use crate::handle;
use crate::instance::ModelInstance;

/// Accounts for one request. It may be reported until the request is released.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceReportStatistics(
    instance: *mut abi::ModelInstance,
    request: *mut abi::Request,
    success: bool,
    exec_start_ns: u64,
    compute_start_ns: u64,
    compute_end_ns: u64,
    exec_end_ns: u64,
) -> *mut abi::Error {
    guard::answer(|| {
        handle::find::<Arc<ModelInstance>>(instance)?;
        let request = handle::find::<Request>(request)?;
        if success {
            let phases = phases([exec_start_ns, compute_start_ns, compute_end_ns, exec_end_ns])?;
            request.report(&phases, Ok(()));
        } else {
            // The times mean nothing then.
            let now = Instant::now();
            let phases = Phases { start: now, input_end: now, infer_end: now, end: now };
            request.report(&phases, Err(&BackendError::new(Code::Internal, "the model failed")));
        }
        Ok(())
    })
}

/// Accounts for one execution of the model.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceReportBatchStatistics(
    instance: *mut abi::ModelInstance,
    batch_size: u64,
    exec_start_ns: u64,
    compute_start_ns: u64,
    compute_end_ns: u64,
    exec_end_ns: u64,
) -> *mut abi::Error {
    guard::answer(|| {
        let instance = handle::find::<Arc<ModelInstance>>(instance)?;
        let rows = u32::try_from(batch_size)
            .map_err(|_| BackendError::invalid("batch_size is larger than any batch"))?;
        let phases = phases([exec_start_ns, compute_start_ns, compute_end_ns, exec_end_ns])?;
        instance.executions.executed(rows, &phases);
        Ok(())
    })
}

/// Points of the monotonic clock in nanoseconds, in their order and not in the future.
fn phases(times: [u64; 4]) -> Result<Phases, BackendError> {
    if times.contains(&0) {
        return Err(BackendError::invalid(
            "a timestamp is 0; give all four in nanoseconds of the monotonic clock (std::chrono::steady_clock)",
        ));
    }
    let now = Instant::now();
    let [start, input_end, infer_end, end] =
        times.map(|time| instant(time).map_or(now, |instant| instant.min(now)));
    // A plugin that has them in another order would have others count backwards.
    let input_end = input_end.max(start);
    let infer_end = infer_end.max(input_end);
    Ok(Phases { start, input_end, infer_end, end: end.max(infer_end) })
}

/// The instant at that time of the monotonic clock, which is the clock of `Instant`.
fn instant(nanoseconds: u64) -> Option<Instant> {
    static ORIGIN: LazyLock<(Instant, Duration)> = LazyLock::new(|| (Instant::now(), monotonic()));
    let (origin, at_origin) = *ORIGIN;
    let time = Duration::from_nanos(nanoseconds);
    match time.checked_sub(at_origin) {
        Some(since) => origin.checked_add(since),
        None => origin.checked_sub(at_origin - time),
    }
}

/// The time of the monotonic clock.
fn monotonic() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is stored in what is here. There always is a monotonic clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_plugin_are_instants_in_their_order() {
        let now = monotonic().as_nanos() as u64;
        let phases = phases([now - 4_000_000, now - 3_000_000, now - 2_000_000, now - 1_000_000]).unwrap();
        for (later, earlier) in [
            (phases.input_end, phases.start),
            (phases.infer_end, phases.input_end),
            (phases.end, phases.infer_end),
        ] {
            assert_eq!(later - earlier, Duration::from_millis(1));
        }
    }

    #[test]
    fn times_that_make_no_sense_do_no_harm() {
        assert!(phases([0, 1, 2, 3]).is_err());
        let phases = phases([u64::MAX, 1, u64::MAX / 2, 7]).unwrap();
        assert!(
            phases.start <= phases.input_end
                && phases.infer_end <= phases.end
                && phases.end <= Instant::now()
        );
    }
}
