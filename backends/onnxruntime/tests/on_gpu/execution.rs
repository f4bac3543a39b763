//! Requests.

use std::sync::Arc;
use std::thread;

use nerite_backend::{Batch, Code, Condition, DType, InstanceKind, Slots};

use crate::gpu::{Words, World, on};
use crate::support::onnx::{self, Graph, element, floats, identity, initializer, longs, node};
use crate::support::{Caller, Version, assert_tensor, tensor};
use crate::{GPU, ask, assert_three_outputs, inputs, three_outputs};

#[test]
fn numbers_stay_on_the_device_until_they_are_copied_once_and_texts_never_go_there() {
    let world = World::new();
    let version = Version::new(&three_outputs());
    let model = world.load(&version).unwrap();
    assert_eq!(
        world.ort.calls(),
        ["GetAvailableProviders()", "UpdateCUDA()", "AppendCUDA(device_id=0)", "CreateSession(gpu 0)"]
    );
    let mut instance = on(&model, GPU, true).unwrap();
    assert_eq!(world.ort.calls(), ["CreateIoBinding()"]);
    assert!(world.driver.calls().ends_with(&["cuStreamCreate(1)".to_owned(), "cuEventCreate(3)".to_owned()]));

    let (answer, condition) = ask(&mut *instance, inputs(), Slots::all(3));
    assert_eq!(condition, Condition::Sound);
    assert_eq!(
        world.ort.calls(),
        [
            "BindInput(a)",
            "BindInput(b)",
            "BindInput(texts)",
            "BindOutputToDevice(sum gpu 0)",
            "BindOutputToDevice(difference gpu 0)",
            "BindOutputToDevice(same cpu)",
            "RunWithBinding()",
            "GetBoundOutputValues()",
            "ClearBoundOutputs()",
        ]
    );
    let ours = |call: &String| !call.starts_with("cuCtxSetCurrent") && !call.starts_with("cuMemAlloc(");
    let calls: Vec<String> = world.driver.calls().into_iter().filter(ours).collect();
    assert_eq!(
        calls,
        [
            "cuMemHostAlloc(4096)",
            "cuMemcpyDtoHAsync(8)",
            "cuMemHostAlloc(4096)",
            "cuMemcpyDtoHAsync(8)",
            // One wait for both.
            "cuEventRecord()",
            "cuEventSynchronize()",
        ]
    );
    assert_three_outputs(answer);

    // Pinned memory is used again once the callers have let go of it, and what nobody wants is not bound.
    let (answer, _) = ask(&mut *instance, inputs(), [1].into_iter().collect());
    assert_eq!(world.driver.count("cuMemHostAlloc"), 0);
    assert_eq!(answer.unwrap().into_keys().collect::<Vec<_>>(), [1]);
    let bound = |call: &&String| call.starts_with("BindOutput");
    assert_eq!(
        world.ort.calls().iter().filter(bound).collect::<Vec<_>>(),
        ["BindOutputToDevice(difference gpu 0)"]
    );
    drop((instance, model));
    world.assert_clean();
}

#[test]
fn pinned_memory_of_many_outputs_is_used_again() {
    let world = World::new();
    let names: Vec<String> = (0..40).map(|number| format!("y{number}")).collect();
    let version = Version::new(
        &Graph {
            nodes: names.iter().map(|name| node("Neg", &["x"], &[name.as_str()], &[])).collect(),
            inputs: vec![onnx::tensor("x", element::FLOAT, &[-1])],
            outputs: names.iter().map(|name| onnx::tensor(name, element::FLOAT, &[-1])).collect(),
            ..Graph::default()
        }
        .model(),
    );
    let model = world.load(&version).unwrap();
    let mut instance = on(&model, GPU, false).unwrap();
    let mut pinned = || {
        let input = vec![tensor(DType::F32, &[1], floats(&[1.0]))];
        let (answer, _) = ask(&mut *instance, input, Slots::all(names.len()));
        assert_eq!(answer.unwrap().len(), names.len());
        world.driver.count("cuMemHostAlloc")
    };
    assert_eq!([pinned(), pinned()], [names.len(), 0]);
    drop((instance, model));
    world.assert_clean();
}

#[test]
fn a_small_answer_does_not_hold_the_pinned_memory_of_a_large_one() {
    let world = World::new();
    let version = Version::new(&identity(element::FLOAT, &[-1]));
    let model = world.load(&version).unwrap();
    let mut instance = on(&model, GPU, false).unwrap();
    let mut pinned = |count: usize| {
        let input = vec![tensor(DType::F32, &[count as i64], floats(&vec![1.0; count]))];
        let (answer, _) = ask(&mut *instance, input, Slots::all(1));
        (answer, world.driver.count("cuMemHostAlloc"))
    };
    assert_eq!(pinned(100_000).1, 1);
    let (small, new) = pinned(1);
    assert_eq!(new, 1, "it is not the large one's");
    for count in [100_000, 50_000] {
        assert_eq!(pinned(count).1, 0, "what is nearly as large is used again");
    }
    drop((small, instance, model));
    world.assert_clean();
}

#[test]
fn an_answer_outlives_its_instance_and_its_model() {
    let world = World::new();
    let version = Version::new(&identity(element::INT64, &[-1]));
    let model = world.load(&version).unwrap();
    let mut instance = on(&model, GPU, false).unwrap();
    let (answer, _) = ask(&mut *instance, vec![tensor(DType::I64, &[3], longs(&[4, 5, 6]))], Slots::all(1));
    drop((instance, model));
    assert_eq!(world.ort.live(), 0, "the session is gone");
    assert_tensor(answer, 0, DType::I64, &[3], &longs(&[4, 5, 6]));
    world.assert_clean();
}

