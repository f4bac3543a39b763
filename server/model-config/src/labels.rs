use std::path::Path;
use std::sync::Arc;

use nerite_backend::{Code, is_hidden};
use nerite_core::model::LoadError;
use nerite_proto::inference::{ModelConfig, ModelOutput};

use crate::files::{escapes, read_bounded};

/// The largest file of labels, in bytes.
const MAX_LABELS_SIZE: usize = 64 << 20;

/// An output's labels, one a line of its `label_filename`; `None` if it has no such file.
pub(crate) fn read(
    config: &ModelConfig,
    output: &ModelOutput,
    directory: &Path,
) -> Result<Option<Arc<[String]>>, LoadError> {
    if output.label_filename.is_empty() {
        return Ok(None);
    }
    let path = directory.join(&output.label_filename);
    let shown = path.display();
    if escapes(Path::new(&output.label_filename)) {
        return Err(LoadError::new(
            Code::Unsupported,
            format!(
                "label file path '{shown}' for output '{}' in model '{}' is outside model directory; put the file \
                 there, and set \
                 label_filename to its path from there",
                output.name, config.name
            ),
        ));
    }
    if is_hidden(Path::new(&output.label_filename)) {
        return Err(LoadError::invalid(format!(
            "label file path '{shown}' for output '{}' in model '{}' cannot be used: what has a name that begins with a \
             dot is passed over when the server looks for changes; rename it, and set label_filename to the new path",
            output.name, config.name
        )));
    }
    let failed = |error| {
        LoadError::internal(format!(
            "failed to open text file for read {shown}: {error}; put the labels of output '{}' of model '{}' there, \
             one a \
             line, or remove its label_filename",
            output.name, config.name
        ))
    };
    let bytes = read_bounded(&path, MAX_LABELS_SIZE).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        LoadError::invalid(format!("label file {shown} is not valid UTF-8 in line {line}; save it as UTF-8"))
    })?;
    Ok(Some(text.lines().map(str::to_owned).collect()))
}
