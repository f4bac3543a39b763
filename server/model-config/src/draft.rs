use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nerite_backend::{Accelerator, Code, Configuration, Declaration, Optimization, is_hidden};
use nerite_core::model::{LoadError, LoadPlan, ModelDraft, ModelSpec};
use nerite_core::repository::ModelDirectory;
use nerite_proto::inference::model_optimization_policy::execution_accelerators::Accelerator as Configured;
use nerite_proto::inference::{ModelConfig, ModelOptimizationPolicy};

use crate::gpus::Gpus;
use crate::source::Options;
use crate::{
    agreement, backend_kind, complete, ensemble, files, instance_groups, json, normalise, scheduling,
    sequences, spec, support, validate, warm_up,
};

/// A configuration that is normalised and sound in itself, as far as that can be told without the model.
pub(crate) struct Draft {
    config: ModelConfig,
    plan: LoadPlan,
    /// The model's directory, in which labels are looked for.
    directory: PathBuf,
    /// `None` if only what is configured counts.
    default_max_batch_size: Option<u32>,
    default_max_queue_size: Option<usize>,
    gpus: Arc<dyn Gpus>,
}

impl Draft {
    /// Normalises and checks a configuration as it was written.
    pub(crate) fn new(
        mut config: ModelConfig,
        model: &ModelDirectory,
        options: &Options,
    ) -> Result<Draft, LoadError> {
        let auto_complete = !options.disable_auto_complete;
        if config.name.is_empty() {
            config.name = model.name.clone();
        }
        support::check(&config)?;
        if ensemble::is_ensemble(&config) {
            return Draft::of_ensemble(config, model, options);
        }
        backend_kind::fill_in(&mut config, model)?;
        let notes = support::notes(&config);
        normalise::normalise(&mut config);
        instance_groups::normalise(&mut config, &*options.gpus);

        validate::validate(&config)?;
        instance_groups::validate(&config)?;
        if !auto_complete || !complete::is_needed(&config) {
            validate::validate_tensors(&config)?;
            warm_up::validate_sizes(&config)?;
        }
        check_directory_name(&config, model)?;
        check_filename(&config)?;

        Ok(Draft {
            plan: LoadPlan { auto_complete, notes, ..plan(&config, &model.path, &*options.gpus)? },
            config,
            directory: model.path.clone(),
            default_max_batch_size: auto_complete.then_some(options.default_max_batch_size),
            default_max_queue_size: options.default_max_queue_size,
            gpus: Arc::clone(&options.gpus),
        })
    }

    /// The same for an ensemble, of which nothing is completed, since there is no engine that knows better.
    fn of_ensemble(
        mut config: ModelConfig,
        model: &ModelDirectory,
        options: &Options,
    ) -> Result<Draft, LoadError> {
        ensemble::fill_in(&mut config);
        let ensemble = ensemble::plan(&config)?;
        let notes = support::notes(&config);
        normalise::normalise_policy(&mut config);
        validate::validate_batch_size(&config)?;
        validate::validate_tensors(&config)?;
        check_directory_name(&config, model)?;
        let version_policy = normalise::version_policy(&config);
        Ok(Draft {
            plan: LoadPlan { version_policy, ensemble: ensemble.map(Arc::new), notes, ..LoadPlan::default() },
            config,
            directory: model.path.clone(),
            default_max_batch_size: None,
            default_max_queue_size: options.default_max_queue_size,
            gpus: Arc::clone(&options.gpus),
        })
    }
}

impl ModelDraft for Draft {
    fn plan(&self) -> &LoadPlan {
        &self.plan
    }

