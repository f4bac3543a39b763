//! What goes wrong with a device or with TensorRT.
#![allow(clippy::unwrap_used)]

mod support;

use nerite_backend::{Code, Condition, DType, Instance, InstanceKind, Tensor};
use support::{Answer, Product, World, assert_output, condition, infer, instance, spec, tensor};

const PLAN: &str = "in x 5 device data -1,4\n\
                    in s 3 host shape 2\n\
                    out y 5 device data -1,4 add1 x\n\
                    out z 5 device data -1,-1 fill s\n\
                    profile\n\
                    range x 1,4 4,4 8,4\n\
                    values s 1,1 2,2 8,8\n";

const OUT_OF_MEMORY: i32 = 2;
const DEVICE_UNAVAILABLE: i32 = 46;
const ILLEGAL_ADDRESS: i32 = 700;

fn inputs() -> Vec<Tensor> {
    let values = [2, 3].map(i32::to_le_bytes).concat();
    vec![tensor(DType::U8, &[1, 4], [1; 4]), tensor(DType::I32, &[2], values)]
}

fn run(instance: &mut dyn Instance) -> Answer {
    infer(instance, inputs(), 2)
}

#[track_caller]
fn assert_runs(instance: &mut dyn Instance) {
    let answer = run(instance);
    assert_output(&answer, 0, DType::U8, &[1, 4], &[2; 4]);
    assert_output(&answer, 1, DType::U8, &[2, 3], &[7; 6]);
}

#[test]
fn want_of_memory_fails_one_request_and_the_next_finds_all_in_order() {
    for product in Product::ALL {
        for (call, times) in [("cuMemAlloc", 3), ("cuMemHostAlloc", 4)] {
            for after in 0..times {
                let world = World::new(product, PLAN);
                let model = world.load().unwrap();
                let mut instance = instance(&model, false);
                world.driver.fail(call, after, OUT_OF_MEMORY, false);
                assert_eq!(instance.ready(), Some(Ok(())));
                let error = run(&mut *instance).unwrap_err();
                assert_eq!(error.code, Code::Unavailable);
                assert_eq!(condition(&mut *instance, inputs(), 2), Condition::Sound);
                for part in
                    ["GPU 0 (Counterfeit GPU): 4096 bytes", "CUDA_ERROR_OUT_OF_MEMORY (2)", "serve fewer"]
                {
                    assert!(error.message.contains(part), "{call} {after}: {error}");
                }
                assert_runs(&mut *instance);
                drop((instance, model));
                world.assert_clean();
            }
        }
    }
}

#[test]
fn a_model_larger_than_the_device_says_so() {
    let world = World::new(Product::Ten, PLAN);
    let model = world.load().unwrap();
    world.driver.limits(1, 8192);
    let mut instance = instance(&model, false);
    let error = run(&mut *instance).unwrap_err();
    assert!(error.message.contains("CUDA_ERROR_OUT_OF_MEMORY"), "{error}");
    world.driver.limits(1, 1 << 20);
    assert_runs(&mut *instance);
    drop((instance, model));
    world.assert_clean();
}

#[test]
fn what_fails_while_an_instance_is_made_leaves_nothing() {
    for product in Product::ALL {
        for (in_driver, call, part) in [
            (true, "cuStreamCreate", "a stream cannot be made"),
            (true, "cuEventCreate", "a stream cannot be made"),
            (true, "cuCtxSetCurrent", "its context cannot be entered"),
            (false, "createExecutionContext", "injected failure of createExecutionContext"),
        ] {
            let world = World::new(product, PLAN);
            let model = world.load().unwrap();
            let library = if in_driver { &world.driver } else { &world.tensorrt };
            library.fail(call, 0, OUT_OF_MEMORY, false);
            let error = model.instance(&spec("test_0", InstanceKind::Gpu(0), false)).err().unwrap();
            assert_eq!(error.code, Code::Unavailable);
            assert!(error.message.contains(part) && error.message.contains("GPU 0"), "{call}: {error}");
            assert_runs(&mut *instance(&model, false));
            drop(model);
            world.assert_clean();
        }
    }
}

