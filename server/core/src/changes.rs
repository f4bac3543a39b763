use tokio::sync::watch;

/// Tells whoever listens that something about models has changed, and not what: a listener looks for itself, once for all
/// that has changed since its last look. With nobody listening it costs a lock that nobody else wants.
#[derive(Clone, Default)]
pub(crate) struct Changes(watch::Sender<()>);

impl Changes {
    /// Something has changed, and can be seen to have.
    pub(crate) fn notify(&self) {
        self.0.send_replace(());
    }

    /// Hears of every change from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}
