use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::sync::{Condvar, Mutex};

/// How much the unread responses of decoupled models may hold, of one request or of several whose caller reads them
/// together. Whoever sends more has to wait until the caller has read some.
///
/// What is sent while there is any room left is taken whole, so that one that is larger than all the room still passes.
#[derive(Debug)]
pub struct Room {
    most: Load,
    load: Mutex<Load>,
    freed: Condvar,
    /// Whether somebody has waited in vain since the caller read anything: nobody else waits as long again.
    is_given_up: AtomicBool,
}

/// So many responses of so many bytes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    responses: usize,
    bytes: usize,
}

impl Room {
    /// Room for so many responses, or for so many bytes of them.
    pub fn new(responses: usize, bytes: usize) -> Room {
        Room {
            most: Load { responses, bytes },
            load: Mutex::default(),
            freed: Condvar::default(),
            is_given_up: AtomicBool::new(false),
        }
    }

    /// How many responses there are and how many bytes they have.
    pub fn load(&self) -> (usize, usize) {
        let load = self.load.lock();
        (load.responses, load.bytes)
    }

    /// Whether there is any.
    pub(super) fn has_room(&self) -> bool {
        self.load.lock().is_below(&self.most)
    }

    /// Takes the room for a response of so many bytes, if there is any.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let mut load = self.load.lock();
        let has_room = load.is_below(&self.most);
        if has_room {
            load.add(bytes);
        }
        has_room
    }

    /// Takes the room for a response of so many bytes, whether there is any or not.
    pub(super) fn take_anyway(&self, bytes: usize) {
        self.load.lock().add(bytes);
    }

    /// Gives the room of so many responses back, which had so many bytes.
    pub(super) fn give_back(&self, responses: usize, bytes: usize) {
        let mut load = self.load.lock();
        if responses > 0 {
            self.is_given_up.store(false, Ordering::Relaxed);
        }
        let was_full = !load.is_below(&self.most);
        load.responses -= responses;
        load.bytes -= bytes;
        let is_freed = was_full && load.is_below(&self.most);
        drop(load);
        if is_freed {
            self.freed.notify_all();
        }
    }

    /// Waits until there is room, or `is_over` says that none is needed any more; `false` if that has not come to be by
    /// then. When what `is_over` says changes, [`Room::look`] has it asked. Where somebody has waited in vain and the caller
    /// has read nothing since, others do not wait: they would hold up an engine in turn, each for as long.
    pub(super) fn wait(&self, until: Instant, is_over: impl Fn() -> bool) -> bool {
        let mut load = self.load.lock();
        while !load.is_below(&self.most) && !is_over() {
            if self.is_given_up.load(Ordering::Relaxed) || until <= Instant::now() {
                self.is_given_up.store(true, Ordering::Relaxed);
                return false;
            }
            load = self.freed.wait_until(load, until);
        }
        true
    }

    /// Lets everybody who waits look again.
    pub(super) fn look(&self) {
        // Not between somebody's last look and the beginning of their wait.
        drop(self.load.lock());
        self.freed.notify_all();
    }
}

impl Load {
    fn is_below(&self, most: &Load) -> bool {
        self.responses < most.responses && self.bytes < most.bytes
    }

    fn add(&mut self, bytes: usize) {
        self.responses += 1;
        self.bytes += bytes;
    }
}
