//! What an event looks like.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::control::LogControl;
use super::json;
use super::plugin::PluginEvent;
use super::utc::Utc;
use crate::settings::LogFormat;

/// Writes an event as a line, in the format of the moment.
pub(super) struct Line {
    pub(super) control: Arc<LogControl>,
    pub(super) pid: u32,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let now = Utc::at(SystemTime::now());
        match self.control.levels().format {
            LogFormat::Default => write!(writer, "{}{}", letter(metadata.level()), now.short())?,
            LogFormat::Iso8601 => write!(writer, "{} {}", now.iso8601(), letter(metadata.level()))?,
            LogFormat::Json => return self.json(&mut writer, event, &now),
        }
        if let Some(PluginEvent { file, line, message }) = PluginEvent::of(event) {
            write!(writer, " {} {file}:{line}] ", self.pid)?;
            OneEntry(&mut writer).write_str(&message)?;
            return writeln!(writer);
        }
        write!(writer, " {} {}:{}] ", self.pid, file(metadata), metadata.line().unwrap_or(0))?;
        context.format_fields(Writer::new(&mut OneEntry(&mut writer)), event)?;
        writeln!(writer)
    }
}

impl Line {
    fn json(&self, writer: &mut Writer<'_>, event: &Event<'_>, now: &Utc) -> fmt::Result {
        let metadata = event.metadata();
        let Self { pid, .. } = self;
        let plugin = PluginEvent::of(event);
        let (file, line) = match &plugin {
            Some(event) => (event.file.as_str(), event.line),
            None => (file(metadata), metadata.line().unwrap_or(0).into()),
        };
        write!(writer, "{{\"timestamp\":\"{}\",\"level\":\"{}\",", now.rfc3339(), metadata.level())?;
        for (name, text) in [("target", metadata.target()), ("file", file)] {
            write!(writer, "\"{name}\":")?;
            json::string(writer, text)?;
            writer.write_char(',')?;
        }
        write!(writer, "\"line\":{line},\"pid\":{pid},")?;
        match &plugin {
            Some(event) => {
                writer.write_str("\"message\":")?;
                json::string(writer, &event.message)?;
            }
            None => json::event(writer, event)?,
        }
        writeln!(writer, "}}")
    }
}

/// The name of the file, without its folder.
fn file<'a>(metadata: &Metadata<'a>) -> &'a str {
    let path = metadata.file().unwrap_or(metadata.target());
    path.rsplit('/').next().unwrap_or(path)
}

fn letter(level: &Level) -> char {
    match *level {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        // Triton has no letter of its own for details.
        Level::INFO | Level::DEBUG | Level::TRACE => 'I',
    }
}

/// Keeps an entry recognisable as one, whatever clients put into names and messages: further lines are indented,
/// and other control characters written as escapes.
struct OneEntry<'a, 'w>(&'a mut Writer<'w>);

impl fmt::Write for OneEntry<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
            let (before, from) = rest.split_at(at);
            self.0.write_str(before)?;
            let mut characters = from.chars();
            match characters.next() {
                Some('\n') => self.0.write_str("\n    ")?,
                Some(control) => write!(self.0, "\\x{:02x}", u32::from(control))?,
                None => {}
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}
