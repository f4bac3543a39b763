//! What a look at a repository of 10,000 models costs, in CPU time of one thread, and what it costs to watch it: each model
//! with a configuration, a file of labels, and one version of one file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use nerite_core::repository::{Found, Sighting, Watcher, WatcherOptions, find, names, scan};

const MODELS: usize = 10_000;

fn main() -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    for i in 0..MODELS {
        let model = root.path().join(format!("model_{i:05}"));
        fs::create_dir_all(model.join("1"))?;
        fs::write(model.join("config.pbtxt"), "backend: \"onnxruntime\"\n")?;
        fs::write(model.join("labels.txt"), "cat\ndog\n")?;
        fs::write(model.join("1/model.onnx"), "weights")?;
    }
    let repositories = [root.path().to_owned()];
    for _ in 0..3 {
        let (models, spent) = measured(|| scan(&repositories).map(|scanned| scanned.models.len()))?;
        println!("scan of {} models: {spent:.0} ms", models?);
        let (models, spent) = measured(|| find_all(&repositories))?;
        println!("names, and find of {models} models: {spent:.0} ms");
        let (models, spent) = measured(|| names(&repositories).len())?;
        println!("names of {models} models: {spent:.1} ms");
    }
    watch(root.path())
}

/// What a watcher spends on its beginning, on doing nothing, and on one change.
fn watch(root: &Path) -> anyhow::Result<()> {
    let repositories = vec![root.to_owned()];
    let models = scan(&repositories)?.models.into_iter();
    let known: BTreeMap<_, _> = models.map(|(name, model)| (name, Sighting::Model(model))).collect();
    let before = watching_ms()?;
    let (sender, changes) = channel();
    let options = WatcherOptions { repositories, settle: Duration::from_secs(1), poll: None };
    let _watcher = Watcher::start(options, known, move |changes| drop(sender.send(changes)));
    let mut spent = watching_ms()?;
    loop {
        thread::sleep(Duration::from_secs(2));
        let now = watching_ms()?;
        if now - spent < 1.0 {
            break;
        }
        spent = now;
    }
    println!("beginning to watch: {:.0} ms", spent - before);
    let (begun, before) = (Instant::now(), watching_ms()?);
    thread::sleep(Duration::from_secs(20));
    let idle = (watching_ms()? - before) / begun.elapsed().as_secs_f64();
    println!("doing nothing: {idle:.3} ms of CPU per second");
    let (begun, before) = (Instant::now(), watching_ms()?);
    fs::write(root.join("model_00042/1/model.onnx"), "other weights")?;
    let told = changes.recv_timeout(Duration::from_secs(60))?.len();
    let (took, spent) = (begun.elapsed().as_secs_f64(), watching_ms()? - before);
    println!("{told} change, told after {took:.2} s with a window of 1 s: {spent:.1} ms of CPU");
    Ok(())
}

/// The milliseconds of CPU that the watcher's threads have spent.
fn watching_ms() -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?.path();
        let name = fs::read_to_string(thread.join("comm"))?;
        if name.starts_with("nerite-watch") || name.starts_with("notify") {
            sum += spent_ms(&thread)?;
        }
    }
    Ok(sum)
}

fn find_all(repositories: &[PathBuf]) -> usize {
    let names = names(repositories);
    names.iter().filter(|name| matches!(find(repositories, name), Found::Model(_))).count()
}

/// What it gives, and the milliseconds of CPU that this thread spent on it.
fn measured<T>(work: impl FnOnce() -> T) -> anyhow::Result<(T, f64)> {
    let before = cpu_ms()?;
    let result = work();
    Ok((result, cpu_ms()? - before))
}

fn cpu_ms() -> anyhow::Result<f64> {
    spent_ms(Path::new("/proc/thread-self"))
}

fn spent_ms(thread: &Path) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(thread.join("schedstat"))?;
    let nanoseconds: f64 = stat.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e6)
}
