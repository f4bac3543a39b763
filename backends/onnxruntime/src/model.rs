use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nerite_backend::{BackendError, Batched, Cancel, Declaration, Instance, InstanceSpec, Model};
use nerite_cuda::DeviceInstance;
use parking_lot::Mutex;

use crate::compute::OrtCompute;
use crate::gpu_compute::GpuCompute;
use crate::place::Place;
use crate::run_options::RunOptions;
use crate::session::Session;
use crate::source::Source;

/// A model version: what its sessions are made from, and a session for each place that has instances of it.
pub(crate) struct OnnxModel {
    source: Source,
    declaration: Declaration,
    sessions: Mutex<BTreeMap<Place, Arc<Session>>>,
    is_brief: AtomicBool,
}

impl OnnxModel {
    /// Makes the first session, at that place.
    pub(crate) fn load(source: Source, place: Place, cancel: &Cancel) -> Result<OnnxModel, BackendError> {
        let (session, declaration) = source.open(place, cancel)?;
        let is_brief = AtomicBool::new(source.is_small && place == Place::Cpu);
        let sessions = Mutex::new(BTreeMap::from([(place, Arc::new(session))]));
        Ok(OnnxModel { source, declaration, sessions, is_brief })
    }

    /// The session at that place, made now if there is none yet.
    fn session_at(&self, place: Place) -> Result<Arc<Session>, BackendError> {
        let mut sessions = self.sessions.lock();
        if let Some(session) = sessions.get(&place) {
            return Ok(Arc::clone(session));
        }
        let (session, _) = self.source.open(place, &Cancel::default())?;
        let session = Arc::new(session);
        sessions.insert(place, Arc::clone(&session));
        Ok(session)
    }
}

impl Model for OnnxModel {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// What waits for a device is not brief.
    fn is_brief(&self) -> bool {
        self.is_brief.load(Ordering::Relaxed)
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        let place = Place::of(spec.kind);
        let session = self.session_at(place)?;
        let arenas = self.source.parameters.arenas_to_shrink(place);
        let options = RunOptions::new(arenas.as_deref())?;
        let Some(device) = session.device().cloned() else {
            return Ok(Box::new(Batched::new(OrtCompute::new(session, options), spec)));
        };
        self.is_brief.store(false, Ordering::Relaxed);
        let compute = GpuCompute::new(session, Arc::clone(&device), options)?;
        Ok(Box::new(DeviceInstance::new(compute, &device, spec)))
    }
}
