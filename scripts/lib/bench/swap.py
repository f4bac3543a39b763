"""What requests feel of a reload: their latency while one is under way, and otherwise."""

import random
import shutil
import subprocess
import threading
import time
from bisect import bisect_right
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import grpc
import models
from bench import generator, process
from bench.report import spread, table
from bench.scale import body
from churn.explicit import load
from daemon import ROOT, Daemon
from tritonclient.grpc import service_pb2_grpc

SECONDS = 8
CONNECTIONS = 2
# Between two reloads.
PAUSES = (0.1, 0.3)
# A window ends so long after the reload was said to be over.
AFTER = 0.05
# What differs between them is noise.
ROUNDS = 5
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "most": 1.0}
MEASURED, HEAVY = "measured", "mobilenet_v2"
RELOADED = {None: "nothing reloads", MEASURED: "itself reloads", HEAVY: "MobileNetV2 reloads beside it"}
INSIDE, OUTSIDE = "inside swap windows", "outside"


def run():
    """Prints the table. There is no target: how many cores are left to the clients decides most of it."""
    with TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        repository = models.Repository(scratch / "repository")
        repository.add(MEASURED, models.identity("FP32", ["b", 4]))
        shutil.copytree(ROOT / "model-repository" / HEAVY, repository.folder / HEAVY)
        bodies = scratch / "bodies"
        bodies.write_bytes(body(MEASURED))
        flags = [f"--model-repository={repository.folder}", "--model-control-mode=explicit", "--load-model=*"]
        results, reloads = {}, {}
        with Daemon(flags, scratch / "nerite.log") as daemon:
            daemon.wait_ready()
            # In turn, so that a slow moment of the machine is a slow moment for all.
            for _ in range(ROUNDS):
                for model in RELOADED:
                    windows, samples = measure(daemon, repository, model, bodies)
                    reloads.setdefault(model, []).extend(windows)
                    for where, latencies in split(samples, windows).items():
                        results.setdefault((model, where), []).append(latencies)
    show(results, reloads)
    return []


def measure(daemon, repository, model, bodies):
    """One round in which a model is reloaded, or none: the windows, and when each request began and how long it took."""
    with Reloads(daemon.url, repository, model) as reloads:
        arguments = [daemon.grpc_port, CONNECTIONS, 1000 * SECONDS, bodies]
        command = [str(process.TOOLS / "timed_loop"), *map(str, arguments)]
        limit = generator.LIMIT_SECONDS
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=limit)
    samples = (line.split() for line in result.stdout.splitlines())
    return reloads.windows, [(float(begun) / 1e6, float(took) / 1e6) for begun, took in samples]


def split(samples, windows):
    """The latencies of requests that were under way in a window, and of the others."""
    begins, ends = [begin for begin, _ in windows], [end for _, end in windows]
    parts = {INSIDE: [], OUTSIDE: []}
    for begun, took in samples:
        # The last window that began before the request ended; they do not overlap.
        at = bisect_right(begins, begun + took) - 1
        parts[INSIDE if at >= 0 and ends[at] >= begun else OUTSIDE].append(took)
    return {where: latencies for where, latencies in parts.items() if latencies}


def show(results, reloads):
    """The table."""
    rows = []
    for (model, where), rounds in sorted(results.items(), key=lambda item: list(RELOADED).index(item[0][0])):
        took = [1000 * (end - begin - AFTER) for begin, end in reloads[model]]
        rows.append(
            [
                f"{RELOADED[model]}, {where}" if model else RELOADED[model],
                f"{median(map(len, rounds)):,.0f}",
                f"{median(took):.0f}" if took else "",
                *(spread([quantile(latencies, q) for latencies in rounds]) for q in QUANTILES.values()),
            ]
        )
    names = [f"{name} µs" for name in QUANTILES]
    table([f"{CONNECTIONS} clients, median of {ROUNDS} rounds (least–most)", "requests", "reload ms", *names], rows)


def quantile(latencies, q):
    """In µs."""
    return 1e6 * sorted(latencies)[min(int(q * len(latencies)), len(latencies) - 1)]


class Reloads(threading.Thread):
    """Reloads a model again and again while the block lasts; `windows` has when, on the system's clock."""

    def __init__(self, url, repository, model):
        super().__init__()
        self.url, self.model, self.windows, self.error = url, model, [], None
        self.file = model and repository.folder / model / "1" / "model.onnx"
        self.over = threading.Event()

    def run(self):
        """Its files have new times, so that it is loaded anew."""
        chance = random.Random(1)
        with grpc.insecure_channel(self.url) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            while self.model and not self.error and not self.over.wait(chance.uniform(*PAUSES)):
                self.file.touch()
                begun = time.time()
                self.error = load(stub, self.model)
                self.windows.append((begun, time.time() + AFTER))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        if self.error:
            raise RuntimeError(f"{self.model} could not be loaded: {self.error}")
