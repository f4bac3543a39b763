use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nerite_nvml::{Device, LoadError, Nvml, NvmlError};

use super::meter::{Change, Gpu, Meter};
use super::seen::Seen;

/// The thread that asks the driver. It is never waited for.
pub(super) struct Sampler {
    pub(super) seen: Arc<Seen>,
    /// Hears when nobody is interested any more.
    pub(super) stopped: Receiver<()>,
    pub(super) interval: Duration,
}

impl Sampler {
    pub(super) fn run(self) {
        match open() {
            Ok(devices) if devices.is_empty() => tracing::info!("there are no GPUs to have metrics of"),
            Ok(devices) => self.sample(devices),
            Err(error) if error.is_absence() => tracing::info!("there are no metrics of GPUs: {error}"),
            Err(error) => tracing::warn!("there are no metrics of GPUs: {error}"),
        }
        self.seen.end();
    }

    fn sample(&self, mut devices: Vec<(Device, Meter)>) {
        loop {
            let gpus = devices.iter_mut().map(read).collect();
            self.seen.set(gpus, Instant::now());
            match self.stopped.recv_timeout(self.interval) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Every GPU that lets itself be asked.
fn open() -> Result<Vec<(Device, Meter)>, LoadError> {
    let nvml = Nvml::load(None)?;
    let open = |index| match nvml.device(index) {
        Ok(device) => {
            let meter = Meter::new(index, device.uuid(), device.name());
            Some((device, meter))
        }
        Err(error) => {
            tracing::warn!("there are no metrics of GPU {index}: {error}");
            None
        }
    };
    let devices: Vec<_> = (0..nvml.count()?).filter_map(open).collect();
    for (device, meter) in &devices {
        tracing::info!("metrics of {}, {}", meter.label(), device.name().unwrap_or("without a name"));
    }
    Ok(devices)
}

fn read((device, meter): &mut (Device, Meter)) -> Gpu {
    let (gpu, change) = meter.take(device.read());
    match change {
        Some(Change::Trouble(error)) => tracing::warn!("{}: {}", meter.label(), trouble(&error)),
        Some(Change::Recovered) => tracing::info!("{} tells again what it could not", meter.label()),
        None => {}
    }
    gpu
}

fn trouble(error: &NvmlError) -> String {
    format!("{error}; what it does not tell has no metric, and the kernel's log (dmesg) may say more")
}
