//! A daemon under test.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::{metrics, probe};

const READY_LIMIT: Duration = Duration::from_secs(30);
const EXIT_LIMIT: Duration = Duration::from_secs(40);

/// One daemon process on ports of its own; it is killed when this is dropped.
pub struct Daemon {
    child: Child,
    grpc_port: u16,
    metrics_port: u16,
    folder: TempDir,
}

impl Daemon {
    /// Starts the binary on a repository and waits until it is ready.
    pub fn start(repository: &Path) -> anyhow::Result<Daemon> {
        Daemon::start_with(repository, &[])
    }

    /// The same, with further flags.
    pub fn start_with(repository: &Path, flags: &[&str]) -> anyhow::Result<Daemon> {
        let [grpc_port, http_port, metrics_port] = free_ports()?;
        let folder = tempfile::tempdir()?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(binary()?);
        // The environment's own settings would make a test depend on who runs it.
        for (key, _) in env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("NERITE_")) {
            command.env_remove(key);
        }
        command
            .arg(format!("--model-repository={}", repository.display()))
            .arg(format!("--grpc-port={grpc_port}"))
            .arg(format!("--http-port={http_port}"))
            .arg(format!("--metrics-port={metrics_port}"))
            .args(flags)
            .env("ORT_DYLIB_PATH", library()?)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn().context("starting nerite")?;
        let mut daemon = Daemon { child, grpc_port, metrics_port, folder };
        let deadline = Instant::now() + READY_LIMIT;
        let ready = probe::wait_ready(grpc_port, deadline, || Ok(daemon.child.try_wait()?.is_none()));
        ready.with_context(|| format!("the daemon's log:\n{}", daemon.log()))?;
        Ok(daemon)
    }

    /// A connection to it.
    pub async fn connect(&self) -> anyhow::Result<Channel> {
        Ok(Endpoint::from(self.uri()?).tcp_nodelay(true).connect().await?)
    }

    /// Where it serves gRPC.
    pub fn uri(&self) -> anyhow::Result<Uri> {
        Ok(format!("http://127.0.0.1:{}", self.grpc_port).parse()?)
    }

    /// The port of the loopback interface on which it serves gRPC.
    pub fn grpc_port(&self) -> u16 {
        self.grpc_port
    }

    /// Everything that its metrics endpoint says.
    pub fn metrics(&self) -> io::Result<String> {
        metrics::scrape(self.metrics_port)
    }

    /// The names of its threads.
    pub fn threads(&self) -> io::Result<Vec<String>> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        threads.map(|thread| Ok(fs::read_to_string(thread?.path().join("comm"))?.trim().to_owned())).collect()
    }

    /// Asks it to end, as an operator would (SIGTERM).
    pub fn terminate(&self) -> anyhow::Result<()> {
        // Signals need unsafe code or another program; the shell's own `kill` is everywhere.
        let status = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.child.id())).status()?;
        ensure!(status.success(), "kill ended with {status}");
        Ok(())
    }

    /// How it ended, once it has.
    pub async fn wait_exit(&mut self) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + EXIT_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("the daemon did not end in time; its log:\n{}", self.log())
    }

    /// Everything that it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon's binary: the one that `NERITE_BINARY` names, or the one that was built into the folder that this
/// test was built into.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os("NERITE_BINARY") {
        return existing(path.into(), "NERITE_BINARY names another one");
    }
    let test = env::current_exe()?;
    // target/release/deps/test-0123 → target/release/nerite
    let release = test.ancestors().nth(2).context("the test lies two folders below the target directory")?;
    existing(release.join("nerite"), "cargo build --release -p nerite makes it")
}

/// ONNX Runtime's library: the one that `ORT_DYLIB_PATH` names, or the one that the scripts fetched.
fn library() -> anyhow::Result<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/onnxruntime/lib/libonnxruntime.so");
    let path = env::var_os("ORT_DYLIB_PATH").map_or(fetched, PathBuf::from);
    existing(path, "scripts/fetch-onnxruntime fetches it")
}

fn existing(path: PathBuf, advice: &str) -> anyhow::Result<PathBuf> {
    ensure!(path.exists(), "{} is missing: {advice}", path.display());
    Ok(path)
}

/// Ports of the loopback interface that nobody listens on.
fn free_ports() -> io::Result<[u16; 3]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // All are held at the same time, so that they differ.
    let held = [listen()?, listen()?, listen()?];
    let [first, second, third] = held.each_ref().map(TcpListener::local_addr);
    Ok([first?.port(), second?.port(), third?.port()])
}
