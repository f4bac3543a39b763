#!/usr/bin/env python3
"""Makes a model of sentences of MiniLM, which is one of tokens: convert_minilm.py MODEL.onnx OUT.onnx

What sentence-transformers does after the model becomes part of it: the mean over the tokens that are no padding, which
is brought to length one. A client then gets 384 numbers for each text instead of as many for each token.
"""

import sys

import numpy as np
from onnx import TensorProto, checker, helper, load, numpy_helper, save

HIDDEN, MASK, EMBEDDING = "last_hidden_state", "attention_mask", "sentence_embedding"
WIDTH = 384


def convert(source, target):
    """Writes the model with its pooling."""
    model = load(source)
    constants = [
        numpy_helper.from_array(np.array([axis], np.int64), f"pooling.axis_{axis}") for axis in (1, 2)
    ] + [numpy_helper.from_array(np.array(1, np.float32), "pooling.one")]
    nodes = [
        helper.make_node("Cast", [MASK], ["pooling.mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["pooling.mask", "pooling.axis_2"], ["pooling.mask_of_tokens"]),
        helper.make_node("Mul", [HIDDEN, "pooling.mask_of_tokens"], ["pooling.tokens"]),
        helper.make_node("ReduceSum", ["pooling.tokens", "pooling.axis_1"], ["pooling.sum"], keepdims=0),
        helper.make_node("ReduceSum", ["pooling.mask", "pooling.axis_1"], ["pooling.masked"], keepdims=1),
        helper.make_node("Max", ["pooling.masked", "pooling.one"], ["pooling.count"]),
        helper.make_node("Div", ["pooling.sum", "pooling.count"], ["pooling.mean"]),
        helper.make_node("LpNormalization", ["pooling.mean"], [EMBEDDING], axis=1, p=2),
    ]
    model.graph.initializer.extend(constants)
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["batch", WIDTH]))
    checker.check_model(model)
    save(model, target)


if __name__ == "__main__":
    convert(*sys.argv[1:])
