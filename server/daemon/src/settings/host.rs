//! Where a listener listens.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;

/// An IP address, or a name that resolves to one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Host {
    /// An address; IPv6 may be written in brackets.
    Ip(IpAddr),
    /// A name, not yet resolved.
    Name(String),
}

/// What a [`Host`] cannot be read from.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is neither an IP address nor a host name")]
pub struct NotAHost(String);

impl FromStr for Host {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse() {
            return Ok(Self::Ip(ip));
        }
        let in_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        // A name of digits and dots alone is a mistyped address; resolvers would take it for one.
        let mistyped = text.chars().all(|c| c.is_ascii_digit() || c == '.');
        if mistyped || !text.chars().all(in_a_name) {
            return Err(NotAHost(text.to_owned()));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl TryFrom<String> for Host {
    type Error = NotAHost;

    fn try_from(text: String) -> Result<Self, NotAHost> {
        text.parse()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_hosts_and_mistyped_addresses_are_not() {
        for text in ["0.0.0.0", "127.0.0.1", "::", "::1", "[::1]", "localhost", "node-1.example.org", "a_b"] {
            assert!(text.parse::<Host>().is_ok(), "{text}");
        }
        for text in ["", "127.0.0", "127.0.0.256", "0.0.0.0:8001", "[::1", "a b", "http://x"] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
        assert_eq!("[::1]".parse::<Host>().unwrap(), Host::Ip("::1".parse().unwrap()));
    }
}
