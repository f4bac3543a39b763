use std::collections::HashMap;
use std::time::Duration;

use nerite_backend::{CorrelationId, Parameter, Sequence};
use nerite_proto::inference::InferParameter;
use nerite_proto::inference::infer_parameter::ParameterChoice;
use tonic::Status;

use super::status;

/// The only parameter of the reserved names that a caller may set.
const EMPTY_FINAL_RESPONSE: &str = "triton_enable_empty_final_response";

/// What every response of a stream says: whether it is the last of its request.
const FINAL_RESPONSE: &str = "triton_final_response";

/// What a request's parameters say.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) sequence: Sequence,
    /// 0 if none is named.
    pub(super) priority: u64,
    /// How long the request asks to wait at most.
    pub(super) timeout: Option<Duration>,
    /// Whether the end of a decoupled model's responses is told, if there is nothing else in it.
    pub(super) empty_final_response: bool,
    /// Those that are the backend's to interpret.
    pub(super) custom: Vec<(String, Parameter)>,
}

/// Checks a request's parameters and tells apart what they are for.
pub(super) fn parse(parameters: HashMap<String, InferParameter>) -> Result<Parameters, Status> {
    let mut parsed = Parameters::default();
    for (name, parameter) in parameters {
        let Some(value) = parameter.parameter_choice else {
            return Err(wrong_type(&name, "int64_param, bool_param, string_param or double_param"));
        };
        match (name.as_str(), value) {
            // The protocol has no unsigned number for it that clients use: they send its bits.
            ("sequence_id", ParameterChoice::Int64Param(id)) => {
                parsed.sequence.id = CorrelationId::Number(id.cast_unsigned());
            }
            ("sequence_id", ParameterChoice::StringParam(id)) => parsed.sequence.id = CorrelationId::Text(id),
            ("sequence_id", _) => return Err(wrong_type(&name, "int64_param or string_param")),
            ("sequence_start", ParameterChoice::BoolParam(start)) => parsed.sequence.start = start,
            ("sequence_end", ParameterChoice::BoolParam(end)) => parsed.sequence.end = end,
            (EMPTY_FINAL_RESPONSE, ParameterChoice::BoolParam(wanted)) => {
                parsed.empty_final_response = wanted;
            }
            ("sequence_start" | "sequence_end" | EMPTY_FINAL_RESPONSE, _) => {
                return Err(wrong_type(&name, "bool_param"));
            }
            ("priority", ParameterChoice::Int64Param(priority)) => {
                parsed.priority = u64::try_from(priority)
                    .map_err(|_| status::invalid("invalid value for 'priority' parameter, expected >= 0"))?;
            }
            ("priority", ParameterChoice::Uint64Param(priority)) => parsed.priority = priority,
            ("priority", _) => return Err(wrong_type(&name, "int64_param or uint64_param")),
            // As in Triton, 0 asks for nothing; so does what is less.
            ("timeout", ParameterChoice::Int64Param(microseconds)) => {
                let microseconds = u64::try_from(microseconds).ok().filter(|&microseconds| microseconds > 0);
                parsed.timeout = microseconds.map(Duration::from_micros);
            }
            ("timeout", _) => return Err(wrong_type(&name, "int64_param")),
            (reserved, _) if reserved.starts_with("triton_") => return Err(reserved_name()),
            (_, value) => {
                let value = to_backend(&name, value)?;
                parsed.custom.push((name, value));
            }
        }
    }
    Ok(parsed)
}

fn to_backend(name: &str, value: ParameterChoice) -> Result<Parameter, Status> {
    match value {
        ParameterChoice::BoolParam(value) => Ok(Parameter::Bool(value)),
        ParameterChoice::Int64Param(value) => Ok(Parameter::Int(value)),
        ParameterChoice::StringParam(value) => Ok(Parameter::String(value)),
        ParameterChoice::DoubleParam(value) => Ok(Parameter::Double(value)),
        ParameterChoice::Uint64Param(_) => {
            Err(wrong_type(name, "int64_param, bool_param, string_param or double_param"))
        }
    }
}

/// Says in a response's parameters whether it is the last of its request.
pub(super) fn set_final(parameters: &mut HashMap<String, InferParameter>, last: bool) {
    let parameter_choice = Some(ParameterChoice::BoolParam(last));
    parameters.insert(FINAL_RESPONSE.to_owned(), InferParameter { parameter_choice });
}

/// Parameters of a response in the protocol's form.
pub(super) fn to_wire(parameters: Vec<(String, Parameter)>) -> HashMap<String, InferParameter> {
    let wire = |value| match value {
        Parameter::Bool(value) => ParameterChoice::BoolParam(value),
        Parameter::Int(value) => ParameterChoice::Int64Param(value),
        Parameter::Double(value) => ParameterChoice::DoubleParam(value),
        Parameter::String(value) => ParameterChoice::StringParam(value),
    };
    let parameters = parameters.into_iter();
    parameters.map(|(name, value)| (name, InferParameter { parameter_choice: Some(wire(value)) })).collect()
}

/// Refuses what names a shared-memory region: there is none.
pub(super) fn no_shared_memory(parameters: &HashMap<String, InferParameter>) -> Result<(), Status> {
    if parameters.contains_key("shared_memory_region") { Err(shared_memory_disabled()) } else { Ok(()) }
}

pub(super) fn shared_memory_disabled() -> Status {
    status::unsupported(
        "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
    )
}

/// How many classes are asked for of an output, if classes are.
pub(super) fn classes(parameters: &HashMap<String, InferParameter>) -> Result<Option<usize>, Status> {
    match parameters.get("classification").map(|parameter| &parameter.parameter_choice) {
        None => Ok(None),
        Some(Some(ParameterChoice::Int64Param(count))) => match usize::try_from(*count) {
            Ok(count) if count > 0 => Ok(Some(count)),
            _ => Err(status::invalid("invalid value for 'classification' parameter, expected >= 0")),
        },
        Some(_) => Err(wrong_type("classification", "int64_param")),
    }
}

fn wrong_type(name: &str, expected: &str) -> Status {
    status::invalid(format!("invalid value type for '{name}' parameter, expected {expected}."))
}

fn reserved_name() -> Status {
    status::invalid(format!(
        "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with \
         'triton_' are allowed: {EMPTY_FINAL_RESPONSE}"
    ))
}
