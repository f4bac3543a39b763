//! Requests on counterfeits of the driver and of TensorRT, in each way in which its objects are laid out.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use nerite_backend::{Batch, DType, InstanceKind, Slots};
use support::{Caller, Product, World, assert_output, infer, instance, spec, tensor};

const ADD_ONE: &str = "in x 5 device data -1,4\n\
                       out y 5 device data -1,4 add1 x\n\
                       profile\n\
                       range x 1,4 4,4 8,4\n";

#[test]
fn a_request_goes_through_and_every_call_is_in_its_place() {
    for product in Product::ALL {
        let world = World::new(product, ADD_ONE);
        let model = world.load().unwrap();
        let size = std::fs::metadata(world.folder.path().join("model.plan")).unwrap().len();
        assert_eq!(
            world.tensorrt.calls(),
            ["createInferRuntime()".to_owned(), format!("deserializeCudaEngine({size})")]
        );
        let started = ["cuInit()", "cuDeviceGetCount()", "cuDeviceGet(0)", "cuDeviceGetName()"];
        assert_eq!(world.driver.calls(), [&started[..], &["cuDevicePrimaryCtxRetain(0)"]].concat());

        let mut instance = instance(&model, true);
        assert_eq!(world.tensorrt.calls(), ["createExecutionContext(0)"]);
        // A stream that does not wait for the default one, and an event to sleep on.
        assert_eq!(world.driver.calls(), ["cuStreamCreate(1)", "cuEventCreate(3)"]);

        let answer = infer(&mut *instance, vec![tensor(DType::U8, &[1, 4], [1, 2, 3, 4])], 1);
        assert_output(&answer, 0, DType::U8, &[1, 4], &[2, 3, 4, 5]);
        assert_eq!(
            world.tensorrt.calls(),
            [
                "setInputShape(x 1,4)",
                "setTensorAddress(x device)",
                "inferShapes()",
                "context.getTensorShape(y)",
                "setTensorAddress(y device)",
                "enqueueV3()",
            ]
        );
        let memory = ["cuMemHostAlloc(4096)", "cuMemAlloc(4096)", "cuMemAlloc(4096)"];
        let run =
            ["cuMemcpyHtoDAsync(4)", "cuLaunchHostFunc()", "cuMemHostAlloc(4096)", "cuMemcpyDtoHAsync(4)"];
        let expected = [&memory[..], &run, &["cuEventRecord()", "cuEventSynchronize()"]].concat();
        assert_eq!(world.driver.calls(), expected);

        drop((instance, model));
        assert_eq!(world.tensorrt.calls(), ["~Context()", "~Engine()", "~Runtime()"]);
        let released =
            ["cuEventDestroy()", "cuStreamDestroy()", "cuMemFreeHost()", "cuMemFree()", "cuMemFree()"];
        assert_eq!(world.driver.calls(), released, "the output is still somebody's");
        drop(answer);
        assert_eq!(world.driver.calls(), ["cuMemFreeHost()", "cuDevicePrimaryCtxRelease(0)"]);
        world.assert_clean();
    }
}

#[test]
fn memory_is_used_again_and_grows_with_the_shapes() {
    let world = World::new(
        Product::Ten,
        "in x 5 device data -1\nout y 5 device data -1 add1 x\nprofile\nrange x 1 8 100000\n",
    );
    let model = world.load().unwrap();
    let mut instance = instance(&model, false);
    let mut run = |len: usize| {
        let input = tensor(DType::U8, &[len as i64], vec![7; len]);
        assert_output(&infer(&mut *instance, vec![input], 1), 0, DType::U8, &[len as i64], &vec![8; len]);
        let calls = world.driver.calls();
        calls
            .into_iter()
            .filter(|call| call.starts_with("cuMem") && !call.starts_with("cuMemcpy"))
            .collect::<Vec<_>>()
    };
    run(1000);
    assert!(run(1000).is_empty());
    assert!(run(10).is_empty());
    let grown = run(10_000);
    assert_eq!(grown.iter().filter(|call| *call == "cuMemAlloc(12288)").count(), 2, "{grown:?}");
    assert_eq!(grown.iter().filter(|call| *call == "cuMemFree()").count(), 2, "{grown:?}");
    assert!(run(12_288).is_empty());
    drop((instance, model));
    world.assert_clean();
}

