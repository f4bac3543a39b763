//! Ensembles among the models that are loaded, replaced and unloaded.

use std::collections::BTreeMap;

use nerite_backend::{Shape, TensorDeclaration};
use proptest::prelude::*;

use super::*;
use crate::model::{EnsemblePlan, StepPlan};

/// The plan of an ensemble through models of an input X and an output X_OUT, or through ensembles from X to Y.
fn through(models: &[&str]) -> LoadPlan {
    let tensor = |name: &str| TensorDeclaration {
        name: name.to_owned(),
        dtype: DType::U8,
        shape: Shape::new(&[-1, 1]),
        optional: false,
    };
    let mut ensemble = EnsemblePlan { max_batch_size: 8, ..EnsemblePlan::default() };
    ensemble.declaration.inputs.push(tensor("X"));
    ensemble.declaration.outputs.push(tensor("Y"));
    for (place, model) in models.iter().enumerate() {
        let before = if place == 0 { "X".to_owned() } else { format!("t{place}") };
        let after = if place + 1 == models.len() { "Y".to_owned() } else { format!("t{}", place + 1) };
        let output = if model.starts_with(char::is_uppercase) { "Y" } else { "X_OUT" };
        ensemble.steps.push(StepPlan {
            model: (*model).to_owned(),
            version: None,
            inputs: BTreeMap::from([("X".to_owned(), before)]),
            outputs: BTreeMap::from([(output.to_owned(), after)]),
        });
    }
    LoadPlan { ensemble: Some(Arc::new(ensemble)), ..LoadPlan::default() }
}

/// An ensemble, as its callers see it.
fn ensemble_spec(name: &str) -> ModelSpec {
    let mut spec = model(name, 8, vec![input("X", DType::U8, &[1], 0)]);
    "Y".clone_into(&mut spec.outputs[0].name);
    spec
}

/// The models a and b, the ensemble E of both, and F of E and b.
fn world(options: ManagerOptions) -> World {
    let spec = |name| model(name, 8, vec![input("X", DType::U8, &[1], 0)]);
    let configs = MockConfigs::default()
        .with(plan(1), spec("a"))
        .with(plan(1), spec("b"))
        .with(through(&["a", "b"]), ensemble_spec("E"))
        .with(through(&["E", "b"]), ensemble_spec("F"));
    World::with(&["a/1", "b/1", "E/1", "F/1"], configs, options)
}

impl World {
    fn explicit() -> World {
        let root = tempfile::tempdir().unwrap();
        let repositories: Arc<[_]> = Arc::new([root.path().to_owned()]);
        let mut world = world(ManagerOptions { repositories, ..ManagerOptions::default() });
        for model in ["a", "b", "E", "F"] {
            fs::create_dir_all(root.path().join(model).join("1")).unwrap();
        }
        world.root = root;
        world
    }

    fn is_served(&self, model: &str) -> bool {
        self.registry.lookup(model, None).is_ok()
    }

    fn all_served(&self) -> Vec<&'static str> {
        ["E", "F", "a", "b"].into_iter().filter(|model| self.is_served(model)).collect()
    }

    /// The ensemble F is answered by the models, in their order.
    fn works(&self) {
        let answer = self.registry.lookup("F", None).unwrap().infer(request("", 1), Instant::now());
        (0..3).for_each(|_| self.handle.next().succeed());
        assert!(wait(answer).error.is_none());
    }
}

#[test]
fn all_that_are_wanted_together_are_served_whichever_is_loaded_first() {
    let world = world(ManagerOptions::default());
    let held = world.handle.hold_load("a", 1);
    let loading = world
        .manager
        .want(world.scan().models.into_iter().map(|(name, found)| (name, Ok(found.into()))).collect());
    until(|| world.is_served("b"));
    assert_eq!(world.all_served(), ["b"], "the ensembles wait for a");
    assert_eq!(world.index("E"), [(None, PublicState::Loading, String::new())]);
    drop(held);
    assert_eq!(wait(loading), []);
    assert_eq!(world.all_served(), ["E", "F", "a", "b"]);
    world.works();
}

#[test]
fn a_reload_of_a_model_replaces_the_ensembles_of_it_and_nothing_else() {
    let world = world(ManagerOptions::default());
    assert_eq!(world.load(), [] as [&str; 0]);
    let versions = |world: &World| ["E", "F", "b"].map(|model| world.registry.lookup(model, None).unwrap());
    let before = versions(&world);
    world.write("a/1/content", "new");
    assert_eq!(wait(world.want("a")), []);
    let is_same = |place: usize| Arc::ptr_eq(&before[place], &versions(&world)[place]);
    until(|| !is_same(0) && !is_same(1));
    assert!(is_same(2));
    world.works();
    // What is the same is kept.
    let before = versions(&world);
    assert_eq!(wait(world.want("a")), []);
    assert_eq!(wait(world.want("E")), []);
    assert!(before.iter().zip(&versions(&world)).all(|(old, new)| Arc::ptr_eq(old, new)));
}

#[test]
fn an_ensemble_of_a_model_that_fails_says_so_and_is_served_when_that_is_mended() {
    let world = world(ManagerOptions::default());
    world.handle.fail_load("a", 1, Fault::Error(BackendError::invalid("truncated")));
    world.load();
    assert_eq!(world.all_served(), ["b"]);
    let reason = "Invalid argument: ensemble 'E' depends on 'a' which has no loaded version. Model 'a' loading failed with \
                  error: version 1 is at UNAVAILABLE state: Invalid argument: truncated;";
    assert_eq!(world.index("E"), [(None, PublicState::Unavailable, reason.to_owned())]);
    world.handle.mend_load("a", 1);
    assert_eq!(wait(world.want("a")), []);
    until(|| world.all_served() == ["E", "F", "a", "b"]);
    world.works();
}

