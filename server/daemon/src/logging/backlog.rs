use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// What waits for the one thread that writes it. Nobody waits for that thread: what finds no room is dropped, and counted.
pub(crate) struct Backlog<T> {
    state: Mutex<State<T>>,
    /// For the thread: there is something to write, or somebody who waits for all of it to be written.
    filled: Condvar,
    /// For those: all is written.
    emptied: Condvar,
    dropped: AtomicU64,
}

struct State<T> {
    items: Vec<T>,
    size: usize,
    /// The thread writes what it took.
    is_writing: bool,
    /// The thread waits for something to write.
    is_awaited: bool,
    /// How many wait for all to be written.
    flushes: usize,
}

impl<T> State<T> {
    fn is_done(&self) -> bool {
        self.items.is_empty() && !self.is_writing
    }
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        let state = State { items: Vec::new(), size: 0, is_writing: false, is_awaited: false, flushes: 0 };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }
}

impl<T> Backlog<T> {
    /// Adds something of that size, unless it would then be larger than `limit` in all.
    pub(crate) fn push(&self, item: T, size: usize, limit: usize) {
        let mut state = self.state.lock();
        if state.size + size > limit {
            drop(state);
            self.lose(1);
            return;
        }
        state.size += size;
        state.items.push(item);
        if state.is_awaited {
            self.filled.notify_one();
        }
    }

    /// Calls `write` if there is nothing else to be written before; meanwhile nobody else writes. Whether it was done.
    pub(crate) fn when_idle(&self, write: impl FnOnce() -> bool) -> bool {
        let state = self.state.lock();
        state.is_done() && write()
    }

    /// Counts what was dropped.
    pub(crate) fn lose(&self, count: u64) {
        self.dropped.fetch_add(count, Relaxed);
    }

    /// How much was dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// For the thread that writes: takes all there is into `batch`, whose last content is written. Waits for something.
    pub(crate) fn take(&self, batch: &mut Vec<T>) {
        batch.clear();
        let mut state = self.state.lock();
        state.is_writing = false;
        while state.items.is_empty() {
            self.emptied.notify_all();
            state.is_awaited = true;
            self.filled.wait(&mut state);
            state.is_awaited = false;
        }
        state.is_writing = true;
        state.size = 0;
        mem::swap(&mut state.items, batch);
    }

    /// For the same thread: lets more come together before it takes that, unless somebody waits for it.
    pub(crate) fn gather(&self, time: Duration) {
        let mut state = self.state.lock();
        if state.flushes == 0 {
            self.filled.wait_for(&mut state, time);
        }
    }

    /// Waits until all is written, at most so long. Whether it is.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.state.lock();
        state.flushes += 1;
        self.filled.notify_one();
        while !state.is_done() && !self.emptied.wait_until(&mut state, until).timed_out() {}
        state.flushes -= 1;
        state.is_done()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let backlog = Backlog::default();
        for (item, size) in [(1, 60), (2, 41), (3, 40), (4, 0), (5, 1)] {
            backlog.push(item, size, 100);
        }
        assert_eq!(backlog.dropped(), 2);
        let mut batch = vec![0];
        backlog.take(&mut batch);
        assert_eq!(batch, [1, 3, 4]);
        backlog.push(6, 100, 100);
        assert_eq!(backlog.dropped(), 2, "what is being written takes no room");
    }

    #[test]
    fn somebody_else_writes_only_what_has_nothing_before_it() {
        let backlog = Backlog::default();
        assert!(backlog.when_idle(|| true));
        assert!(!backlog.when_idle(|| false));
        backlog.push((), 1, 9);
        assert!(!backlog.when_idle(|| panic!("something waits")));
        backlog.take(&mut Vec::new());
        assert!(!backlog.when_idle(|| panic!("something is being written")));
    }

    #[test]
    fn a_flush_waits_until_all_is_written_but_not_for_ever() {
        let backlog = Arc::new(Backlog::default());
        assert!(backlog.flush(Duration::ZERO), "there is nothing");
        backlog.push(1, 1, 9);
        assert!(!backlog.flush(Duration::from_millis(1)), "nobody writes");
        let writer = Arc::clone(&backlog);
        thread::spawn(move || {
            let mut batch = Vec::new();
            loop {
                writer.take(&mut batch);
                // Ends at once, since somebody waits.
                writer.gather(Duration::from_secs(3600));
            }
        });
        for item in 2..100 {
            assert!(backlog.flush(Duration::from_secs(60)));
            backlog.push(item, 1, 9);
        }
    }
}
