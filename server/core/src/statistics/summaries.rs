use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sketches_ddsketch::{Config, DDSketch};

use super::Phase;

/// How far a quantile may be from the exact one, as a part of it.
pub const ACCURACY: f64 = 0.005;

/// Quantiles are of what was answered within this time, as in Triton: the oldest fifth of it goes at once.
pub const WINDOW: Duration = Duration::from_secs(60);

/// The window goes on by this part of it.
const PARTS: u32 = 5;

/// More than any phase needs that takes between a nanosecond and an hour; memory is taken as values come.
const MOST_BINS: u32 = 4096;

/// What is shorter counts as nothing; in microseconds.
const SHORTEST: f64 = 1e-3;

type Sketches = [DDSketch; Phase::ALL.len()];

/// Quantiles of every phase over a window that slides in steps.
pub(super) struct Summaries(Mutex<Sliding>);

/// The parts of the window, by their number since `since`, modulo how many there are.
struct Sliding {
    since: Instant,
    newest: u64,
    parts: [Sketches; PARTS as usize],
}

impl Default for Summaries {
    fn default() -> Summaries {
        let parts = std::array::from_fn(|_| empty());
        Summaries(Mutex::new(Sliding { since: Instant::now(), newest: 0, parts }))
    }
}

impl Summaries {
    /// A request was answered at `at`, after so long in each of these phases.
    pub(super) fn add(&self, took: impl IntoIterator<Item = (Phase, Duration)>, at: Instant) {
        let mut sliding = self.0.lock();
        sliding.slide(at);
        // What is late by more than the window is so by a mistake of the clock's, and counts as new.
        let newest = sliding.newest();
        for (phase, took) in took {
            newest[phase as usize].add(took.as_secs_f64() * 1e6);
        }
    }

    /// In microseconds; NaN if nothing was answered within the window.
    pub(super) fn quantiles(&self, phase: Phase, quantiles: &[f64], now: Instant) -> Vec<f64> {
        let mut sliding = self.0.lock();
        sliding.slide(now);
        let mut all = DDSketch::new(config());
        for part in &sliding.parts {
            // They differ in nothing that would make this fail.
            let _ = all.merge(&part[phase as usize]);
        }
        drop(sliding);
        quantiles.iter().map(|&quantile| all.quantile(quantile).ok().flatten().unwrap_or(f64::NAN)).collect()
    }
}

impl Sliding {
    /// Forgets the parts that `now` leaves behind.
    fn slide(&mut self, now: Instant) {
        let step = WINDOW / PARTS;
        let number = (now.saturating_duration_since(self.since).as_nanos() / step.as_nanos()) as u64;
        let passed = number.saturating_sub(self.newest).min(u64::from(PARTS));
        for _ in 0..passed {
            self.newest += 1;
            *self.newest() = empty();
        }
        self.newest = self.newest.max(number);
    }

    fn newest(&mut self) -> &mut Sketches {
        &mut self.parts[(self.newest % u64::from(PARTS)) as usize]
    }
}

fn empty() -> Sketches {
    std::array::from_fn(|_| DDSketch::new(config()))
}

fn config() -> Config {
    Config::new(ACCURACY, MOST_BINS, SHORTEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

    fn after(summaries: &Summaries, seconds: u64) -> Instant {
        summaries.0.lock().since + Duration::from_secs(seconds)
    }

    fn add(summaries: &Summaries, micros: f64, at: Instant) {
        let took = Duration::from_secs_f64(micros / 1e6);
        summaries.add(Phase::ALL.into_iter().zip([took, took * 2, Duration::ZERO, took, took]), at);
    }

    /// The value below or at which that part of all lies, as exact as it can be named.
    fn exact(sorted: &[f64], quantile: f64) -> f64 {
        sorted[(quantile * (sorted.len() - 1) as f64) as usize]
    }

    fn holds(values: &mut [f64]) -> Result<(), TestCaseError> {
        let summaries = Summaries::default();
        let now = after(&summaries, 1);
        values.iter().for_each(|&value| add(&summaries, value, now));
        values.sort_by(f64::total_cmp);
        let found = summaries.quantiles(Phase::Request, &QUANTILES, now);
        for (found, quantile) in found.into_iter().zip(QUANTILES) {
            let exact = exact(values, quantile);
            // Durations are whole nanoseconds.
            prop_assert!(
                (found - exact).abs() <= exact * ACCURACY * 1.001 + 1e-3,
                "{quantile}: {found} for {exact}"
            );
        }
        Ok(())
    }

    #[test]
    fn quantiles_are_within_the_accuracy_of_the_exact_ones_whatever_the_distribution() {
        let uniform = |i: u64| (i * 7_919 % 10_007) as f64 / 10.0;
        let exponential = |i: u64| -((uniform(i) + 0.01) / 1_001.0).ln() * 300.0;
        let pareto = |i: u64| 20.0 / ((uniform(i) + 0.01) / 1_001.0).powf(0.9);
        let bimodal = |i: u64| if i.is_multiple_of(50) { 5e6 + uniform(i) } else { 40.0 + uniform(i) / 1e3 };
        let distributions: [&dyn Fn(u64) -> f64; 5] =
            [&uniform, &exponential, &pareto, &bimodal, &|_| 123.456];
        for (which, distribution) in distributions.into_iter().enumerate() {
            let mut values: Vec<f64> = (0..10_000).map(distribution).collect();
            holds(&mut values).unwrap_or_else(|error| panic!("distribution {which}: {error}"));
        }
    }

    #[test]
    fn phases_are_told_apart_and_nothing_is_not_a_number() {
        let summaries = Summaries::default();
        let now = after(&summaries, 1);
        assert!(summaries.quantiles(Phase::Queue, &[0.5], now)[0].is_nan());
        add(&summaries, 1_000.0, now);
        let median = |phase| summaries.quantiles(phase, &[0.5], now)[0];
        assert!((median(Phase::Queue) / median(Phase::Request) - 2.0).abs() < 0.03);
        assert_eq!(median(Phase::ComputeInput), 0.0);
    }

    #[test]
    fn what_was_answered_longer_ago_than_the_window_does_not_count() {
        let summaries = Summaries::default();
        add(&summaries, 1e6, after(&summaries, 5));
        for second in [20, 30, 40] {
            add(&summaries, 10.0, after(&summaries, second));
        }
        let most = |at| summaries.quantiles(Phase::Request, &[1.0], after(&summaries, at))[0];
        assert_eq!(most(59), 1e6);
        assert_eq!(most(60), 10.0, "the first fifth is forgotten");
        assert_eq!(most(95), 10.0);
        assert!(most(96).is_nan());
        assert!(most(1_000_000).is_nan());
        add(&summaries, 7.0, after(&summaries, 1_000_001));
        assert_eq!(most(1_000_002), 7.0);
    }

    proptest! {
        #[test]
        fn quantiles_of_anything_are_within_the_accuracy(
            mut values in prop::collection::vec(0.001f64..1e9, 1..300)
        ) {
            holds(&mut values)?;
        }
    }
}
