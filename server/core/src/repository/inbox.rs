use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// For how many files it is kept what happened to each. With more, everything has to be looked at.
const MOST_FILES: usize = 10_000;

/// What notification has told and the watcher's thread has not read. Bounded, however much happens in between.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    news: News,
    is_closed: bool,
}

/// What has happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// What happened to each file or directory last.
    pub(super) touched: HashMap<PathBuf, Touch>,
    /// Something was lost: anything may have changed.
    pub(super) lost: bool,
    /// Nothing more can be watched: the system's limit is reached.
    pub(super) limit_reached: bool,
}

/// What happened to a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// Something.
    Changed,
    /// It was written to and is open.
    Writing,
    /// It was written to and is closed, or it is gone from there.
    Closed,
}

impl News {
    fn is_empty(&self) -> bool {
        self.touched.is_empty() && !self.lost && !self.limit_reached
    }

    fn touch(&mut self, path: PathBuf, touch: Touch) {
        match touch {
            Touch::Changed => drop(self.touched.entry(path).or_insert(touch)),
            Touch::Writing | Touch::Closed => drop(self.touched.insert(path, touch)),
        }
        if self.touched.len() > MOST_FILES {
            self.touched.clear();
            self.lost = true;
        }
    }
}

impl Inbox {
    /// Something happened to a file or directory.
    pub(super) fn touch(&self, path: PathBuf, touch: Touch) {
        self.put(|news| news.touch(path, touch));
    }

    /// Something happened that nobody could tell of.
    pub(super) fn lose(&self) {
        self.put(|news| news.lost = true);
    }

    /// A directory that has come could not be watched for there is a limit.
    pub(super) fn reach_limit(&self) {
        self.put(|news| news.limit_reached = true);
    }

    /// Nothing more will be read.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits for news or the deadline. News are held back for `quiet_until` that time, so that many come at once. `None`
    /// when it is closed.
    pub(super) fn wait(&self, deadline: Instant, quiet_until: Instant) -> Option<News> {
        let mut state = self.state.lock();
        while !state.is_closed {
            let until = if state.news.is_empty() { deadline } else { deadline.min(quiet_until) };
            if until <= Instant::now() {
                return Some(std::mem::take(&mut state.news));
            }
            self.changed.wait_until(&mut state, until);
        }
        None
    }

    fn put(&self, change: impl FnOnce(&mut News)) {
        let mut state = self.state.lock();
        let was_empty = state.news.is_empty();
        change(&mut state.news);
        drop(state);
        if was_empty {
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(inbox: &Inbox) -> News {
        let now = Instant::now();
        inbox.wait(now, now).expect("it is open")
    }

    #[test]
    fn of_what_happened_to_a_file_it_is_kept_whether_it_is_open() {
        for (touches, left) in [
            ([Touch::Changed, Touch::Writing], Touch::Writing),
            ([Touch::Writing, Touch::Changed], Touch::Writing),
            ([Touch::Writing, Touch::Closed], Touch::Closed),
            ([Touch::Closed, Touch::Writing], Touch::Writing),
            ([Touch::Closed, Touch::Changed], Touch::Closed),
        ] {
            let inbox = Inbox::default();
            touches.map(|touch| inbox.touch("file".into(), touch)).iter().for_each(drop);
            assert_eq!(taken(&inbox).touched, HashMap::from([("file".into(), left)]));
            assert_eq!(taken(&inbox), News::default());
        }
    }

    #[test]
    fn of_too_many_files_only_that_there_were_many_is_kept() {
        let inbox = Inbox::default();
        (0..=MOST_FILES).for_each(|i| inbox.touch(i.to_string().into(), Touch::Changed));
        assert_eq!(taken(&inbox), News { lost: true, ..News::default() });
    }

    #[test]
    fn news_end_the_waiting_once_it_may_be_disturbed() {
        let (inbox, now) = (Inbox::default(), Instant::now());
        inbox.lose();
        let quiet_until = now + Duration::from_millis(20);
        assert!(inbox.wait(now + Duration::from_secs(60), quiet_until).is_some_and(|news| news.lost));
        assert!(Instant::now() >= quiet_until);
    }

    #[test]
    fn what_is_closed_is_read_no_more() {
        let (inbox, now) = (Inbox::default(), Instant::now());
        inbox.lose();
        inbox.close();
        assert_eq!(inbox.wait(now, now), None);
    }
}
