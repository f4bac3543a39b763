//! The model versions that a scrape is about.

use std::collections::BTreeSet;
use std::sync::Arc;

use nerite_core::execution::Activity;
use nerite_core::model::ModelSpec;
use nerite_core::statistics::Statistics;
use nerite_core::{ModelVersion, Registry};

use super::exposition::{label, tag_name};
use crate::frontend::model_states::states;

/// A version that is served, with what has to be read once for all of its series.
pub(super) struct Row {
    pub(super) version: Arc<ModelVersion>,
    pub(super) activity: Activity,
    /// The labels as they stand between braces, in alphabetical order: tags, `model`, `version`.
    pub(super) labels: String,
    /// Where `version` begins.
    split: usize,
}

impl Row {
    pub(super) fn statistics(&self) -> &Statistics {
        self.version.statistics()
    }

    /// The labels in front of `version`, with a comma after them.
    pub(super) fn before_version(&self) -> &str {
        &self.labels[..self.split]
    }

    /// The label `version`.
    pub(super) fn of_version(&self) -> &str {
        &self.labels[self.split..]
    }
}

/// Every version that is served, by model name and version.
pub(super) fn read(registry: &Registry) -> Vec<Row> {
    registry.ready().into_iter().map(row).collect()
}

fn row(version: Arc<ModelVersion>) -> Row {
    let mut labels = of_model(&version.spec);
    let split = labels.len();
    labels.push_str(&label("version", &version.version.to_string()));
    Row { activity: version.activity(), version, labels, split }
}

/// The labels of a model, each with a comma after it.
fn of_model(spec: &ModelSpec) -> String {
    let mut labels = String::new();
    let mut names = BTreeSet::new();
    for (tag, value) in &spec.metric_tags {
        let name = tag_name(tag);
        // A label that comes twice would make the whole scrape unreadable.
        if names.insert(name.clone()) {
            labels += &label(&name, value);
            labels.push(',');
        }
    }
    labels += &label("model", &spec.name);
    labels.push(',');
    labels
}

/// The labels of what is known of every model and version that was not unloaded.
pub(super) fn state_labels(registry: &Registry) -> Vec<String> {
    let mut labels = Vec::new();
    for (name, entry) in registry.entries() {
        let model = label("model", &name);
        for (version, status) in states(&entry) {
            if !status.is_unloaded() {
                let state = label("state", status.state.name());
                let version = version.map(|version| version.to_string()).unwrap_or_default();
                labels.push(format!("{model},{state},{}", label("version", &version)));
            }
        }
    }
    labels
}
