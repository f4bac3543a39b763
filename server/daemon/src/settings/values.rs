//! The settings as the rest of the daemon sees them, in groups.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::host::Host;
use super::scheduling::SchedulingValues;
use super::trace::TraceValues;

/// The process.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Server {
    /// The name that ServerMetadata reports.
    pub id: String,
    /// How long to wait on shutdown for requests in flight.
    #[serde(deserialize_with = "seconds")]
    pub exit_timeout: Duration,
}

/// Models, and how they are loaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repository {
    /// The directories of models: at least one, and none twice.
    #[serde(default)]
    pub paths: Vec<PathBuf>,
    /// Whether a model that cannot be loaded at start-up ends the daemon.
    pub exit_on_error: bool,
    /// Whether readiness waits for every model.
    pub strict_readiness: bool,
    /// Whether configurations are taken as they are written, without completing them from the model.
    #[serde(default)]
    pub strict_config: bool,
    /// Read `configs/<name>.pbtxt` where there is one, instead of `config.pbtxt`. Holds no `/`.
    pub config_name: Option<String>,
    /// How many models are loaded at a time.
    pub load_threads: NonZeroUsize,
    /// How many more times to try to load a model that could not be loaded.
    pub load_retries: u32,
    /// Who decides what is loaded.
    pub control_mode: ControlMode,
    /// With [`ControlMode::Poll`]: how often to look for changes where no file system tells of them; not at all if zero.
    #[serde(deserialize_with = "seconds")]
    pub poll: Duration,
    /// With [`ControlMode::Poll`]: how long nothing of a model's files may have changed before a change is taken up.
    #[serde(deserialize_with = "milliseconds")]
    pub settle: Duration,
    /// With [`ControlMode::Explicit`]: the models to load at start-up, none twice. All if it is `*` alone.
    #[serde(default)]
    pub load_models: Vec<String>,
    /// The models that the server's readiness depends on, none twice; by `strict_readiness` if there is none.
    #[serde(default)]
    pub ready_models: Vec<String>,
}

/// Who decides what is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlMode {
    /// Nobody: all models of the repositories, once, at start-up.
    None,
    /// The repositories: all models that they hold, as these change.
    Poll,
    /// Clients, after the models that are named for start-up.
    Explicit,
}

/// How much may be under way in the whole daemon.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Limits {
    /// How many inference requests may be in flight; no limit if `None`.
    #[serde(deserialize_with = "unless_zero")]
    pub inflight_requests: Option<NonZeroUsize>,
    /// How many bytes the bodies of calls in flight may have; half of the memory if `None`.
    #[serde(deserialize_with = "unless_zero")]
    pub inflight_bytes: Option<NonZeroUsize>,
    /// How many gRPC connections may be open.
    pub connections: NonZeroUsize,
    /// How many calls one of them may have in flight.
    pub streams_per_connection: NonZeroU32,
}

/// A port to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Listener {
    /// Whether to listen at all.
    pub enabled: bool,
    /// The address.
    pub host: Host,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// The gRPC endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Grpc {
    /// Where it listens.
    pub listener: Listener,
    /// TLS, if connections are to be encrypted.
    #[serde(skip)]
    pub tls: Option<Tls>,
    /// How hard to compress the answers to inference requests.
    pub response_compression: Compression,
    /// How long a connection is silent before it is pinged.
    #[serde(deserialize_with = "milliseconds")]
    pub keepalive_time: Duration,
    /// How long to wait for the answer to a ping.
    #[serde(deserialize_with = "milliseconds")]
    pub keepalive_timeout: Duration,
    /// How old a connection may grow.
    #[serde(default, deserialize_with = "limit")]
    pub max_connection_age: Option<Duration>,
    /// How long requests in flight may go on over a connection past its age.
    #[serde(default, deserialize_with = "limit")]
    pub max_connection_age_grace: Option<Duration>,
}

