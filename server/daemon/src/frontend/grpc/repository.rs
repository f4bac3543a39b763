use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use nerite_core::lifecycle::Overrides;
use nerite_core::registry::{ModelEntry, PublicState};
use nerite_proto::inference::model_repository_parameter::ParameterChoice;
use nerite_proto::inference::repository_index_response::ModelIndex;
use nerite_proto::inference::{
    ModelRepositoryParameter, RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
};
use tonic::Status;

use super::status;
use crate::control::{Control, ControlError};
use crate::frontend::model_states::states;
use crate::serving::Serving;

/// Every model that is known, and every other that is in the repositories now, without a state.
pub(super) async fn index(
    serving: &Serving,
    request: &RepositoryIndexRequest,
) -> Result<RepositoryIndexResponse, Status> {
    one_repository(&request.repository_name)?;
    let names = match &serving.control {
        Some(control) if !request.ready => {
            control.names().await.map_err(|error| status::of_control(&error))?
        }
        _ => Vec::new(),
    };
    let mut entries = serving.registry.entries();
    for name in names {
        entries.entry(name.into()).or_default();
    }
    let models = entries.iter().flat_map(|(name, entry)| rows(name, entry, request.ready));
    Ok(RepositoryIndexResponse { models: models.collect() })
}

fn rows(name: &str, entry: &ModelEntry, only_ready: bool) -> Vec<ModelIndex> {
    let row = |version: String, state: &str, reason: String| ModelIndex {
        name: name.to_owned(),
        version,
        state: state.to_owned(),
        reason,
    };
    let states = states(entry);
    if states.is_empty() && !only_ready {
        return vec![row(String::new(), "", String::new())];
    }
    let listed = states.into_iter().filter(|(_, status)| !only_ready || status.state == PublicState::Ready);
    let version = |version: Option<u64>| version.map(|version| version.to_string()).unwrap_or_default();
    listed.map(|(number, status)| row(version(number), status.state.name(), status.reason)).collect()
}

/// Loads a model, and answers when it is served.
pub(super) async fn load(
    serving: &Serving,
    request: RepositoryModelLoadRequest,
) -> Result<RepositoryModelLoadResponse, Status> {
    let RepositoryModelLoadRequest { repository_name, model_name, parameters } = request;
    one_repository(&repository_name)?;
    let overrides = overrides(parameters)?;
    let loaded = control(serving)?.load(model_name, overrides).await;
    loaded.map_err(|error| status::of_control(&error))?;
    Ok(RepositoryModelLoadResponse {})
}

/// Unloads a model, and answers when no request finds it any more; the last ones may still be executed.
pub(super) async fn unload(
    serving: &Serving,
    request: RepositoryModelUnloadRequest,
) -> Result<RepositoryModelUnloadResponse, Status> {
    let RepositoryModelUnloadRequest { repository_name, model_name, parameters } = request;
    one_repository(&repository_name)?;
    let dependents = parameters.get("unload_dependents").map(|parameter| &parameter.parameter_choice);
    let dependents = match dependents {
        None => false,
        Some(Some(ParameterChoice::BoolParam(dependents))) => *dependents,
        Some(_) => {
            return Err(status::invalid(
                "invalid value type for 'unload_dependents' parameter, expected bool_param.",
            ));
        }
    };
    let unloaded = control(serving)?.unload(model_name, dependents).await;
    unloaded.map_err(|error| status::of_control(&error))?;
    Ok(RepositoryModelUnloadResponse {})
}

fn control(serving: &Serving) -> Result<&Control, Status> {
    serving.control.as_ref().ok_or_else(|| status::of_control(&ControlError::NotExplicit))
}

fn one_repository(name: &str) -> Result<(), Status> {
    if name.is_empty() {
        return Ok(());
    }
    Err(status::unsupported("'repository_name' specification is not supported"))
}

/// The load parameters: `config`, and `file:<path>` for each file.
fn overrides(parameters: HashMap<String, ModelRepositoryParameter>) -> Result<Overrides, Status> {
    let mut overrides = Overrides::default();
    // By name, so that of several mistakes the same is told each time.
    for (name, parameter) in parameters.into_iter().collect::<BTreeMap<_, _>>() {
        match (name.strip_prefix("file:"), parameter.parameter_choice) {
            (Some(path), Some(ParameterChoice::BytesParam(content))) => {
                overrides.files.push((PathBuf::from(path), content));
            }
            (Some(_), _) => return Err(mistyped(&name, "bytes_param")),
            (None, Some(ParameterChoice::StringParam(config))) if name == "config" => {
                overrides.config = Some(Arc::from(config));
            }
            (None, _) if name == "config" => return Err(mistyped(&name, "string_param")),
            (None, _) => return Err(status::invalid(format!("unrecognized load parameter '{name}'."))),
        }
    }
    Ok(overrides)
}

fn mistyped(name: &str, expected: &str) -> Status {
    status::invalid(format!("invalid value type for load parameter '{name}', expected {expected}."))
}
