//! Which threads compute.

use std::num::NonZero;
use std::thread::available_parallelism;

use crate::options::Options;
use crate::parameters::Parameters;

/// The process's threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threads {
    /// Whether there is a pool for sessions to share.
    pub(crate) pool: bool,
    /// Threads within an operator, at least 1.
    pub(crate) intra_op: u16,
    /// Threads across operators, at least 1.
    inter_op: u16,
    /// Whether somebody asked for so many within an operator.
    chosen: bool,
}

/// A session's threads. The one that calls is always the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionThreads {
    /// Those of the process's pool.
    Shared,
    /// Its own.
    Own {
        /// Within an operator, at least 1.
        intra_op: u16,
        /// Across operators, at least 1.
        inter_op: u16,
        /// Whether branches of the graph run at once.
        parallel: bool,
    },
}

impl Threads {
    pub(crate) fn new(options: &Options) -> Threads {
        // Unlike ONNX Runtime's own count, this one heeds the control group's quota.
        let cpus = available_parallelism().map_or(1, NonZero::get);
        let or_cpus = |wish: u16| if wish > 0 { wish } else { cpus.try_into().unwrap_or(u16::MAX) };
        Threads {
            pool: options.global_thread_pool,
            intra_op: or_cpus(options.intra_op_threads),
            inter_op: or_cpus(options.inter_op_threads),
            chosen: options.intra_op_threads > 0,
        }
    }

    /// The threads of a model with these parameters, which may be small (see `small::is_small`). What is asked for, of the
    /// model or of the process, comes before that.
    pub(crate) fn of_session(&self, parameters: &Parameters, is_small: bool) -> SessionThreads {
        let Parameters { intra_op_threads, inter_op_threads, parallel, .. } = *parameters;
        let asked = parallel || intra_op_threads > 0 || inter_op_threads > 0;
        let or = |wish: u16, default: u16| if wish > 0 { wish } else { default };
        let own = |intra_op| SessionThreads::Own {
            intra_op,
            inter_op: or(inter_op_threads, self.inter_op),
            parallel,
        };
        if asked {
            own(or(intra_op_threads, self.intra_op))
        } else if !self.chosen && is_small {
            own(1)
        } else if self.pool {
            SessionThreads::Shared
        } else {
            own(self.intra_op)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: SessionThreads = SessionThreads::Own { intra_op: 1, inter_op: 3, parallel: false };

    fn threads(options: Options, parameters: Parameters, small: bool) -> SessionThreads {
        Threads::new(&Options { inter_op_threads: 3, ..options }).of_session(&parameters, small)
    }

    #[test]
    fn a_small_model_has_the_callers_thread_alone_unless_threads_are_asked_for() {
        let intra_op = |intra_op_threads| Parameters { intra_op_threads, ..Parameters::default() };
        assert_eq!(threads(Options::default(), intra_op(0), true), OWN);
        assert_eq!(threads(Options::default(), intra_op(0), false), SessionThreads::Shared);
        let four = SessionThreads::Own { intra_op: 4, inter_op: 3, parallel: false };
        assert_eq!(threads(Options::default(), intra_op(4), true), four);
        let chosen = Options { intra_op_threads: 4, ..Options::default() };
        assert_eq!(threads(chosen.clone(), intra_op(0), true), SessionThreads::Shared);
        let alone = Options { global_thread_pool: false, ..chosen };
        assert_eq!(threads(alone, intra_op(0), true), four);
    }
}
