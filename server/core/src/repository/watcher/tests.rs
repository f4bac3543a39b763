//! On the real file system and in real time: each test waits for what has to come, and fails if it does not within
//! the time for which a file that is never closed would hold up a change.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::repository::{ModelDirectory, scan};

const LIMIT: Duration = Duration::from_secs(50);
const SETTLE: Duration = Duration::from_millis(200);

/// A directory with a repository, `models`, that is watched.
struct World {
    base: tempfile::TempDir,
    watcher: Option<Watcher>,
    changes: Receiver<Vec<Change>>,
    /// All that was told of.
    told: Vec<Change>,
    /// What was told of last, by model.
    state: BTreeMap<String, Sighting>,
}

impl World {
    /// With these directories in it, watched from now on.
    fn new(may_notify: bool, directories: &[&str]) -> World {
        World::prepared(may_notify, SETTLE, |base| {
            directories.iter().for_each(|directory| fs::create_dir_all(base.join(directory)).unwrap());
        })
    }

    fn prepared(may_notify: bool, settle: Duration, prepare: impl FnOnce(&Path)) -> World {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("models")).unwrap();
        prepare(base.path());
        let known = there(base.path());
        World::watched(base, may_notify, settle, known)
    }

    fn watched(
        base: tempfile::TempDir,
        may_notify: bool,
        settle: Duration,
        known: BTreeMap<String, Sighting>,
    ) -> World {
        let (sender, changes) = channel();
        let options = WatcherOptions {
            repositories: vec![base.path().join("models")],
            settle,
            poll: Some(Duration::from_millis(if may_notify { 3_600_000 } else { 50 })),
        };
        let on_changes = move |changes| drop(sender.send(changes));
        let watcher = Some(Watcher::start_with(options, known.clone(), may_notify, on_changes));
        World { base, watcher, changes, told: Vec::new(), state: known }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.base.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), content).unwrap();
    }

    /// Waits until what was told is what is there.
    #[track_caller]
    fn settle(&mut self) {
        let limit = Instant::now() + LIMIT;
        while self.state != there(self.base.path()) {
            assert!(Instant::now() < limit, "told: {:#?}\nthere: {:#?}", self.told, there(self.base.path()));
            if let Ok(changes) = self.changes.recv_timeout(Duration::from_millis(20)) {
                changes.into_iter().for_each(|change| self.hear(change));
            }
        }
    }

    fn hear(&mut self, change: Change) {
        match change.clone() {
            Change::Present(model) => drop(self.state.insert(model.name.clone(), Sighting::Model(model))),
            Change::Refused { name, reason } => drop(self.state.insert(name, Sighting::Refused(reason))),
            Change::Absent { name } => drop(self.state.remove(&name)),
        }
        self.told.push(change);
    }

    /// Waits until something that happens now was told of.
    #[track_caller]
    fn settle_after_another(&mut self) {
        fs::create_dir_all(self.path("models/another/1")).unwrap();
        self.settle();
    }

    /// How often it was told of a model.
    fn times(&self, model: &str) -> usize {
        let is_of = |change: &&Change| match change {
            Change::Present(ModelDirectory { name, .. })
            | Change::Refused { name, .. }
            | Change::Absent { name } => name == model,
        };
        self.told.iter().filter(is_of).count()
    }
}

fn there(base: &Path) -> BTreeMap<String, Sighting> {
    let scanned = scan(&[base.join("models")]).unwrap_or_default();
    let models = scanned.models.into_iter().map(|(name, model)| (name, Sighting::Model(model)));
    models
        .chain(scanned.refused.into_iter().map(|(name, reason)| (name, Sighting::Refused(reason))))
        .collect()
}

#[test]
fn a_model_that_is_dropped_in_is_told_of_once_when_it_is_whole() {
    for may_notify in [true, false] {
        let mut world = World::new(may_notify, &[]);
        world.write("models/m/config.pbtxt", "");
        world.write("models/m/1/deep/er/model.onnx", "weights");
        world.settle();
        world.settle_after_another();
        assert_eq!(world.times("m"), 1, "{:#?}", world.told);
    }
}

#[test]
fn a_file_that_is_copied_in_parts_is_told_of_once_when_it_is_closed() {
    let mut world = World::new(true, &[]);
    fs::create_dir_all(world.path("models/m/1")).unwrap();
    // Its directory is watched when the first part comes.
    world.settle();
    let mut file = File::create(world.path("models/m/1/model.onnx")).unwrap();
    for _ in 0..4 {
        file.write_all(b"part").unwrap();
        thread::sleep(2 * SETTLE);
    }
    drop(file);
    world.settle();
    assert_eq!(world.times("m"), 2, "{:#?}", world.told);
}

