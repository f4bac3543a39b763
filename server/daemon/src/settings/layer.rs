//! What one source says, and what all of them say together.

use std::collections::BTreeMap;

use config::{Config, ConfigError, Map, Source, Value, ValueKind};

use super::error::{Origin, SettingsError};
use super::flag::{Flag, Standing};
use super::flags;
use super::kind::boolean;
use super::values::Values;

/// The settings of one source: the defaults, the file, the variables or the flags. Every value is of its flag's
/// kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer(BTreeMap<&'static str, Setting>);

/// What a source says of one flag.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// Who says so.
    pub(super) origin: Origin,
    /// One value, or as many as were given if they accumulate.
    pub(super) values: Vec<ValueKind>,
    by_alias: bool,
}

impl Layer {
    /// The lowest of the sources.
    pub(super) fn defaults() -> Result<Self, SettingsError> {
        let mut layer = Self::default();
        for flag in flags::FLAGS {
            if let (Some(text), Standing::Works(_)) = (flag.default, flag.standing) {
                layer.set(flag, text, Origin::Default)?;
            }
        }
        Ok(layer)
    }

    /// Takes a value: one more if they accumulate, else instead of an earlier one.
    ///
    /// Fails if `text` is not of the flag's kind.
    pub(super) fn set(
        &mut self,
        flag: &'static Flag,
        text: &str,
        origin: Origin,
    ) -> Result<(), SettingsError> {
        let Some(value) = flag.kind.read(text) else {
            let expected = flag.kind.expected();
            return Err(SettingsError::Value { origin, found: text.to_owned(), expected });
        };
        let (name, by_alias) = match flag.standing {
            Standing::AliasOf(name) => (name, true),
            _ => (flag.name, false),
        };
        match self.0.get_mut(name) {
            Some(setting) if flag.many => setting.values.push(value),
            Some(setting) if by_alias && !setting.by_alias => {}
            _ => {
                self.0.insert(name, Setting { origin, values: vec![value], by_alias });
            }
        }
        Ok(())
    }

    /// What it says of the flag of that name, which is not an alias.
    pub(super) fn get(&self, name: &str) -> Option<&Setting> {
        self.0.get(name)
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    /// The working settings, by their place in `Values`.
    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let place = |(name, setting): (&&str, &Setting)| {
            let flag = flags::find(name)?;
            let Standing::Works(key) = flag.standing else { return None };
            let origin = Some(setting.origin.to_string());
            let value = |kind: &ValueKind| Value::new(origin.as_ref(), kind.clone());
            let value = if flag.many {
                Value::new(origin.as_ref(), setting.values.iter().map(value).collect::<Vec<_>>())
            } else {
                value(setting.values.last()?)
            };
            Some((key.to_owned(), value))
        };
        Ok(self.0.iter().filter_map(place).collect())
    }
}

/// All sources, the lowest first.
#[derive(Debug)]
pub(super) struct Layers(pub(super) Vec<Layer>);

impl Layers {
    /// What the highest of the sources that speak of it says of the flag of that name.
    pub(super) fn effective(&self, name: &str) -> Option<&Setting> {
        self.0.iter().rev().find_map(|layer| layer.get(name))
    }

    /// Whether anyone but the defaults speaks of it; then who.
    pub(super) fn given(&self, name: &str) -> Option<&Origin> {
        let origin = &self.effective(name)?.origin;
        (*origin != Origin::Default).then_some(origin)
    }

    /// The working settings, each from the highest source that gives it.
    pub(super) fn merge(&self) -> Result<Values, SettingsError> {
        let mut builder = Config::builder();
        for layer in &self.0 {
            builder = builder.add_source(layer.clone());
        }
        Ok(builder.build()?.try_deserialize()?)
    }
}

impl Setting {
    /// Whether it says just this, in whichever spelling.
    pub(super) fn is(&self, text: &str) -> bool {
        match self.values.as_slice() {
            [ValueKind::Boolean(value)] => boolean(text) == Some(*value),
            [value] => value.to_string() == text,
            _ => false,
        }
    }
}
