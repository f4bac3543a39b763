//! What clients change of the rules.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::rules::{Rule, Rules};
use super::setting::{Change, Field, Invalid, Overlay, Setting};
use crate::settings::TraceMode;

/// What clients have set, and what is in force where they have not.
#[derive(Debug)]
pub(super) struct Overrides {
    defaults: Setting,
    mode: TraceMode,
    has_file: bool,
    general: Overlay,
    models: BTreeMap<String, Overlay>,
}

impl Overrides {
    /// None yet.
    pub(super) fn new(defaults: Setting, mode: TraceMode, has_file: bool) -> Overrides {
        Overrides { defaults, mode, has_file, general: Overlay::default(), models: BTreeMap::new() }
    }

    /// The rules of the beginning.
    pub(super) fn first(&self) -> Rules {
        Rules { general: self.rule("", self.defaults, None), models: HashMap::new() }
    }

    /// Changes the settings of a model, or of all others if that is empty. Nothing is changed that could not be in force.
    pub(super) fn change(&mut self, model: &str, change: &Change) -> Result<(), Invalid> {
        let (old, base) = match model {
            "" => (self.general, self.defaults),
            model => {
                let old = self.models.get(model).copied().unwrap_or_default();
                (old, self.general.over(&self.defaults))
            }
        };
        let new = old.changed(change);
        new.over(&base).check(self.mode, self.has_file)?;
        match model {
            "" => self.general = new,
            // Whoever has nothing of its own is like all others.
            model if new == Overlay::default() => drop(self.models.remove(model)),
            model => drop(self.models.insert(model.to_owned(), new)),
        }
        Ok(())
    }

    /// The rules that are in force from now on. Those that are as they were go on counting, and a limit that is as it was
    /// goes on being used up, unless this change sets it.
    pub(super) fn rules(&self, old: &Rules, changed: &str, change: &Change) -> Rules {
        let general = self.general.over(&self.defaults);
        let sets_count = change.count != Field::Keep;
        let next = |model: &str, setting: Setting, old: Option<&Arc<Rule>>| {
            let Some(old) = old else { return self.rule(model, setting, None) };
            let sets_count = sets_count && model == changed;
            if old.setting == setting && !sets_count {
                return Arc::clone(old);
            }
            let kept = !sets_count && old.setting.count == setting.count;
            self.rule(model, setting, kept.then(|| old.sampler.left()).flatten())
        };
        let own = |(model, overlay): (&String, &Overlay)| {
            (model.clone(), next(model, overlay.over(&general), old.models.get(model)))
        };
        let models = self.models.iter().map(own).collect();
        Rules { general: next("", general, Some(&old.general)), models }
    }

    /// A rule that takes `left` more, or as many as its setting says.
    fn rule(&self, model: &str, setting: Setting, left: Option<u32>) -> Arc<Rule> {
        let on = !setting.level.is_off() && setting.check(self.mode, self.has_file).is_ok();
        Rule::new(model, setting, left.or(setting.count), on)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::TraceLevel;

    const TIMESTAMPS: TraceLevel = TraceLevel { timestamps: true, tensors: false };
    const DEFAULTS: Setting = Setting { level: TraceLevel::OFF, rate: 1000, count: None, log_frequency: 0 };

    fn field<T: std::fmt::Debug + Clone + 'static>(
        value: impl Strategy<Value = T> + 'static,
    ) -> impl Strategy<Value = Field<T>> {
        prop_oneof![Just(Field::Keep), Just(Field::Clear), value.prop_map(Field::Set)]
    }

    fn change() -> impl Strategy<Value = Change> {
        let level = any::<bool>().prop_map(|timestamps| TraceLevel { timestamps, tensors: false });
        (field(level), field(1u32..9), field(prop::option::of(0u32..9)), field(0u32..9))
            .prop_map(|(level, rate, count, log_frequency)| Change { level, rate, count, log_frequency })
    }

    /// What a model was told last, or all models, or what was there to begin with.
    fn expected<T: Copy>(
        history: &[(String, Change)],
        model: &str,
        field: fn(&Change) -> Field<T>,
        default: T,
    ) -> T {
        let told = |of: &str| {
            let last = history.iter().rev().filter(|(name, _)| name == of).map(|(_, change)| field(change));
            last.into_iter().find(|field| !matches!(field, Field::Keep))
        };
        for of in [model, ""] {
            if let Some(Field::Set(value)) = told(of) {
                return value;
            }
        }
        default
    }

    proptest! {
        #[test]
        fn the_last_word_counts_and_a_models_own_before_that_about_all(
            history in prop::collection::vec(("|a|b", change()), 0..20)
        ) {
            let mut overrides = Overrides::new(DEFAULTS, TraceMode::Triton, true);
            let mut rules = overrides.first();
            for (model, change) in &history {
                overrides.change(model, change).unwrap();
                rules = overrides.rules(&rules, model, change);
            }
            for model in ["a", "b", "c", ""] {
                let setting = Setting {
                    level: expected(&history, model, |c| c.level, DEFAULTS.level),
                    rate: expected(&history, model, |c| c.rate, DEFAULTS.rate),
                    count: expected(&history, model, |c| c.count, DEFAULTS.count),
                    log_frequency: expected(&history, model, |c| c.log_frequency, DEFAULTS.log_frequency),
                };
                let rule = rules.rule(model);
                prop_assert_eq!((rule.setting, rule.on), (setting, !setting.level.is_off()));
            }
            prop_assert_eq!(rules.is_on(), ["a", "b", ""].iter().any(|model| rules.rule(model).on));
        }
    }

    #[test]
    fn what_could_not_be_in_force_is_refused_and_changes_nothing() {
        let on = Change { level: Field::Set(TIMESTAMPS), ..Change::default() };
        let never = Change { rate: Field::Set(0), ..on };
        let tensors = Change { level: Field::Set(TraceLevel { tensors: true, ..TIMESTAMPS }), ..on };
        for (mode, has_file, change, error) in [
            (TraceMode::Triton, false, on, Some(Invalid::FileMissing)),
            (TraceMode::Triton, true, never, Some(Invalid::RateOfZero)),
            (TraceMode::Triton, true, tensors, None),
            (TraceMode::OpenTelemetry, false, never, None),
            (TraceMode::OpenTelemetry, false, tensors, Some(Invalid::TensorsToReceiver)),
        ] {
            let mut overrides = Overrides::new(DEFAULTS, mode, has_file);
            let rules = overrides.first();
            assert_eq!(overrides.change("m", &change).err(), error, "{mode:?} {change:?}");
            assert_eq!(overrides.rules(&rules, "m", &change).rule("m").on, error.is_none());
        }
    }

    #[test]
    fn a_limit_goes_on_being_used_up_unless_it_is_set_anew() {
        let setting = Setting { level: TIMESTAMPS, rate: 1, count: Some(3), ..DEFAULTS };
        let mut overrides = Overrides::new(setting, TraceMode::Triton, true);
        let rules = overrides.first();
        assert!(rules.rule("m").sampler.takes(None));
        let slower = Change { rate: Field::Set(2), ..Change::default() };
        overrides.change("", &slower).unwrap();
        let rules = overrides.rules(&rules, "", &slower);
        assert_eq!(rules.rule("m").sampler.left(), Some(2));
        let anew = Change { count: Field::Set(Some(3)), ..Change::default() };
        overrides.change("", &anew).unwrap();
        assert_eq!(overrides.rules(&rules, "", &anew).rule("m").sampler.left(), Some(3));
    }
}
