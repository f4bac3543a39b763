//! Which models are served, and when they are loaded: what the values of their settings must fulfil.

use super::error::{Origin, SettingsError, Warning};
use super::flags;
use super::layer::Layers;
use super::values::{ControlMode, Repository};

/// What names every model in `--load-model`.
const ALL: &str = "*";

/// The settings that count only while changes are looked for.
const OF_POLLING: [&str; 2] = ["repository-poll-secs", "repository-settle-ms"];

/// Takes lists apart and names nothing twice. Triton keeps such names in sets; their order is kept here, because it is
/// that of the log.
pub(super) fn sort_out(layers: &Layers, mut repository: Repository) -> Result<Repository, SettingsError> {
    repository.paths = without_repeats(repository.paths);
    repository.load_models = without_repeats(repository.load_models);
    repository.ready_models = without_repeats(names(layers, &repository.ready_models)?);
    Ok(repository)
}

/// Holds what is to be loaded against who decides about it.
pub(super) fn weigh(
    layers: &Layers,
    repository: &Repository,
    warnings: &mut Vec<Warning>,
) -> Result<(), SettingsError> {
    let Repository { control_mode, load_models, .. } = repository;
    let origin = || layers.given("load-model").unwrap_or(&Origin::Default).clone();
    if !load_models.is_empty() && *control_mode != ControlMode::Explicit {
        return Err(SettingsError::Needs { origin: origin(), needs: "model-control-mode=explicit" });
    }
    if load_models.len() > 1 && load_models.iter().any(|name| name == ALL) {
        return Err(SettingsError::AllAmongOthers(origin()));
    }
    if *control_mode != ControlMode::Poll {
        let given = OF_POLLING.into_iter().filter_map(|name| layers.given(name));
        let ignored = |origin: &Origin| Warning::Ignored {
            origin: origin.clone(),
            unless: "model-control-mode",
            is: "poll",
        };
        warnings.extend(given.map(ignored));
    }
    Ok(())
}

/// The names in lists between whose entries stands `,`.
fn names(layers: &Layers, lists: &[String]) -> Result<Vec<String>, SettingsError> {
    let mut names = Vec::new();
    for list in lists {
        for name in list.split(',').map(str::trim) {
            if name.is_empty() {
                let flag = flags::find("ready-models").expect("in the table");
                let origin = layers.given(flag.name).unwrap_or(&Origin::Default).clone();
                let expected = flag.kind.expected();
                return Err(SettingsError::Value { origin, found: list.clone(), expected });
            }
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn without_repeats<T: PartialEq>(list: Vec<T>) -> Vec<T> {
    let mut once = Vec::with_capacity(list.len());
    for one in list {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}
