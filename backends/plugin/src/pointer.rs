//! Pointers of plugins.

/// A pointer that a plugin gives the server to keep: it is given back as it came, or handed to the plugin's own
/// functions. Whether it may be followed, and when, is for whoever follows it to argue.
#[derive(Debug)]
pub(crate) struct Kept<T>(pub(crate) *mut T);

// SAFETY: the pointer alone can be sent and shared like the number that it is. The C API has all that is reached
// through such a pointer used from any thread; each place that follows one says why it may.
unsafe impl<T> Send for Kept<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Kept<T> {}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Kept<T> {}

impl<T> Kept<T> {
    /// No pointer.
    pub(crate) const NULL: Kept<T> = Kept(std::ptr::null_mut());
}