#[test]
fn a_slow_copy_without_notification_is_told_of_when_it_has_ended() {
    let mut world = World::prepared(false, Duration::from_secs(1), |_| {});
    fs::create_dir_all(world.path("models/m/1")).unwrap();
    for _ in 0..40 {
        let mut file =
            File::options().append(true).create(true).open(world.path("models/m/1/model.onnx")).unwrap();
        file.write_all(b"part").unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    world.settle();
    assert_eq!(world.times("m"), 1, "{:#?}", world.told);
}

#[test]
fn whatever_is_done_to_a_model_is_told() {
    type Act = fn(&World);
    let acts: [(&str, Act); 15] = [
        ("written in place, with size and times restored", |world| {
            let path = world.path("models/m/1/model.onnx");
            let times = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, "WEIGHTS").unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
        }),
        ("touched", |world| {
            let file = File::open(world.path("models/m/1/model.onnx")).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }),
        ("a configuration written", |world| world.write("models/m/config.pbtxt", "x")),
        ("a version added", |world| world.write("models/m/2/model.onnx", "weights")),
        ("a file replaced", |world| {
            world.write("models/.new", "weights");
            fs::rename(world.path("models/.new"), world.path("models/m/2/model.onnx")).unwrap();
        }),
        ("a version renamed", |world| {
            fs::rename(world.path("models/m/2"), world.path("models/m/3")).unwrap();
        }),
        ("written in the renamed version", |world| world.write("models/m/3/model.onnx", "w")),
        ("a version removed", |world| fs::remove_dir_all(world.path("models/m/3")).unwrap()),
        ("that version restored", |world| world.write("models/m/3/model.onnx", "weights")),
        ("written in the restored version", |world| world.write("models/m/3/model.onnx", "w")),
        ("the model renamed", |world| {
            fs::rename(world.path("models/m"), world.path("models/n")).unwrap();
        }),
        ("written in the renamed model", |world| world.write("models/n/3/model.onnx", "weights")),
        ("another model in its old place", |world| world.write("models/m/1/model.onnx", "weights")),
        ("moved out", |world| fs::rename(world.path("models/n"), world.path("n")).unwrap()),
        ("removed", |world| fs::remove_dir_all(world.path("models/m")).unwrap()),
    ];
    for may_notify in [true, false] {
        let mut world = World::prepared(may_notify, SETTLE, |base| {
            fs::create_dir_all(base.join("models/m/1")).unwrap();
            fs::write(base.join("models/m/1/model.onnx"), "weights").unwrap();
        });
        for (what, act) in acts {
            let told = world.told.len();
            act(&world);
            assert_ne!(world.state, there(world.base.path()), "{what}");
            world.settle();
            assert!(world.told.len() > told, "{what}");
        }
    }
}

#[test]
fn what_changed_between_the_scan_and_the_first_look_is_told() {
    for may_notify in [true, false] {
        let base = tempfile::tempdir().unwrap();
        for version in ["models/a/1", "models/b/1"] {
            fs::create_dir_all(base.path().join(version)).unwrap();
        }
        let known = there(base.path());
        fs::remove_dir_all(base.path().join("models/a")).unwrap();
        fs::create_dir(base.path().join("models/b/2")).unwrap();
        World::watched(base, may_notify, SETTLE, known).settle();
    }
}

#[test]
fn links_that_are_made_to_lead_elsewhere_are_seen_and_so_is_what_happens_there() {
    let link = |world: &World, target: &str, link: &str| {
        symlink(target, world.path("new-link")).unwrap();
        fs::rename(world.path("new-link"), world.path(link)).unwrap();
    };
    for may_notify in [true, false] {
        let mut world = World::new(may_notify, &["v1/1", "v2/1", "v3/1", "models/twin/1"]);
        world.write("v1/1/model.onnx", "");
        // A model, a version and a file that are links; a link on the way to a model; and two names for one directory.
        link(&world, "../v1", "models/linked");
        fs::create_dir_all(world.path("models/m")).unwrap();
        link(&world, "../../v1/1", "models/m/1");
        link(&world, "../../v1/1/model.onnx", "models/m/labels.txt");
        link(&world, "v1", "current");
        link(&world, "../current", "models/indirect");
        link(&world, "twin", "models/other");
        world.settle();
        for (target, name) in
            [("../v2", "models/linked"), ("../../v2/1", "models/m/1"), ("v2", "current"), ("v3", "current")]
        {
            link(&world, target, name);
            world.settle();
        }
        for path in ["v1/1/model.onnx", "v2/1/model.onnx", "v3/1/model.onnx", "models/twin/1/model.onnx"] {
            world.write(path, "weights");
            assert_ne!(world.state, there(world.base.path()), "{path}");
            world.settle();
        }
        fs::remove_dir_all(world.path("v3")).unwrap();
        world.settle();
        world.write("v3/1/model.onnx", "weights");
        world.settle();
        assert!(world.state.contains_key("indirect"));
    }
}

