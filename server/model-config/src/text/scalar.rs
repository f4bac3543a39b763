use prost_reflect::{EnumDescriptor, Kind, Value};

use super::error::{Fault, show};
use super::lexer::TokenKind;
use super::parser::Parser;
use super::quoted::unquote;

impl Parser<'_> {
    /// Reads one value of a kind that is no message.
    pub(super) fn scalar(&mut self, kind: &Kind) -> Result<Value, Fault> {
        Ok(match kind {
            Kind::Double => Value::F64(self.float()?),
            // Rounded twice, as in C++.
            Kind::Float => Value::F32(self.float()? as f32),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(self.integer(i32::MIN, i32::MAX)?),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(self.integer(i64::MIN, i64::MAX)?),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(self.integer(u32::MIN, u32::MAX)?),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(self.integer(u64::MIN, u64::MAX)?),
            Kind::Bool => Value::Bool(self.boolean()?),
            Kind::Enum(descriptor) => Value::EnumNumber(self.enumerator(descriptor)?),
            Kind::Bytes => Value::Bytes(self.bytes()?.into()),
            Kind::String => Value::String(self.string()?),
            Kind::Message(_) => return Err(self.unexpected("a value that is no message")),
        })
    }

    fn integer<T>(&mut self, least: T, most: T) -> Result<T, Fault>
    where
        T: TryFrom<i128> + Into<i128> + Copy,
    {
        let (least, most): (i128, i128) = (least.into(), most.into());
        let at = self.token.at;
        let negative = least < 0 && self.take(b'-')?;
        if self.token.kind != TokenKind::Integer {
            return Err(self.unexpected(if least < 0 {
                "an integer"
            } else {
                "an integer that is not negative"
            }));
        }
        let value = magnitude(self.token.text).map(|value| if negative { -value } else { value });
        let in_range =
            value.filter(|value| (least..=most).contains(value)).and_then(|value| T::try_from(value).ok());
        let Some(value) = in_range else {
            let sign = if negative { "-" } else { "" };
            let found = format!("{sign}{}", show(self.token.text));
            return Err(Fault::unexpected(at, format!("an integer from {least} to {most}"), found));
        };
        self.advance()?;
        Ok(value)
    }

    fn float(&mut self) -> Result<f64, Fault> {
        let negative = self.take(b'-')?;
        let text = String::from_utf8_lossy(self.token.text).to_ascii_lowercase();
        let value = match self.token.kind {
            TokenKind::Float => text.trim_end_matches('f').parse().ok(),
            // Only decimal numbers: what a leading zero would mean in a float is anybody's guess.
            TokenKind::Integer if text == "0" || !text.starts_with('0') => text.parse().ok(),
            TokenKind::Name => match text.as_str() {
                "inf" | "infinity" => Some(f64::INFINITY),
                "nan" => Some(f64::NAN),
                _ => None,
            },
            _ => None,
        };
        let Some(value) = value else {
            return Err(self.unexpected("a decimal number"));
        };
        self.advance()?;
        Ok(if negative { -value } else { value })
    }

    fn boolean(&mut self) -> Result<bool, Fault> {
        let value = match (self.token.kind, self.token.text) {
            (TokenKind::Name, b"true" | b"True" | b"t") => Some(true),
            (TokenKind::Name, b"false" | b"False" | b"f") => Some(false),
            (TokenKind::Integer, digits) => match magnitude(digits) {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            _ => None,
        };
        let value = value.ok_or_else(|| self.unexpected("true or false"))?;
        self.advance()?;
        Ok(value)
    }

    /// A number need not be one of the named ones: the field's enums are open.
    fn enumerator(&mut self, descriptor: &EnumDescriptor) -> Result<i32, Fault> {
        if matches!(self.token.kind, TokenKind::Integer | TokenKind::Symbol(b'-')) {
            return self.integer(i32::MIN, i32::MAX);
        }
        let name = String::from_utf8_lossy(self.token.text);
        let value = descriptor.get_value_by_name(&name).filter(|_| self.token.kind == TokenKind::Name);
        let Some(value) = value else {
            let names: Vec<String> = descriptor.values().map(|value| value.name().to_owned()).collect();
            return Err(self.unexpected(format!("one of {}", names.join(", "))));
        };
        self.advance()?;
        Ok(value.number())
    }

    fn string(&mut self) -> Result<String, Fault> {
        let (at, found) = (self.token.at, self.token.describe());
        String::from_utf8(self.bytes()?)
            .map_err(|_| Fault::unexpected(at, "a string that is valid UTF-8", found))
    }

    /// One string literal or several in a row, which are one.
    fn bytes(&mut self) -> Result<Vec<u8>, Fault> {
        if self.token.kind != TokenKind::Quoted {
            return Err(self.unexpected("a string in quotes"));
        }
        let mut bytes = Vec::new();
        while self.token.kind == TokenKind::Quoted {
            bytes.append(&mut unquote(self.token.text, self.token.at)?);
            self.advance()?;
        }
        Ok(bytes)
    }
}

/// The value of an integer's digits, if it is no more than 64 bits can hold.
fn magnitude(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let value = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None if text.starts_with('0') => u64::from_str_radix(text, 8),
        None => text.parse(),
    };
    value.ok().map(i128::from)
}
