//! An instance of a model.

use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use nerite_backend::{
    BackendError, Batch, Condition, Executions, Instance, InstanceKind, InstanceSpec, Request as Asked,
};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::InstanceGroupKind;
use nerite_plugin_abi::entry::ModelInstanceFn;
use smallvec::SmallVec;

use crate::answering::Tally;
use crate::boundary::EntryPoint;
use crate::c_api::backend::factory::ResponseFactory;
use crate::c_api::backend::request::Request;
use crate::c_api::backend::response::Response;
use crate::c_api::server::error::c_string;
use crate::c_api::server::message::Message;
use crate::handle::{self, Owned, object};
use crate::held::{self, Held};
use crate::misuse;
use crate::model::{Loaded, Model};
use crate::pointer::Kept;

/// An instance: what `TRITONBACKEND_ModelInstance` stands for.
pub(crate) struct ModelInstance {
    /// What it is an instance of.
    pub(crate) model: Arc<Model>,
    /// Its name.
    pub(crate) name: CString,
    /// What it runs on.
    pub(crate) kind: InstanceGroupKind,
    /// Its host policy, as a message of the C API.
    pub(crate) host_policy: Owned<Message>,
    /// What the plugin keeps for itself.
    pub(crate) state: AtomicPtr<c_void>,
    /// Where it tells of executions.
    pub(crate) executions: Arc<dyn Executions>,
    /// What the plugin holds of its requests.
    pub(crate) held: Held,
    /// How the requests of the present batch fared.
    pub(crate) tally: Tally,
    handle: OnceLock<Kept<abi::ModelInstance>>,
}

object!(Arc<ModelInstance>, ModelInstance, "TRITONBACKEND_ModelInstance");

impl ModelInstance {
    fn handle(&self) -> *mut abi::ModelInstance {
        self.handle.get().map_or(ptr::null_mut(), |handle| handle.0)
    }

    fn call(&self, entry_point: Option<EntryPoint<ModelInstanceFn>>) -> Result<(), BackendError> {
        let Some(entry_point) = entry_point else { return Ok(()) };
        // SAFETY: it is called with what the C API says, when it says so.
        unsafe { entry_point.call(&self.model.backend.name, self.handle()) }
    }
}

/// An instance that the plugin was told to initialise. Dropped, it is finalised.
pub(crate) struct PluginInstance {
    instance: Arc<ModelInstance>,
    /// Whether the plugin did so without an error.
    complete: bool,
    /// A model is finalised after its instances.
    _model: Arc<Loaded>,
}

