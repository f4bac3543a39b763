use nerite_core::registry::{ModelEntry, PublicState, Status as ModelStatus};
use nerite_proto::inference::repository_index_response::ModelIndex;
use nerite_proto::inference::{RepositoryIndexRequest, RepositoryIndexResponse};
use tonic::Status;

use super::status;

use crate::serving::Serving;

pub(super) fn index(
    serving: &Serving,
    request: &RepositoryIndexRequest,
) -> Result<RepositoryIndexResponse, Status> {
    if !request.repository_name.is_empty() {
        return Err(status::unsupported("'repository_name' specification is not supported"));
    }
    let entries = serving.registry.entries();
    let models = entries.iter().flat_map(|(name, entry)| rows(name, entry, request.ready));
    Ok(RepositoryIndexResponse { models: models.collect() })
}

fn rows(name: &str, entry: &ModelEntry, only_ready: bool) -> Vec<ModelIndex> {
    let row = |version: String, status: Option<&ModelStatus>| ModelIndex {
        name: name.to_owned(),
        version,
        state: status.map(|status| status.state.name().to_owned()).unwrap_or_default(),
        reason: status.map(|status| status.reason.clone()).unwrap_or_default(),
    };
    let versions =
        entry.versions.iter().filter(|(_, status)| !only_ready || status.state == PublicState::Ready);
    let mut rows: Vec<_> = versions.map(|(version, status)| row(version.to_string(), Some(status))).collect();
    if entry.versions.is_empty() && !only_ready {
        rows.push(row(String::new(), entry.model_status().as_ref()));
    }
    rows
}
