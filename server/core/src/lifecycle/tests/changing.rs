//! Changes while models are served.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use nerite_backend::Optimization;

use super::*;
use crate::repository::Change;
use crate::version::ModelVersion;

const ALL: VersionPolicy = VersionPolicy::All;

/// A model `m` of all its versions; each has the content `old`.
fn world(versions_on_disk: &[u64]) -> World {
    let world = World::new(&[], MockConfigs::default().with(versions(ALL), spec("m")));
    for version in versions_on_disk {
        world.write(&format!("m/{version}/content"), "old");
    }
    assert_eq!(world.load(), [] as [&str; 0]);
    world
}

fn pairs(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|&(version, content)| (version, content.to_owned())).collect()
}

#[test]
fn the_old_version_serves_until_the_new_one_is_loaded_and_ends_when_its_last_request_is_released() {
    let world = world(&[1]);
    let old = world.registry.lookup("m", None).unwrap();
    let answer = old.infer(request("a", 1), Instant::now());
    drop(old);
    let execution = world.handle.next();

    world.write("m/1/content", "new");
    let held = world.handle.hold_load("m", 1);
    let loading = world.want("m");
    until(|| world.handle.loads() == 2);
    assert_eq!(world.served("m"), pairs(&[(1, "old")]));
    assert_eq!(world.index("m"), [ready(1)]);
    drop(held);
    assert_eq!(wait(loading), []);
    assert_eq!(world.served("m"), pairs(&[(1, "new")]));
    assert_eq!(world.handle.instances_alive(), 2, "the old one is executing");
    execution.succeed();
    assert_eq!(wait(answer).error, None);
    until(|| world.handle.instances_alive() == 1);
}

#[test]
fn what_waits_in_the_queue_of_a_version_that_is_replaced_is_executed_by_it() {
    let world = world(&[1]);
    let old = world.registry.lookup("m", None).unwrap();
    let executing = old.infer(request("executing", 8), Instant::now());
    let execution = world.handle.next();
    let waiting = old.infer(request("waiting", 1), Instant::now());
    drop(old);
    world.write("m/1/content", "new");
    assert_eq!(wait(world.want("m")), []);
    execution.succeed();
    assert_eq!(wait(executing).error, None);
    world.handle.next().succeed();
    assert_eq!(wait(waiting).error, None);
    until(|| world.handle.instances_alive() == 1);
}

#[test]
fn a_reload_that_fails_leaves_the_old_in_service_and_says_why() {
    let world = world(&[1]);
    world.write("m/1/content", "new");
    world.handle.fail_load("m", 1, broken("truncated file"));
    assert_eq!(wait(world.want("m")).len(), 1);
    assert_eq!(world.served("m"), pairs(&[(1, "old")]));
    let reason = "what was loaded before is served, since a reload failed: Invalid argument: truncated file";
    assert_eq!(world.index("m"), [(Some(1), PublicState::Ready, reason.to_owned())]);

    world.handle.mend_load("m", 1);
    assert_eq!(wait(world.want("m")), [], "the same again is tried, since it failed");
    assert_eq!(world.served("m"), pairs(&[(1, "new")]));
    assert_eq!(world.index("m"), [ready(1)]);
}

#[test]
fn a_new_version_that_fails_is_shown_beside_the_old_that_serves() {
    let world = world(&[1]);
    world.write("m/2/content", "new");
    world.handle.fail_load("m", 2, broken("truncated file"));
    assert_eq!(wait(world.want("m")).len(), 1);
    assert_eq!(world.served("m"), pairs(&[(1, "old")]));
    assert_eq!(world.index("m"), [ready(1), unavailable(Some(2), "Invalid argument: truncated file")]);
    world.remove("m/2");
    assert_eq!(wait(world.want("m")), []);
    assert_eq!(world.index("m"), [ready(1)]);
    assert_eq!(world.handle.loads(), 2, "what had not changed was not loaded again");
}

