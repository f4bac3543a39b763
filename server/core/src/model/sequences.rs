use std::time::Duration;

use bytes::Bytes;
use nerite_backend::{CorrelationId, DType, Shape, Slot, Tensor};

/// How the requests of a model's sequences are executed. The terms are those of `sequence_batching` in
/// `inference.ModelConfig`.
#[derive(Clone, Debug)]
pub struct SequenceBatching {
    /// Which requests make a batch.
    pub strategy: SequenceStrategy,
    /// How long a sequence may have no request before it ends.
    pub max_idle: Duration,
    /// Whether each request is a sequence of its own, which the engine may have executed again and again.
    pub iterative: bool,
    /// The inputs that say where in its sequence a request is.
    pub controls: Vec<Control>,
    /// What the server keeps for each sequence from one request to the next.
    pub states: Vec<StateSpec>,
}

/// Which requests make a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceStrategy {
    /// A sequence has the same row in every batch.
    Direct {
        /// With requests for fewer rows than that, a batch may wait for more, for as long as
        /// [`max_queue_delay`](super::Scheduling::max_queue_delay) says.
        fewest: u32,
    },
    /// Requests of any sequences make a batch, the oldest first, as those of models without sequences do.
    Oldest {
        /// How many sequences an instance has at once.
        candidates: u32,
    },
}

/// An input that the server gives a model with sequences.
#[derive(Clone, Debug)]
pub struct Control {
    /// Its place in the engine's declaration.
    pub slot: Slot,
    /// Its element type.
    pub dtype: DType,
    /// Its shape for one request: one element.
    pub shape: Shape,
    /// What it says.
    pub signal: Signal,
}

/// What a control says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Whether the request is the first of its sequence.
    Start(Values),
    /// Whether the request is the last of its sequence.
    End(Values),
    /// Whether there is a request at all in this row.
    Ready(Values),
    /// Which sequence the request is of.
    CorrelationId,
}

/// How a control says no and yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    /// The element that says no.
    pub no: Bytes,
    /// The element that says yes.
    pub yes: Bytes,
}

/// What the server keeps for each sequence: an output of one request, which is an input of the next.
#[derive(Clone, Debug)]
pub struct StateSpec {
    /// The input's place in the engine's declaration.
    pub input: Slot,
    /// The output's place there.
    pub output: Slot,
    /// What the first request of a sequence has for it.
    pub initial: Tensor,
    /// Its shape for one request; an extent that may vary is -1.
    pub shape: Shape,
}

impl StateSpec {
    /// Whether it always has the same shape.
    pub(crate) fn is_fixed(&self) -> bool {
        !self.shape.is_dynamic()
    }

    /// Whether that can be the state of a sequence.
    pub(crate) fn fits(&self, state: &Tensor) -> bool {
        let fits = |(&dim, &given): (&i64, &i64)| dim == -1 || dim == given;
        state.dtype == self.initial.dtype
            && state.shape.len() == self.shape.len()
            && self.shape.iter().zip(state.shape.iter()).all(fits)
    }
}

impl Values {
    /// The element that says so.
    pub(crate) fn of(&self, says: bool) -> Bytes {
        if says { self.yes.clone() } else { self.no.clone() }
    }
}

impl SequenceBatching {
    /// The element type in which the model is told which sequence a request is of, if it is.
    pub(crate) fn id_type(&self) -> Option<DType> {
        self.controls
            .iter()
            .find(|control| control.signal == Signal::CorrelationId)
            .map(|control| control.dtype)
    }
}

/// The element that says which sequence it is; `None` if the type has none for it.
pub(crate) fn id_element(id: &CorrelationId, dtype: DType) -> Option<Bytes> {
    match (id, dtype) {
        (CorrelationId::Number(number), DType::U64) => Some(Bytes::copy_from_slice(&number.to_le_bytes())),
        // A client's numbers are of 64 bits with a sign.
        (CorrelationId::Number(number), DType::I64) => Some(Bytes::copy_from_slice(&number.to_le_bytes())),
        (CorrelationId::Number(number), DType::U32) => {
            Some(Bytes::copy_from_slice(&u32::try_from(*number).ok()?.to_le_bytes()))
        }
        (CorrelationId::Number(number), DType::I32) => {
            Some(Bytes::copy_from_slice(&i32::try_from(number.cast_signed()).ok()?.to_le_bytes()))
        }
        (CorrelationId::Text(text), DType::Bytes) => {
            let mut element = Vec::with_capacity(4 + text.len());
            nerite_backend::strings::push(&mut element, text.as_bytes());
            Some(element.into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_id_becomes_an_element_only_of_a_type_that_can_hold_it() {
        let (small, large) = (CorrelationId::Number(7), CorrelationId::Number(1 << 40));
        let (negative, text) = (CorrelationId::Number(u64::MAX), CorrelationId::Text("ab".to_owned()));
        let table: [(&CorrelationId, DType, Option<&[u8]>); 9] = [
            (&small, DType::U64, Some(&[7, 0, 0, 0, 0, 0, 0, 0])),
            (&small, DType::I32, Some(&[7, 0, 0, 0])),
            (&large, DType::U32, None),
            (&large, DType::I32, None),
            (&negative, DType::I32, Some(&[255; 4])),
            (&negative, DType::I64, Some(&[255; 8])),
            (&text, DType::Bytes, Some(&[2, 0, 0, 0, b'a', b'b'])),
            (&text, DType::U64, None),
            (&small, DType::Bytes, None),
        ];
        for (id, dtype, element) in table {
            assert_eq!(id_element(id, dtype).as_deref(), element, "{id:?} {dtype:?}");
        }
    }
}
