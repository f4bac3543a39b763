//! An instance of a model.

use std::ffi::{CString, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::{fmt, ptr};

use nerite_backend::{
    BackendError, Batch, Condition, Executions, Instance, InstanceKind, InstanceSpec, Request as Asked,
    Unfinished, call_engine,
};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::InstanceGroupKind;
use nerite_plugin_abi::entry::ModelInstanceFn;
use parking_lot::Mutex;
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
use crate::uncaught;

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

    /// Calls an entry point, which must be called while nothing else is that is `locked`.
    fn call(
        self: &Arc<Self>,
        entry_point: Option<EntryPoint<ModelInstanceFn>>,
        locked: Option<Locked>,
    ) -> Result<(), BackendError> {
        let Some(entry_point) = entry_point else { return Ok(()) };
        // SAFETY: it is called with what the C API says, when it says so.
        self.enter(locked, || unsafe { entry_point.call(&self.model.backend.name, self.handle()) })
    }

    /// Does something with the plugin that it may never return from.
    fn enter<R>(self: &Arc<Self>, locked: Option<Locked>, plugin: impl FnOnce() -> R) -> R {
        let _locked = locked.and_then(|locked| locked.of(&self.model)).map(Mutex::lock);
        let (_, returned) = call_engine(Box::new(Entry { instance: Arc::clone(self), locked }), plugin);
        returned
    }

    /// What the plugin has not given back by now it never will.
    fn let_go(&self, end: End) {
        let objects = self.held.close();
        if objects.is_empty() {
            return;
        }
        let model = &self.model;
        tracing::error!(
            "instance '{}' of model '{}' {end}, and backend '{}' has not given back: {}",
            self.name.to_string_lossy(),
            model.name(),
            model.backend.name(),
            held::Count::of(&objects)
        );
        for object in objects {
            match object {
                held::HeldObject::Request(request) => {
                    let Ok(request) = Request::take(request.0) else { continue };
                    let error = BackendError::internal(format!(
                        "the model's instance {end} before it had answered the request"
                    ));
                    match end {
                        End::Finalised => request.fail(error),
                        End::Lost => request.fail_kept(error),
                    }
                }
                held::HeldObject::Response(response) => {
                    let Ok(response) = handle::take::<Response>(response.0) else { continue };
                    match end {
                        End::Finalised => drop(response),
                        End::Lost => response.give_up_kept(),
                    }
                }
                held::HeldObject::Factory(factory) => drop(handle::take::<ResponseFactory>(factory.0)),
            }
        }
    }
}

/// How an instance comes to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Finalised,
    /// A thread of the server's is in the plugin for ever.
    Lost,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Finalised => "was finalised",
            End::Lost => "was lost with the thread that it executed on",
        })
    }
}

/// What allows one instance of a model at a time.
#[derive(Clone, Copy)]
enum Locked {
    /// To be made or to be ended.
    Loading,
    /// To execute.
    Turn,
}

impl Locked {
    fn of(self, model: &Model) -> Option<&Mutex<()>> {
        match self {
            Locked::Loading => (!model.backend.makes_instances_in_parallel()).then_some(&model.loading),
            Locked::Turn => model.turn.as_ref(),
        }
    }
}

/// A call of the plugin for the sake of an instance.
struct Entry {
    instance: Arc<ModelInstance>,
    locked: Option<Locked>,
}

impl Unfinished for Entry {
    /// The plugin's frames stay on the thread's stack, and so the plugin is not told that the instance ends.
    fn lost(self: Box<Self>, _: &BackendError) {
        let Entry { instance, locked } = *self;
        if let Some(lock) = locked.and_then(|locked| locked.of(&instance.model)) {
            // SAFETY: this thread holds it, by a guard on the stack that nobody returns to.
            unsafe { lock.force_unlock() };
        }
        instance.let_go(End::Lost);
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
        uncaught::check()?;
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
        let initialize = this.instance.model.backend.library.instance_initialize;
        this.instance.call(initialize, Some(Locked::Loading))?;
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
        let outcome = instance.enter(Some(Locked::Turn), || {
            // SAFETY: the requests are the plugin's from here on.
            unsafe { backend.library.execute.execute(&backend.name, instance.handle(), &mut handles) }
        });
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
}

impl Instance for PluginInstance {
    fn execute(&mut self, batch: Batch) -> Condition {
        self.hand_over(batch.into_requests())
    }

    fn ready(&mut self) -> Option<Result<(), BackendError>> {
        let instance = &self.instance;
        let ready = instance.model.backend.library.ready?;
        Some(instance.call(Some(ready), None))
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
        let finalize = instance.model.backend.library.instance_finalize;
        // As for models.
        if (self.complete || has_state)
            && let Err(problem) = instance.call(finalize, Some(Locked::Loading))
        {
            tracing::error!("instance '{}' failed to finalise: {problem}", instance.name.to_string_lossy());
        }
        instance.let_go(End::Finalised);
        drop(handle::take::<Arc<ModelInstance>>(instance.handle()));
    }
}
