//! What is in flight in the whole daemon, and how much of it there may be.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The inference requests in flight and the bytes of all calls in flight, each with its limit.
///
/// Two counters and no lock, for every request passes here.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    requests: Counter,
    bytes: Counter,
    refused: AtomicU64,
}

/// A limit that was reached. The first sentence of the text is Triton's, which clients look for; a request's id is not
/// known before its message is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// One request more would have been too many.
    #[error(
        "[request id: <id_unknown>] Exceeds maximum queue size. {0} inference requests are in flight, the limit of \
         this server (--max-inflight-requests)."
    )]
    Requests(usize),
    /// What came would have been too much.
    #[error(
        "[request id: <id_unknown>] Exceeds maximum queue size. The bodies of the calls in flight would have more than \
         {0} bytes, the limit of this server (--max-inflight-bytes)."
    )]
    Bytes(usize),
}

impl Inflight {
    /// Nothing yet, with these limits.
    pub(crate) fn new(requests: Option<NonZeroUsize>, bytes: Option<NonZeroUsize>) -> Inflight {
        Inflight { requests: Counter::new(requests), bytes: Counter::new(bytes), refused: AtomicU64::new(0) }
    }

    /// The share of an inference request, unless there are too many.
    pub(crate) fn request(self: &Arc<Self>) -> Result<Share, Full> {
        self.requests.add(1).map_err(|limit| self.refuse(Full::Requests(limit)))?;
        Ok(Share { inflight: Arc::clone(self), requests: 1, bytes: AtomicUsize::new(0) })
    }

    /// The share of a call that is none.
    pub(crate) fn call(self: &Arc<Self>) -> Share {
        Share { inflight: Arc::clone(self), requests: 0, bytes: AtomicUsize::new(0) }
    }

    /// How many calls were ended since there was no room for them, or for all that they brought.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    fn refuse(&self, full: Full) -> Full {
        self.refused.fetch_add(1, Relaxed);
        full
    }

    /// How many inference requests are in flight.
    pub(crate) fn requests(&self) -> usize {
        self.requests.now.load(Relaxed)
    }

    /// How many bytes calls in flight have brought.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.now.load(Relaxed)
    }
}

/// What one call has in flight. Dropping it gives all of that back.
#[derive(Debug)]
pub(crate) struct Share {
    inflight: Arc<Inflight>,
    requests: usize,
    bytes: AtomicUsize,
}

impl Share {
    /// Adds bytes that have come, unless they are too many.
    pub(crate) fn add(&self, bytes: usize) -> Result<(), Full> {
        let refuse = |limit| self.inflight.refuse(Full::Bytes(limit));
        self.inflight.bytes.add(bytes).map_err(refuse)?;
        self.bytes.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// The share of something else, with nothing in flight yet.
    pub(crate) fn beside(&self) -> Share {
        self.inflight.call()
    }

    /// Makes so many of its bytes another's, or all that it has.
    pub(crate) fn split(&mut self, bytes: usize) -> Share {
        let mine = self.bytes.get_mut();
        let bytes = bytes.min(*mine);
        *mine -= bytes;
        Share { inflight: Arc::clone(&self.inflight), requests: 0, bytes: AtomicUsize::new(bytes) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.inflight.requests.subtract(self.requests);
        self.inflight.bytes.subtract(*self.bytes.get_mut());
    }
}

/// A number and the most that it may be. It orders nothing: who sees it change need not see anything else.
#[derive(Debug)]
struct Counter {
    now: AtomicUsize,
    limit: usize,
}

impl Counter {
    fn new(limit: Option<NonZeroUsize>) -> Counter {
        Counter { now: AtomicUsize::new(0), limit: limit.map_or(usize::MAX, NonZeroUsize::get) }
    }

    /// Adds, or gives the limit that stands in the way. It never counts what it refuses, not even for a moment: that
    /// could make it refuse another caller, for whom there is room.
    fn add(&self, number: usize) -> Result<(), usize> {
        let add = |now: usize| now.checked_add(number).filter(|sum| *sum <= self.limit);
        self.now.fetch_update(Relaxed, Relaxed, add).map(|_| ()).map_err(|_| self.limit)
    }

    fn subtract(&self, number: usize) {
        if number > 0 {
            self.now.fetch_sub(number, Relaxed);
        }
    }
}

impl Default for Counter {
    fn default() -> Counter {
        Counter::new(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(requests: usize, bytes: usize) -> Arc<Inflight> {
        Arc::new(Inflight::new(NonZeroUsize::new(requests), NonZeroUsize::new(bytes)))
    }

    #[test]
    fn requests_are_taken_up_to_the_limit_and_again_when_one_has_gone() {
        let inflight = limited(2, 0);
        let (one, _two) = (inflight.request().unwrap(), inflight.request().unwrap());
        let full = inflight.request().unwrap_err();
        assert_eq!((full, inflight.refused()), (Full::Requests(2), 1));
        let text = full.to_string();
        assert!(text.starts_with("[request id: <id_unknown>] Exceeds maximum queue size. "), "{text}");
        assert!(text.contains("--max-inflight-requests"), "{text}");
        let _other = inflight.call();
        drop(one);
        assert_eq!(inflight.requests(), 1);
        inflight.request().unwrap();
    }

    #[test]
    fn bytes_are_counted_up_to_the_limit_and_go_with_their_call() {
        let inflight = limited(0, 100);
        let (one, two) = (inflight.request().unwrap(), inflight.call());
        one.add(60).unwrap();
        two.add(40).unwrap();
        let full = two.add(1).unwrap_err();
        assert_eq!(full, Full::Bytes(100));
        assert!(full.to_string().contains("--max-inflight-bytes"), "{full}");
        drop(one);
        assert_eq!((inflight.requests(), inflight.bytes()), (0, 40));
        two.add(60).unwrap();
        drop(two);
        assert_eq!(inflight.bytes(), 0);
    }

    #[test]
    fn bytes_that_become_anothers_go_with_that() {
        let inflight = limited(0, 100);
        let mut all = inflight.call();
        all.add(100).unwrap();
        let some = all.split(30);
        assert_eq!(inflight.bytes(), 100);
        drop(all);
        assert_eq!(inflight.bytes(), 30);
        drop(some);
        assert_eq!(inflight.bytes(), 0);
    }

    #[test]
    fn without_limits_everything_is_taken_and_counted() {
        let inflight = Arc::new(Inflight::default());
        let shares: Vec<Share> = (0..100).map(|_| inflight.request().unwrap()).collect();
        shares[0].add(usize::MAX).unwrap();
        assert_eq!((inflight.requests(), inflight.bytes()), (100, usize::MAX));
        assert_eq!(shares[1].add(1), Err(Full::Bytes(usize::MAX)), "rather than to overflow");
        drop(shares);
        assert_eq!((inflight.requests(), inflight.bytes()), (0, 0));
    }

    #[test]
    fn many_threads_never_exceed_the_limits_and_leave_nothing_behind() {
        let inflight = limited(3, 10);
        let run = || {
            for _ in 0..20_000 {
                if let Ok(share) = inflight.request() {
                    let _refused = share.add(4);
                    assert!(inflight.requests() <= 3 && inflight.bytes() <= 10, "{inflight:?}");
                }
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(run))));
        assert_eq!((inflight.requests(), inflight.bytes()), (0, 0));
    }
}
