//! A trace as Triton writes it: <https://github.com/triton-inference-server/server/blob/main/docs/user_guide/trace.md>.

use std::fmt::{Display, Write};
use std::time::Instant;

use nerite_backend::{DType, Tensor, strings};
use serde_json::{Value, json};

use super::clock::Clock;
use super::record::Record;

/// The trace's objects, with a comma in between, behind what is in `text` already.
pub(super) fn write(text: &mut String, record: &Record, clock: &Clock) {
    let id = record.number;
    let version = record.version.and_then(|version| i64::try_from(version).ok()).unwrap_or(-1);
    let mut head = json!({ "id": id, "model_name": record.model, "model_version": version });
    if !record.request_id.is_empty() {
        head["request_id"] = Value::from(record.request_id.as_str());
    }
    let _ = write!(text, "{head}");
    if record.trace.rule().setting.level.timestamps {
        for (name, at) in timestamps(record) {
            let ns = clock.nanos(at);
            let _ = write!(text, ",{{\"id\":{id},\"timestamps\":[{{\"name\":\"{name}\",\"ns\":{ns}}}]}}");
        }
    }
    for named in &record.tensors {
        let tensor = json!({
            "name": named.name,
            "data": elements(&named.tensor),
            "shape": listed(named.tensor.shape.iter()),
            "dtype": named.tensor.dtype.wire_name(),
        });
        let _ = write!(text, ",{}", json!({ "id": id, "activity": named.activity, "tensor": tensor }));
    }
}

/// What happened, in order.
fn timestamps(record: &Record) -> impl Iterator<Item = (&'static str, Instant)> {
    let phase = |of: fn(&nerite_backend::Phases) -> Instant| record.phases.as_ref().map(of);
    [
        ("GRPC_WAITREAD_START", Some(record.arrived)),
        ("GRPC_WAITREAD_END", Some(record.read)),
        ("REQUEST_START", Some(record.read)),
        ("QUEUE_START", record.queued),
        ("COMPUTE_START", phase(|phases| phases.start)),
        ("COMPUTE_INPUT_END", phase(|phases| phases.input_end)),
        ("COMPUTE_OUTPUT_START", phase(|phases| phases.infer_end)),
        ("COMPUTE_END", phase(|phases| phases.end)),
        ("INFER_RESPONSE_COMPLETE", record.answered),
        ("REQUEST_END", Some(record.answered.unwrap_or(record.ended))),
        ("GRPC_SEND_START", Some(record.answered.unwrap_or(record.ended))),
        ("GRPC_SEND_END", Some(record.ended)),
    ]
    .into_iter()
    .filter_map(|(name, at)| Some((name, at?)))
}

/// The elements, with commas in between. As in Triton, those of the two short kinds of float are left out.
fn elements(tensor: &Tensor) -> String {
    let bytes = tensor.data.clone().into_bytes();
    macro_rules! numbers {
        ($number:ty) => {{
            let (numbers, _) = bytes.as_chunks::<{ size_of::<$number>() }>();
            listed(numbers.iter().map(|number| <$number>::from_le_bytes(*number)))
        }};
    }
    match tensor.dtype {
        DType::Bool => listed(bytes.iter().map(|byte| u8::from(*byte != 0))),
        DType::U8 => numbers!(u8),
        DType::U16 => numbers!(u16),
        DType::U32 => numbers!(u32),
        DType::U64 => numbers!(u64),
        DType::I8 => numbers!(i8),
        DType::I16 => numbers!(i16),
        DType::I32 => numbers!(i32),
        DType::I64 => numbers!(i64),
        DType::F32 => numbers!(f32),
        DType::F64 => numbers!(f64),
        DType::Bytes => {
            let texts = strings::elements(&bytes).map_while(Result::ok);
            listed(texts.map(|text| format!("\"{}\"", String::from_utf8_lossy(text))))
        }
        _ => String::new(),
    }
}

fn listed<T: Display>(items: impl Iterator<Item = T>) -> String {
    let mut list = String::new();
    for item in items {
        let comma = if list.is_empty() { "" } else { "," };
        let _ = write!(list, "{comma}{item}");
    }
    list
}
