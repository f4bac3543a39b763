//! Settings from a TOML file, whose keys are the names of the flags, with `-` or with `_`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use config::{ConfigError, File, FileFormat, Source, Value, ValueKind};

use super::error::{Origin, SettingsError};
use super::flags;
use super::kind::scalar_text;
use super::layer::Layer;

/// Reads the file that `named_by` names.
pub(super) fn read(path: &Path, named_by: &Origin) -> Result<Layer, SettingsError> {
    let text = fs::read_to_string(path).map_err(|reason| SettingsError::FileUnreadable {
        origin: named_by.clone(),
        file: path.to_owned(),
        reason,
    })?;
    parse(&text, path)
}

fn parse(text: &str, path: &Path) -> Result<Layer, SettingsError> {
    let keys = File::from_str(text, FileFormat::Toml).collect().map_err(|error| {
        let reason = match error {
            ConfigError::FileParse { cause, .. } => cause.to_string(),
            other => other.to_string(),
        };
        SettingsError::FileSyntax { file: path.to_owned(), reason: reason.trim_end().to_owned() }
    })?;
    let mut layer = Layer::default();
    // In alphabetical order, so that of several mistakes always the same one is reported.
    for (key, value) in keys.into_iter().collect::<BTreeMap<_, _>>() {
        take(&mut layer, key, value, path)?;
    }
    Ok(layer)
}

fn take(layer: &mut Layer, key: String, value: Value, path: &Path) -> Result<(), SettingsError> {
    let file = path.to_owned();
    let Some(flag) = flags::find(&key.replace('_', "-")) else {
        let nearest = flags::nearest(&key).name;
        return Err(SettingsError::UnknownKey { key, file, nearest });
    };
    if flag.name == flags::CONFIG_FILE {
        return Err(SettingsError::FileNamesFile { key, file });
    }
    let origin = Origin::Key { key, file };
    let values = match value.kind {
        ValueKind::Array(values) if flag.many => values.into_iter().map(|value| value.kind).collect(),
        kind => vec![kind],
    };
    for value in values {
        let Some(text) = scalar_text(&value) else {
            let found = if matches!(value, ValueKind::Array(_)) { "a list" } else { "a table" };
            let expected = flag.kind.expected();
            return Err(SettingsError::Value { origin, found: found.to_owned(), expected });
        };
        layer.set(flag, &text, origin.clone())?;
    }
    Ok(())
}
