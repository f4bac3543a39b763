//! The locks, channels and threads of everything whose interleavings are tested: the usual ones, or in tests with the
//! feature `shuttle` those of the library of this name.

#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use std::{sync::mpsc, thread, thread_local};
#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use usual::Condvar;

#[cfg(all(test, feature = "shuttle"))]
pub(crate) use shuttle::{sync::mpsc, thread, thread_local};

#[cfg(all(test, feature = "shuttle"))]
pub(crate) use shuttled::{Condvar, Mutex, MutexGuard};

#[cfg(not(all(test, feature = "shuttle")))]
mod usual {
    use std::time::Instant;

    use parking_lot::MutexGuard;

    /// parking_lot's, in a shape that shuttle's can be brought into.
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        /// Waits until then, or until it is notified.
        pub(crate) fn wait_until<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            until: Instant,
        ) -> MutexGuard<'a, T> {
            self.0.wait_until(&mut guard, until);
            guard
        }
    }
}

#[cfg(all(test, feature = "shuttle"))]
mod shuttled {
    use std::time::Instant;

    pub(crate) use shuttle::sync::MutexGuard;

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        /// Waits until it is notified: there is no time.
        pub(crate) fn wait_until<'a, T>(&self, guard: MutexGuard<'a, T>, _: Instant) -> MutexGuard<'a, T> {
            self.0.wait(guard).expect("a test that panicked has failed already")
        }
    }

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
