//! The settings of the daemon: tritonserver's flags and a few more, the same keys in a TOML file, and the same in
//! variables.
//!
//! ```text
//! defaults ─┐
//! file ─────┤  Layer each: known names,    config::Config     Values: typed,     rules: held against
//! variables ┤  every value of its kind  ──▶ (the higher  ──▶  group by group ──▶ each other ──▶ Command
//! flags ────┘                               source wins)
//! ```
//!
//! [`parse`] reads nothing but its arguments and the file that they name, prints nothing and logs nothing.

mod arguments;
mod backends;
mod environment;
mod error;
mod file;
mod flag;
mod flags;
mod help;
mod host;
mod kind;
mod layer;
mod metrics;
mod models;
mod rules;
mod scheduling;
mod trace;
mod values;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use self::arguments::Line;
use self::layer::{Layer, Layers};
use self::scheduling::Holds;
use self::trace::Telemetry;

pub use self::backends::{BackendSetting, Backends, OnnxRuntime, TensorRt};
pub use self::error::{Origin, SettingsError, Warning};
pub use self::host::{Host, NotAHost};
pub use self::metrics::MetricsConfig;
pub use self::scheduling::{RateLimit, Scheduling};
pub use self::trace::{Otlp, Trace, TraceLevel, TraceMode};
pub use self::values::{
    AccessLog, AccessLogTo, Compression, ControlMode, Grpc, Limits, Listener, Log, LogFormat, Repository,
    Server, Tls,
};

/// What the daemon was started for.
#[derive(Debug)]
pub enum Command {
    /// To serve models.
    Serve(Box<Settings>),
    /// To say what would be served, and exit.
    Check(Box<CheckOptions>),
    /// To ask the daemon whose HTTP endpoint this is whether it is ready, and exit.
    Health(Listener),
    /// To print this text on standard output, and exit with status 0: the help or the version.
    Print(String),
}

/// The settings of a daemon that serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The process.
    pub server: Server,
    /// Models, and how they are loaded.
    pub repository: Repository,
    /// The engines' own settings.
    pub backends: Backends,
    /// How requests queue and models take turns.
    pub scheduling: Scheduling,
    /// How much may be under way.
    pub limits: Limits,
    /// The gRPC endpoint.
    pub grpc: Grpc,
    /// The HTTP endpoint.
    pub http: Listener,
    /// The metrics endpoint.
    pub metrics: Listener,
    /// Which metrics there are.
    pub metrics_config: MetricsConfig,
    /// The log.
    pub log: Log,
    /// The log of inference requests.
    pub access_log: AccessLog,
    /// Traces of single requests.
    pub trace: Trace,
    /// What was accepted but has no effect; to be logged once there is a log.
    pub warnings: Vec<Warning>,
}

/// The settings of `nerite check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOptions {
    /// Which repositories to look through, and how.
    pub repository: Repository,
    /// The engines' own settings.
    pub backends: Backends,
    /// How requests queue and models take turns.
    pub scheduling: Scheduling,
    /// What was accepted but has no effect.
    pub warnings: Vec<Warning>,
}

/// Reads the command line `args`, which begins with the program's name, and the variables `env`.
///
/// Also opens the file that `--config-file` or `NERITE_CONFIG_FILE` names. The first mistake found is the error;
/// what one source says wrongly is an error even where a higher source says otherwise.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Command, SettingsError> {
    let line = arguments::read(args)?;
    let env: Vec<_> = env.into_iter().collect();
    match line {
        Line::Serve(flags) => {
            let settings = rules::serve(&layers(flags, &env)?, Holds::read(&env), &Telemetry::read(&env))?;
            Ok(Command::Serve(Box::new(settings)))
        }
        Line::Check(flags) => Ok(Command::Check(Box::new(rules::check(&layers(flags, &env)?)?))),
        Line::Health(flags) => Ok(Command::Health(rules::health(&layers(flags, &env)?)?)),
        Line::Print(text) => Ok(Command::Print(text)),
    }
}

/// Puts the sources on top of each other.
fn layers(flags: Layer, env: &[(OsString, OsString)]) -> Result<Layers, SettingsError> {
    let variables = environment::read(env)?;
    let mut layers = Layers(vec![Layer::defaults()?, variables, flags]);
    if let Some(setting) = layers.effective(flags::CONFIG_FILE) {
        let path = setting.values.iter().map(|path| PathBuf::from(path.to_string())).next_back();
        if let Some(path) = path {
            let file = file::read(&path, &setting.origin)?;
            layers.0.insert(1, file);
        }
    }
    Ok(layers)
}
