//! What the repositories hold at the start, and how the models follow them from then on.

use std::collections::{BTreeMap, BTreeSet};

use nerite_core::lifecycle::{Manager, Overrides, Source, Wanted, as_seen};
use nerite_core::model::OpenError;
use nerite_core::repository::{Found, ScanError, Scanned, Sighting, Watcher, WatcherOptions, find, scan};

use crate::settings::{ControlMode, Repository};

/// What is to be loaded at the start.
pub(crate) struct Initial {
    /// The models.
    pub(crate) wanted: Vec<Wanted>,
    /// What was seen of them, for whoever watches for changes.
    pub(crate) sightings: BTreeMap<String, Sighting>,
}

/// What is to be loaded at the start: in explicit mode what is named, else everything.
pub(crate) fn initial(repository: &Repository) -> Result<Initial, ScanError> {
    let all = || Ok(Initial::of(scan(&repository.paths)?));
    match (repository.control_mode, &repository.load_models[..]) {
        (ControlMode::None | ControlMode::Poll, _) => all(),
        (ControlMode::Explicit, [star]) if star == "*" => all(),
        (ControlMode::Explicit, names) => {
            // Nothing else is looked at, however much there is.
            check_readable(repository)?;
            let names: BTreeSet<&String> = names.iter().collect();
            let wanted = names.into_iter().map(|name| (name.clone(), named(repository, name)));
            Ok(Initial { wanted: wanted.collect(), sightings: BTreeMap::new() })
        }
    }
}

/// Has the models follow the repositories for as long as this lives, if they are to.
pub(crate) fn watch(
    repository: &Repository,
    known: BTreeMap<String, Sighting>,
    manager: &Manager,
) -> Option<Watcher> {
    if repository.control_mode != ControlMode::Poll {
        return None;
    }
    let options = WatcherOptions {
        repositories: repository.paths.clone(),
        settle: repository.settle,
        poll: Some(repository.poll).filter(|poll| !poll.is_zero()),
    };
    let manager = manager.clone();
    Some(Watcher::start(options, known, move |changes| manager.follow(changes)))
}

impl Initial {
    fn of(scanned: Scanned) -> Initial {
        let sightings = scanned.into_sightings();
        Initial { wanted: sightings.clone().into_iter().map(as_seen).collect(), sightings }
    }
}

fn named(repository: &Repository, name: &str) -> Result<Source, OpenError> {
    let found: Found = find(&repository.paths, name);
    Overrides::default().apply(name, found).map_err(OpenError::Unreadable)
}

/// A repository that is not there is to be found out at once, even where nothing is loaded from it yet.
fn check_readable(repository: &Repository) -> Result<(), ScanError> {
    for path in &repository.paths {
        std::fs::read_dir(path).map_err(|reason| ScanError { path: path.clone(), reason })?;
    }
    Ok(())
}
