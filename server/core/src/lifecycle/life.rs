//! The life of one model, decided. Knows no thread, no clock and no engine.

use std::collections::BTreeMap;
use std::mem;

use nerite_backend::Cancel;

use super::Source;
use crate::model::{LoadError, LoadPlan, OpenError};
use crate::registry::{PublicState, Status, UNLOADED};
use crate::repository::Digest;

/// Numbers what was loaded, over all models: no two loads have the same.
pub(super) type Serial = u64;

/// What a version was loaded from; of the same files and with the same plan, nothing of it has to be loaded again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Provenance {
    /// The files of the version.
    pub(super) files: Digest,
    /// The files of the model outside of its versions.
    pub(super) shared: Digest,
    /// What its configuration says of loading.
    pub(super) plan: LoadPlan,
    /// Whether the configuration was given in place of the directory's own.
    pub(super) overridden: bool,
    /// What each step of an ensemble runs on.
    pub(super) steps: Vec<Serial>,
}

/// A loaded version, as far as its model's life is concerned.
pub(super) trait Loaded: Clone {
    /// Its number among all that was loaded.
    fn serial(&self) -> Serial;
    /// What it was loaded from.
    fn provenance(&self) -> &Provenance;
    /// Whether it can be counted on. One that has lost instances, or has some that do not come back, is not to be kept, nor
    /// anything of it used again.
    fn is_sound(&self) -> bool;
}

/// The life of a model: what is served of it, what is being loaded to be served next, and what became of the rest.
///
/// ```text
///              want                 opened              all loaded
///   (anything) ────▶ attempt: opening ────▶ loading ──────────────▶ serving, in the place of what was
///                         │                    │ one failed
///                         └──── failed ────────┴──────────────────▶ serving what was, with the reason
///
///   serving ── replaced, or unload ──▶ draining ── its last request released ──▶ unloaded
/// ```
pub(super) struct ModelLife<V> {
    /// What is served, by version.
    serving: BTreeMap<u64, V>,
    /// What that was loaded from.
    origin: Option<Source>,
    attempt: Option<Attempt<V>>,
    /// The versions that have been replaced or unloaded and are not gone yet.
    draining: BTreeMap<Serial, u64>,
    /// What became of a version at the last attempt or unload, if it did not come to serve.
    ended: BTreeMap<u64, Ended>,
    /// Why the last attempt never came to versions.
    failure: Option<OpenError>,
}

/// A load that is under way.
struct Attempt<V> {
    serial: Serial,
    source: Source,
    cancel: Cancel,
    /// None while the configuration is being read.
    versions: Option<BTreeMap<u64, Progress<V>>>,
}

/// How far a version is that is being loaded.
enum Progress<V> {
    Loading,
    /// It could serve, and waits for the model's other versions.
    Loaded(V),
    Failed(LoadError),
}

/// Why a version is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    Unloaded,
    Failed(LoadError),
    /// It could serve, had not that version failed.
    Withdrawn {
        failed: u64,
    },
}

/// What follows from the wish for a model.
#[derive(Debug)]
pub(super) enum Want {
    /// Nothing: it is served already.
    Served,
    /// Its load is under way already.
    Joined,
    /// A load, in the place of any that was under way.
    Begun(Cancel),
}

/// How a version of an opened model comes to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Provision<V> {
    /// It is, and nothing of it has changed.
    Keep(V),
    /// Its files are those of this one, whose weights can be used.
    Reuse(V),
    /// It is to be loaded, perhaps in the place of this one.
    Load(Option<V>),
}

/// What follows from the end of a step of a load.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn<V> {
    /// Nothing: the load had been given up.
    Stale,
    /// The others are waited for.
    Wait,
    /// All is served; these are no longer.
    Served {
        /// The versions that came to be served, in rising order.
        fresh: Vec<u64>,
        /// What is to be let go of.
        retired: Vec<V>,
    },
    /// What was served goes on being served; these versions failed.
    Failed(Vec<(u64, LoadError)>),
}

