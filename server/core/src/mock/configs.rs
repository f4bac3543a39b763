use std::collections::BTreeMap;
use std::sync::Arc;

use nerite_backend::Declaration;
use parking_lot::Mutex;

use super::Fault;
use crate::model::{ConfigSource, LoadError, LoadPlan, ModelDraft, ModelSpec};
use crate::repository::ModelDirectory;

/// Configurations that a test made up, by model. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct MockConfigs(Arc<Mutex<Configs>>);

#[derive(Default)]
struct Configs {
    drafts: BTreeMap<String, Arc<MockDraft>>,
    unreadable: BTreeMap<String, Fault>,
}

struct MockDraft {
    plan: LoadPlan,
    spec: ModelSpec,
    fault: Option<Fault>,
}

impl MockConfigs {
    pub(crate) fn with(self, plan: LoadPlan, spec: ModelSpec) -> MockConfigs {
        self.set(plan, spec);
        self
    }

    /// A configuration that cannot be completed.
    pub(crate) fn with_incomplete(self, plan: LoadPlan, spec: ModelSpec, fault: Fault) -> MockConfigs {
        self.add(plan, spec, Some(fault));
        self
    }

    /// A configuration that cannot be read.
    pub(crate) fn with_unreadable(self, model: &str, fault: Fault) -> MockConfigs {
        self.make_unreadable(model, fault);
        self
    }

    /// Gives a model another configuration.
    pub(crate) fn set(&self, plan: LoadPlan, spec: ModelSpec) {
        self.add(plan, spec, None);
    }

    /// Makes a model's configuration one that cannot be read.
    pub(crate) fn make_unreadable(&self, model: &str, fault: Fault) {
        self.0.lock().unreadable.insert(model.to_owned(), fault);
    }

    fn add(&self, plan: LoadPlan, spec: ModelSpec, fault: Option<Fault>) {
        let mut configs = self.0.lock();
        configs.unreadable.remove(&spec.name);
        configs.drafts.insert(spec.name.clone(), Arc::new(MockDraft { plan, spec, fault }));
    }
}

impl ConfigSource for MockConfigs {
    fn read(&self, model: &ModelDirectory, _: Option<&str>) -> Result<Arc<dyn ModelDraft>, LoadError> {
        let configs = self.0.lock();
        let fault = configs.unreadable.get(&model.name).cloned();
        let draft = configs.drafts.get(&model.name).cloned();
        drop(configs);
        match fault {
            Some(fault) => Err(fault.strike().into()),
            None => Ok(draft.expect("the test gives every model a configuration")),
        }
    }
}

impl ModelDraft for MockDraft {
    fn plan(&self) -> &LoadPlan {
        &self.plan
    }

    fn complete(&self, _declaration: &Declaration) -> Result<ModelSpec, LoadError> {
        match &self.fault {
            Some(fault) => Err(fault.clone().strike().into()),
            None => Ok(self.spec.clone()),
        }
    }

    fn compose(&self, decoupled: bool) -> Result<ModelSpec, LoadError> {
        let spec = self.complete(&Declaration::default())?;
        Ok(ModelSpec { decoupled, ..spec })
    }
}
