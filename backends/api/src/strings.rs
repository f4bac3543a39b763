//! The wire layout of strings: each element is its length as a little-endian `u32` and that many bytes, of any value.

/// Where a string tensor's bytes do not hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Truncated {
    /// The bytes end within an element's length.
    #[error("incomplete string length indicator, expecting 4 bytes but only {available} bytes available")]
    Length {
        /// How many bytes are left.
        available: usize,
    },
    /// The bytes end within an element.
    #[error(
        "incomplete string data, expecting string of length {expected} but only {available} bytes available"
    )]
    Content {
        /// How long the element says it is.
        expected: usize,
        /// How many bytes are left.
        available: usize,
    },
}

/// Iterates over the elements; after an error it ends.
pub fn elements(bytes: &[u8]) -> Elements<'_> {
    Elements { rest: bytes }
}

/// See [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], Truncated>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let available = self.rest.len();
        let Some((length, rest)) = self.rest.split_first_chunk::<4>() else {
            self.rest = &[];
            return Some(Err(Truncated::Length { available }));
        };
        let expected = u32::from_le_bytes(*length) as usize;
        let Some((element, rest)) = rest.split_at_checked(expected) else {
            self.rest = &[];
            return Some(Err(Truncated::Content { expected, available: rest.len() }));
        };
        self.rest = rest;
        Some(Ok(element))
    }
}

/// Adds an element in its wire layout.
///
/// # Panics
/// If the element is 4 GiB or longer, which no message can carry.
pub fn push(into: &mut Vec<u8>, element: &[u8]) {
    let length =
        u32::try_from(element.len()).expect("a message, and so a string in it, is shorter than 2 GiB");
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(element);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_pushed_is_read_back(strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..10)) {
            let mut wire = Vec::new();
            strings.iter().for_each(|string| push(&mut wire, string));
            let read: Result<Vec<&[u8]>, Truncated> = elements(&wire).collect();
            prop_assert_eq!(read.unwrap(), strings);
        }

        #[test]
        fn reading_any_bytes_ends_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(elements(&bytes).count() <= bytes.len());
        }
    }

    #[test]
    fn bytes_that_end_early_say_what_is_missing() {
        assert_eq!(elements(&[1, 0]).next(), Some(Err(Truncated::Length { available: 2 })));
        let short = elements(&[5, 0, 0, 0, b'a']).next();
        assert_eq!(short, Some(Err(Truncated::Content { expected: 5, available: 1 })));
    }
}