#[test]
fn a_configuration_that_breaks_leaves_the_old_in_service_and_says_why() {
    let world = world(&[1]);
    world.configs.make_unreadable("m", broken("line 3"));
    world.write("m/config.pbtxt", "broken");
    let failures = wait(world.want("m"));
    assert_eq!(
        failures[0].to_string(),
        "failed to load 'm', failed to poll from model repository: Invalid argument: line 3"
    );
    assert_eq!(failures[0].code(), Code::Internal);
    assert_eq!(world.served("m"), pairs(&[(1, "old")]));
    let reason = "what was loaded before is served, since a reload failed: Invalid argument: line 3";
    assert_eq!(world.index("m"), [(Some(1), PublicState::Ready, reason.to_owned())]);
    assert!(matches!(
        world.registry.lookup("m", Some(9)).map(|_| ()).unwrap_err(),
        crate::registry::LookupError::UnknownVersion { .. }
    ));
}

/// Tells of the model `m` as it is on disk, as whoever follows the repository does.
fn follow(world: &World) {
    let Source { directory, .. } = world.source("m");
    world.manager.follow(vec![Change::Present(directory)]);
}

#[test]
fn files_that_begin_to_change_before_they_are_loaded_are_not_served_until_that_is_over() {
    let world = world(&[1]);
    world.write("m/1/content", "new");
    let held = world.handle.hold_load("m", 1);
    follow(&world);
    until(|| world.handle.loads() == 2);
    world.write("m/1/content", "half of the next");
    drop(held);
    until(|| world.handle.loads() == 3);
    world.write("m/1/content", "the next");
    follow(&world);
    until(|| world.served("m") != pairs(&[(1, "old")]));
    assert_eq!(world.served("m"), pairs(&[(1, "the next")]));
}

#[test]
fn a_directory_that_was_away_while_it_was_loaded_is_loaded_when_it_is_back() {
    let world = world(&[1]);
    world.write("m/1/content", "new");
    let (here, away) = (world.root.path().join("m"), world.root.path().join("away"));
    let held = world.handle.hold_load("m", 1);
    follow(&world);
    until(|| world.handle.loads() == 2);
    fs::rename(&here, &away).unwrap();
    drop(held);
    until(|| world.handle.loads() == 3);
    fs::rename(&away, &here).unwrap();
    until(|| world.served("m") == pairs(&[(1, "new")]));
    assert_eq!(world.index("m"), [ready(1)]);
}

#[test]
fn a_load_that_was_asked_for_before_a_change_and_comes_after_another_does_not_bring_back_the_old() {
    for config in [None, Some("{}".into())] {
        let world = world(&[1]);
        let before = world.source("m").with_config(config);
        world.write("m/1/content", "new");
        let held = world.handle.hold_load("m", 1);
        let loading = world.want("m");
        until(|| world.handle.loads() == 2);
        let overtaken = world.manager.want(vec![("m".to_owned(), Ok(before))]);
        drop(held);
        assert_eq!((wait(loading), wait(overtaken)), (vec![], vec![]));
        assert_eq!(world.served("m"), pairs(&[(1, "new")]));
    }
}

#[test]
fn only_what_changed_is_loaded_and_what_is_unchanged_is_not_even_touched() {
    let world = world(&[1, 2]);
    let untouched = world.registry.lookup("m", Some(1)).unwrap();
    world.write("m/2/content", "new");
    world.write("m/3/content", "new");
    assert_eq!(wait(world.want("m")), []);
    assert_eq!(world.served("m"), pairs(&[(1, "old"), (2, "new"), (3, "new")]));
    assert_eq!(world.handle.loads(), 4);
    assert!(Arc::ptr_eq(&untouched, &world.registry.lookup("m", Some(1)).unwrap()));
    assert_eq!(wait(world.want("m")), []);
    assert_eq!(world.handle.loads(), 4, "nothing had changed");
    assert_eq!(world.index("m"), [ready(1), ready(2), ready(3)]);
}

