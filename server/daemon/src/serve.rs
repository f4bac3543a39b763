//! The daemon's life: bind, load, serve until a signal, drain.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use nerite_core::Registry;
use nerite_core::lifecycle::{LoadFailure, Manager, ManagerOptions, remove_leftovers};
use nerite_core::response_cache::ResponseCache;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::access_log::AccessLog;
use crate::control::Control;
use crate::frontend::grpc::Services;
use crate::frontend::http;
use crate::frontend::metrics::Metrics;
use crate::gpus::Gpus;
use crate::inflight::Inflight;
use crate::logging::{LAST_LINES, LogControl};
use crate::memory;
use crate::net::{Bound, Deadline, Endpoint, GrpcOptions, Stopped, serve_grpc, serve_http};
use crate::readiness::Readiness;
use crate::reclaim::Reclaim;
use crate::repositories::{Initial, initial, watch};
use crate::request_trace::Tracer;
use crate::serving::{Serving, Stage};
use crate::settings::{Compression, ControlMode, Limits, Listener, Repository, Settings};
use crate::wiring;

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Whatever was in flight was answered.
    InOrder,
    /// The time to drain was over before that.
    CutShort,
}

/// After so long it is said that the repositories are still being looked at.
const LOOKS_LONG: Duration = Duration::from_secs(10);

/// What each step of the exit has, even when its time is over: it takes no time unless something hangs.
const AT_LEAST: Duration = Duration::from_millis(100);

/// Serves until SIGTERM or SIGINT. It is an error if models that had to load did not.
///
/// Threads that load or execute models may live on when it returns: the process is to end without running destructors.
pub fn serve(settings: &Settings, log: &Arc<LogControl>) -> anyhow::Result<Ended> {
    raise_file_limit();
    let logs = Logs { log: Arc::clone(log), access: AccessLog::open(&settings.access_log, log)? };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("nerite-net").build()?;
    let ended = runtime.block_on(bind(settings)?.run(settings, &logs));
    // A load that is still under way, or an engine that hangs, must not hold up the exit.
    Runtime::shutdown_background(runtime);
    if let Some(access) = logs.access {
        access.flush(LAST_LINES);
    }
    ended
}

/// What the endpoints write.
struct Logs {
    log: Arc<LogControl>,
    access: Option<Arc<AccessLog>>,
}

/// Every connection is an open file, and the limit that a shell or a service manager gives is often 1,024; the hard
/// limit is what an administrator means.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(rlimit::INFINITY) {
        tracing::warn!("the limit on open files cannot be raised, and bounds connections: {error}");
    }
}

/// What may be in flight. Half of the memory is left to models, answers, and messages that were compressed.
fn inflight(limits: &Limits) -> Inflight {
    let half = || NonZeroUsize::new(usize::try_from(memory::available()? / 2).ok()?);
    let bytes = limits.inflight_bytes.or_else(half);
    match bytes {
        Some(bytes) => tracing::info!("the bodies of gRPC calls in flight may have {bytes} bytes"),
        None => {
            tracing::warn!("the bodies of gRPC calls have no limit: the size of the memory cannot be read")
        }
    }
    Inflight::new(limits.inflight_requests, bytes)
}

/// The ports are taken, and clients can connect; nobody answers yet.
struct BoundPorts {
    grpc: Option<Bound>,
    http: Option<Bound>,
    metrics: Option<Bound>,
}

/// Takes every port before anything is loaded: one in use is to be found out at once.
fn bind(settings: &Settings) -> anyhow::Result<BoundPorts> {
    let bind =
        |listener: &Listener, flags| listener.enabled.then(|| Bound::bind(listener, flags)).transpose();
    Ok(BoundPorts {
        grpc: bind(&settings.grpc.listener, "grpc")?,
        http: bind(&settings.http, "http")?,
        metrics: bind(&settings.metrics, "metrics")?,
    })
}