#[test]
fn outputs_of_every_size_come_back() {
    let world = World::new();
    let version = Version::new(&identity(element::FLOAT, &[-1, -1]));
    let model = world.load(&version).unwrap();
    let mut instance = on(&model, GPU, true).unwrap();
    for shape in [[0, 3], [3, 0], [1, 1], [1, 5000]] {
        let count = shape.iter().product::<i64>();
        let bytes = floats(&(0..count).map(|i| i as f32).collect::<Vec<_>>());
        let caller = Arc::new(Caller::default());
        let input = vec![tensor(DType::F32, &shape, bytes.clone())];
        instance.execute(Batch::from(caller.request(input, Slots::all(1), shape[0] as u32)));
        assert_tensor(caller.answer(), 0, DType::F32, &shape, &bytes);
    }
    let scalar = world.load(&Version::new(&identity(element::DOUBLE, &[]))).unwrap();
    let mut instance_of_scalar = on(&scalar, GPU, false).unwrap();
    let bytes = 2.5f64.to_le_bytes();
    let (answer, _) = ask(&mut *instance_of_scalar, vec![tensor(DType::F64, &[], bytes)], Slots::all(1));
    assert_tensor(answer, 0, DType::F64, &[], &bytes);
    drop((instance, instance_of_scalar, model, scalar));
    world.assert_clean();
}

#[test]
fn requests_of_a_batch_share_one_run_and_one_copy() {
    let world = World::new();
    let version = Version::new(&identity(element::INT64, &[-1]));
    let model = world.load(&version).unwrap();
    let mut instance = on(&model, GPU, true).unwrap();
    world.driver.calls();
    world.ort.calls();
    let callers: Vec<Arc<Caller>> = (0..3).map(|_| Arc::default()).collect();
    let requests = callers.iter().zip(0..).map(|(caller, number)| {
        caller.request(vec![tensor(DType::I64, &[2], longs(&[number, number + 10]))], Slots::all(1), 2)
    });
    instance.execute(Batch::new(requests.collect()));
    assert_eq!((world.ort.count("RunWithBinding"), world.driver.count("cuMemcpyDtoHAsync")), (1, 1));
    for (caller, number) in callers.iter().zip(0..) {
        assert_tensor(caller.answer(), 0, DType::I64, &[2], &longs(&[number, number + 10]));
    }
    drop((callers, instance, model));
    world.assert_clean();
}

#[test]
fn instances_on_a_device_share_its_session_and_each_place_has_its_own() {
    let world = World::new();
    let version = Version::new(&identity(element::INT64, &[-1]));
    let model = world.load(&version).unwrap();
    let kinds = [GPU, GPU, InstanceKind::Gpu(1), InstanceKind::Cpu, InstanceKind::Gpu(1), InstanceKind::Cpu];
    let mut instances: Vec<_> = kinds.map(|kind| on(&model, kind, false).unwrap()).into_iter().collect();
    let made: Vec<String> =
        world.ort.calls().into_iter().filter(|call| call.starts_with("CreateSession")).collect();
    assert_eq!(made, ["CreateSession(gpu 0)", "CreateSession(gpu 1)", "CreateSession(cpu)"]);
    thread::scope(|scope| {
        for (instance, number) in instances.iter_mut().zip(0..) {
            scope.spawn(move || {
                for round in 0..50 {
                    let bytes = longs(&[number, round]);
                    let input = vec![tensor(DType::I64, &[2], bytes.clone())];
                    let (answer, _) = ask(&mut **instance, input, Slots::all(1));
                    assert_tensor(answer, 0, DType::I64, &[2], &bytes);
                }
            });
        }
    });
    drop((instances, model));
    assert_eq!(world.ort.calls().iter().filter(|call| call.starts_with("ReleaseSession")).count(), 2);
    world.assert_clean();
}

#[test]
fn a_run_that_fails_otherwise_tells_in_the_librarys_words_and_its_siblings_are_run_again() {
    let world = World::new();
    let lookup = Graph {
        nodes: vec![node("Gather", &["table", "row"], &["y"], &[])],
        initializers: vec![initializer("table", element::FLOAT, &[2, 1], &floats(&[1.0, 2.0]))],
        inputs: vec![onnx::tensor("row", element::INT64, &[-1])],
        outputs: vec![onnx::tensor("y", element::FLOAT, &[-1, 1])],
    };
    let version = Version::new(&lookup.model());
    let model = world.load(&version).unwrap();
    let mut instance = on(&model, GPU, true).unwrap();
    let callers: Vec<Arc<Caller>> = (0..2).map(|_| Arc::default()).collect();
    let requests = callers
        .iter()
        .zip([1, 7])
        .map(|(caller, row)| caller.request(vec![tensor(DType::I64, &[1], longs(&[row]))], Slots::all(1), 1));
    assert_eq!(instance.execute(Batch::new(requests.collect())), Condition::Sound);
    assert_tensor(callers[0].answer(), 0, DType::F32, &[1, 1], &floats(&[2.0]));
    let error = callers[1].answer().unwrap_err();
    assert!(error.code == Code::Internal && error.message.contains("idx=7"), "{error}");
    world.ort.fail("RunWithBinding", 0, Words::Wrong as i32, false);
    let (answer, _) = ask(&mut *instance, vec![tensor(DType::I64, &[1], longs(&[1]))], Slots::all(1));
    assert!(answer.unwrap_err().message.contains("something went wrong"));
    drop((callers, instance, model));
    world.assert_clean();
}
