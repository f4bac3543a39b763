//! What plugins do wrong, said once.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::LazyLock;

use parking_lot::Mutex;

/// How many different misuses are told of. Backends are few, and so are the kinds.
const MAX: usize = 1024;

/// By which backend, and which kind.
type Misuse = (Option<String>, &'static str);

/// Tells in the log that a plugin, of that backend where it is known, did something that it must not do. Each `kind` is
/// told once for each backend: what is wrong once is usually wrong with every request.
pub(crate) fn note(backend: Option<&str>, kind: &'static str, what: &dyn Display) {
    static NOTED: LazyLock<Mutex<HashSet<Misuse>>> = LazyLock::new(Mutex::default);
    {
        let mut noted = NOTED.lock();
        if noted.len() >= MAX || !noted.insert((backend.map(str::to_owned), kind)) {
            return;
        }
    }
    match backend {
        Some(backend) => tracing::error!("backend '{backend}': {what} (further times are not logged)"),
        None => tracing::error!("a plugin: {what} (further times are not logged)"),
    }
}
