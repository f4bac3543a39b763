"""The cases that the onnx package carries under backend/test/data."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import TensorProto

from .tensors import from_proto

EXPECTED_CASES = 1590
ONNX_VERSION = "1.18.0"


class Case(NamedTuple):
    """One case: a model, and the inputs of its first data set in the order of the graph's inputs."""

    name: str
    folder: Path

    @property
    def model(self):
        return self.folder / "model.onnx"

    def inputs(self, declared):
        """The input tensors of a model that declares these (name, dtype) pairs, in order."""
        tensors = []
        for (name, dtype), path in zip(declared, input_files(self.folder)):
            proto = TensorProto()
            proto.ParseFromString(path.read_bytes())
            tensor = from_proto(name, proto)
            # The package stores BF16 data as the 16-bit integers that hold its bits.
            if dtype == "BF16" and tensor.dtype == "UINT16":
                tensor = tensor._replace(dtype="BF16")
            tensors.append(tensor)
        return tensors


def input_files(folder):
    """input_0.pb, input_1.pb, ... of a case, in numeric order."""
    files = (folder / "test_data_set_0").glob("input_*.pb")
    return sorted(files, key=lambda path: int(path.stem.split("_")[1]))


def find_cases(data=None):
    """Every case of the installed onnx package (or of the folder `data`), by name."""
    data = data or Path(onnx.__file__).parent / "backend" / "test" / "data"
    cases = [Case(path.parent.name, path.parent) for path in data.glob("*/*/model.onnx")]
    if len({case.name for case in cases}) != len(cases):
        raise SystemExit("two conformance cases share a name")
    return sorted(cases)


def lay_out(cases, repository):
    """Makes one model repository of all cases: <repository>/<case>/1/<the case's files>, without configurations."""
    if repository.exists():
        shutil.rmtree(repository)
    for case in cases:
        version = repository / case.name / "1"
        version.mkdir(parents=True)
        for file in case.folder.iterdir():
            if file.is_file():
                link_or_copy(file, version / file.name)


def link_or_copy(source, target):
    """A hard link where the file system allows it: a second copy of the data buys nothing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
