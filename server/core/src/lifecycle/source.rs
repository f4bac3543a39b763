use std::any::Any;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::repository::{Fingerprint, Found, ModelDirectory, find};

/// What a model is to be loaded from.
#[derive(Clone)]
pub struct Source {
    /// Its directory, as it was when it was looked at.
    pub directory: ModelDirectory,
    /// A configuration in JSON that stands in for the directory's own.
    pub config: Option<Arc<str>>,
    /// Kept for as long as anything of the model is: a directory, say, that was made for it.
    pub(crate) keep: Option<Arc<dyn Any + Send + Sync>>,
    /// Whether somebody tells of the next change of the directory when it is over.
    is_followed: bool,
}

impl Source {
    /// A directory whose next change will be told of when it is over: nothing is to be loaded of it until then.
    pub(super) fn followed(directory: ModelDirectory) -> Source {
        Source { is_followed: true, ..Source::from(directory) }
    }

    /// A directory that was made for the model, and is kept for as long as anything of it is.
    pub(super) fn kept(
        directory: ModelDirectory,
        config: Option<Arc<str>>,
        keep: Arc<dyn Any + Send + Sync>,
    ) -> Source {
        Source { config, keep: Some(keep), ..Source::from(directory) }
    }

    /// Whether somebody tells of the next change of the directory when it is over.
    pub(super) fn is_followed(&self) -> bool {
        self.is_followed
    }

    /// Whether the files, those of a version among them, are still what they were when the directory was looked at. Where
    /// it is followed and they are not, a change has begun, and what is read may be half of it.
    pub(super) fn has_changed(&self, version: Option<u64>) -> bool {
        if !self.is_followed {
            return false;
        }
        let then = &self.directory.fingerprint;
        let of_version =
            |fingerprint: &Fingerprint| version.map(|version| fingerprint.versions.get(&version).copied());
        let is_same = |now: &Fingerprint| now.shared == then.shared && of_version(now) == of_version(then);
        !matches!(self.find(), Found::Model(now) if is_same(&now.fingerprint))
    }

    /// The directory as it is now, unless it is followed: since it was looked at, its files may have changed, and that may
    /// have been loaded.
    pub(super) fn refreshed(self) -> Source {
        if self.is_followed {
            return self;
        }
        match self.find() {
            Found::Model(directory) => Source { directory, ..self },
            // It is for whoever reads it to say what is wrong.
            Found::Refused(_) | Found::Absent => self,
        }
    }

    fn find(&self) -> Found {
        let repository = self.directory.path.parent().map(Path::to_owned);
        find(repository.as_slice(), &self.directory.name)
    }

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
        Source { directory, config: None, keep: None, is_followed: false }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Source { directory, config, .. } = self;
        f.debug_struct("Source").field("directory", directory).field("config", config).finish_non_exhaustive()
    }
}
