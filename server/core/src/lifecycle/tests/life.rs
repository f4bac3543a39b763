//! A model's life, decided without an engine.

use super::super::life::{Loaded, ModelLife, Provenance, Provision, Serial, Turn, Want};
use super::*;
use crate::mock::directory;

/// What was loaded under a number.
#[derive(Clone, Debug, PartialEq)]
struct Number {
    serial: Serial,
    provenance: Provenance,
    sound: bool,
}

impl Loaded for Number {
    fn serial(&self) -> Serial {
        self.serial
    }

    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn is_sound(&self) -> bool {
        self.sound
    }
}

fn source(versions: &[u64]) -> Source {
    directory("m", versions).into()
}

fn provenance(instances: u32) -> Provenance {
    Provenance {
        files: Default::default(),
        shared: Default::default(),
        plan: plan(instances),
        overridden: false,
        steps: Vec::new(),
    }
}

fn number(serial: Serial) -> Number {
    Number { serial, provenance: provenance(1), sound: true }
}

/// A life in which version 1 is served, loaded as number 10 in load 1.
fn served() -> ModelLife<Number> {
    let mut life = ModelLife::default();
    assert!(matches!(life.want(source(&[1]), 1), Want::Begun(_)));
    let provisions = life.opened(1, [(1, provenance(1))].into_iter()).unwrap();
    assert_eq!(provisions, [(1, Provision::Load(None))]);
    assert_eq!(life.settle(), Turn::Wait);
    assert_eq!(life.loaded(1, 1, Ok(number(10))), Turn::Served { fresh: vec![1], retired: vec![] });
    life
}

#[test]
fn a_model_is_opening_until_its_configuration_was_read_whatever_is_served_of_it() {
    let mut life: ModelLife<Number> = ModelLife::default();
    assert!(!life.is_opening());
    life.want(source(&[1]), 1);
    assert!(life.is_opening());
    life.opened(1, [(1, provenance(1))].into_iter()).unwrap();
    assert!(!life.is_opening());
    let mut reloaded = served();
    reloaded.want(source(&[1, 2]), 2);
    assert!(reloaded.is_opening());
    reloaded.give_up();
    assert!(!reloaded.is_opening());
}

fn states(life: &ModelLife<Number>) -> Vec<(u64, PublicState)> {
    life.statuses().into_iter().map(|(version, status)| (version, status.state)).collect()
}

#[test]
fn what_is_served_already_is_not_loaded_again_and_what_is_being_loaded_is_joined() {
    let mut life = served();
    assert!(matches!(life.want(source(&[1]), 2), Want::Served));
    assert!(matches!(life.want(source(&[1, 2]), 3), Want::Begun(_)));
    assert!(matches!(life.want(source(&[1, 2]), 4), Want::Joined));
}

#[test]
fn what_cannot_be_counted_on_is_loaded_anew_though_nothing_has_changed() {
    let mut life = ModelLife::default();
    life.want(source(&[1]), 1);
    life.opened(1, [(1, provenance(1))].into_iter()).unwrap();
    let stalled = Number { sound: false, ..number(10) };
    life.loaded(1, 1, Ok(stalled.clone()));
    assert!(matches!(life.want(source(&[1]), 2), Want::Begun(_)));
    let provisions = life.opened(2, [(1, provenance(1))].into_iter()).unwrap();
    assert_eq!(provisions, [(1, Provision::Load(Some(stalled)))]);
}

#[test]
fn a_configuration_of_its_own_is_always_read_and_the_next_plain_load_undoes_it() {
    let mut life = served();
    let overridden = || source(&[1]).with_config(Some("{}".into()));
    let Want::Begun(first) = life.want(overridden(), 2) else { panic!("it is read") };
    assert!(matches!(life.want(overridden(), 3), Want::Begun(_)));
    assert!(first.is_cancelled());
    let wanted = Provenance { overridden: true, ..provenance(1) };
    let provisions = life.opened(3, [(1, wanted)].into_iter()).unwrap();
    assert_eq!(provisions, [(1, Provision::Reuse(number(10)))]);
    let loaded = Number { provenance: Provenance { overridden: true, ..provenance(1) }, ..number(11) };
    assert_eq!(life.loaded(3, 1, Ok(loaded)), Turn::Served { fresh: vec![1], retired: vec![number(10)] });
    assert!(matches!(life.want(source(&[1]), 4), Want::Begun(_)));
}

#[test]
fn what_a_load_comes_to_that_was_given_up_is_of_no_interest() {
    let mut life = served();
    let Want::Begun(cancel) = life.want(source(&[2]), 2) else { panic!("it changed") };
    life.refuse(OpenError::Unreadable(LoadError::internal("gone")));
    assert!(cancel.is_cancelled());
    assert!(life.opened(2, [(2, provenance(1))].into_iter()).is_none());
    assert_eq!(life.loaded(2, 2, Ok(number(11))), Turn::Stale);
    assert!(!life.failed_to_open(2, OpenError::Unreadable(LoadError::internal("late"))));
    assert_eq!(states(&life), [(1, PublicState::Ready)]);
}

#[test]
fn a_version_is_unloading_until_it_is_gone_and_its_model_not_over_before() {
    let mut life = served();
    assert_eq!(life.unload(), [number(10)]);
    assert_eq!(states(&life), [(1, PublicState::Unloading)]);
    assert!(!life.is_over());
    assert_eq!(life.gone(99), None);
    assert_eq!(life.gone(10), Some(1));
    assert_eq!(states(&life), [(1, PublicState::Unavailable)]);
    assert!(life.is_over());
}

#[test]
fn a_version_that_is_replaced_is_ready_while_the_old_one_drains() {
    let mut life = served();
    life.want(source(&[1, 2]), 2);
    let changed = Provenance { plan: plan(2), ..provenance(1) };
    let provisions = life.opened(2, [(1, changed.clone())].into_iter()).unwrap();
    assert_eq!(provisions, [(1, Provision::Reuse(number(10)))], "the engine is told the same");
    assert_eq!(states(&life), [(1, PublicState::Ready)]);
    let new = Number { provenance: changed, ..number(11) };
    assert_eq!(life.loaded(2, 1, Ok(new)), Turn::Served { fresh: vec![1], retired: vec![number(10)] });
    assert_eq!(states(&life), [(1, PublicState::Ready)]);
    assert_eq!(life.gone(10), Some(1));
    assert_eq!(states(&life), [(1, PublicState::Ready)]);
}

#[test]
fn versions_that_are_neither_served_nor_on_disk_are_forgotten_with_the_next_load() {
    let mut life = served();
    for (load, version) in [(2, 2), (3, 3)] {
        life.want(source(&[version]), load);
        life.opened(load, [(version, provenance(1))].into_iter()).unwrap();
        let Turn::Served { retired, .. } = life.loaded(load, version, Ok(number(10 + load))) else {
            panic!("it is served")
        };
        assert_eq!(retired.iter().filter_map(|old| life.gone(old.serial)).count(), 1);
        assert_eq!(states(&life), [(version - 1, PublicState::Unavailable), (version, PublicState::Ready)]);
    }
}
