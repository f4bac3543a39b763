//! What the values of a flag look like, and reading them.

use config::ValueKind;

use super::host;

/// The shape of a flag's values. What `read` lets through, `Values` can hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// true, on, 1, false, off, 0, in any case.
    Bool,
    /// The same; given without a value it is true.
    Switch,
    /// A whole number within bounds.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A number.
    Number,
    /// A duration in milliseconds, parts of them included, and not of nothing.
    Interval,
    /// Any text but the empty one.
    Text,
    /// A path.
    Path,
    /// A file's name, without its directory.
    Name,
    /// An IP address or a host name.
    Host,
    /// One of these, between which stands `|`, in any case.
    Choice(&'static str),
    /// A whole number, or true for 1 and false for 0.
    Verbosity,
    /// Text that its own reader takes apart; this is how it looks.
    Pattern(&'static str),
}

/// A port; 0 lets the system choose.
pub(super) const PORT: Kind = Kind::Integer { min: 0, max: u16::MAX as i64 };
/// A number of something of which there may be none.
pub(super) const NOT_NEGATIVE: Kind = Kind::Integer { min: 0, max: i32::MAX as i64 };
/// A number of something of which there must be one.
pub(super) const AT_LEAST_ONE: Kind = Kind::Integer { min: 1, max: i32::MAX as i64 };
/// A number of bytes.
pub(super) const BYTES: Kind = Kind::Integer { min: 0, max: i64::MAX };
/// A duration in milliseconds.
pub(super) const MILLISECONDS: Kind = NOT_NEGATIVE;
/// The longest interval, in milliseconds.
const LONGEST: f64 = i32::MAX as f64;
/// How many of something at most; -1 sets no limit.
pub(super) const COUNT_OR_ALL: Kind = Kind::Integer { min: -1, max: i32::MAX as i64 };
/// Triton's spellings of what traces hold.
pub(super) const TRACE_LEVELS: &str = "OFF|FALSE|TIMESTAMPS|TRUE|ON|MIN|MAX|TENSORS";
/// Any whole number.
pub(super) const COUNT: Kind = Kind::Integer { min: i64::MIN, max: i64::MAX };

impl Kind {
    /// The value that `text` spells; `None` if it spells none of this kind.
    pub(super) fn read(self, text: &str) -> Option<ValueKind> {
        match self {
            Self::Bool | Self::Switch => boolean(text).map(ValueKind::Boolean),
            Self::Integer { min, max } => integer(text, min, max),
            Self::Verbosity => {
                integer(text, 0, i64::from(u8::MAX)).or_else(|| Some(ValueKind::I64(boolean(text)?.into())))
            }
            Self::Number => text.parse().ok().filter(|n: &f64| n.is_finite()).map(ValueKind::Float),
            Self::Interval => {
                let interval = text.parse().ok().filter(|millis| (1.0..=LONGEST).contains(millis));
                interval.map(ValueKind::Float)
            }
            Self::Host => text.parse::<host::Host>().ok().map(|host| ValueKind::String(host.to_string())),
            Self::Choice(choices) => choices
                .split('|')
                .find(|choice| choice.eq_ignore_ascii_case(text))
                .map(|choice| ValueKind::String(choice.to_owned())),
            Self::Name => (!matches!(text, "" | "." | "..") && !text.contains(['/', '\0']))
                .then(|| ValueKind::String(text.to_owned())),
            Self::Text | Self::Path | Self::Pattern(_) => {
                (!text.is_empty() && !text.contains('\0')).then(|| ValueKind::String(text.to_owned()))
            }
        }
    }

    /// What a value must be, to complete "expected …".
    pub(super) fn expected(self) -> String {
        match self {
            Self::Bool | Self::Switch => "true or false".to_owned(),
            Self::Integer { min: i64::MIN, .. } => "a whole number".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Verbosity => "a whole number from 0 to 255, true or false".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Interval => format!("a number from 1 to {LONGEST}"),
            Self::Text => "some text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Name => "a file's name without its directory".to_owned(),
            Self::Host => "an IP address or a host name".to_owned(),
            Self::Choice(choices) => format!("one of {}", choices.replace('|', ", ")),
            Self::Pattern(pattern) => pattern.to_owned(),
        }
    }

    /// The place-holder in the help.
    pub(super) fn placeholder(self) -> &'static str {
        match self {
            Self::Bool | Self::Switch => "true|false",
            Self::Integer { .. } | Self::Verbosity | Self::Number | Self::Interval => "N",
            Self::Text => "TEXT",
            Self::Path => "PATH",
            Self::Name => "NAME",
            Self::Host => "HOST",
            Self::Choice(pattern) | Self::Pattern(pattern) => pattern,
        }
    }
}

/// The text of a scalar as it would be written on the command line; `None` for a list, a table or nothing.
pub(super) fn scalar_text(value: &ValueKind) -> Option<String> {
    match value {
        ValueKind::Array(_) | ValueKind::Table(_) | ValueKind::Nil => None,
        scalar => Some(scalar.to_string()),
    }
}

/// Triton's spellings of a boolean.
pub(super) fn boolean(text: &str) -> Option<bool> {
    let is = |spelling: &&str| text.eq_ignore_ascii_case(spelling);
    match text {
        _ if ["true", "on", "1"].iter().any(is) => Some(true),
        _ if ["false", "off", "0"].iter().any(is) => Some(false),
        _ => None,
    }
}

fn integer(text: &str, min: i64, max: i64) -> Option<ValueKind> {
    text.parse().ok().filter(|n| (min..=max).contains(n)).map(ValueKind::I64)
}
