//! Why the settings were not taken, and what was taken with reservations.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A key of the TOML file.
    Key {
        /// The key, as it is written there.
        key: String,
        /// The file.
        file: PathBuf,
    },
    /// This environment variable.
    Variable(String),
    /// The flag of this name.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("a default"),
            Self::Key { key, file } => write!(f, "key '{key}' of {}", file.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// A setting that the daemon does not start with. The text is a sentence for the user.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No flag has this name.
    #[error("unknown flag {flag}; the nearest known flag is --{nearest}")]
    UnknownFlag {
        /// As it was written.
        flag: String,
        /// The name most like it.
        nearest: &'static str,
    },
    /// A known flag, but not one of this subcommand.
    #[error("--{flag} has no meaning for 'nerite {command}', which only {purpose}")]
    NotForSubcommand {
        /// Its name.
        flag: &'static str,
        /// The subcommand.
        command: &'static str,
        /// What that does.
        purpose: &'static str,
    },
    /// A variable with our prefix that sets nothing.
    #[error("unknown variable {variable}; the nearest known variable is {nearest}")]
    UnknownVariable {
        /// Its name.
        variable: String,
        /// The name most like it.
        nearest: String,
    },
    /// A key of the TOML file that sets nothing.
    #[error("{}: unknown key '{key}'; the nearest known key is '{nearest}'", file.display())]
    UnknownKey {
        /// As it is written.
        key: String,
        /// The file.
        file: PathBuf,
        /// The name most like it.
        nearest: &'static str,
    },
    /// A word that is neither a flag nor a subcommand.
    #[error(
        "unexpected argument '{0}'; besides flags there are only 'nerite check DIR...' and 'nerite health'"
    )]
    UnexpectedArgument(String),
    /// A flag at the end of the line, or followed by another.
    #[error("--{flag} needs a value: {expected}")]
    MissingValue {
        /// Its name.
        flag: &'static str,
        /// What the value must be.
        expected: String,
    },
    /// A value that is not of the setting's kind.
    #[error("{origin}: expected {expected}, found '{found}'")]
    Value {
        /// Who says so.
        origin: Origin,
        /// What is said.
        found: String,
        /// What the value must be.
        expected: String,
    },
    /// A setting without which Nerite would be less secure, or answer otherwise.
    #[error("{origin} is refused: {why}")]
    Refused {
        /// Who asks for it.
        origin: Origin,
        /// What is missing.
        why: &'static str,
    },
    /// A setting that makes sense only with another, or with a value of it.
    #[error("{origin} needs --{needs} as well")]
    Needs {
        /// Who asks for it.
        origin: Origin,
        /// The flag that sets the other, or that flag and the value.
        needs: &'static str,
    },
    /// All models, and some of them besides.
    #[error("{0}: '*' stands for every model and must stand alone")]
    AllAmongOthers(Origin),
    /// Two listeners on one address and port.
    #[error("{0} and {1} would listen on the same address and port, {2}")]
    SamePort(&'static str, &'static str, String),
    /// Nothing to serve.
    #[error("--model-repository must be specified")]
    NoRepository,
    /// Nothing to check.
    #[error("'nerite check' needs the directory of a model repository")]
    NothingToCheck,
    /// A `backend-config` or `trace-config` for something that there is not.
    #[error("{origin}: {backend} has no setting '{key}'; it has {known}")]
    UnknownBackendKey {
        /// Who says so.
        origin: Origin,
        /// The backend or what else has settings, in words.
        backend: &'static str,
        /// As it was written.
        key: String,
        /// The names of those that there are.
        known: String,
    },
    /// A `metrics-config` that there is none of.
    #[error("{origin}: the metrics have no setting '{key}'; they have {known}")]
    UnknownMetricsKey {
        /// Who says so.
        origin: Origin,
        /// As it was written.
        key: String,
        /// The names of those that there are.
        known: String,
    },
    /// The TOML file cannot be read.
    #[error("{origin}: cannot read {}: {reason}", file.display())]
    FileUnreadable {
        /// Who names the file.
        origin: Origin,
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// The TOML file is not TOML.
    #[error("{}: {reason}", file.display())]
    FileSyntax {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// A TOML file that names a TOML file.
    #[error("{}: a file of settings cannot name another with '{key}'", file.display())]
    FileNamesFile {
        /// As it is written.
        key: String,
        /// The file.
        file: PathBuf,
    },
    /// Bytes that are not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(String),
    /// A command line that makes no sense, in the parser's words.
    #[error("{0}")]
    Arguments(String),
    /// The sources do not add up. Each value was checked before, so that this is a fault of ours.
    #[error("settings: {0}")]
    Merge(#[from] config::ConfigError),
}

/// Something that was accepted but will not do what it says. The text is a sentence for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A setting that tunes something that Nerite does not have.
    NoEffect(Origin),
    /// A setting that counts only together with another, which is off.
    Ignored {
        /// Who sets it.
        origin: Origin,
        /// The flag that is off.
        unless: &'static str,
        /// What it is when it is on.
        is: &'static str,
    },
    /// Traces are to be written, but no file is named.
    TraceWithoutFile,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEffect(origin) => write!(f, "{origin} has no effect yet"),
            Self::Ignored { origin, unless, is } => {
                write!(f, "{origin} has no effect unless --{unless} is {is}")
            }
            Self::TraceWithoutFile => f.write_str(
                "nothing is traced: --trace-config=triton,file=PATH does not say where to write traces",
            ),
        }
    }
}
