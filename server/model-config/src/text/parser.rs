use std::fmt::Write as _;

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};

use super::error::{Fault, Problem, show};
use super::lexer::{Lexer, Token, TokenKind};

/// Reads a message field by field, guided by its description.
///
/// It recurses no deeper than messages nest in the description, because what is not described is an error.
pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    pub(super) token: Token<'a>,
    /// The fields being read, outermost first, each with the number of the element if it is repeated.
    path: Vec<(FieldDescriptor, Option<usize>)>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a [u8]) -> Parser<'a> {
        let token = Token { kind: TokenKind::End, at: 0, text: &[] };
        Parser { lexer: Lexer::new(text), token, path: Vec::new() }
    }

    /// Reads the whole text into the message.
    pub(super) fn parse(&mut self, message: &mut DynamicMessage) -> Result<(), Fault> {
        self.advance()?;
        self.fields(message, TokenKind::End)
    }

    /// The path of the field that was being read when parsing stopped.
    pub(super) fn field_path(&self) -> String {
        let mut path = String::new();
        for (field, index) in &self.path {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(field.name());
            if let Some(index) = index {
                let _ = write!(path, "[{index}]");
            }
        }
        path
    }

    pub(super) fn advance(&mut self) -> Result<(), Fault> {
        self.token = self.lexer.next()?;
        Ok(())
    }

    pub(super) fn unexpected(&self, expected: impl Into<String>) -> Fault {
        Fault::unexpected(self.token.at, expected, self.token.describe())
    }

    /// Whether the token was that symbol, which is then taken.
    pub(super) fn take(&mut self, symbol: u8) -> Result<bool, Fault> {
        let is_it = self.token.kind == TokenKind::Symbol(symbol);
        if is_it {
            self.advance()?;
        }
        Ok(is_it)
    }

    fn fields(&mut self, message: &mut DynamicMessage, end: TokenKind) -> Result<(), Fault> {
        while self.token.kind != end {
            if self.token.kind != TokenKind::Name {
                return Err(self.unexpected(match end {
                    TokenKind::Symbol(symbol) => format!("a field name or '{}'", char::from(symbol)),
                    _ => "a field name".to_owned(),
                }));
            }
            self.field(message)?;
        }
        // The symbol that ends a message is taken by whoever began it.
        Ok(())
    }

    fn field(&mut self, message: &mut DynamicMessage) -> Result<(), Fault> {
        let name = String::from_utf8_lossy(self.token.text);
        let descriptor = message.descriptor();
        let Some(field) = descriptor.get_field_by_name(&name) else {
            return Err(Fault { at: self.token.at, problem: unknown_field(&descriptor, &name) });
        };
        self.path.push((field.clone(), None));
        refuse_second(message, &field).map_err(|problem| Fault { at: self.token.at, problem })?;
        self.advance()?;

        let kind = field.kind();
        if !self.take(b':')? && kind.as_message().is_none() {
            return Err(self.unexpected("':'"));
        }
        let repeated = field.is_list() || field.is_map();
        if repeated && self.take(b'[')? {
            self.list(message, &field, &kind)?;
        } else {
            self.value(message, &field, &kind)?;
        }
        self.path.pop();

        if !self.take(b';')? {
            self.take(b',')?;
        }
        Ok(())
    }

    fn list(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        kind: &Kind,
    ) -> Result<(), Fault> {
        if self.take(b']')? {
            return Ok(());
        }
        loop {
            self.value(message, field, kind)?;
            if self.take(b']')? {
                return Ok(());
            }
            if !self.take(b',')? {
                return Err(self.unexpected("',' or ']'"));
            }
        }
    }

    /// Reads one value and puts it into the field, beside those that are there if it is repeated.
    fn value(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        kind: &Kind,
    ) -> Result<(), Fault> {
        let length = match message.get_field(field).as_ref() {
            Value::List(values) => Some(values.len()),
            Value::Map(entries) => Some(entries.len()),
            _ => None,
        };
        self.path.last_mut().expect("a value belongs to a field").1 = length;

        let value = match kind {
            Kind::Message(descriptor) => Value::Message(self.message(descriptor)?),
            scalar => self.scalar(scalar)?,
        };
        match (length, value) {
            (None, value) => message.set_field(field, value),
            (Some(_), Value::Message(entry)) if field.is_map() => {
                if let Some(entries) = message.get_field_mut(field).as_map_mut() {
                    let (key, value) = key_and_value(&entry);
                    entries.insert(key, value);
                }
            }
            (Some(_), value) => {
                if let Some(values) = message.get_field_mut(field).as_list_mut() {
                    values.push(value);
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, descriptor: &MessageDescriptor) -> Result<DynamicMessage, Fault> {
        let end = match self.token.kind {
            TokenKind::Symbol(b'{') => b'}',
            TokenKind::Symbol(b'<') => b'>',
            _ => return Err(self.unexpected("'{' or '<'")),
        };
        self.advance()?;
        let mut message = DynamicMessage::new(descriptor.clone());
        self.fields(&mut message, TokenKind::Symbol(end))?;
        self.advance()?;
        Ok(message)
    }
}

/// Refuses a second value of a field that has one, and a second member of a oneof. As in C++, a value that equals the
/// field's default does not count unless the field can tell it from none.
fn refuse_second(message: &DynamicMessage, field: &FieldDescriptor) -> Result<(), Problem> {
    if field.is_list() || field.is_map() {
        return Ok(());
    }
    if message.has_field(field) {
        return Err(Problem::Repeated { field: field.name().to_owned() });
    }
    let Some(oneof) = field.containing_oneof() else {
        return Ok(());
    };
    match oneof.fields().find(|member| message.has_field(member)) {
        None => Ok(()),
        Some(other) => Err(Problem::Conflict {
            field: field.name().to_owned(),
            other: other.name().to_owned(),
            oneof: oneof.name().to_owned(),
        }),
    }
}

fn key_and_value(entry: &DynamicMessage) -> (MapKey, Value) {
    let descriptor = entry.descriptor();
    let key = entry.get_field(&descriptor.map_entry_key_field()).into_owned();
    let value = entry.get_field(&descriptor.map_entry_value_field()).into_owned();
    (key.into_map_key().expect("the description allows no other type of key"), value)
}

fn unknown_field(descriptor: &MessageDescriptor, name: &str) -> Problem {
    let found = show(name.as_bytes());
    let distance = |field: &FieldDescriptor| strsim::damerau_levenshtein(field.name(), &found);
    let nearest = descriptor.fields().min_by_key(distance);
    Problem::UnknownField {
        message: descriptor.name().to_owned(),
        nearest: nearest.map(|field| field.name().to_owned()).unwrap_or_default(),
        found,
    }
}
