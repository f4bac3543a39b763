"""How fast the daemon is, in turn with ONNX Runtime's own loop in Python on the same device."""

import statistics
import subprocess
from typing import NamedTuple

import numpy as np
from bench.generator import LIMIT_SECONDS, Run, frame
from gpu_check.compare import SEED
from gpu_check.loop import Loop
from gpu_check.serving import DEVICE, message

PROVIDERS = {"gpu": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
# Of the daemon's rows per second to the loop's, where requests are combined.
TARGET = 0.95
# Bodies that are sent by turns, and requests in flight.
BODIES, CONNECTIONS, STREAMS = 4, 4, 8
PROBE = 64


class Result(NamedTuple):
    """Rows per second, of every round, and the version of ONNX Runtime in the loop."""

    case: str
    batch: int
    daemon: list
    loop: list
    version: str

    @property
    def ratio(self):
        """The middle of the rounds' ratios, each within its round."""
        return statistics.median(ours / theirs for ours, theirs in zip(self.daemon, self.loop, strict=True))


class Shape(NamedTuple):
    """How much is asked for at a time: of the daemon, by so many requests of so many rows; of the loop."""

    rows: int
    connections: int
    streams: int
    batch: int


def shapes(case):
    """One row at a time, and as many as a batch holds."""
    return [Shape(1, 1, 1, 1), Shape(case.rows, CONNECTIONS, STREAMS, case.batch)]


def measure(server, case, shape, model, folder, options):
    """The result of rounds in which the daemon and the loop take turns."""
    random = np.random.default_rng(SEED)
    bodies, inputs = folder / f"{case.name}.bodies", folder / f"{case.name}.npz"
    frames = (message(case, DEVICE, case.inputs(random, shape.rows)).SerializeToString() for _ in range(BODIES))
    bodies.write_bytes(b"".join(map(frame, frames)))
    np.savez(inputs, **case.inputs(random, shape.batch))
    def drive(requests):
        run = closed_loop(options.generator, server.daemon.grpc_port, shape, requests, bodies)
        if run.ok != run.total:
            raise RuntimeError(f"{case.name}: {run.total - run.ok} of {run.total} requests were not answered well")
        return run.rate

    requests = max(PROBE, int(drive(PROBE) * options.seconds))
    ours, theirs = [], []
    with Loop(model, inputs, PROVIDERS[options.device], options.environment) as loop:
        for _ in range(options.rounds):
            ours.append(drive(requests) * shape.rows)
            theirs.append(loop.runs_per_second(options.seconds) * shape.batch)
        return Result(case.name, shape.batch, ours, theirs, loop.version)


def closed_loop(program, port, shape, requests, bodies):
    """So many requests through the generator of the benchmarks."""
    command = [program, port, shape.connections, shape.streams, requests, 0, bodies]
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True
    )
    counts = (line.split() for line in result.stdout.splitlines())
    return Run({name: int(number) for name, number in counts}, 0.0)


def rows(results):
    """The results as rows of a table."""
    middle = [(one, statistics.median(one.daemon), statistics.median(one.loop)) for one in results]
    return [
        [f"{one.case}, {one.batch} at a time", f"{ours:,.0f}", f"{theirs:,.0f}", f"{one.ratio:.2f}", verdict(one)]
        for one, ours, theirs in middle
    ]


def verdict(result):
    """Whether the target was reached, which is for batches."""
    if result.batch == 1:
        return ""
    return f"at least {TARGET:g}: {'reached' if result.ratio >= TARGET else 'missed'}"
