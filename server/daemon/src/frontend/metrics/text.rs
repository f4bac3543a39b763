use std::fmt::Write;

use super::families::Kind;

/// A model version's labels as they stand in a series. Label names are in alphabetical order, as in Triton.
pub(super) struct Labels {
    /// `model="…"`.
    pub(super) model: String,
    /// `version="…"`.
    pub(super) version: String,
}

impl Labels {
    pub(super) fn new(model: &str, version: u64) -> Labels {
        Labels { model: format!("model=\"{}\"", escape(model)), version: format!("version=\"{version}\"") }
    }
}

/// A family's `# HELP` and `# TYPE` lines.
pub(super) fn head(text: &mut String, name: &str, help: &str, kind: Kind) {
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    };
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A label's value as the text format wants it: backslash, quote and line feed escaped.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_cannot_break_out_of_its_label() {
        assert_eq!(Labels::new("a\"b\\c\nd", 1).model, r#"model="a\"b\\c\nd""#);
    }
}
