//! Which rule a model's requests are traced by.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::sampler::Sampler;
use super::setting::Setting;

/// By which requests are traced. One that has been sampled goes on under the rule that took it.
#[derive(Debug)]
pub(super) struct Rule {
    /// The model whose own it is; empty for that of all others.
    pub(super) model: String,
    pub(super) setting: Setting,
    pub(super) sampler: Sampler,
    /// Whether anything is traced by it at all.
    pub(super) on: bool,
    /// How many it takes in all, if there is a limit.
    count: Option<u32>,
    /// How many of those have been written or given up.
    closed: AtomicU32,
}

/// A trace by a rule, from its beginning until it has been written or given up.
#[derive(Debug)]
pub(super) struct OpenTrace(Arc<Rule>);

/// All rules.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) general: Arc<Rule>,
    /// Of the models that have one of their own.
    pub(super) models: HashMap<String, Arc<Rule>>,
}

impl Rule {
    pub(super) fn new(model: &str, setting: Setting, count: Option<u32>, on: bool) -> Arc<Rule> {
        let sampler = Sampler::new(setting.rate, count);
        Arc::new(Rule { model: model.to_owned(), setting, sampler, on, count, closed: AtomicU32::new(0) })
    }

    /// Takes a request, which its caller says to trace or not to, or leaves it. The latter costs no more than the sampler.
    pub(super) fn take(self: &Arc<Rule>, sampled: Option<bool>) -> Option<OpenTrace> {
        (self.on && self.sampler.takes(sampled)).then(|| OpenTrace(Arc::clone(self)))
    }
}

impl OpenTrace {
    /// The rule by which it was taken.
    pub(super) fn rule(&self) -> &Rule {
        &self.0
    }

    /// Whether it is the last that there will be of the rule, and the last that is open.
    pub(super) fn is_last(&self) -> bool {
        let others = self.0.closed.load(Ordering::Acquire) + 1;
        self.0.sampler.left() == Some(0) && self.0.count.is_some_and(|count| count == others)
    }
}

impl Drop for OpenTrace {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::AcqRel);
    }
}

impl Rules {
    /// The rule for a model's requests.
    pub(super) fn rule(&self, model: &str) -> &Arc<Rule> {
        let own = if self.models.is_empty() { None } else { self.models.get(model) };
        own.unwrap_or(&self.general)
    }

    /// Whether any request at all may be traced.
    pub(super) fn is_on(&self) -> bool {
        self.general.on || self.models.values().any(|rule| rule.on)
    }
}
