//! `--trace-config=[MODE,]KEY=VALUE`, the older `--trace-*` flags, and OpenTelemetry's own variables.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use super::error::{Origin, SettingsError, Warning};
use super::kind::{COUNT_OR_ALL, Kind, NOT_NEGATIVE, TRACE_LEVELS};

/// Traces of single requests: what there is to begin with. Clients may change level, rate, count and log frequency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Where traces go.
    pub mode: TraceMode,
    /// What they hold.
    pub level: TraceLevel,
    /// One request in so many is traced; with [`TraceMode::OpenTelemetry`] 0 leaves it to the callers.
    pub rate: u32,
    /// So many are traced and no more; all if `None`.
    pub count: Option<u32>,
    /// With [`TraceMode::Triton`]: the file, without which nothing is traced.
    pub file: Option<PathBuf>,
    /// With [`TraceMode::Triton`]: how many traces go into a file with an index; all go into one without if 0.
    pub log_frequency: u32,
    /// With [`TraceMode::OpenTelemetry`]: who receives them.
    pub otlp: Otlp,
}

/// Where traces go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceMode {
    /// Into a file, in Triton's format.
    Triton,
    /// To an OpenTelemetry receiver.
    OpenTelemetry,
}

/// What a trace holds; nothing is traced if it is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceLevel {
    /// When the request went through its stages.
    pub timestamps: bool,
    /// The request's inputs and outputs.
    pub tensors: bool,
}

/// A receiver of OTLP over gRPC, and how spans are gathered for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// Its URL: scheme, host and port.
    pub url: String,
    /// What the spans are of, by key.
    pub resource: Vec<(String, String)>,
    /// How many spans may wait; more are dropped.
    pub max_queue_size: NonZeroUsize,
    /// How long a span waits for others at most.
    pub schedule_delay: Duration,
    /// How many spans are sent at a time, more or less: those of a request go together.
    pub max_export_batch_size: NonZeroUsize,
}

/// What the flags say of traces.
#[derive(Debug, Deserialize)]
pub(super) struct TraceValues {
    #[serde(default)]
    config: Vec<String>,
    #[serde(default)]
    level: Vec<String>,
    rate: u32,
    count: i32,
    file: Option<PathBuf>,
    log_frequency: u32,
}

/// What OpenTelemetry's variables say: settings of the mode of that name, and which variable says so.
#[derive(Debug, Default)]
pub(super) struct Telemetry(Vec<(&'static str, String, Origin)>);

const MODE: &str = "mode";
const LEVEL: &str = "level";
const RATE: &str = "rate";
const COUNT: &str = "count";
const FILE: &str = "file";
const LOG_FREQUENCY: &str = "log-frequency";
const URL: &str = "url";
const RESOURCE: &str = "resource";
const QUEUE: &str = "bsp_max_queue_size";
const DELAY: &str = "bsp_schedule_delay";
const BATCH: &str = "bsp_max_export_batch_size";

const SERVICE_NAME: &str = "service.name";

/// The variables, where a later one wins over an earlier one, and the setting that each gives.
const VARIABLES: [(&str, &str); 7] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", URL),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", URL),
    ("OTEL_RESOURCE_ATTRIBUTES", RESOURCE),
    ("OTEL_SERVICE_NAME", SERVICE_NAME),
    ("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE),
    ("OTEL_BSP_SCHEDULE_DELAY", DELAY),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH),
];

impl Telemetry {
    /// Picks OpenTelemetry's variables out of all.
    pub(super) fn read(variables: &[(OsString, OsString)]) -> Self {
        let mut settings = Vec::new();
        for (variable, key) in VARIABLES {
            let value =
                variables.iter().find(|(name, _)| name == variable).and_then(|(_, value)| value.to_str());
            let origin = Origin::Variable(variable.to_owned());
            match (value, key) {
                (None | Some(""), _) => {}
                (Some(name), SERVICE_NAME) => {
                    settings.push((RESOURCE, format!("{SERVICE_NAME}={name}"), origin))
                }
                (Some(list), RESOURCE) => {
                    settings
                        .extend(list.split(',').map(|one| (RESOURCE, one.trim().to_owned(), origin.clone())));
                }
                (Some(value), key) => settings.push((key, value.to_owned(), origin)),
            }
        }
        Self(settings)
    }
}

