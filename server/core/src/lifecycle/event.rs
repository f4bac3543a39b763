use tokio::sync::{mpsc, oneshot};

use super::job::Outcome;
use super::life::Serial;
use super::slots::SlotId;
use super::{LoadFailure, Source};
use crate::model::OpenError;
use crate::repository::Sighting;

/// A model to be served, or why it cannot be.
pub type Wanted = (String, Result<Source, OpenError>);

/// A model that is to be served as it was seen.
pub fn as_seen((name, seen): (String, Sighting)) -> Wanted {
    let source = match seen {
        Sighting::Model(directory) => Ok(Source::from(directory)),
        Sighting::Refused(reason) => Err(OpenError::refused(reason)),
    };
    (name, source)
}

/// What became of one wanted model: every failure, or none.
pub(super) struct Report {
    pub(super) model: String,
    pub(super) failures: Vec<LoadFailure>,
}

/// Who wants to know what becomes of models.
pub(super) type Listener = mpsc::UnboundedSender<Report>;

/// What else is to become of a model that is not to be served any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unload {
    /// It is not to be known any more.
    pub(super) forget: bool,
    /// Nor are the models of an ensemble to be served that were loaded for it alone.
    pub(super) dependents: bool,
}

/// What the worker is told.
pub(super) enum Event {
    /// These are to be served.
    Want { models: Vec<Wanted>, listener: Listener },
    /// This is not to be served any more.
    Unload { name: String, terms: Unload, done: Option<oneshot::Sender<()>> },
    /// A job is done.
    Done { slot: SlotId, outcome: Box<Outcome> },
    /// What was loaded under that number is gone.
    Gone { name: String, serial: Serial },
    /// Nothing is to be loaded any more.
    StopLoading,
    /// Nothing is to be served any more.
    ShutDown { done: oneshot::Sender<()> },
}
