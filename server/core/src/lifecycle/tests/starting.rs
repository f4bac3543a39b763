use super::*;

#[test]
fn a_model_that_loads_is_ready_and_serves() {
    let world = World::new(&["m/1"], MockConfigs::default().with(plan(2), spec("m")));
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
    let world = World::new(&directories, configs);
    world.handle.fail_load("half", 2, broken("truncated file"));
    let no_version = "Invalid argument: at least one version must be available under the version policy of model 'empty'; its \
         directory has no version; put the model's files into a folder '1' in it";
    let no_backend = "Invalid argument: unable to find backend library for backend 'other'; set backend to one that \
         this server has: mock";
    assert_eq!(
        world.load(),
        [
            "failed to load 'unreadable', failed to poll from model repository: Invalid argument: line 3, column 7"
                .to_owned(),
            format!("load failed for model 'empty': {}", no_version.trim_start_matches("Invalid argument: ")),
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
    assert_eq!(world.index("empty"), [unavailable(None, no_version)]);
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
        let world = World::new(&["m/1", "m/2", "m/3"], configs);
        world.handle.fail_load("m", failed, broken("truncated file"));
        assert_eq!(world.load().len(), 1, "the siblings are not failures of their own");
        let siblings = format!("unloaded: version {failed} could not be loaded");
        let reason = |version| if version == failed { "Invalid argument: truncated file" } else { &siblings };
        let expected = [1, 2, 3].map(|version| unavailable(Some(version), reason(version)));
        assert_eq!(world.index("m"), expected);
        assert!(world.registry.ready().is_empty());
        until(|| world.handle.instances_alive() == 0);
    }
}

#[test]
fn a_model_is_served_once_all_of_its_own_versions_are_loaded_and_not_before() {
    let configs =
        MockConfigs::default().with(versions(VersionPolicy::All), spec("a")).with(plan(1), spec("b"));
    let world = World::new(&["a/1", "a/2", "b/1"], configs);
    let held = world.handle.hold_load("a", 2);
    let loading = world.want_all(world.scan());
    until(|| world.registry.lookup("b", None).is_ok());
    // With two threads, one of them held, `a`'s first version was loaded before `b`'s.
    let entry = world.registry.entry("a").unwrap();
    assert_eq!([1, 2].map(|version| entry.versions[&version].state), [PublicState::Loading; 2]);
    assert!(world.registry.lookup("a", None).is_err());
    drop(held);
    assert_eq!(wait(loading), []);
    assert_eq!(world.index("a"), [ready(1), ready(2)]);
    assert_eq!(world.registry.lookup("a", None).unwrap().version, 2);
}

#[test]
fn a_model_in_two_repositories_is_refused_with_both_places_named() {
    let world = World::new(&["a/1", "b/1"], MockConfigs::default().with(plan(1), spec("a")));
    let second = tempfile::tempdir().unwrap();
    fs::create_dir_all(second.path().join("b/1")).unwrap();
    let found = scan(&[world.root.path().to_owned(), second.path().to_owned()]).unwrap();
    let failures = wait(world.want_all(found));
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
        let world = World::new(&["m/1", "m/3", "m/10"], configs().with(versions(policy.clone()), spec("m")));
        assert_eq!(world.load(), [] as [&str; 0]);
        assert_eq!(world.index("m"), expected.iter().map(|&v| ready(v)).collect::<Vec<_>>(), "{policy:?}");
    }
    let world = World::new(&["m/1"], configs().with(versions(VersionPolicy::Specific(vec![2])), spec("m")));
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
    let world = World::new(&["engine/1", "config/1", "completion/1", "good/1"], configs);
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
        let world = World::new(&["m/1"], MockConfigs::default().with(plan(1), spec("m")));
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
