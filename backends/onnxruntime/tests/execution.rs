//! Batches, and runs that are given up.

mod support;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nerite_backend::{Batch, Cancel, Code, DType, Slots};
use support::onnx::{self, Graph, element, floats, graph_attribute, initializer, longs, node};
use support::{Caller, Counts, Version, assert_tensor, infer, instance, load, tensor};

/// Looks rows of two numbers up in a table of three.
fn lookup() -> Vec<u8> {
    Graph {
        nodes: vec![node("Gather", &["table", "row"], &["y"], &[])],
        initializers: vec![initializer(
            "table",
            element::FLOAT,
            &[3, 2],
            &floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        )],
        inputs: vec![onnx::tensor("row", element::INT64, &[-1])],
        outputs: vec![onnx::tensor("y", element::FLOAT, &[-1, 2])],
    }
    .model()
}

/// Adds 1 as often as it is told.
fn counter() -> Vec<u8> {
    let scalar = |name, element| onnx::tensor(name, element, &[]);
    let body = Graph {
        nodes: vec![node("Identity", &["go"], &["go_on"], &[]), node("Add", &["sum", "one"], &["next"], &[])],
        initializers: vec![initializer("one", element::INT64, &[], &longs(&[1]))],
        inputs: vec![scalar("i", element::INT64), scalar("go", element::BOOL), scalar("sum", element::INT64)],
        outputs: vec![scalar("go_on", element::BOOL), scalar("next", element::INT64)],
    };
    Graph {
        nodes: vec![node("Loop", &["times", "", "zero"], &["total"], &[graph_attribute("body", &body)])],
        initializers: vec![initializer("zero", element::INT64, &[], &longs(&[0]))],
        inputs: vec![scalar("times", element::INT64)],
        outputs: vec![scalar("total", element::INT64)],
    }
    .model()
}

#[test]
fn requests_of_a_batch_get_their_own_rows_from_one_run() {
    let model = load(&lookup());
    let counts = Arc::new(Counts::default());
    let mut instance = instance(&model, true, &counts);
    let callers: Vec<Arc<Caller>> = (0..3).map(|_| Arc::default()).collect();
    let rows: [&[i64]; 3] = [&[2], &[0, 1], &[1]];
    let requests = callers.iter().zip(rows).map(|(caller, rows)| {
        let count = rows.len();
        caller.request(vec![tensor(DType::I64, &[count as i64], longs(rows))], Slots::all(1), count as u32)
    });
    instance.execute(Batch::new(requests.collect()));
    let expected: [&[f32]; 3] = [&[4.0, 5.0], &[0.0, 1.0, 2.0, 3.0], &[2.0, 3.0]];
    for ((caller, rows), expected) in callers.iter().zip(rows).zip(expected) {
        assert_tensor(caller.answer(), 0, DType::F32, &[rows.len() as i64, 2], &floats(expected));
    }
    assert_eq!(*counts.executed.lock(), [4]);
}

#[test]
fn one_bad_index_in_a_batch_fails_alone() {
    let model = load(&lookup());
    let counts = Arc::new(Counts::default());
    let mut instance = instance(&model, true, &counts);
    let callers: Vec<Arc<Caller>> = (0..3).map(|_| Arc::default()).collect();
    let requests = callers
        .iter()
        .zip([1, 7, 2])
        .map(|(caller, row)| caller.request(vec![tensor(DType::I64, &[1], longs(&[row]))], Slots::all(1), 1));
    instance.execute(Batch::new(requests.collect()));
    assert_tensor(callers[0].answer(), 0, DType::F32, &[1, 2], &floats(&[2.0, 3.0]));
    assert_tensor(callers[2].answer(), 0, DType::F32, &[1, 2], &floats(&[4.0, 5.0]));
    let error = callers[1].answer().unwrap_err();
    assert_eq!(error.code, Code::Internal);
    assert!(error.message.contains("onnx runtime error") && error.message.contains("idx=7"), "{error}");
    assert_eq!(*counts.rerun.lock(), 3);
}

#[test]
fn a_cancelled_run_ends_and_its_instance_works_on() {
    let model = load(&counter());
    let mut instance = instance(&model, false, &Arc::default());
    // Twice: the terminate flag must not outlast its run.
    for _ in 0..2 {
        let endless = Arc::new(Caller::default());
        let request = endless.request(vec![tensor(DType::I64, &[], longs(&[i64::MAX]))], Slots::all(1), 1);
        let cancel = endless.cancel.clone();
        let canceller = thread::spawn(move || {
            // Long enough for the run to be under way; if it is not, it ends all the same.
            thread::sleep(Duration::from_millis(20));
            cancel.cancel();
        });
        instance.execute(Batch::from(request));
        canceller.join().unwrap();
        assert_eq!(endless.answer().unwrap_err().code, Code::Cancelled);

        let short = Arc::new(Caller::default());
        let request = short.request(vec![tensor(DType::I64, &[], longs(&[1000]))], Slots::all(1), 1);
        instance.execute(Batch::from(request));
        assert_tensor(short.answer(), 0, DType::I64, &[], &longs(&[1000]));
        // Too late to matter to anyone.
        short.cancel.cancel();
    }
    assert_tensor(
        infer(&model, vec![tensor(DType::I64, &[], longs(&[3]))]),
        0,
        DType::I64,
        &[],
        &longs(&[3]),
    );
}

#[test]
fn a_request_cancelled_before_its_run_does_not_run() {
    let model = load(&counter());
    let caller = Arc::new(Caller::default());
    caller.cancel.cancel();
    let request = caller.request(vec![tensor(DType::I64, &[], longs(&[i64::MAX]))], Slots::all(1), 1);
    instance(&model, false, &Arc::default()).execute(Batch::from(request));
    assert_eq!(caller.answer().unwrap_err().code, Code::Cancelled);
}

#[test]
fn a_load_that_was_cancelled_fails() {
    let cancel = Cancel::default();
    cancel.cancel();
    let error = Version::new(&counter()).load_with(&cancel).err().expect("an error");
    assert_eq!(error.code, Code::Cancelled);
}
