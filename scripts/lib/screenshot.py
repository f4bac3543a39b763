"""Takes the picture of the status page that the README shows."""

import sys
import tempfile
import threading
import time
from pathlib import Path

import browsers
import grpc
import models
import numpy as np
import tritonclient.grpc as triton
from daemon import ROOT, Daemon
from models import Repository
from tritonclient.grpc import service_pb2_grpc
from wire import simple

VECTOR = [("INPUT0", "FP32", [16]), ("INPUT1", "FP32", [16])]
RESULTS = [("OUTPUT0", "FP32", [16]), ("OUTPUT1", "FP32", [16])]
# For how long the models are busy before the picture is taken, in seconds.
BUSY = 60


def fill(folder):
    """Models to look at: a busy one with batches, one of two versions, one that cannot be loaded."""
    repository = Repository(folder)
    batching = "dynamic_batching { max_queue_delay_microseconds: 2000 }"
    for name, versions, extra in (("ranking", (1, 2), "version_policy { all { } }"), ("scoring", (7,), batching)):
        configuration = models.config(name, VECTOR, RESULTS, batch=32, extra=extra)
        for version in versions:
            repository.add(name, models.add_sub("FP32", ["b", 16]), configuration, version=version)
    repository.add("speech", b"half a model")
    return repository


def ask(url, model, pause, over):
    """Asks one request after another, with the model's number of rows rising and falling, until it is over."""
    with grpc.insecure_channel(url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        turn = 0
        while not over.is_set():
            turn += 1
            stub.ModelInfer(simple(model, 1 + turn % 4))
            time.sleep(pause * (1 + (turn // 200) % 3))


def classify(url, over):
    """Asks MobileNetV2 now and then."""
    image = triton.InferInput("image", [1, 3, 224, 224], "FP32")
    image.set_data_from_numpy(np.zeros((1, 3, 224, 224), np.float32))
    with triton.InferenceServerClient(url) as client:
        while not over.is_set():
            client.infer("mobilenet_v2", [image])
            time.sleep(0.05)


def main():
    """Writes the picture to the path on the command line."""
    over = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        repository = fill(Path(folder) / "models")
        repositories = [f"--model-repository={path}" for path in (repository.folder, ROOT / "model-repository")]
        flags = [*repositories, "--id=eu-west-3", "--exit-on-error=false", "--strict-readiness=false"]
        with Daemon(flags, Path(folder) / "log") as daemon, browsers.launched() as browser:
            daemon.wait_ready()
            load = [("scoring", 0.002)] * 8 + [("ranking", 0.01)] * 2
            threads = [threading.Thread(target=ask, args=(daemon.url, *each, over)) for each in load]
            threads.append(threading.Thread(target=classify, args=(daemon.url, over)))
            for thread in threads:
                thread.start()
            page = browser.new_page(viewport={"width": 1180, "height": 640}, device_scale_factor=1.5, locale="en-GB")
            page.goto(f"http://127.0.0.1:{daemon.metrics_port}/")
            page.wait_for_timeout(BUSY * 1000)
            page.locator('tbody[data-model="scoring"] button').click()
            page.screenshot(path=sys.argv[1], full_page=True)
            over.set()
            for thread in threads:
                thread.join()


if __name__ == "__main__":
    main()
