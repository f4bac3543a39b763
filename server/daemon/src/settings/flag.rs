//! What the daemon knows about one of its flags.

use super::kind::Kind;

/// One flag: also a key of the TOML file and, with its prefix, an environment variable.
#[derive(Debug)]
pub(super) struct Flag {
    /// The name as it is written after `--`.
    pub(super) name: &'static str,
    /// What a value looks like.
    pub(super) kind: Kind,
    /// Whether values accumulate when the flag is repeated; otherwise the last one counts.
    pub(super) many: bool,
    /// The value where no source gives one, in the spelling of the command line.
    pub(super) default: Option<&'static str>,
    /// The heading under which the help lists it.
    pub(super) group: Group,
    /// What becomes of it.
    pub(super) standing: Standing,
    /// One sentence for the help.
    pub(super) help: &'static str,
}

/// What becomes of a flag.
#[derive(Debug, Clone, Copy)]
pub(super) enum Standing {
    /// It does what it says, which is what it does in tritonserver if that has it; the text is its place in `Values`, as a
    /// path of fields.
    Works(&'static str),
    /// Another name of a working flag, which wins where one source gives both.
    AliasOf(&'static str),
    /// It only tunes: accepted with a warning that it has no effect yet.
    Tunes,
    /// Going on without it would weaken security or change answers: it stops the daemon, unless it asks for
    /// exactly what happens anyway.
    Refused {
        /// The value that asks for what happens anyway.
        except: Option<&'static str>,
        /// The end of the sentence "--flag is refused: …".
        why: &'static str,
    },
}

/// A heading of the help, in the order of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// The process.
    Server,
    /// Models and how they are loaded.
    Repository,
    /// Engines.
    Backends,
    /// The gRPC listener.
    Grpc,
    /// The HTTP listener.
    Http,
    /// The metrics listener.
    Metrics,
    /// Which models may execute at the same time.
    RateLimit,
    /// Answers that are kept.
    Cache,
    /// How much may be under way.
    Limits,
    /// The log.
    Log,
    /// Traces of single requests.
    Trace,
    /// Everything whose standing is `Tunes`.
    Tuning,
    /// Every other flag whose standing is `Refused`.
    NotYet,
}

impl Group {
    /// The heading itself.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Repository => "Model repository",
            Self::Backends => "Backends",
            Self::Grpc => "gRPC",
            Self::Http => "HTTP (liveness and readiness)",
            Self::Metrics => "Metrics",
            Self::RateLimit => "Rate limiter",
            Self::Cache => "Response cache",
            Self::Limits => "Limits (Nerite's own)",
            Self::Log => "Logging",
            Self::Trace => "Request traces",
            Self::Tuning => "Accepted with a warning: they only tune tritonserver and have no effect yet",
            Self::NotYet => {
                "Refused until they work: starting without them would change answers or weaken security"
            }
        }
    }
}

impl Flag {
    /// A flag that works; `key` is its place in `Values`.
    pub(super) const fn works(
        name: &'static str,
        key: &'static str,
        kind: Kind,
        group: Group,
        help: &'static str,
    ) -> Self {
        Self { name, kind, many: false, default: None, group, standing: Standing::Works(key), help }
    }

    /// Another name of the flag `of`.
    pub(super) const fn alias(
        name: &'static str,
        of: &'static str,
        kind: Kind,
        group: Group,
        help: &'static str,
    ) -> Self {
        Self { name, kind, many: false, default: None, group, standing: Standing::AliasOf(of), help }
    }

    /// A flag that has no effect yet and need not have.
    pub(super) const fn tunes(name: &'static str, kind: Kind, help: &'static str) -> Self {
        let standing = Standing::Tunes;
        Self { name, kind, many: false, default: None, group: Group::Tuning, standing, help }
    }

    /// A flag that must not be ignored, and why.
    pub(super) const fn refused(
        name: &'static str,
        kind: Kind,
        help: &'static str,
        except: Option<&'static str>,
        why: &'static str,
    ) -> Self {
        let standing = Standing::Refused { except, why };
        Self { name, kind, many: false, default: except, group: Group::NotYet, standing, help }
    }

    /// The same flag, accumulating its values.
    pub(super) const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    /// The same flag with a default.
    pub(super) const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("NERITE_{}", self.name.replace('-', "_").to_ascii_uppercase())
    }
}
