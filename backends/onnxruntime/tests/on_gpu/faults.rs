//! Devices that fail.

use nerite_backend::{Code, Condition, DType, InstanceKind, Slots};

use crate::gpu::{Words, World, on};
use crate::support::onnx::{element, identity, longs};
use crate::support::{Version, tensor};
use crate::{GPU, ask, assert_three_outputs, inputs, three_outputs};

#[test]
fn want_of_memory_fails_the_request_or_the_load_and_nothing_else() {
    let world = World::new();
    let version = Version::new(&identity(element::INT64, &[-1]));
    for words in [Words::NoMemory, Words::CudaNoMemory] {
        world.ort.fail("CreateSession", 0, words as i32, false);
        let error = world.refused(&version);
        assert_eq!(error.code, Code::Unavailable, "{error}");
        assert!(error.message.starts_with("GPU 0 (Counterfeit GPU) has no memory for it"), "{error}");
    }
    let model = world.load(&version).unwrap();
    let mut instance = on(&model, GPU, true).unwrap();
    let input = || vec![tensor(DType::I64, &[1], longs(&[1]))];
    let mut held = Vec::new();
    for (library, call, code) in [
        (world.ort, "RunWithBinding", Words::NoMemory as i32),
        (world.ort, "RunWithBinding", Words::CudaNoMemory as i32),
        (world.ort, "BindInput", Words::CudaNoMemory as i32),
        (world.ort, "GetBoundOutputValues", Words::NoMemory as i32),
        (&world.driver, "cuMemHostAlloc", 2),
    ] {
        library.fail(call, 0, code, false);
        let (answer, condition) = ask(&mut *instance, input(), Slots::all(1));
        let error = answer.unwrap_err();
        assert_eq!(error.code, Code::Unavailable, "{call}: {error}");
        assert!(error.message.contains("GPU 0 (Counterfeit GPU)"), "{error}");
        assert_eq!(condition, Condition::Sound, "{call}");
        // Held, so that the next answer needs pinned memory of its own.
        held.push(ask(&mut *instance, input(), Slots::all(1)).0);
    }
    drop((held, instance, model));
    world.assert_clean();
}

#[test]
fn an_error_that_stays_breaks_every_instance_on_the_device_and_no_other() {
    let world = World::new();
    let version = Version::new(&identity(element::INT64, &[-1]));
    let model = world.load(&version).unwrap();
    let mut instances: Vec<_> =
        [GPU, GPU, InstanceKind::Gpu(1)].map(|kind| on(&model, kind, true).unwrap()).into_iter().collect();
    let input = || vec![tensor(DType::I64, &[1], longs(&[1]))];
    world.ort.fail("RunWithBinding", 0, Words::IllegalAddress as i32, false);
    world.driver.fail("cuStreamSynchronize", 0, 700, true);
    let mut runs = 0;
    for instance in &mut instances[..2] {
        let (answer, condition) = ask(&mut **instance, input(), Slots::all(1));
        let error = answer.unwrap_err();
        assert_eq!(error.code, Code::Unavailable);
        assert!(
            error.message.contains("can no longer be used by this process since cuStreamSynchronize"),
            "{error}"
        );
        assert_eq!(condition, Condition::Broken(error.clone()));
        assert_eq!(instance.ready(), Some(Err(error)));
        runs += world.ort.count("RunWithBinding");
    }
    assert_eq!(runs, 1, "nothing is tried on it any more");
    assert!(on(&model, GPU, true).err().unwrap().message.contains("can no longer be used"));
    assert_eq!(instances[2].ready(), Some(Ok(())));
    drop((instances, model));
    world.assert_clean();
}

#[test]
fn a_copy_that_fails_leaves_none_that_goes_on() {
    let world = World::new();
    let version = Version::new(&three_outputs());
    let model = world.load(&version).unwrap();
    let mut instance = on(&model, GPU, true).unwrap();
    for (call, after) in [("cuMemHostAlloc", 1), ("cuMemcpyDtoHAsync", 1), ("cuEventRecord", 0)] {
        world.driver.fail(call, after, 1, false);
        let (answer, condition) = ask(&mut *instance, inputs(), Slots::all(3));
        assert_eq!(answer.unwrap_err().code, Code::Internal, "{call}");
        assert_eq!(condition, Condition::Sound, "{call}");
    }
    assert_three_outputs(ask(&mut *instance, inputs(), Slots::all(3)).0);

    // Not even where the device can do nothing more.
    world.driver.fail("cuMemcpyDtoHAsync", 1, 700, true);
    let (answer, condition) = ask(&mut *instance, inputs(), Slots::all(3));
    let error = answer.unwrap_err();
    assert!(error.message.contains("since cuMemcpyDtoHAsync"), "{error}");
    assert_eq!(condition, Condition::Broken(error));
    drop((instance, model));
    world.assert_clean();
}
