use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use bytes::Bytes;
use nerite_backend::{
    Artifact, Backend, Batch, Condition, CorrelationId, DType, Declaration, Instance, InstanceSpec, Model,
    Request, Sequence, Shape, TensorDeclaration,
};
use nerite_core::Registry;
use nerite_core::execution::Machinery;
use nerite_core::lifecycle::{Loader, Manager, ManagerOptions, as_seen};
use nerite_core::repository::scan;
use nerite_model_config::{ModelConfigs, NoGpus, Options};
use smallvec::smallvec;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::inflight::Inflight;
use crate::settings::ControlMode;

const CONFIG: &str = r#"
    backend: "held"
    input [{ name: "X" data_type: TYPE_UINT8 dims: [ -1 ] }]
    output [{ name: "Y" data_type: TYPE_UINT8 dims: [ -1 ] }]
"#;
const LIMIT: Duration = Duration::from_secs(20);

/// A server of the models `held` and `many`, of which the second is decoupled, whose requests stay with the test.
struct Held {
    serving: Arc<Serving>,
    host: Arc<DaemonHost>,
    batches: UnboundedReceiver<Batch>,
    _manager: Manager,
}

impl Held {
    async fn new() -> Held {
        let repository = tempfile::tempdir().unwrap();
        for (name, more) in [("held", ""), ("many", "model_transaction_policy { decoupled: true }")] {
            fs::create_dir_all(repository.path().join(name).join("1")).unwrap();
            let config = format!("{CONFIG}{more}");
            fs::write(repository.path().join(name).join("config.pbtxt"), config).unwrap();
        }
        let (sender, batches) = unbounded_channel();
        let engine: Arc<dyn Backend> = Arc::new(Engine(sender));
        let configs = ModelConfigs::new(Options {
            disable_auto_complete: false,
            config_name: None,
            default_max_batch_size: 0,
            default_max_queue_size: None,
            gpus: Arc::new(NoGpus),
        });
        let engines = HashMap::from([("held".to_owned(), engine)]);
        let loader = Loader::new(Box::new(configs), engines, Arc::new(Machinery::default()));
        let registry = Arc::new(Registry::default());
        let manager =
            Manager::start(Arc::new(loader), Arc::clone(&registry), ManagerOptions::default()).unwrap();
        let found = scan(&[repository.path().to_owned()]).unwrap();
        let failures = manager.want(found.into_sightings().into_iter().map(as_seen).collect()).await;
        assert!(failures.is_empty(), "{}", failures[0]);
        // One request of a client's at most.
        let inflight = Arc::new(Inflight::new(std::num::NonZeroUsize::new(1), None));
        let mut serving = Serving::new("test".into(), registry, inflight);
        let paths = [repository.path().to_owned()];
        serving.control = Some(Control::new(manager.clone(), ControlMode::None, &paths));
        let serving = Arc::new(serving);
        let host = Arc::new(DaemonHost::new(&serving, Handle::current()));
        Held { serving, host, batches, _manager: manager }
    }

    /// Calls a model with the elements 1, 2, 3; what it answers comes through the channel.
    fn call(&self, model: &str) -> (Cancel, UnboundedReceiver<InferAnswer>) {
        let (call, cancel) = call(model);
        let (sender, answers) = unbounded_channel();
        let on_answer = move |answer| sender.send(answer).unwrap();
        self.host.infer(call, Box::new(on_answer)).unwrap();
        (cancel, answers)
    }

    async fn batch(&mut self) -> Request {
        let batch = tokio::time::timeout(LIMIT, self.batches.recv()).await.unwrap().unwrap();
        batch.into_requests().pop().unwrap()
    }
}

fn call(model: &str) -> (InferCall, Cancel) {
    let cancel = Cancel::default();
    let input = Tensor::new(DType::U8, Shape::new(&[3]), Bytes::from_static(&[1, 2, 3]));
    let call = InferCall {
        model: model.to_owned(),
        version: None,
        id: "id".to_owned(),
        sequence: Sequence { id: CorrelationId::Number(0), start: false, end: false },
        priority: 0,
        timeout: None,
        inputs: vec![("X".to_owned(), input)],
        outputs: Vec::new(),
        parameters: Vec::new(),
        cancel: cancel.clone(),
    };
    (call, cancel)
}

async fn next(answers: &mut UnboundedReceiver<InferAnswer>) -> Option<InferAnswer> {
    tokio::time::timeout(LIMIT, answers.recv()).await.unwrap()
}

fn part(byte: u8, last: bool) -> Response {
    let output = Tensor::new(DType::U8, Shape::new(&[1]), Bytes::copy_from_slice(&[byte]));
    Response { outputs: smallvec![(0, output)], last, ..Response::default() }
}

fn byte(answer: &InferAnswer) -> u8 {
    let (name, tensor) = &answer.outputs.as_ref().unwrap()[0];
    assert_eq!(name, "Y");
    tensor.data.contiguous().unwrap()[0]
}

struct Engine(UnboundedSender<Batch>);

impl Backend for Engine {
    fn load(&self, _: &Artifact<'_>, _: &Cancel) -> Result<Arc<dyn Model>, BackendError> {
        let tensor = |name: &str| TensorDeclaration {
            name: name.to_owned(),
            dtype: DType::U8,
            shape: Shape::new(&[-1]),
            optional: false,
        };
        let declaration =
            Declaration { inputs: vec![tensor("X")], outputs: vec![tensor("Y")], ..Declaration::default() };
        Ok(Arc::new(HeldModel { declaration, batches: self.0.clone() }))
    }
}

