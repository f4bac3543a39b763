//! What the first request of a sequence has for a state.

use std::path::Path;

use bytes::Bytes;
use nerite_backend::{DType, Shape, Tensor, is_hidden, strings};
use nerite_proto::inference::model_sequence_batching::initial_state::StateData;
use nerite_proto::inference::model_sequence_batching::{InitialState, State};

use crate::files;
use crate::reason::Reason;

/// The folder in a model's directory that holds initial states.
const FOLDER: &str = "initial_state";

/// The most bytes that an initial state may have.
const MOST_BYTES: usize = 1 << 30;

/// The most bytes of a file of strings, whose size the shape does not tell.
const MOST_STRING_BYTES: usize = 64 << 20;

/// Checks what can be told without the model.
pub(crate) fn validate(state: &State) -> Result<(), Reason> {
    let name = &state.input_name;
    let initial = match state.initial_state.as_slice() {
        [] => return Ok(()),
        [initial] => initial,
        several => {
            return Err(Reason::new(
                format!(
                    "initial_state field for state input '{name}' must contain exactly one or zero element. Found '{}' \
                     elements.",
                    several.len()
                ),
                "leave one of them",
            ));
        }
    };
    let wrong = |what: String, remedy: &str| Err(Reason::new(what, remedy));
    if initial.data_type != state.data_type {
        return wrong(
            format!(
                "The data type used for 'initial_state' field of state '{name}' does not match the state data type."
            ),
            "use the state's",
        );
    }
    if initial.name.is_empty() {
        return wrong(
            format!("Field 'name' must be set when using initial_state for state input '{name}'."),
            "give it any name",
        );
    }
    if initial.dims.len() != state.dims.len() {
        return wrong(
            format!(
                "Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions for state input \
                 '{name}'. {} != {}",
                initial.dims.len(),
                state.dims.len()
            ),
            "give as many dims",
        );
    }
    if initial.dims.iter().any(|&dim| dim < 0) {
        return wrong(
            format!("'initial_state' field for state input name '{name}' contains variable dimensions."),
            "choose an extent where the state leaves it open",
        );
    }
    let mut pairs = initial.dims.iter().zip(&state.dims);
    if let Some((own, of_state)) = pairs.find(|(own, of_state)| **of_state != -1 && own != of_state) {
        return wrong(
            format!(
                "'initial_state' dim for input name '{name}' doesn't match 'state' dim description. {own} != {of_state}"
            ),
            "use the state's",
        );
    }
    if initial.state_data.is_none() {
        return wrong(
            format!("initial_state setting expects state '{name}' to have state_data set"),
            "set zero_data or data_file",
        );
    }
    Ok(())
}

/// The initial state of a sequence, without a batch dimension. An error is the rest of a sentence about the state.
pub(crate) fn make(state: &State, dtype: DType, directory: &Path) -> Result<Tensor, String> {
    let initial = state.initial_state.first();
    // As in Triton, an extent that may vary begins as 1.
    let dims = initial.map_or(&state.dims, |initial| &initial.dims);
    let shape: Shape = dims.iter().map(|&dim| if dim < 0 { 1 } else { dim }).collect();
    let size = shape.elements().and_then(|elements| elements.checked_mul(dtype.size().unwrap_or(4)));
    let size = size.filter(|&size| size <= MOST_BYTES).ok_or_else(|| {
        format!("has the initial shape {shape}, and may have {MOST_BYTES} bytes; use smaller dims")
    })?;
    let data = match initial {
        Some(InitialState { state_data: Some(StateData::DataFile(file)), .. }) => {
            read(file, dtype, &shape, size, directory)?
        }
        // Zeros; an empty string is its length.
        _ => Bytes::from(vec![0; size]),
    };
    Ok(Tensor::new(dtype, shape, data))
}

fn read(file: &str, dtype: DType, shape: &Shape, size: usize, directory: &Path) -> Result<Bytes, String> {
    let path = Path::new(file);
    if files::escapes(path) || path.file_name().is_none() || is_hidden(path) {
        return Err(format!(
            "has the data_file '{file}', which is no file in the model's folder '{FOLDER}' whose name begins with no \
             dot; put it there and give its path from there"
        ));
    }
    let path = directory.join(FOLDER).join(path);
    let most = if dtype.size().is_some() { size } else { MOST_STRING_BYTES };
    let shown = path.display();
    let bytes = files::read_bounded(&path, most).map_err(|error| {
        format!(
            "has the data_file {shown}, of which {most} bytes at most can be read: {error}; correct the file"
        )
    })?;
    let fits = match dtype.size() {
        Some(_) => bytes.len() == size,
        None => {
            let elements: Option<Vec<_>> = strings::elements(&bytes).map(Result::ok).collect();
            elements.map(|elements| elements.len()) == shape.elements()
        }
    };
    if !fits {
        return Err(format!(
            "has the data_file {shown} of {} bytes, which is not what a state of shape {shape} and type {dtype} has; \
             write its raw elements",
            bytes.len()
        ));
    }
    Ok(bytes.into())
}
