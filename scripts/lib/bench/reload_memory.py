"""What remains of models that are unloaded."""

import shutil
import struct
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import grpc
from bench import process
from bench.report import table, target
from churn.explicit import load
from daemon import ROOT, Daemon
from tritonclient.grpc import service_pb2, service_pb2_grpc

CYCLES = 500
# Pools and caches are filled by then.
FIRST = 10
SHOWN_EVERY = 50
# One reading is noisy: threads of the engine still end, and the allocator gives back in the background.
READINGS, PAUSE = 7, 0.03
MODEL = "mobilenet_v2"


def run():
    """Prints the table; returns the line about the target."""
    with TemporaryDirectory() as scratch:
        repository = Path(scratch) / "repository"
        shutil.copytree(ROOT / "model-repository" / MODEL, repository / MODEL)
        flags = [f"--model-repository={repository}", "--model-control-mode=explicit"]
        with Daemon(flags, Path(scratch) / "nerite.log") as daemon:
            daemon.wait_ready()
            with grpc.insecure_channel(daemon.url) as channel:
                stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
                resident, loads = cycles(daemon, stub)
            rows = [[number, f"{megabytes:,.1f}", f"{given / 1e6:,.0f}"] for number, megabytes, given in resident]
    table([f"loads and unloads of {MODEL}", "resident, MB", "given back so far, MB"], rows)
    print(f"nv_model_load_duration_secs: {min(loads):.3f} to {max(loads):.3f}, median {median(loads):.3f}\n")
    (_, first, _), *_, (_, last, _) = resident
    return [target(f"resident after {CYCLES} cycles, more than after {FIRST}", 100 * last / first - 100, 5, "%")]


def cycles(daemon, stub):
    """After some of the cycles: their number, the MB resident, the bytes given back; and how long each load took."""
    resident, loads = [], []
    for number in range(1, CYCLES + 1):
        error = load(stub, MODEL)
        if error:
            raise RuntimeError(error)
        stub.ModelInfer(request(), timeout=10)
        loads.append(seconds(daemon, "nv_model_load_duration_secs"))
        stub.RepositoryModelUnload(service_pb2.RepositoryModelUnloadRequest(model_name=MODEL))
        daemon.wait_until(lambda: is_gone(stub), 10, f"unload {MODEL}")
        if number == FIRST or number % SHOWN_EVERY == 0:
            resident.append((number, measured(daemon), daemon.metric("nerite_memory_given_back_bytes_total")))
    return resident, loads


def is_gone(stub):
    """Whether the last of it is unloaded."""
    index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest()).models
    return [(model.state, model.reason) for model in index] == [("UNAVAILABLE", "unloaded")]


def measured(daemon):
    """The MB resident, the middle of some readings."""
    readings = []
    for _ in range(READINGS):
        time.sleep(PAUSE)
        readings.append(process.status(daemon.process.pid, "VmRSS") / 1000)
    return median(readings)


def seconds(daemon, name):
    """A metric that is no whole number."""
    line = next(line for line in daemon.metrics().splitlines() if line.startswith(f"{name}{{"))
    return float(line.rpartition(" ")[2])


def request():
    """A black image."""
    message = service_pb2.ModelInferRequest(model_name=MODEL)
    message.inputs.add(name="image", datatype="FP32", shape=[1, 3, 224, 224])
    message.raw_input_contents.append(struct.pack("<f", 0) * (3 * 224 * 224))
    return message
