//! Who goes on with a request when something has come of it: one loop on each thread, however deep the thread is in calls.
//!
//! What a step answers may come from within the push of that step, which may fail or be executed at once, and a slot that
//! one request gives back goes to another. If each went on by itself, a long chain would nest as deep.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use super::run::Run;
use crate::execution::Bringer;
use crate::sync::thread_local;

thread_local! {
    /// The requests that this thread is to go on with; none if it is not in the loop.
    static WAITING: RefCell<Option<VecDeque<Arc<Run>>>> = const { RefCell::new(None) };
}

/// Goes on with a request: now, or when this thread, which is at that already, comes to it.
pub(super) fn go_on(run: Arc<Run>, bringer: Bringer) {
    let is_waiting = WAITING.with(|waiting| match &mut *waiting.borrow_mut() {
        Some(waiting) => {
            waiting.push_back(Arc::clone(&run));
            true
        }
        waiting @ None => {
            *waiting = Some(VecDeque::new());
            false
        }
    });
    if is_waiting {
        return;
    }
    let _left = Left;
    let mut next = Some(run);
    while let Some(run) = next {
        run.work(bringer);
        // It may be the last to hold the request, and letting go of one tells others.
        drop(run);
        next = WAITING.with(|waiting| waiting.borrow_mut().as_mut().and_then(VecDeque::pop_front));
    }
}

/// The loop is left, by a panic too.
struct Left;

impl Drop for Left {
    fn drop(&mut self) {
        let rest = WAITING.with(|waiting| waiting.borrow_mut().take());
        drop(rest);
    }
}
