//! Lines of JSON, written without anything between the event and the line.

use std::error::Error;
use std::fmt::{self, Debug, Write};

use tracing::Event;
use tracing::field::{Field, Visit};

/// Writes what it is given as the inside of a JSON string that has no line of its own in any reader's eyes.
struct Inside<'a>(&'a mut dyn Write);

impl Write for Inside<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_special = |c: char| c.is_control() || matches!(c, '"' | '\\' | '\u{2028}' | '\u{2029}');
        let mut rest = text;
        while let Some(at) = rest.find(is_special) {
            let (before, from) = rest.split_at(at);
            self.0.write_str(before)?;
            let mut characters = from.chars();
            match characters.next() {
                Some('\n') => self.0.write_str("\\n")?,
                Some('\r') => self.0.write_str("\\r")?,
                Some('\t') => self.0.write_str("\\t")?,
                Some(quoted @ ('"' | '\\')) => write!(self.0, "\\{quoted}")?,
                // All of these are of the first plane.
                Some(special) => write!(self.0, "\\u{:04x}", u32::from(special))?,
                None => {}
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Writes a JSON string of what is displayed.
pub(crate) fn string(writer: &mut dyn Write, text: impl fmt::Display) -> fmt::Result {
    writer.write_char('"')?;
    write!(Inside(writer), "{text}")?;
    writer.write_char('"')
}

/// Writes `"message":…`, and `,"fields":{…}` if the event has any besides.
pub(super) fn event(writer: &mut dyn Write, event: &Event<'_>) -> fmt::Result {
    writer.write_str("\"message\":\"")?;
    let mut message = Message { writer: &mut *writer, result: Ok(()) };
    event.record(&mut message);
    message.result?;
    writer.write_char('"')?;
    let mut fields = Fields { writer: &mut *writer, count: 0, result: Ok(()) };
    event.record(&mut fields);
    fields.result?;
    if fields.count > 0 { writer.write_char('}') } else { Ok(()) }
}

const MESSAGE: &str = "message";

/// Writes the message, and nothing else.
struct Message<'a> {
    writer: &'a mut dyn Write,
    result: fmt::Result,
}

impl Visit for Message<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == MESSAGE && self.result.is_ok() {
            self.result = write!(Inside(self.writer), "{value:?}");
        }
    }
}

/// Writes all but the message.
struct Fields<'a> {
    writer: &'a mut dyn Write,
    count: usize,
    result: fmt::Result,
}

impl Fields<'_> {
    /// A field whose value is JSON already.
    fn raw(&mut self, field: &Field, value: impl fmt::Display) {
        self.write(field, |writer| write!(writer, "{value}"));
    }

    fn write(&mut self, field: &Field, value: impl FnOnce(&mut dyn Write) -> fmt::Result) {
        if field.name() == MESSAGE || self.result.is_err() {
            return;
        }
        let before = if self.count == 0 { ",\"fields\":{" } else { "," };
        self.count += 1;
        let writer = &mut *self.writer;
        self.result = writer
            .write_str(before)
            .and_then(|()| string(writer, field.name()))
            .and_then(|()| writer.write_char(':'))
            .and_then(|()| value(writer));
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() { self.raw(field, value) } else { self.record_debug(field, &value) }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.raw(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.raw(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.raw(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, |writer| string(writer, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.write(field, |writer| string(writer, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, |writer| string(writer, format_args!("{value:?}")));
    }
}
