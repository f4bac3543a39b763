//! Protobuf messages read from a file field by field, so that what is passed over is not read.

use std::io::{self, BufRead, Seek};

/// A file of messages, and how far it was read.
pub(crate) struct Reader<R> {
    file: R,
    position: u64,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u64),
    /// Bytes from here up to there: to be read, or gone into as a message. Unread, they are passed over.
    Bytes {
        end: u64,
    },
    /// A number of so many bytes.
    Fixed(u64),
}

impl<R: BufRead + Seek> Reader<R> {
    pub(crate) fn new(file: R) -> Reader<R> {
        Reader { file, position: 0 }
    }

    /// What is left of the file.
    pub(crate) fn into_rest(self) -> R {
        self.file
    }

    /// How many bytes were read or passed over.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next field of the message that ends there, with its number; `None` at the end.
    pub(crate) fn field(&mut self, end: u64) -> io::Result<Option<(u64, Value)>> {
        if self.position == end {
            return Ok(None);
        }
        let key = self.number_within(end)?;
        // No field has this number. Taken for one, a file of zeros would be read to its end, two bytes at a time.
        if key >> 3 == 0 {
            return Err(malformed());
        }
        let value = match key & 7 {
            0 => Value::Number(self.number_within(end)?),
            1 => Value::Fixed(8),
            2 => {
                let len = self.number_within(end)?;
                let field_end = self.position.checked_add(len).filter(|&field_end| field_end <= end);
                Value::Bytes { end: field_end.ok_or_else(malformed)? }
            }
            5 => Value::Fixed(4),
            _ => return Err(malformed()),
        };
        Ok(Some((key >> 3, value)))
    }

    /// Passes over what the value has left.
    pub(crate) fn skip(&mut self, value: Value) -> io::Result<()> {
        match value {
            Value::Number(_) => Ok(()),
            Value::Bytes { end } => self.skip_to(end),
            Value::Fixed(len) => self.skip_to(self.position + len),
        }
    }

    /// Goes on at that place.
    pub(crate) fn skip_to(&mut self, place: u64) -> io::Result<()> {
        let distance = place.checked_sub(self.position).and_then(|distance| i64::try_from(distance).ok());
        let mut distance = distance.ok_or_else(malformed)?;
        // Within the buffer this costs no call of the system.
        let buffered = self.file.fill_buf()?.len() as i64;
        let near = distance.min(buffered);
        self.file.consume(near as usize);
        distance -= near;
        if distance > 0 {
            self.file.seek(io::SeekFrom::Current(distance))?;
        }
        self.position = place;
        Ok(())
    }

    /// A text that ends there. Names and the like: what is longer than 64 KiB is none.
    pub(crate) fn text(&mut self, end: u64) -> io::Result<String> {
        let len = end.checked_sub(self.position).filter(|&len| len <= 64 << 10).ok_or_else(malformed)?;
        let mut bytes = vec![0; len as usize];
        self.file.read_exact(&mut bytes)?;
        self.position = end;
        String::from_utf8(bytes).map_err(|_| malformed())
    }

    /// A number; `None` if the file ends in it.
    pub(crate) fn number(&mut self) -> io::Result<Option<u64>> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            if self.file.read(&mut byte)? == 0 {
                return Ok(None);
            }
            self.position += 1;
            number |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                break;
            }
        }
        Ok(Some(number))
    }

    /// A number of the message that ends there.
    pub(crate) fn number_within(&mut self, end: u64) -> io::Result<u64> {
        let number = self.number()?.filter(|_| self.position <= end);
        number.ok_or_else(malformed)
    }
}

/// The error for bytes that are no message.
pub(crate) fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::*;

    fn reader(bytes: &[u8]) -> Reader<impl BufRead + Seek> {
        // A buffer shorter than what is passed over.
        Reader::new(BufReader::with_capacity(4, Cursor::new(bytes.to_vec())))
    }

    #[test]
    fn fields_are_read_or_passed_over() {
        let bytes = b"\x08\x96\x01\x12\x0atwo+eleven\x1d1234\x21abcdefgh\x2a\x01x";
        let (mut reader, end) = (reader(bytes), bytes.len() as u64);
        assert_eq!(reader.field(end).unwrap(), Some((1, Value::Number(150))));
        let (field, value) = reader.field(end).unwrap().unwrap();
        assert_eq!((field, value), (2, Value::Bytes { end: 15 }));
        reader.skip(value).unwrap();
        for (number, len) in [(3, 4), (4, 8)] {
            let (field, value) = reader.field(end).unwrap().unwrap();
            assert_eq!((field, value), (number, Value::Fixed(len)));
            reader.skip(value).unwrap();
        }
        let Some((5, Value::Bytes { end: there })) = reader.field(end).unwrap() else { panic!() };
        assert_eq!(reader.text(there).unwrap(), "x");
        assert_eq!(reader.field(end).unwrap(), None);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for bytes in
            [&b"\x08"[..], b"\0\0", b"\x0b", b"\x12\x05ab", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
        {
            assert!(reader(bytes).field(bytes.len() as u64).is_err(), "{bytes:?}");
        }
        // The message ends within a number that the file goes on with.
        assert!(reader(b"\x08\x96\x01").field(2).is_err());
    }
}
