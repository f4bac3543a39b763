//! `nerite check`.

use std::io::{self, Write};
use std::process::ExitCode;

use nerite_backend::Cancel;
use nerite_core::lifecycle::Loader;
use nerite_core::model::{ModelSpec, OpenError};
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
    for directory in found.models.into_values() {
        let name = directory.name.clone();
        match check_model(&loader, directory, out) {
            Ok(outcome) => {
                right += outcome.right;
                wrong += outcome.wrong;
            }
            Err(CheckError::Open(error)) => {
                wrong += 1;
                writeln!(out, "{name}: will not be served: {error}")?;
            }
            Err(CheckError::Write(error)) => return Err(error.into()),
        }
    }
    writeln!(out, "{right} model versions can be served, {wrong} cannot")?;
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many of a model's versions can be served.
#[derive(Default)]
struct Outcome {
    right: usize,
    wrong: usize,
}

#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Write(#[from] io::Error),
}

fn check_model(
    loader: &Loader,
    directory: ModelDirectory,
    out: &mut dyn Write,
) -> Result<Outcome, CheckError> {
    let name = directory.name.clone();
    for ignored in &directory.ignored {
        writeln!(out, "{name}: note: directory '{ignored}' is not a version: versions are whole numbers")?;
    }
    let model = loader.open(directory.into())?;
    let versions = model.versions.iter().map(|&version| {
        let loaded = loader.load(&model, version, &Cancel::default());
        (version, loaded.map(|loaded| describe(&loaded.spec)))
    });
    let versions: Vec<_> = versions.collect();
    // A model is served with all of its versions, or not at all.
    let broken = versions.iter().find(|(_, loaded)| loaded.is_err()).map(|&(version, _)| version);
    let mut outcome = Outcome::default();
    for (version, loaded) in versions {
        match (loaded, broken) {
            (Ok(description), None) => {
                outcome.right += 1;
                writeln!(out, "{name} version {version}: fine: {description}")?;
            }
            (Ok(_), Some(broken)) => {
                outcome.wrong += 1;
                writeln!(
                    out,
                    "{name} version {version}: will not be served, because version {broken} cannot be"
                )?;
            }
            (Err(error), _) => {
                outcome.wrong += 1;
                writeln!(out, "{name} version {version}: will not be served: {error}")?;
            }
        }
    }
    Ok(outcome)
}

fn describe(spec: &ModelSpec) -> String {
    let batch = match spec.max_batch_size {
        0 => "no batching".to_owned(),
        most => format!("batches up to {most}"),
    };
    format!("{} inputs, {} outputs, {batch}", spec.inputs.len(), spec.outputs.len())
}
