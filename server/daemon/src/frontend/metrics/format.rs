//! The two formats, and which of them a scraper gets.

use http::{HeaderMap, header};

/// How the metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format, in which Triton writes.
    Text,
    /// OpenMetrics, which has exemplars. All series have the same names and labels as in the other format: a counter
    /// whose name does not end with `_total`, as Triton's do not, is of unknown type.
    OpenMetrics,
}

const OPEN_METRICS: &str = "application/openmetrics-text";
const TEXT: [&str; 3] = ["text/plain", "text/*", "*/*"];

impl Format {
    /// The media type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What the headers of a request ask for: OpenMetrics only if it is named, in the version that is written here or
    /// in none, and not less liked than text.
    pub(crate) fn accepted(headers: &HeaderMap) -> Format {
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let (mut text, mut open) = (None::<f32>, None::<f32>);
        for range in accept.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let Some(kind) = parts.next().map(str::to_ascii_lowercase) else { continue };
            let (mut quality, mut version) = (1.0, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"').to_owned()),
                    _ => {}
                }
            }
            let like = |liked: &mut Option<f32>| *liked = Some(liked.unwrap_or(0.0).max(quality));
            if kind == OPEN_METRICS && version.is_none_or(|version| version == "1.0.0") {
                like(&mut open);
            } else if TEXT.contains(&kind.as_str()) {
                like(&mut text);
            }
        }
        match open {
            Some(open) if open > 0.0 && open >= text.unwrap_or(0.0) => Format::OpenMetrics,
            _ => Format::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_name_it_and_like_it_no_less() {
        let table = [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("application/json", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; Version=1.0.0", Format::OpenMetrics),
            ("application/openmetrics-text;version=\"1.0.0\"", Format::OpenMetrics),
            ("application/openmetrics-text;version=0.0.1", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=x", Format::Text),
            ("text/plain;q=0.9,application/openmetrics-text;q=0.8", Format::Text),
            ("text/plain;q=0.8, application/openmetrics-text;q=0.8", Format::OpenMetrics),
            // What Prometheus sends, before and since its third version.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
        ];
        for (accept, format) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Format::accepted(&headers), format, "{accept}");
        }
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Text);
    }
}
