"""Puts the libraries for serving on NVIDIA GPUs under target/gpu, as the image for GPUs holds them.

`onnxruntime/lib` has ONNX Runtime's GPU build, `nvidia/lib` the libraries of CUDA, cuDNN and TensorRT's lean runtime in
one folder, and `licenses` the terms of each package.
"""

import shutil
import tempfile
from pathlib import Path

import wheels

FOLDER = wheels.TARGET / "gpu"
NVIDIA = [
    wheels.CUDA_RUNTIME,
    wheels.CUDA_NVRTC,
    wheels.NVJITLINK,
    wheels.CUBLAS,
    wheels.CUFFT,
    wheels.CURAND,
    wheels.CUDNN,
    wheels.TENSORRT_LEAN,
]
# Interfaces of other libraries to the same functions, and Python's module; nothing here loads them.
UNUSED = ("libcufftw.", "libnvblas.", "onnxruntime_pybind11_state.")
TERMS = ("LICENSE", "LICENSE.txt", "License.txt", "ThirdPartyNotices.txt")


def is_library(name):
    """Whether that file of a wheel is a library that may be loaded."""
    file = Path(name).name
    return ".so" in file and not file.startswith(UNUSED)


def lay_out(wheel, libraries):
    """Puts the libraries of a wheel into that folder, and its terms where they can be found."""
    terms = FOLDER / "licenses" / wheel.package
    for folder in (libraries, terms):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        wheels.unpack(wheel, scratch, lambda name: is_library(name) or Path(name).name in TERMS)
        for path in sorted(Path(scratch).rglob("*")):
            if path.is_file():
                shutil.move(path, (terms if path.name in TERMS else libraries) / path.name)


def main():
    """Instant when the pinned versions are there already."""
    stamp = FOLDER / "stamp"
    wanted = "".join(f"{wheel.package} {wheel.version}\n" for wheel in [wheels.ONNXRUNTIME_GPU, *NVIDIA])
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(FOLDER, ignore_errors=True)
        lay_out(wheels.ONNXRUNTIME_GPU, FOLDER / "onnxruntime" / "lib")
        link = FOLDER / "onnxruntime" / "lib" / "libonnxruntime.so"
        link.symlink_to(f"libonnxruntime.so.{wheels.ONNXRUNTIME_GPU.version}")
        for wheel in NVIDIA:
            lay_out(wheel, FOLDER / "nvidia" / "lib")
        wheels.write(stamp, wanted.encode())
    print(f"libraries for GPUs: {FOLDER.relative_to(wheels.ROOT)}")


if __name__ == "__main__":
    main()
