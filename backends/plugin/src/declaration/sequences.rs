//! The tensors that a model has for its sequences.

use nerite_backend::{BackendError, DType, Shape, TensorDeclaration};
use serde_json::Value;

use super::{dtype, field, whole};

/// What `sequence_batching` adds to a model's tensors.
#[derive(Default)]
pub(super) struct Own {
    /// Controls, then states.
    pub(super) inputs: Vec<TensorDeclaration>,
    /// States.
    pub(super) outputs: Vec<TensorDeclaration>,
}

/// Reads it. What is wrong with it beyond that is for the server to say.
pub(super) fn read(config: &Value, batching: bool) -> Result<Own, BackendError> {
    let mut own = Own::default();
    for input in list(config, "control_input") {
        let control = list(input, "control").first();
        let dtype = control.and_then(control_type).ok_or_else(|| {
            let name = text(input, "name");
            BackendError::invalid(format!(
                "control '{name}' of the model configuration has no type; correct it"
            ))
        })?;
        own.inputs.push(tensor(text(input, "name"), dtype, Shape::new(&[1]), batching));
    }
    for state in list(config, "state") {
        let name = text(state, "input_name");
        let wrong = |what: &str| {
            BackendError::invalid(format!("state '{name}' of the model configuration has {what}; correct it"))
        };
        let dtype =
            field(state, "data_type").and_then(dtype).ok_or_else(|| wrong("no data_type that is known"))?;
        let dims: Option<Vec<i64>> = list(state, "dims").iter().map(whole).collect();
        let row = Shape::new(&dims.ok_or_else(|| wrong("dims that are no whole numbers"))?);
        own.inputs.push(tensor(name, dtype, row.clone(), batching));
        own.outputs.push(tensor(text(state, "output_name"), dtype, row, batching));
    }
    Ok(own)
}

fn control_type(control: &Value) -> Option<DType> {
    let kinds =
        [("int32_false_true", DType::I32), ("fp32_false_true", DType::F32), ("bool_false_true", DType::Bool)];
    let by_values = kinds.into_iter().find(|(name, _)| !list(control, name).is_empty());
    by_values.map(|(_, dtype)| dtype).or_else(|| field(control, "data_type").and_then(dtype))
}

fn tensor(name: &str, dtype: DType, row: Shape, batching: bool) -> TensorDeclaration {
    let shape = if batching { row.prepend(-1) } else { row };
    TensorDeclaration { name: name.to_owned(), dtype, shape, optional: false }
}

fn list<'a>(object: &'a Value, name: &str) -> &'a [Value] {
    field(object, name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    field(object, name).and_then(Value::as_str).unwrap_or_default()
}
