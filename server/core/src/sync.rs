//! The locks, channels and threads of everything whose interleavings are tested: the usual ones, or in tests with the
//! feature `shuttle` those of the library of this name.

#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use std::{sync::mpsc, thread};

#[cfg(all(test, feature = "shuttle"))]
pub(crate) use shuttle::{sync::mpsc, thread};

#[cfg(all(test, feature = "shuttle"))]
pub(crate) use shuttled::{Mutex, MutexGuard};

#[cfg(all(test, feature = "shuttle"))]
mod shuttled {
    pub(crate) use shuttle::sync::MutexGuard;

    /// shuttle's lock in the shape of parking_lot's.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a test that panicked has failed already")
        }
    }
}
