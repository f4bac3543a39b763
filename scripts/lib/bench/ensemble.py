"""What an ensemble of identity models costs a step over the steps themselves, in turn with one called directly."""

import tempfile
from pathlib import Path
from statistics import median

import ensembles
import grpc
import models
from bench import generator, h2load, row
from bench.load import Server, successes
from bench.report import FIGURES, figures, table, target
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
        message = row.request(model_name(steps), WIDTH)
        row.answer(daemon, message)
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


def show(results):
    """The table."""
    rows = []
    for (connections, streams), turns in results.items():
        for steps in STEPS:
            more = [f"{over(turns, steps):.1f}"] if steps else [f"(itself {median(turn.own for turn in turns):.1f})"]
            rows.append([f"{connections}×{streams}  {model_name(steps)}", *figures(turn.runs[steps] for turn in turns), *more])
    table([f"median of {ROUNDS} rounds", *FIGURES, "µs a step over itself"], rows)


def over(turns, steps):
    """The middle of the rounds' CPU times of a step beyond what its execution takes: what an ensemble takes more than
    its model called directly, less the executions of its other steps."""
    more = (turn.runs[steps].cpu - turn.runs[0].cpu - (steps - 1) * turn.own for turn in turns)
    return median(more) / steps
