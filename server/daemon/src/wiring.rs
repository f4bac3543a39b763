//! Which engines and which configuration format the core is given.

use std::collections::HashMap;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;

use nerite_backend::Backend;
use nerite_backend::metrics::Family;
use nerite_core::execution::{Machinery, MachineryOptions, Network};
use nerite_core::lifecycle::Loader;
use nerite_core::rate_limiter::RateLimiter;
use nerite_model_config::{Gpus, ModelConfigs};
use nerite_onnxruntime::OnnxRuntime;
use nerite_plugin_host::{Plugins, Setting};
use nerite_tensorrt::TensorRt;
use tokio::runtime::Handle;

use crate::host::DaemonHost;
use crate::memory;
use crate::serving::Serving;
use crate::settings::{BackendSetting, Backends, Repository, Scheduling};

/// A loader with every engine that this daemon has. Its models may be executed on the threads of `network`, if there is one.
pub(crate) fn loader(
    repository: &Repository,
    backends: &Backends,
    scheduling: &Scheduling,
    network: Option<Handle>,
) -> Loader {
    let onnxruntime = OnnxRuntime::new(onnxruntime_options(backends));
    let configs = ModelConfigs::new(nerite_model_config::Options {
        disable_auto_complete: repository.strict_config,
        config_name: repository.config_name.clone(),
        default_max_batch_size: backends.onnxruntime.default_max_batch_size,
        default_max_queue_size: Some(scheduling.default_max_queue_size).filter(|&size| size > 0),
        gpus: Arc::new(NvidiaGpus { onnxruntime: onnxruntime.clone() }),
    });
    let onnxruntime: Arc<dyn Backend> = Arc::new(onnxruntime);
    let plugins = Plugins::new(plugin_options(repository, backends));
    let tensorrt: Arc<dyn Backend> = Arc::new(TensorRt::new(tensorrt_options(backends)));
    let backends =
        HashMap::from([("onnxruntime".to_owned(), onnxruntime), ("tensorrt".to_owned(), tensorrt)]);
    Loader::new(Box::new(configs), backends, Arc::new(machinery(scheduling, network)))
        .with_plugins(Arc::new(plugins))
}

/// The GPUs, as far as engines can use them.
#[derive(Debug)]
struct NvidiaGpus {
    onnxruntime: OnnxRuntime,
}

impl Gpus for NvidiaGpus {
    fn count(&self) -> u32 {
        nerite_cuda::device_count(None)
    }

    fn serve(&self, _backend: &str) -> bool {
        self.onnxruntime.can_use_gpus()
    }
}

/// Has what plugins ask of the server answered, from before the first model is loaded.
pub(crate) fn answer_plugins(serving: &Arc<Serving>) {
    nerite_plugin_host::set_host(Arc::new(DaemonHost::new(serving, Handle::current())));
}

/// The metrics that plugins keep.
pub(crate) fn plugin_metrics() -> Vec<Family> {
    nerite_plugin_host::metrics()
}

fn machinery(scheduling: &Scheduling, network: Option<Handle>) -> Machinery {
    let network = network.map(|runtime| Network { threads: runtime.metrics().num_workers(), runtime });
    let rate_limiter = scheduling
        .rate_limit
        .enabled
        .then(|| Arc::new(RateLimiter::new(scheduling.rate_limit.resources.clone())));
    let hold = scheduling.hold.map_or(0, NonZeroUsize::get);
    let backlog_hold = scheduling.backlog_hold.map_or(0, NonZeroUsize::get);
    Machinery::new(MachineryOptions { network, rate_limiter, hold, backlog_hold, stall: scheduling.stall })
}

fn plugin_options(repository: &Repository, backends: &Backends) -> nerite_plugin_host::Options {
    let settings = backends.plugins.iter().cloned();
    nerite_plugin_host::Options {
        directory: backends.directory.clone(),
        auto_complete: !repository.strict_config,
        settings: settings
            .map(|BackendSetting { backend, key, value }| Setting { backend, key, value })
            .collect(),
    }
}

fn tensorrt_options(backends: &Backends) -> nerite_tensorrt::Options {
    let settings = backends.tensorrt.clone();
    nerite_tensorrt::Options {
        library: settings.library,
        driver: None,
        plugins: settings.plugins,
        version_compatible: settings.version_compatible,
    }
}

fn onnxruntime_options(backends: &Backends) -> nerite_onnxruntime::Options {
    let settings = &backends.onnxruntime;
    nerite_onnxruntime::Options {
        library: settings.library.clone(),
        global_thread_pool: settings.global_thread_pool.unwrap_or(true),
        intra_op_threads: settings.intra_op_threads.map_or(0, NonZeroU16::get),
        inter_op_threads: settings.inter_op_threads.map_or(0, NonZeroU16::get),
        memory: memory::available(),
        driver: None,
    }
}
