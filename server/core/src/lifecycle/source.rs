use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::repository::ModelDirectory;

/// What a model is to be loaded from.
#[derive(Clone)]
pub struct Source {
    /// Its directory, as it was when it was looked at.
    pub directory: ModelDirectory,
    /// A configuration in JSON that stands in for the directory's own.
    pub config: Option<Arc<str>>,
    /// Kept for as long as anything of the model is: a directory, say, that was made for it.
    pub(crate) keep: Option<Arc<dyn Any + Send + Sync>>,
}

impl Source {
    /// The directory with another configuration than its own.
    pub fn with_config(self, config: Option<Arc<str>>) -> Source {
        Source { config, ..self }
    }

    /// Whether both lead to the same model. What comes with a configuration of its own never does: whoever gives one
    /// wants it to be read.
    pub(super) fn is_same(&self, other: &Source) -> bool {
        self.config.is_none() && other.config.is_none() && self.directory == other.directory
    }
}

impl From<ModelDirectory> for Source {
    fn from(directory: ModelDirectory) -> Source {
        Source { directory, config: None, keep: None }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Source { directory, config, .. } = self;
        f.debug_struct("Source").field("directory", directory).field("config", config).finish_non_exhaustive()
    }
}
