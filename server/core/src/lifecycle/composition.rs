//! Whether an ensemble's models are there, decided. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::life::Serial;
use crate::model::{EnsemblePlan, LoadError};

/// How it is with an ensemble's models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Composition {
    /// Some are being loaded.
    Waiting,
    /// Some are not there, and will not come by themselves.
    Broken(LoadError),
    /// These are there, by step.
    Ready(Vec<FoundModel>),
}

/// The version of a model that a step runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundModel {
    pub(super) model: String,
    pub(super) version: u64,
    pub(super) serial: Serial,
}

/// What is known of a model that an ensemble names.
#[derive(Clone, Debug, Default)]
pub(super) struct Dependency {
    pub(super) is_loading: bool,
    /// What is served of it, by version.
    pub(super) serving: BTreeMap<u64, Serial>,
    /// Why nothing is, if it failed.
    pub(super) failure: Option<String>,
    /// The models that it consists of, if it is an ensemble itself.
    pub(super) models: Vec<String>,
    /// The models that those versions run on. They are others where a reload has failed.
    pub(super) runs_on: Vec<String>,
}

/// How it is with the models of the ensemble of that name. `look` says what is known of a model. The complaints are those
/// of Triton.
pub(super) fn composition(
    name: &str,
    plan: &EnsemblePlan,
    look: impl Fn(&str) -> Option<Dependency>,
) -> Composition {
    if let Some(last) = circle(name, plan, |model| look(model).map(|known| known.models)) {
        return Composition::Broken(circular(name, &last));
    }
    let names: BTreeSet<&str> = plan.steps.iter().map(|step| step.model.as_str()).collect();
    let known: BTreeMap<&str, Option<Dependency>> =
        names.into_iter().map(|name| (name, look(name))).collect();
    if known.values().flatten().any(|model| model.is_loading) {
        return Composition::Waiting;
    }
    if let Some(last) = circle(name, plan, |model| look(model).map(|known| known.runs_on)) {
        return Composition::Broken(circular(name, &last));
    }
    let is_missing = |known: &Option<Dependency>| {
        known.as_ref().is_none_or(|model| model.serving.is_empty() && model.failure.is_none())
    };
    let missing: Vec<&str> =
        known.iter().filter(|(_, known)| is_missing(known)).map(|(&name, _)| name).collect();
    if !missing.is_empty() {
        return Composition::Broken(LoadError::invalid(format!(
            "ensemble {name} contains models that are not available or ambiguous: {}; load them, or correct the names of \
             the ensemble's models",
            missing.join(", ")
        )));
    }
    let mut found = Vec::new();
    for step in &plan.steps {
        let model = &step.model;
        let Some(Some(dependency)) = known.get(model.as_str()) else { continue };
        let Dependency { serving, failure, .. } = dependency;
        let version = match step.version {
            Some(version) => serving.get_key_value(&version),
            None => serving.last_key_value(),
        };
        match (version, step.version, serving.is_empty()) {
            (Some((&version, &serial)), _, _) => {
                found.push(FoundModel { model: model.clone(), version, serial })
            }
            (None, Some(version), false) => {
                return Composition::Broken(LoadError::invalid(format!(
                    "ensemble '{name}' depends on '{model}' whose required version {version} is not loaded; load it, or \
                     correct the step's model_version"
                )));
            }
            (None, _, _) => {
                let reason = failure.as_deref().unwrap_or_default();
                return Composition::Broken(LoadError::invalid(format!(
                    "ensemble '{name}' depends on '{model}' which has no loaded version. Model '{model}' loading failed \
                     with error: {reason}"
                )));
            }
        }
    }
    Composition::Ready(found)
}

fn circular(name: &str, last: &str) -> LoadError {
    LoadError::invalid(format!(
        "circular dependency between ensembles: {name} -> ... -> {last} -> {name}; take one out of the other"
    ))
}

/// The last ensemble on a way from this one's models back to it, if there is one. `look` says which models one consists of.
fn circle(name: &str, plan: &EnsemblePlan, look: impl Fn(&str) -> Option<Vec<String>>) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<(String, String)> =
        plan.steps.iter().map(|step| (name.to_owned(), step.model.clone())).collect();
    while let Some((from, model)) = open.pop() {
        if model == name {
            return Some(from);
        }
        if seen.insert(model.clone()) {
            open.extend(look(&model).unwrap_or_default().into_iter().map(|next| (model.clone(), next)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StepPlan;

    fn plan(steps: &[(&str, Option<u64>)]) -> EnsemblePlan {
        let step = |&(model, version): &(&str, _)| StepPlan {
            model: model.to_owned(),
            version,
            ..StepPlan::default()
        };
        EnsemblePlan { steps: steps.iter().map(step).collect(), ..EnsemblePlan::default() }
    }

    fn served(versions: &[(u64, Serial)]) -> Dependency {
        Dependency { serving: versions.iter().copied().collect(), ..Dependency::default() }
    }

    #[test]
    fn an_ensemble_waits_for_its_models_and_then_runs_on_the_versions_that_it_names_or_the_latest() {
        let plan = plan(&[("a", None), ("b", Some(1)), ("a", Some(2))]);
        let found = |model: &str, version, serial| FoundModel { model: model.to_owned(), version, serial };
        let with = |is_loading| {
            composition("e", &plan, move |model| {
                Some(Dependency {
                    is_loading: is_loading && model == "b",
                    ..served(&[(1, 10), (2, 20), (3, 30)])
                })
            })
        };
        assert_eq!(with(true), Composition::Waiting);
        let expected = vec![found("a", 3, 30), found("b", 1, 10), found("a", 2, 20)];
        assert_eq!(with(false), Composition::Ready(expected));
    }

    #[test]
    fn what_is_wrong_with_its_models_is_told_in_tritons_words() {
        let failed = Dependency { failure: Some("broken".to_owned()), ..Dependency::default() };
        let of_itself =
            Dependency { models: vec!["e".to_owned()], is_loading: true, ..Dependency::default() };
        let former = Dependency { runs_on: vec!["e".to_owned()], ..served(&[(1, 1)]) };
        let table = [
            (None, "ensemble e contains models that are not available or ambiguous: a; "),
            (
                Some(Dependency::default()),
                "ensemble e contains models that are not available or ambiguous: a; ",
            ),
            (
                Some(failed),
                "ensemble 'e' depends on 'a' which has no loaded version. Model 'a' loading failed with error: broken",
            ),
            (Some(served(&[(2, 1)])), "ensemble 'e' depends on 'a' whose required version 1 is not loaded; "),
            (Some(former), "circular dependency between ensembles: e -> ... -> a -> e; "),
            (Some(of_itself), "circular dependency between ensembles: e -> ... -> a -> e; "),
        ];
        for (dependency, expected) in table {
            let Composition::Broken(error) =
                composition("e", &plan(&[("a", Some(1))]), |_| dependency.clone())
            else {
                panic!("{expected}");
            };
            assert!(error.message.starts_with(expected), "{}", error.message);
        }
    }
}
