use super::error::{Fault, show};

/// A word of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    /// Its offset in bytes.
    pub(super) at: usize,
    /// It as it is written, quotes included.
    pub(super) text: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Name,
    /// A whole number: decimal, octal (`0…`) or hexadecimal (`0x…`).
    Integer,
    /// A number with a point, an exponent or the suffix `f`.
    Float,
    /// A string literal in quotes; its escapes have not been looked at.
    Quoted,
    /// Any other character of ASCII.
    Symbol(u8),
    /// Nothing is left.
    End,
}

impl Token<'_> {
    /// The token as an error names what it found.
    pub(super) fn describe(&self) -> String {
        match self.kind {
            TokenKind::End => "the end of the file".to_owned(),
            TokenKind::Quoted => show(self.text),
            _ => format!("'{}'", show(self.text)),
        }
    }
}

/// Cuts a text into tokens, passing over white space and comments (`#` to the end of the line).
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Lexer<'a> {
        // Some editors put a byte order mark in front.
        let at = if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Lexer { text, at }
    }

    /// The next token; `End` again and again once there is none.
    pub(super) fn next(&mut self) -> Result<Token<'a>, Fault> {
        self.skip_blank();
        let start = self.at;
        let kind = match self.peek(0) {
            None => TokenKind::End,
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => {
                self.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                TokenKind::Name
            }
            Some(b'0'..=b'9') => self.number()?,
            Some(b'.') if self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) => self.number()?,
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote)?,
            Some(byte) if byte.is_ascii_graphic() => {
                self.at += 1;
                TokenKind::Symbol(byte)
            }
            Some(_) => return Err(self.stray_character()),
        };
        Ok(Token { kind, at: start, text: &self.text[start..self.at] })
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn skip_while(&mut self, belongs: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&belongs) {
            self.at += 1;
        }
    }

    fn skip_blank(&mut self) {
        loop {
            self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0B | 0x0C));
            if self.peek(0) != Some(b'#') {
                return;
            }
            self.skip_while(|byte| byte != b'\n');
        }
    }

    fn number(&mut self) -> Result<TokenKind, Fault> {
        let start = self.at;
        let kind = match (self.peek(0), self.peek(1)) {
            (Some(b'0'), Some(b'x' | b'X')) => {
                self.at += 2;
                self.digits(start, "hexadecimal digits after 0x", |byte| byte.is_ascii_hexdigit())?;
                TokenKind::Integer
            }
            (Some(b'0'), Some(b'0'..=b'9')) => {
                self.at += 1;
                self.digits(start, "octal digits after the leading 0", |byte| matches!(byte, b'0'..=b'7'))?;
                TokenKind::Integer
            }
            _ => self.decimal(start)?,
        };
        match self.peek(0) {
            Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') => {
                Err(self.malformed(start, "a number that ends before the next name or number"))
            }
            _ => Ok(kind),
        }
    }

    fn decimal(&mut self, start: usize) -> Result<TokenKind, Fault> {
        let mut kind = TokenKind::Integer;
        self.skip_while(|byte| byte.is_ascii_digit());
        if self.peek(0) == Some(b'.') {
            kind = TokenKind::Float;
            self.at += 1;
            self.skip_while(|byte| byte.is_ascii_digit());
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            kind = TokenKind::Float;
            self.at += if matches!(self.peek(1), Some(b'+' | b'-')) { 2 } else { 1 };
            self.digits(start, "digits in the exponent", |byte| byte.is_ascii_digit())?;
        }
        if matches!(self.peek(0), Some(b'f' | b'F')) {
            kind = TokenKind::Float;
            self.at += 1;
        }
        Ok(kind)
    }

    /// Passes over one digit or more.
    fn digits(&mut self, start: usize, expected: &str, belongs: impl Fn(u8) -> bool) -> Result<(), Fault> {
        let first = self.at;
        self.skip_while(belongs);
        if self.at == first { Err(self.malformed(start, expected)) } else { Ok(()) }
    }

    fn quoted(&mut self, quote: u8) -> Result<TokenKind, Fault> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek(0).filter(|&byte| byte != b'\n' && byte != 0) {
            self.at += 1;
            match byte {
                b'\\' if self.peek(0).is_some_and(|byte| byte != b'\n') => self.at += 1,
                _ if byte == quote => return Ok(TokenKind::Quoted),
                _ => {}
            }
        }
        let found = match self.peek(0) {
            Some(0) => "a NUL character",
            Some(_) => "the end of the line",
            None => "the end of the file",
        };
        Err(Fault::unexpected(start, format!("a string that ends with {}", char::from(quote)), found))
    }

    fn malformed(&mut self, start: usize, expected: &str) -> Fault {
        self.skip_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
        Fault::unexpected(start, expected, format!("'{}'", show(&self.text[start..self.at])))
    }

    fn stray_character(&self) -> Fault {
        let rest = &self.text[self.at..];
        let character =
            String::from_utf8_lossy(&rest[..rest.len().min(4)]).chars().next().unwrap_or_default();
        if character == char::REPLACEMENT_CHARACTER {
            let byte = rest.first().copied().unwrap_or_default();
            return Fault::unexpected(
                self.at,
                "a text that is saved as UTF-8",
                format!("the byte {byte:#04x}"),
            );
        }
        Fault::unexpected(self.at, "a field or a value", format!("the character {character:?}"))
    }
}