#[test]
fn a_model_that_fits_no_more_ends_its_ensembles_until_it_fits_again() {
    let world = world(ManagerOptions::default());
    assert_eq!(world.load(), [] as [&str; 0]);
    let other = model("a", 8, vec![input("X", DType::I8, &[1], 0)]);
    world.configs.set(plan(2), other);
    world.write("a/config", "changed");
    assert_eq!(wait(world.want("a")), []);
    until(|| world.all_served() == ["a", "b"]);
    let reason = "inconsistent data type: TYPE_UINT8 is inferred from model E while TYPE_INT8 is inferred from model a";
    until(|| world.index("E")[0].2.contains(reason));
    world.configs.set(plan(1), model("a", 8, vec![input("X", DType::U8, &[1], 0)]));
    world.write("a/config", "changed back");
    assert_eq!(wait(world.want("a")), []);
    until(|| world.all_served() == ["E", "F", "a", "b"]);
}

#[test]
fn an_ensemble_that_is_asked_for_brings_its_models_and_takes_away_those_that_nobody_else_wants() {
    let world = World::explicit();
    assert_eq!(wait(world.want("F")), []);
    assert_eq!(world.all_served(), ["E", "F", "a", "b"]);
    assert_eq!(wait(world.want("b")), []);
    wait(world.manager.unload_with_dependents("F"));
    until(|| world.all_served() == ["b"]);
    assert_eq!(wait(world.want("E")), []);
    wait(world.manager.unload("a", false));
    until(|| world.all_served() == ["b"]);
    assert_eq!(wait(world.want("a")), []);
    until(|| world.all_served() == ["E", "a", "b"]);
    wait(world.manager.unload("E", false));
    assert_eq!(world.all_served(), ["a", "b"]);
    wait(world.manager.unload("a", false));
    assert_eq!(wait(world.want("a")), []);
    assert_eq!(world.all_served(), ["a", "b"], "what was unloaded does not come back by itself");
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Want(&'static str),
    Unload(&'static str),
    Break(&'static str),
    Mend(&'static str),
}

fn act() -> impl Strategy<Value = Act> {
    let any_model = prop::sample::select(vec!["a", "b", "E", "F"]);
    let model = prop::sample::select(vec!["a", "b"]);
    prop_oneof![
        3 => any_model.clone().prop_map(Act::Want),
        2 => any_model.prop_map(Act::Unload),
        1 => model.clone().prop_map(Act::Break),
        1 => model.prop_map(Act::Mend),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn an_ensemble_that_is_wanted_is_served_exactly_if_its_models_are(acts in prop::collection::vec(act(), 1..12)) {
        let world = World::explicit();
        let mut wanted = std::collections::BTreeSet::new();
        for act in acts {
            match act {
                Act::Want(model) => {
                    wanted.insert(model);
                    drop(wait(world.want(model)));
                }
                Act::Unload(model) => {
                    wanted.remove(model);
                    wait(world.manager.unload(model, false));
                }
                Act::Break(model) => {
                    world.handle.fail_load(model, 1, Fault::Error(BackendError::invalid("broken")));
                }
                Act::Mend(model) => world.handle.mend_load(model, 1),
            }
        }
        let follows = |ensemble: &'static str, parts: [&str; 2]| {
            let parts = parts.iter().all(|part| world.is_served(part));
            // It may be there because another wanted it.
            world.is_served(ensemble) == parts || (!wanted.contains(ensemble) && !world.is_served(ensemble))
        };
        until(|| follows("E", ["a", "b"]) && follows("F", ["E", "b"]));
        wait(world.manager.shut_down());
        prop_assert!(world.handle.instances_alive() == 0);
    }
}

/// Why the last of a line of ensembles is not served, each of which has the one before it for so many steps, the first a
/// model. The others are.
fn refused(width: usize, length: usize) -> String {
    let spec = model("a", 8, vec![input("X", DType::U8, &[1], 0)]);
    let names: Vec<String> = (1..=length).map(|place| format!("E{place:02}")).collect();
    let mut configs = MockConfigs::default().with(plan(1), spec);
    let mut inner = "a";
    for name in &names {
        configs = configs.with(through(&vec![inner; width]), ensemble_spec(name));
        inner = name;
    }
    let directories: Vec<String> =
        names.iter().map(String::as_str).chain(["a"]).map(|name| format!("{name}/1")).collect();
    let directories: Vec<&str> = directories.iter().map(String::as_str).collect();
    let world = World::with(&directories, configs, ManagerOptions::default());
    wait(
        world
            .manager
            .want(world.scan().models.into_iter().map(|(name, found)| (name, Ok(found.into()))).collect()),
    );
    assert!(world.is_served(&names[length - 2]) && !world.is_served(inner));
    format!("{:?}", world.registry.entry(inner).unwrap().failure)
}

#[test]
fn ensembles_that_lie_in_each_other_too_deep_are_refused_and_the_inner_ones_are_served() {
    assert!(refused(1, 33).contains("33 deep"), "{}", refused(1, 33));
}

#[test]
fn an_ensemble_whose_request_would_become_thousands_is_refused_and_the_inner_ones_are_served() {
    let reason = refused(8, 5);
    assert!(reason.contains("would become 32768 requests"), "{reason}");
}
