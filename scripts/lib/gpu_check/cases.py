"""The models that are served on the device and on the CPU: how they are made, and what they are asked."""

import subprocess
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from daemon import ROOT


class Case(NamedTuple):
    """A model. `make()` gives its bytes, and `inputs(random, rows)` arrays by name."""

    name: str
    make: Callable
    inputs: Callable
    # How many rows ONNX Runtime's own loop runs at a time, and how many a request to the daemon has, which combines
    # them.
    batch: int
    rows: int


def mlp():
    """The digits MLP of the tests."""
    import models

    return models.mlp("FP32").SerializeToString()


def mobilenet():
    """The sample model."""
    path = ROOT / "model-repository" / "mobilenet_v2" / "1" / "model.onnx"
    if not path.exists():
        subprocess.run([ROOT / "scripts" / "fetch-models"], check=True)
    return path.read_bytes()


def transformer():
    from gpu_check.transformer import model

    return model()


def pixels(random, rows):
    return {"pixels": random.random((rows, 64), np.float32)}


def images(random, rows):
    return {"image": random.standard_normal((rows, 3, 224, 224), np.float32)}


def sentences(random, rows, words=64):
    lengths = random.integers(8, words, (rows, 1), endpoint=True)
    mask = (np.arange(words) < lengths).astype(np.int64)
    return {"input_ids": random.integers(1, 2000, (rows, words)) * mask, "attention_mask": mask}


CASES = [
    Case("mlp", mlp, pixels, batch=64, rows=16),
    Case("mobilenet_v2", mobilenet, images, batch=32, rows=8),
    Case("transformer", transformer, sentences, batch=32, rows=8),
]


def model_of(case, folder):
    """The model's bytes: from a folder of those that were made before, if one is given and has it."""
    path = folder / f"{case.name}.onnx" if folder else None
    if path and path.exists():
        return path.read_bytes()
    return case.make()


def config(case, kind):
    """A configuration for instances of a kind; on a GPU two, so that one copies while the other computes."""
    count = 2 if kind == "KIND_GPU" else 1
    return (
        f'backend: "onnxruntime"\nmax_batch_size: {case.batch}\n'
        f"instance_group [ {{ count: {count} kind: {kind} }} ]\ndynamic_batching {{ }}\n"
    )
