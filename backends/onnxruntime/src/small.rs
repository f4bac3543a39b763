//! Models too small for more than one thread.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use prost::Message;

/// Operators that take time in proportion to what they are given, or use each weight once a row.
const LINEAR: [&str; 41] = [
    "Abs",
    "Add",
    "ArgMax",
    "ArgMin",
    "BatchNormalization",
    "Binarizer",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Div",
    "Dropout",
    "Elu",
    "Exp",
    "Flatten",
    "Gelu",
    "Gemm",
    "HardSigmoid",
    "Identity",
    "LayerNormalization",
    "LeakyRelu",
    "LinearClassifier",
    "LinearRegressor",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Mul",
    "Neg",
    "Normalizer",
    "PRelu",
    "Relu",
    "Scaler",
    "Selu",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "TreeEnsembleClassifier",
];

/// The largest file of a small model, in bytes: its weights are in it.
const MOST_BYTES: u64 = 512 << 10;

/// How many elements a row of an input may have at most.
const MOST_ELEMENTS: i64 = 4096;

/// Whether one thread computes a row of the model in that file in less time than it takes to wake another: some 25 µs.
///
/// ONNX Runtime splits every matrix product from 64 Ki multiplications on, which for such a model doubles the CPU time
/// of a request. It counts as small if its file is, no input has an extent besides its rows that may vary, and no
/// operator uses a weight more than once a row, as convolutions and loops do. In doubt it is not small.
pub(crate) fn is_small(file: &Path) -> bool {
    let fits = fs::metadata(file).is_ok_and(|metadata| metadata.len() <= MOST_BYTES);
    let read = || Model::decode(fs::read(file).ok()?.as_slice()).ok()?.graph;
    fits && read().is_some_and(|graph| graph.is_small())
}

impl Graph {
    fn is_small(&self) -> bool {
        let weights: HashSet<&str> = self.initializers.iter().map(|weight| weight.name.as_str()).collect();
        let mut inputs = self.inputs.iter().filter(|input| !weights.contains(input.name.as_str()));
        self.initializers.iter().all(|weight| weight.data_location == 0)
            && self.nodes.iter().all(|node| LINEAR.contains(&node.op_type.as_str()))
            && inputs.all(|input| input.elements_of_a_row().is_some_and(|count| count <= MOST_ELEMENTS))
    }
}

impl ValueInfo {
    /// `None` if that is not said, or varies. More than two extents may be rows of rows.
    fn elements_of_a_row(&self) -> Option<i64> {
        let shape = self.tensor.as_ref()?.tensor.as_ref()?.shape.as_ref()?;
        match &shape.extents[..] {
            [] | [_] => Some(1),
            [_, row] => row.value,
            _ => None,
        }
    }
}

// What is to be known of a model, under the numbers of `onnx.proto`.

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializers: Vec<Initializer>,
    #[prost(message, repeated, tag = "11")]
    inputs: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "4")]
    op_type: String,
}

/// A `TensorProto`.
#[derive(Clone, PartialEq, Message)]
struct Initializer {
    #[prost(string, tag = "8")]
    name: String,
    /// 1: in another file.
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    tensor: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShape>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    extents: Vec<Extent>,
}

#[derive(Clone, PartialEq, Message)]
struct Extent {
    /// `None` if it may vary.
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(extents: &[i64]) -> ValueInfo {
        let extents =
            extents.iter().map(|&extent| Extent { value: (extent >= 0).then_some(extent) }).collect();
        let tensor = Some(TensorType { shape: Some(TensorShape { extents }) });
        ValueInfo { name: "x".to_owned(), tensor: Some(Type { tensor }) }
    }

    fn graph(operators: &[&str], inputs: &[&[i64]]) -> Graph {
        Graph {
            nodes: operators.iter().map(|&name| Node { op_type: name.to_owned() }).collect(),
            initializers: vec![Initializer { name: "w".to_owned(), data_location: 0 }],
            inputs: inputs.iter().map(|extents| input(extents)).collect(),
        }
    }

    #[test]
    fn a_perceptron_is_small_and_what_may_use_a_weight_often_is_not() {
        assert!(graph(&["Gemm", "Relu", "MatMul", "Softmax"], &[&[-1, 64]]).is_small());
        assert!(graph(&["Identity"], &[&[-1]]).is_small());
        for (operators, extents) in [
            (&["Gemm", "Conv"][..], &[-1, 64][..]),
            (&["Loop"], &[-1, 64]),
            (&["Gemm"], &[-1, -1]),
            (&["MatMul"], &[-1, 16, 64]),
            (&["Gemm"], &[1, 5000]),
        ] {
            assert!(!graph(operators, &[extents]).is_small(), "{operators:?} {extents:?}");
        }
        let mut elsewhere = graph(&["Gemm"], &[&[-1, 64]]);
        elsewhere.initializers[0].data_location = 1;
        assert!(!elsewhere.is_small());
    }

    #[test]
    fn weights_that_are_listed_as_inputs_are_not_taken_for_inputs() {
        let mut graph = graph(&["Gemm"], &[&[-1, 64]]);
        graph.inputs.push(ValueInfo { name: "w".to_owned(), tensor: None });
        assert!(graph.is_small());
        graph.inputs.push(ValueInfo { name: "v".to_owned(), tensor: None });
        assert!(!graph.is_small());
    }

    #[test]
    fn what_cannot_be_read_is_not_small() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.onnx");
        assert!(!is_small(&file));
        fs::write(&file, b"no model").unwrap();
        assert!(!is_small(&file));
        let model = Model { graph: Some(graph(&["Gemm"], &[&[-1, 64]])) };
        fs::write(&file, model.encode_to_vec()).unwrap();
        assert!(is_small(&file));
    }
}
