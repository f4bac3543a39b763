use nerite_core::model::LoadError;

/// Why a configuration is refused: what is wrong with it, in Triton's words where it has some, and what to do about it.
pub(crate) struct Reason {
    what: String,
    remedy: String,
}

impl Reason {
    /// A reason of these two parts.
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Reason {
        Reason { what: what.into(), remedy: remedy.into() }
    }

    /// Why that model is not served.
    pub(crate) fn refuses(self, model: &str) -> LoadError {
        LoadError::invalid(format!("{} for {model}; {}", self.what, self.remedy))
    }
}