#[test]
fn the_swap_of_a_mounted_config_map_is_seen() {
    for may_notify in [true, false] {
        let mut world = World::prepared(may_notify, SETTLE, |base| {
            for at in ["models", "models/m"] {
                fs::create_dir_all(base.join(at).join("..first/n/1")).unwrap();
                fs::write(base.join(at).join("..first/config.pbtxt"), "first").unwrap();
                symlink("..first", base.join(at).join("..data")).unwrap();
            }
            symlink("..data/config.pbtxt", base.join("models/m/config.pbtxt")).unwrap();
            symlink("..data/n", base.join("models/n")).unwrap();
        });
        assert_eq!(world.state.keys().collect::<Vec<_>>(), ["m", "n"]);
        for at in ["models", "models/m"] {
            world.write(&format!("{at}/..second/config.pbtxt"), "other");
            fs::create_dir_all(world.path(at).join("..second/n/2")).unwrap();
            symlink("..second", world.path(at).join("..tmp")).unwrap();
            fs::rename(world.path(at).join("..tmp"), world.path(at).join("..data")).unwrap();
            fs::remove_dir_all(world.path(at).join("..first")).unwrap();
            assert_ne!(world.state, there(world.base.path()));
            world.settle();
        }
    }
}

#[test]
fn while_a_repository_is_away_nothing_is_told_and_when_it_is_back_all_is() {
    for may_notify in [true, false] {
        let mut world = World::new(may_notify, &["models/m/1", "models/n/1"]);
        world.settle_after_another();
        fs::rename(world.path("models"), world.path("away")).unwrap();
        thread::sleep(3 * SETTLE);
        fs::remove_dir_all(world.path("away/n")).unwrap();
        fs::create_dir_all(world.path("away/m/2")).unwrap();
        thread::sleep(3 * SETTLE);
        assert!(world.changes.try_recv().is_err());
        fs::rename(world.path("away"), world.path("models")).unwrap();
        world.settle();
        // It is watched again.
        fs::create_dir(world.path("models/m/3")).unwrap();
        world.settle();
    }
}

#[test]
fn after_whatever_was_done_all_that_was_told_is_what_is_there() {
    for may_notify in [true, false] {
        let mut world = World::new(may_notify, &[]);
        for seed in 0..4 {
            let mut random = seed;
            // Any generator will do.
            let mut below = |most: u64| {
                random = (random + 1u64).wrapping_mul(6_364_136_223_846_793_005).rotate_left(17);
                random % most
            };
            for _ in 0..100 {
                let model = format!("models/m{}", below(3));
                let version = format!("{model}/{}", below(3));
                let file = format!("{version}/sub/model.onnx");
                let other = world.path(&format!("models/m{}", below(3)));
                match below(7) {
                    0 => drop(fs::remove_dir_all(world.path(&model))),
                    1 => drop(fs::remove_dir_all(world.path(&version))),
                    2 => drop(fs::rename(world.path(&model), other)),
                    3 => drop(fs::rename(world.path(&version), world.path(&format!("{model}/7")))),
                    4 => thread::sleep(Duration::from_millis(below(30))),
                    _ => world.write(&file, "weights"),
                }
            }
            world.settle();
        }
    }
}

#[test]
fn a_watcher_that_is_dropped_tells_nothing_more_and_its_thread_ends() {
    for may_notify in [true, false] {
        let mut world = World::new(may_notify, &["models/m/1"]);
        world.settle_after_another();
        drop(world.watcher.take());
        // The thread owns the sender.
        let end = loop {
            match world.changes.recv_timeout(LIMIT) {
                Ok(_) => {}
                Err(end) => break end,
            }
        };
        assert_eq!(end, std::sync::mpsc::RecvTimeoutError::Disconnected);
    }
}
