use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path};

/// Reads a file, and refuses one with more than `most` bytes, and what is no file.
pub(crate) fn read_bounded(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    // Before it is opened: to open a pipe would wait for ever. What a directory is, the system says itself.
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(io::Error::other("it is not a plain file"));
    }
    let mut bytes = Vec::new();
    // One more than allowed, to tell a file that is just as large from one that is larger.
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

/// Whether a path that is meant relative to a directory leads out of it. Links are not followed: where they lead is
/// the business of whoever made them.
pub(crate) fn escapes(path: &Path) -> bool {
    let mut depth = 0i32;
    for component in path.components() {
        match component {
            Component::Prefix(_) | Component::RootDir => return true,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_escapes_if_it_is_absolute_or_ever_goes_above_its_start() {
        for inside in ["labels.txt", "a/b.txt", "./a", "a/../b", "a/b/../../c"] {
            assert!(!escapes(Path::new(inside)), "{inside}");
        }
        for outside in ["/etc/passwd", "..", "../a", "a/../../b", "a/../../a/b"] {
            assert!(escapes(Path::new(outside)), "{outside}");
        }
    }

    #[test]
    fn a_file_over_the_limit_is_refused_and_one_at_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert_eq!(read_bounded(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        // Like a pipe, it is neither a file nor a directory.
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap_err().to_string(), "it is not a plain file");
        let kind = |path| read_bounded(path, 5).unwrap_err().kind();
        assert_eq!(kind(directory.path()), io::ErrorKind::IsADirectory);
        assert_eq!(kind(&directory.path().join("none")), io::ErrorKind::NotFound);
    }
}