impl BoundPorts {
    async fn run(self, settings: &Settings, logs: &Logs) -> anyhow::Result<Ended> {
        let mut signals = Signals::listen()?;
        let limit = settings.server.exit_timeout;
        let reclaim = Arc::<Reclaim>::default();
        let registry = Arc::new(Registry::default());
        let cache = settings.response_cache.map(|size| Arc::new(ResponseCache::new(size.get())));
        let manager = manage(settings, &registry, &reclaim, cache.clone())?;
        let mut serving = serving(settings, registry, &manager, reclaim, logs);
        serving.response_cache = cache;
        let serving = Arc::new(serving);
        wiring::answer_plugins(&serving);
        let endpoints = Endpoints::open(self, settings, &serving)?;

        if settings.repository.control_mode == ControlMode::Explicit {
            tokio::task::spawn_blocking(remove_leftovers);
        }
        let found = tokio::select! {
            found = look(&settings.repository) => found?,
            () = signals.any() => return Ok(endpoints.drain(&serving, &manager, limit).await),
        };
        serving.readiness.warn_of_unknown(|name| found.wanted.iter().any(|(wanted, _)| wanted == name));
        let loading = manager.want(found.wanted);
        // From now on, so that whoever mends a model whose load hangs need not wait for it.
        let _watcher = watch(&settings.repository, found.sightings, &manager);
        let mut failures = tokio::select! {
            failures = loading => failures,
            // Nobody waits for what is being loaded: only requests that models already loaded have taken.
            () = signals.any() => return Ok(endpoints.drain(&serving, &manager, limit).await),
        };
        // Whoever unloaded a model meanwhile, or removed it, wanted that.
        failures.retain(|failure| !matches!(failure, LoadFailure::Abandoned { .. }));
        if !failures.is_empty() && settings.repository.exit_on_error {
            // What could be loaded has been served meanwhile.
            endpoints.drain(&serving, &manager, limit).await;
            return Err(start_failed(&failures));
        }
        serving.enter(Stage::Running);

        signals.any().await;
        Ok(endpoints.drain(&serving, &manager, limit).await)
    }
}

/// Looks at the repositories, on a thread that nobody waits for if a file system does not answer.
async fn look(repository: &Repository) -> anyhow::Result<Initial> {
    let repository = repository.clone();
    let mut looking = tokio::task::spawn_blocking(move || initial(&repository));
    let found = match tokio::time::timeout(LOOKS_LONG, &mut looking).await {
        Ok(found) => found,
        Err(_) => {
            tracing::warn!(
                "the model repositories have been looked at for {} s: one may be on a file system that does not answer, or \
                 a link may lead to very many files",
                LOOKS_LONG.as_secs()
            );
            looking.await
        }
    };
    Ok(found??)
}

/// The one owner of all models' lives.
fn manage(
    settings: &Settings,
    registry: &Arc<Registry>,
    reclaim: &Arc<Reclaim>,
    cache: Option<Arc<ResponseCache>>,
) -> anyhow::Result<Manager> {
    let Settings { repository, backends, scheduling, metrics_config, .. } = settings;
    let loader = wiring::loader(repository, backends, scheduling, Some(Handle::current()));
    let loader = Arc::new(loader.with_summaries(metrics_config.summaries).with_response_cache(cache));
    let reclaim = Arc::clone(reclaim);
    let options = ManagerOptions {
        load_threads: repository.load_threads.get(),
        load_retries: repository.load_retries,
        repositories: match repository.control_mode {
            ControlMode::Explicit => repository.paths.clone().into(),
            ControlMode::None | ControlMode::Poll => Arc::default(),
        },
        after_unload: Some(Arc::new(move || reclaim.reclaim())),
        ..ManagerOptions::default()
    };
    Manager::start(loader, Arc::clone(registry), options)
        .context("the thread that manages models cannot start")
}

/// What every endpoint sees.
fn serving(
    settings: &Settings,
    registry: Arc<Registry>,
    manager: &Manager,
    reclaim: Arc<Reclaim>,
    logs: &Logs,
) -> Serving {
    let Settings { server, repository, limits, .. } = settings;
    let mut serving = Serving::new(server.id.clone(), registry, Arc::new(inflight(limits)));
    serving.control = Some(Control::new(manager.clone(), repository.control_mode, &repository.paths));
    serving.readiness = Readiness::new(repository.strict_readiness, &repository.ready_models);
    serving.reclaim = reclaim;
    serving.metrics = Metrics::new(settings.metrics_config.clone()).with_plugins(wiring::plugin_metrics);
    if settings.metrics.enabled && settings.metrics_config.gpu {
        serving.gpus = Gpus::watch(settings.metrics_config.interval);
    }
    serving.tracer = Tracer::new(&settings.trace);
    serving.log = Some(Arc::clone(&logs.log));
    serving.access_log.clone_from(&logs.access);
    serving
}

fn start_failed(failures: &[LoadFailure]) -> anyhow::Error {
    let reasons: Vec<String> = failures.iter().map(|failure| format!("\n  {failure}")).collect();
    anyhow::anyhow!(
        "failed to load all models; --exit-on-error=false serves those that can be loaded:{}",
        reasons.concat()
    )
}

