//! Settings from variables: `NERITE_GRPC_PORT` is `--grpc-port`.

use std::ffi::{OsStr, OsString};

use super::error::{Origin, SettingsError};
use super::flags;
use super::layer::Layer;

/// What every one of our variables begins with.
const PREFIX: &str = "NERITE_";

/// What stands between the values of a variable whose flag accumulates them.
const BETWEEN: char = ';';

/// What the scripts and tests are told; whoever sets these for good may start the daemon too.
const SCRIPTS: [&str; 3] = ["NERITE_PYTHON", "NERITE_BINARY", "NERITE_BENCH_TOOLS"];

/// Reads all variables with our prefix; others are not looked at.
pub(super) fn read(variables: &[(OsString, OsString)]) -> Result<Layer, SettingsError> {
    let mut layer = Layer::default();
    for (name, value) in variables {
        if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let name = name.to_str().ok_or_else(|| not_utf8(&name.to_string_lossy()))?;
        if is_service_link(name, value) || SCRIPTS.contains(&name) {
            continue;
        }
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
/// namespace are, and some of them may be called `nerite`, or `nerite-grpc`, whose port would be `--grpc-port`.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let links_to = |protocol: &str| value.as_encoded_bytes().starts_with(protocol.as_bytes());
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.match_indices("_PORT_").any(|(at, port)| is_port_of_service(&name[at + port.len()..]))
        || name.ends_with("_PORT") && ["tcp://", "udp://", "sctp://"].into_iter().any(links_to)
}

/// Whether it is what follows `_PORT_`, as in `8001_TCP` and `8001_TCP_ADDR`.
fn is_port_of_service(rest: &str) -> bool {
    let protocol = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    protocol.len() < rest.len()
        && ["_TCP", "_UDP", "_SCTP"].iter().any(|known| {
            protocol.strip_prefix(known).is_some_and(|more| more.is_empty() || more.starts_with('_'))
        })
}

fn not_utf8(name: &str) -> SettingsError {
    SettingsError::NotUtf8(format!("variable {name}"))
}