impl Trace {
    /// Puts together what the flags and variables say; `origin` gives `--trace-config`, which wins.
    pub(super) fn read(
        values: &TraceValues,
        origin: &Origin,
        telemetry: &Telemetry,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, SettingsError> {
        let settings =
            values.config.iter().map(|text| At::read(text, origin)).collect::<Result<Vec<_>, _>>()?;
        let levels = values.level.iter().map(|text| TraceLevel::named(text)).collect::<Option<Vec<_>>>();
        let mut levels = levels.unwrap_or_default();
        let mut this = Self {
            mode: TraceMode::Triton,
            level: TraceLevel::OFF,
            rate: values.rate,
            count: u32::try_from(values.count).ok(),
            file: values.file.clone(),
            log_frequency: values.log_frequency,
            otlp: Otlp::default(),
        };
        for at in settings.iter().filter(|at| at.mode.is_none()) {
            this.set(at, &mut levels)?;
        }
        if this.mode == TraceMode::OpenTelemetry {
            for (key, value, origin) in &telemetry.0 {
                this.otlp.set(&At { mode: Some(this.mode), key, value, origin })?;
            }
        }
        for at in &settings {
            match at.mode {
                Some(TraceMode::Triton) => this.set_of_triton(at)?,
                Some(TraceMode::OpenTelemetry) => this.otlp.set(at)?,
                None => {}
            }
        }
        this.level = TraceLevel::all(&levels);
        this.weigh(origin, warnings)?;
        Ok(this)
    }

    fn set(&mut self, at: &At<'_>, levels: &mut Vec<TraceLevel>) -> Result<(), SettingsError> {
        match at.key {
            LEVEL => {
                levels.push(TraceLevel::named(at.value).ok_or_else(|| at.wrong(Kind::Choice(TRACE_LEVELS)))?);
            }
            RATE => self.rate = at.number(0)?,
            COUNT => {
                let count = at.value.parse().ok().filter(|count: &i32| *count >= -1);
                self.count = u32::try_from(count.ok_or_else(|| at.wrong(COUNT_OR_ALL))?).ok();
            }
            MODE => self.mode = TraceMode::named(at.value).ok_or_else(|| at.wrong(TraceMode::CHOICE))?,
            _ => return Err(at.unknown("the form without a mode", &[LEVEL, RATE, COUNT, MODE])),
        }
        Ok(())
    }

    fn set_of_triton(&mut self, at: &At<'_>) -> Result<(), SettingsError> {
        match at.key {
            FILE => self.file = Some(PathBuf::from(at.value)),
            LOG_FREQUENCY => self.log_frequency = at.number(0)?,
            _ => return Err(at.unknown("the trace mode triton", &[FILE, LOG_FREQUENCY])),
        }
        Ok(())
    }

    /// Holds the settings against each other.
    fn weigh(&self, origin: &Origin, warnings: &mut Vec<Warning>) -> Result<(), SettingsError> {
        if self.mode == TraceMode::OpenTelemetry && self.level.tensors {
            let why = "only the trace mode triton has the level TENSORS";
            return Err(SettingsError::Refused { origin: origin.clone(), why });
        }
        if self.mode == TraceMode::Triton && !self.level.is_off() && self.file.is_none() {
            warnings.push(Warning::TraceWithoutFile);
        }
        Ok(())
    }
}

impl TraceMode {
    const CHOICE: Kind = Kind::Choice("triton|opentelemetry");

    /// Its name, as clients see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Triton => "triton",
            Self::OpenTelemetry => "opentelemetry",
        }
    }

    fn named(text: &str) -> Option<Self> {
        [Self::Triton, Self::OpenTelemetry].into_iter().find(|mode| mode.name().eq_ignore_ascii_case(text))
    }
}

impl TraceLevel {
    /// Nothing.
    pub const OFF: Self = Self { timestamps: false, tensors: false };

    /// Whether nothing is traced.
    pub fn is_off(self) -> bool {
        self == Self::OFF
    }

    /// Everything in any of them, but nothing at all if one of them says so.
    fn all(levels: &[Self]) -> Self {
        if levels.iter().any(|level| level.is_off()) {
            return Self::OFF;
        }
        let any = |part: fn(&Self) -> bool| levels.iter().any(part);
        Self { timestamps: any(|level| level.timestamps), tensors: any(|level| level.tensors) }
    }

