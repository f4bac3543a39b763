//! What a model's configuration says of its tensors.

mod sequences;

use std::ffi::CString;
use std::sync::LazyLock;

use nerite_backend::{BackendError, Configuration, DType, Declaration, Shape, Slot, TensorDeclaration};
use serde_json::Value;

use crate::c_api::server::data_type;
use crate::c_api::server::error::c_string;

/// A model's tensors, with the names as C has them.
#[derive(Debug, Default)]
pub(crate) struct Tensors {
    /// What the server is told.
    pub(crate) declaration: Declaration,
    /// The inputs' names.
    pub(crate) inputs: Names,
    /// The outputs' names.
    pub(crate) outputs: Names,
    /// How many of the outputs are callers'; behind them are those that are states alone.
    pub(crate) configured_outputs: usize,
    /// The outputs that are states of sequences.
    pub(crate) states: Vec<Slot>,
    /// Whether requests may be executed again and again.
    pub(crate) is_iterative: bool,
    /// Whether a request may have any number of responses.
    pub(crate) decoupled: bool,
}

/// Names by slot, and slots by name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_slot: Vec<CString>,
    sorted: Vec<Slot>,
}

impl Names {
    fn of(tensors: &[TensorDeclaration]) -> Names {
        let by_slot: Vec<CString> = tensors.iter().map(|tensor| c_string(tensor.name.as_bytes())).collect();
        let mut sorted: Vec<Slot> = (0..by_slot.len()).collect();
        sorted.sort_by(|&a, &b| by_slot[a].cmp(&by_slot[b]));
        Names { by_slot, sorted }
    }

    /// The name of a slot.
    pub(crate) fn get(&self, slot: Slot) -> Option<&CString> {
        self.by_slot.get(slot)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_slot.len()
    }

    /// The slot of that name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Slot> {
        let found = self.sorted.binary_search_by(|&slot| self.by_slot[slot].as_bytes().cmp(name)).ok()?;
        Some(self.sorted[found])
    }

    /// All names, for errors.
    pub(crate) fn shown(&self) -> String {
        let names: Vec<_> = self.by_slot.iter().map(|name| name.to_string_lossy()).collect();
        names.join(", ")
    }
}

impl Tensors {
    /// Those of a model that is not known yet.
    pub(crate) fn none() -> &'static Tensors {
        static NONE: LazyLock<Tensors> = LazyLock::new(Tensors::default);
        &NONE
    }

    /// Those of a configuration in protobuf's JSON, which the backend has completed or left as it was.
    pub(crate) fn read(json: &str, completed: bool) -> Result<Tensors, BackendError> {
        let config: Value = serde_json::from_str(json).map_err(|problem| {
            BackendError::invalid(format!("the model configuration is not JSON: {problem}"))
        })?;
        let batching = field(&config, "max_batch_size").and_then(whole).is_some_and(|size| size > 0);
        let decoupled = field(&config, "model_transaction_policy")
            .and_then(|policy| field(policy, "decoupled"))
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let (mut inputs, mut outputs) =
            (tensors(&config, "input", batching)?, tensors(&config, "output", batching)?);
        let configured_outputs = outputs.len();
        let sequences = field(&config, "sequence_batching");
        let own = sequences.map(|config| sequences::read(config, batching)).transpose()?.unwrap_or_default();
        inputs.extend(own.inputs);
        let mut states = Vec::new();
        for state in own.outputs {
            let known = outputs.iter().position(|output| output.name == state.name);
            states.push(known.unwrap_or(outputs.len()));
            if known.is_none() {
                outputs.push(state);
            }
        }
        let is_iterative = sequences.and_then(|config| field(config, "iterative_sequence")?.as_bool());
        let declaration = Declaration {
            inputs,
            outputs,
            configuration: if completed {
                Configuration::Completed(json.to_owned())
            } else {
                Configuration::AsWritten
            },
        };
        let (inputs, outputs) = (Names::of(&declaration.inputs), Names::of(&declaration.outputs));
        let is_iterative = is_iterative.unwrap_or(false);
        Ok(Tensors { declaration, inputs, outputs, configured_outputs, states, is_iterative, decoupled })
    }
}

fn tensors(config: &Value, what: &str, batching: bool) -> Result<Vec<TensorDeclaration>, BackendError> {
    let list = field(config, what).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|tensor| self::tensor(tensor, what, batching)).collect()
}

