"""A small MLP under load, in turn with two bare tonic services: one that sends the same answer, and one that does
nothing but to run the same model."""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import grpc
import models
import numpy as np
import onnxruntime
from bench import generator, h2load
from bench.bare import Bare
from bench.report import FIGURES, figures, table, target
from daemon import Daemon
from tritonclient.grpc import service_pb2, service_pb2_grpc

ROUNDS = 7
SECONDS_OF_A_ROUND = 1.2
# Connections, and streams of each.
SHAPES = [(1, 1), (4, 16), (64, 1)]
# The same model with a batcher that is never in anyone's way, and without batching.
MODELS = {"batching": 64, "no batching": 0}
ECHO, RUN = "bare echo", "bare run"


class Limit(NamedTuple):
    """How much of a figure Nerite may have at most, as a multiple of a bare service's."""

    shape: tuple
    figure: str
    floor: str
    most: float


LIMITS = [
    Limit((1, 1), "cpu", ECHO, 2.6),
    Limit((1, 1), "cpu", RUN, 1.2),
    Limit((1, 1), "p50", RUN, 1.2),
    Limit((4, 16), "cpu", ECHO, 1.4),
    Limit((64, 1), "cpu", ECHO, 1.4),
]


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
    return [judge(results[limit.shape], limit, name) for limit in LIMITS for name in MODELS]


def judge(runs, limit, name):
    """The line about one limit for one of the models."""
    connections, streams = limit.shape
    figure = {"cpu": "CPU", "p50": "p50"}[limit.figure]
    what = f"{figure} at {connections}×{streams}, {name}, as a multiple of the {limit.floor}'s"
    return target(what, ratio(runs, name, limit.floor, limit.figure), limit.most, "")


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
            body.write_bytes(generator.frame(request(model).SerializeToString()))
            servers[name] = Server(daemon.grpc_port, daemon.process.pid, body)
        answer = scratch / "answer"
        answer.write_bytes(stub.ModelInfer(request(names["batching"])).SerializeToString())
        model = scratch / "model.onnx"
        model.write_bytes(models.mlp("FP32").SerializeToString())
        body = servers["batching"].body
        with Bare("echo_server", answer) as echo, Bare("run_server", model) as run:
            check_answers(run.stub(), ["run_server"])
            servers[ECHO] = Server(echo.port, echo.pid, body)
            servers[RUN] = Server(run.port, run.pid, body)
            results = {shape: measure_shape(daemon, servers, shape, scratch) for shape in SHAPES}
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


def successes(daemon):
    """The daemon's count of requests that succeeded."""
    # A run's last answer may be on its way before it is counted.
    time.sleep(0.2)
    return daemon.metric("nv_inference_request_success")


def request(model, row=0):
    """One digit."""
    _, images, _ = models.digits()
    message = service_pb2.ModelInferRequest(model_name=model)
    message.inputs.add(name="pixels", datatype="FP32", shape=[1, 64])
    message.raw_input_contents.append(images[row].tobytes())
    return message


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
        for name in [ECHO, RUN, *MODELS]:
            label = f"nerite, {name}" if name in MODELS else name
            rows.append(
                [
                    f"{connections}×{streams}  {label}",
                    *figures(runs[name]),
                    f"{ratio(runs, name, ECHO):.2f}",
                    f"{ratio(runs, name, RUN):.2f}",
                ]
            )
    table([f"median of {ROUNDS} rounds", *FIGURES, "to the echo", "to the run"], rows)


def ratio(runs, name, floor, figure="cpu"):
    """The middle of the rounds' ratios of a figure to the bare service's, each within its round."""
    pairs = zip(runs[name], runs[floor])
    return median(getattr(run, figure) / getattr(bare, figure) for run, bare in pairs)
