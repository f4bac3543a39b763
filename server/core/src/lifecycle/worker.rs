mod ensembles;

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::composition::Composition;
use super::event::{Event, Listener, Report, Wanted};
use super::job::{Job, LoadJob, OpenJob, Outcome, TrackedVersion};
use super::life::{Loaded, ModelLife, Provenance, Provision, Serial, Turn, Want};
use super::slots::{SlotId, Slots};
use super::{LoadFailure, Loader, ManagerOptions, OpenedModel};
use crate::execution::OnGone;
use crate::model::OpenError;
use crate::registry::{ModelEntry, Registry};
use crate::repository::Found;
use crate::sync::{mpsc, thread};
use crate::version::ModelVersion;

/// How long a load rests whose files were found to be changing.
const REST: Duration = Duration::from_millis(500);

/// Why a load is given up.
pub(super) const EXITING: &str = "the server is exiting";
const UNWANTED: &str = "it is to be unloaded";

/// The one owner of every model's life. It decides by [`ModelLife`], publishes each change to the registry, and leaves
/// what blocks to other threads.
pub(super) struct Worker {
    loader: Arc<Loader>,
    registry: Arc<Registry>,
    options: ManagerOptions,
    events: mpsc::Sender<Event>,
    models: BTreeMap<String, Known>,
    slots: Slots<Job>,
    /// The threads that load, by the job that each does, with what that is.
    busy: BTreeMap<SlotId, (LoadThread, String)>,
    /// Those without a job, for a moment.
    idle: Vec<LoadThread>,
    next: Serial,
    /// Nothing is loaded any more.
    exiting: bool,
    /// Who waits for everything to be gone.
    shut_down: Vec<oneshot::Sender<()>>,
}

/// Where a thread that loads takes its next job from; it ends when this is dropped.
type LoadThread = mpsc::Sender<(SlotId, Job)>;

/// A model that is known.
#[derive(Default)]
struct Known {
    life: ModelLife<TrackedVersion>,
    /// Who waits for the load that is under way.
    listeners: Vec<Listener>,
    /// Set if it is an ensemble that is wanted, once its configuration has been read.
    composed: Option<Composed>,
    /// Whether it was asked for, and not only an ensemble that it is part of.
    is_asked_for: bool,
    /// It is not to be known any more once it is gone.
    forget: bool,
    /// What is not served any more and not gone yet.
    draining: BTreeMap<Serial, Weak<ModelVersion>>,
}

/// An ensemble that is wanted.
struct Composed {
    opened: Arc<OpenedModel>,
    /// The load that waits for its models.
    waiting: Option<Serial>,
    /// What was made of its models the last time.
    tried: Option<Composition>,
}

impl Worker {
    pub(super) fn new(
        loader: Arc<Loader>,
        registry: Arc<Registry>,
        options: ManagerOptions,
        events: mpsc::Sender<Event>,
    ) -> Worker {
        Worker {
            slots: Slots::new(options.load_threads, options.patience),
            loader,
            registry,
            options,
            events,
            models: BTreeMap::new(),
            busy: BTreeMap::new(),
            idle: Vec::new(),
            next: 0,
            exiting: false,
            shut_down: Vec::new(),
        }
    }

    /// Handles events until nobody can send any more.
    pub(super) fn run(mut self, inbox: &mpsc::Receiver<Event>) {
        self.run_until_shut_down(inbox);
        // Its own sender goes, and what comes now is dropped: whoever waits hears that nobody is there.
        drop(self);
        inbox.iter().for_each(drop);
    }

