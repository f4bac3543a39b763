use std::collections::HashMap;
use std::fs;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use nerite_backend::{Backend, BackendError, Code, DType};

use super::*;
use crate::mock::{
    Fault, Handle, MockConfigs, MockEngine, declaration, input, model, plan, poll, request, wait,
};
use crate::model::{LoadError, LoadPlan, ModelSpec, OpenError, VersionPolicy};
use crate::registry::{PublicState, Registry};
use crate::repository::{Scanned, scan};

/// A repository on disk, its manager, and the engine that its models run on.
struct World {
    root: tempfile::TempDir,
    manager: Manager,
    registry: Arc<Registry>,
    handle: Handle,
}

impl World {
    fn new(directories: &[&str], configs: MockConfigs) -> World {
        let root = tempfile::tempdir().unwrap();
        for directory in directories {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let (engine, handle) = MockEngine::new(declaration(&spec("any")));
        let backends = HashMap::from([("mock".to_owned(), Arc::new(engine) as Arc<dyn Backend>)]);
        let registry = Arc::new(Registry::default());
        let loader = Loader::new(Box::new(configs), backends, Arc::default());
        let manager = Manager::new(Arc::new(loader), Arc::clone(&registry), 2);
        World { root, manager, registry, handle }
    }

    fn scan(&self) -> Scanned {
        scan(&[self.root.path().to_owned()]).unwrap()
    }

    /// Loads what is in the repository and returns the failures as texts, sorted.
    fn load(&mut self) -> Vec<String> {
        let mut failures: Vec<String> =
            self.manager.load_all(self.scan()).iter().map(ToString::to_string).collect();
        failures.sort();
        failures
    }

    /// The index as `(version, state, reason)`; the model's own status under no version.
    fn index(&self, model: &str) -> Vec<(Option<u64>, PublicState, String)> {
        let entry = self.registry.entry(model).expect("the model is known");
        let versions = entry.versions.iter().map(|(version, status)| (Some(*version), status.clone()));
        let model = entry.model_status().map(|status| (None, status));
        versions.chain(model).map(|(version, status)| (version, status.state, status.reason)).collect()
    }
}

fn spec(name: &str) -> ModelSpec {
    model(name, 8, vec![input("X", DType::U8, &[1], 0)])
}

fn versions(policy: VersionPolicy) -> LoadPlan {
    LoadPlan { version_policy: policy, ..plan(1) }
}

fn broken(text: &str) -> Fault {
    Fault::Error(BackendError::invalid(text))
}

fn ready(version: u64) -> (Option<u64>, PublicState, String) {
    (Some(version), PublicState::Ready, String::new())
}

fn unavailable(version: Option<u64>, reason: &str) -> (Option<u64>, PublicState, String) {
    (version, PublicState::Unavailable, reason.to_owned())
}

#[test]
fn a_model_that_loads_is_ready_and_serves() {
    let mut world = World::new(&["m/1"], MockConfigs::default().with(plan(2), spec("m")));
    assert_eq!(world.load(), [] as [&str; 0]);
    assert_eq!(world.index("m"), [ready(1)]);
    assert_eq!(world.handle.instances(), 2);
    let version = world.registry.lookup("m", None).unwrap();
    let answer = version.infer(request("a", 1), Instant::now());
    let execution = world.handle.next();
    assert!(["group_0", "group_1"].contains(&execution.instance.as_str()), "{}", execution.instance);
    execution.succeed();
    assert_eq!(wait(answer).error, None);
}

#[test]
fn what_fails_is_told_with_its_reason_and_does_not_keep_other_models_from_serving() {
    let configs = MockConfigs::default()
        .with(plan(1), spec("good"))
        .with(versions(VersionPolicy::All), spec("half"))
        .with_unreadable("unreadable", broken("line 3, column 7"))
        .with_incomplete(plan(1), spec("incomplete"), broken("the model has no input 'Z'"))
        .with(LoadPlan { backend: "other".to_owned(), ..plan(1) }, spec("foreign"))
        .with(plan(1), spec("empty"));
    let directories = ["good/1", "half/1", "half/2", "unreadable/1", "incomplete/1", "foreign/1", "empty"];
    let mut world = World::new(&directories, configs);
    world.handle.fail_load("half", 2, broken("truncated file"));
    let no_version = "at least one version must be available under the version policy of model 'empty'; its directory has \
                      no version; put the model's files into a folder '1' in it";
    let no_backend =
        "Invalid argument: unable to find backend library for backend 'other'; this server has: mock";
    assert_eq!(
        world.load(),
        [
            "failed to load 'unreadable', failed to poll from model repository: Invalid argument: line 3, column 7"
                .to_owned(),
            format!("load failed for model 'empty': {no_version}"),
            format!("load failed for model 'foreign': version 1 is at UNAVAILABLE state: {no_backend};"),
            "load failed for model 'half': version 2 is at UNAVAILABLE state: Invalid argument: truncated file;".to_owned(),
            "load failed for model 'incomplete': version 1 is at UNAVAILABLE state: Invalid argument: the model has no \
             input 'Z';"
                .to_owned(),
        ]
    );
    assert_eq!(world.index("good"), [ready(1)]);
    assert_eq!(
        world.index("half"),
        [
            unavailable(Some(1), "unloaded: version 2 could not be loaded"),
            unavailable(Some(2), "Invalid argument: truncated file")
        ]
    );
    assert_eq!(world.index("unreadable"), [unavailable(None, "Invalid argument: line 3, column 7")]);
    let reason = "Invalid argument: the model has no input 'Z'";
    assert_eq!(world.index("incomplete"), [unavailable(Some(1), reason)]);
    assert_eq!(world.index("foreign"), [unavailable(Some(1), no_backend)]);
    assert_eq!(world.index("empty"), [unavailable(None, &format!("Invalid argument: {no_version}"))]);
    let refusal =
        |model, version| world.registry.lookup(model, version).map(|v| v.version).unwrap_err().code();
    assert_eq!(refusal("half", None), Code::NotFound);
    assert_eq!(refusal("half", Some(1)), Code::Unavailable);
    assert_eq!(refusal("half", Some(2)), Code::Unavailable);
    assert_eq!(refusal("empty", None), Code::NotFound);
    assert_eq!(refusal("foreign", Some(1)), Code::Unavailable);
    assert_eq!(refusal("unreadable", None), Code::NotFound);
}

#[test]
fn one_version_that_fails_takes_its_siblings_down_whichever_it_is() {
    for failed in 1..=3 {
        let configs = MockConfigs::default().with(versions(VersionPolicy::All), spec("m"));
        let mut world = World::new(&["m/1", "m/2", "m/3"], configs);
        world.handle.fail_load("m", failed, broken("truncated file"));
        assert_eq!(world.load().len(), 1, "the siblings are not failures of their own");
        let siblings = format!("unloaded: version {failed} could not be loaded");
        let reason = |version| if version == failed { "Invalid argument: truncated file" } else { &siblings };
        let expected = [1, 2, 3].map(|version| unavailable(Some(version), reason(version)));
        assert_eq!(world.index("m"), expected);
        assert!(world.registry.ready().is_empty());
        assert_eq!(world.handle.instances_alive(), 0, "what was loaded is let go of");
    }
}

#[test]
fn a_model_is_served_once_all_of_its_own_versions_are_loaded_and_not_before() {
    let configs =
        MockConfigs::default().with(versions(VersionPolicy::All), spec("a")).with(plan(1), spec("b"));
    let mut world = World::new(&["a/1", "a/2", "b/1"], configs);
    let (registry, held) = (Arc::clone(&world.registry), world.handle.hold_load("a", 2));
    let loading = thread::spawn(move || {
        assert_eq!(world.load(), [] as [&str; 0]);
        world
    });
    until(|| registry.lookup("b", None).is_ok());
    // With two threads, one of them held, `a`'s first version was loaded before `b`'s.
    let entry = registry.entry("a").unwrap();
    assert_eq!([1, 2].map(|version| entry.versions[&version].state), [PublicState::Loading; 2]);
    assert!(registry.lookup("a", None).is_err());
    drop(held);
    let world = loading.join().unwrap();
    assert_eq!(world.index("a"), [ready(1), ready(2)]);
    assert_eq!(registry.lookup("a", None).unwrap().version, 2);
}

/// Returns once that is so.
#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "what was waited for never came");
        thread::yield_now();
    }
}