/// How connections are encrypted. All files are PEM; none has been opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate chain.
    pub certificate: PathBuf,
    /// The server's private key.
    pub key: PathBuf,
    /// If clients must present a certificate: the authorities that may have signed it.
    pub client_roots: Option<PathBuf>,
}

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// As fast as it goes.
    Low,
    /// A compromise.
    Medium,
    /// As small as it gets.
    High,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Log {
    /// How much detail: 0 none, 1 debugging, 2 and more everything.
    pub verbosity: u8,
    /// Whether to log information.
    pub info: bool,
    /// Whether to log warnings.
    pub warning: bool,
    /// Whether to log errors.
    pub error: bool,
    /// How a line begins.
    pub format: LogFormat,
    /// A file to append to, instead of standard error.
    pub file: Option<PathBuf>,
}

/// How a line of the log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum LogFormat {
    /// `LMMDD hh:mm:ss.uuuuuu`, `L` being the first letter of the severity.
    #[serde(rename = "default")]
    Default,
    /// `YYYY-MM-DDThh:mm:ssZ L`.
    #[serde(rename = "ISO8601")]
    Iso8601,
    /// The line is an object of JSON.
    #[serde(rename = "json")]
    Json,
}

impl LogFormat {
    /// Every format.
    pub const ALL: [LogFormat; 3] = [LogFormat::Default, LogFormat::Iso8601, LogFormat::Json];

    /// The name by which it is set.
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Default => "default",
            LogFormat::Iso8601 => "ISO8601",
            LogFormat::Json => "json",
        }
    }
}

/// The log of inference requests.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccessLog {
    /// Where it is written to.
    pub to: AccessLogTo,
    /// One request in so many is written.
    pub sample: NonZeroU32,
}

/// Where the log of inference requests is written to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum AccessLogTo {
    /// Nowhere.
    Off,
    /// To standard error.
    StandardError,
    /// To the end of this file.
    File(PathBuf),
}

impl From<String> for AccessLogTo {
    fn from(text: String) -> Self {
        match text.as_str() {
            "off" => Self::Off,
            "-" => Self::StandardError,
            _ => Self::File(text.into()),
        }
    }
}

/// The working settings as the sources give them: each right in itself, not yet held against the others.
#[derive(Debug, Deserialize)]
pub(super) struct Values {
    pub(super) server: Server,
    pub(super) repository: Repository,
    #[serde(default)]
    pub(super) backend_config: Vec<String>,
    pub(super) backend_directory: PathBuf,
    pub(super) scheduling: SchedulingValues,
    pub(super) limits: Limits,
    pub(super) grpc: Grpc,
    pub(super) tls: TlsValues,
    pub(super) http: Listener,
    pub(super) metrics: MetricsValues,
    pub(super) log: Log,
    pub(super) access_log: AccessLog,
    pub(super) trace: TraceValues,
}

/// What is said of TLS.
#[derive(Debug, Deserialize)]
pub(super) struct TlsValues {
    pub(super) enabled: bool,
    pub(super) mutual: bool,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_roots: Option<PathBuf>,
}

/// What is said of the metrics.
#[derive(Debug, Deserialize)]
pub(super) struct MetricsValues {
    pub(super) enabled: bool,
    pub(super) host: Option<Host>,
    pub(super) port: u16,
    pub(super) cpu: bool,
    pub(super) gpu: bool,
    #[serde(deserialize_with = "parts_of_milliseconds")]
    pub(super) interval: Duration,
    #[serde(default)]
    pub(super) config: Vec<String>,
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Ok(Duration::from_secs(u64::deserialize(deserializer)?))
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Ok(Duration::from_millis(u64::deserialize(deserializer)?))
}

fn parts_of_milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)? / 1e3).map_err(D::Error::custom)
}

fn unless_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroUsize>, D::Error> {
    Ok(NonZeroUsize::new(usize::deserialize(deserializer)?))
}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Some(milliseconds(deserializer)?).filter(|limit| !limit.is_zero()))
}
