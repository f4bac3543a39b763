use std::path::PathBuf;
use std::sync::Arc;

use nerite_backend::{Artifact, BackendError, Cancel, Declaration};

use crate::accelerators::{self, GpuProviders};
use crate::environment::Environment;
use crate::gpus::{self, Gpus};
use crate::model_file::Stamp;
use crate::parameters::Parameters;
use crate::place::Place;
use crate::reason;
use crate::session::Session;
use crate::session_options::SessionOptions;
use crate::small;
use crate::weights::Weights;

/// What sessions of a model version are made from.
pub(crate) struct Source {
    model: String,
    file: PathBuf,
    /// Of the file when the first session was made.
    stamp: Stamp,
    pub(crate) parameters: Parameters,
    graph_level: i32,
    /// Why there are none, if what the configuration says of them is wrong.
    providers: Result<GpuProviders, BackendError>,
    /// Whether one thread computes a row in no time.
    pub(crate) is_small: bool,
    machine: Machine,
}

/// What sessions use of the process.
pub(crate) struct Machine {
    pub(crate) environment: &'static Environment,
    pub(crate) gpus: Arc<Gpus>,
    /// How much memory it may use, in bytes, if that is known.
    pub(crate) memory: Option<u64>,
}

impl Source {
    /// What the artifact has, with its model in that file.
    pub(crate) fn new(
        artifact: &Artifact<'_>,
        file: PathBuf,
        parameters: Parameters,
        machine: Machine,
    ) -> Result<Source, BackendError> {
        accelerators::check_cpu(artifact.optimization)?;
        Ok(Source {
            model: artifact.model.to_owned(),
            stamp: Stamp::of(&file)?,
            is_small: small::is_small(&file),
            file,
            parameters,
            graph_level: artifact.optimization.graph_level,
            providers: GpuProviders::read(artifact.optimization, artifact.parameters),
            machine,
        })
    }

    /// Makes a session at that place, and reads from it what the model is. Nothing of the files is needed afterwards.
    pub(crate) fn open(&self, place: Place, cancel: &Cancel) -> Result<(Session, Declaration), BackendError> {
        self.stamp.verify(&self.file)?;
        let Machine { environment, gpus, memory } = &self.machine;
        let threads = environment.threads.of_session(&self.parameters, self.is_small);
        let mut options = SessionOptions::new(&self.model, self.graph_level, &self.parameters, threads)?;
        let device = match place {
            Place::Cpu => None,
            Place::Gpu(ordinal) => {
                let providers = self.providers.as_ref().map_err(BackendError::clone)?;
                let device = gpus.device(ordinal, environment)?;
                gpus::append(&options, ordinal, providers, &environment.library)?;
                Some(device)
            }
        };
        let weights = Weights::read(&self.file, &mut options, *memory, cancel)?;
        let options = Arc::new(options);
        let opened = {
            let _watch = options.watch(cancel);
            Session::open(environment, &self.file, &options, device.clone())
        };
        drop(options);
        if opened.is_err() && cancel.is_cancelled() {
            return Err(BackendError::load_cancelled());
        }
        // First, because what is wrong with a file that is being written says nothing of what it will be.
        self.stamp.verify(&self.file)?;
        weights.verify()?;
        let mut session = opened.map_err(|error| {
            let want = device.and_then(|device| gpus::out_of_memory(&device, &error.message));
            want.unwrap_or_else(|| reason::explain(&self.file, weights.paths(), &error))
        })?;
        let declaration = session.declare()?;
        Ok((session, declaration))
    }
}
