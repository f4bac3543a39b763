//! NVML through a counterfeit that is compiled here against NVIDIA's own header.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nerite_nvml::{LoadError, Memory, Nvml, Reading};
use tempfile::TempDir;

/// A copy of the counterfeit, and so with a state of its own.
struct Counterfeit {
    folder: TempDir,
}

impl Counterfeit {
    fn new(state: &str) -> Counterfeit {
        let counterfeit = Counterfeit { folder: TempDir::new().unwrap() };
        fs::copy(compiled(), counterfeit.path()).unwrap();
        counterfeit.say(state);
        counterfeit
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("libnvidia-ml.so.1")
    }

    /// What it says from now on.
    fn say(&self, state: &str) {
        let part = self.folder.path().join("part");
        fs::write(&part, state).unwrap();
        fs::rename(part, self.folder.path().join("libnvidia-ml.so.1.state")).unwrap();
    }

    fn load(&self) -> Result<Nvml, LoadError> {
        Nvml::load(Some(&self.path()))
    }
}

/// Compiled once for this process.
fn compiled() -> &'static Path {
    static COMPILED: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = COMPILED.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let headers = root.join("../../target/tensorrt/headers/nvml");
        assert!(headers.exists(), "nvml.h is not there: run scripts/fetch-tensorrt-headers");
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("libnvidia-ml.so");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut command = Command::new(&compiler);
        command.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-I"]).arg(headers);
        command.arg(root.join("tests/c/nvml.c")).arg("-o").arg(&path).arg("-ldl");
        let output = command.output().unwrap_or_else(|error| {
            panic!("these tests need a C compiler, and {compiler} cannot be run: {error}")
        });
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (folder, path)
    });
    path
}

const TWO: &str = "devices 2\n\
    0.uuid GPU-aaaa\n0.name Counterfeit H1\n0.utilization 37\n0.total 80000000000\n0.used 1234567890\n\
    0.power 123456\n0.limit 700000\n0.energy 5000000000\n\
    1.uuid GPU-bbbb\n1.total 24000000000\n1.used 0\n";

#[test]
fn devices_tell_what_they_can_and_nothing_else() {
    let counterfeit = Counterfeit::new(TWO);
    let nvml = counterfeit.load().unwrap();
    assert_eq!(nvml.count().unwrap(), 2);
    let (first, second) = (nvml.device(0).unwrap(), nvml.device(1).unwrap());
    assert_eq!((first.uuid(), first.name()), ("GPU-aaaa", Some("Counterfeit H1")));
    assert_eq!((second.uuid(), second.name()), ("GPU-bbbb", None));
    let all = Reading {
        utilization: Some(0.37),
        memory: Some(Memory { total: 80_000_000_000, used: 1_234_567_890 }),
        power: Some(123.456),
        power_limit: Some(700.0),
        energy: Some(5_000_000_000),
        trouble: None,
    };
    assert_eq!(first.read(), all);
    let memory = Some(Memory { total: 24_000_000_000, used: 0 });
    assert_eq!(second.read(), Reading { memory, ..Reading::default() });
}

#[test]
fn an_error_that_is_no_refusal_is_told_beside_what_is_known() {
    let counterfeit = Counterfeit::new(TWO);
    let device = counterfeit.load().unwrap().device(0).unwrap();
    for refusal in [3, 4, 13, 21, 26] {
        counterfeit.say(&format!("{TWO}0.fail.nvmlDeviceGetPowerUsage {refusal}\n"));
        let reading = device.read();
        assert_eq!((reading.power, &reading.trouble), (None, &None), "{refusal}");
        assert_eq!(reading.energy, Some(5_000_000_000));
    }
    counterfeit.say(&format!("{TWO}0.fail.nvmlDeviceGetPowerUsage 999\n"));
    let reading = device.read();
    assert_eq!((reading.power, reading.power_limit), (None, Some(700.0)));
    let trouble = reading.trouble.unwrap().to_string();
    assert_eq!(trouble, "nvmlDeviceGetPowerUsage failed: Unknown Error (999)");
}

#[test]
fn a_device_that_is_lost_tells_nothing_until_it_is_back() {
    let counterfeit = Counterfeit::new(TWO);
    let device = counterfeit.load().unwrap().device(0).unwrap();
    let before = device.read();
    counterfeit.say(&format!("{TWO}0.fail 15\n"));
    let lost = device.read();
    assert_eq!(lost, Reading { trouble: lost.trouble.clone(), ..Reading::default() });
    assert_eq!(
        lost.trouble.unwrap().to_string(),
        "nvmlDeviceGetUtilizationRates failed: GPU is lost (15)",
        "the first error is told"
    );
    counterfeit.say(TWO);
    assert_eq!(device.read(), before);
}

#[test]
fn a_device_that_cannot_be_had_leaves_the_others() {
    let counterfeit = Counterfeit::new(&format!("{TWO}0.fail.nvmlDeviceGetHandleByIndex_v2 15\n"));
    let nvml = counterfeit.load().unwrap();
    assert_eq!(nvml.device(0).unwrap_err().code, 15);
    assert_eq!(nvml.device(1).unwrap().uuid(), "GPU-bbbb");
    let error = nvml.device(2).unwrap_err();
    assert_eq!(error.to_string(), "nvmlDeviceGetHandleByIndex_v2 failed: an error without a name (2)");
    // No series can be told from others without it.
    counterfeit.say("devices 1\n0.name Counterfeit\n");
    assert_eq!(nvml.device(0).unwrap_err().call, "nvmlDeviceGetUUID");
}

#[test]
fn texts_of_any_length_stay_within_their_bounds() {
    let name = |length| "n".repeat(length);
    let counterfeit = Counterfeit::new("");
    for (length, fits) in [(1, true), (94, true), (95, false), (400, false)] {
        counterfeit.say(&format!("devices 1\n0.uuid GPU\n0.name {}\n", name(length)));
        let device = counterfeit.load().unwrap().device(0).unwrap();
        assert_eq!(device.name(), fits.then(|| name(length)).as_deref(), "{length}");
    }
}

#[test]
fn a_library_that_is_not_there_or_does_not_start_says_why() {
    let missing = Nvml::load(Some(Path::new("/nowhere/libnvidia-ml.so.1"))).unwrap_err();
    assert!(missing.is_absence(), "{missing}");
    assert!(
        missing.to_string().starts_with("'/nowhere/libnvidia-ml.so.1' cannot be loaded (/nowhere/"),
        "{missing}"
    );

    let folder = TempDir::new().unwrap();
    let garbage = folder.path().join("libnvidia-ml.so.1");
    File::create(&garbage).unwrap();
    assert!(matches!(Nvml::load(Some(&garbage)), Err(LoadError::Library { .. })));

    for (code, absence, text) in [
        (9, true, "NVML does not start: nvmlInit_v2 failed: Driver Not Loaded (9)"),
        (28, true, "NVML does not start: nvmlInit_v2 failed: an error without a name (28)"),
        (18, false, "NVML does not start: nvmlInit_v2 failed: Driver/library version mismatch (18)"),
    ] {
        let error = Counterfeit::new(&format!("fail.nvmlInit_v2 {code}\n")).load().unwrap_err();
        assert_eq!((error.to_string().as_str(), error.is_absence()), (text, absence));
    }
    // Any other library, such as that of the mathematics.
    let foreign = Nvml::load(Some(Path::new("libm.so.6"))).unwrap_err();
    assert!(matches!(foreign, LoadError::Foreign { .. }) && !foreign.is_absence(), "{foreign}");
    assert!(foreign.to_string().contains("nvmlInit_v2"), "{foreign}");
}
