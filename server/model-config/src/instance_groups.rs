use nerite_backend::InstanceKind;
use nerite_core::model::{InstanceGroup, LoadError, RateLimit, ResourceDemand};
use nerite_proto::inference::model_instance_group::Kind;
use nerite_proto::inference::{ModelConfig, ModelInstanceGroup, ModelRateLimiter};

use crate::backend_kind::{self, Placement};
use crate::gpus::Gpus;

/// The most instances of a group; more is a mistake that would only cost memory.
const MAX_COUNT: i32 = 4096;

/// Writes the defaults into `instance_group`: one group if there is none, and names, kinds and counts.
pub(crate) fn normalise(config: &mut ModelConfig, gpus: &dyn Gpus) {
    if config.instance_group.is_empty() {
        config.instance_group.push(ModelInstanceGroup { name: config.name.clone(), ..Default::default() });
    }
    let is_built_in = backend_kind::is_built_in(config);
    let backend = config.backend.clone();
    let automatic = || match backend_kind::placement(&backend) {
        Placement::Gpu => Kind::Gpu,
        Placement::Any if gpus.serve(&backend) => Kind::Gpu,
        Placement::Any | Placement::Cpu => Kind::Cpu,
    };
    for (i, group) in config.instance_group.iter_mut().enumerate() {
        if group.name.is_empty() {
            group.name = format!("{}_{i}", config.name);
        }
        if Kind::try_from(group.kind) == Ok(Kind::Auto) {
            group.set_kind(automatic());
        }
        if group.count < 1 {
            group.count = if group.kind() == Kind::Cpu && is_built_in { 2 } else { 1 };
        }
    }
}

/// Checks the normalised groups.
pub(crate) fn validate(config: &ModelConfig) -> Result<(), LoadError> {
    let placement = backend_kind::placement(&config.backend);
    config.instance_group.iter().try_for_each(|group| {
        let error = |what: &str| {
            LoadError::invalid(format!("instance group {} of model {} {what}", group.name, config.name))
        };
        match Kind::try_from(group.kind) {
            Ok(Kind::Gpu) if placement != Placement::Cpu => {
                if let Some(gpu) = group.gpus.iter().find(|gpu| **gpu < 0) {
                    return Err(error(&format!("specifies GPU {gpu}; correct its gpus, which count from 0")));
                }
            }
            Ok(Kind::Cpu | Kind::Model) if placement == Placement::Gpu => {
                return Err(error(&format!(
                    "has kind {}, and models of backend {} run on GPUs alone; use KIND_GPU or KIND_AUTO",
                    group.kind().as_str_name(),
                    config.backend
                )));
            }
            Ok(Kind::Gpu) => {
                return Err(error(
                    "has kind KIND_GPU but server does not support GPUs for its backend; use KIND_CPU or KIND_AUTO",
                ));
            }
            Ok(Kind::Cpu) if !group.gpus.is_empty() => {
                return Err(error("has kind KIND_CPU but specifies one or more GPUs; remove its gpus"));
            }
            Ok(Kind::Model) if !group.gpus.is_empty() => {
                return Err(error("has kind KIND_MODEL but specifies one or more GPUs; remove its gpus"));
            }
            Ok(Kind::Auto | Kind::Cpu | Kind::Model) => {}
            Err(_) => return Err(error(&format!("has the unknown kind {}; use KIND_AUTO or KIND_CPU", group.kind))),
        }
        if !group.profile.is_empty() && config.platform != "tensorrt_plan" {
            let platform = &config.platform;
            return Err(error(&format!(
                "and platform {platform} specifies profile field which is only supported for TensorRT models; \
                 remove its profile"
            )));
        }
        if group.count > MAX_COUNT {
            return Err(error(&format!("has count {}, which must be <= {MAX_COUNT}; lower its count", group.count)));
        }
        Ok(())
    })
}

/// The groups of a normalised and checked configuration as loading needs them. A group on several GPUs is one for each, and
/// one that names none is on every GPU.
pub(crate) fn plan(config: &ModelConfig, gpus: &dyn Gpus) -> Vec<InstanceGroup> {
    config.instance_group.iter().flat_map(|group| on_devices(group, gpus)).collect()
}

fn on_devices(group: &ModelInstanceGroup, gpus: &dyn Gpus) -> Vec<InstanceGroup> {
    let made = |name: String, kind| InstanceGroup {
        name,
        kind,
        count: group.count.unsigned_abs(),
        rate_limit: group.rate_limiter.as_ref().map(rate_limit),
    };
    match group.kind() {
        Kind::Model => vec![made(group.name.clone(), InstanceKind::Model)],
        Kind::Gpu => {
            let named = group.gpus.iter().map(|gpu| gpu.unsigned_abs());
            // Where there is none it is for the engine to say so.
            let all = || (0..gpus.count().max(1)).collect();
            let on: Vec<u32> = if group.gpus.is_empty() { all() } else { named.collect() };
            match on.as_slice() {
                [gpu] => vec![made(group.name.clone(), InstanceKind::Gpu(*gpu))],
                _ => on
                    .iter()
                    .map(|gpu| made(format!("{}_gpu{gpu}", group.name), InstanceKind::Gpu(*gpu)))
                    .collect(),
            }
        }
        Kind::Auto | Kind::Cpu => vec![made(group.name.clone(), InstanceKind::Cpu)],
    }
}

fn rate_limit(configured: &ModelRateLimiter) -> RateLimit {
    let resources = configured.resources.iter().map(|resource| ResourceDemand {
        name: resource.name.clone(),
        count: resource.count,
        global: resource.global,
    });
    RateLimit { resources: resources.collect(), priority: configured.priority }
}
