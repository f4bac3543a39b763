//! Metrics that plugins keep.

use nerite_backend::metrics::{Family, Kind, Value as Given};

use super::exposition::{Buckets, Exposition, Value, label};
use super::families;

/// Writes all families that have a series.
pub(super) fn write(out: &mut Exposition, families: &[Family]) {
    for family in families.iter().filter(|family| !family.series.is_empty()) {
        let kind = match family.kind {
            Kind::Counter => families::Kind::Counter,
            Kind::Gauge => families::Kind::Gauge,
            Kind::Histogram => families::Kind::Histogram,
        };
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        out.head(&family.name, kind, "", &help);
        for series in &family.series {
            let labels: Vec<String> = series.labels.iter().map(|(name, value)| label(name, value)).collect();
            let labels = labels.join(",");
            match &series.value {
                &Given::Number(number) => out.series(&family.name, &[&labels], Value::Real(number)),
                Given::Histogram { bounds, counts, sum } => {
                    let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
                    let bounds: Vec<&str> = bounds.iter().map(String::as_str).collect();
                    let sum = Value::Real(*sum);
                    out.histogram(
                        &family.name,
                        &labels,
                        &Buckets { bounds: &bounds, counts, sum, exemplars: &[] },
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nerite_backend::metrics::Series;

    use super::super::format::Format;
    use super::*;

    fn series(labels: &[(&str, &str)], value: Given) -> Series {
        let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Series { labels: labels.collect(), value }
    }

    fn text(format: Format, families: &[Family]) -> String {
        let mut out = Exposition::new(format, 0);
        write(&mut out, families);
        String::from_utf8(out.finish()).unwrap()
    }

    #[test]
    fn families_are_written_in_both_formats_and_nothing_breaks_out_of_its_line() {
        let family = |name: &str, help: &str, kind, series| Family {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            series,
        };
        let histogram = Given::Histogram { bounds: vec![0.5, 2.0], counts: vec![1, 0, 2], sum: 9.5 };
        let families = [
            family("mine", "One\nline \\", Kind::Counter, vec![series(&[], Given::Number(3.0))]),
            family(
                "my_gauge",
                "Gauge",
                Kind::Gauge,
                vec![
                    series(&[("a", "x\"\n"), ("b", "y")], Given::Number(f64::INFINITY)),
                    series(&[("a", "z")], Given::Number(-0.5)),
                ],
            ),
            family("none", "None", Kind::Gauge, Vec::new()),
            family("sizes", "Sizes", Kind::Histogram, vec![series(&[], histogram)]),
        ];
        let body = |kind: &str| {
            format!(
                "# HELP mine One\\nline \\\\\n# TYPE mine {kind}\nmine 3\n\
                 # HELP my_gauge Gauge\n# TYPE my_gauge gauge\n\
                 my_gauge{{a=\"x\\\"\\n\",b=\"y\"}} +Inf\nmy_gauge{{a=\"z\"}} -0.5\n\
                 # HELP sizes Sizes\n# TYPE sizes histogram\n\
                 sizes_bucket{{le=\"0.5\"}} 1\nsizes_bucket{{le=\"2\"}} 1\nsizes_bucket{{le=\"+Inf\"}} 3\n\
                 sizes_sum 9.5\nsizes_count 3\n"
            )
        };
        assert_eq!(text(Format::Text, &families), body("counter"));
        assert_eq!(text(Format::OpenMetrics, &families), body("unknown") + "# EOF\n");
    }
}
