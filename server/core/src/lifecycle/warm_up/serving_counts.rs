use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nerite_backend::{Executions, Phases};

use crate::statistics::Statistics;

/// Accounts for what instances execute for callers, and not for what they execute to warm up.
pub(in crate::lifecycle) struct ServingCounts {
    statistics: Arc<Statistics>,
    serving: AtomicBool,
}

impl ServingCounts {
    /// Counts nothing so far.
    pub(in crate::lifecycle) fn new(statistics: Arc<Statistics>) -> ServingCounts {
        ServingCounts { statistics, serving: AtomicBool::new(false) }
    }

    /// From now on everything counts. Whoever finds the version served finds this done, for that is published after it.
    pub(in crate::lifecycle) fn begin(&self) {
        self.serving.store(true, Relaxed);
    }
}

impl Executions for ServingCounts {
    fn executed(&self, rows: u32, phases: &Phases) {
        if self.serving.load(Relaxed) {
            self.statistics.executed(rows, phases);
        }
    }

    fn rerun(&self, requests: usize) {
        if self.serving.load(Relaxed) {
            self.statistics.rerun(requests);
        }
    }
}
