"""The libraries that were brought along in folders: what there is, and the environment in which programs find it."""

import os
import re
from pathlib import Path

# What is worth naming: a title, and how the file's name begins.
KNOWN = [
    ("ONNX Runtime", "libonnxruntime.so"),
    ("its CUDA provider", "libonnxruntime_providers_cuda.so"),
    ("its TensorRT provider", "libonnxruntime_providers_tensorrt.so"),
    ("CUDA runtime", "libcudart.so"),
    ("cuBLAS", "libcublas.so"),
    ("cuBLASLt", "libcublasLt.so"),
    ("cuDNN", "libcudnn.so"),
    ("cuFFT", "libcufft.so"),
    ("cuRAND", "libcurand.so"),
    ("NVRTC", "libnvrtc.so"),
    ("TensorRT", "libnvinfer.so"),
    ("TensorRT's lean runtime", "libnvinfer_lean.so"),
    ("TensorRT for RTX", "libtensorrt_rtx.so"),
]
IS_LIBRARY = re.compile(r"\.so(\.\d+)*$")


class Libraries:
    """Every shared library below some folders, such as one that `pip install --target` has filled with wheels."""

    def __init__(self, folders):
        self.folders = [Path(folder).resolve() for folder in folders]
        for folder in self.folders:
            if not folder.is_dir():
                raise SystemExit(f"error: the folder of libraries {folder} does not exist")
        files = (path for folder in self.folders for path in sorted(folder.rglob("*.so*")))
        self.files = [path for path in files if IS_LIBRARY.search(path.name) and path.is_file()]

    def find(self, beginning):
        """The first library whose name begins so and goes on with a version, if there is one."""
        return next((path for path in self.files if re.fullmatch(re.escape(beginning) + r"(\.\d+)*", path.name)), None)

    def versions(self):
        """What there is of KNOWN: its title, and its file's name with the wheel that it is of."""
        found = ((title, self.find(beginning)) for title, beginning in KNOWN)
        return [(title, described(path)) for title, path in found if path]

    def packages(self):
        """The folders from which Python can import ONNX Runtime."""
        return [folder for folder in self.folders if (folder / "onnxruntime" / "__init__.py").exists()]

    def environment(self):
        """The variables in which programs find all of it, before anything of the system's."""
        variables = {}
        folders = list(dict.fromkeys(str(path.parent) for path in self.files))
        if folders:
            variables["LD_LIBRARY_PATH"] = joined(folders, os.environ.get("LD_LIBRARY_PATH"))
        if runtime := self.find("libonnxruntime.so"):
            variables["ORT_DYLIB_PATH"] = str(runtime)
        if packages := self.packages():
            variables["PYTHONPATH"] = joined(map(str, packages), os.environ.get("PYTHONPATH"))
        return variables


def joined(paths, rest):
    """A list of paths as a variable holds it."""
    return os.pathsep.join([*paths, *([rest] if rest else [])])


def described(path):
    """A library's name, with the version of the wheel that it lies in where that can be told."""
    for folder in path.parents:
        for record in folder.glob("*.dist-info/RECORD"):
            if f"{path.relative_to(folder).as_posix()}," in record.read_text():
                name, version, *_ = record.parent.name.removesuffix(".dist-info").split("-")
                return f"{path.name}, of {name} {version}"
    return path.name
