//! What an ensemble's life has to do with the lives of its models.
//!
//! An ensemble's load waits until nothing is being loaded of its models. Whenever a load of one of these ends, or one is
//! unloaded, the ensemble is looked at again: it is loaded anew when it would run on others than before, and is not served
//! any more when they do not fit together, or one is gone. It is loaded again by itself when that is over.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Composed, UNWANTED, Worker};
use crate::ensemble::check_fit;
use crate::lifecycle::composition::{Composition, Dependency, FoundModel, composition};
use crate::lifecycle::event::Unload;
use crate::lifecycle::life::{Loaded, Serial};
use crate::lifecycle::{OpenedModel, Source};
use crate::model::OpenError;
use crate::repository::Found;
use crate::version::ModelVersion;

impl Worker {
    /// Has the models of an ensemble served as they are on disk now, without being asked for them. One that a client gave
    /// another configuration, or other files, is left as it is.
    pub(super) fn want_models(&mut self, found: Vec<(String, Found)>) {
        let (nobody, _) = mpsc::unbounded_channel();
        for (name, found) in found {
            let known = self.models.get(&name);
            if known.is_some_and(|model| model.life.is_loading() || model.life.is_overridden()) {
                continue;
            }
            let source = match found {
                Found::Model(directory) => Ok(Source::from(directory)),
                Found::Refused(reason) => Err(OpenError::refused(reason)),
                Found::Absent => continue,
            };
            self.want(vec![(name, source)], &nobody);
        }
    }

    /// Goes on with the load of an ensemble that waits for its models, if it need not wait any more.
    pub(super) fn compose(&mut self, name: &str) {
        let Some(known) = self.models.get(name) else { return };
        let Some(Composed { opened, waiting: Some(load), .. }) = &known.composed else { return };
        let (load, opened) = (*load, Arc::clone(opened));
        if known.life.under_way(load).is_none() {
            return;
        }
        let composition = self.composition(name, &opened);
        if composition == Composition::Waiting {
            return self.publish(name);
        }
        let composed = self.models.get_mut(name).and_then(|known| known.composed.as_mut());
        if let Some(composed) = composed {
            (composed.waiting, composed.tried) = (None, Some(composition.clone()));
        }
        match composition {
            Composition::Waiting => {}
            Composition::Ready(found) => {
                let steps = self.steps(&found);
                self.load(name, load, &opened, &steps);
            }
            Composition::Broken(error) => {
                let Some(known) = self.models.get_mut(name) else { return };
                let error = OpenError::Composition(error);
                let retired = known.life.lose(error.clone());
                self.failed_to_open(name, error);
                self.retire(name, retired);
            }
        }
    }

    /// A model's load has ended, well or not.
    pub(super) fn load_ended(&mut self, name: &str) {
        self.reconsider_dependents(name);
        // Its models may have changed while it was loaded.
        self.reconsider(name);
    }

    /// Looks at the ensembles again that a model is part of.
    pub(super) fn reconsider_dependents(&mut self, model: &str) {
        let is_part = |composed: &Composed| composed.opened.models().contains(model);
        let dependents = self.models.iter().filter(|(_, known)| known.composed.as_ref().is_some_and(is_part));
        let dependents: Vec<String> = dependents.map(|(name, _)| name.clone()).collect();
        dependents.iter().for_each(|name| self.reconsider(name));
    }

    fn reconsider(&mut self, name: &str) {
        let Some(known) = self.models.get(name).filter(|_| !self.exiting) else { return };
        let Some(composed) = &known.composed else { return };
        if composed.waiting.is_some() {
            return self.compose(name);
        }
        let opened = Arc::clone(&composed.opened);
        let composition = self.composition(name, &opened);
        if known.life.is_loading()
            || composition == Composition::Waiting
            || composed.tried.as_ref() == Some(&composition)
        {
            return;
        }
        self.next += 1;
        let load = self.next;
        let Some(known) = self.models.get_mut(name) else { return };
        known.life.begin(opened.source.clone(), load);
        if let Some(composed) = &mut known.composed {
            composed.waiting = Some(load);
        }
        self.compose(name);
    }

    /// Has a model served no longer, and, if that is wanted, nor the models that were loaded for it alone.
    pub(super) fn unload_with_dependents(&mut self, name: &str, terms: Unload) {
        let composed = self.models.get(name).and_then(|known| known.composed.as_ref());
        let opened = composed.filter(|_| terms.dependents).map(|composed| Arc::clone(&composed.opened));
        self.unload(name, terms.forget, UNWANTED);
        for model in opened.iter().flat_map(|opened| opened.models()) {
            let is_asked_for = self.models.get(model).is_none_or(|known| known.is_asked_for);
            let mut others = self.models.values().filter_map(|known| known.composed.as_ref());
            if !is_asked_for && !others.any(|other| other.opened.models().contains(model)) {
                self.unload_with_dependents(model, Unload { forget: false, dependents: true });
            }
        }
    }

    fn composition(&self, name: &str, opened: &OpenedModel) -> Composition {
        let Some(plan) = opened.ensemble() else { return Composition::Ready(Vec::new()) };
        let composition = composition(name, plan, |model| self.dependency(model));
        let Composition::Ready(found) = &composition else { return composition };
        let versions: Vec<_> = self.steps(found).into_iter().map(|(_, version)| version).collect();
        match check_fit(name, plan, &versions) {
            Ok(()) => composition,
            Err(error) => Composition::Broken(error),
        }
    }

    fn dependency(&self, model: &str) -> Option<Dependency> {
        let known = self.models.get(model)?;
        let models = known.composed.iter().flat_map(|composed| composed.opened.models());
        let served = known.life.serving().values();
        let runs_on = served.clone().flat_map(|loaded| loaded.version.models());
        Some(Dependency {
            is_loading: known.life.is_loading(),
            serving: served.map(|loaded| (loaded.version.version, loaded.serial())).collect(),
            failure: known.life.why_not(),
            models: models.map(str::to_owned).collect(),
            runs_on: runs_on.map(str::to_owned).collect(),
        })
    }

    fn steps(&self, found: &[FoundModel]) -> Vec<(Serial, Arc<ModelVersion>)> {
        let version = |found: &FoundModel| {
            let loaded = self.models.get(&found.model)?.life.serving().get(&found.version)?;
            Some((loaded.serial(), Arc::clone(&loaded.version)))
        };
        found.iter().filter_map(version).collect()
    }
}
