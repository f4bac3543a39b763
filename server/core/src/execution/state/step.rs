use std::time::Instant;

use crate::execution::Executor;

/// What is to be done next, once the lock is released.
pub(in crate::execution) enum Step {
    /// Nothing, until something changes.
    Nothing,
    /// Call a thread.
    Call(Call),
    /// Let the rate limiter say when this one may execute.
    Stage(Executor),
    /// Look again at that time.
    SetAlarm(Instant),
}

/// Which thread to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::execution) enum Call {
    /// One that may be kept for as long as an execution takes.
    Pool,
    /// One of the network's, if models may be executed there; `patient`: not before everything else that is ready there
    /// has been done, since more requests are likely to be on their way.
    Network { patient: bool },
    /// This one, if it is one of the network's.
    Here,
}

impl Step {
    /// The same on a thread that brings a request: with nobody else to wait for, it is the one to execute it.
    pub(in crate::execution) fn here(self) -> Step {
        match self {
            Step::Call(Call::Network { patient: false }) => Step::Call(Call::Here),
            step => step,
        }
    }
}
