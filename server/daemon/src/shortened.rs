/// How much is kept of a text that a client has chosen, in bytes: no model has a longer name.
const LONGEST: usize = 480;

/// What is kept of such a text by whatever outlives the call, and so does not count as in flight.
pub(crate) fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"é".repeat(1000)).len(), LONGEST);
        assert_eq!(shortened(&"€".repeat(1000)).len(), LONGEST / 3 * 3);
    }
}
