use std::path::{Component, Path};

/// Whether the server passes over a file of this path when it looks for models and for changes of them: a name in it
/// begins with a dot. Nothing may be loaded from such a file, since nobody would notice that it changes.
pub fn is_hidden(path: &Path) -> bool {
    let hides = |part| matches!(part, Component::Normal(name) if name.as_encoded_bytes().starts_with(b"."));
    path.components().any(hides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_hidden_if_any_name_in_it_begins_with_a_dot() {
        for hidden in [".a", "a/.b", ".a/b", "./.a", "..a"] {
            assert!(is_hidden(Path::new(hidden)), "{hidden}");
        }
        for seen in ["a", "./a", "a/../b", "a.b", "a/./b"] {
            assert!(!is_hidden(Path::new(seen)), "{seen}");
        }
    }
}
