//! Lines of plugins, which say themselves where in their source they come from.

use std::fmt::{Debug, Write as _};

use nerite_plugin_host::LOG_TARGET;
use tracing::Event;
use tracing::field::{Field, Visit};

/// A plugin's line.
#[derive(Default)]
pub(super) struct PluginEvent {
    /// The name of the file, without its folder.
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) message: String,
}

impl PluginEvent {
    /// The line, if the event is a plugin's.
    pub(super) fn of(event: &Event<'_>) -> Option<PluginEvent> {
        if event.metadata().target() != LOG_TARGET {
            return None;
        }
        let mut found = PluginEvent::default();
        event.record(&mut found);
        Some(found)
    }
}

impl Visit for PluginEvent {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "log.line" {
            self.line = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.file" {
            self.file = value.rsplit('/').next().unwrap_or(value).to_owned();
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // A text takes everything.
            let _ = write!(self.message, "{value:?}");
        }
    }
}
