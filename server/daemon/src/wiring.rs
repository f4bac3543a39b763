//! Which engines and which configuration format the core is given.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use nerite_backend::Backend;
use nerite_core::execution::{Machinery, MachineryOptions, Network};
use nerite_core::lifecycle::Loader;
use nerite_model_config::ModelConfigs;
use nerite_onnxruntime::OnnxRuntime;
use tokio::runtime::Handle;

use crate::settings::{Backends, Repository};

/// A loader with every engine that this daemon has.
pub(crate) fn loader(repository: &Repository, backends: &Backends, machinery: Machinery) -> Loader {
    let configs = ModelConfigs::new(nerite_model_config::Options {
        disable_auto_complete: repository.strict_config,
        config_name: repository.config_name.clone(),
        default_max_batch_size: backends.onnxruntime.default_max_batch_size,
        default_max_queue_size: None,
    });
    let onnxruntime: Arc<dyn Backend> = Arc::new(OnnxRuntime::new(onnxruntime_options(backends)));
    let backends = HashMap::from([("onnxruntime".to_owned(), onnxruntime)]);
    Loader::new(Box::new(configs), backends, Arc::new(machinery))
}

/// What executes models beside the network that is served on this runtime.
pub(crate) fn machinery(runtime: Handle) -> Machinery {
    let threads = runtime.metrics().num_workers();
    Machinery::new(MachineryOptions {
        network: Some(Network { runtime, threads }),
        ..MachineryOptions::default()
    })
}

fn onnxruntime_options(backends: &Backends) -> nerite_onnxruntime::Options {
    let settings = &backends.onnxruntime;
    nerite_onnxruntime::Options {
        library: settings.library.clone(),
        global_thread_pool: settings.global_thread_pool.unwrap_or(true),
        intra_op_threads: settings.intra_op_threads.map_or(0, NonZeroU16::get),
        inter_op_threads: settings.inter_op_threads.map_or(0, NonZeroU16::get),
    }
}