#[test]
fn requests_of_a_batch_run_together_and_each_gets_its_rows() {
    for product in Product::ALL {
        let world = World::new(product, ADD_ONE);
        let model = world.load().unwrap();
        let mut instance = instance(&model, true);
        let callers: Vec<Arc<Caller>> = (0..3).map(|_| Arc::default()).collect();
        let request = |(row, caller): (u8, &Arc<Caller>)| {
            caller.request(vec![tensor(DType::U8, &[1, 4], [row; 4])], Slots::all(1), 1)
        };
        instance.execute(Batch::new((0..).zip(&callers).map(request).collect()));
        for (row, caller) in (0..).zip(&callers) {
            assert_output(&caller.answer(), 0, DType::U8, &[1, 4], &[row + 1; 4]);
        }
        assert_eq!(world.tensorrt.count("enqueueV3"), 1);
        drop((callers, instance, model));
        world.assert_clean();
    }
}

const PROFILES: &str = "in x 5 device data -1\n\
                        out y 5 device data -1 add1 x\n\
                        profile\nrange x 1 1 2\n\
                        profile\nrange x 1 8 16\n\
                        profile\nrange x 8 32 64\n";

#[test]
fn a_profile_is_chosen_by_shape_and_has_a_context_from_its_first_use_on() {
    for product in Product::ALL {
        let world = World::new(product, PROFILES);
        let model = world.load().unwrap();
        let mut instance = instance(&model, false);
        assert_eq!(world.tensorrt.count("createExecutionContext"), 1);
        let mut run = |len: usize| {
            let input = tensor(DType::U8, &[len as i64], vec![1; len]);
            infer(&mut *instance, vec![input], 1).unwrap();
            let calls = world.tensorrt.calls();
            calls
                .into_iter()
                .filter(|call| call.contains("Profile") || call.contains("create"))
                .collect::<Vec<_>>()
        };
        assert!(run(2).is_empty());
        assert_eq!(run(10), ["createExecutionContext(0)", "setOptimizationProfileAsync(1)"]);
        assert_eq!(run(60), ["createExecutionContext(0)", "setOptimizationProfileAsync(2)"]);
        assert!(run(1).is_empty() && run(16).is_empty() && run(64).is_empty());
        let refused = infer(&mut *instance, vec![tensor(DType::U8, &[65], [1; 65])], 1).unwrap_err();
        assert!(refused.message.contains("profile 2 takes of 'x' shape [8] to [64], not [65]"), "{refused}");
        drop((instance, model));
        world.assert_clean();
    }
}

#[test]
fn an_instance_uses_the_profiles_that_its_group_names() {
    let mut world = World::new(Product::Eleven, PROFILES);
    world.configuration =
        r#"{"instanceGroup": [{"name": "a", "profile": ["1"]}, {"name": "b", "profile": ["3"]}]}"#.to_owned();
    let model = world.load().unwrap();
    let mut instance = model.instance(&spec("a_0", InstanceKind::Gpu(0), false)).unwrap();
    assert_eq!(world.tensorrt.calls()[2..], ["createExecutionContext(0)", "setOptimizationProfileAsync(1)"]);
    infer(&mut *instance, vec![tensor(DType::U8, &[2], [1; 2])], 1).unwrap();
    let refused = infer(&mut *instance, vec![tensor(DType::U8, &[17], [1; 17])], 1).unwrap_err();
    assert!(refused.message.contains("profile 1 takes"), "{refused}");
    let refused = model.instance(&spec("b_0", InstanceKind::Gpu(0), false)).err().unwrap();
    assert!(refused.message.contains("no optimization profile '3'"), "{refused}");
    drop((instance, model));
    world.assert_clean();
}

#[test]
fn shape_tensors_stay_on_the_host_and_say_what_shapes_others_have() {
    for product in Product::ALL {
        let world = World::new(
            product,
            "in s 3 host shape 2\nin l 8 host shape 2\nout z 5 device data -1,-1 fill s\nout w 5 device data -1,-1 fill l\n\
             out t 3 host shape 2 copy s\nprofile\nvalues s 1,1 2,2 8,8\nvalues l 1,1 2,2 8,8\n",
        );
        let model = world.load().unwrap();
        let mut instance = instance(&model, false);
        let mut run = |rows: i32, columns: i64| {
            let values = [rows, 3].map(i32::to_le_bytes).concat();
            let long = [2, columns].map(i64::to_le_bytes).concat();
            let inputs = vec![tensor(DType::I32, &[2], values), tensor(DType::I64, &[2], long)];
            infer(&mut *instance, inputs, 3)
        };
        // What TensorRT writes for later requests does not come to where this one's answer is.
        let kept = run(3, 4);
        for (rows, columns) in [(2, 5), (8, 1)] {
            let answer = run(rows, columns);
            assert_output(&answer, 0, DType::U8, &[rows.into(), 3], &vec![7; rows as usize * 3]);
            assert_output(&answer, 1, DType::U8, &[2, columns], &vec![7; 2 * columns as usize]);
            assert_output(&answer, 2, DType::I32, &[2], &[rows, 3].map(i32::to_le_bytes).concat());
        }
        assert_output(&kept, 2, DType::I32, &[2], &[3, 3].map(i32::to_le_bytes).concat());
        drop(kept);
        let refused = run(9, 1).unwrap_err();
        assert!(
            refused.message.contains("profile 0 takes of 's' values [1,1] to [8,8], not [9,3]"),
            "{refused}"
        );
        drop((instance, model));
        world.assert_clean();
    }
}