#[test]
fn a_change_of_instances_or_queues_alone_is_applied_without_loading_the_weights_again() {
    let world = world(&[1]);
    world.registry.lookup("m", None).unwrap().refused(Instant::now());
    world.configs.set(LoadPlan { version_policy: ALL, ..plan(3) }, spec("m"));
    world.write("m/config.pbtxt", "three instances");
    assert_eq!(wait(world.want("m")), []);
    assert_eq!((world.handle.loads(), world.served("m")), (1, pairs(&[(1, "old")])));
    until(|| world.handle.instances_alive() == 3);
    let version = world.registry.lookup("m", None).unwrap();
    assert_eq!(version.statistics().failure.count(), 1, "the account goes on");
}

#[test]
fn a_change_of_what_the_engine_is_told_loads_the_model_again() {
    let world = world(&[1]);
    let optimization = Optimization { graph_level: 1, ..Optimization::NONE };
    world.configs.set(LoadPlan { version_policy: ALL, optimization, ..plan(1) }, spec("m"));
    world.write("m/config.pbtxt", "level 1");
    assert_eq!(wait(world.want("m")), []);
    assert_eq!(world.handle.loads(), 2);
}

#[test]
fn versions_come_and_go_with_the_policy() {
    let world = world(&[1, 2, 3]);
    for (policy, served) in [
        (VersionPolicy::Latest(1), vec![3]),
        (VersionPolicy::Specific(vec![1, 3]), vec![1, 3]),
        (VersionPolicy::All, vec![1, 2, 3]),
    ] {
        world.configs.set(versions(policy.clone()), spec("m"));
        world.write("m/config.pbtxt", &format!("{policy:?}"));
        assert_eq!(wait(world.want("m")), []);
        assert_eq!(world.served("m").iter().map(|(version, _)| *version).collect::<Vec<_>>(), served);
        let is_settled = |status: &(Option<u64>, PublicState, String)| status.1 != PublicState::Unloading;
        until(|| world.index("m").iter().all(is_settled));
        for (version, state, reason) in world.index("m") {
            let expected = match served.contains(&version.unwrap()) {
                true => (PublicState::Ready, ""),
                false => (PublicState::Unavailable, "unloaded"),
            };
            assert_eq!((state, reason.as_str()), expected, "{policy:?} {version:?}");
        }
    }
    assert_eq!(world.handle.loads(), 5, "version 1, and then version 2, once more");
}

#[test]
fn an_unloaded_model_is_not_found_and_shown_as_unloaded_and_can_be_loaded_again() {
    let world = world(&[1]);
    wait(world.manager.unload("m", false));
    assert!(world.registry.lookup("m", None).is_err());
    until(|| world.index("m") == [unavailable(Some(1), "unloaded")]);
    assert_eq!(world.handle.instances_alive(), 0);
    assert_eq!(wait(world.want("m")), []);
    assert_eq!(world.index("m"), [ready(1)]);
    wait(world.manager.unload("nobody knows it", false));
}

#[test]
fn a_model_that_is_to_be_forgotten_is_shown_until_its_last_request_is_released() {
    let world = world(&[1]);
    let version = world.registry.lookup("m", None).unwrap();
    let answer = version.infer(request("a", 1), Instant::now());
    drop(version);
    let execution = world.handle.next();
    wait(world.manager.unload("m", true));
    assert_eq!(world.index("m"), [(Some(1), PublicState::Unloading, String::new())]);
    execution.succeed();
    assert_eq!(wait(answer).error, None);
    until(|| world.registry.entry("m").is_none());
}

#[test]
fn a_load_that_is_no_longer_wanted_is_cancelled_and_its_callers_are_told() {
    let world = world(&[1]);
    world.write("m/1/content", "new");
    let held = world.handle.hold_load("m", 1);
    let loading = world.want("m");
    until(|| world.handle.loads() == 2);
    wait(world.manager.unload("m", false));
    let failures = wait(loading);
    assert_eq!(failures[0].code(), Code::Unavailable);
    assert_eq!(failures[0].to_string(), "load of model 'm' was given up: it is to be unloaded");
    assert!(world.handle.was_cancelled("m", 1));
    drop(held);
    until(|| world.index("m") == [unavailable(Some(1), "unloaded")] && world.handle.instances_alive() == 0);
    assert!(world.registry.lookup("m", None).is_err(), "it does not come back when the load ends after all");
}