/// The signals that end the daemon.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("signals cannot be listened for");
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The ports that are being served.
struct Endpoints {
    grpc: Option<Endpoint>,
    /// For probes and scrapers, which go on being answered while requests drain.
    probes: Vec<Endpoint>,
}

impl Endpoints {
    fn open(bound: BoundPorts, settings: &Settings, serving: &Arc<Serving>) -> anyhow::Result<Endpoints> {
        let grpc = match bound.grpc {
            None => None,
            Some(bound) => {
                let options = GrpcOptions::new(&settings.grpc, &settings.limits)?
                    .telling_peers(serving.access_log.is_some());
                let compress = settings.grpc.response_compression != Compression::None;
                let services = Deadline::new(Services::new(serving, compress));
                tracing::info!("Started GRPCInferenceService at {}", bound.local_addr());
                Some(serve_grpc(bound, services, options)?)
            }
        };
        let mut probes = Vec::new();
        if let Some(bound) = bound.http {
            tracing::info!("Started HTTPService at {}", bound.local_addr());
            probes.push(serve_http(bound, handler(serving, http::health))?);
        }
        if let Some(bound) = bound.metrics {
            tracing::info!("Started Metrics Service at {}", bound.local_addr());
            probes.push(serve_http(bound, aside(serving, http::metrics))?);
        }
        Ok(Endpoints { grpc, probes })
    }

    /// Refuses new requests, lets those in flight end, closes the ports and unloads the models, in at most `limit`. No
    /// load is waited for.
    async fn drain(self, serving: &Serving, manager: &Manager, limit: Duration) -> Ended {
        tracing::info!("exiting: waiting up to {limit:?} for requests in flight");
        serving.enter(Stage::Exiting);
        // Whoever waits for a load hears so, and does not hold up the exit.
        manager.stop_loading();
        // What waits for the end of a sequence that nobody can end any more is executed now.
        serving.registry.retire();
        let until = Instant::now() + limit;
        let mut ended = Ended::InOrder;
        // A connection that is told to go makes its client fail new requests in words of the client's own. So that they
        // hear UNAVAILABLE from here, connections stay until what is in flight has been executed. What outlasts the
        // limit is found by the next step, which then has no time left.
        let _ = tokio::time::timeout(limit, serving.registry.settled()).await;
        if let Some(grpc) = &self.grpc
            && grpc.stop(until.saturating_duration_since(Instant::now())).await == Stopped::Cut
        {
            tracing::error!("exit timeout expired: connections were cut with requests in flight");
            ended = Ended::CutShort;
        }
        // What was cancelled above is let go of at once, unless an engine hangs.
        let rest = until.saturating_duration_since(Instant::now()).max(AT_LEAST);
        if tokio::time::timeout(rest, manager.shut_down()).await.is_err() {
            tracing::error!("exit timeout expired: models are still executing");
            ended = Ended::CutShort;
        }
        serving.tracer.close(until.saturating_duration_since(Instant::now()).max(AT_LEAST)).await;
        self.probes.iter().for_each(Endpoint::cut);
        ended
    }
}

type Answer = Response<Full<Bytes>>;

/// The handler of an HTTP port, which answers at once.
fn handler(
    serving: &Arc<Serving>,
    answer: fn(&Serving, &Request<Incoming>) -> Answer,
) -> impl Fn(Request<Incoming>) -> std::future::Ready<Answer> + Send + Sync + 'static {
    let serving = Arc::clone(serving);
    move |request| std::future::ready(answer(&serving, &request))
}

/// The handler of an HTTP port whose answers take long enough to keep a thread of the network from requests. One is made
/// at a time, and none that nobody waits for any more.
fn aside(
    serving: &Arc<Serving>,
    answer: fn(&Serving, &Request<Incoming>) -> Answer,
) -> impl Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync + 'static {
    let (serving, turn) = (Arc::clone(serving), Arc::new(Semaphore::new(1)));
    move |request| {
        let (serving, turn) = (Arc::clone(&serving), Arc::clone(&turn));
        Box::pin(async move {
            let turn = turn.acquire_owned().await;
            let work = move || {
                let _turn = turn;
                answer(&serving, &request)
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
                tracing::error!("a request to the metrics port was not answered: {error}");
                let mut failed = Answer::default();
                *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                failed
            })
        })
    }
}
