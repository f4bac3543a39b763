"""The daemon and the tests in Rust: built here, or brought along in a folder."""

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from daemon import ROOT


class Test(NamedTuple):
    """Tests that need a GPU: their package and their name in it."""

    package: str
    name: str

    @property
    def title(self):
        return f"{self.package} {self.name}"

    @property
    def file(self):
        """What the executable is called in a folder that was brought along."""
        return f"test-{self.package}-{self.name}"


# Where scripts/gpu-pack puts what is carried to another machine.
CARRIED = ROOT / "carried"
TESTS = [Test("nerite-nvml", "real"), Test("nerite-tensorrt", "real"), Test("nerite-onnxruntime", "gpu")]
DAEMON, GENERATOR = "nerite", "closed_loop"


class Missing(Exception):
    """A program is not to be had; the text says why."""


class Carried:
    """Programs that were brought along."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()

    def program(self, name):
        path = self.folder / name
        if not path.exists():
            raise Missing(f"{path} does not exist")
        return path

    def test(self, test):
        return self.program(test.file)


class Built:
    """Programs that cargo builds here."""

    def __init__(self):
        self.target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))

    def program(self, name):
        package = "nerite" if name == DAEMON else "nerite-tests"
        self.cargo("build", "--package", package, "--bin", name)
        return self.target / "release" / name

    def test(self, test):
        if test.package == "nerite-tensorrt":
            for script in ("fetch-tensorrt-headers", "fetch-tensorrt-libraries"):
                run([str(ROOT / "scripts" / script)])
        text = self.cargo("test", "--no-run", "--message-format=json", "--package", test.package, "--test", test.name)
        return executable(text, test)

    def cargo(self, command, *arguments):
        """What cargo prints; raises Missing if it fails."""
        return run(["cargo", command, "--release", "--locked", "--quiet", "--target-dir", str(self.target), *arguments])


def run(command):
    """What a command prints; raises Missing with what it complains of if it fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    except OSError as error:
        raise Missing(f"{command[0]} cannot be run ({error}); --binaries names programs to use instead") from None
    if result.returncode != 0:
        raise Missing(complaint(result.stderr) or f"{command[0]} ended with status {result.returncode}")
    return result.stdout


def executable(messages, test):
    """The path of the tests' executable, which cargo names in a line of JSON."""
    for line in messages.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("target", {}).get("name") == test.name and message.get("executable"):
            return Path(message["executable"])
    raise Missing(f"cargo did not say where it put the tests {test.title}")


def complaint(text):
    """The first line that is an error, or else the last that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("error")), lines[-1] if lines else "")
