//! A backend as a server sees it: its entry points are called, and what it calls is looked at.

#![allow(unsafe_code)]
// All of this is a test, its backend and its server as well.
#![allow(clippy::unwrap_used, clippy::panic, clippy::vec_box)]

mod host;

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use host::{Calls, Request, read};
use nerite_plugin::entry::{self, abi};
use nerite_plugin::{
    Batch, CorrelationId, Error, ErrorCode, Instance, InstanceContext, MetricFamily, MetricKind, Model,
    ModelContext, Parameter, Result, Threads,
};

/// What an execution does is said by the model's parameter `does`.
struct Sample {
    does: String,
}

impl Model for Sample {
    type Instance = Executor;

    fn load(context: &ModelContext<'_>) -> Result<Sample> {
        let does = context.config().parameter("does").unwrap_or_default().to_owned();
        match does.as_str() {
            "refuse" => Err(Error::invalid_argument("the model is refused")),
            "panic in load" => panic!("loading"),
            _ => Ok(Sample { does }),
        }
    }

    fn instance(self: &Arc<Sample>, context: &InstanceContext<'_>) -> Result<Executor> {
        assert_eq!(context.name(), "model_0");
        Ok(Executor { model: Arc::clone(self), held: Vec::new() })
    }
}

struct Executor {
    model: Arc<Sample>,
    held: Vec<nerite_plugin::Request>,
}

impl Instance for Executor {
    fn execute(&mut self, batch: &mut Batch) -> Result<()> {
        match self.model.does.as_str() {
            "double" => batch.respond_each(|request, response| {
                let x = request.input("x")?;
                let doubled: Vec<f32> = x.values::<f32>()?.iter().map(|x| 2.0 * x).collect();
                response.output_of("y", x.shape(), &doubled)
            }),
            "copy" => batch.respond_each(|request, response| {
                let x = request.input("x")?;
                x.copy_to(response.output("y", x.data_type(), x.shape(), x.byte_size())?)
            }),
            "turn around" => batch.respond_each(|request, response| {
                let x = request.input("x")?;
                let elements = x.byte_elements()?;
                let mut turned: Vec<&[u8]> = elements.iter().collect();
                turned.reverse();
                response.output_of_bytes("y", x.shape(), &turned)
            }),
            "ask for z" => batch.respond_each(|request, _| request.input("z").map(drop)),
            "one good, one bad" => {
                batch[0].response()?.send()?;
                batch[1].fail(&Error::unsupported("bad"));
            }
            "answer one and panic" => {
                batch[0].response()?.send()?;
                let _unsent = batch[1].response()?;
                panic!("after {} of {}", 1, batch.len());
            }
            "answer one and fail" => {
                batch[0].response()?.send()?;
                return Err(Error::unavailable("not now"));
            }
            "answer twice" => {
                let (first, second) = (batch[0].response()?, batch[0].response()?);
                first.send()?;
                assert!(second.send().is_err());
                assert!(batch[0].response().is_err());
                assert!(batch[0].sender().is_err());
            }
            "leave a response unsent" => drop(batch[0].response()?),
            "hold" => self.held = batch.take(),
            "parameters" => {
                assert_eq!(batch[0].parameter("rows")?, Some(Parameter::Int(1)));
                assert_eq!(batch[0].parameter("said")?, Some(Parameter::String("words")));
                assert_eq!(batch[0].parameter("unsaid")?, None);
            }
            "read" => {
                let request = &batch[0];
                assert_eq!(request.id()?, "");
                assert_eq!(request.correlation_id()?, CorrelationId::Text("sequence"));
                assert_eq!((request.starts_sequence()?, request.ends_sequence()?), (false, true));
                assert_eq!(request.timeout()?, Some(Duration::from_micros(1500)));
                assert!(request.is_cancelled()?);
                assert_eq!(request.input_count()?, 1);
                assert!(request.wants("y") && !request.wants("x"));
                request.fail(&Error::cancelled());
            }
            "send two" => {
                let mut sender = batch[0].sender()?;
                for number in [1.0, 2.0_f32] {
                    let mut response = sender.response()?;
                    response.output_of("y", &[1], &[number])?;
                    response.send()?;
                }
            }
            "finish" => batch[0].sender()?.finish()?,
            "fail in the end" => batch[0].sender()?.fail(&Error::cancelled()),
            "send the last" => {
                let mut sender = batch[0].sender()?;
                sender.response()?.send_last()?;
                assert!(sender.response().is_err());
            }
            "panic with a sender" => {
                let _sender = batch[0].sender()?;
                panic!("while sending");
            }
            "send later" => {
                let (give, given) = mpsc::channel::<Receiver<()>>();
                *LATER.lock().unwrap() = Some(give);
                for request in batch.take() {
                    let mut sender = request.sender()?;
                    drop(request);
                    let go = given.recv().unwrap();
                    std::thread::spawn(move || {
                        go.recv().unwrap();
                        sender.response().unwrap().send().unwrap();
                    });
                }
            }
            other => unreachable!("{other}"),
        }
        Ok(())
    }

