//! The configuration of a model that batches and does not say how much: its engine knows.

use nerite_backend::{Configuration, Declaration, TensorDeclaration};
use serde_json::{Map, Value, json};

/// A configuration, in protobuf's JSON, that is completed from the engine: with the most rows that it takes in a batch,
/// and its inputs and outputs. Where that is not needed, or there is no size to complete, it is for the server.
pub(crate) fn complete(
    configuration: &str,
    declaration: &Declaration,
    largest_batch: Option<i64>,
) -> Configuration {
    let completed = serde_json::from_str(configuration).ok().and_then(|config: Map<String, Value>| {
        let lacks = |field: &str| config.get(field).and_then(Value::as_array).is_none_or(Vec::is_empty);
        let decided = ["max_batch_size", "maxBatchSize"]
            .iter()
            .any(|field| config.get(*field).and_then(Value::as_i64).is_some_and(|size| size != 0));
        let batches = |tensor: &TensorDeclaration| tensor.shape.first() == Some(&-1);
        let needed = (lacks("input") || lacks("output"))
            && !decided
            && !is_ragged(&config)
            && declaration.outputs.iter().all(batches);
        let rows = largest_batch.filter(|rows| needed && *rows > 0)?;
        Some(with(config, declaration, rows))
    });
    completed.map_or(Configuration::FromTensors, |config| {
        Configuration::Completed(Value::Object(config).to_string())
    })
}

/// Whether the server is to make batches of requests that differ, and so has to know what is written and what is not.
fn is_ragged(config: &Map<String, Value>) -> bool {
    let set = |object: &Map<String, Value>, names: [&str; 2]| {
        names.iter().filter_map(|name| object.get(*name)).any(|value| match value {
            Value::Array(list) => !list.is_empty(),
            value => value == &Value::Bool(true),
        })
    };
    let inputs = config.get("input").and_then(Value::as_array).into_iter().flatten();
    let mut inputs = inputs.filter_map(Value::as_object);
    set(config, ["batch_input", "batchInput"])
        || set(config, ["batch_output", "batchOutput"])
        || inputs.any(|input| set(input, ["allow_ragged_batch", "allowRaggedBatch"]))
}

fn with(mut config: Map<String, Value>, declaration: &Declaration, rows: i64) -> Map<String, Value> {
    config.insert("max_batch_size".to_owned(), json!(rows));
    for (field, tensors) in [("input", &declaration.inputs), ("output", &declaration.outputs)] {
        let given = config.get(field).and_then(Value::as_array);
        if given.is_none_or(Vec::is_empty) {
            config.insert(field.to_owned(), tensors.iter().map(tensor).collect());
        }
    }
    let scheduled = ["dynamic_batching", "dynamicBatching", "sequence_batching", "sequenceBatching"];
    if rows > 1 && !scheduled.iter().any(|field| config.contains_key(*field)) {
        config.insert("dynamic_batching".to_owned(), json!({}));
    }
    config
}

/// A row without dimensions of its own is `[1]` to callers.
fn tensor(declared: &TensorDeclaration) -> Value {
    let mut written = json!({"name": declared.name, "data_type": declared.dtype.config_name()});
    match declared.shape.get(1..).unwrap_or_default() {
        [] => {
            written["dims"] = json!([1]);
            written["reshape"] = json!({"shape": []});
        }
        row => written["dims"] = json!(row),
    }
    written
}

#[cfg(test)]
mod tests {
    use nerite_backend::{DType, Shape};

    use super::*;

    fn declaration(output: &[i64]) -> Declaration {
        let tensor = |name: &str, shape: &[i64]| TensorDeclaration {
            name: name.to_owned(),
            dtype: DType::F32,
            shape: Shape::new(shape),
            optional: false,
        };
        Declaration {
            inputs: vec![tensor("x", &[-1, 3, -1])],
            outputs: vec![tensor("y", output)],
            ..Declaration::default()
        }
    }

    #[test]
    fn a_model_that_batches_gets_the_largest_batch_of_its_engine() {
        let declaration = declaration(&[-1]);
        let completed = complete(r#"{"name": "m", "max_batch_size": 0}"#, &declaration, Some(16));
        let Configuration::Completed(text) = completed else { unreachable!("it was {completed:?}") };
        let expected = json!({
            "name": "m",
            "max_batch_size": 16,
            "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [3, -1]}],
            "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [1], "reshape": {"shape": []}}],
            "dynamic_batching": {},
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    #[test]
    fn what_is_said_or_cannot_be_batched_is_left_to_the_server() {
        let batches = declaration(&[-1, 2]);
        let both = r#"{"input": [{"name": "x"}], "output": [{"name": "y"}]}"#;
        for (configuration, declaration, largest) in [
            ("", &batches, Some(8)),
            (both, &batches, Some(8)),
            (r#"{"max_batch_size": 4}"#, &batches, Some(8)),
            (r#"{"maxBatchSize": 4}"#, &batches, Some(8)),
            ("{}", &declaration(&[2]), Some(8)),
            ("{}", &batches, None),
            (r#"{"batch_input": [{"source_input": ["x"]}]}"#, &batches, Some(8)),
            (r#"{"input": [{"name": "x", "allow_ragged_batch": true}]}"#, &batches, Some(8)),
        ] {
            assert_eq!(
                complete(configuration, declaration, largest),
                Configuration::FromTensors,
                "{configuration}"
            );
        }
    }
}
