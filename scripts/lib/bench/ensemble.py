"""What an ensemble of identity models costs a step over the steps themselves, in turn with one called directly."""

import tempfile
from pathlib import Path
from statistics import median

import ensembles
import grpc
import models
import numpy as np
from bench import generator, h2load
from bench.load import Server, successes
from bench.report import table, target
from daemon import Daemon
from tritonclient.grpc import service_pb2, service_pb2_grpc

ROUNDS = 7
SECONDS_OF_A_ROUND = 1.2
# Connections, and streams of each.
SHAPES = [(1, 1), (4, 16)]
# The steps of each ensemble; 0 is the model itself.
STEPS = [0, 1, 2, 4, 8]
WIDTH = 16
# In µs of CPU time.
LIMIT = 10
PHASES = ("compute_input", "compute_infer", "compute_output")


def run():
    """Prints the table; returns the lines about the targets."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        repository = models.Repository(scratch / "repository")
        tensors = [("INPUT0", "FP32", [WIDTH])], [("OUTPUT0", "FP32", [WIDTH])]
        # Without dynamic batching, so that what a step takes is known of each request.
        repository.add(model_name(0), models.identity("FP32", [-1, WIDTH]), models.config(model_name(0), *tensors, 64))
        for steps in STEPS[1:]:
            repository.add(model_name(steps), config=chain(steps))
        with Daemon([f"--model-repository={repository.folder}"], scratch / "nerite.log") as daemon:
            daemon.wait_ready()
            results = {shape: measure(daemon, shape, scratch) for shape in SHAPES}
    show(results)
    return [
        target(f"CPU at {connections}×{streams} of a step over itself, {steps} steps", over(runs, steps), LIMIT, "µs")
        for (connections, streams), runs in results.items()
        for steps in STEPS[1:]
    ]


def model_name(steps):
    """The name of the ensemble of so many steps."""
    return f"chain_{steps}" if steps else "identity"


def chain(steps):
    """Its configuration."""
    inputs, outputs = [("INPUT0", "FP32", [WIDTH])], [("OUTPUT0", "FP32", [WIDTH])]
    tensors = ["INPUT0", *(f"t{place}" for place in range(1, steps)), "OUTPUT0"]
    pairs = zip(tensors, tensors[1:])
    parts = [ensembles.step(model_name(0), {"INPUT0": one}, {"OUTPUT0": next}) for one, next in pairs]
    return ensembles.ensemble(inputs, outputs, *parts, batch=64)


class Turn:
    """One run of each, and what a step took by itself meanwhile, in µs."""

    def __init__(self, own):
        self.own, self.runs = own, {}


def measure(daemon, shape, scratch):
    """Rounds of one run for each, in turn; the first finds out how many requests fill a round."""
    log = scratch / "requests.log"
    servers, counts = {}, {}
    for steps in STEPS:
        message = request(model_name(steps))
        check(daemon, message)
        body = scratch / f"{steps}.body"
        body.write_bytes(generator.frame(message.SerializeToString()))
        servers[steps] = Server(daemon.grpc_port, daemon.process.pid, body)
        probe = h2load.drive(servers[steps], shape, 1_000, body, log)
        counts[steps] = max(1_000, int(probe.rate * SECONDS_OF_A_ROUND))
    turns = []
    for _ in range(ROUNDS):
        before, took = successes(daemon), taken(daemon)
        runs = {
            steps: h2load.drive(server, shape, counts[steps], server.body, log) for steps, server in servers.items()
        }
        # h2load does not see a gRPC status; the daemon's own count shows that every request was served, and every step.
        expected = sum(count * (steps + 1) for steps, count in counts.items())
        served = successes(daemon) - before
        if served != expected:
            raise RuntimeError(f"{expected} requests were to be served, and the daemon counts {served} successes")
        count, nanos = (after - then for after, then in zip(taken(daemon), took))
        turn = Turn(nanos / count / 1000)
        turn.runs = runs
        turns.append(turn)
    return turns


def taken(daemon):
    """How many requests the model has answered, and for how many nanoseconds it has been executed."""
    asked = service_pb2.ModelStatisticsRequest(name=model_name(0))
    with grpc.insecure_channel(daemon.url) as channel:
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStatistics(asked)
    stats = answer.model_stats[0].inference_stats
    return stats.success.count, sum(getattr(stats, phase).ns for phase in PHASES)


def request(model):
    """A row."""
    message = service_pb2.ModelInferRequest(model_name=model)
    message.inputs.add(name="INPUT0", datatype="FP32", shape=[1, WIDTH])
    message.raw_input_contents.append(np.arange(WIDTH, dtype=np.float32).tobytes())
    return message


def check(daemon, message):
    """Raises unless the answer is the request's own row."""
    with grpc.insecure_channel(daemon.url) as channel:
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message)
    if answer.raw_output_contents[0] != message.raw_input_contents[0]:
        raise RuntimeError(f"{message.model_name} does not answer with what it was given")


def show(results):
    """The table."""
    rows = []
    for (connections, streams), turns in results.items():
        for steps in STEPS:
            rate, p50, p99, cpu = (median(column) for column in zip(*(turn.runs[steps] for turn in turns)))
            numbers = [f"{rate:,.0f}", f"{p50:,.0f}", f"{p99:,.0f}", f"{cpu:.1f}"]
            more = [f"{over(turns, steps):.1f}"] if steps else [f"(itself {median(turn.own for turn in turns):.1f})"]
            rows.append([f"{connections}×{streams}  {model_name(steps)}", *numbers, *more])
    header = ["requests/s", "p50 µs", "p99 µs", "CPU µs/request", "µs a step over itself"]
    table([f"median of {ROUNDS} rounds", *header], rows)


def over(turns, steps):
    """The middle of the rounds' CPU times of a step beyond what its execution takes: what an ensemble takes more than
    its model called directly, less the executions of its other steps."""
    more = (turn.runs[steps].cpu - turn.runs[0].cpu - (steps - 1) * turn.own for turn in turns)
    return median(more) / steps
