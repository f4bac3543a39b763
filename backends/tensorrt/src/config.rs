//! What TensorRT needs to know of a model's configuration besides its tensors.

use nerite_backend::BackendError;
use serde::Deserialize;

/// The configuration, as far as it is of interest here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    /// 0 if the model takes no batches, or if that is not decided yet.
    #[serde(alias = "maxBatchSize")]
    pub(crate) max_batch_size: i64,
    #[serde(alias = "instanceGroup")]
    instance_group: Vec<Group>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Group {
    name: String,
    gpus: Vec<u32>,
    profile: Vec<String>,
}

impl Config {
    /// Reads a configuration in protobuf's JSON; one of no text has nothing to say.
    pub(crate) fn read(json: &str) -> Result<Config, BackendError> {
        if json.is_empty() {
            return Ok(Config::default());
        }
        serde_json::from_str(json).map_err(|error| {
            BackendError::internal(format!("the model's configuration cannot be read: {error}"))
        })
    }

    /// The device of the first instance, on which the engine is loaded to begin with.
    pub(crate) fn first_gpu(&self) -> u32 {
        self.instance_group.iter().find_map(|group| group.gpus.first().copied()).unwrap_or(0)
    }

    /// The optimisation profiles that an instance may use, of so many that the engine has: those that its group names,
    /// or all.
    pub(crate) fn profiles(&self, instance: &str, count: usize) -> Result<Vec<usize>, BackendError> {
        let named = self.group_of(instance).map_or(&[][..], |group| &group.profile);
        if named.is_empty() {
            return Ok((0..count).collect());
        }
        let parse = |text: &String| {
            text.trim().parse().ok().filter(|&index: &usize| index < count).ok_or_else(|| {
                BackendError::invalid(format!(
                    "there is no optimization profile '{text}' for instance '{instance}': the engine has those from 0 to {}; \
                     correct the profile of the instance group",
                    count - 1
                ))
            })
        };
        named.iter().map(parse).collect()
    }

    /// The group that an instance belongs to: its name is followed by the instance's number, or by that of its device
    /// and then the instance's.
    fn group_of(&self, instance: &str) -> Option<&Group> {
        let belongs = |group: &&Group| {
            let rest = instance.strip_prefix(group.name.as_str()).and_then(|rest| rest.strip_prefix('_'));
            let rest = rest.map(|rest| rest.strip_prefix("gpu").unwrap_or(rest));
            rest.is_some_and(|rest| {
                !rest.is_empty() && rest.split('_').count() <= 2 && rest.split('_').all(is_number)
            })
        };
        self.instance_group.iter().filter(belongs).max_by_key(|group| group.name.len())
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"name": "m", "maxBatchSize": 8, "parameters": {}, "instanceGroup": [
        {"name": "m_1", "kind": "KIND_GPU", "count": 2, "gpus": [1, 0], "profile": ["2", "0"]},
        {"name": "m_10", "kind": "KIND_GPU", "count": 1, "profile": ["1"]},
        {"name": "all", "kind": "KIND_GPU", "count": 1},
        {"name": "wrong", "profile": ["3"]}, {"name": "worse", "profile": ["first"]}]}"#;

    #[test]
    fn an_instance_may_use_the_profiles_that_its_group_names_or_all() {
        let config = Config::read(CONFIG).unwrap();
        assert_eq!((config.max_batch_size, config.first_gpu()), (8, 1));
        for (instance, profiles) in [
            ("m_1_0", &[2, 0][..]),
            ("m_1_gpu0_1", &[2, 0]),
            ("m_10_0", &[1]),
            ("m_10_gpu1_12", &[1]),
            ("all_0", &[0, 1, 2]),
            ("another_0", &[0, 1, 2]),
        ] {
            assert_eq!(config.profiles(instance, 3).as_deref(), Ok(profiles), "{instance}");
        }
    }

    #[test]
    fn a_profile_that_the_engine_does_not_have_is_an_error() {
        let config = Config::read(CONFIG).unwrap();
        for (instance, profile) in [("wrong_0", "'3'"), ("worse_0", "'first'")] {
            let error = config.profiles(instance, 3).unwrap_err();
            assert!(error.message.contains(profile) && error.message.contains("from 0 to 2"), "{error}");
        }
    }

    #[test]
    fn no_configuration_has_nothing_to_say_and_fields_may_have_their_own_names() {
        let none = Config::read("").unwrap();
        assert_eq!((none.max_batch_size, none.first_gpu()), (0, 0));
        let own =
            Config::read(r#"{"max_batch_size": 2, "instance_group": [{"name": "g", "gpus": [3]}]}"#).unwrap();
        assert_eq!((own.max_batch_size, own.first_gpu()), (2, 3));
        assert!(Config::read("{").is_err());
    }
}
