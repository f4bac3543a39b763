//! The stage that the server is at, and what all its endpoints share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use nerite_core::Registry;
use tokio::sync::watch;

use crate::access_log::AccessLog;
use crate::control::Control;
use crate::frontend::metrics::Metrics;
use crate::gpus::Gpus;
use crate::inflight::Inflight;
use crate::logging::LogControl;
use crate::readiness::Readiness;
use crate::reclaim::Reclaim;
use crate::request_trace::Tracer;
use crate::settings::MetricsConfig;

/// What every endpoint sees of the server.
pub(crate) struct Serving {
    /// The server's name, for metadata.
    pub id: String,
    /// When it was started, by the clock that never goes back and by that on the wall.
    pub started: (Instant, SystemTime),
    /// The models.
    pub registry: Arc<Registry>,
    /// What is in flight.
    pub inflight: Arc<Inflight>,
    /// What clients may have done to the models, if anything.
    pub control: Option<Control>,
    /// The memory that models left behind.
    pub reclaim: Arc<Reclaim>,
    /// The metrics endpoint.
    pub metrics: Metrics,
    /// What the GPUs are at, if anybody is to know.
    pub gpus: Gpus,
    /// Traces of single requests.
    pub tracer: Tracer,
    /// What its readiness depends on.
    pub readiness: Readiness,
    /// The log of the process, if it can be changed.
    pub log: Option<Arc<LogControl>>,
    /// The log of inference requests, if there is one.
    pub access_log: Option<Arc<AccessLog>>,
    stage: watch::Sender<Stage>,
    exiting: AtomicBool,
}

/// How far the server is.
///
/// ```text
/// Starting ──► Running ──► Exiting
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The models that it starts with are being loaded.
    Starting,
    /// It serves.
    Running,
    /// It finishes what it has begun and takes nothing new.
    Exiting,
}

impl Serving {
    /// A server that has just started.
    pub(crate) fn new(id: String, registry: Arc<Registry>, inflight: Arc<Inflight>) -> Serving {
        let stage = watch::Sender::new(Stage::Starting);
        Serving {
            id,
            started: (Instant::now(), SystemTime::now()),
            registry,
            inflight,
            control: None,
            reclaim: Arc::default(),
            metrics: Metrics::new(MetricsConfig::default()),
            gpus: Gpus::default(),
            tracer: Tracer::default(),
            readiness: Readiness::Strict,
            log: None,
            access_log: None,
            stage,
            exiting: AtomicBool::new(false),
        }
    }

    /// Goes on to another stage; exiting is final.
    pub(crate) fn enter(&self, stage: Stage) {
        self.exiting.fetch_or(stage == Stage::Exiting, Ordering::Release);
        self.stage.send_if_modified(|now| {
            let change = *now != Stage::Exiting && *now != stage;
            if change {
                *now = stage;
            }
            change
        });
    }

    /// How far the server is.
    pub(crate) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Whether it is ready: it serves, and the models that this depends on are as they should be. Where some are named, the
    /// others need not even have been loaded.
    pub(crate) fn is_ready(&self) -> bool {
        let serves = match self.stage() {
            Stage::Starting => self.readiness.is_of_some_models(),
            Stage::Running => true,
            Stage::Exiting => false,
        };
        serves && self.readiness.is_met(&self.registry)
    }

    /// Whether nothing new is taken; asked by every request.
    pub(crate) fn is_exiting(&self) -> bool {
        self.exiting.load(Ordering::Acquire)
    }

    /// Tells of every change of the stage.
    pub(crate) fn watch(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_exits_does_not_become_ready_again() {
        let serving = Serving::new("test".into(), Arc::default(), Arc::default());
        let watch = serving.watch();
        serving.enter(Stage::Exiting);
        serving.enter(Stage::Running);
        assert_eq!(serving.stage(), Stage::Exiting);
        assert!(serving.is_exiting() && !serving.is_ready() && watch.has_changed().unwrap());
    }
}
