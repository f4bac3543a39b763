"""Models whose answers tell what was loaded: every weight of a content is its tag, and an answer shows all of them."""

import struct

import numpy as np
from models import tensor
from onnx import TensorProto, helper, numpy_helper

# How many weights each of the two tensors has; an answer brings all of both.
WEIGHTS = 2048
# What a client adds to the weights is a multiple of this, so that an answer tells whose it is; tags are smaller.
STRIDE = 1 << 16
# Products of a heavy model, some µs each; nodes of a large one, some µs each to load.
STEPS, NEGATIONS = 300, 6_000
EXTERNAL = "weights.bin"


class Torn(Exception):
    """An answer that no content gives."""


def files(kind, tag):
    """The files of a version, by name, whose content is the tag. Those of one kind are equally long."""
    first, second = (numpy_helper.from_array(np.full(WEIGHTS, tag, np.float32), name) for name in ("first", "second"))
    more = {}
    if kind == "external":
        more[EXTERNAL] = second.raw_data
        second.ClearField("raw_data")
        second.data_location = TensorProto.EXTERNAL
        second.external_data.add(key="location", value=EXTERNAL)
    return {**more, "model.onnx": graph(kind, first, second).SerializeToString()}


def graph(kind, first, second):
    """INPUT0 [1] plus each of the weights; a heavy one takes a while to execute, and a large one to load."""
    nodes, constants, x = [], [first, second], "INPUT0"
    if kind == "heavy":
        nodes, more = loop(STEPS)
        constants, x = [first, *more, second], "spun"
    if kind == "large":
        names = ["INPUT0", *(f"x{i}" for i in range(NEGATIONS))]
        nodes, x = [helper.make_node("Neg", [a], [b]) for a, b in zip(names, names[1:])], names[-1]
    nodes += [helper.make_node("Add", [x, name], [out]) for name, out in (("first", "OUTPUT0"), ("second", "OUTPUT1"))]
    outputs = [tensor(name, "FP32", [WEIGHTS]) for name in ("OUTPUT0", "OUTPUT1")]
    made = helper.make_graph(nodes, "content", [tensor("INPUT0", "FP32", [1])], outputs, constants)
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)])
    proto.ir_version = 9
    return proto


def loop(steps):
    """What gives `spun`, which is INPUT0, after some time."""
    constants = [
        numpy_helper.from_array(np.eye(128, dtype=np.float32), "matrix"),
        numpy_helper.from_array(np.int64(steps), "steps"),
        numpy_helper.from_array(np.bool_(True), "go"),
        numpy_helper.from_array(np.array([1, 128], np.int64), "row"),
        numpy_helper.from_array(np.array([0], np.int64), "zero"),
    ]
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "matrix"], ["y"]), helper.make_node("Identity", ["go_in"], ["go_out"])],
        "body",
        [tensor("i", "INT64", []), tensor("go_in", "BOOL", []), tensor("x", "FP32", [1, 128])],
        [tensor("go_out", "BOOL", []), tensor("y", "FP32", [1, 128])],
    )
    nodes = [
        helper.make_node("Expand", ["INPUT0", "row"], ["wide"]),
        helper.make_node("Loop", ["steps", "go", "wide"], ["looped"], body=body),
        helper.make_node("Gather", ["looped", "zero"], ["narrow"], axis=1),
        helper.make_node("Squeeze", ["narrow", "zero"], ["spun"]),
    ]
    return nodes, constants


def read(answer, addend):
    """The tag that an answer tells of, where every bit of it does; raises Torn otherwise."""
    value = struct.unpack_from("<f", answer.raw_output_contents[0])[0]
    whole = struct.pack("<f", value) * WEIGHTS
    if len(answer.raw_output_contents) != 2 or any(one != whole for one in answer.raw_output_contents):
        raise Torn(describe(answer, addend))
    tag = value - addend
    if not (0 < tag < STRIDE and tag == int(tag)):
        raise Torn(f"{tag} is no tag: the answer is another client's, or of no model of ours")
    return int(tag)


def describe(answer, addend):
    """What an answer says that tells of no one content."""
    return mixed(*(set((np.frombuffer(one, np.float32) - addend).tolist()) for one in answer.raw_output_contents))


def mixed(*tensors):
    """The same, where the weights that each tensor shows are known."""
    return " and ".join(str(sorted(tensor)[:5]) for tensor in tensors)