impl<V> Default for ModelLife<V> {
    fn default() -> ModelLife<V> {
        ModelLife {
            serving: BTreeMap::new(),
            origin: None,
            attempt: None,
            draining: BTreeMap::new(),
            ended: BTreeMap::new(),
            failure: None,
        }
    }
}

impl<V: Loaded> ModelLife<V> {
    /// What is served, by version.
    pub(super) fn serving(&self) -> &BTreeMap<u64, V> {
        &self.serving
    }

    /// Why the last attempt never came to versions.
    pub(super) fn failure(&self) -> Option<&OpenError> {
        self.failure.as_ref()
    }

    /// Where the model is loaded from by the load of that number, and what ends it, unless it had been given up.
    pub(super) fn under_way(&self, serial: Serial) -> Option<(Source, Cancel)> {
        let attempt = self.attempt.as_ref().filter(|attempt| attempt.serial == serial)?;
        Some((attempt.source.clone(), attempt.cancel.clone()))
    }

    /// Whether a load is under way.
    pub(super) fn is_loading(&self) -> bool {
        self.attempt.is_some()
    }

    /// Whether it is served with another configuration than its directory's, or from files that a client gave.
    pub(super) fn is_overridden(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.config.is_some() || origin.keep.is_some())
    }

    /// Why nothing is served, if the last load failed.
    pub(super) fn why_not(&self) -> Option<String> {
        let of_version = |(version, ended): (&u64, &Ended)| match ended {
            Ended::Failed(error) => Some(format!("version {version} is at UNAVAILABLE state: {error};")),
            Ended::Unloaded | Ended::Withdrawn { .. } => None,
        };
        let of_model = self.failure.as_ref().map(ToString::to_string);
        of_model.or_else(|| self.ended.iter().find_map(of_version))
    }

    /// Whether its configuration is still to be read, so that nothing is known of its versions.
    pub(super) fn is_opening(&self) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| attempt.versions.is_none())
    }

    /// Whether nothing is served, loaded or let go of.
    pub(super) fn is_over(&self) -> bool {
        self.serving.is_empty() && self.attempt.is_none() && self.draining.is_empty()
    }

    /// The model is to be served from there. `serial` is the number of the load, if there is to be one.
    pub(super) fn want(&mut self, source: Source, serial: Serial) -> Want {
        match &self.attempt {
            Some(attempt) if attempt.source.is_same(&source) => return Want::Joined,
            Some(_) => {}
            None => {
                let is_sound = self.failure.is_none()
                    && !self.has_failed()
                    && self.serving.values().all(Loaded::is_sound);
                let origin = self.origin.as_ref().filter(|_| is_sound);
                if origin.is_some_and(|origin| origin.is_same(&source)) {
                    return Want::Served;
                }
            }
        }
        Want::Begun(self.begin(source, serial))
    }

    /// A load in the place of any that was under way, whether there is anything new to be loaded or not. What ends it.
    pub(super) fn begin(&mut self, source: Source, serial: Serial) -> Cancel {
        self.give_up();
        let cancel = Cancel::default();
        self.attempt = Some(Attempt { serial, source, cancel: cancel.clone(), versions: None });
        cancel
    }

    /// From now on, what is served is not known to be what is there.
    pub(super) fn forget_origin(&mut self) {
        self.origin = None;
    }

    /// It cannot be served any more, for that reason. What is to be let go of.
    pub(super) fn lose(&mut self, error: OpenError) -> Vec<V> {
        let retired = self.unload();
        self.refuse(error);
        retired
    }

    /// What there is cannot be loaded, for that reason. What is served goes on being served.
    pub(super) fn refuse(&mut self, error: OpenError) {
        self.give_up();
        self.failure = Some(error);
        if self.serving.is_empty() {
            // The reason is the model's, and not hidden behind what became of its versions before.
            self.ended.clear();
        }
    }

    /// The configuration was read: how each of these versions comes to be served, for each what is on disk of it.
    /// None if the load had been given up.
    pub(super) fn opened(
        &mut self,
        serial: Serial,
        versions: impl Iterator<Item = (u64, Provenance)>,
    ) -> Option<Vec<(u64, Provision<V>)>> {
        let attempt = self.attempt.as_mut().filter(|attempt| attempt.serial == serial)?;
        let serving = &self.serving;
        let provisions: Vec<_> =
            versions.map(|(version, wanted)| (version, provision(serving.get(&version), &wanted))).collect();
        let progress = provisions.iter().map(|(version, provision)| match provision {
            Provision::Keep(loaded) => (*version, Progress::Loaded(loaded.clone())),
            Provision::Reuse(_) | Provision::Load(_) => (*version, Progress::Loading),
        });
        attempt.versions = Some(progress.collect());
        Some(provisions)
    }

    /// The configuration could not be read. Whether anybody is still interested.
    pub(super) fn failed_to_open(&mut self, serial: Serial, error: OpenError) -> bool {
        let current = self.attempt.as_ref().is_some_and(|attempt| attempt.serial == serial);
        if current {
            self.refuse(error);
        }
        current
    }

    /// A version was loaded, or could not be.
    pub(super) fn loaded(&mut self, serial: Serial, version: u64, outcome: Result<V, LoadError>) -> Turn<V> {
        let attempt = self.attempt.as_mut().filter(|attempt| attempt.serial == serial);
        let Some(versions) = attempt.and_then(|attempt| attempt.versions.as_mut()) else {
            return Turn::Stale;
        };
        let progress = match outcome {
            Ok(loaded) => Progress::Loaded(loaded),
            Err(error) => Progress::Failed(error),
        };
        versions.insert(version, progress);
        self.settle()
    }

    /// Ends the load that is under way if every version of it has come to an end.
    pub(super) fn settle(&mut self) -> Turn<V> {
        let versions = self.attempt.as_ref().and_then(|attempt| attempt.versions.as_ref());
        let is_loading = |progress: &Progress<V>| matches!(progress, Progress::Loading);
        if versions.is_none_or(|versions| versions.values().any(is_loading)) {
            return Turn::Wait;
        }
        let Some(Attempt { source, versions: Some(versions), .. }) = self.attempt.take() else {
            return Turn::Stale;
        };
        self.failure = None;
        let failed = versions.iter().find(|(_, progress)| matches!(progress, Progress::Failed(_)));
        match failed.map(|(&version, _)| version) {
            Some(failed) => Turn::Failed(self.fail(versions, failed)),
            None => self.serve(source, versions),
        }
    }

    /// Nothing of it is to be served any more. What is to be let go of.
    pub(super) fn unload(&mut self) -> Vec<V> {
        let loading = self.attempt.iter().flat_map(|attempt| attempt.versions.iter().flatten());
        self.ended.extend(loading.map(|(&version, _)| (version, Ended::Unloaded)));
        self.give_up();
        self.failure = None;
        self.origin = None;
        self.ended.values_mut().for_each(|ended| *ended = Ended::Unloaded);
        let retired = mem::take(&mut self.serving);
        self.ended.extend(retired.keys().map(|&version| (version, Ended::Unloaded)));
        self.drain(retired.into_iter().collect())
    }

    /// What had that number is gone, with everything that it held. Its version, if it ever served.
    pub(super) fn gone(&mut self, serial: Serial) -> Option<u64> {
        self.draining.remove(&serial)
    }

    /// What became of each version, as users see it.
    pub(super) fn statuses(&self) -> BTreeMap<u64, Status> {
        let loading = self.attempt.iter().flat_map(|attempt| attempt.versions.iter().flatten());
        let draining = self.draining.values().map(|&version| (version, PublicState::Unloading));
        // What is named last of a version counts.
        let mut statuses: BTreeMap<u64, Status> =
            self.ended.iter().map(|(&version, ended)| (version, ended.status())).collect();
        statuses.extend(draining.map(|(version, state)| (version, plain(state))));
        statuses.extend(loading.map(|(&version, _)| (version, plain(PublicState::Loading))));
        statuses.extend(self.serving.keys().map(|&version| (version, self.status_of_served(version))));
        statuses
    }

    fn status_of_served(&self, version: u64) -> Status {
        let error = match (&self.failure, self.ended.get(&version)) {
            (Some(error), _) => Some(error.to_string()),
            (None, Some(Ended::Failed(error))) => Some(error.to_string()),
            (None, _) => None,
        };
        let reason =
            error.map(|error| format!("what was loaded before is served, since a reload failed: {error}"));
        Status { state: PublicState::Ready, reason: reason.unwrap_or_default() }
    }

    fn has_failed(&self) -> bool {
        self.ended.values().any(|ended| matches!(ended, Ended::Failed(_)))
    }

    /// Nobody wants what is being loaded any more.
    pub(super) fn give_up(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            attempt.cancel.cancel();
        }
    }

    fn serve(&mut self, source: Source, versions: BTreeMap<u64, Progress<V>>) -> Turn<V> {
        let loaded = versions.into_iter().filter_map(|(version, progress)| match progress {
            Progress::Loaded(loaded) => Some((version, loaded)),
            Progress::Loading | Progress::Failed(_) => None,
        });
        let before = mem::replace(&mut self.serving, loaded.collect());
        let is_kept = |version: &u64, old: &V| {
            self.serving.get(version).is_some_and(|new| new.serial() == old.serial())
        };
        let fresh = self
            .serving
            .iter()
            .filter(|(version, new)| before.get(version).is_none_or(|old| old.serial() != new.serial()));
        let fresh = fresh.map(|(&version, _)| version).collect();
        let (_kept, retired): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|(version, old)| is_kept(version, old));
        // What is neither there nor was until now need not be remembered.
        self.ended.retain(|version, _| source.directory.versions.contains(version));
        self.ended.values_mut().for_each(|ended| *ended = Ended::Unloaded);
        self.ended.extend(retired.iter().map(|&(version, _)| (version, Ended::Unloaded)));
        self.ended.retain(|version, _| !self.serving.contains_key(version));
        // Who was loaded from other files than those that were seen is not served already when these are wanted.
        let seen = &source.directory.fingerprint.versions;
        let as_seen = |(version, loaded): (&u64, &V)| {
            seen.get(version).is_none_or(|files| *files == loaded.provenance().files)
        };
        self.origin = self.serving.iter().all(as_seen).then_some(source);
        Turn::Served { fresh, retired: self.drain(retired) }
    }

    /// What was loaded is let go of, for it may hold a lot of memory.
    fn fail(&mut self, versions: BTreeMap<u64, Progress<V>>, failed: u64) -> Vec<(u64, LoadError)> {
        let mut errors = Vec::new();
        for (version, progress) in versions {
            let ended = match progress {
                Progress::Failed(error) => {
                    errors.push((version, error.clone()));
                    Ended::Failed(error)
                }
                Progress::Loaded(_) | Progress::Loading if self.serving.contains_key(&version) => continue,
                Progress::Loaded(_) | Progress::Loading => Ended::Withdrawn { failed },
            };
            self.ended.insert(version, ended);
        }
        errors
    }

    fn drain(&mut self, retired: Vec<(u64, V)>) -> Vec<V> {
        self.draining.extend(retired.iter().map(|(version, old)| (old.serial(), *version)));
        retired.into_iter().map(|(_, old)| old).collect()
    }
}

fn provision<V: Loaded>(served: Option<&V>, wanted: &Provenance) -> Provision<V> {
    let Some(served) = served else { return Provision::Load(None) };
    if !served.is_sound() {
        return Provision::Load(Some(served.clone()));
    }
    let from = served.provenance();
    if from == wanted && !wanted.overridden {
        return Provision::Keep(served.clone());
    }
    if from.files == wanted.files && from.plan.loads_like(&wanted.plan) {
        return Provision::Reuse(served.clone());
    }
    Provision::Load(Some(served.clone()))
}

fn plain(state: PublicState) -> Status {
    Status { state, reason: String::new() }
}

impl Ended {
    fn status(&self) -> Status {
        let reason = match self {
            Ended::Unloaded => UNLOADED.to_owned(),
            Ended::Failed(error) => error.to_string(),
            Ended::Withdrawn { failed } => format!("unloaded: version {failed} could not be loaded"),
        };
        Status { state: PublicState::Unavailable, reason }
    }
}
