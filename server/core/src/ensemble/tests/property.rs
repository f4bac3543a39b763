//! Random graphs: every step that is needed runs once, in whatever order the steps end, and the result is that of running
//! them one after the other.

use std::collections::{BTreeMap, BTreeSet};

use nerite_backend::{DType, Shape, Slots, TensorDeclaration};
use proptest::prelude::*;

use super::super::Graph;
use super::super::progress::{Came, Firing, Progress};
use crate::model::{EnsemblePlan, StepPlan};

/// A random ensemble: for each step, which of the tensors before it it reads, and how many it writes.
#[derive(Clone, Debug)]
struct Random {
    inputs: usize,
    steps: Vec<(Vec<prop::sample::Index>, usize)>,
    /// Which inner tensors are outputs too.
    shown: u64,
    /// The order of the configuration.
    order: Vec<usize>,
}

fn random() -> impl Strategy<Value = Random> {
    let step = (prop::collection::vec(any::<prop::sample::Index>(), 1..4), 1..3usize);
    (1..4usize, prop::collection::vec(step, 1..9), any::<u64>()).prop_flat_map(|(inputs, steps, shown)| {
        let order: Vec<usize> = (0..steps.len()).collect();
        Just(order).prop_shuffle().prop_map(move |order| Random {
            inputs,
            steps: steps.clone(),
            shown,
            order,
        })
    })
}

/// A model's inputs and outputs by name: the ensemble's tensors.
type Wiring = (BTreeMap<String, String>, BTreeMap<String, String>);

impl Random {
    /// Its tensors in the order of the steps, and its steps.
    fn wiring(&self) -> (Vec<String>, Vec<Wiring>) {
        let mut tensors: Vec<String> = (0..self.inputs).map(|input| format!("x{input}")).collect();
        let mut steps = Vec::new();
        for (number, (reads, writes)) in self.steps.iter().enumerate() {
            let mut read: Vec<String> = reads.iter().map(|index| index.get(&tensors).clone()).collect();
            if number == 0 {
                // An input that nobody reads is a mistake.
                read.extend((0..self.inputs).map(|input| format!("x{input}")));
            }
            let named = |prefix: &str, tensors: &[String]| {
                let named = tensors.iter().enumerate();
                named.map(|(place, tensor)| (format!("{prefix}{place}"), tensor.clone())).collect()
            };
            let written: Vec<String> = (0..*writes).map(|output| format!("t{number}_{output}")).collect();
            steps.push((named("i", &read), named("o", &written)));
            tensors.extend(written);
        }
        (tensors, steps)
    }

    fn plan(&self) -> EnsemblePlan {
        let (tensors, steps) = self.wiring();
        let read: BTreeSet<&String> = steps.iter().flat_map(|(inputs, _)| inputs.values()).collect();
        let inner = tensors.iter().skip(self.inputs).enumerate();
        let outputs =
            inner.filter(|(place, name)| !read.contains(name) || self.shown >> (place % 64) & 1 == 1);
        let tensor = |name: &String| TensorDeclaration {
            name: name.clone(),
            dtype: DType::U8,
            shape: Shape::new(&[-1]),
            optional: false,
        };
        let mut plan = EnsemblePlan::default();
        plan.declaration.inputs = tensors.iter().take(self.inputs).map(tensor).collect();
        plan.declaration.outputs = outputs.map(|(_, name)| tensor(name)).collect();
        plan.steps = self
            .order
            .iter()
            .map(|&step| {
                let (inputs, outputs) = steps[step].clone();
                StepPlan { model: format!("m{step}"), version: None, inputs, outputs }
            })
            .collect();
        plan
    }

    /// What every tensor is, step after step.
    fn values(&self, given: &[Option<u64>]) -> BTreeMap<String, Option<u64>> {
        let (_, steps) = self.wiring();
        let mut values: BTreeMap<String, Option<u64>> =
            given.iter().enumerate().map(|(input, value)| (format!("x{input}"), *value)).collect();
        for (number, (inputs, outputs)) in steps.iter().enumerate() {
            let read: Vec<Option<u64>> = inputs.values().map(|tensor| values[tensor]).collect();
            let written = outputs.values().enumerate();
            let written: Vec<_> =
                written.map(|(output, tensor)| (tensor.clone(), compute(number, output, &read))).collect();
            values.extend(written);
        }
        values
    }
}

/// What a model makes of its inputs; now and then it leaves an output out.
fn compute(step: usize, output: usize, inputs: &[Option<u64>]) -> Option<u64> {
    let start = (step * 31 + output) as u64;
    let mixed = inputs
        .iter()
        .fold(start, |sum, value| sum.wrapping_mul(1_000_003) ^ value.map_or(7, |value| value + 1));
    (mixed % 11 != 0).then_some(mixed)
}

proptest! {
    #[test]
    fn every_step_that_is_needed_runs_once_and_the_outputs_are_those_of_running_one_after_the_other(
        random in random(),
        given in prop::collection::vec(prop::option::of(0..1000u64), 3),
        wanted in any::<u64>(),
        turns in prop::collection::vec(any::<prop::sample::Index>(), 16),
    ) {
        let plan = random.plan();
        let graph = Graph::new("e", &plan).unwrap();
        let all = plan.declaration.outputs.len();
        let wanted: Slots = (0..all).filter(|slot| wanted >> slot & 1 == 1 || all == 1).collect();
        let given = &given[..random.inputs];
        let expected = random.values(given);
        let needed = graph.needed(&wanted);

        let mut progress: Progress<u64> = Progress::new(&graph, &wanted);
        let Came { mut firings, .. } = progress.put(&graph, 0, given.iter().copied().enumerate());
        let (mut ran, mut answers, mut turns) = (BTreeSet::new(), Vec::new(), turns.iter().cycle());
        while !firings.is_empty() {
            let turn = turns.next().unwrap().index(firings.len());
            let firing @ Firing { step, .. } = firings.swap_remove(turn);
            prop_assert!(ran.insert(step), "{step} runs once");
            let inputs = progress.take(&graph, firing);
            let number = random.order[step];
            let outputs = graph.steps[step].outputs.iter().enumerate();
            let values: Vec<_> =
                outputs.map(|(output, &(_, tensor))| (tensor, compute(number, output, &inputs))).collect();
            let Came { firings: more, has_output } = progress.put(&graph, 0, values);
            firings.extend(more);
            if has_output {
                answers.extend(progress.outputs(0));
            }
        }
        prop_assert_eq!(&ran, &needed.iter().collect::<BTreeSet<_>>());
        prop_assert_eq!(answers.len(), usize::from(!wanted.is_empty()));
        let named: Vec<_> = wanted.iter().map(|slot| (slot, &plan.declaration.outputs[slot].name)).collect();
        let expected: Vec<_> = named.into_iter().filter_map(|(slot, name)| Some((slot, expected[name]?))).collect();
        if let Some(answer) = answers.pop() {
            prop_assert_eq!(answer.into_vec(), expected);
        }
        prop_assert_eq!(progress.held(), 0, "nothing is kept that nobody needs");
    }

    #[test]
    fn the_order_of_a_graph_has_each_step_behind_those_that_it_waits_for(random in random()) {
        let graph = Graph::new("e", &random.plan()).unwrap();
        let place = |step: usize| graph.order.iter().position(|&other| other == step).unwrap();
        for (number, step) in graph.steps.iter().enumerate() {
            for &(_, tensor) in &step.inputs {
                prop_assert!(graph.tensors[tensor].writer.is_none_or(|writer| place(writer) < place(number)));
            }
        }
    }
}