#[test]
fn a_model_in_two_repositories_is_refused_with_both_places_named() {
    let mut world = World::new(&["a/1", "b/1"], MockConfigs::default().with(plan(1), spec("a")));
    let second = tempfile::tempdir().unwrap();
    fs::create_dir_all(second.path().join("b/1")).unwrap();
    let found = scan(&[world.root.path().to_owned(), second.path().to_owned()]).unwrap();
    let failures = world.manager.load_all(found);
    assert_eq!(failures.len(), 1);
    let LoadFailure::Model { model, error: OpenError::Unreadable(error) } = &failures[0] else {
        panic!("{}", failures[0])
    };
    assert_eq!((model.as_str(), error.code), ("b", Code::Internal));
    for place in [world.root.path(), second.path()] {
        assert!(error.message.contains(&place.join("b").display().to_string()), "{error}");
    }
    assert_eq!(world.index("b"), [unavailable(None, &error.to_string())]);
    assert_eq!(world.index("a"), [ready(1)]);
}

#[test]
fn exactly_the_versions_that_the_policy_selects_are_loaded() {
    let configs = || MockConfigs::default();
    for (policy, expected) in [
        (VersionPolicy::Latest(1), vec![10]),
        (VersionPolicy::Latest(2), vec![3, 10]),
        (VersionPolicy::All, vec![1, 3, 10]),
        (VersionPolicy::Specific(vec![1, 4, 10]), vec![1, 10]),
    ] {
        let mut world =
            World::new(&["m/1", "m/3", "m/10"], configs().with(versions(policy.clone()), spec("m")));
        assert_eq!(world.load(), [] as [&str; 0]);
        assert_eq!(world.index("m"), expected.iter().map(|&v| ready(v)).collect::<Vec<_>>(), "{policy:?}");
    }
    let mut world =
        World::new(&["m/1"], configs().with(versions(VersionPolicy::Specific(vec![2])), spec("m")));
    assert_eq!(world.load().len(), 1, "a policy that selects nothing is a failure");
}

