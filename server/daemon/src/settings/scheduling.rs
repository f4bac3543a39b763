//! How requests queue and models take turns: `--default-max-queue-size`, `--rate-limit`, `--rate-limit-resource`,
//! `--instance-stall-secs`, and the two variables with which Triton's own tests hold executions back.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::time::Duration;

use nerite_core::rate_limiter::ResourceLimit;
use serde::Deserialize;

use super::error::{Origin, SettingsError, Warning};
use super::kind::Kind;

/// How requests queue and models take turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduling {
    /// How many requests may wait for a model whose configuration names no number; 0 sets no limit.
    pub default_max_queue_size: usize,
    /// Which models may execute at the same time.
    pub rate_limit: RateLimit,
    /// A model executes nothing before so many requests wait for it, once. For tests.
    pub hold: Option<NonZeroUsize>,
    /// A model with sequences executes nothing before so many requests of sequences that have no row wait for it besides,
    /// once. For tests.
    pub backlog_hold: Option<NonZeroUsize>,
    /// How long an instance may execute before it counts as stalled; for ever if `None`.
    pub stall: Option<Duration>,
}

/// Which models may execute at the same time: those whose instances find the resources that they ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RateLimit {
    /// Whether executions are limited at all.
    pub enabled: bool,
    /// How much there is of each resource, where that is not left to the models. No name and device comes twice.
    pub resources: Vec<ResourceLimit>,
}

/// What the flags say of scheduling.
#[derive(Debug, Deserialize)]
pub(super) struct SchedulingValues {
    default_max_queue_size: usize,
    rate_limit: RateLimitMode,
    #[serde(default)]
    rate_limit_resources: Vec<String>,
    stall_secs: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RateLimitMode {
    Off,
    ExecutionCount,
}

/// What Triton's variables say of scheduling. No flag says the same.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Holds {
    hold: Option<NonZeroUsize>,
    backlog: Option<NonZeroUsize>,
}

const HOLD: &str = "TRITONSERVER_DELAY_SCHEDULER";
const BACKLOG_HOLD: &str = "TRITONSERVER_BACKLOG_DELAY_SCHEDULER";

impl Scheduling {
    /// Puts together what flags and variables say; `resources` gives the resources, unless nobody does.
    pub(super) fn read(
        values: &SchedulingValues,
        resources: Option<&Origin>,
        holds: Holds,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, SettingsError> {
        let rate_limit = RateLimit::read(values, resources.unwrap_or(&Origin::Default))?;
        if let (false, Some(origin)) = (rate_limit.enabled, resources) {
            let (unless, is) = ("rate-limit", "execution_count");
            warnings.push(Warning::Ignored { origin: origin.clone(), unless, is });
        }
        let stall = Some(Duration::from_secs(values.stall_secs)).filter(|stall| !stall.is_zero());
        let default_max_queue_size = values.default_max_queue_size;
        let Holds { hold, backlog: backlog_hold } = holds;
        Ok(Self { default_max_queue_size, rate_limit, hold, backlog_hold, stall })
    }
}

impl RateLimit {
    fn read(values: &SchedulingValues, origin: &Origin) -> Result<Self, SettingsError> {
        let mut resources: Vec<ResourceLimit> = Vec::new();
        for text in &values.rate_limit_resources {
            let resource = resource(text, origin)?;
            let same =
                |other: &&mut ResourceLimit| other.name == resource.name && other.device == resource.device;
            match resources.iter_mut().find(same) {
                // As in Triton.
                Some(earlier) => earlier.count = earlier.count.min(resource.count),
                None => resources.push(resource),
            }
        }
        Ok(Self { enabled: values.rate_limit == RateLimitMode::ExecutionCount, resources })
    }
}

/// Takes `NAME:COUNT` or `NAME:COUNT:DEVICE` apart. Upper and lower case mean the same.
fn resource(text: &str, origin: &Origin) -> Result<ResourceLimit, SettingsError> {
    let wrong = |found: &str, expected: String| {
        let (origin, found) = (origin.clone(), found.to_owned());
        SettingsError::Value { origin, found, expected }
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (name, count, device) = match parts[..] {
        [name, count] if !name.is_empty() => (name, count, None),
        [name, count, device] if !name.is_empty() => (name, count, Some(device)),
        _ => return Err(wrong(text, "NAME:COUNT or NAME:COUNT:DEVICE".to_owned())),
    };
    let number = |part: &str, least: u32, what: &str| {
        let number = part.parse().ok().filter(|number| *number >= least);
        let kind = Kind::Integer { min: least.into(), max: u32::MAX.into() };
        number.ok_or_else(|| wrong(part, format!("{} for {what} in '{text}'", kind.expected())))
    };
    Ok(ResourceLimit {
        name: name.to_ascii_lowercase(),
        count: number(count, 1, "COUNT")?,
        device: device.map(|device| number(device, 0, "DEVICE")).transpose()?,
    })
}

impl Holds {
    pub(super) fn read(variables: &[(OsString, OsString)]) -> Self {
        let count = |wanted: &str| {
            let (_, value) = variables.iter().find(|(name, _)| name == wanted)?;
            leading_number(value.to_str()?)
        };
        Self { hold: count(HOLD), backlog: count(BACKLOG_HOLD) }
    }
}

/// The number that a text begins with, as C's `atoi` reads it in Triton; nothing for 0 and for what is no number.
fn leading_number(text: &str) -> Option<NonZeroUsize> {
    let text = text.trim_start();
    let digits = text.strip_prefix('+').unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_by_atoi_and_what_is_none_counts_for_nothing() {
        for (text, number) in [("12", 12), (" +7", 7), ("3x", 3), ("012", 12)] {
            assert_eq!(leading_number(text).map(NonZeroUsize::get), Some(number), "{text}");
        }
        for text in ["", "0", "x", "-3", "99999999999999999999"] {
            assert_eq!(leading_number(text), None, "{text}");
        }
    }
}
