"""Puts into a folder what scripts/gpu-check needs on a machine with a GPU and nothing else. See scripts/gpu-pack."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from daemon import ROOT
from gpu_check import rust_tests
from gpu_check.binaries import CARRIED, DAEMON, GENERATOR, TESTS, Built, Missing
from gpu_check.cases import CASES, model_of
from gpu_check.fatbin import trim
from gpu_check.libraries import IS_LIBRARY
from wheels import TARGET

SCRIPTS = ["gpu-check", "lib/common.sh", "lib/daemon.py", "lib/wheels.py", "lib/bench", "lib/gpu_check"]
# What the check imports of Python's packages. ONNX Runtime comes with the libraries.
PACKAGES = ["numpy", "numpy.libs", "grpc", "google", "tritonclient", "rapidjson*.so", "typing_extensions.py"]
# The one of TensorRT's libraries with which its tests run an engine on a GPU.
TENSORRT = "libtensorrt_rtx.so.1"
# Of folders of libraries nobody there compiles anything.
NEEDLESS = shutil.ignore_patterns(
    "__pycache__", "include", "*.a", "*.h", "*.hpp", "bin", "tests", "datasets", "transformers"
)


def main(given=None):
    """The exit status."""
    parser = argparse.ArgumentParser(prog="scripts/gpu-pack", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder to make")
    many = {"action": "append", "type": Path, "default": [], "metavar": "DIR"}
    parser.add_argument("--libraries", **many, help="what to take along; repeatable")
    named = {"action": "append", "choices": [test.package for test in TESTS]}
    parser.add_argument("--tests", **named, help="of which package to take tests along [default: all]; repeatable")
    capability = "of the GPU: its compute capability without the dot [default: 90]"
    parser.add_argument("--architecture", type=int, default=90, help=capability)
    options = parser.parse_args(given)
    if options.folder.exists():
        raise SystemExit(f"error: {options.folder} exists already")
    carried = options.folder / CARRIED.name
    carried.mkdir(parents=True)
    scripts(options.folder / "scripts")
    python(carried)
    models(carried / "models")
    tests = [test for test in TESTS if not options.tests or test.package in options.tests]
    programs(carried, tests)
    for number, folder in enumerate(options.libraries):
        libraries(folder, carried / "libraries" / str(number), options.architecture)
    size = sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file())
    print(f"{options.folder}: {size / 1e6:,.0f} MB before compression; there, run scripts/gpu-check")
    return 0


def scripts(target):
    """The check itself."""
    for name in SCRIPTS:
        copy(ROOT / "scripts" / name, target / name, shutil.ignore_patterns("__pycache__"))


def python(carried):
    """The packages that it imports, for an interpreter of this one's version."""
    import numpy

    source = Path(numpy.__file__).parents[1]
    for pattern in PACKAGES:
        for path in source.glob(pattern):
            copy(path, carried / "python" / path.name, NEEDLESS)
    (carried / "python-version").write_text("{}.{}\n".format(*sys.version_info))


def models(target):
    """The models, which takes packages to make that are not carried."""
    target.mkdir()
    for case in CASES:
        (target / f"{case.name}.onnx").write_bytes(model_of(case, None))


def programs(carried, tests):
    """The daemon, the generator of load and the tests; with what the tests compile, for which they are run here."""
    built, target = Built(), carried / "binaries"
    target.mkdir()
    for name in (DAEMON, GENERATOR):
        stripped(built.program(name), target / name)
    for test in tests:
        try:
            program = built.test(test)
        except Missing as error:
            print(f"without {test.title}: {error}")
            continue
        rust_tests.run(test, program, dict(os.environ))
        stripped(program, target / test.file)
        if test.package == "nerite-tensorrt":
            for name in ("headers", "counterfeits", f"lib/{TENSORRT}"):
                copy(TARGET / "tensorrt" / name, carried / "tensorrt" / name)


def libraries(source, target, architecture):
    """A folder of libraries, without device code for other GPUs."""
    copy(source, target, NEEDLESS)
    for path in target.rglob("*.so*"):
        if IS_LIBRARY.search(path.name) and not path.is_symlink():
            image = bytearray(path.read_bytes())
            if zeroed := trim(image, architecture):
                path.write_bytes(image)
                print(f"{path.name}: {zeroed / 1e6:,.0f} of {len(image) / 1e6:,.0f} MB are for other GPUs")


def copy(source, target, ignore=None):
    """A file or folder, under its name there; links as they are. What there is not is not copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=ignore)
    elif source.exists():
        shutil.copy(source, target)


def stripped(source, target):
    """A program without what only a debugger reads, where there is a tool for that."""
    shutil.copy(source, target)
    if shutil.which("strip"):
        subprocess.run(["strip", target], check=True)


if __name__ == "__main__":
    sys.exit(main())
