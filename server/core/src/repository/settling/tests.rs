use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_secs(3);

/// A model with one version, whose number tells its states apart; 0 is a directory that cannot be served.
fn sighting(name: &str, state: u64) -> Sighting {
    if state == 0 {
        return Sighting::Refused("broken".to_owned());
    }
    Sighting::Model(ModelDirectory {
        name: name.to_owned(),
        versions: vec![state],
        ..ModelDirectory::default()
    })
}

fn present(name: &str, state: u64) -> Change {
    change(name, Some(state))
}

fn change(name: &str, state: Option<u64>) -> Change {
    match state.map(|state| sighting(name, state)) {
        None => Change::Absent { name: name.to_owned() },
        Some(Sighting::Model(model)) => Change::Present(model),
        Some(Sighting::Refused(reason)) => Change::Refused { name: name.to_owned(), reason },
    }
}

/// What is known of the model `m`, and its time.
struct World {
    settling: Settling,
    now: Instant,
}

impl World {
    fn new() -> World {
        World { settling: Settling::new(WINDOW, BTreeMap::new()), now: Instant::now() }
    }

    fn see(&mut self, state: Option<u64>) {
        self.settling.observe("m", state.map(|state| sighting("m", state)), self.now);
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn settled(&mut self) -> Vec<Change> {
        self.settling.settled(self.now)
    }
}

#[test]
fn a_change_is_over_when_it_was_seen_again_a_window_later() {
    let mut world = World::new();
    assert_eq!(world.settling.next(), None);
    world.see(Some(1));
    assert_eq!(world.settling.next(), Some(world.now + WINDOW));
    world.wait(3);
    assert_eq!(world.settled(), [], "it was not looked at again");
    assert_eq!(world.settling.due(world.now), ["m"]);
    world.see(Some(1));
    assert_eq!(world.settled(), [present("m", 1)]);
    assert_eq!((world.settled(), world.settling.next()), (vec![], None));
}

#[test]
fn another_change_begins_the_window_anew() {
    let mut world = World::new();
    for state in [1, 2, 1] {
        world.see(Some(state));
        world.wait(2);
        assert_eq!(world.settled(), []);
    }
    world.wait(1);
    world.see(Some(1));
    assert_eq!(world.settled(), [present("m", 1)]);
}

#[test]
fn a_change_that_is_undone_is_none() {
    let mut world = World::new();
    world.see(Some(1));
    world.wait(1);
    world.see(None);
    assert_eq!(world.settling.next(), None);
    world.wait(9);
    assert_eq!(world.settled(), []);
}

#[test]
fn a_model_that_is_gone_or_broken_is_told_of_as_well() {
    let mut world = World::new();
    for state in [Some(1), Some(0), None] {
        world.see(state);
        world.wait(3);
        world.see(state);
        assert_eq!(world.settled(), [change("m", state)]);
    }
}

#[test]
fn without_a_window_a_change_is_over_when_it_is_seen() {
    let mut world = World::new();
    world.settling.window = Duration::ZERO;
    world.see(Some(1));
    assert_eq!(world.settled(), [present("m", 1)]);
}

#[test]
fn a_change_is_not_over_before_every_file_is_closed() {
    let mut world = World::new();
    let (first, second) = (Path::new("m/1/first"), Path::new("m/1/second"));
    world.see(Some(1));
    world.settling.writing("m", first, world.now);
    world.settling.writing("m", second, world.now);
    world.wait(10);
    world.see(Some(1));
    assert_eq!(world.settled(), []);
    world.settling.written("m", first);
    assert_eq!(world.settled(), []);
    world.settling.written("m", Path::new("m/1"));
    assert_eq!(world.settling.due(world.now), ["m"]);
    assert_eq!(world.settled(), [present("m", 1)]);
}

#[test]
fn a_file_that_is_never_closed_holds_up_a_change_for_a_minute() {
    let mut world = World::new();
    world.see(Some(1));
    world.settling.writing("m", Path::new("m/1/model"), world.now);
    world.wait(20);
    world.settling.writing("m", Path::new("m/1/model"), world.now);
    world.wait(59);
    world.see(Some(1));
    assert_eq!(world.settled(), []);
    world.wait(1);
    assert_eq!(world.settled(), [], "it was not looked at again");
    world.see(Some(1));
    assert_eq!(world.settled(), [present("m", 1)]);
}

#[test]
fn a_file_that_is_open_in_a_model_that_goes_holds_up_nothing() {
    let mut world = World::new();
    world.settling = Settling::new(WINDOW, BTreeMap::from([("m".to_owned(), sighting("m", 1))]));
    world.settling.writing("m", Path::new("m/1/model"), world.now);
    world.see(None);
    world.wait(3);
    world.see(None);
    assert_eq!(world.settled(), [change("m", None)]);
}

#[test]
fn a_model_that_could_not_be_looked_at_is_not_waited_for() {
    let mut world = World::new();
    world.see(Some(1));
    world.settling.dismiss("m");
    assert_eq!((world.settling.next(), world.settling.names()), (None, vec![]));
}

/// One thing that happens to one of three models.
#[derive(Clone, Debug)]
enum Step {
    /// Its files change.
    Change(usize, Option<u64>),
    /// It is looked at.
    Look(usize),
    /// A file of it is written to, or closed.
    Write(usize),
    Close(usize),
    /// Time passes.
    Wait(u64),
    /// The loop wakes: looks at what is due, and asks what is over.
    Wake,
    /// The loop asks without having looked.
    Ask,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3usize, prop::option::of(0..3u64)).prop_map(|(model, state)| Step::Change(model, state)),
        3 => (0..3usize).prop_map(Step::Look),
        1 => (0..3usize).prop_map(Step::Write),
        1 => (0..3usize).prop_map(Step::Close),
        3 => (0..4_000u64).prop_map(Step::Wait),
        2 => Just(Step::Wake),
        1 => Just(Step::Ask),
    ]
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// The sequence of looks as the test keeps it, beside what is tested.
struct Checked {
    settling: Settling,
    now: Instant,
    disk: [Option<u64>; 3],
    /// What was seen last, when it was first seen in an unbroken row, and when last.
    seen: [(Option<u64>, Instant, Instant); 3],
    /// When a file of it was last written to that is still open.
    open: [Option<Instant>; 3],
    told: [Option<u64>; 3],
}

