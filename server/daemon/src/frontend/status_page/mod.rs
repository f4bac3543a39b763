//! The status page of the metrics port: one page that asks nobody else for anything, and the numbers that it shows.

mod snapshot;

use serde_json::Error;

use self::snapshot::Snapshot;
use crate::serving::Serving;

/// The page, which asks for the numbers every other second.
pub(super) const PAGE: &str = include_str!("page.html");

/// What a browser lets the page do, whatever should get into it: show itself, and ask this port.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                                 img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The numbers, as JSON: see [`Snapshot`].
pub(super) fn numbers(serving: &Serving) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&Snapshot::of(serving))
}
