//! What an engine says of the model to the server.

use nerite_backend::{BackendError, Configuration, Declaration, TensorDeclaration};

use crate::completion;
use crate::config::Config;
use crate::engine::{Engine, IoTensor};

/// The declaration of an engine, with the configuration, given in JSON, as far as the engine completes it.
pub(crate) fn of(engine: &Engine, configuration: &str) -> Declaration {
    let declare = |tensor: &IoTensor| TensorDeclaration {
        name: tensor.name().to_owned(),
        dtype: tensor.dtype,
        shape: tensor.shape.clone(),
        optional: false,
    };
    let mut declaration = Declaration {
        inputs: engine.inputs.iter().map(declare).collect(),
        outputs: engine.outputs.iter().map(declare).collect(),
        configuration: Configuration::FromTensors,
    };
    declaration.configuration = completion::complete(configuration, &declaration, largest_batch(engine));
    declaration
}

/// Refuses a configuration that promises larger batches than any profile takes.
pub(crate) fn check_batches(config: &Config, engine: &Engine) -> Result<(), BackendError> {
    let largest = largest_batch(engine);
    match largest {
        Some(largest) if config.max_batch_size > largest => Err(BackendError::invalid(format!(
            "the configuration allows batches of {}, and no optimization profile of the engine takes more than {largest}: \
             set max_batch_size to {largest}, or build the engine for larger ones (trtexec --maxShapes)",
            config.max_batch_size
        ))),
        _ => Ok(()),
    }
}

/// The most rows that a profile takes; `None` if the engine takes no batches.
fn largest_batch(engine: &Engine) -> Option<i64> {
    let batches = |input: &IoTensor| input.shape.first() == Some(&-1);
    if engine.inputs.is_empty() || !engine.inputs.iter().all(batches) {
        return None;
    }
    let rows = engine.profiles.iter().filter_map(|profile| {
        profile.inputs.iter().filter_map(|ranges| ranges.shape.max.first().copied()).min()
    });
    rows.max()
}
