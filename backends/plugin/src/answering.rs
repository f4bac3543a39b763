//! How one request is answered, by whatever the plugin has of it: the request, responses, response factories.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use nerite_backend::{BackendError, Code, Phases, Request as Asked, Responder, Response, Slots};
use parking_lot::Mutex;

use crate::instance::ModelInstance;
use crate::misuse;

/// The answering of one request.
pub(crate) struct Answering {
    /// The instance that was given it.
    pub(crate) instance: Arc<ModelInstance>,
    /// The outputs that the caller asked for.
    pub(crate) wanted: Slots,
    /// The number of its batch.
    batch: u32,
    stage: Mutex<Stage>,
}

/// How far the answering has come.
enum Stage {
    /// Responses may follow.
    Open(Responder),
    /// An ordinary model has given its response, and did not say that it was the last.
    Answered,
    /// No response may follow.
    Over,
}

impl Answering {
    /// That of a request that this instance is given.
    pub(crate) fn of(request: &Asked, instance: &Arc<ModelInstance>) -> Answering {
        Answering {
            instance: Arc::clone(instance),
            wanted: request.wanted().clone(),
            batch: instance.tally.batch(),
            stage: Mutex::new(Stage::Open(request.responder())),
        }
    }

    /// Sends a response. All responses go through here. It may wait for a caller who takes those of a decoupled model
    /// slowly.
    ///
    /// That nobody waits for it any more is no error. That the request was answered already is.
    pub(crate) fn send(&self, response: Response, last: bool) -> Result<(), BackendError> {
        let last = last || !self.is_decoupled();
        let responder = {
            let mut stage = self.stage.lock();
            let Stage::Open(responder) = &*stage else { return Err(self.answered_twice(&stage)) };
            let responder = responder.clone();
            if last {
                *stage = if response.last { Stage::Over } else { Stage::Answered };
            }
            responder
        };
        self.instance.tally.count(self.batch, response.error.as_ref(), last);
        if let Some(error) = response.error.as_ref().filter(|_| last) {
            // It was executed, whenever the plugin reports that: the failure is not taken for a refusal.
            let now = Instant::now();
            let phases = Phases { start: now, input_end: now, infer_end: now, end: now };
            responder.exchange().report(&phases, Err(error));
        }
        // Where nobody waits for it there is nobody to tell.
        drop(responder.send_within(Response { last, ..response }, Responder::PATIENCE));
        Ok(())
    }

    /// Says that no response follows.
    pub(crate) fn end(&self) -> Result<(), BackendError> {
        let open = {
            let mut stage = self.stage.lock();
            match &*stage {
                Stage::Over => return Err(self.answered_twice(&stage)),
                Stage::Answered => {
                    *stage = Stage::Over;
                    return Ok(());
                }
                Stage::Open(_) => self.is_decoupled(),
            }
        };
        if open {
            return self.send(Response::end(), true);
        }
        self.send(
            Response::error(BackendError::internal("the model ended the request without a response to it")),
            true,
        )
    }

    /// Answers with an error what is not answered yet.
    pub(crate) fn fail(&self, error: BackendError) {
        if matches!(&*self.stage.lock(), Stage::Open(_)) {
            drop(self.send(Response::error(error), true));
        }
    }

    /// Whether nobody waits for a response.
    pub(crate) fn is_cancelled(&self) -> bool {
        match &*self.stage.lock() {
            Stage::Open(responder) => responder.exchange().cancel().is_cancelled(),
            Stage::Answered | Stage::Over => false,
        }
    }

    fn is_decoupled(&self) -> bool {
        self.instance.model.tensors().decoupled
    }

    fn answered_twice(&self, stage: &Stage) -> BackendError {
        let model = &self.instance.model;
        let what = match stage {
            Stage::Over if self.is_decoupled() => {
                "a response was sent after the one that was flagged as the last"
            }
            _ => "a second response was sent to a request of a model that is not decoupled",
        };
        misuse::note(
            Some(model.backend.name()),
            "second answer",
            &format_args!("model '{}': {what}", model.name()),
        );
        BackendError::new(
            Code::AlreadyExists,
            format!("{what}; set model_transaction_policy.decoupled for models that send several"),
        )
    }
}

/// How the requests of a batch fared that were answered while it was executed.
#[derive(Default)]
pub(crate) struct Tally {
    /// The number of the batch.
    batch: AtomicU32,
    broken: AtomicU32,
    sound: AtomicU32,
    /// Whether the backend said that its process is gone.
    gone: AtomicBool,
}

/// What Triton's Python backend says of an instance whose process has ended: `Stub process 'm_0_0' is not healthy.` It
/// has no entry point to ask, and takes a second over each batch until the instance is made anew.
const PROCESS_IS_GONE: [&str; 2] = ["Stub process", "is not healthy"];

impl Tally {
    /// A batch begins.
    pub(crate) fn begin(&self) {
        self.batch.fetch_add(1, Ordering::Relaxed);
        self.broken.store(0, Ordering::Relaxed);
        self.sound.store(0, Ordering::Relaxed);
        self.gone.store(false, Ordering::Relaxed);
    }

    fn batch(&self) -> u32 {
        self.batch.load(Ordering::Relaxed)
    }

    /// A request of that batch gets a response. Those of batches before it tell nothing of how it fared.
    fn count(&self, batch: u32, error: Option<&BackendError>, last: bool) {
        if batch != self.batch() {
            return;
        }
        let is_broken = error
            .is_some_and(|error| matches!(error.code, Code::Internal | Code::Unavailable | Code::Unknown));
        if !is_broken {
            self.sound.fetch_add(1, Ordering::Relaxed);
        } else if last {
            self.broken.fetch_add(1, Ordering::Relaxed);
        }
        if error.is_some_and(|error| PROCESS_IS_GONE.iter().all(|words| error.message.contains(words))) {
            self.gone.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a request failed in a way that may mean that the instance is broken.
    pub(crate) fn has_failures(&self) -> bool {
        self.broken.load(Ordering::Relaxed) > 0
    }

    /// Whether the backend said that the instance's process is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Whether so many requests, all there were, failed in a way that may mean that the instance is broken.
    pub(crate) fn is_broken(&self, requests: u32) -> bool {
        self.sound.load(Ordering::Relaxed) == 0 && self.broken.load(Ordering::Relaxed) >= requests
    }
}
