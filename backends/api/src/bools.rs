//! The layout of BOOL tensors: each element is one byte, 0 for false and 1 for true.

/// The first byte that is neither 0 nor 1, with its place. To an engine such a byte may be undefined behaviour: it can
/// count true elements by adding bytes, and then read what lies behind a tensor.
pub fn first_stray(bytes: &[u8]) -> Option<(usize, u8)> {
    // This loop, unlike a search, has no branch and takes many bytes at a time.
    let union = bytes.iter().fold(0, |union, byte| union | byte);
    if union <= 1 {
        return None;
    }
    bytes.iter().copied().enumerate().find(|&(_, byte)| byte > 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_stray_is_what_a_search_finds(bytes in prop::collection::vec(prop_oneof![50 => 0u8..2, 1 => any::<u8>()], 0..200)) {
            let found = bytes.iter().position(|&byte| byte > 1).map(|place| (place, bytes[place]));
            prop_assert_eq!(first_stray(&bytes), found);
        }
    }
}