struct HeldModel {
    declaration: Declaration,
    batches: UnboundedSender<Batch>,
}

impl Model for HeldModel {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        Ok(Box::new(HeldInstance(self.batches.clone())))
    }
}

struct HeldInstance(UnboundedSender<Batch>);

impl Instance for HeldInstance {
    fn execute(&mut self, batch: Batch) -> Condition {
        // A test that has gone no longer wants it.
        let _ = self.0.send(batch);
        Condition::Sound
    }
}

#[tokio::test]
async fn a_model_is_called_by_name_and_its_one_answer_is_the_last() {
    let mut held = Held::new().await;
    let _clients = held.serving.inflight.request().unwrap();
    let (_, mut answers) = held.call("held");
    let request = held.batch().await;
    assert_eq!(request.meta().id, "id");
    let input = request.inputs()[0].as_ref().unwrap();
    assert_eq!(input.data.contiguous(), Some(&[1, 2, 3][..]));
    request.responder().send(part(7, false));
    drop(request);
    let answer = next(&mut answers).await.unwrap();
    assert_eq!((answer.model.as_str(), answer.version, byte(&answer), answer.last), ("held", 1, 7, true));
    assert!(next(&mut answers).await.is_none());
    assert_eq!(held.serving.inflight.requests(), 1, "the client's alone");
}

#[tokio::test]
async fn a_decoupled_model_answers_many_times_and_the_end_may_be_empty() {
    let mut held = Held::new().await;
    let (_, mut answers) = held.call("many");
    let request = held.batch().await;
    for number in 0..5 {
        request.responder().send(part(number, false));
    }
    request.responder().send(Response { last: true, ..Response::default() });
    for number in 0..5 {
        let answer = next(&mut answers).await.unwrap();
        assert_eq!((byte(&answer), answer.last, answer.empty), (number, false, false));
    }
    let end = next(&mut answers).await.unwrap();
    assert!(end.last && end.empty && end.outputs.unwrap().is_empty());
    assert!(next(&mut answers).await.is_none());
}

#[tokio::test]
async fn a_cancelled_call_ends_and_its_model_hears_of_it() {
    let mut held = Held::new().await;
    for model in ["held", "many"] {
        let (cancel, mut answers) = held.call(model);
        let request = held.batch().await;
        cancel.cancel();
        let answer = next(&mut answers).await.unwrap();
        assert!(answer.last);
        assert_eq!(answer.outputs.unwrap_err().code, Code::Cancelled);
        assert!(request.cancel().is_cancelled());
        assert!(next(&mut answers).await.is_none());
    }
}

#[tokio::test]
async fn a_call_that_its_engine_gives_up_ends_with_an_error() {
    let mut held = Held::new().await;
    for model in ["held", "many"] {
        let (_, mut answers) = held.call(model);
        drop(held.batch().await);
        let answer = next(&mut answers).await.unwrap();
        assert!(answer.last);
        assert_eq!(answer.outputs.unwrap_err().code, Code::Internal);
    }
}

#[tokio::test]
async fn what_cannot_be_executed_is_refused_at_once() {
    let held = Held::new().await;
    let refused = |change: fn(&mut InferCall)| {
        let (mut call, _) = call("held");
        change(&mut call);
        held.host.infer(call, Box::new(|_| panic!("it is not answered"))).unwrap_err()
    };
    assert_eq!(refused(|call| call.model = "unknown".into()).code, Code::NotFound);
    assert_eq!(refused(|call| call.version = Some(9)).code, Code::NotFound);
    assert_eq!(refused(|call| call.inputs.clear()).code, Code::InvalidArgument);
    let bare = refused(|call| call.inputs[0].1.data = Default::default());
    assert_eq!(bare.code, Code::InvalidArgument);
    let unknown = refused(|call| call.outputs.push("Z".into()));
    assert!(unknown.message.contains('Z'), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn models_are_controlled_as_by_clients_on_whatever_thread() {
    let held = Held::new().await;
    let words = "explicit model load / unload is not allowed if polling is enabled";
    // On the only thread of the runtime, as a fast model is executed.
    let refused = tokio::spawn({
        let host = Arc::clone(&held.host);
        async move { (host.load_model("held", Vec::new()), host.unload_model("held", true)) }
    });
    let (load, unload) = refused.await.unwrap();
    assert_eq!((load.unwrap_err().message.as_str(), unload.unwrap_err().message.as_str()), (words, words));
    let parameter = ("depth".to_owned(), LoadParameter::Text("1".to_owned()));
    let unrecognised = held.host.load_model("held", vec![parameter]).unwrap_err();
    assert_eq!(unrecognised.message, "unrecognized load parameter 'depth'.");
}

#[tokio::test]
async fn the_host_knows_what_is_served() {
    let held = Held::new().await;
    let host = &held.host;
    assert_eq!(
        (host.is_model_ready("held", None), host.is_model_ready("held", Some(2))),
        (Ok(true), Ok(false))
    );
    assert_eq!(host.is_model_ready("unknown", None), Ok(false));
    assert_eq!((host.is_decoupled("held", None), host.is_decoupled("many", None)), (Ok(false), Ok(true)));
    assert_eq!(host.is_decoupled("unknown", None).unwrap_err().code, Code::NotFound);
    assert!(
        host.has_metric("nv_inference_count")
            && host.has_metric("nerite_inference_request_duration_seconds_sum")
    );
    assert!(!host.has_metric("requests_of_mine_total"));
    let Held { serving, host, .. } = held;
    drop(serving);
    assert_eq!(host.is_model_ready("held", None).unwrap_err().code, Code::Unavailable);
}
