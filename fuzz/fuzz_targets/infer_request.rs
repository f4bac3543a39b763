//! Whatever message comes as a ModelInferRequest, it is decoded or refused, and a request that is admitted has just the
//! bytes that its shapes say.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nerite_backend::{DType, Shape};
use nerite_core::admission::{InferInput, InferOutput, InferRequest, admit};
use nerite_core::model::{InputSpec, ModelSpec, OutputSpec, Scheduling, SlotCounts};
use nerite_proto::inference::ModelInferRequest;
use prost::Message;

static MODEL: LazyLock<ModelSpec> = LazyLock::new(|| {
    let tensors = [("x", DType::F32, &[-1, 2][..]), ("b", DType::Bool, &[3]), ("s", DType::Bytes, &[-1])];
    let inputs = (0..).zip(tensors).map(|(slot, (name, dtype, dims))| InputSpec {
        name: name.to_owned(),
        dtype,
        dims: Shape::new(dims),
        reshape: None,
        optional: name == "s",
        slot,
    });
    let output = OutputSpec {
        name: "y".to_owned(),
        dtype: DType::F32,
        dims: Shape::new(&[-1]),
        reshape: None,
        labels: None,
        slot: 0,
    };
    ModelSpec {
        name: "m".to_owned(),
        platform: "fuzzed".to_owned(),
        max_batch_size: 8,
        scheduling: Scheduling::default(),
        ragged: std::sync::Arc::default(),
        sequences: None,
        decoupled: false,
        response_cache: false,
        inputs: inputs.collect(),
        outputs: vec![output],
        slots: SlotCounts { inputs: 3, outputs: 1 },
        metric_tags: std::collections::BTreeMap::new(),
        published: bytes::Bytes::new(),
    }
});

fuzz_target!(|message: &[u8]| {
    let Ok(request) = ModelInferRequest::decode(message) else { return };
    let mut raw = request.raw_input_contents.into_iter();
    let inputs = request.inputs.into_iter().map(|tensor| InferInput {
        name: tensor.name,
        datatype: tensor.datatype,
        shape: tensor.shape,
        data: raw.next(),
    });
    let inputs = inputs.collect();
    let outputs = request.outputs.into_iter().map(|output| InferOutput { name: output.name }).collect();
    let request = InferRequest { id: request.id, inputs, outputs, ..InferRequest::default() };
    match admit(&MODEL, request) {
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
        Ok(admitted) => {
            assert!((1..=8).contains(&admitted.rows));
            for tensor in admitted.inputs.iter().flatten() {
                let elements = tensor.shape.elements().expect("an admitted shape can be counted");
                assert_eq!(tensor.shape[0], i64::from(admitted.rows));
                if let Some(size) = tensor.dtype.size() {
                    assert_eq!(tensor.data.len(), elements * size);
                }
            }
        }
    }
});
