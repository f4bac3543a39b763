//! Threads of an instance.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::{Builder, JoinHandle};

use crate::error::Result;

/// Threads that end with their owner: dropping this waits for all of them.
///
/// A server may unload a plugin's library when its instances are finalised, and a thread that still ran its code would
/// bring the process down. A thread that may take long should look from time to time whether it is still needed, for
/// example with [`ResponseSender::is_cancelled`](crate::ResponseSender::is_cancelled).
#[derive(Debug, Default)]
pub struct Threads {
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// None yet.
    pub fn new() -> Threads {
        Threads::default()
    }

    /// Starts one. A panic ends that thread alone.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        // Joined rather than forgotten: what is finished may still be about to leave the library's code.
        for ended in handles.extract_if(.., |handle| handle.is_finished()) {
            drop(ended.join());
        }
        handles.push(Builder::new().name("plugin".to_owned()).spawn(work)?);
        Ok(())
    }

    /// How many of them have not ended.
    pub fn count(&self) -> usize {
        let handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.iter().filter(|handle| !handle.is_finished()).count()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let handles = self.handles.get_mut().unwrap_or_else(PoisonError::into_inner);
        for handle in handles.drain(..) {
            // A panic has been told on the standard error, and what its thread owned is dropped.
            drop(handle.join());
        }
    }
}
