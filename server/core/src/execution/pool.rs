use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How long a thread waits for work before it ends.
const RETIREMENT: Duration = Duration::from_secs(10);

/// Something to be done on a pool's thread. It must not unwind.
pub(crate) trait Job: Send + 'static {
    /// Does it.
    fn run(self);
}

/// Threads that are there when there is work: one is started when a job finds none idle, and ends when it has been idle
/// for some seconds. The jobs themselves are bounded by whoever makes them (an instance runs one batch at a time), so
/// the number of threads is too.
pub(crate) struct Pool<J> {
    shared: Arc<Shared<J>>,
}

struct Shared<J> {
    retirement: Duration,
    state: Mutex<State<J>>,
    work: Condvar,
}

struct State<J> {
    jobs: VecDeque<J>,
    /// Threads that wait for work.
    idle: usize,
    threads: usize,
}

impl<J: Job> Pool<J> {
    /// A pool without threads.
    pub(crate) fn new() -> Pool<J> {
        Pool::with_retirement(RETIREMENT)
    }

    /// A pool whose threads end after so long without work.
    fn with_retirement(retirement: Duration) -> Pool<J> {
        let state = Mutex::new(State { jobs: VecDeque::new(), idle: 0, threads: 0 });
        Pool { shared: Arc::new(Shared { retirement, state, work: Condvar::new() }) }
    }

    /// Hands a job to an idle thread, or to a new one. Where no thread can be started and none is running, the caller
    /// does the job itself.
    pub(crate) fn run(&self, job: J) {
        let mut state = self.shared.state.lock();
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            drop(state);
            self.shared.work.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        if let Err(error) = self.start_thread() {
            tracing::error!("cannot start a thread: {error}");
            let mut state = self.shared.state.lock();
            state.threads -= 1;
            let stranded = if state.threads == 0 { state.jobs.pop_front() } else { None };
            drop(state);
            stranded.into_iter().for_each(Job::run);
        }
    }

    /// The calling thread, which is one of the pool's, does not come back from its job.
    pub(crate) fn lose_this_thread(&self) {
        self.shared.state.lock().threads -= 1;
    }

    /// How many threads there are now.
    #[cfg(test)]
    fn threads(&self) -> usize {
        self.shared.state.lock().threads
    }

    fn start_thread(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new().name("nerite-execute".into()).spawn(move || shared.work_until_retired())?;
        Ok(())
    }
}

impl<J: Job> Default for Pool<J> {
    fn default() -> Pool<J> {
        Pool::new()
    }
}

impl<J: Job> Shared<J> {
    fn work_until_retired(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job.run();
                state = self.state.lock();
                continue;
            }
            state.idle += 1;
            let timed_out = self.work.wait_for(&mut state, self.retirement).timed_out();
            state.idle -= 1;
            if timed_out && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Call(Box<dyn FnOnce() + Send>);

    impl Job for Call {
        fn run(self) {
            (self.0)();
        }
    }

    #[test]
    fn a_job_that_blocks_does_not_hold_up_the_next() {
        let pool = Pool::new();
        let (release, blocked) = mpsc::channel::<()>();
        pool.run(Call(Box::new(move || assert!(blocked.recv().is_err(), "nothing is sent"))));
        let (done, finished) = mpsc::channel();
        pool.run(Call(Box::new(move || done.send(()).expect("the test waits"))));
        finished.recv().unwrap();
        assert_eq!(pool.threads(), 2);
        drop(release);
    }

    #[test]
    fn an_idle_thread_takes_the_next_job() {
        let pool = Pool::new();
        for _ in 0..100 {
            let (done, finished) = mpsc::channel();
            pool.run(Call(Box::new(move || done.send(()).expect("the test waits"))));
            finished.recv().unwrap();
            // The thread is idle only a moment after its job is done.
            while pool.shared.state.lock().idle == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(pool.threads(), 1);
    }

    #[test]
    fn a_pool_without_work_has_no_threads() {
        let pool = Pool::with_retirement(Duration::from_millis(1));
        assert_eq!(pool.threads(), 0);
        let (done, finished) = mpsc::channel();
        pool.run(Call(Box::new(move || done.send(()).expect("the test waits"))));
        finished.recv().unwrap();
        while pool.threads() > 0 {
            thread::yield_now();
        }
    }
}
