use nerite_backend::DType;

use super::*;
use crate::mock::{input, model, serve};
use crate::model::LoadError;

fn known(registry: &Registry, names: &[&str]) {
    registry.announce(names.iter().copied());
}

fn update(registry: &Registry, model: &str, change: impl FnOnce(&mut ModelEntry)) {
    let mut entry = registry.entry(model).map(|entry| ModelEntry::clone(&entry)).unwrap_or_default();
    change(&mut entry);
    registry.publish(model, entry);
}

fn version() -> Arc<ModelVersion> {
    serve(model("M", 0, vec![input("X", DType::U8, &[1], 0)]), 1).0
}

fn failed(reason: &str) -> Status {
    Status { state: PublicState::Unavailable, reason: reason.to_owned() }
}

fn unreadable(reason: &str) -> OpenError {
    OpenError::Unreadable(LoadError::internal(reason))
}

#[track_caller]
fn refused(registry: &Registry, name: &str, version: Option<u64>, code: Code, text: &str) {
    let error = registry.lookup(name, version).map(|found| found.version).expect_err("nothing is served");
    assert_eq!((error.code(), error.to_string().as_str()), (code, text));
}

#[test]
fn a_lookup_that_finds_nothing_says_whether_model_or_version_is_unknown_or_not_ready() {
    let registry = Registry::default();
    refused(&registry, "M", None, Code::NotFound, "Request for unknown model: 'M' is not found");
    refused(&registry, "M", Some(9), Code::NotFound, "Request for unknown model: 'M' is not found");
    known(&registry, &["M"]);
    refused(&registry, "M", None, Code::NotFound, "Request for unknown model: 'M' has no available versions");
    update(&registry, "M", |entry| drop(entry.versions.insert(1, failed("broken"))));
    refused(
        &registry,
        "M",
        Some(1),
        Code::Unavailable,
        "Request for unknown model: 'M' version 1 is not at ready state",
    );
    refused(&registry, "M", Some(9), Code::NotFound, "Request for unknown model: 'M' version 9 is not found");
    refused(&registry, "M", None, Code::NotFound, "Request for unknown model: 'M' has no available versions");
}

#[test]
fn a_model_whose_configuration_could_not_be_read_is_not_found() {
    let registry = Registry::default();
    known(&registry, &["M", "N"]);
    update(&registry, "M", |entry| entry.failure = Some(unreadable("broken")));
    for version in [None, Some(1)] {
        refused(&registry, "M", version, Code::NotFound, "Request for unknown model: 'M' is not found");
    }
    let no_version = OpenError::NoVersion(LoadError::invalid("no version"));
    update(&registry, "N", |entry| entry.failure = Some(no_version));
    refused(&registry, "N", None, Code::NotFound, "Request for unknown model: 'N' has no available versions");
}

#[test]
fn a_lookup_without_a_version_finds_the_highest_that_is_ready() {
    let registry = Registry::default();
    known(&registry, &["M"]);
    let (low, high) = (version(), version());
    update(&registry, "M", |entry| {
        entry.ready.insert(2, Arc::clone(&low));
        entry.ready.insert(10, Arc::clone(&high));
        entry.versions.insert(11, failed("broken"));
    });
    let found = |version| registry.lookup("M", version).unwrap();
    assert!(Arc::ptr_eq(&found(None), &high));
    assert!(Arc::ptr_eq(&found(Some(10)), &high));
    assert!(Arc::ptr_eq(&found(Some(2)), &low));
    assert_eq!(registry.ready().len(), 2);
}

#[test]
fn an_announced_model_keeps_what_is_known_of_it_and_an_unknown_one_cannot_be_changed() {
    let registry = Registry::default();
    known(&registry, &["b", "a"]);
    update(&registry, "a", |entry| entry.failure = Some(unreadable("why")));
    update(&registry, "c", |entry| entry.failure = Some(unreadable("never seen")));
    known(&registry, &["a", "d"]);
    assert_eq!(registry.entries().keys().map(|name| &**name).collect::<Vec<_>>(), ["a", "b", "d"]);
    assert_eq!(registry.entry("a").unwrap().failure, Some(unreadable("why")));
    assert!(registry.entry("c").is_none());
    registry.forget("a");
    assert!(registry.entry("a").is_none() && registry.entry("b").is_some());
}

#[test]
fn a_version_that_was_found_stays_usable_after_it_was_taken_out() {
    let registry = Registry::default();
    known(&registry, &["M"]);
    update(&registry, "M", |entry| drop(entry.ready.insert(1, version())));
    let (entry, found) = (registry.entry("M").unwrap(), registry.lookup("M", None).unwrap());
    update(&registry, "M", |entry| drop(entry.ready.remove(&1)));
    assert!(registry.lookup("M", None).is_err());
    assert!(Arc::ptr_eq(&entry.ready[&1], &found), "an entry does not change under its reader");
}

#[test]
fn every_public_state_has_the_name_that_the_index_shows() {
    let states = [PublicState::Loading, PublicState::Ready, PublicState::Unloading, PublicState::Unavailable];
    assert_eq!(states.map(PublicState::name), ["LOADING", "READY", "UNLOADING", "UNAVAILABLE"]);
}

#[test]
fn every_change_is_told_and_no_lookup_is() {
    let registry = Registry::default();
    let mut changes = registry.changes();
    let mut told = || {
        let told = changes.has_changed().unwrap();
        changes.mark_unchanged();
        told
    };
    assert!(!told());
    known(&registry, &["M"]);
    assert!(told());
    known(&registry, &["M"]);
    assert!(!told(), "it is known already");
    update(&registry, "M", |entry| drop(entry.ready.insert(1, version())));
    assert!(told());
    let _ = (registry.lookup("M", None), registry.entry("M"), registry.entries(), registry.ready());
    assert!(!told());
    update(&registry, "N", |entry| drop(entry.versions.insert(1, failed("not known"))));
    registry.forget("N");
    assert!(!told());
    registry.forget("M");
    assert!(told());
}
