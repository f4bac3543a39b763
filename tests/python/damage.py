"""A model that is whole, and what can be done to it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import models
import onnxruntime
from onnx import TensorProto, helper

PAIR = [("INPUT0", "FP32", [16]), ("INPUT1", "FP32", [16])]
RESULTS = [("OUTPUT0", "FP32", [16], 'label_filename: "labels.txt"'), ("OUTPUT1", "FP32", [16])]
SAMPLE = {
    "INPUT0": "data_type: TYPE_FP32 dims: [ 16 ] zero_data: true",
    "INPUT1": "data_type: TYPE_FP32 dims: [ 16 ] random_data: true",
}
WHOLE = models.add_sub("FP32", ["b", 16]).SerializeToString()


class Way(NamedTuple):
    """One way to break a model."""

    damage: Callable[[Path], object]
    """Damages the model in that folder."""
    says: str
    """What the reason says is wrong; {name} and {folder} are the model's."""
    tells: str
    """What it says to do."""


def make_whole(folder):
    """A model that can be served, in the place of whatever is there."""
    remove(folder)
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(WHOLE)
    (folder / "labels.txt").write_text("\n".join(f"label {i}" for i in range(16)) + "\n")
    configured()(folder)


def remove(path):
    """Removes a file, a link or a directory, or nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        for directory, _, _ in os.walk(path):
            os.chmod(directory, 0o700)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def twin(folder):
    """Where the model's name is in the second repository."""
    return folder.parent.parent / "second" / folder.name


def model(content):
    """Has this in the model's file."""
    return lambda folder: model_file(folder).write_bytes(content)


def model_file(folder):
    return folder / "1" / "model.onnx"


def instead(path, make):
    """Has something else in the place of a file: what `make` makes there."""

    def damage(folder):
        remove(folder / path)
        make(folder / path)

    return damage


def grown(path, size):
    """Has zeros after a file's end that take no space on the disk."""
    return lambda folder: os.truncate(folder / path, size)


def unreadable(path):
    """Takes away all rights to a file or directory."""
    return lambda folder: (folder / path).chmod(0)


def loop(path):
    """A directory that cannot be found, since it is behind links that lead to each other."""
    path.symlink_to("2")
    path.with_name("2").symlink_to(path.name)


def versions(*names):
    """Has the one version under other names."""

    def damage(folder):
        for name in names:
            shutil.copytree(folder / "1", folder / name)
        shutil.rmtree(folder / "1")

    return damage


def configured(inputs=PAIR, outputs=RESULTS, batch=8, extra="", replace=("", "")):
    """Has a configuration that differs from the whole one in this."""

    def damage(folder):
        text = models.config(folder.name, inputs, outputs, batch, extra)
        (folder / "config.pbtxt").write_text(text.replace(*replace))

    return damage


def input0(name="INPUT0", dtype="FP32", dims=(16,), more=""):
    """Has a configuration whose first input differs in this."""
    return configured(inputs=[(name, dtype, list(dims), more), PAIR[1]])


def output0(name="OUTPUT0", dtype="FP32", dims=(16,), more=""):
    """Has a configuration whose first output differs in this."""
    return configured(outputs=[(name, dtype, list(dims), more), RESULTS[1]])


def written(text):
    """Has this in config.pbtxt, after the model's name."""
    return lambda folder: (folder / "config.pbtxt").write_text(f'name: "{folder.name}"\n{text}\n')


def warmed(fields="", **inputs):
    """Has a configuration with a sample whose inputs differ in this; None leaves one out."""
    given = {name: text for name, text in {**SAMPLE, **inputs}.items() if text is not None}
    entries = " ".join(f'inputs {{ key: "{name}" value {{ {text} }} }}' for name, text in given.items())
    return configured(extra=f'model_warmup [ {{ name: "first" {fields} {entries} }} ]')


def together(*ways):
    """Damages in several ways."""
    return lambda folder: [damage(folder) for damage in ways]


def external(location, content=None, length=64):
    """Has a model that keeps its weights in another file, and that file if there is a content."""

    def damage(folder):
        weights = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[16])
        weights.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("length", str(length))):
            weights.external_data.add(key=key, value=value)
        node = helper.make_node("Add", ["INPUT0", "weights"], ["OUTPUT0"])
        ends = [models.tensor(name, "FP32", ["b", 16]) for name in ("INPUT0", "OUTPUT0")]
        graph = helper.make_graph([node], "test", ends[:1], ends[1:], [weights])
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        model_file(folder).write_bytes(proto.SerializeToString())
        if content is not None:
            (folder / "1" / location).write_bytes(content)

    return damage


def of_opset(number):
    """The whole model, made for another version of the operators."""
    proto = models.add_sub("FP32", ["b", 16])
    proto.opset_import[0].version = number
    return proto.SerializeToString()


def classifier():
    """A model with an output that is no tensor."""
    return (Path(onnxruntime.__file__).parent / "datasets" / "logreg_iris.onnx").read_bytes()
