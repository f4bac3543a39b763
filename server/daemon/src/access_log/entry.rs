use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tonic::Code;

use crate::logging::{Utc, json_string};
use crate::settings::LogFormat;

/// What is told of a request. Whatever it never came to is not told.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// When it was answered, or its caller gave up.
    pub(super) ended: SystemTime,
    pub(super) peer: Option<SocketAddr>,
    pub(super) model: Option<String>,
    /// The version that was to execute it.
    pub(super) version: Option<u64>,
    pub(super) id: String,
    pub(super) rows: Option<u32>,
    pub(super) status: Code,
    /// From the model's queue to its execution.
    pub(super) queue: Option<Duration>,
    /// Its execution, with that of its batch.
    pub(super) compute: Option<Duration>,
    /// From its first byte to its answer, before any of that was sent.
    pub(super) total: Duration,
    /// The size of its message when decompressed.
    pub(super) request_bytes: Option<usize>,
    /// The size of the answer's message before it was compressed.
    pub(super) response_bytes: Option<usize>,
    /// The trace that it is part of, as in W3C's trace context.
    pub(super) trace_id: Option<u128>,
}

impl Entry {
    /// Adds it to `text`, as a line.
    pub(super) fn write(&self, text: &mut String, format: LogFormat, pid: u32) {
        // Nothing can go wrong with writing to a string.
        let _ = self.try_write(text, format, pid);
    }

    fn try_write(&self, text: &mut String, format: LogFormat, pid: u32) -> fmt::Result {
        let time = Utc::at(self.ended);
        match format {
            LogFormat::Default => write!(text, "I{} {pid} access]", time.short())?,
            LogFormat::Iso8601 => write!(text, "{} I {pid} access]", time.iso8601())?,
            LogFormat::Json => {
                write!(
                    text,
                    "{{\"timestamp\":\"{}\",\"level\":\"INFO\",\"target\":\"access\",\"pid\":{pid}",
                    time.rfc3339()
                )?;
                self.fields(&mut JsonFields(text))?;
                return text.write_str("}\n");
            }
        }
        self.fields(&mut TextFields(text))?;
        text.write_char('\n')
    }

    fn fields(&self, fields: &mut dyn Fields) -> fmt::Result {
        let Entry { peer, model, version, rows, queue, compute, request_bytes, response_bytes, .. } = self;
        let micros = |time: &Option<Duration>| time.map(|time| micros(&time));
        let size = |size: &Option<usize>| size.map(|size| size as u64);
        if let Some(peer) = peer {
            fields.word("peer", peer)?;
        }
        if let Some(model) = model {
            fields.text("model", model)?;
        }
        fields.number("version", *version)?;
        if !self.id.is_empty() {
            fields.text("id", &self.id)?;
        }
        fields.number("rows", rows.map(u64::from))?;
        fields.word("status", &status_name(self.status))?;
        fields.number("queue_us", micros(queue))?;
        fields.number("compute_us", micros(compute))?;
        fields.number("total_us", Some(self::micros(&self.total)))?;
        fields.number("request_bytes", size(request_bytes))?;
        fields.number("response_bytes", size(response_bytes))?;
        match self.trace_id {
            Some(id) => fields.word("trace_id", &format_args!("{id:032x}")),
            None => Ok(()),
        }
    }
}

fn micros(time: &Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The name that gRPC's documents have for a code.
fn status_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The fields of a line in one of the formats.
trait Fields {
    /// Text of a client's.
    fn text(&mut self, name: &str, value: &str) -> fmt::Result;
    /// Text without anything special.
    fn word(&mut self, name: &str, value: &dyn fmt::Display) -> fmt::Result;
    /// A number, if there is one.
    fn number(&mut self, name: &str, value: Option<u64>) -> fmt::Result;
}

struct JsonFields<'a>(&'a mut String);

impl Fields for JsonFields<'_> {
    fn text(&mut self, name: &str, value: &str) -> fmt::Result {
        write!(self.0, ",\"{name}\":")?;
        json_string(self.0, value)
    }

    fn word(&mut self, name: &str, value: &dyn fmt::Display) -> fmt::Result {
        write!(self.0, ",\"{name}\":\"{value}\"")
    }

    fn number(&mut self, name: &str, value: Option<u64>) -> fmt::Result {
        value.map_or(Ok(()), |value| write!(self.0, ",\"{name}\":{value}"))
    }
}

