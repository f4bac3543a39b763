use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use nerite_backend::{BackendError, Cancel, Code, DType, Response, Shape};

use crate::lifecycle::VersionOutcome;
use crate::mock::{Execution, Handle, Stage, answer, input, model, plan, request, wait};
use crate::model::{LoadError, LoadPlan, ModelSpec, WarmUp, WarmUpData, WarmUpInput};

/// Bytes in rows of one, up to eight of them.
fn spec() -> ModelSpec {
    model("m", 8, vec![input("X", DType::U8, &[1], 0)])
}

fn of(name: &str, dtype: DType, dims: &[i64], data: WarmUpData) -> WarmUpInput {
    WarmUpInput { name: name.to_owned(), dtype, dims: Shape::new(dims), data }
}

fn sample(name: &str, rows: u32, count: u32, inputs: Vec<WarmUpInput>) -> WarmUp {
    WarmUp { name: name.to_owned(), rows, count, inputs }
}

/// A sample that [`spec`] takes.
fn fit(name: &str, rows: u32, count: u32) -> WarmUp {
    sample(name, rows, count, vec![of("X", DType::U8, &[1], WarmUpData::Zero)])
}

/// What becomes of a load of a model with these samples, while `engine` plays the engine.
fn load(
    spec: ModelSpec,
    instances: u32,
    warm_ups: Vec<WarmUp>,
    engine: impl FnOnce(&Handle, &Cancel),
) -> (VersionOutcome, Handle) {
    let (stage, handle) = Stage::with(spec, LoadPlan { warm_ups, ..plan(instances) }, Arc::default());
    let cancel = Cancel::default();
    thread::scope(|scope| {
        let loading = scope.spawn(|| stage.try_load(&cancel));
        // Should the test fail, the handle goes with it, and so the load ends.
        let handle = handle;
        engine(&handle, &cancel);
        (loading.join().expect("a load does not panic"), handle)
    })
}

/// How the load of a model with that sample fails, whose execution goes as `engine` says.
fn failure(warm_up: WarmUp, engine: impl FnOnce(Execution)) -> LoadError {
    let (outcome, handle) = load(spec(), 2, vec![warm_up], |handle, _| engine(handle.next()));
    assert_eq!((handle.executions(), handle.instances_alive()), (1, 0), "the first failure ends it");
    outcome.err().expect("the load fails")
}

/// What a load is refused with before anything is executed.
fn refusal(spec: ModelSpec, warm_up: WarmUp) -> String {
    let (outcome, handle) = load(spec, 1, vec![warm_up], |_, _| {});
    assert_eq!(handle.executions(), 0);
    let error = outcome.err().expect("the load fails");
    assert_eq!(error.code, Code::InvalidArgument);
    error.message
}

/// The bytes that an engine is given for one input.
fn given(spec: ModelSpec, rows: u32, input: WarmUpInput) -> (Shape, Vec<u8>) {
    let mut seen = None;
    let (outcome, _) = load(spec, 1, vec![sample("s", rows, 1, vec![input])], |handle, _| {
        let execution = handle.next();
        let tensor = execution.requests()[0].inputs()[0].clone().expect("the input is given");
        seen = Some((tensor.shape, tensor.data.into_bytes().to_vec()));
        execution.succeed();
    });
    outcome.map(drop).unwrap_or_else(|error| panic!("{error}"));
    seen.expect("it was executed")
}

#[test]
fn every_sample_is_executed_as_often_as_it_says_on_every_instance_before_the_model_is_served() {
    let warm_ups = vec![fit("one", 1, 2), fit("full", 8, 1)];
    let mut executed = Vec::new();
    let (outcome, handle) = load(spec(), 2, warm_ups, |handle, _| {
        for _ in 0..6 {
            let execution = handle.next();
            let rows = execution.requests()[0].rows();
            executed.push((execution.instance.clone(), execution.ids()[0].clone(), rows));
            execution.succeed();
        }
    });
    let expected = ["group_0", "group_1"].into_iter().flat_map(|instance| {
        [("one", 1), ("one", 1), ("full", 8)].map(|(name, rows)| (instance.to_owned(), name.to_owned(), rows))
    });
    assert_eq!(executed, expected.collect::<Vec<_>>());
    assert_eq!((handle.executions(), handle.most_at_once()), (6, 1));
    assert_eq!(outcome.unwrap().free_instances(), 2);
}

#[test]
fn a_warm_up_is_in_no_account_and_what_follows_is() {
    let (outcome, handle) = load(spec(), 1, vec![fit("s", 4, 1)], |handle, _| handle.next().succeed());
    let version = outcome.unwrap();
    let statistics = version.statistics();
    let counted = || {
        (
            statistics.executions(),
            statistics.inferences(),
            statistics.success.count(),
            statistics.failure.count(),
        )
    };
    assert_eq!((counted(), statistics.last_inference_ms()), ((0, 0, 0, 0), 0));
    assert!(statistics.batches().is_empty());
    let answer = version.infer(request("a", 3), Instant::now());
    handle.next().succeed();
    assert_eq!(wait(answer).error, None);
    assert_eq!(counted(), (1, 3, 1, 0));
}