    fn complete(&self, declaration: &Declaration) -> Result<ModelSpec, LoadError> {
        let mut config = self.config.clone();
        match (&declaration.configuration, self.default_max_batch_size) {
            (Configuration::FromTensors, Some(default_max_batch_size)) => {
                complete::complete(&mut config, declaration, default_max_batch_size)?;
                normalise::normalise(&mut config);
            }
            (Configuration::Completed(text), Some(_)) => {
                config = complete::by_backend(&config, text)?;
                normalise::normalise(&mut config);
                instance_groups::normalise(&mut config, &*self.gpus);
                support::check(&config)?;
            }
            (Configuration::FromTensors | Configuration::AsWritten | Configuration::Completed(_), _) => {}
        }
        validate::validate(&config)?;
        validate::validate_tensors(&config)?;
        warm_up::validate_sizes(&config)?;
        // First what is a model's own: a control that it does not have would otherwise be taken for a missing input.
        let sequences = sequences::plan(&config, declaration, &self.directory)?;
        agreement::check(&config, declaration)?;
        let scheduling = scheduling::plan(&config, self.default_max_queue_size)?;
        let spec = spec::build(&config, declaration, &self.directory, scheduling)?;
        Ok(ModelSpec { sequences: sequences.map(Arc::new), ..spec })
    }

    fn compose(&self, decoupled: bool) -> Result<ModelSpec, LoadError> {
        let config = ensemble::composed(&self.config, decoupled);
        validate::validate_response_cache(&config)?;
        let plan = self.plan.ensemble.as_ref();
        let plan = plan.ok_or_else(|| LoadError::internal("a model that is no ensemble has no steps"))?;
        let scheduling = scheduling::plan(&config, self.default_max_queue_size)?;
        spec::build(&config, &plan.declaration, &self.directory, scheduling)
    }
}

fn plan(config: &ModelConfig, directory: &Path, gpus: &dyn Gpus) -> Result<LoadPlan, LoadError> {
    let parameters: BTreeMap<String, String> =
        config.parameters.iter().map(|(key, value)| (key.clone(), value.string_value.clone())).collect();
    Ok(LoadPlan {
        backend: config.backend.clone(),
        version_policy: normalise::version_policy(config),
        filename: Some(config.default_model_filename.clone()).filter(|name| !name.is_empty()),
        parameters,
        optimization: config.optimization.as_ref().map_or(Optimization::NONE, optimization),
        instances: instance_groups::plan(config, gpus),
        warm_ups: warm_up::plan(config, directory)?,
        configuration: if backend_kind::is_built_in(config) {
            Arc::default()
        } else {
            json::print(config).into()
        },
        ..LoadPlan::default()
    })
}

fn optimization(configured: &ModelOptimizationPolicy) -> Optimization {
    let all = configured.execution_accelerators.clone().unwrap_or_default();
    let accelerators = |all: Vec<Configured>| {
        let each = all.into_iter();
        each.map(|Configured { name, parameters }| Accelerator {
            name,
            parameters: parameters.into_iter().collect(),
        })
        .collect()
    };
    Optimization {
        graph_level: configured.graph.as_ref().map_or(0, |graph| graph.level),
        gpu_accelerators: accelerators(all.gpu_execution_accelerator),
        cpu_accelerators: accelerators(all.cpu_execution_accelerator),
    }
}

fn check_directory_name(config: &ModelConfig, model: &ModelDirectory) -> Result<(), LoadError> {
    if config.name == model.name {
        return Ok(());
    }
    Err(LoadError::invalid(format!(
        "unexpected directory name '{}' for model '{}', directory name must equal model name; rename \
         the directory, or set name to '{}' or leave it out",
        model.name, config.name, model.name
    )))
}

fn check_filename(config: &ModelConfig) -> Result<(), LoadError> {
    let filename = &config.default_model_filename;
    if filename.contains('\0') {
        return Err(LoadError::invalid(format!(
            "model file path {filename:?} in model '{}' cannot be served: no file's name has a NUL; set \
             default_model_filename to the name of the file that is there",
            config.name
        )));
    }
    if is_hidden(Path::new(filename)) {
        return Err(LoadError::invalid(format!(
            "model file path '{filename}' in model '{}' cannot be served: what has a name that begins with a dot is \
             passed over when the server looks for changes; rename it, and set default_model_filename to the new path",
            config.name
        )));
    }
    if !files::escapes(Path::new(filename)) {
        return Ok(());
    }
    Err(LoadError::new(
        Code::Unsupported,
        format!(
            "model file path '{filename}' in model '{}' is outside the version's directory; put the file there, and \
             set \
             default_model_filename to its path from there",
            config.name
        ),
    ))
}
