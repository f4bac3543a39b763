//! The sequences that steps are part of.

use nerite_backend::{CorrelationId, Parameter, Sequence};

/// The sequence that a response says its tensors are part of, where it says so; or why it cannot be told.
pub(super) fn override_of(
    own: &Sequence,
    parameters: &[(String, Parameter)],
) -> Result<Option<Sequence>, &'static str> {
    let mut changed: Option<Sequence> = None;
    for (name, value) in parameters {
        if !matches!(name.as_str(), "sequence_id" | "sequence_start" | "sequence_end") {
            continue;
        }
        let sequence =
            changed.get_or_insert_with(|| Sequence { id: own.id.clone(), start: false, end: false });
        match (name.as_str(), value) {
            ("sequence_id", Parameter::Int(id)) => sequence.id = CorrelationId::Number(id.cast_unsigned()),
            ("sequence_id", Parameter::String(id)) => sequence.id = CorrelationId::Text(id.clone()),
            ("sequence_start", Parameter::Bool(start)) => sequence.start = *start,
            ("sequence_end", Parameter::Bool(end)) => sequence.end = *end,
            ("sequence_start", _) => return Err("expect parameter 'sequence_start' to be a bool"),
            ("sequence_end", _) => return Err("expect parameter 'sequence_end' to be a bool"),
            _ => return Err("expected parameter 'sequence_id' to be a whole number or a string"),
        }
    }
    Ok(changed)
}

/// The parameters that say which sequence a response is part of.
pub(super) fn sequence_parameters(sequence: &Sequence) -> Vec<(String, Parameter)> {
    let id = match &sequence.id {
        CorrelationId::Number(id) => Parameter::Int(id.cast_signed()),
        CorrelationId::Text(id) => Parameter::String(id.clone()),
    };
    vec![
        ("sequence_id".to_owned(), id),
        ("sequence_start".to_owned(), Parameter::Bool(sequence.start)),
        ("sequence_end".to_owned(), Parameter::Bool(sequence.end)),
    ]
}
