//! Whatever is done to a repository, what is served is what a simple model says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Something done to a model's directory.
#[derive(Clone, Debug)]
enum Operation {
    /// A version is added, or gets other files.
    Write {
        version: u64,
    },
    RemoveVersion {
        version: u64,
    },
    /// A version's files become such that they cannot be loaded.
    Break {
        version: u64,
    },
    Mend {
        version: u64,
    },
    RemoveModel,
    /// It gets another version policy and number of instances.
    Configure {
        latest: u32,
    },
    /// The configuration cannot be read.
    BreakConfig,
    /// Another model gets its name, in place of what that was.
    RenameTo {
        other: usize,
    },
    Touch,
    /// The model is unloaded by hand.
    Unload,
}

fn operations() -> impl Strategy<Value = Vec<(usize, Operation)>> {
    let version = || 1..4u64;
    let operation = prop_oneof![
        4 => version().prop_map(|version| Operation::Write { version }),
        2 => version().prop_map(|version| Operation::RemoveVersion { version }),
        2 => version().prop_map(|version| Operation::Break { version }),
        2 => version().prop_map(|version| Operation::Mend { version }),
        1 => Just(Operation::RemoveModel),
        2 => (1..3u32).prop_map(|latest| Operation::Configure { latest }),
        1 => Just(Operation::BreakConfig),
        1 => (0..NAMES.len()).prop_map(|other| Operation::RenameTo { other }),
        1 => Just(Operation::Touch),
        1 => Just(Operation::Unload),
    ];
    prop::collection::vec((0..NAMES.len(), operation), 1..25)
}

/// A model on disk.
#[derive(Clone, Debug, Default)]
struct OnDisk {
    /// The content of each version, and whether it is broken.
    versions: BTreeMap<u64, (String, bool)>,
}

#[derive(Clone, Debug)]
struct Config {
    latest: u32,
    broken: bool,
}

/// What there should be.
#[derive(Default)]
struct Expected {
    disk: BTreeMap<usize, OnDisk>,
    configs: BTreeMap<usize, Config>,
    served: BTreeMap<usize, BTreeMap<u64, String>>,
    writes: usize,
}

impl Expected {
    /// What is served of a model after a look at what is on disk.
    fn look(&mut self, model: usize) {
        let Some(on_disk) = self.disk.get(&model) else {
            self.served.remove(&model);
            return;
        };
        let config = &self.configs[&model];
        let mut selected: Vec<_> = on_disk.versions.iter().collect();
        selected.reverse();
        selected.truncate(config.latest as usize);
        let whole = !config.broken && !selected.is_empty() && selected.iter().all(|(_, (_, broken))| !broken);
        if whole {
            let contents = selected.into_iter().map(|(&version, (content, _))| (version, content.clone()));
            self.served.insert(model, contents.collect());
        }
    }

    fn served(&self, model: usize) -> Vec<(u64, String)> {
        let served = self.served.get(&model).into_iter().flatten();
        served.map(|(&version, content)| (version, content.clone())).collect()
    }
}

impl World {
    fn configure(&self, model: usize, config: &Config) {
        let policy = VersionPolicy::Latest(config.latest);
        self.configs.set(LoadPlan { version_policy: policy, ..plan(config.latest) }, spec(NAMES[model]));
        if config.broken {
            self.configs.make_unreadable(NAMES[model], broken("line 1"));
        }
    }

    /// Does it to the directory and to what is expected of it.
    fn act(&self, expected: &mut Expected, model: usize, operation: &Operation) {
        let name = NAMES[model];
        expected.writes += 1;
        let content = format!("write {}", expected.writes);
        let on_disk = expected.disk.contains_key(&model);
        match *operation {
            Operation::Write { version } => {
                self.write(&format!("{name}/{version}/content"), &content);
                let versions = &mut expected.disk.entry(model).or_default().versions;
                versions.entry(version).or_default().0 = content;
            }
            Operation::RemoveVersion { version } => {
                let versions = expected.disk.get_mut(&model).map(|on_disk| &mut on_disk.versions);
                if versions.and_then(|versions| versions.remove(&version)).is_some() {
                    self.remove(&format!("{name}/{version}"));
                }
            }
            Operation::Break { version } | Operation::Mend { version } => {
                let Some(on_disk) = expected.disk.get_mut(&model) else { return };
                let Some((_, is_broken)) = on_disk.versions.get_mut(&version) else { return };
                let marker = format!("{name}/{version}/broken");
                *is_broken = matches!(operation, Operation::Break { .. });
                match is_broken {
                    true => self.write(&marker, ""),
                    false => drop(fs::remove_file(self.root.path().join(marker))),
                }
            }
            Operation::RemoveModel if on_disk => {
                expected.disk.remove(&model);
                self.remove(name);
            }
            Operation::Configure { latest } if on_disk => {
                expected.configs.insert(model, Config { latest, broken: false });
                self.write(&format!("{name}/config.pbtxt"), &content);
            }
            Operation::BreakConfig if on_disk => {
                expected.configs.get_mut(&model).expect("every model has one").broken = true;
                self.write(&format!("{name}/config.pbtxt"), &content);
            }
            Operation::RenameTo { other } if on_disk && other != model => {
                if expected.disk.contains_key(&other) {
                    self.remove(NAMES[other]);
                }
                let path = |model: usize| self.root.path().join(NAMES[model]);
                fs::rename(path(model), path(other)).unwrap();
                let moved = expected.disk.remove(&model).expect("it is on disk");
                expected.disk.insert(other, moved);
                let config = expected.configs[&model].clone();
                expected.configs.insert(other, config);
            }
            Operation::Touch if on_disk => self.write(&format!("{name}/config.pbtxt"), &content),
            Operation::Unload => {
                wait(self.manager.unload(name, false));
                expected.served.remove(&model);
            }
            _ => {}
        }
        expected.configs.iter().for_each(|(&model, config)| self.configure(model, config));
    }

    /// Has the manager follow what changed on disk since it was seen last, and waits until it has. What changed.
    fn follow_disk(&self, seen: &mut Scanned) -> Vec<usize> {
        let found = self.scan();
        let is_changed = |name: &str| found.models.get(name) != seen.models.get(name);
        let changed: Vec<usize> = (0..NAMES.len()).filter(|&model| is_changed(NAMES[model])).collect();
        for &model in &changed {
            let name = NAMES[model];
            match found.models.get(name) {
                Some(directory) => {
                    let source = Source::from(directory.clone());
                    drop(wait(self.manager.want(vec![(name.to_owned(), Ok(source))])));
                }
                None => wait(self.manager.unload(name, true)),
            }
        }
        *seen = found;
        changed
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_done_to_a_repository_the_last_set_of_versions_that_was_whole_is_served(
        operations in operations()
    ) {
        let world = World::new(&[], MockConfigs::default());
        let mut expected = Expected::default();
        for model in 0..NAMES.len() {
            expected.configs.insert(model, Config { latest: 1, broken: false });
        }
        let mut seen = Scanned::default();
        for (model, operation) in &operations {
            world.act(&mut expected, *model, operation);
            world.follow_disk(&mut seen).into_iter().for_each(|model| expected.look(model));
            for (model, name) in NAMES.iter().enumerate() {
                prop_assert_eq!(world.served(name), expected.served(model), "{} after {:?}", name, operation);
            }
        }
        wait(world.manager.shut_down());
        until(|| world.handle.instances_alive() == 0);
    }
}
