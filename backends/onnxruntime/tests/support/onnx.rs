//! ONNX models made by hand: just enough of the protobuf encoding, under the field numbers of `onnx.proto`.
#![allow(dead_code)]

/// Numbers of `TensorProto.DataType`.
pub(crate) mod element {
    pub(crate) const FLOAT: u64 = 1;
    pub(crate) const UINT8: u64 = 2;
    pub(crate) const INT8: u64 = 3;
    pub(crate) const UINT16: u64 = 4;
    pub(crate) const INT16: u64 = 5;
    pub(crate) const INT32: u64 = 6;
    pub(crate) const INT64: u64 = 7;
    pub(crate) const STRING: u64 = 8;
    pub(crate) const BOOL: u64 = 9;
    pub(crate) const FLOAT16: u64 = 10;
    pub(crate) const DOUBLE: u64 = 11;
    pub(crate) const UINT32: u64 = 12;
    pub(crate) const UINT64: u64 = 13;
    pub(crate) const COMPLEX64: u64 = 14;
    pub(crate) const BFLOAT16: u64 = 16;
    pub(crate) const FLOAT8E4M3FN: u64 = 17;
    pub(crate) const INT4: u64 = 22;
}

/// A protobuf message in the making.
#[derive(Clone, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(crate) fn number(mut self, field: u64, number: u64) -> Message {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    pub(crate) fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Message {
        self.varint(field << 3 | 2);
        self.varint(bytes.as_ref().len() as u64);
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    pub(crate) fn messages<'a>(self, field: u64, messages: impl IntoIterator<Item = &'a Message>) -> Message {
        messages.into_iter().fold(self, |message, inner| message.bytes(field, &inner.0))
    }
}

/// A `TypeProto` for a tensor; an extent of -1 is symbolic, no shape at all is an unknown rank.
pub(crate) fn tensor_type(element: u64, shape: Option<&[i64]>) -> Message {
    let mut tensor = Message::default().number(1, element);
    if let Some(shape) = shape {
        let extents: Vec<Message> = shape
            .iter()
            .enumerate()
            .map(|(place, &extent)| match extent {
                -1 => Message::default().bytes(2, format!("n{place}")),
                _ => Message::default().number(1, extent as u64),
            })
            .collect();
        tensor = tensor.bytes(2, Message::default().messages(1, &extents).0);
    }
    Message::default().bytes(1, tensor.0)
}

/// A `TypeProto` for a sequence (4) or an optional (9) of something.
pub(crate) fn wrapped_type(field: u64, inner: &Message) -> Message {
    Message::default().bytes(field, Message::default().bytes(1, &inner.0).0)
}

/// A `ValueInfoProto`.
pub(crate) fn value(name: &str, of: &Message) -> Message {
    Message::default().bytes(1, name).bytes(2, &of.0)
}

/// A `ValueInfoProto` of a tensor of known rank.
pub(crate) fn tensor(name: &str, element: u64, shape: &[i64]) -> Message {
    value(name, &tensor_type(element, Some(shape)))
}

/// A `NodeProto`.
pub(crate) fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Message {
    let message = inputs.iter().fold(Message::default(), |message, name| message.bytes(1, name));
    let message = outputs.iter().fold(message, |message, name| message.bytes(2, name));
    message.bytes(4, op).messages(5, attributes)
}

/// An `AttributeProto` that holds a number.
pub(crate) fn int_attribute(name: &str, number: i64) -> Message {
    Message::default().bytes(1, name).number(3, number as u64).number(20, 2)
}

/// An `AttributeProto` that holds a text.
pub(crate) fn ints_attribute(name: &str, numbers: &[i64]) -> Message {
    let attribute = Message::default().bytes(1, name);
    numbers.iter().fold(attribute, |attribute, &number| attribute.number(8, number as u64)).number(20, 7)
}

pub(crate) fn text_attribute(name: &str, text: &str) -> Message {
    Message::default().bytes(1, name).bytes(4, text).number(20, 3)
}

/// An `AttributeProto` that holds a tensor.
pub(crate) fn tensor_attribute(name: &str, tensor: &Message) -> Message {
    Message::default().bytes(1, name).bytes(5, &tensor.0).number(20, 4)
}

/// An `AttributeProto` that holds a graph.
pub(crate) fn graph_attribute(name: &str, graph: &Graph) -> Message {
    Message::default().bytes(1, name).bytes(6, graph.message().0).number(20, 5)
}

fn initializer_head(name: &str, element: u64, shape: &[i64]) -> Message {
    let message = shape.iter().fold(Message::default(), |message, &extent| message.number(1, extent as u64));
    message.number(2, element).bytes(8, name)
}

/// A `TensorProto` that carries its elements.
pub(crate) fn initializer(name: &str, element: u64, shape: &[i64], raw: &[u8]) -> Message {
    initializer_head(name, element, shape).bytes(9, raw)
}

/// A `TensorProto` whose elements are in a file beside the model.
pub(crate) fn external_initializer(name: &str, element: u64, shape: &[i64], file: &str) -> Message {
    external_initializer_with(name, element, shape, &[("location", file)])
}

/// A `TensorProto` of which `external_data` says that.
pub(crate) fn external_initializer_with(
    name: &str,
    element: u64,
    shape: &[i64],
    external_data: &[(&str, &str)],
) -> Message {
    let entries: Vec<Message> =
        external_data.iter().map(|(key, value)| Message::default().bytes(1, key).bytes(2, value)).collect();
    initializer_head(name, element, shape).messages(13, &entries).number(14, 1)
}

/// A `GraphProto` in the making.
#[derive(Clone, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Message>,
    pub(crate) initializers: Vec<Message>,
    pub(crate) inputs: Vec<Message>,
    pub(crate) outputs: Vec<Message>,
}

impl Graph {
    pub(crate) fn message(&self) -> Message {
        Message::default()
            .messages(1, &self.nodes)
            .bytes(2, "graph")
            .messages(5, &self.initializers)
            .messages(11, &self.inputs)
            .messages(12, &self.outputs)
    }

    /// The file that holds it, for operator set 21.
    pub(crate) fn model(&self) -> Vec<u8> {
        self.model_for(10, &[("", 21), ("ai.onnx.ml", 3)])
    }

    /// The file that holds it, for that version of the format and those of the operator sets.
    pub(crate) fn model_for(&self, ir_version: u64, opsets: &[(&str, u64)]) -> Vec<u8> {
        let opsets: Vec<Message> = opsets
            .iter()
            .map(|(domain, version)| Message::default().bytes(1, domain).number(2, *version))
            .collect();
        Message::default().number(1, ir_version).bytes(7, self.message().0).messages(8, &opsets).0
    }
}

/// A model that gives its input back, through `Identity`.
pub(crate) fn identity(element: u64, shape: &[i64]) -> Vec<u8> {
    Graph {
        nodes: vec![node("Identity", &["x"], &["y"], &[])],
        inputs: vec![tensor("x", element, shape)],
        outputs: vec![tensor("y", element, shape)],
        ..Graph::default()
    }
    .model()
}

/// A model without nodes, whose input is its output.
pub(crate) fn pass_through(element: u64, shape: &[i64]) -> Vec<u8> {
    let x = tensor("x", element, shape);
    Graph { inputs: vec![x.clone()], outputs: vec![x], ..Graph::default() }.model()
}

/// Little-endian bytes.
pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Little-endian bytes.
pub(crate) fn longs(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
