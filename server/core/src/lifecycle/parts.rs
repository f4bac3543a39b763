//! The models of an ensemble, for who loads models one after the other, and serves none.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::OpenedModel;
use super::composition::{Composition, Dependency, composition};
use crate::ensemble::check_fit;
use crate::model::OpenError;
use crate::version::ModelVersion;

/// A model that an ensemble may consist of.
#[derive(Default)]
pub struct Part {
    /// What could be loaded of it, by version.
    pub versions: BTreeMap<u64, Arc<ModelVersion>>,
    /// Why nothing could, if so.
    pub failure: Option<String>,
    /// The models that it consists of itself, if it is an ensemble.
    pub models: Vec<String>,
}

impl OpenedModel {
    /// The models of an ensemble, by step, if they are there and fit together.
    pub fn parts(&self, parts: &BTreeMap<String, Part>) -> Result<Vec<Arc<ModelVersion>>, OpenError> {
        let Some(plan) = self.ensemble() else { return Ok(Vec::new()) };
        let dependency = |part: &Part| Dependency {
            is_loading: false,
            serving: part.versions.keys().map(|&version| (version, 0)).collect(),
            failure: part.failure.clone(),
            models: part.models.clone(),
            runs_on: part.models.clone(),
        };
        match composition(self.name(), plan, |model| parts.get(model).map(dependency)) {
            Composition::Waiting => Ok(Vec::new()),
            Composition::Broken(error) => Err(OpenError::Composition(error)),
            Composition::Ready(found) => {
                let version = |model: &str, version| parts.get(model)?.versions.get(&version).cloned();
                let models = found.iter().filter_map(|found| version(&found.model, found.version));
                let models: Vec<_> = models.collect();
                check_fit(self.name(), plan, &models).map_err(OpenError::Composition)?;
                Ok(models)
            }
        }
    }
}
