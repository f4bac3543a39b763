"""Many loaded models that nobody uses."""

import os
import tempfile
import time
from pathlib import Path

import models
import tritonclient.grpc as triton
from bench import process
from bench.report import table, target
from daemon import Daemon

MODELS = 1400
# Threads that loaded the models end by themselves after some seconds.
SETTLE_SECONDS = 20
WATCH_SECONDS = 30


def run():
    """Prints the table; returns the lines about the targets."""
    with tempfile.TemporaryDirectory() as scratch:
        repository = models.Repository(Path(scratch) / "repository")
        data = models.identity("FP32", ["b", 4]).SerializeToString()
        for number in range(MODELS):
            repository.add(f"model_{number:04}", data)
        begun = time.monotonic()
        with Daemon([f"--model-repository={repository.folder}"], Path(scratch) / "nerite.log") as daemon:
            daemon.wait_ready(300)
            loaded = time.monotonic() - begun
            check_all_are_loaded(daemon)
            pid = daemon.process.pid
            threads_then = process.status(pid, "Threads")
            time.sleep(SETTLE_SECONDS)
            ticks, cpu = process.cpu_ticks(pid), process.cpu_seconds(pid)
            time.sleep(WATCH_SECONDS)
            ticks, cpu = process.cpu_ticks(pid) - ticks, process.cpu_seconds(pid) - cpu
            threads, resident = process.status(pid, "Threads"), process.status(pid, "VmRSS")
    rows = [
        ["loaded after", f"{loaded:.2f} s"],
        ["threads when ready", threads_then],
        [f"threads {SETTLE_SECONDS + WATCH_SECONDS} s later", threads],
        ["resident", f"{resident / 1000:,.0f} MB"],
        [f"CPU in {WATCH_SECONDS} s", f"{cpu * 1e6:,.0f} µs, {ticks} ticks"],
    ]
    table([f"{MODELS:,} idle models", ""], rows)
    cores = len(os.sched_getaffinity(0))
    return [
        target(f"{MODELS:,} idle models, threads", threads, 2 * cores + 16, ""),
        target(f"{MODELS:,} idle models, CPU in {WATCH_SECONDS} s", ticks, 0, "ticks"),
    ]


def check_all_are_loaded(daemon):
    """Raises unless every model is ready."""
    with triton.InferenceServerClient(daemon.url) as client:
        states = [model.state for model in client.get_model_repository_index().models]
    if states != ["READY"] * MODELS:
        raise RuntimeError(f"{states.count('READY')} of {MODELS} models are loaded")
