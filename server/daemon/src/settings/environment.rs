//! Settings from variables: `NERITE_GRPC_PORT` is `--grpc-port`.

use std::ffi::{OsStr, OsString};

use super::error::{Origin, SettingsError};
use super::flags;
use super::layer::Layer;

/// What every one of our variables begins with.
const PREFIX: &str = "NERITE_";

/// What stands between the values of a variable whose flag accumulates them.
const BETWEEN: char = ';';

/// Reads all variables with our prefix; others are not looked at.
pub(super) fn read(variables: &[(OsString, OsString)]) -> Result<Layer, SettingsError> {
    let mut layer = Layer::default();
    for (name, value) in variables {
        if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) || is_service_link(name) {
            continue;
        }
        let name = name.to_str().ok_or_else(|| not_utf8(&name.to_string_lossy()))?;
        let value = value.to_str().ok_or_else(|| not_utf8(name))?;
        let Some(flag) = flags::FLAGS.iter().find(|flag| flag.variable() == name) else {
            let nearest = flags::nearest(&name[PREFIX.len()..]).variable();
            return Err(SettingsError::UnknownVariable { variable: name.to_owned(), nearest });
        };
        let origin = Origin::Variable(name.to_owned());
        if flag.many {
            for one in value.split(BETWEEN) {
                layer.set(flag, one, origin.clone())?;
            }
        } else {
            layer.set(flag, value, origin)?;
        }
    }
    Ok(layer)
}

/// Whether Kubernetes, and not a person, has set the variable: every container is told so where the services of its
/// namespace are, and one of them may be called `nerite`.
fn is_service_link(name: &OsStr) -> bool {
    let links = ["NERITE_SERVICE_HOST", "NERITE_SERVICE_PORT", "NERITE_PORT"];
    name.to_str()
        .is_some_and(|name| links.iter().any(|link| name == *link || name.starts_with(&format!("{link}_"))))
}

fn not_utf8(name: &str) -> SettingsError {
    SettingsError::NotUtf8(format!("variable {name}"))
}
