//! Where a backend's library is looked for.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use nerite_backend::{Artifact, BackendError};

/// The library of the artifact's backend. `runtime` is the file's name, if the configuration gives one. It is looked
/// for as Triton does: beside the version's files, beside the model's, and in the directory of all backends in the
/// folder that has the backend's name.
pub(crate) fn find(
    artifact: &Artifact<'_>,
    runtime: Option<&str>,
    backends: &Path,
) -> Result<PathBuf, BackendError> {
    let backend = artifact.backend;
    let name = match runtime {
        Some(runtime) if !is_name(runtime) => {
            return Err(BackendError::invalid(format!(
                "runtime '{runtime}' of model '{}' is not the name of a file; set it to the name alone of the \
                 library, and put that into one of the places where backends are looked for",
                artifact.model
            )));
        }
        Some(runtime) => runtime.to_owned(),
        None => format!("libtriton_{backend}.so"),
    };
    if !is_name(backend) {
        return Err(BackendError::invalid(format!(
            "backend '{backend}' of model '{}' cannot be a folder's name; set it to the name of a backend",
            artifact.model
        )));
    }
    let own = backends.join(backend);
    let places = [artifact.directory, artifact.repository, own.as_path()];
    // What is there and is no file is found, and told of.
    let found = places.iter().map(|place| place.join(&name)).find(|path| path.symlink_metadata().is_ok());
    found.ok_or_else(|| {
        let [version, model, own] = places.map(Path::display);
        let remedy = if runtime.is_some() { "Correct the runtime, or put the file" } else { "Put it" };
        BackendError::invalid(format!(
            "unable to find backend library for backend '{backend}', try specifying runtime on the model \
             configuration. '{name}' was looked for in '{version}', '{model}' and '{own}'. {remedy} into one of \
             them, or start with --backend-directory=DIRECTORY, where '{backend}/{name}' is in it."
        ))
    })
}

/// Whether it names something in a directory, and nothing elsewhere.
fn is_name(text: &str) -> bool {
    let mut components = Path::new(text).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(name)), None) if name == OsStr::new(text))
        && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_nearest_library_is_found_and_a_configured_name_counts() {
        let root = tempfile::tempdir().unwrap();
        let (model, backends) = (root.path().join("m"), root.path().join("backends"));
        let version = model.join("1");
        fs::create_dir_all(&version).unwrap();
        fs::create_dir_all(backends.join("x")).unwrap();
        let artifact = Artifact {
            backend: "x",
            model: "m",
            directory: &version,
            repository: &model,
            ..Artifact::default()
        };
        let found = |runtime| find(&artifact, runtime, &backends).map_err(|error| error.message);

        let error = found(None).unwrap_err();
        let expected = "unable to find backend library for backend 'x', try specifying runtime on the model \
                        configuration.";
        assert!(error.starts_with(expected) && error.contains("--backend-directory"), "{error}");

        for (place, name) in [
            (backends.join("x"), "libtriton_x.so"),
            (model.clone(), "libtriton_x.so"),
            (version.clone(), "libtriton_x.so"),
        ] {
            fs::write(place.join(name), "").unwrap();
            assert_eq!(found(None), Ok(place.join(name)));
        }
        assert!(found(Some("libother.so")).is_err());
        fs::write(backends.join("x").join("libother.so"), "").unwrap();
        assert_eq!(found(Some("libother.so")), Ok(backends.join("x").join("libother.so")));
    }

    #[test]
    fn neither_name_leads_out_of_the_places() {
        let find = |backend, runtime| {
            find(&Artifact { backend, model: "m", ..Artifact::default() }, runtime, Path::new("/b"))
                .unwrap_err()
                .message
        };
        for name in ["../x", "/lib/x.so", "a/b", "..", ".", "", "a/"] {
            assert!(find("x", Some(name)).contains("not the name of a file"), "{name}");
            assert!(find(name, None).contains("cannot be a folder's name"), "{name}");
        }
    }
}