#[test]
fn an_answer_may_come_from_another_thread_after_the_execution() {
    let (outcome, _) = load(spec(), 1, vec![fit("s", 1, 1)], |handle, _| {
        let requests = handle.next().leave();
        thread::spawn(move || answer(&requests[0])).join().unwrap();
    });
    assert!(outcome.is_ok());
}

#[test]
fn of_many_responses_the_last_is_waited_for() {
    let (outcome, _) = load(spec(), 1, vec![fit("s", 1, 1)], |handle, _| {
        let requests = handle.next().leave();
        let responder = requests[0].responder();
        responder.send(Response::default());
        responder.send(Response { last: true, ..Response::default() });
    });
    assert!(outcome.is_ok());
    // An error is not the end of it either, but it counts.
    let mut waits = true;
    let error = failure(fit("s", 1, 1), |execution| {
        let requests = execution.leave();
        let responder = requests[0].responder();
        responder.send(Response { last: false, ..Response::error(BackendError::invalid("first")) });
        waits = responder.send(Response::part(Default::default())).is_taken();
        responder.send(Response::error(BackendError::invalid("second")));
    });
    assert!(waits && error.message.contains("first"), "{error}");
    let error = failure(fit("s", 1, 1), |execution| {
        let requests = execution.leave();
        requests[0].responder().send(Response::default());
    });
    assert!(error.message.contains("the model's engine gave up the request unanswered"), "{error}");
}

#[test]
fn a_failure_names_the_sample_and_the_instance() {
    let reason = |why: &str| {
        format!(
            "model 'm', warm-up sample 's' on instance 'group_0': {why}; correct the sample in model_warmup, or the model"
        )
    };
    let error = failure(fit("s", 1, 3), |execution| execution.fail(&BackendError::invalid("bad index")));
    assert_eq!(error, LoadError::invalid(reason("bad index")));
    let error = failure(fit("s", 1, 3), Execution::panic);
    let panicked = "the engine panicked: the mock engine was told to panic";
    assert_eq!(error, LoadError::internal(reason(panicked)));
    let error = failure(fit("s", 1, 3), drop);
    assert_eq!(error, LoadError::internal(reason("the model's engine gave up the request unanswered")));
}

#[test]
fn a_load_that_is_cancelled_waits_for_no_answer_and_begins_no_other_sample() {
    let cancelled = LoadError::new(
        Code::Cancelled,
        "model 'm', warm-up sample 's' on instance 'group_0': the load was cancelled",
    );
    // The engine never answers.
    let mut kept = Vec::new();
    let (outcome, handle) = load(spec(), 2, vec![fit("s", 1, 9)], |handle, cancel| {
        kept = handle.next().leave();
        cancel.cancel();
    });
    assert_eq!((outcome.err(), handle.executions()), (Some(cancelled.clone()), 1));
    assert!(kept[0].cancel().is_cancelled(), "the engine can see it");
    assert!(kept[0].responder().send(Response::default()).is_gone());
    // It answers what it was doing, well or with whatever error it likes.
    for error in [None, Some(BackendError::internal("terminated"))] {
        let (outcome, handle) = load(spec(), 2, vec![fit("s", 1, 9)], |handle, cancel| {
            let execution = handle.next();
            cancel.cancel();
            match &error {
                None => execution.succeed(),
                Some(error) => execution.fail(error),
            }
        });
        assert_eq!((outcome.err(), handle.executions()), (Some(cancelled.clone()), 1), "{error:?}");
    }
}

