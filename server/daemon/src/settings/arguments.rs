//! Settings from the command line.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::error::{Origin, SettingsError};
use super::flag::{Flag, Group};
use super::flags;
use super::help;
use super::kind::Kind;
use super::layer::Layer;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Line {
    /// To serve.
    Serve(Layer),
    /// To say what would be loaded.
    Check(Layer),
    /// To ask a daemon whether it is ready.
    Health(Layer),
    /// Help or version: this text.
    Print(String),
}

/// A word that has the program do something else than serve.
struct Subcommand {
    name: &'static str,
    about: &'static str,
    usage: &'static str,
    /// The end of "which only …".
    purpose: &'static str,
    /// The flags that mean something to it.
    flags: &'static [&'static str],
}

/// Loads models without serving them; its flags are all that decide what is loaded.
const CHECK: Subcommand = Subcommand {
    name: "check",
    about: help::ABOUT_CHECK,
    usage: help::USAGE_CHECK,
    purpose: "loads models",
    flags: &[
        flags::CONFIG_FILE,
        "model-repository",
        "model-store",
        "disable-auto-complete-config",
        "strict-model-config",
        "model-config-name",
        "backend-config",
        "rate-limit",
        "rate-limit-resource",
    ],
};

/// Asks a daemon that serves; its flags say where that listens.
const HEALTH: Subcommand = Subcommand {
    name: "health",
    about: help::ABOUT_HEALTH,
    usage: help::USAGE_HEALTH,
    purpose: "asks the HTTP port",
    flags: &[flags::CONFIG_FILE, "allow-http", "http-address", "http-port"],
};

/// The directories that `check` is given.
const DIRS: &str = "DIR";

/// Reads the command line, whose first word is the program's name.
pub(super) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Line, SettingsError> {
    let args: Vec<OsString> = args.into_iter().collect();
    let all = args.iter().any(|arg| arg == "--help");
    let matches = match command(all).try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) => return explain(&error),
    };
    let mut layer = Layer::default();
    for flag in flags::FLAGS {
        take(&mut layer, flag, &matches)?;
    }
    match matches.subcommand() {
        None => Ok(Line::Serve(layer)),
        Some((name, rest)) if name == HEALTH.name => {
            HEALTH.take(&mut layer, &matches, rest)?;
            Ok(Line::Health(layer))
        }
        Some((_, rest)) => {
            CHECK.take(&mut layer, &matches, rest)?;
            let repository = flags::find("model-repository").expect("in the table");
            for dir in rest.get_many::<String>(DIRS).into_iter().flatten() {
                layer.set(repository, dir, Origin::Flag(repository.name))?;
            }
            Ok(Line::Check(layer))
        }
    }
}

impl Subcommand {
    /// Its grammar. It knows every flag, so as to tell one that is not for it from one that there is not.
    fn grammar(&self) -> Command {
        Command::new(self.name)
            .about(self.about)
            .disable_help_flag(true)
            .arg(help_flag())
            .override_usage(self.usage)
            .args(flags::FLAGS.iter().map(|flag| argument(flag).hide(!self.takes(flag))))
    }

    fn takes(&self, flag: &Flag) -> bool {
        self.flags.contains(&flag.name)
    }

    /// Takes the flags behind it into the layer that has those before it.
    fn take(&self, layer: &mut Layer, before: &ArgMatches, behind: &ArgMatches) -> Result<(), SettingsError> {
        for flag in flags::FLAGS {
            if self.takes(flag) {
                take(layer, flag, behind)?;
            } else if before.contains_id(flag.name) || behind.contains_id(flag.name) {
                let Subcommand { name: command, purpose, .. } = *self;
                return Err(SettingsError::NotForSubcommand { flag: flag.name, command, purpose });
            }
        }
        Ok(())
    }
}

fn take(layer: &mut Layer, flag: &'static Flag, matches: &ArgMatches) -> Result<(), SettingsError> {
    for text in matches.get_many::<String>(flag.name).into_iter().flatten() {
        layer.set(flag, text, Origin::Flag(flag.name))?;
    }
    Ok(())
}

/// The grammar of the command line. `all`: whether its help lists the flags without effect, too.
fn command(all: bool) -> Command {
    let dirs = Arg::new(DIRS).num_args(0..).help("Directories of models, as of --model-repository");
    Command::new("nerite")
        .version(env!("CARGO_PKG_VERSION"))
        .about(help::ABOUT)
        .override_usage(help::USAGE)
        .after_help(if all { help::AFTER_LONG } else { help::AFTER })
        .disable_help_flag(true)
        .arg(help_flag())
        .disable_help_subcommand(true)
        .max_term_width(110)
        .subcommands([CHECK.grammar().arg(dirs), HEALTH.grammar()])
        .args(flags::FLAGS.iter().map(|flag| {
            let effective = !matches!(flag.group, Group::Tuning | Group::NotYet);
            argument(flag).hide(!all && !effective)
        }))
}

/// `-h` and `--help`. The parser's own would put an empty line after every flag of the longer help.
fn help_flag() -> Arg {
    let help = "Print help; --help lists every flag there is";
    Arg::new("help").short('h').long("help").action(ArgAction::HelpShort).help(help)
}

fn argument(flag: &'static Flag) -> Arg {
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .action(ArgAction::Append)
        .value_name(flag.kind.placeholder())
        .allow_negative_numbers(true)
        .help(help::sentence(flag))
        .help_heading(flag.group.heading());
    match flag.kind {
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg.num_args(1),
    }
}

/// What the parser stopped at: a wish for help, or a mistake in words of our own.
fn explain(error: &clap::Error) -> Result<Line, SettingsError> {
    let culprit = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let flag = || {
        // The parser writes "--flag <PLACEHOLDER>", as in the usage.
        let name = culprit(ContextKind::InvalidArg).trim_start_matches('-');
        flags::find(name.split([' ', '=', '[']).next().unwrap_or(name))
    };
    Err(match (error.kind(), flag()) {
        (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _) => {
            return Ok(Line::Print(error.to_string()));
        }
        (ErrorKind::UnknownArgument, _) => unknown(culprit(ContextKind::InvalidArg)),
        (ErrorKind::InvalidSubcommand, _) => unknown(culprit(ContextKind::InvalidSubcommand)),
        (ErrorKind::InvalidValue, Some(flag)) => {
            SettingsError::MissingValue { flag: flag.name, expected: flag.kind.expected() }
        }
        (ErrorKind::InvalidUtf8, _) => SettingsError::NotUtf8("an argument".to_owned()),
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            SettingsError::Arguments(first.trim_start_matches("error: ").to_owned())
        }
    })
}

fn unknown(word: &str) -> SettingsError {
    let name = word.trim_start_matches('-');
    if name.len() == word.len() {
        return SettingsError::UnexpectedArgument(word.to_owned());
    }
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    SettingsError::UnknownFlag { flag: word.to_owned(), nearest: flags::nearest(name).name }
}
