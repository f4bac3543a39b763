use super::error::{Fault, show};

/// The bytes that a string literal stands for. `literal` is it with its quotes, `at` its offset for errors.
pub(super) fn unquote(literal: &[u8], at: usize) -> Result<Vec<u8>, Fault> {
    let inner = &literal[1..literal.len() - 1];
    let mut reader = Reader { inner, next: 0, at: at + 1 };
    let mut bytes = Vec::with_capacity(inner.len());
    while let Some(byte) = reader.take() {
        if byte == b'\\' { reader.escape(&mut bytes)? } else { bytes.push(byte) }
    }
    Ok(bytes)
}

struct Reader<'a> {
    inner: &'a [u8],
    next: usize,
    /// The offset of `inner`.
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<u8> {
        let byte = self.inner.get(self.next).copied()?;
        self.next += 1;
        Some(byte)
    }

    /// Reads what follows a backslash.
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), Fault> {
        let start = self.next - 1;
        let byte = match self.take() {
            Some(b'a') => 0x07,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 0x0B,
            Some(plain @ (b'\\' | b'?' | b'\'' | b'"')) => plain,
            Some(b'0'..=b'7') => {
                self.next -= 1;
                let code = self.digits(8, 3);
                u8::try_from(code).map_err(|_| self.fault(start, "an octal escape up to \\377"))?
            }
            Some(b'x' | b'X') if self.looks_at_digit(16) => self.digits(16, 2) as u8,
            Some(b'u') => return self.unicode(start, 4, bytes),
            Some(b'U') => return self.unicode(start, 8, bytes),
            _ => return Err(self.fault(start, "a known escape sequence")),
        };
        bytes.push(byte);
        Ok(())
    }

    fn unicode(&mut self, start: usize, digits: usize, bytes: &mut Vec<u8>) -> Result<(), Fault> {
        let mut code = self.exactly(start, digits)?;
        if (0xD800..0xDC00).contains(&code) && self.inner[self.next..].starts_with(b"\\u") {
            self.next += 2;
            let low = self.exactly(start, 4)?;
            if !(0xDC00..0xE000).contains(&low) {
                return Err(self.fault(start, "a pair of surrogates"));
            }
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        let character = char::from_u32(code).ok_or_else(|| self.fault(start, "the code of a character"))?;
        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn exactly(&mut self, start: usize, count: usize) -> Result<u32, Fault> {
        let from = self.next;
        let code = self.digits(16, count);
        if self.next - from < count {
            return Err(self.fault(start, &format!("{count} hexadecimal digits")));
        }
        Ok(code)
    }

    fn looks_at_digit(&self, radix: u32) -> bool {
        self.inner.get(self.next).is_some_and(|&byte| char::from(byte).is_digit(radix))
    }

    /// The number that up to `most` digits make; at most eight of them, so that it fits.
    fn digits(&mut self, radix: u32, most: usize) -> u32 {
        let mut code = 0;
        for _ in 0..most {
            let Some(digit) = self.inner.get(self.next).and_then(|&byte| char::from(byte).to_digit(radix))
            else {
                break;
            };
            code = code * radix + digit;
            self.next += 1;
        }
        code
    }

    fn fault(&self, start: usize, expected: &str) -> Fault {
        let end = self.next.max(start + 1).min(self.inner.len());
        Fault::unexpected(self.at + start, expected, format!("'{}'", show(&self.inner[start..end])))
    }
}
