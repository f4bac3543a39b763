//! How far a request to an ensemble has come. Pure.

use std::mem;

use nerite_backend::{Slot, Slots};
use smallvec::{SmallVec, smallvec};

use super::Graph;
use super::graph::TensorId;

/// Tells apart the tensors of one name that come with different responses of a decoupled step. Where no step is decoupled
/// it is 0.
pub(super) type Round = u32;

/// A step that can run, on the tensors of that round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Firing {
    pub(super) step: usize,
    pub(super) round: Round,
}

/// What follows from tensors that have come.
pub(super) struct Came {
    /// The steps that can run now, and could not before.
    pub(super) firings: SmallVec<[Firing; 2]>,
    /// Whether there is an output among them that is wanted.
    pub(super) has_output: bool,
}

/// Tensors on their way through an ensemble's graph. Each is kept until the last who needs it has it.
pub(super) struct Progress<V> {
    tensors: Vec<Tensors<V>>,
    needed: Slots,
    /// The ensemble's outputs that are wanted.
    outputs: SmallVec<[(Slot, TensorId); 2]>,
    /// How many responses have come from each decoupled step.
    rounds: SmallVec<[Round; 8]>,
}

/// What there is under one name.
struct Tensors<V> {
    /// How many need each.
    uses: u32,
    there: SmallVec<[Held<V>; 1]>,
}

struct Held<V> {
    round: Round,
    /// How many still need it.
    uses: u32,
    /// None if it was left out.
    value: Option<V>,
}

impl<V: Clone> Progress<V> {
    /// Of a request that wants these outputs.
    pub(super) fn new(graph: &Graph, wanted: &Slots) -> Progress<V> {
        let needed = graph.needed(wanted);
        let outputs = wanted.iter().filter_map(|slot| Some((slot, *graph.outputs.get(slot)?)));
        let outputs: SmallVec<[(Slot, TensorId); 2]> = outputs.collect();
        let uses = |(tensor, node): (TensorId, &super::graph::Node)| {
            let readers = node.readers.iter().filter(|&&reader| needed.contains(reader)).count();
            let wanted = outputs.iter().filter(|&&(_, output)| output == tensor).count();
            Tensors { uses: u32::try_from(readers + wanted).unwrap_or(u32::MAX), there: SmallVec::new() }
        };
        let tensors = graph.tensors.iter().enumerate().map(uses).collect();
        let rounds = smallvec![0; graph.steps.len()];
        Progress { tensors, needed, outputs, rounds }
    }

    /// The round of the next response of a decoupled step.
    pub(super) fn next_round(&mut self, step: usize) -> Round {
        let next = self.rounds[step];
        self.rounds[step] += 1;
        next
    }

    /// Tensors have come that belong together, or been left out.
    pub(super) fn put(
        &mut self,
        graph: &Graph,
        round: Round,
        values: impl IntoIterator<Item = (TensorId, Option<V>)>,
    ) -> Came {
        let (mut candidates, mut has_output) = (SmallVec::<[usize; 4]>::new(), false);
        for (tensor, value) in values {
            let known = &mut self.tensors[tensor];
            // A second one of the same round is no one's.
            if known.uses == 0 || known.there.iter().any(|held| held.round == round) {
                continue;
            }
            known.there.push(Held { round, uses: known.uses, value });
            has_output |= self.outputs.iter().any(|&(_, output)| output == tensor);
            for &reader in &graph.tensors[tensor].readers {
                if self.needed.contains(reader) && !candidates.contains(&reader) {
                    candidates.push(reader);
                }
            }
        }
        let ready = candidates
            .into_iter()
            .filter(|&step| graph.steps[step].inputs.iter().all(|&(_, tensor)| self.is_there(tensor, round)));
        Came { firings: ready.map(|step| Firing { step, round }).collect(), has_output }
    }

    /// The inputs of a step that runs, in its order.
    pub(super) fn take(&mut self, graph: &Graph, firing: Firing) -> SmallVec<[Option<V>; 2]> {
        let inputs = &graph.steps[firing.step].inputs;
        let tensors = inputs.iter().enumerate().map(|(place, &(_, tensor))| {
            // One that is given twice is needed once.
            let is_last = inputs[place + 1..].iter().all(|&(_, other)| other != tensor);
            (tensor, is_last)
        });
        let tensors: SmallVec<[(TensorId, bool); 4]> = tensors.collect();
        tensors.into_iter().map(|(tensor, is_last)| self.get(tensor, firing.round, is_last)).collect()
    }

    /// The outputs that are wanted, by slot, if all of that round are there. They are given once.
    pub(super) fn outputs(&mut self, round: Round) -> Option<SmallVec<[(Slot, V); 2]>> {
        if self.outputs.is_empty() || !self.outputs.iter().all(|&(_, tensor)| self.is_there(tensor, round)) {
            return None;
        }
        let wanted = self.outputs.clone();
        let got =
            wanted.into_iter().filter_map(|(slot, tensor)| Some((slot, self.get(tensor, round, true)?)));
        Some(got.collect())
    }

    /// How many tensors are kept.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.tensors.iter().map(|tensors| tensors.there.len()).sum()
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) -> impl Sized + use<V> {
        mem::take(&mut self.tensors)
    }

    fn is_there(&self, tensor: TensorId, round: Round) -> bool {
        self.tensors[tensor].there.iter().any(|held| held.round == round)
    }

    fn get(&mut self, tensor: TensorId, round: Round, counts: bool) -> Option<V> {
        let there = &mut self.tensors.get_mut(tensor)?.there;
        let place = there.iter().position(|held| held.round == round)?;
        let held = &mut there[place];
        held.uses -= u32::from(counts);
        match held.uses {
            0 => there.swap_remove(place).value,
            _ => held.value.clone(),
        }
    }
}
