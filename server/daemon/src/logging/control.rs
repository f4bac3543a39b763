use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

use super::outlet::{Outlet, standard_error};
use crate::settings::{Log, LogFormat};

/// What is written, and how. Each severity can be turned off by itself, as in Triton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogLevels {
    pub(crate) error: bool,
    pub(crate) warning: bool,
    pub(crate) info: bool,
    /// 0 no details, 1 debugging, 2 and more everything.
    pub(crate) verbosity: u32,
    pub(crate) format: LogFormat,
}

impl LogLevels {
    /// Details are written of our own crates only: those of the libraries beneath would bury them.
    fn admit(self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("nerite");
        match *metadata.level() {
            Level::ERROR => self.error,
            Level::WARN => self.warning,
            Level::INFO => self.info,
            Level::DEBUG => self.verbosity >= 1 && ours,
            Level::TRACE => self.verbosity >= 2 && ours,
        }
    }

    /// Lets what is never written cost nothing.
    fn most_detailed(self) -> LevelFilter {
        let by_detail = [
            (self.verbosity >= 2, LevelFilter::TRACE),
            (self.verbosity >= 1, LevelFilter::DEBUG),
            (self.info, LevelFilter::INFO),
            (self.warning, LevelFilter::WARN),
            (self.error, LevelFilter::ERROR),
        ];
        by_detail.iter().find(|(on, _)| *on).map_or(LevelFilter::OFF, |(_, level)| *level)
    }

    /// All of it in one word, so that it changes at once.
    fn packed(self) -> u64 {
        let flags = [self.error, self.warning, self.info];
        let flags = flags.iter().enumerate().map(|(place, &on)| u64::from(on) << place).sum::<u64>();
        flags | (self.format as u64) << 8 | u64::from(self.verbosity) << 32
    }

    fn unpacked(word: u64) -> Self {
        let flag = |place: u32| word >> place & 1 == 1;
        let format = match word >> 8 & 0xff {
            format if format == LogFormat::Json as u64 => LogFormat::Json,
            format if format == LogFormat::Iso8601 as u64 => LogFormat::Iso8601,
            _ => LogFormat::Default,
        };
        Self { error: flag(0), warning: flag(1), info: flag(2), verbosity: (word >> 32) as u32, format }
    }
}

/// The log of the process, to be changed while it is written. An event costs one look at one word, or none: whether it is
/// written is remembered where it happens until the levels change.
pub struct LogControl {
    levels: AtomicU64,
    file: Option<PathBuf>,
    outlet: Arc<Outlet>,
}

impl LogControl {
    /// As the settings say, written to that outlet.
    pub(crate) fn new(log: &Log, outlet: Arc<Outlet>) -> Arc<Self> {
        let Log { verbosity, info, warning, error, format, ref file } = *log;
        let levels = LogLevels { error, warning, info, verbosity: verbosity.into(), format };
        Arc::new(Self { levels: AtomicU64::new(levels.packed()), file: file.clone(), outlet })
    }

    /// What is written now.
    pub(crate) fn levels(&self) -> LogLevels {
        LogLevels::unpacked(self.levels.load(Relaxed))
    }

    /// Changes what is written, at once and as a whole.
    pub(crate) fn change(&self, change: impl Fn(&mut LogLevels)) {
        let changed = |word| {
            let mut levels = LogLevels::unpacked(word);
            change(&mut levels);
            Some(levels.packed())
        };
        let _ = self.levels.fetch_update(Relaxed, Relaxed, changed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// The file that is written, if it is not standard error.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// Where it is written to.
    pub(crate) fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// Writes a line to standard error, behind those of the log if it is there, and waits for that at most so long.
    pub fn complain(&self, line: &str, limit: Duration) {
        match (&self.file, standard_error()) {
            (None, _) => self.outlet.write_last(line.as_bytes(), limit),
            (Some(_), Ok(file)) => Outlet::new(file).write_last(line.as_bytes(), limit),
            // It is closed; there is nowhere else to say it.
            (Some(_), Err(_)) => {}
        }
    }

    /// How many lines were dropped, since nobody read those before them.
    pub(crate) fn dropped(&self) -> u64 {
        self.outlet.dropped()
    }

    /// Waits until all is written, at most so long. Whether it is.
    pub fn flush(&self, limit: Duration) -> bool {
        self.outlet.flush(limit)
    }
}

/// Lets through what the levels admit.
pub(super) struct Admit(pub(super) Arc<LogControl>);

impl<S> Filter<S> for Admit {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.0.levels().admit(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.0.levels().admit(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.levels().most_detailed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_levels_fit_into_a_word(
            error: bool, warning: bool, info: bool, verbosity: u32, format in 0usize..3
        ) {
            let format = [LogFormat::Default, LogFormat::Iso8601, LogFormat::Json][format];
            let levels = LogLevels { error, warning, info, verbosity, format };
            prop_assert_eq!(LogLevels::unpacked(levels.packed()), levels);
        }
    }
}