fn tensor(config: &Value, what: &str, batching: bool) -> Result<TensorDeclaration, BackendError> {
    let name = field(config, "name").and_then(Value::as_str).unwrap_or_default();
    let wrong = |problem: &str| {
        BackendError::invalid(format!("{what} '{name}' of the model configuration {problem}; correct it"))
    };
    let dtype =
        field(config, "data_type").and_then(dtype).ok_or_else(|| wrong("has no data_type that is known"))?;
    let row = match field(config, "reshape").filter(|reshape| !reshape.is_null()) {
        Some(reshape) => field(reshape, "shape"),
        None => field(config, "dims"),
    };
    let row = row.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let row: Option<Shape> = row.iter().map(whole).collect::<Option<Vec<_>>>().map(|row| Shape::new(&row));
    let row = row.ok_or_else(|| wrong("has dims that are no whole numbers"))?;
    Ok(TensorDeclaration {
        name: name.to_owned(),
        dtype,
        shape: if batching { row.prepend(-1) } else { row },
        optional: field(config, "optional").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// A field by its own name or in camel case: protobuf's JSON may have either.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.get(camel_case(name)))
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut text = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        text.push_str(&first.to_ascii_uppercase());
        text.push_str(rest);
    }
    text
}

/// A whole number, which may be written as a text.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        number => number.as_i64(),
    }
}

/// An element type by its name or its number in `inference.DataType`.
fn dtype(value: &Value) -> Option<DType> {
    match value {
        Value::String(name) => DType::ALL.into_iter().find(|dtype| dtype.config_name() == name),
        number => {
            // The numbers are those of the C API as well.
            let number = u32::try_from(number.as_i64()?).ok()?;
            data_type::from_abi(nerite_plugin_abi::DataType(number))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_tensor_is_read() {
        let json = r#"{"max_batch_size": 4,
            "input": [{"name": "a", "data_type": "TYPE_FP32", "dims": ["2", -1]},
                      {"name": "b", "dataType": 13, "dims": [1], "reshape": {"shape": []}, "optional": true}],
            "output": [{"name": "c", "data_type": "TYPE_STRING", "dims": [1], "reshape": null}],
            "modelTransactionPolicy": {"decoupled": true}}"#;
        let tensors = Tensors::read(json, false).unwrap();
        let Declaration { inputs, outputs, configuration } = &tensors.declaration;
        assert_eq!((&*inputs[0].shape, inputs[0].dtype), (&[-1, 2, -1][..], DType::F32));
        assert_eq!((&*inputs[1].shape, inputs[1].dtype, inputs[1].optional), (&[-1][..], DType::Bytes, true));
        assert_eq!((&*outputs[0].shape, outputs[0].dtype), (&[-1, 1][..], DType::Bytes));
        assert_eq!(*configuration, Configuration::AsWritten);
        assert!(tensors.decoupled);
        assert_eq!((tensors.inputs.find(b"b"), tensors.inputs.find(b"c")), (Some(1), None));
    }

    #[test]
    fn controls_and_states_of_sequences_are_tensors_too() {
        let json = r#"{"max_batch_size": 4,
            "input": [{"name": "a", "data_type": "TYPE_FP32", "dims": [2]}],
            "output": [{"name": "b", "data_type": "TYPE_FP32", "dims": [2]}],
            "sequence_batching": {"iterative_sequence": true,
                "control_input": [
                    {"name": "start", "control": [{"kind": 0, "fp32_false_true": [0, 1]}]},
                    {"name": "id", "control": [{"kind": "CONTROL_SEQUENCE_CORRID", "data_type": "TYPE_UINT64"}]}],
                "state": [
                    {"input_name": "in", "output_name": "out", "data_type": "TYPE_INT32", "dims": ["3"]},
                    {"input_name": "last", "output_name": "b", "data_type": "TYPE_FP32", "dims": [2]}]}}"#;
        let tensors = Tensors::read(json, false).unwrap();
        let Declaration { inputs, outputs, .. } = &tensors.declaration;
        let inputs: Vec<_> = inputs.iter().map(|tensor| (&*tensor.name, tensor.dtype)).collect();
        let expected = [DType::F32, DType::F32, DType::U64, DType::I32, DType::F32];
        assert_eq!(inputs, ["a", "start", "id", "in", "last"].into_iter().zip(expected).collect::<Vec<_>>());
        let outputs: Vec<_> = outputs.iter().map(|tensor| (&*tensor.name, &*tensor.shape)).collect();
        assert_eq!(outputs, [("b", &[-1, 2][..]), ("out", &[-1, 3][..])]);
        assert_eq!((tensors.configured_outputs, tensors.states, tensors.is_iterative), (1, vec![1, 0], true));
    }

    #[test]
    fn what_cannot_be_a_tensor_is_refused() {
        for (json, expected) in [
            ("[", "not JSON"),
            (
                r#"{"input": [{"name": "a", "data_type": "TYPE_FP8"}]}"#,
                "input 'a' of the model configuration has no data_type",
            ),
            (r#"{"output": [{"name": "a", "data_type": "TYPE_FP32", "dims": [1.5]}]}"#, "no whole numbers"),
        ] {
            let error = Tensors::read(json, true).unwrap_err().message;
            assert!(error.contains(expected), "{error}");
        }
        assert!(Tensors::read("{}", true).unwrap().declaration.inputs.is_empty());
    }
}