#[test]
fn an_output_whose_size_the_run_tells_gets_memory_then() {
    for product in Product::ALL {
        let world = World::new(
            product,
            "in x 5 device data -1\nout n 5 device data -1 nonzero x\nprofile\nrange x 1 8 9000\n",
        );
        let model = world.load().unwrap();
        let mut instance = instance(&model, false);
        let many = vec![3; 9000];
        let some = (&[1u8, 0, 2, 0, 0, 3][..], &[1u8, 2, 3][..]);
        for (input, found) in [some, (&[0, 0], &[]), (&many, &many), (&[5], &[5])] {
            let answer = infer(&mut *instance, vec![tensor(DType::U8, &[input.len() as i64], input)], 1);
            assert_output(&answer, 0, DType::U8, &[found.len() as i64], found);
        }
        // The run tells what its allocator met with.
        world.driver.fail("cuMemAlloc", 0, 2, false);
        drop(instance);
        let mut instance = model.instance(&spec("test_1", InstanceKind::Gpu(0), false)).unwrap();
        let mut run = || infer(&mut *instance, vec![tensor(DType::U8, &[3], [1, 2, 0])], 1);
        let error = run().unwrap_err();
        assert!(error.message.contains("CUDA_ERROR_OUT_OF_MEMORY"), "{error}");
        world.driver.fail("cuMemAlloc", 1, 2, false);
        let error = run().unwrap_err();
        assert!(error.message.contains("CUDA_ERROR_OUT_OF_MEMORY"), "{error}");
        assert_output(&run(), 0, DType::U8, &[2], &[1, 2]);
        drop((instance, model));
        world.assert_clean();
    }
}

#[test]
fn every_element_type_that_the_protocol_has_goes_through() {
    let types = [
        (0, DType::F32, 4),
        (1, DType::F16, 2),
        (2, DType::I8, 1),
        (3, DType::I32, 4),
        (4, DType::Bool, 1),
        (5, DType::U8, 1),
        (7, DType::BF16, 2),
        (8, DType::I64, 8),
    ];
    let mut plan = String::new();
    for (number, _, _) in types {
        plan += &format!(
            "in x{number} {number} device data 3\nout y{number} {number} device data 3 copy x{number}\n"
        );
    }
    for product in Product::ALL {
        let world = World::new(product, &plan);
        let model = world.load().unwrap();
        let declared: Vec<DType> = model.declaration().inputs.iter().map(|tensor| tensor.dtype).collect();
        assert_eq!(declared, types.map(|(_, dtype, _)| dtype));
        let mut instance = instance(&model, false);
        let bytes = |dtype: DType, size: usize| -> Vec<u8> {
            (0..3 * size as u8).map(|byte| if dtype == DType::Bool { byte % 2 } else { byte }).collect()
        };
        let inputs = types.map(|(_, dtype, size)| tensor(dtype, &[3], bytes(dtype, size))).to_vec();
        let answer = infer(&mut *instance, inputs, types.len());
        for (slot, (_, dtype, size)) in types.into_iter().enumerate() {
            assert_output(&answer, slot, dtype, &[3], &bytes(dtype, size));
        }
        drop((answer, instance, model));
        world.assert_clean();
    }
}

#[test]
fn scalars_and_empty_tensors_go_through() {
    let world = World::new(
        Product::Eleven,
        "in a 5 device data -\nout b 5 device data - add1 a\nin x 5 device data -1,2\nout y 5 device data -1,2 add1 x\n\
         profile\nrange x 0,2 1,2 4,2\n",
    );
    let model = world.load().unwrap();
    assert_eq!(model.declaration().inputs[0].shape.len(), 0);
    let mut instance = instance(&model, false);
    let answer = infer(&mut *instance, vec![tensor(DType::U8, &[], [4]), tensor(DType::U8, &[0, 2], [])], 2);
    assert_output(&answer, 0, DType::U8, &[], &[5]);
    assert_output(&answer, 1, DType::U8, &[0, 2], &[]);
    drop((answer, instance, model));
    world.assert_clean();
}

