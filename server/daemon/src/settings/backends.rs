//! `--backend-config=[BACKEND,]KEY=VALUE`.

use std::num::NonZeroU16;
use std::path::PathBuf;

use super::error::{Origin, SettingsError};
use super::kind::{Kind, NOT_NEGATIVE, boolean};

/// The settings of all backends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backends {
    /// ONNX Runtime's.
    pub onnxruntime: OnnxRuntime,
    /// TensorRT's.
    pub tensorrt: TensorRt,
    /// Where backends are looked for that are shared libraries.
    pub directory: PathBuf,
    /// What is said to those, in the order in which it was.
    pub plugins: Vec<BackendSetting>,
}

/// The settings of TensorRT.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TensorRt {
    /// `library`: the path of TensorRT's library.
    pub library: Option<PathBuf>,
    /// `plugins`: libraries with layers of the models' own, between semicolons.
    pub plugins: Vec<PathBuf>,
    /// `version-compatible`: whether engines may be loaded that were built for other versions too, and that bring code of
    /// their own.
    pub version_compatible: bool,
}

/// The settings of ONNX Runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnnxRuntime {
    /// `library`: the path of `libonnxruntime.so`.
    pub library: Option<PathBuf>,
    /// `default-max-batch-size`: what auto-completion writes into the configuration of a model that can be
    /// batched; 0 leaves batching off.
    pub default_max_batch_size: u32,
    /// `enable-global-threadpool`: whether models share one pool of threads. Nobody set it if `None`.
    pub global_thread_pool: Option<bool>,
    /// `intra_op_thread_count`: threads within an operator; as many as the process may use CPUs if `None`.
    pub intra_op_threads: Option<NonZeroU16>,
    /// `inter_op_thread_count`: operators that run at a time; as many as the process may use CPUs if `None`.
    pub inter_op_threads: Option<NonZeroU16>,
}

/// One `--backend-config`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSetting {
    /// Whose; everyone's if `None`.
    pub backend: Option<String>,
    /// The part before the equals sign.
    pub key: String,
    /// The part behind it.
    pub value: String,
}

const ONNXRUNTIME: &str = "onnxruntime";
const TENSORRT: &str = "tensorrt";
const PLUGINS: &str = "plugins";
const VERSION_COMPATIBLE: &str = "version-compatible";
const COALESCE_REQUEST_INPUT: &str = "coalesce-request-input";
const EXECUTION_POLICY: &str = "execution-policy";
const LIBRARY: &str = "library";
const DEFAULT_MAX_BATCH_SIZE: &str = "default-max-batch-size";
const GLOBAL_THREAD_POOL: &str = "enable-global-threadpool";
const INTRA_OP_THREADS: &str = "intra_op_thread_count";
const INTER_OP_THREADS: &str = "inter_op_thread_count";

/// As for a model's own parameter of the same name: no machine needs more, and a slip must not bring the process down.
const MAX_THREADS: u16 = 1024;

/// What Triton takes where nobody says otherwise.
const TRITONS_MAX_BATCH_SIZE: u32 = 4;

impl Backends {
    /// Reads all of `settings`, which `origin` gives; the later of two on the same key counts.
    pub(super) fn read(
        settings: &[String],
        origin: &Origin,
        directory: PathBuf,
    ) -> Result<Self, SettingsError> {
        let mut for_all = None;
        let mut for_onnxruntime = None;
        let mut this = Self { directory, ..Self::default() };
        for text in settings {
            let setting = BackendSetting::read(text).ok_or_else(|| SettingsError::Value {
                origin: origin.clone(),
                found: text.clone(),
                expected: "BACKEND,KEY=VALUE or KEY=VALUE".to_owned(),
            })?;
            let at = At { setting: &setting, origin };
            match (setting.backend.as_deref(), setting.key.as_str()) {
                (None, DEFAULT_MAX_BATCH_SIZE) => {
                    for_all = Some(at.count()?);
                    this.plugins.push(setting);
                }
                (None, _) => return Err(at.unknown("the form without a backend", &[DEFAULT_MAX_BATCH_SIZE])),
                (Some(ONNXRUNTIME), DEFAULT_MAX_BATCH_SIZE) => for_onnxruntime = Some(at.count()?),
                (Some(ONNXRUNTIME), _) => this.onnxruntime.set(&at)?,
                (Some(TENSORRT), _) => this.tensorrt.set(&at)?,
                // Which keys a plugin knows it alone can say.
                (Some(_), _) => this.plugins.push(setting),
            }
        }
        if let Some(size) = for_onnxruntime.or(for_all) {
            this.onnxruntime.default_max_batch_size = size;
        }
        Ok(this)
    }
}

