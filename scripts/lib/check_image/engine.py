"""podman, with its images under target/image, so that nothing of the machine's own is used or left changed."""

import json
import os
import shutil
import subprocess

from daemon import ROOT

FOLDER = ROOT / "target" / "image"


class EngineError(Exception):
    """podman failed; the text is what it said."""


def command(*arguments):
    """How podman is called."""
    places = [f"--root={FOLDER / 'storage'}", f"--runroot={FOLDER / 'run'}", "--storage-driver=overlay"]
    return ["podman", *places, "--cgroup-manager=cgroupfs", *map(str, arguments)]


def podman(*arguments, seconds=3000):
    """What podman prints, without the last line's end; raises EngineError if its status is not 0."""
    scratch = FOLDER / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    # Builds keep what they cache from one to the next in the folder for temporary files.
    environment = {**os.environ, "TMPDIR": str(scratch)}
    result = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=seconds, env=environment)
    if result.returncode != 0:
        end = "\n".join((result.stdout + result.stderr).splitlines()[-40:])
        raise EngineError(f"podman {arguments[0]} failed with status {result.returncode}:\n{end}")
    return result.stdout.strip()


def exists(image):
    """Whether there is an image of that name."""
    try:
        podman("image", "exists", image)
    except EngineError:
        return False
    return True


def build(context, file, image, *options):
    """Builds an image. Its steps are carried out in a chroot, which works inside of a container too."""
    common = ["--isolation=chroot", "--format=docker", "--pull=never"]
    podman("build", *common, f"--file={file}", f"--tag={image}", *options, context)


def layers(image):
    """The sizes of an image's layers as a registry would hold them, compressed, in bytes."""
    folder = FOLDER / "pushed"
    shutil.rmtree(folder, ignore_errors=True)
    podman("push", "--compress", image, f"dir:{folder}")
    sizes = [layer["size"] for layer in json.loads((folder / "manifest.json").read_text())["layers"]]
    shutil.rmtree(folder, ignore_errors=True)
    return sizes


class Container:
    """A container in the background, which is gone when the block is left."""

    # Lower than podman's own, which takes a right to raise limits.
    LIMITS = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]

    def __init__(self, image, arguments, *options):
        # Health checks run when they are asked for: there may be no systemd that would do it every few seconds.
        common = ["--detach", "--network=host", "--cgroups=disabled", "--health-interval=disable", *self.LIMITS]
        self.id = podman("run", *common, *options, image, *arguments)

    def inspect(self, template):
        """What podman knows of it."""
        return podman("inspect", f"--format={template}", self.id)

    def log(self):
        """What it has printed."""
        result = subprocess.run(
            command("logs", self.id), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
        )
        return result.stdout

    def execute(self, *command):
        """The exit status of a command inside of it, and what it prints."""
        try:
            return 0, podman("exec", self.id, *command, seconds=60)
        except EngineError as error:
            return 1, str(error)

    def healthy(self):
        """Whether the image's own health check says so."""
        try:
            podman("healthcheck", "run", self.id, seconds=60)
        except EngineError:
            return False
        return True

    def stop(self):
        """Ends it as an orchestrator would, with the image's signal. Its exit status."""
        podman("stop", "--time=20", self.id)
        return int(self.inspect("{{.State.ExitCode}}"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        podman("rm", "--force", "--time=0", self.id)
