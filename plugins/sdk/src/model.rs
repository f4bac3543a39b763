//! A model of the plugin.

#![allow(unsafe_code)]

use std::cell::OnceCell;
use std::path::{Component, Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use nerite_plugin_abi as abi;
use nerite_plugin_abi::MODEL_CONFIG_VERSION;
use serde_json::Value;

use crate::config::Config;
use crate::error::{Error, Result, check};
use crate::instance::{Instance, InstanceContext};
use crate::message::{self, Message};
use crate::sys;
use crate::text::text;

/// One version of a model: what its instances share. The type that [`export!`](crate::export!) takes.
///
/// It is made when the model is loaded and dropped when it is unloaded, after its instances.
pub trait Model: Send + Sync + Sized + 'static {
    /// What executes it.
    type Instance: Instance;

    /// Looks at the configuration and reads what the model needs. An error refuses the model, and its message is what
    /// the server says of it.
    fn load(context: &ModelContext<'_>) -> Result<Self>;

    /// Makes one of its instances, as many as the configuration wants, perhaps several at once.
    fn instance(self: &Arc<Self>, context: &InstanceContext<'_>) -> Result<Self::Instance>;
}

/// What the server knows of a model that is being loaded.
pub struct ModelContext<'a> {
    handle: NonNull<abi::Model>,
    name: &'a str,
    version: u64,
    directory: &'a Path,
    config: Config,
    completed: OnceCell<Config>,
}

impl<'a> ModelContext<'a> {
    /// # Safety
    ///
    /// The model is being initialised during `'a`.
    pub(crate) unsafe fn new(handle: NonNull<abi::Model>) -> Result<ModelContext<'a>> {
        let (mut name, mut version, mut directory) = (ptr::null(), 0, ptr::null());
        let mut kind = abi::ArtifactType::FILESYSTEM;
        // SAFETY: the model is alive, and the server writes one value behind each pointer; it keeps the texts as long.
        let (name, directory) = unsafe {
            check(sys::TRITONBACKEND_ModelName(handle.as_ptr(), &mut name))?;
            check(sys::TRITONBACKEND_ModelVersion(handle.as_ptr(), &mut version))?;
            check(sys::TRITONBACKEND_ModelRepository(handle.as_ptr(), &mut kind, &mut directory))?;
            (text(name)?, text(directory)?)
        };
        if kind != abi::ArtifactType::FILESYSTEM {
            return Err(Error::unsupported("the model's files are not in a file system"));
        }
        // SAFETY: the model is alive.
        let config = unsafe { read_config(handle) }?;
        let (directory, completed) = (Path::new(directory), OnceCell::new());
        Ok(ModelContext { handle, name, version, directory, config, completed })
    }

    /// The model's name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The number of the version that is loaded.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The model's folder, where `config.pbtxt` is.
    pub fn directory(&self) -> &'a Path {
        self.directory
    }

    /// The folder of the version that is loaded.
    pub fn version_directory(&self) -> PathBuf {
        self.directory.join(self.version.to_string())
    }

    /// A file that comes with the model: of the version's folder, or else of the model's. Fails where neither has it.
    /// A name that leads out of them is refused.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Error::invalid_argument(format_args!(
                "the file {name:?} is to be one of the model's; name it as it is called there"
            )));
        }
        let places = [self.version_directory().join(name), self.directory.join(name)];
        places.into_iter().find(|path| path.is_file()).ok_or_else(|| {
            let (folder, version) = (self.directory.display(), self.version);
            Error::invalid_argument(format_args!(
                "the file {name:?} is neither in {folder}/{version} nor in {folder}; put it there"
            ))
        })
    }

    /// The configuration; after [`complete`](ModelContext::complete) the completed one.
    pub fn config(&self) -> &Config {
        self.completed.get().unwrap_or(&self.config)
    }

    /// Whether inputs, outputs and largest batch are to be completed where the configuration leaves them out.
    pub fn wants_completion(&self) -> Result<bool> {
        let mut wanted = false;
        // SAFETY: the model is alive, and the server writes a bool.
        unsafe { check(sys::TRITONBACKEND_ModelAutoCompleteConfig(self.handle.as_ptr(), &mut wanted)) }?;
        Ok(wanted)
    }

    /// Completes the configuration, where that is [wanted](ModelContext::wants_completion), at most once: of what is
    /// passed, the server takes inputs, outputs, largest batch and scheduling, and adds its own defaults.
    pub fn complete(&self, config: &Value) -> Result<()> {
        let message = Message::of(config)?;
        // SAFETY: the model is being initialised, and the message lives until after the call, which copies it.
        let config = unsafe {
            check(sys::TRITONBACKEND_ModelSetConfig(
                self.handle.as_ptr(),
                MODEL_CONFIG_VERSION,
                message.raw(),
            ))?;
            read_config(self.handle)?
        };
        self.completed.set(config).map_err(|_| Error::internal("the backend completes a configuration twice"))
    }

    /// What the server's command line says to the backend (`--backend-config=NAME,SETTING=VALUE`), by setting.
    pub fn backend_settings(&self) -> Result<Value> {
        let (mut backend, mut config) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the model is alive, and so is its backend, and the message that the backend owns.
        let config = unsafe {
            check(sys::TRITONBACKEND_ModelBackend(self.handle.as_ptr(), &mut backend))?;
            check(sys::TRITONBACKEND_BackendConfig(backend, &mut config))?;
            message::json(config)
        }?;
        Ok(config["cmdline"].clone())
    }
}

/// # Safety
///
/// The model is alive.
unsafe fn read_config(model: NonNull<abi::Model>) -> Result<Config> {
    let mut config = ptr::null_mut();
    // SAFETY: the model is alive, and the server writes a message that is ours to delete.
    let config = unsafe {
        check(sys::TRITONBACKEND_ModelConfig(model.as_ptr(), MODEL_CONFIG_VERSION, &mut config))?;
        Message::new(config)
    };
    Ok(Config::new(config.json()?))
}