    fn ready(&mut self) -> Result<()> {
        if self.held.is_empty() { Ok(()) } else { Err(Error::unavailable("holding requests")) }
    }
}

/// How a test tells threads to go on.
static LATER: Mutex<Option<mpsc::Sender<Receiver<()>>>> = Mutex::new(None);

/// A model of that kind with an instance, loaded.
struct Loaded {
    model: Box<host::Model>,
    instance: Box<host::Instance>,
    /// Kept until all is finalised, since some backends hold them.
    requests: Vec<Box<Request>>,
    calls: Calls,
}

fn model(does: &str) -> Box<host::Model> {
    let config =
        format!(r#"{{"max_batch_size": 4, "parameters": {{"does": {{"string_value": "{does}"}}}}}}"#);
    Box::new(host::Model { config, state: ptr::null_mut() })
}

fn load(does: &str) -> Loaded {
    let (mut model, calls) = (model(does), Calls::default());
    let handle = ptr::from_mut(&mut *model);
    let mut instance =
        Box::new(host::Instance { model: handle, state: ptr::null_mut(), calls: Arc::clone(&calls) });
    // SAFETY: the entry points are called as a server calls them.
    unsafe {
        assert_eq!(read(entry::model_initialize::<Sample>(handle.cast())), None);
        assert_eq!(read(entry::instance_initialize::<Sample>(ptr::from_mut(&mut *instance).cast())), None);
    }
    Loaded { model, instance, requests: Vec::new(), calls }
}

impl Loaded {
    fn handle(&mut self) -> *mut abi::ModelInstance {
        ptr::from_mut(&mut *self.instance).cast()
    }

    /// What is called when requests named a, b, … are executed, each with these values.
    fn execute(&mut self, values: &[&[f32]]) -> Vec<String> {
        let requests =
            values.iter().zip(["a", "b", "c"]).map(|(values, name)| Request::new(name, values, &self.calls));
        self.execute_all(requests.collect())
    }

    fn execute_all(&mut self, mut requests: Vec<Box<Request>>) -> Vec<String> {
        let mut handles: Vec<*mut abi::Request> =
            requests.iter_mut().map(|request| request.handle()).collect();
        let count = u32::try_from(handles.len()).unwrap();
        // SAFETY: as above.
        let error = unsafe { entry::execute::<Sample>(self.handle(), handles.as_mut_ptr(), count) };
        assert_eq!(read(error), None);
        self.requests.extend(requests);
        self.told()
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn ready(&mut self) -> Option<(ErrorCode, String)> {
        // SAFETY: as above.
        read(unsafe { entry::instance_ready::<Sample>(self.handle()) })
    }

    /// What is called when all is finalised.
    fn unload(mut self) -> Vec<String> {
        self.finalize();
        self.told()
    }

    fn finalize(&mut self) {
        // SAFETY: as above.
        unsafe {
            assert_eq!(read(entry::instance_finalize::<Sample>(self.handle())), None);
            assert_eq!(read(entry::model_finalize::<Sample>(ptr::from_mut(&mut *self.model).cast())), None);
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.finalize();
    }
}

#[test]
fn a_batch_is_answered_counted_and_released() {
    let mut loaded = load("double");
    assert_eq!(
        loaded.execute(&[&[1.0, 2.0], &[3.0]]),
        [
            "a is sent flags 1 and y = [2.0, 4.0]",
            "b is sent flags 1 and y = [6.0]",
            "a is counted as good",
            "a is released",
            "b is counted as good",
            "b is released",
            "a batch of 2 is counted",
        ]
    );
    assert_eq!(loaded.ready(), None);
    assert!(loaded.unload().is_empty());
}

#[test]
fn buffers_are_copied_to_where_the_answer_is_sent_from() {
    assert_eq!(load("copy").execute(&[&[1.0, 2.0, 3.0]])[0], "a is sent flags 1 and y = [1.0, 2.0, 3.0]");
}

#[test]
fn elements_of_bytes_are_read_and_written() {
    let mut loaded = load("turn around");
    let contents = b"\x01\0\0\0a\0\0\0\0\x03\0\0\0b\0c";
    let mut ask = |data_type, count, contents| {
        let request = Request::of("a", data_type, count, contents, &loaded.calls);
        loaded.execute_all(vec![request]).into_iter().find(|call| call.starts_with("a is sent")).unwrap()
    };
    let turned = b"\x03\0\0\0b\0c\0\0\0\0\x01\0\0\0a".to_vec();
    assert_eq!(ask(abi::DataType::BYTES, 3, contents), format!("a is sent flags 1 and y = {turned:?}"));
    for (data_type, count, contents, complaint) in [
        (abi::DataType::BYTES, 2, &contents[..], "has 3 elements for shape [1, 2]"),
        (abi::DataType::BYTES, 3, &contents[..15], "element 2 of a BYTES tensor, which begins at byte 9"),
        (abi::DataType::BYTES, 3, &contents[..11], "element 2 of a BYTES tensor, which begins at byte 9"),
        (abi::DataType::BYTES, 1, b"\xff\xff\xff\xff", "element 0 of a BYTES tensor"),
        (abi::DataType::INT8, 3, b"abc", "is INT8, not BYTES"),
    ] {
        let told = ask(data_type, count, contents);
        assert!(told.contains(complaint), "{told}");
    }
}

#[test]
fn an_error_of_one_request_is_its_own_answer() {
    let told = load("ask for z").execute(&[&[1.0]]);
    let expected = [
        "a's response is deleted",
        "a is sent flags 1 and the error \"the input is named x\"",
        "a is counted as bad",
        "a is released",
        "a batch of 1 is counted",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_panic_answers_what_is_unanswered_and_the_instance_is_not_ready() {
    let mut loaded = load("answer one and panic");
    assert_eq!(
        loaded.execute(&[&[1.0], &[2.0], &[3.0]]),
        [
            "a is sent flags 1 and ",
            "b's response is deleted",
            "b is sent flags 1 and the error \"the backend panicked: after 1 of 3\"",
            "c is sent flags 1 and the error \"the backend panicked: after 1 of 3\"",
            "a is counted as good",
            "a is released",
            "b is counted as bad",
            "b is released",
            "c is counted as bad",
            "c is released",
            "a batch of 3 is counted",
        ]
    );
    assert_eq!(loaded.ready().unwrap().0, ErrorCode::UNAVAILABLE);
    assert!(loaded.unload().is_empty());
}

#[test]
fn an_error_of_the_execution_answers_what_is_unanswered() {
    let told = load("answer one and fail").execute(&[&[1.0], &[2.0]]);
    assert_eq!(told[..2], ["a is sent flags 1 and ", "b is sent flags 1 and the error \"not now\""]);
}

#[test]
fn each_request_is_counted_by_its_own_answer() {
    let told = load("one good, one bad").execute(&[&[1.0], &[2.0]]);
    let counted: Vec<&String> = told.iter().filter(|call| call.contains("counted as")).collect();
    assert_eq!(counted, ["a is counted as good", "b is counted as bad"]);
}

#[test]
fn a_second_answer_is_refused_and_its_response_deleted() {
    let told = load("answer twice").execute(&[&[1.0]]);
    assert_eq!(told[..3], ["a is sent flags 1 and ", "a's response is deleted", "a is counted as good"]);
}

#[test]
fn a_response_that_is_not_sent_is_deleted_and_its_request_answered() {
    let told = load("leave a response unsent").execute(&[&[1.0]]);
    assert_eq!(told[0], "a's response is deleted");
    assert_eq!(
        told[1],
        "a is sent flags 1 and the error \"the backend dropped the request without an answer\""
    );
}

#[test]
fn requests_that_are_held_are_released_when_they_are_dropped() {
    let mut loaded = load("hold");
    assert_eq!(loaded.execute(&[&[1.0]]), ["a batch of 1 is counted"]);
    assert_eq!(loaded.ready(), Some((ErrorCode::UNAVAILABLE, "holding requests".to_owned())));
    let told = loaded.unload();
    assert_eq!(told[1..], ["a is counted as bad", "a is released"]);
}

#[test]
fn parameters_are_found_by_name() {
    let told = load("parameters").execute(&[&[1.0]]);
    assert!(told[0].contains("without an answer"), "{told:?}");
}

#[test]
fn what_the_client_said_is_read() {
    let told = load("read").execute(&[&[1.0]]);
    assert_eq!(told[0], "a is sent flags 1 and the error \"the request was cancelled\"");
}

#[test]
fn a_family_outlives_its_metrics() {
    let family = MetricFamily::new(MetricKind::COUNTER, "things", "how many things").unwrap();
    let metric = family.metric(&[("model", "m"), ("kind", "k")]).unwrap();
    drop(family);
    metric.increment(2.0).unwrap();
    drop(metric);
    let expected =
        ["things model=m kind=k grows by 2", "things model=m kind=k is deleted", "things is deleted"];
    assert_eq!(*host::METRICS.lock().unwrap(), expected);
}

#[test]
fn a_sender_says_once_that_no_more_comes() {
    for (does, sent) in [
        (
            "send two",
            &["a is sent flags 0 and y = [1.0]", "a is sent flags 0 and y = [2.0]", "a is sent flags 1"][..],
        ),
        ("finish", &["a is sent flags 1"]),
        ("send the last", &["a is sent flags 1 and "]),
        ("fail in the end", &["a is sent flags 1 and the error \"the request was cancelled\""]),
        (
            "panic with a sender",
            &["a is sent flags 1 and the error \"the backend panicked before it sent all responses\""],
        ),
    ] {
        let told = load(does).execute(&[&[1.0]]);
        let (own, rest) = told.split_at(sent.len());
        assert_eq!(own, sent, "{does}");
        assert_eq!(rest[..3], ["a's factory is deleted", "a is counted as good", "a is released"], "{does}");
    }
}

#[test]
fn a_sender_outlives_its_request_on_another_thread() {
    let mut loaded = load("send later");
    let (go, gone) = mpsc::channel();
    std::thread::spawn(move || {
        let give = loop {
            if let Some(give) = LATER.lock().unwrap().take() {
                break give;
            }
            std::thread::yield_now();
        };
        give.send(gone).unwrap();
    });
    let told = loaded.execute(&[&[1.0]]);
    assert_eq!(told, ["a is counted as good", "a is released", "a batch of 1 is counted"]);
    go.send(()).unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        told.extend(loaded.told());
        std::thread::yield_now();
    }
    assert_eq!(told, ["a is sent flags 0 and ", "a is sent flags 1", "a's factory is deleted"]);
}

#[test]
fn threads_end_before_their_owner() {
    let (go, gone) = mpsc::channel();
    let (threads, ended) = (Threads::new(), Arc::new(AtomicBool::new(false)));
    let its_end = Arc::clone(&ended);
    threads
        .spawn(move || {
            gone.recv().unwrap();
            its_end.store(true, Ordering::Relaxed);
        })
        .unwrap();
    threads.spawn(|| panic!("a panic ends one thread alone")).unwrap();
    go.send(()).unwrap();
    drop(threads);
    assert!(ended.load(Ordering::Relaxed));
}

#[test]
fn a_model_that_is_refused_or_panics_is_an_error_and_leaves_nothing() {
    for (does, expected) in [
        ("refuse", (ErrorCode::INVALID_ARG, "the model is refused")),
        ("panic in load", (ErrorCode::INTERNAL, "the backend panicked: loading")),
    ] {
        let mut model = model(does);
        // SAFETY: the entry point is called as a server calls it.
        let error = unsafe { entry::model_initialize::<Sample>(ptr::from_mut(&mut *model).cast()) };
        assert_eq!(read(error), Some((expected.0, expected.1.to_owned())));
        assert!(model.state.is_null());
    }
}

#[test]
fn instances_may_be_made_at_the_same_time() {
    let mut parallel = false;
    // SAFETY: the server's attributes are a bool here.
    unsafe {
        assert_eq!(read(entry::attributes(ptr::from_mut(&mut parallel).cast())), None);
    }
    assert!(parallel);
    assert_eq!(read(entry::initialize(ptr::null_mut::<c_void>().cast())), None);
}
