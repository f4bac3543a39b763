use std::fmt;

/// Why a text is no model configuration, and where: `config.pbtxt:3:9: input[0].dims: expected an integer, found 'x'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The path of the field, for instance `input[0].reshape`; empty outside of any.
    pub field: String,
    /// What is wrong there.
    pub problem: Box<Problem>,
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        self.problem.fmt(f)
    }
}

/// What is wrong with a text at some place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something else should stand there.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// What should stand there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// The message has no such field.
    #[error("expected a field of {message}, found '{found}'; the nearest known field is '{nearest}'")]
    UnknownField {
        /// The message's type.
        message: String,
        /// The name that stands there.
        found: String,
        /// The known field with the most similar name.
        nearest: String,
    },
    /// A field that has one value is given another.
    #[error("expected it once, found it again: Non-repeated field \"{field}\" is specified multiple times.")]
    Repeated {
        /// The field's name.
        field: String,
    },
    /// Two members of a oneof are given.
    #[error(
        "expected one of the oneof's members, found two: Field \"{field}\" is specified along with field \"{other}\", \
         another member of oneof \"{oneof}\"."
    )]
    Conflict {
        /// The name of the second member.
        field: String,
        /// The name of the first.
        other: String,
        /// The name of the oneof.
        oneof: String,
    },
}

/// A problem at an offset in bytes, on its way to becoming a [`ParseError`].
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) problem: Problem,
}

impl Fault {
    pub(super) fn unexpected(at: usize, expected: impl Into<String>, found: impl Into<String>) -> Fault {
        Fault { at, problem: Problem::Unexpected { expected: expected.into(), found: found.into() } }
    }

    /// The error, given what was read and the path of the field that was being read.
    pub(super) fn locate(self, file: &str, text: &[u8], field: String) -> ParseError {
        let before = &text[..self.at.min(text.len())];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        // A character is counted by its first byte, so that text that is not UTF-8 can be counted too.
        let is_first = |byte: &&u8| **byte & 0xC0 != 0x80;
        ParseError {
            file: file.to_owned(),
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            column: 1 + before[line_start..].iter().filter(is_first).count(),
            field,
            problem: Box::new(self.problem),
        }
    }
}

/// The longest part of a text that an error repeats, in characters.
const SHOWN: usize = 40;

/// A piece of the text as an error repeats it: on one line, and cut if it is long.
pub(super) fn show(piece: &[u8]) -> String {
    let piece = String::from_utf8_lossy(piece);
    let printable = |character: char| if character.is_control() { ' ' } else { character };
    let mut shown: String = piece.chars().take(SHOWN).map(printable).collect();
    if piece.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
