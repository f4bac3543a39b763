use nerite_backend::InstanceKind;
use nerite_core::model::{InstanceGroup, LoadError, RateLimit, ResourceDemand};
use nerite_proto::inference::model_instance_group::Kind;
use nerite_proto::inference::{ModelConfig, ModelInstanceGroup, ModelRateLimiter};

use crate::backend_kind;

/// The most instances of a group; more is a mistake that would only cost memory.
const MAX_COUNT: i32 = 4096;

/// Writes the defaults into `instance_group`: one group if there is none, and names, kinds and counts.
pub(crate) fn normalise(config: &mut ModelConfig) {
    if config.instance_group.is_empty() {
        config.instance_group.push(ModelInstanceGroup { name: config.name.clone(), ..Default::default() });
    }
    let is_built_in = backend_kind::is_built_in(config);
    for (i, group) in config.instance_group.iter_mut().enumerate() {
        if group.name.is_empty() {
            group.name = format!("{}_{i}", config.name);
        }
        if Kind::try_from(group.kind) == Ok(Kind::Auto) {
            group.set_kind(Kind::Cpu);
        }
        if group.count < 1 {
            group.count = if group.kind() == Kind::Cpu && is_built_in { 2 } else { 1 };
        }
    }
}

/// Checks the normalised groups.
pub(crate) fn validate(config: &ModelConfig) -> Result<(), LoadError> {
    config.instance_group.iter().try_for_each(|group| {
        let error = |what: &str| {
            LoadError::invalid(format!("instance group {} of model {} {what}", group.name, config.name))
        };
        match Kind::try_from(group.kind) {
            Ok(Kind::Gpu) => {
                return Err(error(
                    "has kind KIND_GPU but server does not support GPUs: there is no GPU support in this build; use \
                     KIND_CPU or KIND_AUTO",
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

/// The groups of a normalised and checked configuration as loading needs them.
pub(crate) fn plan(config: &ModelConfig) -> Vec<InstanceGroup> {
    let groups = config.instance_group.iter();
    groups
        .map(|group| InstanceGroup {
            name: group.name.clone(),
            kind: if group.kind() == Kind::Model { InstanceKind::Model } else { InstanceKind::Cpu },
            count: group.count.unsigned_abs(),
            rate_limit: group.rate_limiter.as_ref().map(rate_limit),
        })
        .collect()
}

fn rate_limit(configured: &ModelRateLimiter) -> RateLimit {
    let resources = configured.resources.iter().map(|resource| ResourceDemand {
        name: resource.name.clone(),
        count: resource.count,
        global: resource.global,
    });
    RateLimit { resources: resources.collect(), priority: configured.priority }
}
