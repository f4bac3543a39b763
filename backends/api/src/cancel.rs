use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Whether a request is still wanted. Clones share one state; once cancelled it stays so.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    watchers: Mutex<Watchers>,
}

#[derive(Default)]
struct Watchers {
    next: u64,
    waiting: Vec<(u64, Box<dyn FnOnce() + Send>)>,
}

impl Cancel {
    /// Marks the request as no longer wanted and calls every watcher, on this thread.
    pub fn cancel(&self) {
        let waiting = {
            // The flag changes under the lock so that a watcher is either in the list taken here or sees the flag.
            let mut watchers = self.0.watchers.lock();
            self.0.cancelled.store(true, Ordering::Release);
            std::mem::take(&mut watchers.waiting)
        };
        for (_, watcher) in waiting {
            watcher();
        }
    }

    /// Whether the request is no longer wanted.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Calls `watcher` once when the request is cancelled, at once if it already is. Dropping the guard forgets the
    /// watcher, unless a cancellation has already taken it and is about to call it.
    #[must_use = "dropping the guard forgets the watcher"]
    pub fn on_cancel(&self, watcher: impl FnOnce() + Send + 'static) -> CancelGuard {
        let mut watchers = self.0.watchers.lock();
        let id = watchers.next;
        watchers.next += 1;
        if self.is_cancelled() {
            drop(watchers);
            watcher();
        } else {
            watchers.waiting.push((id, Box::new(watcher)));
        }
        CancelGuard { cancel: self.clone(), id }
    }

    /// The same for who must not be called now: a request that is cancelled already has no watcher.
    pub fn on_later_cancel(&self, watcher: impl FnOnce() + Send + 'static) -> Option<CancelGuard> {
        let mut watchers = self.0.watchers.lock();
        if self.is_cancelled() {
            return None;
        }
        let id = watchers.next;
        watchers.next += 1;
        watchers.waiting.push((id, Box::new(watcher)));
        Some(CancelGuard { cancel: self.clone(), id })
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

/// Keeps a watcher of [`Cancel::on_cancel`] registered.
#[derive(Debug)]
pub struct CancelGuard {
    cancel: Cancel,
    id: u64,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        let forgotten = {
            let mut watchers = self.cancel.0.watchers.lock();
            let place = watchers.waiting.iter().position(|(id, _)| *id == self.id);
            place.map(|place| watchers.waiting.swap_remove(place))
        };
        // What the watcher holds is dropped outside the lock: it may itself hold a guard.
        drop(forgotten);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn counter() -> (Arc<AtomicUsize>, impl FnOnce() + Send + 'static) {
        let count = Arc::new(AtomicUsize::new(0));
        let watched = Arc::clone(&count);
        (count, move || {
            watched.fetch_add(1, Ordering::SeqCst);
        })
    }

    #[test]
    fn a_watcher_is_called_once_when_the_request_is_cancelled() {
        let cancel = Cancel::default();
        let (count, watcher) = counter();
        let _guard = cancel.on_cancel(watcher);
        assert_eq!(count.load(Ordering::SeqCst), 0);
        cancel.cancel();
        cancel.cancel();
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_watcher_of_a_request_already_cancelled_is_called_at_once() {
        let cancel = Cancel::default();
        cancel.cancel();
        let (count, watcher) = counter();
        let _guard = cancel.on_cancel(watcher);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_watcher_for_later_is_called_when_the_request_is_cancelled_and_not_if_it_was_before() {
        let cancel = Cancel::default();
        let (count, watcher) = counter();
        let guard = cancel.on_later_cancel(watcher);
        cancel.cancel();
        assert!(guard.is_some() && count.load(Ordering::SeqCst) == 1);
        let (count, watcher) = counter();
        assert!(cancel.on_later_cancel(watcher).is_none());
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_watcher_whose_guard_was_dropped_is_not_called() {
        let cancel = Cancel::default();
        let (count, watcher) = counter();
        drop(cancel.on_cancel(watcher));
        cancel.cancel();
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }
}
