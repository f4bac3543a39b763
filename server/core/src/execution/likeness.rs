use nerite_backend::{Request, Slots};

use crate::model::ModelSpec;

/// Whether requests of a model may differ in a way that keeps them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// Every request that was admitted has the same inputs, and in the same shapes where it matters.
    Given,
    /// Requests are to be compared, but for the shapes of these inputs.
    Compared { ragged: Slots },
}

impl Likeness {
    /// That of a model's requests.
    pub(super) fn of(spec: &ModelSpec) -> Likeness {
        let ragged = &spec.ragged.inputs;
        let is_given = spec
            .inputs
            .iter()
            .all(|input| !input.optional && (ragged.contains(input.slot) || !input.dims.is_dynamic()));
        if is_given { Likeness::Given } else { Likeness::Compared { ragged: ragged.clone() } }
    }

    /// Whether two requests give the same inputs in shapes that agree in all but the rows.
    pub(super) fn holds(&self, first: &Request, other: &Request) -> bool {
        let Likeness::Compared { ragged } = self else { return true };
        let mut pairs = first.inputs().iter().zip(other.inputs()).enumerate();
        pairs.all(|(slot, pair)| match pair {
            (Some(a), Some(b)) => ragged.contains(slot) || a.shape.get(1..) == b.shape.get(1..),
            (None, None) => true,
            _ => false,
        })
    }
}
