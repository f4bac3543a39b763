//! What a look at a repository of 10,000 models costs, in CPU time of one thread: each model with a configuration, a
//! file of labels, and one version of one file.

use std::fs;
use std::path::PathBuf;

use nerite_core::repository::{Found, find, names, scan};

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
    Ok(())
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
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = stat.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e6)
}
