//! The log's settings, as clients see and change them; the texts of the errors are Triton's where it has them.

use std::collections::HashMap;

use nerite_backend::Code;
use nerite_proto::inference::log_settings_request::SettingValue;
use nerite_proto::inference::log_settings_request::setting_value::ParameterChoice;
use nerite_proto::inference::log_settings_response::SettingValue as Shown;
use nerite_proto::inference::log_settings_response::setting_value::ParameterChoice as ShownChoice;
use nerite_proto::inference::{LogSettingsRequest, LogSettingsResponse};
use tonic::Status;

use super::status;
use crate::logging::{LogControl, LogLevels};
use crate::serving::Serving;
use crate::settings::LogFormat;

/// The settings after the changes that are asked for, of which all are made or none.
pub(super) fn settings(
    serving: &Serving,
    request: &LogSettingsRequest,
) -> Result<LogSettingsResponse, Status> {
    let Some(log) = &serving.log else {
        return Err(status::status(Code::Unavailable, "the server does not support dynamic logging"));
    };
    let mut changes = request.settings.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if !changes.is_empty() {
        // So that the log tells of every change that is asked of it, by name.
        changes.sort_by_key(|change| change.0);
        log.change(|levels| changes.iter().for_each(|(_, change)| change.make(levels)));
        let names: Vec<&str> = changes.iter().map(|change| change.0).collect();
        tracing::info!("a client changed {} to {:?}", names.join(", "), log.levels());
    }
    Ok(shown(log))
}

/// A change of one setting.
enum Change {
    Info(bool),
    Warning(bool),
    Error(bool),
    Verbosity(u32),
    Format(LogFormat),
}

impl Change {
    fn make(&self, levels: &mut LogLevels) {
        match *self {
            Change::Info(on) => levels.info = on,
            Change::Warning(on) => levels.warning = on,
            Change::Error(on) => levels.error = on,
            Change::Verbosity(verbosity) => levels.verbosity = verbosity,
            Change::Format(format) => levels.format = format,
        }
    }
}

fn read<'a>((name, value): (&'a String, &SettingValue)) -> Result<(&'a str, Change), Status> {
    let value = value.parameter_choice.as_ref();
    let expected = |kind| status::invalid(format!("expect {kind} for '{name}'"));
    let boolean = || match value {
        Some(ParameterChoice::BoolParam(on)) => Ok(*on),
        _ => Err(expected("boolean")),
    };
    let change = match name.as_str() {
        "log_info" => Change::Info(boolean()?),
        "log_warning" => Change::Warning(boolean()?),
        "log_error" => Change::Error(boolean()?),
        "log_verbose_level" => match value {
            Some(ParameterChoice::Uint32Param(verbosity)) => Change::Verbosity(*verbosity),
            _ => return Err(expected("int32")),
        },
        "log_format" => match value {
            Some(ParameterChoice::StringParam(text)) => Change::Format(format(text)?),
            _ => return Err(expected("string")),
        },
        "log_file" => {
            return Err(status::unsupported("log file location can not be updated through network protocol"));
        }
        _ => {
            return Err(status::invalid(format!(
                "unknown log setting '{name}'; there are log_info, log_warning, log_error, log_verbose_level and \
                 log_format, and log_file to be read"
            )));
        }
    };
    Ok((name, change))
}

fn format(text: &str) -> Result<LogFormat, Status> {
    let known = LogFormat::ALL.into_iter().find(|format| format.name() == text);
    known.ok_or_else(|| status::invalid(format!("invalid argument for log_format, got: {text}")))
}

fn shown(log: &LogControl) -> LogSettingsResponse {
    let LogLevels { error, warning, info, verbosity, format } = log.levels();
    let file = log.file().map(|file| file.display().to_string()).unwrap_or_default();
    let settings = [
        ("log_file", ShownChoice::StringParam(file)),
        ("log_info", ShownChoice::BoolParam(info)),
        ("log_warning", ShownChoice::BoolParam(warning)),
        ("log_error", ShownChoice::BoolParam(error)),
        ("log_verbose_level", ShownChoice::Uint32Param(verbosity)),
        ("log_format", ShownChoice::StringParam(format.name().to_owned())),
    ];
    let shown = |(name, value): (&str, _)| (name.to_owned(), Shown { parameter_choice: Some(value) });
    LogSettingsResponse { settings: settings.into_iter().map(shown).collect::<HashMap<_, _>>() }
}
