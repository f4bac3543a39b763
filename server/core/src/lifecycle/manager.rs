use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::event::{Event, Unload, Wanted};
use super::worker::{EXITING, Worker};
use super::{LoadFailure, Loader, Source};
use crate::model::OpenError;
use crate::registry::Registry;
use crate::repository::Change;
use crate::sync::{mpsc, thread};

/// How the lifecycle is managed.
pub struct ManagerOptions {
    /// How many configurations and versions are loaded at once, besides some that hang.
    pub load_threads: usize,
    /// How often a load that failed is tried again.
    pub load_retries: u32,
    /// How long a load keeps others waiting; one that takes longer may hang.
    pub patience: Duration,
    /// Where the models of an ensemble are looked for when it is wanted and they have not been; nowhere if each model is
    /// wanted by itself.
    pub repositories: Arc<[PathBuf]>,
    /// Called whenever a version is gone that had been loaded, also one that was replaced or came to nothing, on a thread
    /// that may block.
    pub after_unload: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Default for ManagerOptions {
    fn default() -> ManagerOptions {
        ManagerOptions {
            load_threads: 4,
            load_retries: 0,
            patience: Duration::from_secs(30),
            repositories: Arc::default(),
            after_unload: None,
        }
    }
}

/// The handle of the one owner of every model's life, a thread that is told what is to be served and publishes what is.
#[derive(Clone)]
pub struct Manager {
    events: mpsc::Sender<Event>,
}

impl Manager {
    /// A manager of nothing yet.
    pub fn start(
        loader: Arc<Loader>,
        registry: Arc<Registry>,
        options: ManagerOptions,
    ) -> io::Result<Manager> {
        let (events, inbox) = mpsc::channel();
        let worker = Worker::new(loader, registry, options, events.clone());
        thread::Builder::new().name("nerite-manage".into()).spawn(move || worker.run(&inbox))?;
        Ok(Manager { events })
    }

    /// Has these served, from the call on, and resolves to what could not be loaded once that is known of all; dropping
    /// the future gives nothing up. What is served of a model goes on being served until all that is to take its place
    /// can be, and for good if any of that fails.
    ///
    /// A later wish for a model takes the place of one that is not fulfilled, and both resolve with it; an unload or a
    /// shutdown makes it [`LoadFailure::Abandoned`].
    pub fn want(&self, models: Vec<Wanted>) -> impl Future<Output = Vec<LoadFailure>> + Send + 'static {
        let mut open: BTreeSet<String> = models.iter().map(|(name, _)| name.clone()).collect();
        let (listener, mut reports) = tokio::sync::mpsc::unbounded_channel();
        // Without a worker, nothing will be reported.
        let _ = self.events.send(Event::Want { models, listener });
        async move {
            let mut failures = Vec::new();
            while let Some(report) = reports.recv().await {
                open.remove(&report.model);
                failures.extend(report.failures);
            }
            failures.extend(open.into_iter().map(|model| LoadFailure::Abandoned { model, reason: EXITING }));
            failures
        }
    }

    /// Follows what changed in the repositories, and waits for nothing.
    pub fn follow(&self, changes: Vec<Change>) {
        let mut wanted = Vec::new();
        for change in changes {
            match change {
                Change::Present(directory) => {
                    wanted.push((directory.name.clone(), Ok(Source::followed(directory))));
                }
                Change::Refused { name, reason } => wanted.push((name, Err(OpenError::refused(reason)))),
                Change::Absent { name } => {
                    let terms = Unload { forget: true, dependents: false };
                    let _ = self.events.send(Event::Unload { name, terms, done: None });
                }
            }
        }
        if !wanted.is_empty() {
            // What fails is in the log and in the index.
            drop(self.want(wanted));
        }
    }

    /// Has a model served no longer, and resolves when it is not: its last requests may still be executed. Ensembles that
    /// it is part of are not served either until it is served again. `forget`: nor is it known any more once they are.
    pub fn unload(&self, name: &str, forget: bool) -> impl Future<Output = ()> + Send + 'static {
        self.unload_on(name, Unload { forget, dependents: false })
    }

    /// The same, and of an ensemble the models too that were loaded for it alone.
    pub fn unload_with_dependents(&self, name: &str) -> impl Future<Output = ()> + Send + 'static {
        self.unload_on(name, Unload { forget: false, dependents: true })
    }

    fn unload_on(&self, name: &str, terms: Unload) -> impl Future<Output = ()> + Send + 'static {
        let (done, is_done) = oneshot::channel();
        let _ = self.events.send(Event::Unload { name: name.to_owned(), terms, done: Some(done) });
        async move {
            let _ = is_done.await;
        }
    }

    /// Gives up every load that is under way, and loads nothing any more.
    pub fn stop_loading(&self) {
        let _ = self.events.send(Event::StopLoading);
    }

    /// Stops serving: what waits is answered with an error, what is being executed is waited for, models are unloaded.
    pub fn shut_down(&self) -> impl Future<Output = ()> + Send + 'static {
        let (done, is_done) = oneshot::channel();
        let _ = self.events.send(Event::ShutDown { done });
        async move {
            let _ = is_done.await;
        }
    }
}
