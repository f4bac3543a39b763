"""Clients that expire, go away and break off, and what the daemon keeps of them."""

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import grpc
import models
from bench import generator, process
from bench.overload import request
from bench.report import table, target
from daemon import Daemon, DaemonError
from tritonclient.grpc import service_pb2_grpc

ROUNDS = 4
REQUESTS = 100_000
CLIENTS = 8
SEED = 20_240_601
# Some 2 ms each.
STEPS = 800
# The same model with and without batching, and how many of its requests go together.
MODELS = {"single": 1, "batching": 4}
# What must be nothing when nobody asks any more.
GAUGES = ["nv_inference_pending_request_count", "nerite_inflight_requests", "nerite_inflight_bytes"]
QUIET_SECONDS = 30


class Round(NamedTuple):
    """What became of the requests, and what the daemon holds after it."""

    run: generator.Run
    resident: float
    threads: int
    left: dict


def run():
    """Prints the table; returns the lines about the targets."""
    with TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        repository = models.Repository(scratch / "repository")
        tensors = [("INPUT0", "FP32", [256])], [("OUTPUT0", "FP32", [256])]
        for name, batch in MODELS.items():
            config = models.config(name, *tensors, batch, "dynamic_batching { }")
            repository.add(name, models.slow(STEPS), config)
        bodies = scratch / "bodies"
        bodies.write_bytes(b"".join(generator.frame(request(name).SerializeToString()) for name in MODELS))
        with Daemon([f"--model-repository={repository.folder}"], scratch / "nerite.log") as daemon:
            daemon.wait_ready()
            rounds = [measure(daemon, SEED + number, bodies) for number in range(ROUNDS)]
            check_answers(daemon)
    show(rounds)
    return judge(rounds)


def measure(daemon, seed, bodies):
    """One round, and the daemon when it is quiet again."""
    pid = daemon.process.pid
    one = generator.storm(daemon.grpc_port, pid, seed, CLIENTS, REQUESTS, bodies)
    # What is left after that is for the table to say.
    with contextlib.suppress(DaemonError):
        daemon.wait_until(lambda: not any(left(daemon).values()), QUIET_SECONDS, "become quiet")
    return Round(one, process.status(pid, "VmRSS") / 1000, process.status(pid, "Threads"), left(daemon))


def left(daemon):
    """The gauges that are to be zero."""
    return {name: daemon.metric(name) for name in GAUGES}


def check_answers(daemon):
    """Raises unless the daemon still answers, and rightly."""
    with grpc.insecure_channel(daemon.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for name in MODELS:
            answer = stub.ModelInfer(request(name), timeout=10)
            if answer.raw_output_contents[0] != request(name).raw_input_contents[0]:
                raise RuntimeError(f"{name}: an identity's answer is not what it was given")


def show(rounds):
    """The table."""
    rows = []
    for number, one in enumerate(rounds, 1):
        counts = [one.run.ok, one.run.expired, one.run.abandoned, one.run.broken, one.run.failed + one.run.refused]
        rows.append(
            [
                number,
                f"{one.run.elapsed_us / 1e6:.1f}",
                *(f"{count:,}" for count in counts),
                f"{one.resident:,.1f}",
                one.threads,
            ]
        )
    header = ["s", "answered", "expired", "abandoned", "broken", "other", "resident, MB", "threads"]
    table([f"rounds of {REQUESTS:,}", *header], rows)


def judge(rounds):
    """The lines about the targets. The first round fills the daemon's pools and caches."""
    second, last = rounds[1], rounds[-1]
    grown = 100 * max(one.resident for one in rounds[1:]) / second.resident - 100
    unanswered = sum(one.run.unanswered for one in rounds)
    gauges = {name: max(one.left[name] for one in rounds) for name in GAUGES}
    return [
        target("requests without an answer", unanswered, 0, ""),
        *(target(f"{name} after the storm", value, 0, "") for name, value in gauges.items()),
        target("resident after any later round, more than after the second", grown, 5, "%"),
        target("threads after the last round, more than after the second", last.threads - second.threads, 0, ""),
    ]
