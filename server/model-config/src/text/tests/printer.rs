use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, Value};

use super::random::Random;

/// Prints a message in a spelling that is made up as it goes.
pub(super) fn print(message: &DynamicMessage, random: &mut Random) -> String {
    let mut printer = Printer { random, text: String::new() };
    printer.fields(message);
    printer.text
}

struct Printer<'a> {
    random: &'a mut Random,
    text: String,
}

impl Printer<'_> {
    /// Adds a token, with blanks before it where they are needed, and sometimes where they are not.
    fn token(&mut self, token: &str) {
        let wordlike = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let needed = self.text.ends_with(wordlike) && token.starts_with(wordlike);
        if needed || self.random.one_in(2) {
            let blank = self.random.choose(&[" ", "\n", "\t", " # { \" ' comment\n", "\r\n  "]);
            self.text.push_str(blank);
        }
        self.text.push_str(token);
    }

    fn maybe(&mut self, token: &str) {
        if self.random.one_in(2) {
            self.token(token);
        }
    }

    fn fields(&mut self, message: &DynamicMessage) {
        let mut fields: Vec<_> = message.fields().collect();
        for i in (1..fields.len()).rev() {
            fields.swap(i, self.random.below(i + 1));
        }
        for (field, value) in fields {
            match value {
                Value::List(values) => self.repeated(&field, values),
                Value::Map(entries) => self.entries(&field, entries),
                value => self.field(&field, |printer| printer.value(&field.kind(), value)),
            }
        }
    }

    /// One field with one value, or whatever else `value` prints.
    fn field(&mut self, field: &FieldDescriptor, value: impl FnOnce(&mut Self)) {
        self.token(field.name());
        if field.kind().as_message().is_some() {
            self.maybe(":");
        } else {
            self.token(":");
        }
        value(self);
        match self.random.below(4) {
            0 => self.token(";"),
            1 => self.token(","),
            _ => {}
        }
    }

    /// The values one by one, in lists, or some so and some so.
    fn repeated(&mut self, field: &FieldDescriptor, mut values: &[Value]) {
        let kind = field.kind();
        while let Some((first, others)) = values.split_first() {
            if self.random.one_in(2) {
                self.field(field, |printer| printer.value(&kind, first));
                values = others;
                continue;
            }
            let (now, later) = values.split_at(self.random.below(values.len() + 1));
            self.field(field, |printer| {
                printer.list(now.iter(), |printer, value| printer.value(&kind, value));
            });
            values = later;
        }
    }

    fn list<T>(&mut self, values: impl Iterator<Item = T>, print: impl Fn(&mut Self, T)) {
        self.token("[");
        for (i, value) in values.enumerate() {
            if i > 0 {
                self.token(",");
            }
            print(self, value);
        }
        self.token("]");
    }

    fn entries<'m>(
        &mut self,
        field: &FieldDescriptor,
        entries: impl IntoIterator<Item = (&'m MapKey, &'m Value)>,
    ) {
        let Kind::Message(entry) = field.kind() else { panic!("a map is a list of messages") };
        let message = |(key, value): (&MapKey, &Value)| {
            let mut message = DynamicMessage::new(entry.clone());
            message.set_field_by_name("key", key.clone().into());
            message.set_field_by_name("value", value.clone());
            Value::Message(message)
        };
        let messages: Vec<Value> = entries.into_iter().map(message).collect();
        self.repeated(field, &messages);
    }

    fn value(&mut self, kind: &Kind, value: &Value) {
        match value {
            Value::Message(message) => {
                let (open, close) = if self.random.one_in(3) { ("<", ">") } else { ("{", "}") };
                self.token(open);
                self.fields(message);
                self.token(close);
            }
            Value::Bool(true) => self.one_of(&["true", "True", "t", "1", "0x1"]),
            Value::Bool(false) => self.one_of(&["false", "False", "f", "0", "00"]),
            Value::I32(value) => self.integer(i128::from(*value)),
            Value::I64(value) => self.integer(i128::from(*value)),
            Value::U32(value) => self.integer(i128::from(*value)),
            Value::U64(value) => self.integer(i128::from(*value)),
            Value::F32(value) => self.float(f64::from(*value)),
            Value::F64(value) => self.float(*value),
            Value::String(value) => self.string(value),
            Value::EnumNumber(number) => {
                let name = kind.as_enum().and_then(|descriptor| descriptor.get_value(*number));
                match name.filter(|_| !self.random.one_in(3)) {
                    Some(value) => self.token(value.name()),
                    None => self.integer(i128::from(*number)),
                }
            }
            other => panic!("the contract has no {other:?}"),
        }
    }

    fn one_of(&mut self, spellings: &[&str]) {
        let spelling = self.random.choose(spellings);
        self.token(spelling);
    }

    fn integer(&mut self, value: i128) {
        if value < 0 {
            self.token("-");
        }
        let value = value.unsigned_abs();
        let spelling = match self.random.below(4) {
            0 => format!("0x{value:x}"),
            1 => format!("0{value:o}"),
            _ => value.to_string(),
        };
        self.token(&spelling);
    }

    fn float(&mut self, value: f64) {
        if value.is_sign_negative() {
            self.token("-");
        }
        let value = value.abs();
        if value.is_infinite() {
            return self.one_of(&["inf", "Infinity", "INF"]);
        }
        let suffix = if self.random.one_in(3) { "f" } else { "" };
        let spelling =
            if self.random.one_in(2) { format!("{value:e}{suffix}") } else { format!("{value}{suffix}") };
        self.token(&spelling);
    }

    /// One literal or several, with or without escapes.
    fn string(&mut self, value: &str) {
        let mut literal = String::new();
        let mut quote = '"';
        let begin = |printer: &mut Self| if printer.random.one_in(2) { '"' } else { '\'' };
        for character in value.chars() {
            if literal.is_empty() {
                quote = begin(self);
                literal.push(quote);
            }
            self.character(character, quote, &mut literal);
            if self.random.one_in(6) {
                literal.push(quote);
                self.token(&std::mem::take(&mut literal));
            }
        }
        if literal.is_empty() {
            literal.push(quote);
        }
        literal.push(quote);
        self.token(&literal);
    }

    fn character(&mut self, character: char, quote: char, literal: &mut String) {
        let plain = !matches!(character, '\\' | '\n' | '\0') && character != quote;
        match self.random.below(4) {
            0 => {
                for byte in character.to_string().bytes() {
                    literal.push_str(&format!("\\{byte:03o}"));
                }
            }
            1 => {
                for byte in character.to_string().bytes() {
                    literal.push_str(&format!("\\x{byte:02x}"));
                }
            }
            2 if character as u32 <= 0xFFFF => literal.push_str(&format!("\\u{:04X}", character as u32)),
            _ if plain => literal.push(character),
            _ => literal.push_str(&format!("\\U{:08x}", character as u32)),
        }
    }
}

#[test]
fn the_printer_prints_every_field() {
    let mut random = Random(1);
    let descriptor = crate::text::MODEL_CONFIG.clone();
    let text: String = (0..200).map(|_| print(&random.message(&descriptor), &mut random)).collect();
    for field in descriptor.fields() {
        assert!(text.contains(field.name()), "{}", field.name());
    }
}