    fn run_until_shut_down(&mut self, inbox: &mpsc::Receiver<Event>) {
        loop {
            let now = Instant::now();
            let event = match self.slots.look_again(now) {
                // The only end of it is that time is up, since this thread has a sender itself.
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(now)).ok(),
                None => inbox.recv().ok(),
            };
            if let Some(event) = event
                && self.handle(event).is_break()
            {
                return;
            }
            self.tell_of_overdue_jobs();
            self.start_jobs();
        }
    }

    /// Whoever looks for the reason why a model is not there finds what may hang.
    fn tell_of_overdue_jobs(&mut self) {
        for slot in self.slots.newly_overdue(Instant::now()) {
            let Some((_, what)) = self.busy.get(&slot) else { continue };
            tracing::warn!(
                "{what} takes longer than {} s and may hang: it keeps no others waiting any more; an unload gives it up",
                self.options.patience.as_secs()
            );
        }
    }

    fn handle(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Want { models, listener } => self.ask_for(models, &listener),
            Event::Unload { name, terms, done } => {
                self.unload_with_dependents(&name, terms);
                done.map(|done| done.send(()));
            }
            Event::Done { slot, outcome } => {
                self.slots.free(slot);
                self.idle.extend(self.busy.remove(&slot).map(|(thread, _)| thread));
                self.job_done(*outcome);
            }
            Event::Gone { name, serial } => self.gone(&name, serial),
            Event::StopLoading => self.stop_loading(),
            Event::ShutDown { done } => self.begin_shut_down(done),
        }
        if self.shut_down.is_empty() || !self.models.values().all(|model| model.life.is_over()) {
            return ControlFlow::Continue(());
        }
        for done in self.shut_down.drain(..) {
            // Who waits may have given up.
            let _ = done.send(());
        }
        ControlFlow::Break(())
    }

    fn ask_for(&mut self, models: Vec<Wanted>, listener: &Listener) {
        if self.exiting {
            // Without a report, the listener hears that the server is exiting.
            return;
        }
        let names: Vec<String> = models.iter().map(|(name, _)| name.clone()).collect();
        self.want(models, listener);
        for name in names {
            if let Some(model) = self.models.get_mut(&name) {
                model.is_asked_for = true;
            }
        }
    }

    fn want(&mut self, models: Vec<Wanted>, listener: &Listener) {
        self.registry.announce(models.iter().map(|(name, _)| name.as_str()));
        for (name, source) in models {
            self.next += 1;
            let load = self.next;
            let model = self.models.entry(name.clone()).or_default();
            model.forget = false;
            // Whoever gave up waiting must not be remembered for as long as a load hangs.
            model.listeners.retain(|listener| !listener.is_closed());
            model.listeners.push(listener.clone());
            if model.composed.is_some() && !self.options.repositories.is_empty() {
                // What it consists of may have changed.
                model.life.forget_origin();
            }
            match source.map(|source| (model.life.want(source.clone(), load), source)) {
                Ok((Want::Begun(cancel), source)) => {
                    let repositories = Arc::clone(&self.options.repositories);
                    let job = OpenJob { name: name.clone(), load, source, cancel, repositories };
                    self.slots.push(Job::Open(Box::new(job)));
                }
                Ok((Want::Joined, _)) => {}
                Ok((Want::Served, _)) => model.report(&name, &[]),
                Err(error) => {
                    model.life.refuse(error.clone());
                    self.failed_to_open(&name, error);
                    continue;
                }
            }
            self.publish(&name);
        }
        self.slots.drop_jobs(Job::is_cancelled);
    }

    fn unload(&mut self, name: &str, forget: bool, reason: &'static str) {
        let Some(model) = self.models.get_mut(name) else { return };
        model.forget = forget;
        model.composed = None;
        model.is_asked_for = false;
        let retired = model.life.unload();
        self.abandon(name, reason);
        self.slots.drop_jobs(Job::is_cancelled);
        self.retire(name, retired);
        self.forget_if_over(name);
        self.reconsider_dependents(name);
    }

    fn job_done(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Skipped => {}
            Outcome::Changed { name, load } => self.changed(name, load),
            Outcome::Opened { name, load, outcome: Ok(opened), found } => {
                self.opened(&name, load, opened, found);
            }
            Outcome::Opened { name, load, outcome: Err(error), .. } => {
                if let Some(model) = self.models.get_mut(&name)
                    && model.life.failed_to_open(load, error.clone())
                {
                    self.failed_to_open(&name, error);
                }
            }
            Outcome::Loaded { name, load, version, outcome } => {
                if let Some(model) = self.models.get_mut(&name) {
                    let turn = model.life.loaded(load, version, outcome.map(|loaded| *loaded));
                    self.turn(&name, turn);
                }
            }
        }
    }

    /// Whoever follows the files tells of the change when it is over, which ends this load; unless all is then as it was,
    /// so that there is nothing to tell.
    fn changed(&mut self, name: String, load: Serial) {
        let Some(model) = self.models.get(&name) else { return };
        let Some((source, cancel)) = model.life.under_way(load) else { return };
        tracing::info!("'{name}' changes before it has been loaded; it is loaded when its files are at rest");
        let repositories = Arc::clone(&self.options.repositories);
        let job = OpenJob { name, load, source, cancel, repositories };
        self.slots.push_later(Instant::now() + REST, Job::Open(Box::new(job)));
    }

    fn opened(&mut self, name: &str, load: Serial, opened: Arc<OpenedModel>, found: Vec<(String, Found)>) {
        let Some(model) = self.models.get_mut(name) else { return };
        if model.life.under_way(load).is_none() {
            return;
        }
        if opened.ensemble().is_none() {
            model.composed = None;
            return self.load(name, load, &opened, &[]);
        }
        model.composed = Some(Composed { opened, waiting: Some(load), tried: None });
        self.want_models(found);
        self.compose(name);
    }

    /// Begins the loads of the versions of an opened model; `steps`: the models of an ensemble.
    fn load(
        &mut self,
        name: &str,
        load: Serial,
        opened: &Arc<OpenedModel>,
        steps: &[(Serial, Arc<ModelVersion>)],
    ) {
        let Some(model) = self.models.get_mut(name) else { return };
        let Some((_, cancel)) = model.life.under_way(load) else { return };
        let serials: Vec<Serial> = steps.iter().map(|&(serial, _)| serial).collect();
        let wanted = |version| Provenance { steps: serials.clone(), ..opened.provenance(version) };
        let versions = opened.versions.iter().map(|&version| (version, wanted(version)));
        let Some(provisions) = model.life.opened(load, versions) else { return };
        for (version, provision) in provisions {
            let (weights, predecessor) = match provision {
                Provision::Keep(_) => continue,
                Provision::Reuse(other) => (other.version.engine_model(), Some(other)),
                Provision::Load(other) => (None, other),
            };
            self.next += 1;
            let serial = self.next;
            let (events, gone) = (self.events.clone(), name.to_owned());
            let after_unload = self.options.after_unload.clone();
            self.slots.push(Job::Load(Box::new(LoadJob {
                load,
                model: Arc::clone(opened),
                version,
                weights,
                account: predecessor.map(|other| other.version.account()),
                steps: steps.to_vec(),
                registry: Arc::downgrade(&self.registry),
                serial,
                retries: self.options.load_retries,
                cancel: cancel.clone(),
                on_gone: OnGone::new(move || {
                    after_unload.iter().for_each(|after_unload| after_unload());
                    // Where there is no worker any more, nobody needs to know.
                    let _ = events.send(Event::Gone { name: gone, serial });
                }),
            })));
        }
        let turn = model.life.settle();
        self.turn(name, turn);
    }

    /// Does what follows from the end of a step of a load.
    fn turn(&mut self, name: &str, turn: Turn<TrackedVersion>) {
        let Some(model) = self.models.get_mut(name) else { return };
        match turn {
            Turn::Stale => {}
            Turn::Wait => self.publish(name),
            Turn::Served { fresh, retired } => {
                self.registry.loads().count_loaded(fresh.len());
                self.publish(name);
                self.retire(name, retired);
                for version in fresh {
                    tracing::info!("successfully loaded '{name}' version {version}");
                }
                self.report(name, &[]);
                self.load_ended(name);
            }
            Turn::Failed(errors) => {
                errors.iter().for_each(|(_, error)| self.registry.loads().count_failed(error.code));
                let failure =
                    |(version, error)| LoadFailure::Version { model: name.to_owned(), version, error };
                let failures: Vec<LoadFailure> = errors.into_iter().map(failure).collect();
                failures.iter().for_each(|failure| tracing::error!("{failure}"));
                let kept: Vec<u64> = model.life.serving().keys().copied().collect();
                if !kept.is_empty() {
                    tracing::warn!(
                        "'{name}' goes on being served as it was loaded before: versions {kept:?}"
                    );
                }
                self.publish(name);
                self.report(name, &failures);
                self.load_ended(name);
            }
        }
    }

    /// Lets go of what nobody finds any more; the last to need it is the last to have it.
    fn retire(&mut self, name: &str, retired: Vec<TrackedVersion>) {
        let Some(model) = self.models.get_mut(name) else { return };
        let draining = retired.iter().map(|loaded| (loaded.serial(), Arc::downgrade(&loaded.version)));
        model.draining.extend(draining);
    }

    fn gone(&mut self, name: &str, serial: Serial) {
        let Some(model) = self.models.get_mut(name) else { return };
        model.draining.remove(&serial);
        if let Some(version) = model.life.gone(serial) {
            self.registry.loads().count_unloaded();
            tracing::info!("successfully unloaded '{name}' version {version}");
            self.publish(name);
            self.forget_if_over(name);
        }
    }

    /// Gives up every load, and tells whoever waits for one.
    fn stop_loading(&mut self) {
        self.exiting = true;
        let names: Vec<String> = self.models.keys().cloned().collect();
        for name in names {
            if let Some(model) = self.models.get_mut(&name) {
                model.life.give_up();
            }
            self.abandon(&name, EXITING);
        }
        self.slots.drop_jobs(Job::is_cancelled);
    }

    fn begin_shut_down(&mut self, done: oneshot::Sender<()>) {
        self.exiting = true;
        // All are closed before any is waited for: an engine that hangs holds up no other model's callers.
        for model in self.models.values() {
            model.life.serving().values().for_each(|loaded| loaded.version.close());
            model.draining.values().filter_map(Weak::upgrade).for_each(|version| version.close());
        }
        let names: Vec<String> = self.models.keys().cloned().collect();
        names.iter().for_each(|name| self.unload(name, false, EXITING));
        self.shut_down.push(done);
    }

    fn publish(&self, name: &str) {
        let Some(Known { life, .. }) = self.models.get(name) else { return };
        let ready = life.serving().iter().map(|(&version, loaded)| (version, Arc::clone(&loaded.version)));
        let entry = ModelEntry {
            ready: ready.collect(),
            is_opening: life.is_opening(),
            versions: life.statuses(),
            failure: life.failure().cloned(),
        };
        self.registry.publish(name, entry);
    }

    /// Tells whoever waits for a load that was given up, once the index shows it.
    fn abandon(&mut self, name: &str, reason: &'static str) {
        self.publish(name);
        self.report(name, &[LoadFailure::Abandoned { model: name.to_owned(), reason }]);
    }

    fn failed_to_open(&mut self, name: &str, error: OpenError) {
        self.registry.loads().count_failed(error.code());
        let failure = LoadFailure::Model { model: name.to_owned(), error };
        tracing::error!("{failure}");
        // Whoever is told finds it in the index.
        self.publish(name);
        self.report(name, &[failure]);
        self.load_ended(name);
    }

    fn report(&mut self, name: &str, failures: &[LoadFailure]) {
        if let Some(model) = self.models.get_mut(name) {
            model.report(name, failures);
        }
    }

    fn forget_if_over(&mut self, name: &str) {
        if self.models.get(name).is_some_and(|model| model.forget && model.life.is_over()) {
            self.models.remove(name);
            self.registry.forget(name);
        }
    }

    /// Begins the jobs that may begin now, each on a thread that loads; those without a job end.
    fn start_jobs(&mut self) {
        while let Some((slot, job)) = self.slots.take(Instant::now()) {
            let thread = self.idle.pop().map_or_else(|| self.start_thread(), Ok);
            let what = job.to_string();
            match thread {
                Ok(thread) => {
                    // It takes jobs for as long as it can be given some.
                    let _ = thread.send((slot, job));
                    self.busy.insert(slot, (thread, what));
                }
                Err(error) => {
                    tracing::error!("cannot start a thread to load models with: {error}");
                    // Better that the other models wait than that this one is never loaded.
                    let outcome = Box::new(job.run(&self.loader));
                    let _ = self.events.send(Event::Done { slot, outcome });
                }
            }
        }
        self.idle.clear();
    }

    fn start_thread(&self) -> io::Result<LoadThread> {
        let (jobs, inbox) = mpsc::channel::<(SlotId, Job)>();
        let (loader, events) = (Arc::clone(&self.loader), self.events.clone());
        thread::Builder::new().name("nerite-load".into()).spawn(move || {
            while let Ok((slot, job)) = inbox.recv() {
                let outcome = Box::new(job.run(&loader));
                if events.send(Event::Done { slot, outcome }).is_err() {
                    return;
                }
            }
        })?;
        Ok(jobs)
    }
}

impl Known {
    /// Tells all who wait, once.
    fn report(&mut self, name: &str, failures: &[LoadFailure]) {
        for listener in mem::take(&mut self.listeners) {
            // Who waited may have given up.
            let _ = listener.send(Report { model: name.to_owned(), failures: failures.to_vec() });
        }
    }
}
