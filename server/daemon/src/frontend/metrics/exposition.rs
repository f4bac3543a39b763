//! Writing series, in either format. Bytes are put behind each other; nothing is formatted that can be copied.

use std::io::Write;
use std::time::UNIX_EPOCH;

use nerite_core::statistics::Exemplar;

use super::families::{Family, Kind};
use super::format::Format;

/// A metric's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Number(u64),
    /// Nanoseconds, to be written in seconds.
    Nanos(u64),
    Real(f64),
}

/// What has been written so far.
pub(super) struct Exposition {
    bytes: Vec<u8>,
    format: Format,
    /// The part of a line that all buckets of a series share.
    prefix: Vec<u8>,
}

/// A histogram's buckets, by their own counts, with one more above the last bound.
pub(super) struct Buckets<'a> {
    /// The upper bounds as they are written.
    pub(super) bounds: &'a [&'a str],
    pub(super) counts: &'a [u64],
    pub(super) sum: Value,
    /// As many as counts, or none.
    pub(super) exemplars: &'a [Option<Exemplar>],
}

impl Exposition {
    pub(super) fn new(format: Format, capacity: usize) -> Exposition {
        Exposition { bytes: Vec::with_capacity(capacity), format, prefix: Vec::new() }
    }

    /// A family's head; its series have to follow.
    pub(super) fn family(&mut self, family: &Family) {
        self.head(family.name, family.kind, family.unit, family.help);
    }

    /// The same of a family that is not in the list; of one line of help.
    pub(super) fn head(&mut self, name: &str, kind: Kind, unit: &str, help: &str) {
        let (name, kind) = match (self.format, kind) {
            (Format::Text, kind) => (name, kind.name()),
            (Format::OpenMetrics, Kind::Counter) => match name.strip_suffix("_total") {
                Some(name) => (name, "counter"),
                None => (name, "unknown"),
            },
            (Format::OpenMetrics, kind) => (name, kind.name()),
        };
        // A vector takes everything.
        let _ = writeln!(self.bytes, "# HELP {name} {help}\n# TYPE {name} {kind}");
        let has_unit = name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
        if self.format == Format::OpenMetrics && !unit.is_empty() && has_unit {
            let _ = writeln!(self.bytes, "# UNIT {name} {unit}");
        }
    }

    /// A series with these labels, as they stand between braces.
    pub(super) fn series(&mut self, name: &str, labels: &[&str], value: Value) {
        self.bytes.extend_from_slice(name.as_bytes());
        if labels.iter().any(|labels| !labels.is_empty()) {
            self.bytes.push(b'{');
            labels.iter().for_each(|labels| self.bytes.extend_from_slice(labels.as_bytes()));
            self.bytes.push(b'}');
        }
        self.bytes.push(b' ');
        self.value(value);
        self.bytes.push(b'\n');
    }

    /// All series of a histogram.
    pub(super) fn histogram(&mut self, name: &str, labels: &str, buckets: &Buckets<'_>) {
        let Buckets { bounds, counts, sum, exemplars } = *buckets;
        self.prefix.clear();
        let comma = if labels.is_empty() { "" } else { "," };
        for part in [name, "_bucket{", labels, comma, "le=\""] {
            self.prefix.extend_from_slice(part.as_bytes());
        }
        let mut total = 0;
        for (index, count) in counts.iter().enumerate() {
            total += count;
            self.bytes.extend_from_slice(&self.prefix);
            self.bytes.extend_from_slice(bounds.get(index).unwrap_or(&"+Inf").as_bytes());
            self.bytes.extend_from_slice(b"\"} ");
            self.value(Value::Number(total));
            if let Some(Some(exemplar)) = exemplars.get(index)
                && *count > 0
            {
                self.exemplar(exemplar);
            }
            self.bytes.push(b'\n');
        }
        self.totals(name, labels, sum, total);
    }

    /// All series of a summary.
    pub(super) fn summary(
        &mut self,
        name: &str,
        labels: &str,
        quantiles: &[(f64, f64)],
        sum: Value,
        count: u64,
    ) {
        for &(quantile, value) in quantiles {
            let quantile = format!(",quantile=\"{quantile}\"");
            self.series(name, &[labels, &quantile], Value::Real(value));
        }
        self.totals(name, labels, sum, count);
    }

