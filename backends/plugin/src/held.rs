//! What a plugin holds of an instance's requests.

use std::fmt;

use nerite_backend::{BackendError, Code};
use nerite_plugin_abi as abi;
use parking_lot::Mutex;
use slab::Slab;

use crate::pointer::Kept;

/// The requests, responses and response factories that an instance's plugin has not given back. They are found here
/// when the instance goes.
pub(crate) struct Held(
    /// Nothing more can be held once it is `None`.
    Mutex<Option<Slab<HeldObject>>>,
);

impl Default for Held {
    fn default() -> Held {
        Held(Mutex::new(Some(Slab::new())))
    }
}

/// One of them.
#[derive(Clone, Copy)]
pub(crate) enum HeldObject {
    /// Not released.
    Request(Kept<abi::Request>),
    /// Neither sent nor deleted.
    Response(Kept<abi::Response>),
    /// Not deleted.
    Factory(Kept<abi::ResponseFactory>),
}

/// How many of each there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) requests: usize,
    pub(crate) responses: usize,
    pub(crate) factories: usize,
}

impl Held {
    /// Adds what `export` makes, which is told the key that it has here.
    pub(crate) fn add<H: Copy>(
        &self,
        export: impl FnOnce(usize) -> Result<H, BackendError>,
        object: impl FnOnce(H) -> HeldObject,
    ) -> Result<H, BackendError> {
        let mut held = self.0.lock();
        let Some(held) = &mut *held else {
            return Err(BackendError::new(Code::Unavailable, "the model's instance was finalised"));
        };
        let place = held.vacant_entry();
        let exported = export(place.key())?;
        place.insert(object(exported));
        Ok(exported)
    }

    /// Takes out what was given back.
    pub(crate) fn remove(&self, key: usize) {
        if let Some(held) = &mut *self.0.lock() {
            held.try_remove(key);
        }
    }

    /// Takes out all that is held; nothing more can be from now on.
    pub(crate) fn close(&self) -> Vec<HeldObject> {
        let held = self.0.lock().take().unwrap_or_default();
        held.into_iter().map(|(_, object)| object).collect()
    }
}

impl Count {
    /// Counts them.
    pub(crate) fn of(objects: &[HeldObject]) -> Count {
        let mut count = Count::default();
        for object in objects {
            match object {
                HeldObject::Request(_) => count.requests += 1,
                HeldObject::Response(_) => count.responses += 1,
                HeldObject::Factory(_) => count.factories += 1,
            }
        }
        count
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests not released, {} responses neither sent nor deleted, {} response factories not deleted",
            self.requests, self.responses, self.factories
        )
    }
}