#[test]
fn a_change_during_a_load_begins_it_anew_and_whoever_waits_hears_of_the_last() {
    let world = world(&[1]);
    world.write("m/1/content", "first");
    let held = world.handle.hold_load("m", 1);
    let first = world.want("m");
    until(|| world.handle.loads() == 2);
    let joined = world.want("m");
    world.write("m/1/content", "second");
    let second = world.want("m");
    assert_eq!(wait(second), [], "the load that hangs does not hold it up");
    assert_eq!((wait(first), wait(joined)), (vec![], vec![]));
    assert_eq!(world.served("m"), pairs(&[(1, "second")]));
    drop(held);
    until(|| world.handle.instances_alive() == 1);
    assert_eq!(world.served("m"), pairs(&[(1, "second")]), "what comes late is not served");
}

#[test]
fn a_load_that_hangs_does_not_hold_up_other_models() {
    let configs = MockConfigs::default().with(plan(1), spec("a")).with(plan(1), spec("b"));
    let patience = Duration::from_millis(20);
    let options = ManagerOptions { load_threads: 1, patience, ..ManagerOptions::default() };
    let world = World::with(&["a/1", "b/1"], configs, options);
    let held = world.handle.hold_load("a", 1);
    let hanging = world.want("a");
    until(|| world.handle.loads() == 1);
    assert_eq!(wait(world.want("b")), []);
    drop(held);
    assert_eq!(wait(hanging), []);
}

#[test]
fn a_lookup_is_answered_while_a_load_is_anywhere_in_its_engine() {
    let world = world(&[1]);
    world.write("m/2/content", "new");
    let held = world.handle.hold_load("m", 2);
    let loading = world.want("m");
    until(|| world.handle.loads() == 2);
    assert_eq!(world.registry.lookup("m", None).unwrap().version, 1);
    assert_eq!(world.registry.ready().len(), 1);
    drop(held);
    assert_eq!(wait(loading), []);
    assert_eq!(world.registry.lookup("m", None).unwrap().version, 2);
}

#[test]
fn a_load_that_fails_is_tried_again_as_often_as_is_asked_for() {
    let configs = MockConfigs::default().with(plan(1), spec("m"));
    let options = ManagerOptions { load_retries: 1, ..ManagerOptions::default() };
    let world = World::with(&["m/1"], configs, options);
    world.handle.fail_load("m", 1, broken("truncated file"));
    assert_eq!(wait(world.want("m")).len(), 1);
    assert_eq!(world.handle.loads(), 2);
}

#[test]
fn files_that_change_while_they_are_read_are_read_again_and_never_served_as_they_were() {
    let world = world(&[1]);
    world.write("m/1/content", "half");
    world.handle.during_load("m", 1, {
        let path = world.root.path().join("m/1/content");
        move || fs::write(&path, "whole").unwrap()
    });
    assert_eq!(wait(world.want("m")), []);
    assert_eq!(world.served("m"), pairs(&[(1, "whole")]));
    assert_eq!(world.handle.loads(), 3);
}

#[test]
fn a_shutdown_answers_what_waits_and_waits_for_what_is_executed() {
    let world = World::new(&["m/1"], MockConfigs::default().with(plan(1), spec("m")));
    world.load();
    let version = world.registry.lookup("m", None).unwrap();
    let now = Instant::now();
    let executing = version.infer(request("executing", 1), now);
    let execution = world.handle.next();
    let mut waiting = version.infer(request("waiting", 1), now);
    drop(version);
    let mut down = Box::pin(world.manager.shut_down());
    until(|| world.registry.lookup("m", None).is_err());
    assert!(poll(&mut down).is_none());
    let refusal = poll(&mut waiting).expect("what waits is answered at once").error.unwrap();
    assert_eq!(refusal.code, Code::Unavailable);
    drop(waiting);
    assert_eq!(world.index("m"), [(Some(1), PublicState::Unloading, String::new())]);
    execution.succeed();
    assert_eq!(wait(executing).error, None);
    wait(down);
    assert_eq!(world.index("m"), [unavailable(Some(1), "unloaded")]);
    assert_eq!(wait(world.want("m"))[0].code(), Code::Unavailable, "nothing is loaded any more");
    wait(world.manager.unload("m", false));
    wait(world.manager.shut_down());
}