#[test]
fn an_output_that_nobody_wants_is_not_copied() {
    let world = World::new(
        Product::Ten,
        "in x 5 device data 2\nout y 5 device data 2 add1 x\nout z 5 device data 2 copy x\n",
    );
    let model = world.load().unwrap();
    let mut instance = instance(&model, false);
    let caller = Arc::new(Caller::default());
    let wanted: Slots = [1].into_iter().collect();
    instance.execute(Batch::from(caller.request(vec![tensor(DType::U8, &[2], [1, 2])], wanted, 1)));
    let answer = caller.answer();
    assert_output(&answer, 1, DType::U8, &[2], &[1, 2]);
    assert_eq!(answer.unwrap().len(), 1);
    assert_eq!(world.driver.count("cuMemcpyDtoHAsync"), 1);
    drop((instance, model));
    world.assert_clean();
}

#[test]
fn an_output_outlives_its_model_and_its_memory_is_used_again_when_it_is_gone() {
    let world = World::new(Product::Eleven, ADD_ONE);
    let model = world.load().unwrap();
    let mut instance = instance(&model, true);
    let mut run = |byte: u8| infer(&mut *instance, vec![tensor(DType::U8, &[1, 4], [byte; 4])], 1);
    let kept: Vec<_> = (0..3).map(&mut run).collect();
    drop(world.driver.calls());
    let fourth = run(3);
    assert_eq!(world.driver.count("cuMemHostAlloc"), 1);
    drop(fourth);
    drop(run(4));
    assert_eq!(world.driver.count("cuMemHostAlloc"), 0);
    drop((instance, model));
    for (byte, answer) in (0..).zip(&kept) {
        assert_output(answer, 0, DType::U8, &[1, 4], &[byte + 1; 4]);
    }
    drop(kept);
    world.assert_clean();
}

#[test]
fn an_instance_is_on_the_device_that_it_is_made_for_and_a_device_has_the_weights_once() {
    for product in Product::ALL {
        let mut world = World::new(product, ADD_ONE);
        world.driver.limits(2, 1 << 30);
        world.configuration = r#"{"instance_group": [{"name": "test", "gpus": [1, 0]}]}"#.to_owned();
        let model = world.load().unwrap();
        assert!(world.driver.calls().contains(&"cuDevicePrimaryCtxRetain(1)".to_owned()));
        let mut instances: Vec<_> = [1, 0, 1, 0]
            .into_iter()
            .map(|gpu| model.instance(&spec("test_0", InstanceKind::Gpu(gpu), true)).unwrap())
            .collect();
        assert_eq!(world.tensorrt.count("deserializeCudaEngine"), 2);
        // Each time on a thread that has not met the device before.
        let mut answers = Vec::new();
        std::thread::scope(|scope| {
            for instance in &mut instances {
                let run = || infer(&mut **instance, vec![tensor(DType::U8, &[1, 4], [1; 4])], 1);
                answers.push(scope.spawn(run).join().unwrap());
            }
        });
        answers.iter().for_each(|answer| assert_output(answer, 0, DType::U8, &[1, 4], &[2; 4]));
        std::thread::spawn(move || drop((instances, model))).join().unwrap();
        std::thread::spawn(move || drop(answers)).join().unwrap();
        world.assert_clean();
    }
}

#[test]
fn what_a_caller_gives_wrong_is_told_and_reaches_no_device() {
    let world = World::new(
        Product::Ten,
        "in x 4 device data -1\nout y 4 device data -1 copy x\nprofile\nrange x 1 2 4\n",
    );
    let model = world.load().unwrap();
    let mut instance = instance(&model, false);
    drop(world.driver.calls());
    for (inputs, part) in [
        (vec![], "input 'x' is missing"),
        (vec![tensor(DType::U8, &[1], [1])], "has type UINT8, and the model takes BOOL"),
        (vec![tensor(DType::Bool, &[2], [1])], "has 1 bytes, which do not fit its shape [2]"),
        (vec![tensor(DType::Bool, &[2], [1, 2])], "has the byte 2 at 1, but a BOOL is 0 or 1"),
        (vec![tensor(DType::Bool, &[5], [1; 5])], "takes of 'x' shape [1] to [4], not [5]"),
        (vec![tensor(DType::Bool, &[1, 1], [1])], "takes of 'x' shape [1] to [4], not [1,1]"),
        (vec![tensor(DType::Bool, &[-1], [1])], "has the shape [-1], which no tensor can have"),
    ] {
        let error = infer(&mut *instance, inputs, 1).unwrap_err();
        assert!(error.message.contains(part), "{error}");
    }
    assert!(world.driver.calls().iter().all(|call| call == "cuStreamSynchronize()"));
    drop((instance, model));
    world.assert_clean();
}