#[test]
fn a_sample_is_refused_as_the_request_of_a_client_would_be() {
    let x = |dtype, dims| vec![of("X", dtype, dims, WarmUpData::Zero)];
    let of_rows = |rows, inputs| sample("s", rows, 1, inputs);
    let table = [
        (of_rows(9, x(DType::U8, &[1])), "inference request batch-size must be <= 8 for 'm'"),
        (
            of_rows(1, x(DType::I8, &[1])),
            "inference input 'X' data-type is 'INT8', but model 'm' expects 'UINT8'",
        ),
        (
            of_rows(1, x(DType::U8, &[2])),
            "unexpected shape for input 'X' for model 'm'. Expected [-1,1], got [1,2].",
        ),
        (of_rows(1, Vec::new()), "expected 1 inputs but got 0 inputs for model 'm'."),
        (
            of_rows(1, vec![of("Y", DType::U8, &[1], WarmUpData::Zero)]),
            "unexpected inference input 'Y' for model 'm'",
        ),
    ];
    for (warm_up, expected) in table {
        let message = refusal(spec(), warm_up);
        assert!(message.starts_with("model 'm', warm-up sample 's': "), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_sample_that_takes_too_much_is_refused_before_it_is_made() {
    let wide = |dims: &[i64]| model("m", 8, vec![input("X", DType::F32, &vec![-1; dims.len()], 0)]);
    let huge = |rows, dims: &[i64]| sample("s", rows, 1, vec![of("X", DType::F32, dims, WarmUpData::Random)]);
    for (rows, dims) in [(1, vec![1 << 30]), (8, vec![1 << 27]), (u32::MAX, vec![1 << 61])] {
        let message = refusal(wide(&dims), huge(rows, &dims));
        let expected = "rows, but the samples of a model may take 2147483648 bytes together; use smaller dims, a \
                        smaller batch_size or fewer samples";
        assert!(message.ends_with(expected), "{message}");
        assert!(message.starts_with("model 'm', warm-up sample 's': input 'X' takes "), "{message}");
    }
    for dims in [vec![i64::MAX, 3], vec![1 << 62], vec![-1]] {
        let message = refusal(wide(&dims), huge(1, &dims));
        assert!(
            message.contains("which is more elements than can be counted; use smaller dims"),
            "{message}"
        );
    }
}

#[test]
fn zeros_and_random_elements_have_the_size_of_their_shape() {
    let ints = || model("m", 4, vec![input("X", DType::I16, &[-1], 0)]);
    let (shape, bytes) = given(ints(), 3, of("X", DType::I16, &[5], WarmUpData::Zero));
    assert_eq!((shape, bytes), (Shape::new(&[3, 5]), vec![0; 30]));
    let (_, bytes) = given(ints(), 3, of("X", DType::I16, &[40], WarmUpData::Random));
    assert_eq!(bytes.len(), 240);
    assert!(bytes.chunks(2).all(|element| element[0] < 2 && element[1] == 0));
    let strings = || model("m", 0, vec![input("X", DType::Bytes, &[2], 0)]);
    for data in [WarmUpData::Zero, WarmUpData::Random] {
        let (shape, bytes) = given(strings(), 1, of("X", DType::Bytes, &[2], data));
        assert_eq!((shape, bytes), (Shape::new(&[2]), vec![0; 8]));
    }
    // A scalar, and a BOOL, of which not every byte is one.
    let bools = model("m", 0, vec![input("X", DType::Bool, &[], 0)]);
    assert_eq!(given(bools, 7, of("X", DType::Bool, &[], WarmUpData::Random)).1.len(), 1);
}

#[test]
fn a_file_holds_one_row_and_every_row_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let write = |bytes: &[u8]| fs::write(&path, bytes).unwrap();
    let file = |dtype, dims: &[i64]| of("X", dtype, dims, WarmUpData::File(path.clone()));
    let ints = || model("m", 4, vec![input("X", DType::U16, &[2], 0)]);
    write(&[1, 2, 3, 4]);
    let (shape, bytes) = given(ints(), 2, file(DType::U16, &[2]));
    assert_eq!((shape, bytes), (Shape::new(&[2, 2]), vec![1, 2, 3, 4, 1, 2, 3, 4]));

    let refused = |spec, input| refusal(spec, sample("s", 2, 1, vec![input]));
    let beginning =
        format!("model 'm', warm-up sample 's': input 'X' has the file {}, which ", path.display());
    for size in [3usize, 5] {
        write(&vec![0; size]);
        let expected = format!(
            "{beginning}has {size} bytes, but one row of shape [2] and type UINT16 has 4; write the raw elements of \
             one row"
        );
        assert_eq!(refused(ints(), file(DType::U16, &[2])), expected);
    }

    let strings = || model("m", 4, vec![input("X", DType::Bytes, &[2], 0)]);
    let two = [1, 0, 0, 0, b'a', 0, 0, 0, 0];
    write(&two);
    assert_eq!(given(strings(), 2, file(DType::Bytes, &[2])).1, two.repeat(2));
    write(&two[..5]);
    let message = refused(strings(), file(DType::Bytes, &[2]));
    assert!(message.contains("expected 4 string elements for inference input 'X'"), "{message}");
    fs::File::create(&path).unwrap().set_len((64 << 20) + 1).unwrap();
    let expected = format!(
        "{beginning}has 67108865 bytes, but a row of strings may have 67108864; use fewer or shorter ones"
    );
    assert_eq!(refused(strings(), file(DType::Bytes, &[2])), expected);
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let ints = || model("m", 4, vec![input("X", DType::U16, &[2], 0)]);
    let refused = |path: PathBuf| {
        refusal(ints(), sample("s", 1, 1, vec![of("X", DType::U16, &[2], WarmUpData::File(path))]))
    };
    let message = refused(folder.path().to_owned());
    assert!(message.ends_with("which is not a plain file; put one in its place"), "{message}");
    let message = refused(folder.path().join("absent"));
    assert!(message.contains("which cannot be read: No such file or directory"), "{message}");
    assert!(message.ends_with("; put it into the model's folder 'warmup'"), "{message}");
}
