//! The metrics in Prometheus' text format, written straight from the models' running accounts.

mod families;
mod text;

use std::fmt::Write;
use std::sync::Arc;

use nerite_core::ModelVersion;

use crate::serving::Serving;
use families::{FAILURES, FAMILIES, SERVER_FAMILIES};
use text::Labels;

/// The media type of what [`render`] writes.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every family with a series for each version that is ready, and the server's own. The versions' labels are written once,
/// not once per family.
pub(crate) fn render(serving: &Serving) -> String {
    let versions: Vec<(Arc<ModelVersion>, Labels)> = serving
        .registry
        .ready()
        .into_iter()
        .map(|version| {
            let labels = Labels::new(&version.spec.name, version.version);
            (version, labels)
        })
        .collect();
    let mut text = String::new();
    text::head(&mut text, FAILURES.name, FAILURES.help, FAILURES.kind);
    for (version, labels) in &versions {
        for reason in nerite_core::statistics::FailureReason::ALL {
            let failures = version.statistics().failures(reason);
            let name = FAILURES.name;
            let _ = writeln!(
                text,
                "{name}{{{},reason=\"{}\",{}}} {failures}",
                labels.model,
                reason.label(),
                labels.version
            );
        }
    }
    for family in &FAMILIES {
        text::head(&mut text, family.name, family.help, family.kind);
        for (version, labels) in &versions {
            let value = (family.value)(version);
            let _ = writeln!(text, "{}{{{},{}}} {value}", family.name, labels.model, labels.version);
        }
    }
    for family in &SERVER_FAMILIES {
        text::head(&mut text, family.name, family.help, family.kind);
        let _ = writeln!(text, "{} {}", family.name, (family.value)(serving));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_is_a_gauge_that_returns_to_zero() {
        let serving = Serving::new("test".into(), Arc::default(), Arc::default());
        let holds = |lines: [&str; 2]| {
            let text = render(&serving);
            assert!(text.contains("# TYPE nerite_inflight_bytes gauge\n"), "{text}");
            assert!(lines.iter().all(|line| text.lines().any(|found| found == *line)), "{lines:?}: {text}");
        };
        let share = serving.inflight.request().unwrap();
        share.add(7).unwrap();
        holds(["nerite_inflight_requests 1", "nerite_inflight_bytes 7"]);
        drop(share);
        holds(["nerite_inflight_requests 0", "nerite_inflight_bytes 0"]);
    }
}
