#!/usr/bin/env python3
"""Builds MobileNetV2 as an ONNX model from torchvision's published weights: convert_mobilenet.py WEIGHTS.pth MODEL.onnx

The weights come in PyTorch's file format from before 1.6: pickles, then each tensor's storage as raw numbers. It is
read with numpy and an unpickler that constructs nothing but the few names below, so neither PyTorch nor trust in the
file is needed. Every batch normalisation is folded into the convolution before it. The model takes normalised images,
`image` FP32[batch,3,224,224], and ends in a softmax, `probabilities` FP32[batch,1000].
"""

import collections
import pickle
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
EPSILON = 1e-5

# One row per stage: the factor by which a block widens its input, its channels, its repetitions, its first stride.
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280


class Storage:
    """A run of numbers that follows the pickles; filled in once they have been read."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.values = None


class Weight:
    """A tensor as the pickle describes it: a view of a storage."""

    def __init__(self, storage, offset, shape, strides, *_gradient_and_hooks):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self):
        values = self.storage.values[self.offset :]
        strides = [stride * values.itemsize for stride in self.strides]
        count = 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides))
        if self.offset < 0 or min(strides, default=0) < 0 or count > values.size:
            raise ValueError("a tensor reaches beyond its storage")
        return np.lib.stride_tricks.as_strided(values, self.shape, strides).copy()


ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): Weight,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class Unpickler(pickle.Unpickler):
    """Refuses every name that is not allowed, and collects the storages by key."""

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights") from None

    def persistent_load(self, identity):
        _kind, dtype, key, *_rest = identity
        return self.storages.setdefault(key, Storage(dtype))


def read_weights(path):
    """The arrays of a weights file by name."""
    with open(path, "rb") as file:
        if Unpickler(file).load() != MAGIC or Unpickler(file).load() != PROTOCOL:
            raise ValueError(f"{path} is not a PyTorch file of the format before 1.6")
        if not Unpickler(file).load().get("little_endian"):
            raise ValueError(f"{path} was written on a big-endian machine")
        unpickler = Unpickler(file)
        weights = unpickler.load()
        for key in Unpickler(file).load():
            dtype = unpickler.storages[key].dtype
            count = int.from_bytes(file.read(8), "little")
            unpickler.storages[key].values = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {name: weight.array() for name, weight in weights.items()}


class Graph:
    """Collects the nodes; each method takes a tensor's name and returns the name of what it appends."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes = []
        self.constants = [
            numpy_helper.from_array(np.float32(0), "zero"),
            numpy_helper.from_array(np.float32(6), "six"),
        ]

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def node(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def convolution(self, x, name, norm, stride=1, groups=1):
        """A convolution with the batch normalisation after it folded in."""
        kernel = self.weights[f"{name}.weight"].astype(np.float64)
        scale = self.weights[f"{norm}.weight"] / np.sqrt(
            self.weights[f"{norm}.running_var"].astype(np.float64) + EPSILON
        )
        bias = self.weights[f"{norm}.bias"] - self.weights[f"{norm}.running_mean"] * scale
        size = kernel.shape[-1]
        inputs = [
            x,
            self.constant(f"{name}.weight", kernel * scale[:, None, None, None]),
            self.constant(f"{name}.bias", bias),
        ]
        pads, strides = [size // 2] * 4, [stride, stride]
        return self.node("Conv", inputs, name, kernel_shape=[size, size], pads=pads, strides=strides, group=groups)

    def relu6(self, x):
        return self.node("Clip", [x, "zero", "six"], f"{x}.relu6")

    def block(self, x, name, channels_in, channels_out, widen, stride):
        """An inverted residual: widen, filter each channel by itself, narrow; with a shortcut where shapes agree."""
        y, at = x, 0
        if widen != 1:
            y = self.relu6(self.convolution(y, f"{name}.conv.0.0", f"{name}.conv.0.1"))
            at = 1
        depthwise = f"{name}.conv.{at}"
        y = self.relu6(
            self.convolution(y, f"{depthwise}.0", f"{depthwise}.1", stride=stride, groups=channels_in * widen)
        )
        y = self.convolution(y, f"{name}.conv.{at + 1}", f"{name}.conv.{at + 2}")
        if stride == 1 and channels_in == channels_out:
            y = self.node("Add", [x, y], f"{name}.sum")
        return y


def build(weights):
    """The ONNX model of a dictionary of arrays named as torchvision names them."""
    graph = Graph(weights)
    x = graph.relu6(graph.convolution("image", "features.0.0", "features.0.1", stride=2))
    channels, index = STEM_CHANNELS, 1
    for widen, channels_out, repetitions, stride in STAGES:
        for repetition in range(repetitions):
            first = stride if repetition == 0 else 1
            x = graph.block(x, f"features.{index}", channels, channels_out, widen, first)
            channels, index = channels_out, index + 1
    x = graph.relu6(graph.convolution(x, f"features.{index}.0", f"features.{index}.1"))
    x = graph.node("GlobalAveragePool", [x], "pool")
    x = graph.node("Flatten", [x], "features", axis=1)
    inputs = [
        x,
        graph.constant("classifier.weight", weights["classifier.1.weight"]),
        graph.constant("classifier.bias", weights["classifier.1.bias"]),
    ]
    x = graph.node("Gemm", inputs, "logits", transB=1)
    graph.node("Softmax", [x], "probabilities", axis=1)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 224, 224])
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 1000])
    body = helper.make_graph(graph.nodes, "mobilenet_v2", [image], [output], graph.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], producer_name="convert_mobilenet")
    model.ir_version = 8
    checker.check_model(model)
    return model


def main():
    """Converts one file."""
    if len(sys.argv) != 3:
        raise SystemExit("usage: convert_mobilenet.py WEIGHTS.pth MODEL.onnx")
    Path(sys.argv[2]).write_bytes(build(read_weights(sys.argv[1])).SerializeToString())


if __name__ == "__main__":
    main()
