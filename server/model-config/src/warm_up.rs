//! `model_warmup` in the core's terms.

use std::path::Path;

use nerite_backend::{Shape, is_hidden};
use nerite_core::model::{LoadError, WarmUp, WarmUpData, WarmUpInput};
use nerite_proto::inference::model_warmup::Input;
use nerite_proto::inference::model_warmup::input::InputDataType;
use nerite_proto::inference::{ModelConfig, ModelWarmup};

use crate::{agreement, files};

/// The folder in a model's directory that holds the samples' files.
const FOLDER: &str = "warmup";

/// What the configuration of the model in `directory` asks to be executed before it is served.
pub(crate) fn plan(config: &ModelConfig, directory: &Path) -> Result<Vec<WarmUp>, LoadError> {
    let folder = directory.join(FOLDER);
    config.model_warmup.iter().map(|sample| warm_up(config, sample, &folder)).collect()
}

/// Checks sizes, which can be told only when `max_batch_size` is known.
pub(crate) fn validate_sizes(config: &ModelConfig) -> Result<(), LoadError> {
    let most = config.max_batch_size.unsigned_abs().max(1);
    match config.model_warmup.iter().find(|sample| sample.batch_size > most) {
        None => Ok(()),
        Some(sample) => Err(refused(
            config,
            sample,
            &format!(
                "has batch_size {}, but max_batch_size is {}; use at most {most}",
                sample.batch_size, config.max_batch_size
            ),
        )),
    }
}

fn warm_up(config: &ModelConfig, sample: &ModelWarmup, folder: &Path) -> Result<WarmUp, LoadError> {
    let mut inputs = sample.inputs.iter().collect::<Vec<_>>();
    // So that of two faults the same is told every time.
    inputs.sort_unstable_by_key(|(name, _)| name.as_str());
    let inputs = inputs.into_iter().map(|(name, input)| {
        warm_up_input(name, input, folder)
            .map_err(|what| refused(config, sample, &format!("input '{name}' {what}")))
    });
    Ok(WarmUp {
        name: sample.name.clone(),
        rows: sample.batch_size.max(1),
        count: sample.count.max(1),
        inputs: inputs.collect::<Result<_, _>>()?,
    })
}

/// An error is the rest of a sentence about the input.
fn warm_up_input(name: &str, input: &Input, folder: &Path) -> Result<WarmUpInput, String> {
    let dtype = agreement::dtype(input.data_type)
        .ok_or("must specify 'data_type'; use that of the model's input, for instance TYPE_FP32")?;
    let dims = Shape::new(&input.dims);
    if dims.is_dynamic() {
        return Err(format!(
            "has dims {dims}, but every dimension must be >= 0; choose an extent where the model leaves it open"
        ));
    }
    if dims.elements().is_none() {
        return Err(format!(
            "has dims {dims}, which are more elements than can be counted; use smaller dims"
        ));
    }
    // As in Triton, what is named is used, whether it is said to be true or false.
    let data = match &input.input_data_type {
        Some(InputDataType::ZeroData(_)) => WarmUpData::Zero,
        Some(InputDataType::RandomData(_)) => WarmUpData::Random,
        Some(InputDataType::InputDataFile(file)) => {
            let path = Path::new(file);
            if files::escapes(path) || path.file_name().is_none() {
                return Err(format!(
                    "has input_data_file '{file}', which is no file in the model's folder '{FOLDER}'; put it there and \
                     give its path from there"
                ));
            }
            if is_hidden(path) {
                return Err(format!(
                    "has input_data_file '{file}', and what has a name that begins with a dot is passed over when the \
                     server looks for changes; rename it, and set input_data_file to the new path"
                ));
            }
            WarmUpData::File(folder.join(path))
        }
        None => return Err("has no data; set one of zero_data, random_data and input_data_file".to_owned()),
    };
    Ok(WarmUpInput { name: name.to_owned(), dtype, dims, data })
}

fn refused(config: &ModelConfig, sample: &ModelWarmup, what: &str) -> LoadError {
    LoadError::invalid(format!("model '{}', warm-up sample '{}': {what}", config.name, sample.name))
}
