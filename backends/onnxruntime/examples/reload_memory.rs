//! What loading and unloading a model leaves behind: `reload_memory [CYCLES [same|threads]]`, 500 if it is not said.
//!
//! Each cycle loads MobileNetV2, runs it once, drops it and gives memory back; with `threads`, as the daemon does, each
//! step on a thread of its own. Prints resident memory every 50 cycles, and fails if there is over 5 % more of it after the
//! last than after the tenth (the median of five cycles each: a thread that is just ending may still have some). The model
//! is fetched by scripts/fetch-models.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nerite_backend::{Artifact, Backend, Cancel, DType, Model};
use nerite_onnxruntime::give_back_memory;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let cycles: usize = arguments.next().map_or(500, |cycles| cycles.parse().expect("a number of cycles"));
    let on_threads = arguments.next().is_some_and(|mode| mode == "threads");
    assert!(cycles >= 20, "too few cycles to tell anything");
    let (mut residents, mut trims) = (Vec::new(), Duration::ZERO);
    for cycle in 1..=cycles {
        if on_threads {
            let model = on_a_thread(load);
            let model = on_a_thread(move || run(model));
            on_a_thread(move || drop(model));
        } else {
            drop(run(load()));
        }
        let start = Instant::now();
        give_back_memory();
        trims += start.elapsed();
        residents.push(resident());
        if cycle == 1 || cycle == 10 || cycle % 50 == 0 {
            println!("cycle {cycle:4}: {} kB resident", residents[cycle - 1]);
        }
    }
    let (tenth, last) = (median(&residents[9..14]), median(&residents[cycles - 5..]));
    println!("giving back took {:?} each time", trims / cycles as u32);
    println!("after the last {:+.1} % of that after the tenth", (last as f64 / tenth as f64 - 1.0) * 100.0);
    assert!(last * 20 <= tenth * 21, "resident memory grew by more than 5 %");
}

fn median(numbers: &[u64]) -> u64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("no step panics"))
}

fn load() -> Arc<dyn Model> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../model-repository/mobilenet_v2/1");
    let artifact = Artifact { model: "mobilenet_v2", directory: &directory, ..Artifact::default() };
    support::backend().load(&artifact, &Cancel::default()).expect("MobileNetV2 loads")
}

fn run(model: Arc<dyn Model>) -> Arc<dyn Model> {
    let image = support::tensor(DType::F32, &[1, 3, 224, 224], vec![0; 3 * 224 * 224 * 4]);
    support::infer(&model, vec![image]).expect("MobileNetV2 answers");
    model
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of kB")
}