    /// Everything, with the end that the format demands.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.format == Format::OpenMetrics {
            self.bytes.extend_from_slice(b"# EOF\n");
        }
        self.bytes
    }

    fn totals(&mut self, name: &str, labels: &str, sum: Value, count: u64) {
        for (suffix, value) in [("_sum", sum), ("_count", Value::Number(count))] {
            self.bytes.extend_from_slice(name.as_bytes());
            self.series(suffix, &[labels], value);
        }
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        if self.format != Format::OpenMetrics {
            return;
        }
        let at = exemplar.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = |nanos: u128| Value::Nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let _ = write!(self.bytes, " # {{trace_id=\"{:032x}\"}} ", exemplar.trace_id);
        self.value(nanos(exemplar.value.as_nanos()));
        self.bytes.push(b' ');
        self.value(nanos(at.as_nanos()));
    }

    fn value(&mut self, value: Value) {
        let mut number = itoa::Buffer::new();
        match value {
            Value::Number(value) => self.bytes.extend_from_slice(number.format(value).as_bytes()),
            Value::Nanos(nanos) => {
                const SECOND: u64 = 1_000_000_000;
                self.bytes.extend_from_slice(number.format(nanos / SECOND).as_bytes());
                let rest = nanos % SECOND;
                if rest > 0 {
                    // The digits of a number that is greater by one in front of them, which takes the zeros along.
                    let digits = number.format(SECOND + rest).as_bytes();
                    self.bytes.push(b'.');
                    let last = digits.iter().rposition(|&digit| digit != b'0').unwrap_or_default();
                    self.bytes.extend_from_slice(&digits[1..=last]);
                }
            }
            // Rust writes `inf`, which no scraper reads.
            Value::Real(f64::INFINITY) => self.bytes.extend_from_slice(b"+Inf"),
            Value::Real(f64::NEG_INFINITY) => self.bytes.extend_from_slice(b"-Inf"),
            Value::Real(value) => {
                let _ = write!(self.bytes, "{value}");
            }
        }
    }
}

/// A label with its value as both formats want it: backslash, quote and line feed escaped.
pub(super) fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

/// The name of the label for a tag of a model's configuration, as in Triton `_` and the tag's own. Of what a label's name
/// cannot have, each character becomes `_`; and two of these in front, which Prometheus keeps for itself, become one.
pub(super) fn tag_name(tag: &str) -> String {
    let letters = tag.trim_start_matches('_').chars();
    let name: String = letters.map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("_{}", name.trim_start_matches('_'))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    fn text(format: Format, write: impl FnOnce(&mut Exposition)) -> String {
        let mut exposition = Exposition::new(format, 0);
        write(&mut exposition);
        String::from_utf8(exposition.finish()).unwrap()
    }

    fn written(value: Value) -> String {
        text(Format::Text, |exposition| exposition.value(value))
    }

    #[test]
    fn values_are_written_exactly_and_without_needless_digits() {
        for (nanos, expected) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_500_000_000, "1.5"),
            (12_000_000_000, "12"),
            (100_000, "0.0001"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(written(Value::Nanos(nanos)), expected);
        }
        assert_eq!(written(Value::Number(u64::MAX)), u64::MAX.to_string());
        assert_eq!(written(Value::Real(0.25)), "0.25");
        assert_eq!(written(Value::Real(f64::NAN)), "NaN");
    }

    #[test]
    fn a_histogram_adds_up_and_shows_exemplars_in_openmetrics_alone() {
        let exemplar = Exemplar {
            trace_id: 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f,
            value: Duration::from_millis(1_500),
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250),
        };
        let buckets = Buckets {
            bounds: &["1", "2"],
            counts: &[3, 1, 0],
            sum: Value::Number(7),
            exemplars: &[None, Some(exemplar), Some(exemplar)],
        };
        let write = |exposition: &mut Exposition| exposition.histogram("h", "m=\"a\"", &buckets);
        let lines = |mark: &str| {
            format!(
                "h_bucket{{m=\"a\",le=\"1\"}} 3\nh_bucket{{m=\"a\",le=\"2\"}} 4{mark}\n\
                 h_bucket{{m=\"a\",le=\"+Inf\"}} 4\nh_sum{{m=\"a\"}} 7\nh_count{{m=\"a\"}} 4\n"
            )
        };
        assert_eq!(text(Format::Text, write), lines(""));
        let mark = " # {trace_id=\"000102030405060708090a0b0c0d0e0f\"} 1.5 1700000000.25";
        assert_eq!(text(Format::OpenMetrics, write), format!("{}# EOF\n", lines(mark)));
    }

    #[test]
    fn a_tag_becomes_a_label_that_prometheus_takes() {
        for (tag, name) in
            [("team", "_team"), ("_team", "_team"), ("a.b c", "_a_b_c"), ("__name__", "_name__"), ("é", "_")]
        {
            assert_eq!(tag_name(tag), name);
        }
    }

    proptest! {
        #[test]
        fn no_value_can_break_out_of_its_label(value in "(\\PC|[\"\\\\\n\r\t{}, ])*") {
            let label = label("l", &value);
            prop_assert!(!label.contains('\n'));
            let inner = label.strip_prefix("l=\"").and_then(|rest| rest.strip_suffix('"')).unwrap();
            let (mut read, mut chars) = (String::new(), inner.chars());
            while let Some(c) = chars.next() {
                prop_assert!(c != '"');
                read.push(match c {
                    '\\' => match chars.next() {
                        Some('n') => '\n',
                        Some(escaped) => escaped,
                        None => return Err(TestCaseError::fail("an escape at the end")),
                    },
                    c => c,
                });
            }
            prop_assert_eq!(read, value);
        }
    }
}
