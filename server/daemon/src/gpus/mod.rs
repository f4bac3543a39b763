//! What the machine's GPUs are at, as the driver tells.
//!
//! A thread asks the driver from time to time and publishes what it says; everybody else reads that and waits for
//! nobody. Where the driver does not answer, what is known grows old, and is not shown any more.

mod meter;
mod sampler;
mod seen;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use meter::Gpu;
use sampler::Sampler;
use seen::Seen;

/// What is known of the GPUs. The thread that asks for it ends with this.
#[derive(Default)]
pub(crate) struct Gpus {
    seen: Option<Arc<Seen>>,
    _stop: Option<Sender<()>>,
}

impl Gpus {
    /// Has the driver asked every `interval`, if there is one.
    pub(crate) fn watch(interval: Duration) -> Gpus {
        let seen = Arc::new(Seen::new(interval, Instant::now()));
        let (stop, stopped) = channel();
        let sampler = Sampler { seen: Arc::clone(&seen), stopped, interval };
        // Loading the driver's library may take long too.
        match thread::Builder::new().name("nerite-gpus".to_owned()).spawn(move || sampler.run()) {
            Ok(_) => Gpus { seen: Some(seen), _stop: Some(stop) },
            Err(error) => {
                tracing::warn!(
                    "there are no metrics of GPUs: the thread that asks for them cannot start: {error}"
                );
                Gpus::default()
            }
        }
    }

    /// Every GPU that was heard of lately, in the order of the bus.
    pub(crate) fn now(&self) -> Arc<[Gpu]> {
        self.seen.as_ref().map_or_else(|| Arc::from([]), |seen| seen.at(Instant::now()))
    }
}
