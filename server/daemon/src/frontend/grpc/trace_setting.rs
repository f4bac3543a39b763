//! TraceSetting, in Triton's names and words.

use std::collections::HashMap;

use nerite_proto::inference::trace_setting_request::SettingValue as Asked;
use nerite_proto::inference::trace_setting_response::SettingValue;
use nerite_proto::inference::{TraceSettingRequest, TraceSettingResponse};
use tonic::Status;

use super::status;
use crate::request_trace::{Change, Field, Shown};
use crate::serving::Serving;
use crate::settings::{TraceLevel, TraceMode};

const LEVEL: &str = "trace_level";
const RATE: &str = "trace_rate";
const COUNT: &str = "trace_count";
const LOG_FREQUENCY: &str = "log_frequency";
const FILE: &str = "trace_file";
const MODE: &str = "trace_mode";

/// What clients give the settings a limit by; -1 is for no limit.
const NO_LIMIT: i32 = -1;

/// Changes what the request names, all of it or nothing, and tells what is in force then.
pub(super) fn settings(
    serving: &Serving,
    request: &TraceSettingRequest,
) -> Result<TraceSettingResponse, Status> {
    let TraceSettingRequest { settings, model_name: model } = request;
    if !model.is_empty() && serving.registry.lookup(model, None).is_err() {
        return Err(status::invalid(format!("Request for unknown model : {model}")));
    }
    let tracer = &serving.tracer;
    if !settings.is_empty() {
        tracer.change(model, &change(settings)?).map_err(|invalid| {
            status::invalid(format!("Attempting to set invalid trace setting :{invalid}"))
        })?;
    }
    Ok(TraceSettingResponse { settings: shown(&tracer.shown(model)) })
}

fn change(settings: &HashMap<String, Asked>) -> Result<Change, Status> {
    let mut change = Change::default();
    for (name, asked) in settings {
        let values = asked.value.as_slice();
        match name.as_str() {
            LEVEL => change.level = level(values)?,
            RATE => change.rate = field(name, values, 0)?,
            LOG_FREQUENCY => change.log_frequency = field(name, values, 0)?,
            COUNT => {
                change.count = field(name, values, NO_LIMIT)?.map(|count: i32| u32::try_from(count).ok())
            }
            FILE => {
                return Err(status::unsupported(
                    "trace file location can not be updated through network protocol",
                ));
            }
            MODE => {
                return Err(status::unsupported("trace mode can not be updated through network protocol"));
            }
            _ => return Err(status::invalid(format!("unknown trace setting '{name}'"))),
        }
    }
    Ok(change)
}

fn level(values: &[String]) -> Result<Field<TraceLevel>, Status> {
    let mut level = TraceLevel::OFF;
    for value in values {
        match value.as_str() {
            "TIMESTAMPS" => level.timestamps = true,
            "TENSORS" => level.tensors = true,
            "OFF" if values.len() == 1 => {}
            "OFF" => return Err(status::invalid("Expect only one trace level 'OFF' is specified")),
            _ => {
                return Err(status::invalid(format!(
                    "Unable to parse '{LEVEL}', expecting OFF, TIMESTAMPS or TENSORS, got: {value}"
                )));
            }
        }
    }
    Ok(if values.is_empty() { Field::Clear } else { Field::Set(level) })
}

/// A number from `least` on; none clears.
fn field<T>(name: &str, values: &[String], least: i32) -> Result<Field<T>, Status>
where
    T: TryFrom<i32>,
{
    let value = match values {
        [] => return Ok(Field::Clear),
        [value] => value,
        _ => return Err(status::invalid(format!("expect only 1 value for '{name}'"))),
    };
    let number: i64 = match value.parse() {
        Ok(number) => number,
        Err(_) => return Err(status::invalid(format!("Unable to parse '{name}', got: {value}"))),
    };
    let within = i32::try_from(number).ok().filter(|number| *number >= least);
    match within.and_then(|number| T::try_from(number).ok()) {
        Some(number) => Ok(Field::Set(number)),
        None => Err(status::invalid(format!(
            "Unable to parse '{name}', value is out of range [ {least}, {} ], got: {value}",
            i32::MAX
        ))),
    }
}

fn shown(shown: &Shown<'_>) -> HashMap<String, SettingValue> {
    let Shown { mode, level, rate, left, log_frequency, file, otlp } = shown;
    let mut settings = HashMap::new();
    let mut add = |name: &str, values: Vec<String>| {
        settings.insert(name.to_owned(), SettingValue { value: values });
    };
    let levels = [(level.is_off(), "OFF"), (level.timestamps, "TIMESTAMPS"), (level.tensors, "TENSORS")];
    add(LEVEL, levels.iter().filter(|(is, _)| *is).map(|(_, name)| (*name).to_owned()).collect());
    add(RATE, vec![rate.to_string()]);
    add(COUNT, vec![left.map_or(i64::from(NO_LIMIT), i64::from).to_string()]);
    add(MODE, vec![mode.name().to_owned()]);
    match mode {
        TraceMode::Triton => {
            add(LOG_FREQUENCY, vec![log_frequency.to_string()]);
            add(FILE, vec![file.map(|file| file.display().to_string()).unwrap_or_default()]);
        }
        TraceMode::OpenTelemetry => {
            add("url", vec![otlp.url.clone()]);
            add("resource", otlp.resource.iter().map(|(key, value)| format!("{key}={value}")).collect());
            add("bsp_max_queue_size", vec![otlp.max_queue_size.to_string()]);
            add("bsp_schedule_delay", vec![otlp.schedule_delay.as_millis().to_string()]);
            add("bsp_max_export_batch_size", vec![otlp.max_export_batch_size.to_string()]);
        }
    }
    settings
}
