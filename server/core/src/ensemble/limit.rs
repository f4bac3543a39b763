use std::collections::VecDeque;
use std::sync::Arc;

use super::progress::Firing;
use super::run::Run;
use crate::sync::Mutex;

/// How many requests of one step may be in flight, of all requests of the ensemble together. Others wait in line.
pub(super) struct Limit {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    waiting: VecDeque<(Arc<Run>, Firing)>,
}

impl Limit {
    /// At most so many.
    pub(super) fn new(most: usize) -> Limit {
        Limit { most, state: Mutex::default() }
    }

    /// Takes a place for a step that is to run. Without one, it waits in line, and `false`.
    pub(super) fn take(&self, run: &Arc<Run>, firing: Firing) -> bool {
        let mut state = self.state.lock();
        let has_place = state.taken < self.most;
        match has_place {
            true => state.taken += 1,
            false => {
                run.stands_in_line(true);
                state.waiting.push_back((Arc::clone(run), firing));
            }
        }
        has_place
    }

    /// Gives a place back. The next in line, who has it now.
    pub(super) fn give_back(&self) -> Option<(Arc<Run>, Firing)> {
        let mut state = self.state.lock();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.taken -= 1;
        }
        next
    }

    /// Takes a request out of the line.
    pub(super) fn forget(&self, run: &Arc<Run>) {
        let mut state = self.state.lock();
        // The request itself is held by whoever calls, so that none is dropped under the lock.
        state.waiting.retain(|(waiting, _)| !Arc::ptr_eq(waiting, run));
    }
}
