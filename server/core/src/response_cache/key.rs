use std::hash::{Hash, Hasher};

use bytes::Bytes;
use nerite_backend::{Inputs, Meta, Parameter, Slots, Tensor};

use crate::admission::Admitted;

/// What two requests have in common that get the same answer: the loaded version, the inputs, the outputs asked for, and
/// the parameters, which a plugin may read. A request's id, priority and time limits are none of it.
#[derive(Debug)]
pub(super) struct Key {
    owner: u64,
    inputs: Inputs,
    wanted: Slots,
    parameters: Vec<(String, Parameter)>,
}

/// The same of a request that still has it.
#[derive(Clone, Copy)]
pub(super) struct KeyRef<'a> {
    owner: u64,
    inputs: &'a [Option<Tensor>],
    wanted: &'a Slots,
    parameters: &'a [(String, Parameter)],
}

/// Whether requests like this one have a key: it is part of no sequence, and its inputs lie each in one piece in memory.
pub(super) fn has_key(admitted: &Admitted) -> bool {
    let Admitted { inputs, meta: Meta { sequence, .. }, .. } = admitted;
    *sequence == Default::default()
        && inputs.iter().flatten().all(|tensor| tensor.data.contiguous().is_some())
}

impl<'a> KeyRef<'a> {
    /// Of a request for the version of that number, whose parameters are in order.
    pub(super) fn of(owner: u64, admitted: &'a Admitted) -> KeyRef<'a> {
        let Admitted { inputs, wanted, meta, .. } = admitted;
        KeyRef { owner, inputs, wanted, parameters: &meta.parameters }
    }

    /// The same, kept by sharing the request's buffers.
    pub(super) fn shared(self) -> Key {
        Key {
            owner: self.owner,
            inputs: self.inputs.iter().cloned().collect(),
            wanted: self.wanted.clone(),
            parameters: self.parameters.to_vec(),
        }
    }
}

impl Key {
    pub(super) fn view(&self) -> KeyRef<'_> {
        let Key { owner, inputs, wanted, parameters } = self;
        KeyRef { owner: *owner, inputs, wanted, parameters }
    }

    /// Whose requests have it.
    pub(super) fn owner(&self) -> u64 {
        self.owner
    }

    /// The outputs asked for.
    pub(super) fn wanted(&self) -> &Slots {
        &self.wanted
    }

    pub(super) fn inputs(&self) -> impl Iterator<Item = &Tensor> {
        self.inputs.iter().flatten()
    }

    pub(super) fn parameters(&self) -> &[(String, Parameter)] {
        &self.parameters
    }

    /// The same in memory of its own.
    pub(super) fn copied(&self) -> Key {
        let inputs = self.inputs.iter().map(|tensor| tensor.as_ref().map(copied)).collect();
        Key { inputs, wanted: self.wanted.clone(), parameters: self.parameters.clone(), owner: self.owner }
    }
}

/// A tensor in memory of its own: a slice would keep alive the message or the batch that it is of.
pub(super) fn copied(tensor: &Tensor) -> Tensor {
    let data = match tensor.data.contiguous() {
        Some(bytes) => Bytes::copy_from_slice(bytes),
        None => tensor.data.clone().into_bytes(),
    };
    Tensor { dtype: tensor.dtype, shape: tensor.shape.clone(), data: data.into() }
}

fn bytes(tensor: &Tensor) -> &[u8] {
    tensor.data.contiguous().unwrap_or_default()
}

impl PartialEq for KeyRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        let same = |pair: (&Option<Tensor>, &Option<Tensor>)| match pair {
            (Some(a), Some(b)) => a.dtype == b.dtype && a.shape == b.shape && bytes(a) == bytes(b),
            (None, None) => true,
            _ => false,
        };
        self.owner == other.owner
            && self.wanted == other.wanted
            && self.parameters == other.parameters
            && self.inputs.len() == other.inputs.len()
            && self.inputs.iter().zip(other.inputs).all(same)
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.owner.hash(state);
        self.wanted.hash(state);
        for input in self.inputs {
            // A version's inputs have one type each.
            match input {
                Some(tensor) => {
                    tensor.shape.hash(state);
                    bytes(tensor).hash(state);
                }
                None => state.write_u8(0),
            }
        }
        for (name, value) in self.parameters {
            name.hash(state);
            match value {
                Parameter::Bool(value) => value.hash(state),
                Parameter::Int(value) => value.hash(state),
                Parameter::Double(value) => value.to_bits().hash(state),
                Parameter::String(value) => value.hash(state),
            }
        }
    }
}

/// Brings parameters, which come in no particular order, into one.
pub(super) fn sort(parameters: &mut [(String, Parameter)]) {
    parameters.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
}
