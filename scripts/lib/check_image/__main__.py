"""Builds and runs the images of Dockerfile.gpu."""

import argparse
import shutil
import sys
import time
from pathlib import Path

import models
import numpy as np
import tritonclient.grpc as triton
from daemon import ROOT, free_ports
from models import Repository

from check_image import stand_ins
from check_image.engine import FOLDER, Container, EngineError, build, layers

DOCKERFILE = ROOT / "Dockerfile.gpu"
# What the image for CPUs may come to, compressed, in bytes.
LIMIT = 80_000_000
# What libraries of the image for GPUs name and others bring: the driver, and whoever adds the whole of TensorRT.
FROM_ELSEWHERE = {"libcuda.so.1", "libnvinfer.so.10", "libnvonnxparser.so.10"}


class Checks:
    """What was checked, said line by line."""

    def __init__(self):
        self.failed = 0

    def say(self, title, passed, detail=""):
        """One line."""
        self.failed += not passed
        print(f"  {'ok    ' if passed else 'FAILED'} {title}{f': {detail}' if detail else ''}", flush=True)

    def wait(self, title, condition, seconds=60):
        """One line, when the condition holds or has not for too long."""
        deadline = time.monotonic() + seconds
        while not (holds := condition()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.say(title, holds)


def infer(client, name):
    """Whether a model that adds does so."""
    inputs = [triton.InferInput(f"INPUT{i}", [1, 16], "FP32") for i in range(2)]
    for number, tensor in enumerate(inputs):
        tensor.set_data_from_numpy(np.full((1, 16), number + 1, np.float32))
    return bool((client.infer(name, inputs).as_numpy("OUTPUT0") == 3).all())


def readable(path):
    """Lets any user read what is there: the image's own is none of this machine's."""
    for one in [path, *path.rglob("*")]:
        one.chmod(0o755 if one.is_dir() else 0o644)


def run(image, checks):
    """Runs an image as an operator would who trusts it with nothing."""
    model = models.add_sub("FP32", ["b", 16])
    shutil.rmtree(FOLDER / "models", ignore_errors=True)
    repository = Repository(FOLDER / "models")
    repository.add("sum", model)
    readable(repository.folder)
    grpc, http, metrics = free_ports(3)
    safe = ["--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp"]
    safe += ["--cap-drop=all", "--security-opt=no-new-privileges"]
    place = [f"--volume={repository.folder}:/models:ro", f"--env=NERITE_HTTP_PORT={http}"]
    flags = ["--model-repository=/models", "--model-control-mode=explicit", "--load-model=*"]
    flags += [f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    flags += ["--grpc-address=127.0.0.1", "--http-address=127.0.0.1"]
    with Container(image, flags, *safe, *place) as container:
        checks.wait("its health check becomes healthy", container.healthy)
        status = Path(f"/proc/{container.inspect('{{.State.Pid}}')}/status").read_text()
        user = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        checks.say("it runs as its own user", set(user) == {"65532"}, " ".join(user))
        refused = [container.execute("touch", path)[1] for path in ("/x", "/opt/nerite/x", "/models/x", "/var/tmp/x")]
        checks.say("its root is read-only", all("Read-only file system" in text for text in refused))
        with triton.InferenceServerClient(f"127.0.0.1:{grpc}") as client:
            checks.say("it answers a client", infer(client, "sum"))
            client.load_model("given", config="{}", files={"file:1/model.onnx": model.SerializeToString()})
            checks.say("/tmp alone is enough to load a model that a client sends", infer(client, "given"))
        _, text = container.execute("nerite", "check", "/models")
        checks.say("its program is found by name", "1 model versions can be served, 0 cannot" in text, text)
        if image.endswith("gpu"):
            look_at_libraries(container, checks)
        status = container.stop()
        checks.say("its stop signal ends it in order", status == 0, f"status {status}")
        if checks.failed:
            print(container.log())


def look_at_libraries(container, checks):
    """Whether every library finds those that it names, but for what comes from elsewhere."""
    libraries = "/opt/nvidia/lib/*.so.* /opt/nerite/onnxruntime/lib/*.so"
    _, text = container.execute("sh", "-c", f"ldd {libraries} 2>&1")
    missing = {line.split()[0] for line in text.splitlines() if "not found" in line}
    found = sum(line.startswith("/") and line.endswith(":") for line in text.splitlines())
    passed = found > 20 and missing <= FROM_ELSEWHERE
    checks.say("its libraries find each other", passed, f"{found}, but for {', '.join(sorted(missing))}")


def weigh(image, checks):
    """Tells the image's compressed size, which has a limit for CPUs."""
    sizes = layers(image)
    each = " + ".join(f"{size / 1e6:.1f}" for size in sizes if size > 50_000)
    passed = sum(sizes) < LIMIT or not image.endswith("cpu")
    checks.say("compressed size", passed, f"{sum(sizes) / 1e6:.1f} MB (layers: {each})")


def main():
    """Exit status 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="scripts/check-image", description=__doc__)
    parser.add_argument("targets", nargs="*", default=["cpu"], help="cpu, gpu (fetches 1.5 GB) or both [default: cpu]")
    parser.add_argument("--prebuilt", help="take this binary, instead of compiling it in the image's first stage")
    options = parser.parse_args()
    checks = Checks()
    try:
        stand_in = stand_ins.make(DOCKERFILE, options.prebuilt)
        for target in options.targets:
            print(f"building {target}", flush=True)
            started = time.monotonic()
            build(ROOT, DOCKERFILE, f"nerite:{target}", f"--target={target}", *stand_in)
            checks.say(f"{target} is built", True, f"{time.monotonic() - started:.0f} s")
            run(f"nerite:{target}", checks)
            weigh(f"nerite:{target}", checks)
    except EngineError as error:
        sys.exit(f"error: {error}")
    print(f"{checks.failed} failed")
    sys.exit(checks.failed > 0)


if __name__ == "__main__":
    main()