impl Checked {
    fn new() -> Checked {
        let now = Instant::now();
        Checked {
            settling: Settling::new(WINDOW, BTreeMap::new()),
            now,
            disk: [None; 3],
            seen: [(None, now, now); 3],
            open: [None; 3],
            told: [None; 3],
        }
    }

    fn look(&mut self, model: usize) {
        let (state, now) = (self.disk[model], self.now);
        let first = if self.seen[model].0 == state { self.seen[model].1 } else { now };
        self.seen[model] = (state, first, now);
        if state.is_none() {
            self.open[model] = None;
        }
        let name = NAMES[model];
        self.settling.observe(name, state.map(|state| sighting(name, state)), now);
    }

    fn wake(&mut self) -> Result<(), TestCaseError> {
        for name in self.settling.due(self.now) {
            self.look(NAMES.iter().position(|&other| other == name).unwrap());
        }
        self.ask()
    }

    fn ask(&mut self) -> Result<(), TestCaseError> {
        for told in self.settling.settled(self.now) {
            let name = match &told {
                Change::Present(model) => &model.name,
                Change::Refused { name, .. } | Change::Absent { name } => name,
            };
            let model = NAMES.iter().position(|other| other == name).unwrap();
            let (state, first, last) = self.seen[model];
            prop_assert_eq!(&told, &change(NAMES[model], state), "what was seen last is told");
            prop_assert_ne!(state, self.told[model], "nothing is told twice");
            prop_assert!(last - first >= WINDOW, "it was seen again a window later");
            let patience = self.open[model].map(|written| written + OPEN_FILE_PATIENCE);
            prop_assert!(patience.is_none_or(|end| end <= self.now), "its files were closed");
            self.told[model] = state;
            self.open[model] = None;
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Change(model, state) => self.disk[model] = state,
            Step::Look(model) => self.look(model),
            Step::Write(model) => {
                self.open[model] = Some(self.now);
                self.settling.writing(NAMES[model], Path::new("file"), self.now);
            }
            Step::Close(model) => {
                self.open[model] = None;
                self.settling.written(NAMES[model], Path::new("file"));
            }
            Step::Wait(ms) => self.now += Duration::from_millis(ms),
            Step::Wake => self.wake()?,
            Step::Ask => self.ask()?,
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn what_is_told_was_seen_for_a_window_never_repeats_and_is_in_the_end_what_is_there(
        steps in prop::collection::vec(step(), 0..80)
    ) {
        let mut checked = Checked::new();
        for step in steps {
            checked.step(step)?;
        }
        (0..3).for_each(|model| checked.look(model));
        while let Some(next) = checked.settling.next() {
            checked.now = checked.now.max(next);
            checked.wake()?;
        }
        prop_assert_eq!(checked.told, checked.disk);
        for (name, state) in NAMES.iter().zip(checked.disk) {
            let there = state.map(|state| sighting(name, state));
            prop_assert_eq!(checked.settling.known(name), there.as_ref());
        }
    }
}