#[test]
fn what_fails_while_a_model_is_loaded_leaves_nothing() {
    for product in Product::ALL {
        for (in_driver, call, part) in [
            (true, "cuDeviceGet", "GPU 0 cannot be used: cuDeviceGet failed"),
            (true, "cuDeviceGetName", "GPU 0 cannot be used"),
            (true, "cuDevicePrimaryCtxRetain", "GPU 0 cannot be used: cuDevicePrimaryCtxRetain failed"),
            (true, "cuCtxSetCurrent", "its context cannot be entered"),
            (false, "createInferRuntime", "cannot be started on GPU 0 (Counterfeit GPU) (injected failure"),
            (false, "deserializeCudaEngine", "injected failure of deserializeCudaEngine"),
        ] {
            let world = World::new(product, PLAN);
            let library = if in_driver { &world.driver } else { &world.tensorrt };
            library.fail(call, 0, OUT_OF_MEMORY, false);
            let error = world.refused();
            assert!(error.message.contains(part), "{call}: {error}");
            assert_runs(&mut *instance(&world.load().unwrap(), false));
            world.assert_clean();
        }
    }
}

#[test]
fn what_tensorrt_refuses_is_told_in_its_words_and_the_next_request_is_served() {
    for product in Product::ALL {
        for call in ["setInputShape", "setTensorAddress", "inferShapes", "enqueueV3"] {
            let world = World::new(product, PLAN);
            let model = world.load().unwrap();
            let mut instance = instance(&model, false);
            world.tensorrt.fail(call, 0, 0, false);
            let error = run(&mut *instance).unwrap_err();
            assert_eq!(error.code, Code::Internal);
            assert!(error.message.contains(&format!("injected failure of {call}")), "{error}");
            assert_runs(&mut *instance);
            drop((instance, model));
            world.assert_clean();
        }
    }
}

/// The calls of a run that a device's error can come from.
const CALLS: [&str; 6] = [
    "cuMemAlloc",
    "cuMemHostAlloc",
    "cuMemcpyHtoDAsync",
    "cuMemcpyDtoHAsync",
    "cuEventRecord",
    "cuEventSynchronize",
];

#[test]
fn an_error_that_stays_ends_every_instance_on_the_device_until_all_models_have_left_it() {
    for product in Product::ALL {
        for (code, name) in [
            (ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"),
            (DEVICE_UNAVAILABLE, "CUDA_ERROR_DEVICE_UNAVAILABLE"),
        ] {
            for call in CALLS {
                let world = World::new(product, PLAN);
                let backend = world.backend();
                let (model, other) = (world.load_with(&backend).unwrap(), world.load_with(&backend).unwrap());
                let (mut broken, mut beside) = (instance(&model, false), instance(&other, false));
                world.driver.fail(call, 0, code, true);
                let first = run(&mut *broken).unwrap_err();
                assert!(first.message.contains(&format!("{name} ({code})")), "{call}: {first}");
                drop((world.driver.calls(), world.tensorrt.calls()));
                for instance in [&mut broken, &mut beside] {
                    let error = run(&mut **instance).unwrap_err();
                    assert_eq!(error, first);
                    assert_eq!(error.code, Code::Unavailable);
                    assert!(error.message.contains("can no longer be used by this process"), "{error}");
                    assert_eq!(condition(&mut **instance, inputs(), 2), Condition::Broken(error.clone()));
                    assert_eq!(instance.ready(), Some(Err(error)));
                }
                // Nothing is tried on it any more.
                assert_eq!((world.driver.calls(), world.tensorrt.calls()), (vec![], vec![]));
                assert_eq!(
                    model.instance(&spec("test_1", InstanceKind::Gpu(0), false)).err(),
                    Some(first.clone())
                );
                assert_eq!(world.load_with(&backend).err(), Some(first));
                drop((broken, beside, model, other));
                world.assert_clean();
                let model = world.load_with(&backend).unwrap();
                assert_runs(&mut *instance(&model, false));
                drop(model);
                world.assert_clean();
            }
        }
    }
}

#[test]
fn an_error_on_one_device_leaves_the_others_alone() {
    let world = World::new(Product::Eleven, PLAN);
    world.driver.limits(2, 1 << 30);
    let model = world.load().unwrap();
    let made = |gpu| model.instance(&spec("test_0", InstanceKind::Gpu(gpu), false)).unwrap();
    let (mut first, mut second) = (made(0), made(1));
    world.driver.fail("cuEventSynchronize", 0, ILLEGAL_ADDRESS, false);
    assert!(run(&mut *first).unwrap_err().message.contains("GPU 0 (Counterfeit GPU) can no longer be used"));
    assert!(run(&mut *first).is_err());
    assert_runs(&mut *second);
    drop((first, second, model));
    world.assert_clean();
}
