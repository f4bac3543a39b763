//! What is in force, and what is asked to be.

use crate::settings::{TraceLevel, TraceMode};

/// The settings of a model, or of all that have none of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) level: TraceLevel,
    pub(crate) rate: u32,
    pub(crate) count: Option<u32>,
    pub(crate) log_frequency: u32,
}

/// What becomes of one setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Field<T> {
    #[default]
    Keep,
    /// Back to what it is where nobody sets it.
    Clear,
    Set(T),
}

/// What becomes of the settings of a model, or of all that have none of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) level: Field<TraceLevel>,
    pub(crate) rate: Field<u32>,
    pub(crate) count: Field<Option<u32>>,
    pub(crate) log_frequency: Field<u32>,
}

/// What clients set, over what is in force where they do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Overlay {
    level: Option<TraceLevel>,
    rate: Option<u32>,
    count: Option<Option<u32>>,
    log_frequency: Option<u32>,
}

/// Why settings cannot be in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("sample rate must be non-zero")]
    RateOfZero,
    #[error("trace file name is not given")]
    FileMissing,
    #[error("trace mode opentelemetry has no level TENSORS")]
    TensorsToReceiver,
}

impl<T> Field<T> {
    /// The same of what is made of its value.
    pub(crate) fn map<U>(self, make: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Field::Keep => Field::Keep,
            Field::Clear => Field::Clear,
            Field::Set(value) => Field::Set(make(value)),
        }
    }
}

impl<T: Copy> Field<T> {
    fn apply(self, to: &mut Option<T>) {
        match self {
            Field::Keep => {}
            Field::Clear => *to = None,
            Field::Set(value) => *to = Some(value),
        }
    }
}

impl Overlay {
    /// The same after a change.
    pub(super) fn changed(mut self, change: &Change) -> Overlay {
        change.level.apply(&mut self.level);
        change.rate.apply(&mut self.rate);
        change.count.apply(&mut self.count);
        change.log_frequency.apply(&mut self.log_frequency);
        self
    }

    /// What is in force.
    pub(super) fn over(&self, base: &Setting) -> Setting {
        Setting {
            level: self.level.unwrap_or(base.level),
            rate: self.rate.unwrap_or(base.rate),
            count: self.count.unwrap_or(base.count),
            log_frequency: self.log_frequency.unwrap_or(base.log_frequency),
        }
    }
}

impl Setting {
    /// Whether anything can be traced by it, in that mode and with or without a file.
    pub(super) fn check(&self, mode: TraceMode, has_file: bool) -> Result<(), Invalid> {
        match mode {
            _ if self.level.is_off() => Ok(()),
            TraceMode::Triton if self.rate == 0 => Err(Invalid::RateOfZero),
            TraceMode::Triton if !has_file => Err(Invalid::FileMissing),
            TraceMode::OpenTelemetry if self.level.tensors => Err(Invalid::TensorsToReceiver),
            _ => Ok(()),
        }
    }
}