#[test]
fn a_panic_while_loading_is_a_failure_of_that_model_alone() {
    let panics = Fault::Panic;
    let configs = MockConfigs::default()
        .with(plan(1), spec("engine"))
        .with_unreadable("config", panics("index out of bounds"))
        .with_incomplete(plan(1), spec("completion"), panics("no such tensor"))
        .with(plan(1), spec("good"));
    let mut world = World::new(&["engine/1", "config/1", "completion/1", "good/1"], configs);
    world.handle.fail_load("engine", 1, panics("segments overlap"));
    let version_1 = "version 1 is at UNAVAILABLE state: Internal:";
    assert_eq!(
        world.load(),
        [
            "failed to load 'config', failed to poll from model repository: Internal: reading the configuration \
             panicked: index out of bounds"
                .to_owned(),
            format!(
                "load failed for model 'completion': {version_1} completing the configuration panicked: no such tensor;"
            ),
            format!("load failed for model 'engine': {version_1} the engine panicked: segments overlap;"),
        ]
    );
    assert_eq!(world.index("good"), [ready(1)]);
}

#[test]
fn an_engine_that_fails_or_panics_over_an_instance_fails_the_version() {
    for (fault, reason) in [
        (broken("out of memory"), "Invalid argument: out of memory"),
        (Fault::Panic("no device"), "Internal: the engine panicked: no device"),
    ] {
        let mut world = World::new(&["m/1"], MockConfigs::default().with(plan(1), spec("m")));
        world.handle.fail_instances(fault);
        assert_eq!(world.load().len(), 1);
        assert_eq!(world.index("m"), [unavailable(Some(1), reason)]);
    }
}

#[test]
fn a_load_error_reads_as_its_kind_and_its_message() {
    assert_eq!(LoadError::internal("it broke").to_string(), "Internal: it broke");
    assert_eq!(LoadError::invalid("bad dims").to_string(), "Invalid argument: bad dims");
}

#[test]
fn unloading_answers_what_waits_and_waits_for_what_is_executed() {
    let mut world = World::new(&["m/1"], MockConfigs::default().with(plan(1), spec("m")));
    world.load();
    let version = world.registry.lookup("m", None).unwrap();
    let now = Instant::now();
    let executing = version.infer(request("executing", 1), now);
    let execution = world.handle.next();
    let mut waiting = version.infer(request("waiting", 1), now);
    let registry = Arc::clone(&world.registry);
    {
        let mut unloading = pin!(world.manager.unload_all());
        let mut context = Context::from_waker(Waker::noop());
        assert!(unloading.as_mut().poll(&mut context).is_pending());
        let refusal = poll(&mut waiting).expect("what waits is answered at once").error.unwrap();
        assert_eq!(refusal.code, Code::Unavailable);
        assert!(registry.lookup("m", None).is_err(), "a version is not found once it drains");
        assert_eq!(registry.entry("m").unwrap().versions[&1].state, PublicState::Unloading);
        execution.succeed();
        assert_eq!(wait(executing).error, None);
        assert!(unloading.as_mut().poll(&mut context).is_ready());
    }
    assert_eq!(world.index("m"), [unavailable(Some(1), "unloaded")]);
    assert_eq!(version.pending(), 0);
    drop(version);
}

#[test]
fn a_version_that_is_loading_or_failed_is_shown_but_not_found() {
    use super::state::VersionState;
    let registry = Registry::default();
    registry.announce([String::from("m")].iter());
    let states = [
        (VersionState::Loading, PublicState::Loading),
        (VersionState::Failed(LoadError::internal("why")), PublicState::Unavailable),
        (VersionState::Withdrawn { failed: 2 }, PublicState::Unavailable),
        (VersionState::Draining, PublicState::Unloading),
        (VersionState::Unloaded, PublicState::Unavailable),
    ];
    for (state, public) in states {
        registry.update("m", |entry| state.publish(1, entry));
        assert_eq!(registry.entry("m").unwrap().versions[&1].state, public);
        assert!(registry.lookup("m", Some(1)).is_err());
    }
}
