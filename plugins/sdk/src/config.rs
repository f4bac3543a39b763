//! A model's configuration.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

use crate::data_type::DataType;
use crate::error::{Error, Result};

/// What `config.pbtxt` says, complete with all defaults, as JSON: the fields have the names that they have there.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    json: Value,
}

/// An input or output of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorConfig {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub data_type: DataType,
    /// Its shape as the backend sees it: `reshape` where there is one, `dims` otherwise. Without the batch's extent; -1
    /// is any extent.
    pub dims: Vec<i64>,
    /// Whether a request may leave it out.
    pub optional: bool,
}

impl Config {
    /// The configuration that this JSON is.
    pub fn new(json: Value) -> Config {
        Config { json }
    }

    /// All of it.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The largest batch; zero where the model does not batch, and then no tensor has the batch's extent.
    pub fn max_batch_size(&self) -> u64 {
        integer(&self.json["max_batch_size"]).and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
    }

    /// Whether the model sends any number of responses to a request.
    pub fn is_decoupled(&self) -> bool {
        self.json["model_transaction_policy"]["decoupled"].as_bool().unwrap_or(false)
    }

    /// The inputs, in the order of the configuration.
    pub fn inputs(&self) -> Result<Vec<TensorConfig>> {
        self.tensors("input")
    }

    /// The outputs, in the order of the configuration.
    pub fn outputs(&self) -> Result<Vec<TensorConfig>> {
        self.tensors("output")
    }

    /// The inputs of a backend that calls them by names of its own, in the order of `known`: each a name and a type,
    /// and none where the configuration leaves it out. Fails where the configuration has another, or one of another
    /// type.
    pub fn named_inputs<const N: usize>(
        &self,
        known: [(&str, DataType); N],
    ) -> Result<[Option<TensorConfig>; N]> {
        named("input", self.inputs()?, known)
    }

    /// The outputs, as of [`named_inputs`](Config::named_inputs).
    pub fn named_outputs<const N: usize>(
        &self,
        known: [(&str, DataType); N],
    ) -> Result<[Option<TensorConfig>; N]> {
        named("output", self.outputs()?, known)
    }

    /// The model's parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.json["parameters"][name]["string_value"].as_str()
    }

    /// The model's parameter of that name, as a value that text can say. Fails where this one does not.
    pub fn parsed_parameter<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>> {
        let parsed = self.parameter(name).map(|text| {
            text.trim().parse().map_err(|error| {
                Error::invalid_argument(format_args!("parameter {name:?} of the model is {text:?}: {error}"))
            })
        });
        parsed.transpose()
    }

    fn tensors(&self, field: &str) -> Result<Vec<TensorConfig>> {
        let tensors = self.json[field].as_array().map(Vec::as_slice).unwrap_or_default();
        tensors.iter().map(TensorConfig::new).collect()
    }
}

impl TensorConfig {
    fn new(json: &Value) -> Result<TensorConfig> {
        let name = json["name"].as_str().unwrap_or_default().to_owned();
        let type_name = json["data_type"].as_str().unwrap_or_default();
        let data_type = match type_name.strip_prefix("TYPE_") {
            Some("STRING") => Some(DataType::Bytes),
            Some(name) => DataType::from_name(name),
            None => None,
        };
        let data_type = data_type.ok_or_else(|| {
            Error::invalid_argument(format_args!(
                "tensor {name:?} of the configuration is of type {type_name:?}"
            ))
        })?;
        let reshape = &json["reshape"];
        let dims = if reshape.is_object() { &reshape["shape"] } else { &json["dims"] };
        let dims = dims.as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let dims = dims.map(|dim| {
            integer(dim).ok_or_else(|| {
                Error::invalid_argument(format_args!(
                    "tensor {name:?} of the configuration has the extent {dim}"
                ))
            })
        });
        let dims = dims.collect::<Result<_>>()?;
        Ok(TensorConfig { name, data_type, dims, optional: json["optional"].as_bool().unwrap_or(false) })
    }
}

fn named<const N: usize>(
    kind: &str,
    tensors: Vec<TensorConfig>,
    known: [(&str, DataType); N],
) -> Result<[Option<TensorConfig>; N]> {
    let mut found = [const { None }; N];
    for tensor in tensors {
        let place = known
            .iter()
            .position(|&(name, data_type)| (name, data_type) == (tensor.name.as_str(), tensor.data_type));
        match place.and_then(|place| found.get_mut(place)) {
            Some(place) => *place = Some(tensor),
            None => {
                let known: Vec<String> =
                    known.iter().map(|(name, data_type)| format!("{name:?} ({data_type})")).collect();
                let (name, data_type) = (&tensor.name, tensor.data_type);
                return Err(Error::invalid_argument(format_args!(
                    "the configuration has the {kind} {name:?} ({data_type}), and the backend knows {}",
                    known.join(", ")
                )));
            }
        }
    }
    Ok(found)
}

/// A number, which JSON made of protobuf may write as text where it has 64 bits.
fn integer(json: &Value) -> Option<i64> {
    json.as_i64().or_else(|| json.as_str()?.parse().ok())
}
