use std::mem::size_of;

use nerite_backend::{Parameter, Response, Slot, Tensor};
use smallvec::SmallVec;

use super::key::{Key, KeyRef, copied};

/// What the tables, the allocations' own records and the counts of references take for an entry, in bytes.
const OVERHEAD: usize = 256;

/// The same for a buffer.
const BUFFER_OVERHEAD: usize = 64;

/// What a request is answered with, whether it was executed or not. A clone shares the buffers.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    outputs: SmallVec<[(Slot, Tensor); 2]>,
    parameters: Vec<(String, Parameter)>,
}

/// An answer that is kept, in memory of its own.
#[derive(Debug)]
pub(super) struct Entry {
    key: Key,
    answered: Answered,
    weight: usize,
}

impl Answered {
    /// The same as this response, which is no failure.
    pub(super) fn of(response: &Response) -> Answered {
        Answered { outputs: response.outputs.clone(), parameters: response.parameters.clone() }
    }

    pub(super) fn response(self) -> Response {
        let Answered { outputs, parameters } = self;
        Response { outputs, parameters, error: None, last: true }
    }
}

impl Entry {
    /// How many bytes it would take to keep that answer; `None` if it lacks an output that was asked for, or one does not
    /// lie in memory.
    pub(super) fn weight_of(key: &Key, response: &Response) -> Option<usize> {
        let kept = kept(key, response);
        let is_whole = key.wanted().iter().all(|slot| kept.clone().any(|(given, _)| *given == slot));
        let lies_in_memory =
            |(_, tensor): &(Slot, Tensor)| tensor.data.buffers().iter().all(|buffer| buffer.host().is_some());
        if !is_whole || !kept.clone().all(lies_in_memory) {
            return None;
        }
        let tensors = key.inputs().chain(kept.map(|(_, tensor)| tensor)).map(of_tensor).sum::<usize>();
        let parameters = key.parameters().iter().chain(&response.parameters).map(of_parameter).sum::<usize>();
        Some(OVERHEAD + size_of::<Entry>() + tensors + parameters)
    }

    /// Copies an answer of that weight.
    pub(super) fn copied(key: &Key, response: &Response, weight: usize) -> Entry {
        let outputs = kept(key, response).map(|(slot, tensor)| (*slot, copied(tensor))).collect();
        let answered = Answered { outputs, parameters: response.parameters.clone() };
        Entry { key: key.copied(), answered, weight }
    }

    /// Whether it is the answer to requests with this key.
    pub(super) fn answers(&self, key: &KeyRef<'_>) -> bool {
        self.key.view() == *key
    }

    /// Whose requests it answers.
    pub(super) fn owner(&self) -> u64 {
        self.key.owner()
    }

    /// How many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// The answer, which shares its buffers.
    pub(super) fn answered(&self) -> Answered {
        self.answered.clone()
    }
}

/// The outputs that were asked for.
fn kept<'a>(key: &'a Key, response: &'a Response) -> impl Iterator<Item = &'a (Slot, Tensor)> + Clone {
    response.outputs.iter().filter(|(slot, _)| key.wanted().contains(*slot))
}

fn of_tensor(tensor: &Tensor) -> usize {
    size_of::<(Slot, Tensor)>() + BUFFER_OVERHEAD + size_of_val(&*tensor.shape) + tensor.data.len()
}

fn of_parameter((name, value): &(String, Parameter)) -> usize {
    let text = if let Parameter::String(text) = value { BUFFER_OVERHEAD + text.len() } else { 0 };
    size_of::<(String, Parameter)>() + BUFFER_OVERHEAD + name.len() + text
}
