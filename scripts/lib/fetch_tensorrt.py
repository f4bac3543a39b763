"""Puts what the tests of the TensorRT engine need under target/tensorrt: headers to compile against, and real libraries."""

import json
import shutil
import subprocess
import sys
from typing import NamedTuple

import wheels

HEADERS = wheels.TARGET / "tensorrt" / "headers"
LIBRARIES = wheels.TARGET / "tensorrt" / "lib"


class Crate(NamedTuple):
    """A pinned version of trtx-sys, which carries NVIDIA's Apache-licensed headers; `folders` are those that are used."""

    version: str
    checksum: str
    folders: dict


CRATES = [
    Crate(
        "0.4.0",
        "44e29236a965ef87398a0cb398f69e7a83b0eead80578cea5bbe1131363955ee",
        {"TRT-Enterprise-10.16": "tensorrt-10.16"},
    ),
    Crate(
        "0.6.0",
        "a20ef33bdda170608d38ffaa604ad0587c2e8f9383ccb7945d4e8fc2202508d0",
        {"TRT-Enterprise-11.0": "tensorrt-11.0", "TRT-RTX-1.5": "rtx-1.5"},
    ),
    Crate(
        "0.9.1",
        "5480ee056292951daa1bc74532162d6cb75190f091e45d7d97c0c356916ae171",
        {"TRT-Enterprise-11.4": "tensorrt-11.4", "TRT-RTX-1.6": "rtx-1.6", "TRT-RTX-1.7": "rtx-1.7"},
    ),
]

REAL = [
    (wheels.TENSORRT_LEAN_10, "tensorrt_lean_libs/libnvinfer_lean.so.10"),
    (wheels.TENSORRT_LEAN_11, "tensorrt_lean_libs/libnvinfer_lean.so.11"),
    (wheels.TENSORRT_RTX, "tensorrt_rtx_libs/libtensorrt_rtx.so.1"),
]


def crate_folder(crate):
    """The folder of the crate's source, fetched by cargo, which checks it against its index."""
    folder = wheels.CACHE / f"trtx-sys-{crate.version}"
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "lib.rs").touch()
    manifest = folder / "Cargo.toml"
    manifest.write_text(
        '[package]\nname = "headers"\nversion = "0.0.0"\nedition = "2021"\n\n[workspace]\n\n'
        f'[dependencies]\ntrtx-sys = {{ version = "={crate.version}", default-features = false }}\n'
    )
    command = ["cargo", "metadata", "--quiet", "--format-version", "1", "--manifest-path", str(manifest)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"error: cargo could not fetch trtx-sys {crate.version}:\n{result.stderr}")
    if f'checksum = "{crate.checksum}"' not in (folder / "Cargo.lock").read_text():
        raise SystemExit(f"error: trtx-sys {crate.version} is not what was pinned: its checksum differs")
    packages = json.loads(result.stdout)["packages"]
    (found,) = [package for package in packages if package["name"] == "trtx-sys"]
    return wheels.Path(found["manifest_path"]).parent / "TensorRT-Headers"


def headers():
    """Each version's headers in a folder of its own, complete or not there."""
    for crate in CRATES:
        wanted = {name: HEADERS / target for name, target in crate.folders.items()}
        if all(target.exists() for target in wanted.values()):
            continue
        print(f"  fetching trtx-sys {crate.version}", flush=True)
        source = crate_folder(crate)
        for name, target in wanted.items():
            part = target.with_name(target.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(source / name, part)
            shutil.copy(source / "cuda_runtime_api.h", part)
            shutil.rmtree(target, ignore_errors=True)
            part.rename(target)
    for wheel, name in (wheels.CUDA_RUNTIME, "cuda"), (wheels.NVML, "nvml"):
        header = HEADERS / name / f"{name}.h"
        if not header.exists():
            wheels.write(header, wheels.read(wheel, f"nvidia/*/include/{header.name}"))
    print(f"TensorRT's headers: {HEADERS.relative_to(wheels.ROOT)}")


def libraries():
    """Real libraries, on machines that they are published for."""
    if wheels.machine() != "x86_64":
        print("TensorRT's libraries are pinned for x86_64 alone; the tests that need them are skipped")
        return
    for wheel, name in REAL:
        target = LIBRARIES / wheels.Path(name).name
        stamp = target.with_name(target.name + ".version")
        if target.exists() and stamp.exists() and stamp.read_text() == wheel.version:
            continue
        wheels.write(target, wheels.read(wheel, name))
        wheels.write(stamp, wheel.version.encode())
    print(f"TensorRT's libraries: {LIBRARIES.relative_to(wheels.ROOT)}")


if __name__ == "__main__":
    {"headers": headers, "libraries": libraries}[sys.argv[1]]()
