"""A small MLP under load, in turn with a bare tonic service that sends the same answer."""

import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import grpc
import models
import numpy as np
import onnxruntime
from bench import h2load
from bench.h2load import Run
from bench.report import table, target
from bench.startup import TOOLS
from daemon import Daemon, free_ports
from tritonclient.grpc import service_pb2, service_pb2_grpc

ROUNDS = 7
SECONDS_OF_A_ROUND = 1.2
# Connections, and streams of each; the limit on Nerite's CPU time as a multiple of the bare service's.
SHAPES = {(1, 1): 2.6, (4, 16): 1.6, (64, 1): None}
# The same model with a batcher that is never in anyone's way, and without batching.
MODELS = {"batching": 64, "no batching": 0}


class Server(NamedTuple):
    """Where a server listens, which process it is, and the file with a request's frame for it."""

    port: int
    pid: int
    body: Path


def run():
    """Prints the table; returns the lines about the targets."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        repository = models.Repository(scratch / "repository")
        for name, batch in MODELS.items():
            add(repository, name.replace(" ", "_"), batch)
        with Daemon([f"--model-repository={repository.folder}"], scratch / "nerite.log") as daemon:
            daemon.wait_ready()
            results = measure(daemon, scratch)
    show(results)
    return [
        target(
            f"CPU at {connections}×{streams}, {name}, as a multiple of the bare service's",
            ratio(results[connections, streams], name),
            limit,
            "",
        )
        for (connections, streams), limit in SHAPES.items()
        if limit
        for name in MODELS
    ]


def add(repository, name, batch):
    """The MLP as a model of its own."""
    rows = [] if batch else [-1]
    extra = "dynamic_batching { }" if batch else ""
    config = models.config(
        name, [("pixels", "FP32", [*rows, 64])], [("probabilities", "FP32", [*rows, 10])], batch, extra
    )
    repository.add(name, models.mlp("FP32"), config)


def measure(daemon, scratch):
    """Every run, by shape and server."""
    names = {name: name.replace(" ", "_") for name in MODELS}
    with grpc.insecure_channel(daemon.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        check_answers(stub, names.values())
        servers = {}
        for name, model in names.items():
            body = scratch / f"{model}.body"
            body.write_bytes(frame(request(model).SerializeToString()))
            servers[name] = Server(daemon.grpc_port, daemon.process.pid, body)
        answer = scratch / "answer"
        answer.write_bytes(stub.ModelInfer(request(names["batching"])).SerializeToString())
        echo, port = start_echo(answer)
        try:
            servers["bare"] = Server(port, echo.pid, servers["batching"].body)
            results = {shape: measure_shape(daemon, servers, shape, scratch) for shape in SHAPES}
        finally:
            echo.kill()
            echo.wait()
        check_answers(stub, names.values())
    return results


def measure_shape(daemon, servers, shape, scratch):
    """Rounds of one run for each server, in turn; the first finds out how many requests fill a round."""
    log = scratch / "requests.log"
    counts = {}
    for name, server in servers.items():
        probe = h2load.drive(server, shape, 2_000, server.body, log)
        counts[name] = max(2_000, int(probe.rate * SECONDS_OF_A_ROUND))
    runs = {name: [] for name in servers}
    before = successes(daemon)
    for _ in range(ROUNDS):
        for name, server in servers.items():
            runs[name].append(h2load.drive(server, shape, counts[name], server.body, log))
    # h2load does not see a gRPC status; the daemon's own count shows that every request was served.
    expected = ROUNDS * sum(counts[name] for name in MODELS)
    served = successes(daemon) - before
    if served != expected:
        raise RuntimeError(f"{expected} requests were sent, and the daemon counts {served} successes")
    return runs


def start_echo(answer):
    """The bare service, ready."""
    (port,) = free_ports(1)
    process = subprocess.Popen([TOOLS / "echo_server", str(port), answer], stdin=subprocess.DEVNULL)
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    try:
        grpc.channel_ready_future(channel).result(timeout=10)
    except grpc.FutureTimeoutError:
        process.kill()
        raise RuntimeError("the bare service did not start") from None
    finally:
        channel.close()
    return process, port


def successes(daemon):
    """The daemon's count of requests that succeeded."""
    # A run's last answer may be on its way before it is counted.
    time.sleep(0.2)
    lines = [line for line in daemon.metrics().splitlines() if line.startswith("nv_inference_request_success{")]
    return sum(int(float(line.split()[-1])) for line in lines)


def request(model, row=0):
    """One digit."""
    _, images, _ = models.digits()
    message = service_pb2.ModelInferRequest(model_name=model)
    message.inputs.add(name="pixels", datatype="FP32", shape=[1, 64])
    message.raw_input_contents.append(images[row].tobytes())
    return message


def frame(message):
    """A gRPC message as it is in a body: not compressed, its length, itself."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def check_answers(stub, names):
    """Raises unless the daemon's answers to some digits are ONNX Runtime's."""
    _, images, _ = models.digits()
    session = onnxruntime.InferenceSession(
        models.mlp("FP32").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for name in names:
        for row in range(20):
            answer = stub.ModelInfer(request(name, row))
            got = np.frombuffer(answer.raw_output_contents[0], np.float32)
            (expected,) = session.run(None, {"pixels": images[row : row + 1]})
            if not np.allclose(got, expected[0], atol=1e-5):
                raise RuntimeError(f"{name}: digit {row} is answered with {got}, not {expected[0]}")


def show(results):
    """The table."""
    rows = []
    for (connections, streams), runs in results.items():
        for name in ["bare", *MODELS]:
            middle = Run(*(median(column) for column in zip(*runs[name])))
            label = "bare tonic service" if name == "bare" else f"nerite, {name}"
            rows.append(
                [
                    f"{connections}×{streams}  {label}",
                    f"{middle.rate:,.0f}",
                    f"{middle.p50:,.0f}",
                    f"{middle.p99:,.0f}",
                    f"{middle.cpu:.1f}",
                    f"{ratio(runs, name):.2f}",
                ]
            )
    table([f"median of {ROUNDS} rounds", "requests/s", "p50 µs", "p99 µs", "CPU µs/request", "ratio"], rows)


def ratio(runs, name):
    """The middle of the rounds' ratios of CPU time per request to the bare service's, each within its round."""
    return median(run.cpu / bare.cpu for run, bare in zip(runs[name], runs["bare"]))