impl PluginInstance {
    /// Has the plugin initialise an instance of the model.
    pub(crate) fn new(loaded: Arc<Loaded>, spec: &InstanceSpec) -> Result<PluginInstance, BackendError> {
        let model = Arc::clone(&loaded.model);
        let instance = Arc::new(ModelInstance {
            name: c_string(spec.name.as_bytes()),
            kind: match spec.kind {
                InstanceKind::Cpu => InstanceGroupKind::CPU,
                InstanceKind::Gpu(gpu) => {
                    let name = &spec.name;
                    return Err(BackendError::invalid(format!(
                        "instance '{name}' is to run on GPU {gpu}, which is not supported for backends that are shared \
                         libraries; use KIND_CPU or KIND_MODEL"
                    )));
                }
                InstanceKind::Model => InstanceGroupKind::MODEL,
            },
            host_policy: Owned::export(Message { json: r#"{"cpu":{}}"#.to_owned() })?,
            state: AtomicPtr::new(ptr::null_mut()),
            executions: Arc::clone(&spec.executions),
            held: Held::default(),
            tally: Tally::default(),
            handle: OnceLock::new(),
            model,
        });
        let handle = handle::export(Arc::clone(&instance))?;
        instance.handle.get_or_init(|| Kept(handle));
        // From here on, whatever goes wrong, what was begun is ended.
        let mut this = PluginInstance { instance, complete: false, _model: loaded };
        {
            let model = &this.instance.model;
            let _one_at_a_time = (!model.backend.makes_instances_in_parallel()).then(|| model.loading.lock());
            this.instance.call(model.backend.library.instance_initialize)?;
        }
        this.complete = true;
        Ok(this)
    }

    /// Hands the requests to the plugin. What it does not take is answered.
    fn hand_over(&self, requests: Vec<Asked>) -> Condition {
        let instance = &self.instance;
        let backend = &instance.model.backend;
        instance.tally.begin();
        let mut handles: SmallVec<[*mut abi::Request; 8]> = SmallVec::with_capacity(requests.len());
        for request in requests {
            match Request::export(request, instance) {
                Ok(handle) => handles.push(handle),
                Err(problem) => tracing::error!("a request was given up: {problem}"),
            }
        }
        let count = u32::try_from(handles.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return Condition::Sound;
        }
        let given = handles.clone();
        let outcome = {
            let _turn = instance.model.turn.as_ref().map(|turn| turn.lock());
            // SAFETY: the requests are the plugin's from here on.
            unsafe { backend.library.execute.execute(&backend.name, instance.handle(), &mut handles) }
        };
        if let Err(problem) = &outcome {
            self.take_back(&given, problem);
        }
        let tally = &instance.tally;
        let all_failed = tally.is_broken(count);
        // One that panicked may have answered some before. Where it can be asked, it is.
        let to_be_asked = tally.has_failures() && backend.library.ready.is_some();
        if !all_failed && !to_be_asked {
            return Condition::Sound;
        }
        let reason = outcome.err().unwrap_or_else(|| {
            let which = if all_failed { "every request" } else { "a request" };
            BackendError::internal(format!("{which} of its last batch failed, and not by its caller's fault"))
        });
        if all_failed && tally.is_gone() { Condition::Broken(reason) } else { Condition::Doubtful(reason) }
    }

    /// The plugin failed to take the requests, and so they are the server's.
    fn take_back(&self, handles: &[*mut abi::Request], problem: &BackendError) {
        let mut left = 0;
        for &handle in handles {
            if let Ok(request) = Request::take(handle) {
                request.fail(problem.clone());
                left += 1;
            }
        }
        if left < handles.len() {
            misuse::note(
                Some(self.instance.model.backend.name()),
                "error after release",
                &format_args!(
                    "TRITONBACKEND_ModelInstanceExecute failed and had released {} of {} requests: {problem}",
                    handles.len() - left,
                    handles.len()
                ),
            );
        }
    }

    /// What the plugin has not given back by now it never will.
    fn let_go(&self) {
        let objects = self.instance.held.close();
        if objects.is_empty() {
            return;
        }
        let model = &self.instance.model;
        tracing::error!(
            "instance '{}' of model '{}' was finalised, and backend '{}' has not given back: {}",
            self.instance.name.to_string_lossy(),
            model.name(),
            model.backend.name(),
            held::Count::of(&objects)
        );
        for object in objects {
            match object {
                held::HeldObject::Request(request) => {
                    if let Ok(request) = Request::take(request.0) {
                        request.fail(BackendError::internal(
                            "the model's instance was finalised before it had answered the request",
                        ));
                    }
                }
                held::HeldObject::Response(response) => drop(handle::take::<Response>(response.0)),
                held::HeldObject::Factory(factory) => drop(handle::take::<ResponseFactory>(factory.0)),
            }
        }
    }
}

impl Instance for PluginInstance {
    fn execute(&mut self, batch: Batch) -> Condition {
        self.hand_over(batch.into_requests())
    }

    fn ready(&mut self) -> Option<Result<(), BackendError>> {
        let instance = &self.instance;
        let ready = instance.model.backend.library.ready?;
        Some(instance.call(Some(ready)))
    }

    /// One that cannot execute any more may take long to end. Where the plugin allows that an instance is made meanwhile, it
    /// ends on a thread of its own.
    fn give_way(self: Box<Self>) {
        if self.instance.model.backend.makes_instances_in_parallel() {
            // Where there can be no thread it ends here, with what was to be done there.
            drop(thread::Builder::new().name("nerite-finalise".into()).spawn(move || drop(self)));
        }
    }
}

impl Drop for PluginInstance {
    fn drop(&mut self) {
        let instance = &self.instance;
        let has_state = !instance.state.load(Ordering::Acquire).is_null();
        let model = &instance.model;
        let one_at_a_time = (!model.backend.makes_instances_in_parallel()).then(|| model.loading.lock());
        // As for models.
        if (self.complete || has_state)
            && let Err(problem) = instance.call(model.backend.library.instance_finalize)
        {
            tracing::error!("instance '{}' failed to finalise: {problem}", instance.name.to_string_lossy());
        }
        drop(one_at_a_time);
        self.let_go();
        drop(handle::take::<Arc<ModelInstance>>(instance.handle()));
    }
}