    fn named(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "OFF" | "FALSE" => Some(Self::OFF),
            "TIMESTAMPS" | "TRUE" | "ON" | "MIN" | "MAX" => Some(Self { timestamps: true, tensors: false }),
            "TENSORS" => Some(Self { timestamps: false, tensors: true }),
            _ => None,
        }
    }
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            url: "http://localhost:4317".to_owned(),
            // Triton's name, by which its users find their traces.
            resource: vec![(SERVICE_NAME.to_owned(), "triton-inference-server".to_owned())],
            max_queue_size: NonZeroUsize::new(2_048).unwrap_or(NonZeroUsize::MIN),
            schedule_delay: Duration::from_secs(5),
            max_export_batch_size: NonZeroUsize::new(512).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

impl Otlp {
    fn set(&mut self, at: &At<'_>) -> Result<(), SettingsError> {
        match at.key {
            URL => {
                let url = if at.value.contains("://") {
                    at.value.to_owned()
                } else {
                    format!("http://{}", at.value)
                };
                self.url = receiver(&url).ok_or_else(|| {
                    at.expects("the URL of an OTLP receiver over gRPC, without a path, such as http://localhost:4317")
                })?;
            }
            RESOURCE => {
                let pair = at.value.split_once('=').filter(|(key, _)| !key.is_empty());
                let (key, value) = pair.ok_or_else(|| at.expects("KEY=VALUE"))?;
                self.resource.retain(|(other, _)| other != key);
                self.resource.push((key.to_owned(), value.to_owned()));
            }
            QUEUE => self.max_queue_size = at.positive()?,
            DELAY => self.schedule_delay = Duration::from_millis(at.number(0)?.into()),
            BATCH => self.max_export_batch_size = at.positive()?,
            _ => {
                return Err(at.unknown("the trace mode opentelemetry", &[URL, RESOURCE, QUEUE, DELAY, BATCH]));
            }
        }
        Ok(())
    }
}

/// The URL without what it may end with; `None` unless it can be that of a gRPC service. That with the path `/v1/traces`
/// is one of OTLP over HTTP, which answers on another port.
fn receiver(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let right = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.path() == "/"
        && uri.query().is_none();
    right.then(|| url.trim_end_matches('/').to_owned())
}

/// One setting and who gives it: what an error tells.
struct At<'a> {
    mode: Option<TraceMode>,
    key: &'a str,
    value: &'a str,
    origin: &'a Origin,
}

impl<'a> At<'a> {
    /// Takes `MODE,KEY=VALUE` or `KEY=VALUE` apart; the value may hold commas and equals signs.
    fn read(text: &'a str, origin: &'a Origin) -> Result<Self, SettingsError> {
        let wrong = |expected: &str| SettingsError::Value {
            origin: origin.clone(),
            found: text.to_owned(),
            expected: expected.to_owned(),
        };
        let form = || wrong("MODE,KEY=VALUE or KEY=VALUE");
        let (left, value) = text.split_once('=').ok_or_else(form)?;
        let (mode, key) = match left.split_once(',') {
            Some((mode, key)) => {
                let mode = TraceMode::named(mode);
                (Some(mode.ok_or_else(|| wrong("triton or opentelemetry as MODE"))?), key)
            }
            None => (None, left),
        };
        if key.is_empty() || value.is_empty() {
            return Err(form());
        }
        Ok(Self { mode, key, value, origin })
    }

    fn number(&self, least: u32) -> Result<u32, SettingsError> {
        let number = self.value.parse().ok().filter(|number| (least..=i32::MAX as u32).contains(number));
        let kind = Kind::Integer { min: least.into(), max: i32::MAX.into() };
        number.ok_or_else(|| self.wrong(if least == 0 { NOT_NEGATIVE } else { kind }))
    }

    fn positive(&self) -> Result<NonZeroUsize, SettingsError> {
        let number = usize::try_from(self.number(1)?).ok().and_then(NonZeroUsize::new);
        number.ok_or_else(|| self.expects("a number"))
    }

    fn wrong(&self, kind: Kind) -> SettingsError {
        self.expects(&format!("{} for '{}'", kind.expected(), self.key))
    }

    fn expects(&self, expected: &str) -> SettingsError {
        let (origin, found) = (self.origin.clone(), self.value.to_owned());
        SettingsError::Value { origin, found, expected: expected.to_owned() }
    }

    fn unknown(&self, whose: &'static str, known: &[&str]) -> SettingsError {
        let (origin, key) = (self.origin.clone(), self.key.to_owned());
        SettingsError::UnknownBackendKey { origin, backend: whose, key, known: known.join(", ") }
    }
}
