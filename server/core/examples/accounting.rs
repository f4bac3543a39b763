//! What it costs to account for a request that was executed alone: with the buckets of every phase, as it is, and with
//! summaries as well. By turns, on one thread, and on two that account to the same model.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use nerite_backend::{Executions, Phases};
use nerite_core::statistics::{Journey, Statistics};

const ROUNDS: usize = 15;
const REQUESTS: u32 = 200_000;

fn account(statistics: &Statistics, journey: &Journey) {
    statistics.received();
    statistics.executed(journey.rows, &journey.phases);
    statistics.succeeded(journey);
}

/// Requests that take from some µs to some ms.
fn journeys() -> Vec<Journey> {
    let start = Instant::now();
    let micros = |micros| Duration::from_micros(micros);
    let journey = |i: u64| {
        let (input_end, infer_end) = (start + micros(1 + i % 5), start + micros(10 + i * i % 5_000));
        let phases = Phases { start, input_end, infer_end, end: infer_end + micros(2) };
        Journey {
            total: micros(30 + i * i % 5_100),
            queued: micros(i * 7 % 300),
            phases,
            rows: 1,
            trace_id: None,
        }
    };
    (0..1_000).map(journey).collect()
}

/// What is measured: accounting for a request.
type Work<'a> = dyn Fn(&Journey) + Sync + 'a;

/// Nanoseconds of a thread's time for each request.
fn measure(threads: usize, work: &Work<'_>) -> f64 {
    let (journeys, barrier) = (journeys(), Barrier::new(threads));
    let run = || {
        barrier.wait();
        let began = Instant::now();
        for index in 0..REQUESTS as usize {
            work(black_box(&journeys[index % journeys.len()]));
        }
        began.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
    };
    let spent: Vec<f64> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    spent.iter().sum::<f64>() / spent.len() as f64
}

fn main() {
    let (histograms, summaries) = (Statistics::new(false), Statistics::new(true));
    let kinds: [(&str, &Work<'_>); 2] = [
        ("with histograms", &|journey| account(&histograms, journey)),
        ("with histograms and summaries", &|journey| account(&summaries, journey)),
    ];
    for threads in [1, 2] {
        let mut rounds = vec![Vec::new(); kinds.len()];
        for _ in 0..ROUNDS {
            rounds.iter_mut().zip(kinds).for_each(|(spent, (_, work))| spent.push(measure(threads, work)));
        }
        for (spent, (name, _)) in rounds.iter_mut().zip(kinds) {
            spent.sort_by(f64::total_cmp);
            let (least, middle, most) = (spent[0], spent[ROUNDS / 2], spent[ROUNDS - 1]);
            println!("{name}, {threads} thread(s): median {middle:.0} ns, {least:.0}–{most:.0}");
        }
    }
}
