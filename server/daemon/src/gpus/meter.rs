//! What becomes of a GPU's readings. Pure.

use nerite_nvml::{Memory, NvmlError, Reading};

/// A GPU as it was seen last. What it cannot tell is not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Gpu {
    /// Its number in the order of the bus.
    pub(crate) index: u32,
    pub(crate) uuid: String,
    /// What it is called by its makers; empty if it does not say.
    pub(crate) name: String,
    /// The part of the last moments in which it computed, from 0 to 1.
    pub(crate) utilization: Option<f64>,
    pub(crate) memory: Option<Memory>,
    /// In watts.
    pub(crate) power: Option<f64>,
    /// In watts.
    pub(crate) power_limit: Option<f64>,
    /// Since it was seen first, in millijoules.
    pub(crate) energy: Option<u64>,
}

/// What is kept of a GPU from one reading to the next.
pub(super) struct Meter {
    /// The GPU, of which nothing has been read.
    gpu: Gpu,
    energy: Energy,
    /// What is wrong with it.
    trouble: Option<NvmlError>,
}

/// What is to be said of a reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It has become troubled, or is so for another reason.
    Trouble(NvmlError),
    /// It is not troubled any more.
    Recovered,
}

impl Meter {
    pub(super) fn new(index: u32, uuid: &str, name: Option<&str>) -> Meter {
        let gpu =
            Gpu { index, uuid: uuid.to_owned(), name: name.unwrap_or_default().to_owned(), ..Gpu::default() };
        Meter { gpu, energy: Energy::default(), trouble: None }
    }

    /// `GPU 0 (GPU-…)`.
    pub(super) fn label(&self) -> String {
        format!("GPU {} ({})", self.gpu.index, self.gpu.uuid)
    }

    /// What a reading says, and what of that is new.
    pub(super) fn take(&mut self, reading: Reading) -> (Gpu, Option<Change>) {
        let Reading { utilization, memory, power, power_limit, energy, trouble } = reading;
        let energy = energy.map(|energy| self.energy.since_first(energy));
        let change = match &trouble {
            Some(error) if self.trouble.as_ref() != Some(error) => Some(Change::Trouble(error.clone())),
            None if self.trouble.is_some() => Some(Change::Recovered),
            _ => None,
        };
        self.trouble = trouble;
        (Gpu { utilization, memory, power, power_limit, energy, ..self.gpu.clone() }, change)
    }
}

/// The energy that was used since the first reading: the driver counts since it was loaded, and begins anew when the
/// GPU is reset.
#[derive(Debug, Default)]
struct Energy {
    last: Option<u64>,
    sum: u64,
}

impl Energy {
    fn since_first(&mut self, reading: u64) -> u64 {
        let used = match self.last {
            None => 0,
            Some(last) => reading.checked_sub(last).unwrap_or(reading),
        };
        self.last = Some(reading);
        self.sum = self.sum.saturating_add(used);
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(code: i32) -> NvmlError {
        NvmlError { call: "nvmlX", code, text: "X".to_owned() }
    }

    #[test]
    fn energy_is_counted_from_the_first_reading_on_and_never_goes_back() {
        let mut energy = Energy::default();
        let read = [7_000, 7_000, 9_500, 100, 300, u64::MAX].map(|reading| energy.since_first(reading));
        assert_eq!(read[..5], [0, 0, 2_500, 2_600, 2_800], "a reset begins at nothing");
        assert_eq!(read[5], u64::MAX);
    }

    proptest! {
        #[test]
        fn energy_only_grows_whatever_the_driver_says(readings in prop::collection::vec(any::<u64>(), 1..50)) {
            let mut energy = Energy::default();
            let sums: Vec<u64> = readings.into_iter().map(|reading| energy.since_first(reading)).collect();
            prop_assert_eq!(sums[0], 0);
            prop_assert!(sums.is_sorted());
        }
    }

    #[test]
    fn what_a_gpu_cannot_tell_is_not_there_and_its_energy_goes_on_afterwards() {
        let mut meter = Meter::new(1, "GPU-a", Some("H1"));
        let reading = |energy| Reading { power: Some(1.5), energy, ..Reading::default() };
        meter.take(reading(Some(10)));
        let (gpu, change) = meter.take(reading(None));
        let known = Gpu { index: 1, uuid: "GPU-a".to_owned(), name: "H1".to_owned(), ..Gpu::default() };
        assert_eq!((gpu, change), (Gpu { power: Some(1.5), ..known }, None));
        assert_eq!(meter.take(reading(Some(15))).0.energy, Some(5));
        assert_eq!(meter.label(), "GPU 1 (GPU-a)");
    }

    #[test]
    fn trouble_is_told_once_and_its_end_too() {
        let mut meter = Meter::new(0, "GPU-a", None);
        let mut take = |trouble: Option<NvmlError>| meter.take(Reading { trouble, ..Reading::default() }).1;
        assert_eq!(take(None), None);
        assert_eq!(take(Some(error(15))), Some(Change::Trouble(error(15))));
        assert_eq!(take(Some(error(15))), None);
        assert_eq!(take(Some(error(16))), Some(Change::Trouble(error(16))));
        assert_eq!(take(None), Some(Change::Recovered));
        assert_eq!(take(None), None);
    }
}
