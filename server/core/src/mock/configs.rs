use std::collections::BTreeMap;
use std::sync::Arc;

use nerite_backend::Declaration;

use super::Fault;
use crate::model::{ConfigSource, LoadError, LoadPlan, ModelDraft, ModelSpec};
use crate::repository::ModelDirectory;

/// Configurations that a test made up, by model.
#[derive(Default)]
pub(crate) struct MockConfigs {
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
        self.add(plan, spec, None)
    }

    /// A configuration that cannot be completed.
    pub(crate) fn with_incomplete(self, plan: LoadPlan, spec: ModelSpec, fault: Fault) -> MockConfigs {
        self.add(plan, spec, Some(fault))
    }

    /// A configuration that cannot be read.
    pub(crate) fn with_unreadable(mut self, model: &str, fault: Fault) -> MockConfigs {
        self.unreadable.insert(model.to_owned(), fault);
        self
    }

    fn add(mut self, plan: LoadPlan, spec: ModelSpec, fault: Option<Fault>) -> MockConfigs {
        self.drafts.insert(spec.name.clone(), Arc::new(MockDraft { plan, spec, fault }));
        self
    }
}

impl ConfigSource for MockConfigs {
    fn read(&self, model: &ModelDirectory, _: Option<&str>) -> Result<Arc<dyn ModelDraft>, LoadError> {
        if let Some(fault) = self.unreadable.get(&model.name) {
            return Err(fault.clone().strike().into());
        }
        let draft = self.drafts.get(&model.name).expect("the test gives every model a configuration");
        Ok(Arc::clone(draft) as Arc<dyn ModelDraft>)
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
}