#[test]
fn a_shutdown_does_not_wait_for_a_load() {
    let world = World::new(&["m/1"], MockConfigs::default().with(plan(1), spec("m")));
    let held = world.handle.hold_load("m", 1);
    let loading = world.want("m");
    until(|| world.handle.loads() == 1);
    wait(world.manager.shut_down());
    assert_eq!(wait(loading)[0].code(), Code::Unavailable);
    drop(held);
}

#[test]
fn a_shutdown_answers_what_waits_for_a_version_that_was_replaced() {
    let world = world(&[1]);
    let old = world.registry.lookup("m", None).unwrap();
    let executing = old.infer(request("executing", 8), Instant::now());
    let execution = world.handle.next();
    let waiting = old.infer(request("waiting", 8), Instant::now());
    drop(old);
    world.write("m/1/content", "new");
    assert_eq!(wait(world.want("m")), []);
    let down = world.manager.shut_down();
    assert_eq!(wait(waiting).error.unwrap().code, Code::Unavailable);
    execution.succeed();
    assert_eq!(wait(executing).error, None);
    wait(down);
}

#[test]
fn an_engine_that_panics_or_keeps_the_thread_as_it_lets_go_of_a_model_holds_up_neither_its_unload_nor_a_shutdown()
 {
    for fault in [Fault::Panic("let go of"), Fault::Loss(BackendError::internal("its thread is lost"))] {
        let world = world(&[1]);
        world.handle.fail_drop(fault);
        wait(world.manager.unload("m", false));
        until(|| world.index("m") == [unavailable(Some(1), "unloaded")]);
        world.handle.fail_instances(broken("out of memory"));
        assert_eq!(wait(world.want("m")).len(), 1);
        wait(world.manager.shut_down());
    }
}

#[test]
fn a_reload_that_hangs_keeps_neither_the_old_version_nor_a_shutdown() {
    let world = world(&[1]);
    world.write("m/1/content", "new");
    let held = world.handle.hold_load("m", 1);
    let loading = world.want("m");
    until(|| world.handle.loads() == 2);
    world.manager.stop_loading();
    assert_eq!(wait(loading)[0].code(), Code::Unavailable);
    assert_eq!(world.served("m"), pairs(&[(1, "old")]), "what is served goes on");
    wait(world.manager.shut_down());
    until(|| world.handle.instances_alive() == 0);
    drop(held);
}

/// Has the model's only instance panic.
fn panic_once(world: &World) -> Arc<ModelVersion> {
    let version = world.registry.lookup("m", None).unwrap();
    let answer = version.infer(request("a", 1), Instant::now());
    world.handle.next().panic();
    assert!(wait(answer).error.is_some());
    version
}

#[test]
fn a_version_without_an_instance_is_loaded_anew_by_the_next_load() {
    let world = world(&[1]);
    // The engine does not come back from making another.
    let held = world.handle.hold_instance();
    drop(panic_once(&world));
    until(|| world.handle.holds_instance());
    assert!(!world.registry.lookup("m", None).unwrap().is_sound());
    assert_eq!(wait(world.want("m")), []);
    assert!(world.registry.lookup("m", None).unwrap().is_sound());
    assert_eq!(world.handle.loads(), 2);
    drop(held);
    until(|| world.handle.instances_alive() == 1);
}

#[test]
fn a_shutdown_waits_for_the_engine_to_make_an_instance_anew_and_for_no_further_attempt() {
    let world = world(&[1]);
    let held = world.handle.hold_instance();
    drop(panic_once(&world));
    until(|| world.handle.holds_instance());
    let mut stopping = pin!(world.manager.shut_down());
    assert!(stopping.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    until(|| world.registry.lookup("m", None).is_err());
    world.handle.fail_instances(broken("out of memory"));
    drop(held);
    wait(stopping);
    assert_eq!((world.handle.failed_instances(), world.handle.instances_alive()), (1, 0));
}
