use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::file_system::changed_elsewhere;
use super::inbox::{Inbox, Touch};
use super::places::{Place, places};

/// The system's notification of changes, put into an [`Inbox`], and which models each concerns.
///
/// Every directory is watched by itself, by its path without links, and every watch is set again at each look at its model:
/// the library's own way down a tree stops at a directory that may not be read, knows one path for each directory where
/// two models may link to it, does not see a link go elsewhere, and by its path may forget one that has come anew.
pub(super) struct Notification {
    watcher: RecommendedWatcher,
    /// Directories within which the first component is the model's name.
    roots: Vec<PathBuf>,
    /// Where models have files outside of their directory in the repository, by that directory.
    outside: HashMap<PathBuf, BTreeSet<Place>>,
    /// Which models, by their directories, are concerned by what happens at a place outside, or in it.
    concerned: HashMap<PathBuf, BTreeSet<PathBuf>>,
}

/// Why notification does not tell of everything.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unwatchable {
    /// Changes are made where this kernel does not know of them.
    #[error("'{}' is on a file system that does not tell of every change ({file_system})", path.display())]
    ChangedElsewhere { path: PathBuf, file_system: &'static str },
    /// The system watches no more.
    #[error(
        "the system's limit of watched directories or of watchers is reached; it is raised by sysctl \
         fs.inotify.max_user_watches and fs.inotify.max_user_instances"
    )]
    LimitReached,
    /// Something else.
    #[error("notification of changes failed: {0}")]
    Failed(String),
}

impl Notification {
    /// Notification of nothing yet.
    pub(super) fn new(inbox: Arc<Inbox>) -> Result<Notification, Unwatchable> {
        let handler = move |event| tell(&inbox, event);
        let watcher =
            RecommendedWatcher::new(handler, Config::default()).map_err(|error| match error.kind {
                notify::ErrorKind::Io(error) if is_limit(&error) => Unwatchable::LimitReached,
                _ => Unwatchable::Failed(error.to_string()),
            })?;
        let (outside, concerned) = (HashMap::new(), HashMap::new());
        Ok(Notification { watcher, roots: Vec::new(), outside, concerned })
    }

    /// Watches a repository's directory, but not what is in it. The path leads through no link.
    pub(super) fn watch_root(&mut self, root: &Path) -> Result<(), Unwatchable> {
        if !self.roots.iter().any(|other| other == root) {
            self.roots.push(root.to_owned());
        }
        local(root)?;
        self.watch(root)
    }

    /// Watches everything that belongs to a model in a repository that is watched; and no more what has ceased to.
    pub(super) fn watch_model(&mut self, root: &Path, name: &str) -> Result<(), Unwatchable> {
        let model = root.join(name);
        if model.symlink_metadata().is_err() {
            self.claim(&model, BTreeSet::new());
            return Ok(());
        }
        let places = places(&model);
        let is_outside = |place: &&Place| !place.path().starts_with(&model);
        self.claim(&model, places.iter().filter(is_outside).cloned().collect());
        local(&model)?;
        for place in &places {
            if is_outside(&place) {
                local(place.watched())?;
            }
            self.watch(place.watched())?;
        }
        Ok(())
    }

    /// The models that something which happened to a path concerns.
    pub(super) fn concerned(&self, path: &Path) -> BTreeSet<String> {
        let inside = self.roots.iter().filter_map(|root| path.strip_prefix(root).ok()?.iter().next());
        let places = [Some(path), path.parent()];
        let outside = places.into_iter().flatten().filter_map(|place| self.concerned.get(place)).flatten();
        let names = inside.chain(outside.filter_map(|model| model.file_name()));
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// Takes note of where a model has files outside of its directory, and watches no longer where it had some.
    fn claim(&mut self, model: &Path, now: BTreeSet<Place>) {
        let before = self.outside.remove(model).unwrap_or_default();
        for gone in before.difference(&now) {
            if let Some(models) = self.concerned.get_mut(gone.path()) {
                models.remove(model);
                if models.is_empty() {
                    self.concerned.remove(gone.path());
                }
            }
        }
        for come in now.difference(&before) {
            self.concerned.entry(come.path().to_owned()).or_default().insert(model.to_owned());
        }
        for gone in before.difference(&now) {
            self.release(gone.watched());
        }
        if !now.is_empty() {
            self.outside.insert(model.to_owned(), now);
        }
    }

    /// Watches a directory no more, unless it is of use still.
    fn release(&mut self, path: &Path) {
        let is_in_repository = self.roots.iter().any(|root| path.starts_with(root));
        let is_used = || self.outside.values().flatten().any(|place| place.watched() == path);
        if !is_in_repository && !is_used() {
            // It fails where the directory is gone, and its watch with it.
            let _ = self.watcher.unwatch(path);
        }
    }

    fn watch(&mut self, path: &Path) -> Result<(), Unwatchable> {
        match self.watcher.watch(path, RecursiveMode::NonRecursive).map_err(|error| error.kind) {
            Err(notify::ErrorKind::MaxFilesWatch) => Err(Unwatchable::LimitReached),
            Err(notify::ErrorKind::Io(error)) if is_limit(&error) => Err(Unwatchable::LimitReached),
            // What has just gone was in a directory that is watched; and what may not be read cannot be served, and when
            // it may, its own directory's watch tells.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn local(path: &Path) -> Result<(), Unwatchable> {
    changed_elsewhere(path).map_or(Ok(()), |file_system| {
        Err(Unwatchable::ChangedElsewhere { path: path.to_owned(), file_system })
    })
}

fn is_limit(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::NOSPC, Errno::MFILE, Errno::NFILE, Errno::NOMEM]
        .iter()
        .any(|limit| error.raw_os_error() == Some(limit.raw_os_error()))
}

/// Puts what is of interest into the inbox. Files that are read, by the looks themselves too, are not.
fn tell(inbox: &Inbox, event: notify::Result<Event>) {
    let event = match event {
        Ok(event) if event.need_rescan() => return inbox.lose(),
        Ok(event) => event,
        Err(error) if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) => return inbox.reach_limit(),
        Err(_) => return inbox.lose(),
    };
    let touch = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Touch::Closed,
        EventKind::Access(_) => return,
        EventKind::Modify(ModifyKind::Data(_)) => Touch::Writing,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Touch::Closed,
        // The two paths were told of one by one.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
        _ => Touch::Changed,
    };
    event.paths.into_iter().for_each(|path| inbox.touch(path, touch));
}
