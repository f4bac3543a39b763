"""A transformer of the shape of MiniLM-L6, with weights that a seed makes: `input_ids` and `attention_mask` INT64[b,s]
to `embedding` FP32[b,384].

The published one that packages carry is quantised, with operators that no GPU of ONNX Runtime executes.
"""

from typing import NamedTuple

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper


class Size(NamedTuple):
    """How large it is; MiniLM-L6's but for the vocabulary."""

    vocabulary: int = 2000
    positions: int = 128
    width: int = 384
    heads: int = 12
    layers: int = 6
    inner: int = 1536


class Builder:
    """Nodes and weights, as they are added."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def constant(self, values):
        name = f"constant{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weight(self, *shape):
        """Numbers around 0, the smaller the more of them are added up."""
        scale = 1 / np.sqrt(shape[0])
        return self.constant((self.random.standard_normal(shape) * scale).astype(np.float32))

    def add(self, operator, *inputs, **attributes):
        """The name of the output of a new node."""
        name = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def linear(self, x, inputs, outputs):
        return self.add("Add", self.add("MatMul", x, self.weight(inputs, outputs)), self.weight(outputs))

    def norm(self, x, width):
        ones, zeros = self.constant(np.ones(width, np.float32)), self.constant(np.zeros(width, np.float32))
        return self.add("LayerNormalization", x, ones, zeros, axis=-1, epsilon=1e-12)


def model(size=Size(), seed=1):
    """The model."""
    build = Builder(seed)
    mask = build.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    x = embeddings(build, size)
    hidden = build.add("Unsqueeze", mask, build.constant(np.int64([1, 2])))
    hidden = build.add("Sub", build.constant(np.float32(1)), hidden)
    hidden = build.add("Mul", hidden, build.constant(np.float32(-1e4)))
    for _ in range(size.layers):
        x = build.norm(build.add("Add", x, attention(build, x, hidden, size)), size.width)
        x = build.norm(build.add("Add", x, feed_forward(build, x, size)), size.width)
    mean(build, x, mask)
    tensor = helper.make_tensor_value_info
    inputs = [tensor(name, TensorProto.INT64, ["b", "s"]) for name in ("input_ids", "attention_mask")]
    outputs = [tensor("embedding", TensorProto.FLOAT, ["b", size.width])]
    graph = helper.make_graph(build.nodes, "transformer", inputs, outputs, build.weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 8
    checker.check_model(proto)
    return proto.SerializeToString()


def embeddings(build, size):
    """Of the words and of their places."""
    words = build.add("Gather", build.weight(size.vocabulary, size.width), "input_ids")
    length = build.add("Gather", build.add("Shape", "input_ids"), build.constant(np.int64([1])))
    zero = build.constant(np.int64([0]))
    places = build.add("Slice", build.weight(size.positions, size.width), zero, length, zero)
    return build.norm(build.add("Add", words, places), size.width)


def attention(build, x, hidden, size):
    """Of several heads; `hidden` is added where nothing may be seen."""
    each = size.width // size.heads
    split, whole = build.constant(np.int64([0, 0, size.heads, each])), build.constant(np.int64([0, 0, size.width]))

    def heads(order):
        return build.add("Transpose", build.add("Reshape", build.linear(x, size.width, size.width), split), perm=order)

    query, key, value = heads([0, 2, 1, 3]), heads([0, 2, 3, 1]), heads([0, 2, 1, 3])
    scores = build.add("Mul", build.add("MatMul", query, key), build.constant(np.float32(each**-0.5)))
    seen = build.add("Softmax", build.add("Add", scores, hidden), axis=-1)
    together = build.add("Transpose", build.add("MatMul", seen, value), perm=[0, 2, 1, 3])
    return build.linear(build.add("Reshape", together, whole), size.width, size.width)


def feed_forward(build, x, size):
    """Two layers with a GELU between them."""
    x = build.linear(x, size.width, size.inner)
    part = build.add("Erf", build.add("Mul", x, build.constant(np.float32(2**-0.5))))
    part = build.add("Mul", build.add("Add", part, build.constant(np.float32(1))), build.constant(np.float32(0.5)))
    return build.linear(build.add("Mul", x, part), size.inner, size.width)


def mean(build, x, mask):
    """Of the words that are seen."""
    weights = build.add("Unsqueeze", mask, build.constant(np.int64([2])))
    axis = build.constant(np.int64([1]))
    total = build.add("ReduceSum", build.add("Mul", x, weights), axis, keepdims=0)
    count = build.add("ReduceSum", weights, axis, keepdims=0)
    build.nodes.append(helper.make_node("Div", [total, count], ["embedding"]))