struct TextFields<'a>(&'a mut String);

impl Fields for TextFields<'_> {
    fn text(&mut self, name: &str, value: &str) -> fmt::Result {
        // In quotes, with what could end a line as escapes.
        write!(self.0, " {name}={value:?}")
    }

    fn word(&mut self, name: &str, value: &dyn fmt::Display) -> fmt::Result {
        write!(self.0, " {name}={value}")
    }

    fn number(&mut self, name: &str, value: Option<u64>) -> fmt::Result {
        value.map_or(Ok(()), |value| write!(self.0, " {name}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole() -> Entry {
        Entry {
            ended: SystemTime::UNIX_EPOCH + Duration::from_micros(1_732_421_047_123_456),
            peer: Some("[::1]:5000".parse().unwrap()),
            model: Some("m".to_owned()),
            version: Some(3),
            id: "a \"b\"\n".to_owned(),
            rows: Some(8),
            status: Code::Ok,
            queue: Some(Duration::from_nanos(12_999)),
            compute: Some(Duration::from_micros(345)),
            total: Duration::from_millis(2),
            request_bytes: Some(4096),
            response_bytes: Some(2048),
            trace_id: Some(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
        }
    }

    fn refused() -> Entry {
        let nothing =
            Entry { peer: None, model: None, version: None, id: String::new(), rows: None, ..whole() };
        let nothing = Entry { queue: None, compute: None, request_bytes: None, ..nothing };
        Entry { status: Code::Unavailable, response_bytes: None, trace_id: None, ..nothing }
    }

    fn written(entry: &Entry, format: LogFormat) -> String {
        let mut text = String::new();
        entry.write(&mut text, format, 4711);
        text
    }

    #[test]
    fn a_line_has_all_there_is_in_the_format_of_the_log() {
        let fields = "peer=[::1]:5000 model=\"m\" version=3 id=\"a \\\"b\\\"\\n\" rows=8 status=OK queue_us=12 \
                      compute_us=345 total_us=2000 request_bytes=4096 response_bytes=2048 \
                      trace_id=0af7651916cd43dd8448eb211c80319c\n";
        assert_eq!(
            written(&whole(), LogFormat::Default),
            format!("I1124 04:04:07.123456 4711 access] {fields}")
        );
        let iso = format!("2024-11-24T04:04:07Z I 4711 access] {fields}");
        assert_eq!(written(&whole(), LogFormat::Iso8601), iso);
        let json = "{\"timestamp\":\"2024-11-24T04:04:07.123456Z\",\"level\":\"INFO\",\"target\":\"access\",\
                    \"pid\":4711,\"peer\":\"[::1]:5000\",\"model\":\"m\",\"version\":3,\"id\":\"a \\\"b\\\"\\n\",\
                    \"rows\":8,\"status\":\"OK\",\"queue_us\":12,\"compute_us\":345,\"total_us\":2000,\
                    \"request_bytes\":4096,\"response_bytes\":2048,\
                    \"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"}\n";
        assert_eq!(written(&whole(), LogFormat::Json), json);
    }

    #[test]
    fn what_a_request_never_came_to_is_left_out() {
        let line = "I1124 04:04:07.123456 4711 access] status=UNAVAILABLE total_us=2000\n";
        assert_eq!(written(&refused(), LogFormat::Default), line);
    }

    proptest! {
        #[test]
        fn whatever_clients_send_a_line_is_one_line(model: String, id: String) {
            let entry = Entry { model: Some(model.clone()), id: id.clone(), ..whole() };
            for format in LogFormat::ALL {
                let text = written(&entry, format);
                prop_assert_eq!(text.find('\n'), Some(text.len() - 1));
                prop_assert!(!text.trim_end_matches('\n').contains(|c: char| c.is_control()), "{text:?}");
            }
            let line: serde_json::Value = serde_json::from_str(&written(&entry, LogFormat::Json)).unwrap();
            prop_assert_eq!(line["model"].as_str(), Some(model.as_str()));
            prop_assert_eq!(line["id"].as_str().unwrap_or_default(), id);
        }
    }
}
