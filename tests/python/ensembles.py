"""Ensembles' configurations, and models to put into them."""

import models
import numpy as np
from models import DTYPES, numpy_helper, tensor
from onnx import helper


def step(model, inputs, outputs, version=-1):
    """A step: its model's inputs and outputs, each to an ensemble's tensor."""

    def entries(field, mapping):
        return "".join(f' {field} {{ key: "{key}" value: "{value}" }}' for key, value in mapping.items())

    maps = entries("input_map", inputs) + entries("output_map", outputs)
    return f'{{ model_name: "{model}" model_version: {version}{maps} }}'


def ensemble(inputs, outputs, *steps, batch=0, extra="", limit=0):
    """The configuration of an ensemble; inputs and outputs are (name, dtype, dims) or (name, dtype, dims, more)."""

    def entry(kind, name, dtype, dims, more=""):
        return f'{kind} [ {{ name: "{name}" data_type: {DTYPES[dtype][0]} dims: {list(dims)} {more} }} ]\n'

    text = f'platform: "ensemble"\nmax_batch_size: {batch}\n'
    text += "".join(entry("input", *one) for one in inputs) + "".join(entry("output", *one) for one in outputs)
    scheduling = "ensemble_scheduling { step [ " + ", ".join(steps) + " ]"
    if limit:
        scheduling += f" max_inflight_requests: {limit}"
    return text + scheduling + " }\n" + extra


def linear(factor, offset, shape=("b", "n")):
    """INPUT0 * factor + offset."""
    constants = [numpy_helper.from_array(np.float32(value), name) for name, value in [("f", factor), ("o", offset)]]
    nodes = [helper.make_node("Mul", ["INPUT0", "f"], ["m"]), helper.make_node("Add", ["m", "o"], ["OUTPUT0"])]
    shape = list(shape)
    return models.model(nodes, [tensor("INPUT0", "FP32", shape)], [tensor("OUTPUT0", "FP32", shape)], constants)


X, Y = [("X", "FP32", [-1])], [("Y", "FP32", [-1])]


def chain(*names, batch=4, **more):
    """An ensemble from X to Y through models of one FP32 input and output each."""
    tensors = ["X", *(f"t{place}" for place in range(1, len(names))), "Y"]
    steps = [
        step(name, {"INPUT0": before}, {"OUTPUT0": after}) for name, before, after in zip(names, tensors, tensors[1:])
    ]
    return ensemble(X, Y, *steps, batch=batch, **more)