impl Default for OnnxRuntime {
    fn default() -> Self {
        Self {
            library: None,
            default_max_batch_size: TRITONS_MAX_BATCH_SIZE,
            global_thread_pool: None,
            intra_op_threads: None,
            inter_op_threads: None,
        }
    }
}

impl OnnxRuntime {
    fn set(&mut self, at: &At<'_>) -> Result<(), SettingsError> {
        match at.setting.key.as_str() {
            LIBRARY => self.library = Some(PathBuf::from(&at.setting.value)),
            GLOBAL_THREAD_POOL => self.global_thread_pool = Some(at.boolean()?),
            INTRA_OP_THREADS => self.intra_op_threads = NonZeroU16::new(at.threads()?),
            INTER_OP_THREADS => self.inter_op_threads = NonZeroU16::new(at.threads()?),
            _ => {
                let known =
                    [LIBRARY, DEFAULT_MAX_BATCH_SIZE, GLOBAL_THREAD_POOL, INTRA_OP_THREADS, INTER_OP_THREADS];
                return Err(at.unknown(ONNXRUNTIME, &known));
            }
        }
        Ok(())
    }
}

impl TensorRt {
    fn set(&mut self, at: &At<'_>) -> Result<(), SettingsError> {
        match at.setting.key.as_str() {
            LIBRARY => self.library = Some(PathBuf::from(&at.setting.value)),
            PLUGINS => {
                let paths = at.setting.value.split(';').filter(|path| !path.is_empty());
                self.plugins = paths.map(PathBuf::from).collect();
            }
            VERSION_COMPATIBLE => self.version_compatible = at.boolean()?,
            // Inputs are always put together before they are copied; who asks for that has it.
            COALESCE_REQUEST_INPUT => {
                at.boolean()?;
            }
            // Batches are taken from the engine, and every instance is executed by itself.
            DEFAULT_MAX_BATCH_SIZE => {
                at.count()?;
            }
            EXECUTION_POLICY => {}
            _ => {
                return Err(
                    at.unknown(TENSORRT, &[LIBRARY, PLUGINS, VERSION_COMPATIBLE, COALESCE_REQUEST_INPUT])
                );
            }
        }
        Ok(())
    }
}

impl BackendSetting {
    /// Takes `BACKEND,KEY=VALUE` or `KEY=VALUE` apart; the value may hold commas and equals signs.
    fn read(text: &str) -> Option<Self> {
        let (left, value) = text.split_once('=')?;
        let (backend, key) = match left.split_once(',') {
            Some((backend, key)) => (Some(backend), key),
            None => (None, left),
        };
        if key.is_empty() || value.is_empty() || backend == Some("") {
            return None;
        }
        Some(Self { backend: backend.map(str::to_owned), key: key.to_owned(), value: value.to_owned() })
    }
}

/// A setting and who gives it: what an error tells.
struct At<'a> {
    setting: &'a BackendSetting,
    origin: &'a Origin,
}

impl At<'_> {
    fn count(&self) -> Result<u32, SettingsError> {
        let count = self.setting.value.parse::<i32>().ok().and_then(|count| u32::try_from(count).ok());
        count.ok_or_else(|| self.wrong(NOT_NEGATIVE))
    }

    fn threads(&self) -> Result<u16, SettingsError> {
        let count = self.setting.value.parse().ok().filter(|count| *count <= MAX_THREADS);
        count.ok_or_else(|| self.wrong(Kind::Integer { min: 0, max: MAX_THREADS.into() }))
    }

    fn boolean(&self) -> Result<bool, SettingsError> {
        boolean(&self.setting.value).ok_or_else(|| self.wrong(Kind::Bool))
    }

    fn wrong(&self, kind: Kind) -> SettingsError {
        let BackendSetting { key, value, .. } = self.setting;
        let expected = format!("{} for '{key}'", kind.expected());
        SettingsError::Value { origin: self.origin.clone(), found: value.clone(), expected }
    }

    fn unknown(&self, backend: &'static str, known: &[&str]) -> SettingsError {
        let (origin, key) = (self.origin.clone(), self.setting.key.clone());
        SettingsError::UnknownBackendKey { origin, backend, key, known: known.join(", ") }
    }
}
