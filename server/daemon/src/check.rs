//! `nerite check`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use nerite_backend::Cancel;
use nerite_core::ModelVersion;
use nerite_core::lifecycle::{Loader, OpenedModel, Part, VersionOutcome};
use nerite_core::model::{LoadError, ModelSpec, OpenError};
use nerite_core::repository::{ModelDirectory, scan};

use crate::settings::CheckOptions;
use crate::wiring;

/// Says what would be loaded from the repositories and why not, without serving. Exit status 1 if anything is wrong.
pub fn check(options: &CheckOptions, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    for warning in &options.warnings {
        writeln!(out, "note: {warning}")?;
    }
    let loader = wiring::loader(&options.repository, &options.backends, &options.scheduling, None);
    let found = scan(&options.repository.paths)?;
    let (mut right, mut wrong) = (0, found.refused.len());
    for (name, reason) in &found.refused {
        writeln!(out, "{name}: will not be served: {reason}")?;
    }
    let mut checked = Checked::default();
    for opened in in_order(open(&loader, found.models.into_values(), &mut checked)?) {
        checked.check(&loader, &opened, out)?;
    }
    for (name, error) in &checked.refused {
        writeln!(out, "{name}: will not be served: {error}")?;
    }
    right += checked.right;
    wrong += checked.wrong + checked.refused.len();
    writeln!(out, "{right} model versions can be served, {wrong} cannot")?;
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What has been found so far.
#[derive(Default)]
struct Checked {
    /// How many versions can be served, and how many cannot.
    right: usize,
    wrong: usize,
    /// The models that never came to versions.
    refused: BTreeMap<String, OpenError>,
    /// The models that some ensemble names; of others nothing is kept.
    named: BTreeSet<String>,
    parts: BTreeMap<String, Part>,
}

/// Reads the configurations of these models.
fn open(
    loader: &Loader,
    models: impl Iterator<Item = ModelDirectory>,
    checked: &mut Checked,
) -> io::Result<Vec<OpenedModel>> {
    let mut all = Vec::new();
    for directory in models {
        let name = directory.name.clone();
        match loader.open(directory.into()) {
            Ok(opened) => {
                let models: Vec<String> = opened.models().into_iter().map(str::to_owned).collect();
                checked.named.extend(models.iter().cloned());
                checked.parts.insert(name, Part { models, ..Part::default() });
                all.push(opened);
            }
            Err(error) => {
                checked
                    .parts
                    .insert(name.clone(), Part { failure: Some(error.to_string()), ..Part::default() });
                checked.refused.insert(name, error);
            }
        }
    }
    Ok(all)
}

/// Each behind those that it consists of, and otherwise as they are; ensembles that consist of each other last.
fn in_order(models: Vec<OpenedModel>) -> Vec<OpenedModel> {
    let (mut ordered, mut rest) = (Vec::new(), models);
    loop {
        let waiting: BTreeSet<String> = rest.iter().map(|model| model.name().to_owned()).collect();
        let waits = |model: &OpenedModel| model.models().into_iter().any(|part| waiting.contains(part));
        let (later, now): (Vec<_>, Vec<_>) = rest.into_iter().partition(waits);
        if now.is_empty() {
            ordered.extend(later);
            return ordered;
        }
        ordered.extend(now);
        rest = later;
    }
}

impl Checked {
    fn check(&mut self, loader: &Loader, model: &OpenedModel, out: &mut dyn Write) -> io::Result<()> {
        let name = model.name();
        for ignored in &model.source.directory.ignored {
            writeln!(
                out,
                "{name}: note: directory '{ignored}' is not a version: versions are whole numbers"
            )?;
        }
        let parts = match model.parts(&self.parts) {
            Ok(parts) => parts,
            Err(error) => {
                self.fail(name, error.to_string());
                self.refused.insert(name.to_owned(), error);
                return Ok(());
            }
        };
        let load = |version| match model.ensemble() {
            Some(_) => loader.compose(model, version, parts.clone()),
            None => loader.load(model, version, &Cancel::default()),
        };
        let versions = model.versions.iter().map(|&version| (version, self.kept(name, load(version))));
        let versions: Vec<_> = versions.collect();
        // A model is served with all of its versions, or not at all.
        let broken = versions.iter().find(|(_, loaded)| loaded.is_err()).map(|&(version, _)| version);
        for (version, loaded) in versions {
            match (loaded, broken) {
                (Ok((description, kept)), None) => {
                    self.right += 1;
                    writeln!(out, "{name} version {version}: fine: {description}")?;
                    let part = self.parts.entry(name.to_owned()).or_default();
                    part.versions.extend(kept.map(|kept| (version, kept)));
                }
                (Ok(_), Some(broken)) => {
                    self.wrong += 1;
                    writeln!(
                        out,
                        "{name} version {version}: will not be served, because version {broken} cannot be"
                    )?;
                }
                (Err(error), _) => {
                    self.wrong += 1;
                    self.fail(name, format!("version {version} is at UNAVAILABLE state: {error};"));
                    writeln!(out, "{name} version {version}: will not be served: {error}")?;
                }
            }
        }
        Ok(())
    }

    /// What is said of a version, and the version itself if an ensemble needs it: others would only take memory.
    fn kept(
        &self,
        name: &str,
        loaded: VersionOutcome,
    ) -> Result<(String, Option<Arc<ModelVersion>>), LoadError> {
        let loaded = loaded?;
        Ok((describe(&loaded.spec), Some(loaded).filter(|_| self.named.contains(name))))
    }

    fn fail(&mut self, name: &str, reason: String) {
        self.parts.entry(name.to_owned()).or_default().failure.get_or_insert(reason);
    }
}

fn describe(spec: &ModelSpec) -> String {
    let batch = match spec.max_batch_size {
        0 => "no batching".to_owned(),
        most => format!("batches up to {most}"),
    };
    format!("{} inputs, {} outputs, {batch}", spec.inputs.len(), spec.outputs.len())
}
