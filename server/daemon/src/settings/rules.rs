//! What settings must fulfil together, and making of them what the daemon is given.

use std::path::PathBuf;

use super::backends::Backends;
use super::error::{Origin, SettingsError, Warning};
use super::flag::Standing;
use super::flags;
use super::layer::Layers;
use super::metrics::MetricsConfig;
use super::models;
use super::scheduling::{Holds, Scheduling};
use super::trace::{Telemetry, Trace};
use super::values::{Listener, Tls, TlsValues, Values};
use super::{CheckOptions, Settings};

/// The settings of a daemon that serves.
pub(super) fn serve(layers: &Layers, holds: Holds, telemetry: &Telemetry) -> Result<Settings, SettingsError> {
    let mut warnings = weigh(layers)?;
    let Values {
        server,
        repository,
        backend_config,
        backend_directory,
        scheduling,
        limits,
        mut grpc,
        tls,
        http,
        metrics,
        log,
        access_log,
        trace,
    } = layers.merge()?;
    let repository = models::sort_out(layers, repository)?;
    if repository.paths.is_empty() {
        return Err(SettingsError::NoRepository);
    }
    models::weigh(layers, &repository, &mut warnings)?;
    let backends = backends(layers, &backend_config, backend_directory)?;
    let resources = layers.given("rate-limit-resource");
    let scheduling = Scheduling::read(&scheduling, resources, holds, &mut warnings)?;
    let traces = layers.given("trace-config").unwrap_or(&Origin::Default);
    let trace = Trace::read(&trace, traces, telemetry, &mut warnings)?;
    grpc.tls = encryption(layers, tls, &mut warnings)?;
    let origin = layers.given("metrics-config").unwrap_or(&Origin::Default);
    let metrics_config = MetricsConfig::read(&metrics, origin, &mut warnings)?;
    let host = metrics.host.unwrap_or_else(|| http.host.clone());
    let metrics = Listener { enabled: metrics.enabled, host, port: metrics.port };
    apart(&[("gRPC", &grpc.listener), ("HTTP", &http), ("metrics", &metrics)])?;
    Ok(Settings {
        server,
        repository,
        backends,
        scheduling,
        limits,
        grpc,
        http,
        metrics,
        metrics_config,
        log,
        access_log,
        trace,
        warnings,
    })
}

/// The settings of `nerite check`, which minds only those that decide what is loaded.
pub(super) fn check(layers: &Layers) -> Result<CheckOptions, SettingsError> {
    let mut warnings = Vec::new();
    let values = layers.merge()?;
    let repository = models::sort_out(layers, values.repository)?;
    if repository.paths.is_empty() {
        return Err(SettingsError::NothingToCheck);
    }
    let backends = backends(layers, &values.backend_config, values.backend_directory)?;
    let resources = layers.given("rate-limit-resource");
    let scheduling = Scheduling::read(&values.scheduling, resources, Holds::default(), &mut warnings)?;
    Ok(CheckOptions { repository, backends, scheduling, warnings })
}

/// The endpoint that `nerite health` asks.
pub(super) fn health(layers: &Layers) -> Result<Listener, SettingsError> {
    Ok(layers.merge()?.http)
}

/// Refuses what must not be ignored, and warns of what is.
fn weigh(layers: &Layers) -> Result<Vec<Warning>, SettingsError> {
    let mut warnings = Vec::new();
    for flag in flags::FLAGS {
        let Some(setting) = layers.effective(flag.name) else { continue };
        match flag.standing {
            Standing::Refused { except, .. } if except.is_some_and(|text| setting.is(text)) => {}
            Standing::Refused { why, .. } => {
                return Err(SettingsError::Refused { origin: setting.origin.clone(), why });
            }
            Standing::Tunes => warnings.push(Warning::NoEffect(setting.origin.clone())),
            Standing::Works(_) | Standing::AliasOf(_) => {}
        }
    }
    Ok(warnings)
}

fn backends(layers: &Layers, settings: &[String], directory: PathBuf) -> Result<Backends, SettingsError> {
    let origin = layers.given("backend-config").unwrap_or(&Origin::Default);
    Backends::read(settings, origin, directory)
}

fn encryption(
    layers: &Layers,
    values: TlsValues,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Tls>, SettingsError> {
    let unused = |name, unless| {
        let origin = layers.given(name)?.clone();
        Some(Warning::Ignored { origin, unless, is: "true" })
    };
    // As in Triton, mutual authentication takes TLS with it.
    if !values.enabled && !values.mutual {
        let files = ["grpc-server-cert", "grpc-server-key", "grpc-root-cert"];
        warnings.extend(files.into_iter().filter_map(|name| unused(name, "grpc-use-ssl")));
        return Ok(None);
    }
    let asked = if values.mutual { "grpc-use-ssl-mutual" } else { "grpc-use-ssl" };
    let missing = |needs| SettingsError::Needs {
        origin: layers.given(asked).unwrap_or(&Origin::Default).clone(),
        needs,
    };
    let certificate = values.certificate.ok_or_else(|| missing("grpc-server-cert"))?;
    let key = values.key.ok_or_else(|| missing("grpc-server-key"))?;
    let client_roots = if values.mutual {
        Some(values.client_roots.ok_or_else(|| missing("grpc-root-cert"))?)
    } else {
        warnings.extend(unused("grpc-root-cert", "grpc-use-ssl-mutual"));
        None
    };
    Ok(Some(Tls { certificate, key, client_roots }))
}

/// No two listeners may have the same address, unless the system chooses the port.
fn apart(listeners: &[(&'static str, &Listener)]) -> Result<(), SettingsError> {
    for (i, (name, one)) in listeners.iter().enumerate() {
        let collides = |(_, other): &&(&'static str, &Listener)| {
            one.enabled && other.enabled && one.port != 0 && one.port == other.port && one.host == other.host
        };
        if let Some((other, _)) = listeners[i + 1..].iter().find(collides) {
            return Err(SettingsError::SamePort(name, other, format!("{}:{}", one.host, one.port)));
        }
    }
    Ok(())
}
