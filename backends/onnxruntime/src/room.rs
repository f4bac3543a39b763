//! Whether there is room in memory for a model.

use std::fmt;
use std::path::Path;

use nerite_backend::{BackendError, Code};

/// What to do where there is not.
pub(crate) const MORE_MEMORY: &str = "give the process more memory, or serve fewer or smaller models";

/// A number of bytes, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) => write!(f, "{:.1} {name}", self.0 as f64 / *unit as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// Refuses a model whose own file and those beside it cannot be read into what the process may use, so that the system
/// need not end the process over it. ONNX Runtime copies every weight while what was read is still there, wherever it
/// was: loading takes twice the files' size.
///
/// What else the process holds is not asked: much of it is kept for the next request only, and would be given back.
pub(crate) fn check(model: &Path, own: u64, beside: u64, may_use: Option<u64>) -> Result<(), BackendError> {
    let takes = own.saturating_add(beside).saturating_mul(2);
    let Some(may_use) = may_use.filter(|&may_use| takes > may_use) else { return Ok(()) };
    let (own, beside, takes, may_use) = (Size(own), Size(beside), Size(takes), Size(may_use));
    let shown = model.display();
    Err(BackendError::new(
        Code::Unavailable,
        format!(
            "'{shown}' does not fit into memory: it has {own}, and {beside} of weights in files beside it; to load them \
             takes {takes}, and the process may use {may_use}: {MORE_MEMORY}"
        ),
    ))
}

/// The error for memory that the system does not give.
pub(crate) fn refused(file: &Path, wanted: u64) -> BackendError {
    let message =
        format!("there is no memory for the {} of '{}': {MORE_MEMORY}", Size(wanted), file.display());
    BackendError::new(Code::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_they_fill() {
        for (bytes, told) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (5 << 20, "5.0 MiB"),
            (4 << 30, "4.0 GiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), told);
        }
    }

    #[test]
    fn a_model_fits_if_twice_its_files_do() {
        let fits = |own, beside, may_use| check(Path::new("model.onnx"), own, beside, may_use).is_ok();
        assert!(fits(10, 40, Some(100)) && fits(50, 0, Some(100)) && fits(u64::MAX, 1, None));
        assert!(!fits(10, 41, Some(100)) && !fits(51, 0, Some(100)) && !fits(1, u64::MAX, Some(100)));
    }
}
