"""What a request costs where many models are loaded."""

from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import models
from bench import cores, generator
from bench.report import spread, table, target
from daemon import Daemon
from tritonclient.grpc import service_pb2

MODELS = 1_000
ROUNDS = 15
SECONDS_OF_A_ROUND = 0.5
# Connections, and streams of each. Several requests at a time to one model are another thing than to several models,
# which have an instance each, so that the targets are about one request after the other.
SHAPES = [(1, 1), (4, 16)]
ALONE, ONE, ALL = "the only model", f"one of {MODELS:,}", f"all {MODELS:,} by turns"
LIMITS = {ONE: 1.05, ALL: 1.3}


def run():
    """Prints the table; returns the lines about the targets."""
    with TemporaryDirectory() as scratch, ExitStack() as daemons:
        scratch = Path(scratch)
        names = [f"model_{number:04}" for number in range(MODELS)]
        one, all_of_them = scratch / "one.body", scratch / "all.bodies"
        one.write_bytes(body(names[MODELS // 2]))
        all_of_them.write_bytes(b"".join(map(body, names)))
        # The scheduler's choice of cores costs more than what is looked for here.
        asking, serving = cores.split()
        with cores.pinned(serving):
            single = serve(daemons, scratch / "single", names[MODELS // 2 :][:1])
            many = serve(daemons, scratch / "many", names)
        subjects = {ALONE: (single, one), ONE: (many, one), ALL: (many, all_of_them)}
        with cores.pinned(asking):
            results = {shape: measure(subjects, shape) for shape in SHAPES}
    show(results)
    sequential = results[1, 1]
    return [
        target(f"CPU at 1×1, {name}, as a multiple of {ALONE}'s", ratio(sequential, name), limit, "")
        for name, limit in LIMITS.items()
    ]


def serve(daemons, scratch, names):
    """A daemon with identities of those names."""
    repository = models.Repository(scratch / "repository")
    data = models.identity("FP32", ["b", 4]).SerializeToString()
    for name in names:
        # Without a batcher, so that a request to one model is made the same way as one to many.
        config = models.config(name, [("INPUT0", "FP32", [-1, 4])], [("OUTPUT0", "FP32", [-1, 4])])
        repository.add(name, data, config)
    daemon = Daemon([f"--model-repository={repository.folder}"], scratch / "nerite.log")
    return daemons.enter_context(daemon).wait_ready(300)


def body(model):
    """A request of one row."""
    message = service_pb2.ModelInferRequest(model_name=model)
    message.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 4])
    message.raw_input_contents.append(bytes(4 * 4))
    return generator.frame(message.SerializeToString())


def measure(subjects, shape):
    """Rounds of one run for each, in turn; the first finds out how many requests fill a round."""
    counts = {name: int(drive(subject, shape, 3_000).rate * SECONDS_OF_A_ROUND) for name, subject in subjects.items()}
    runs = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, subject in subjects.items():
            runs[name].append(drive(subject, shape, max(counts[name], 3 * MODELS)))
    return runs


def drive(subject, shape, requests):
    """One run. Raises unless every request was answered well."""
    daemon, bodies = subject
    one = generator.closed(daemon.grpc_port, daemon.process.pid, shape, requests, bodies)
    if one.ok != requests:
        raise RuntimeError(f"{one.ok} of {requests} requests were answered well: {one.counts}")
    return one


def show(results):
    """The table."""
    rows = []
    for (connections, streams), runs in results.items():
        for name, of_it in runs.items():
            rows.append(
                [
                    f"{connections}×{streams}  {name}",
                    f"{median(run.rate for run in of_it):,.0f}",
                    f"{median(run.p50_us for run in of_it):,.0f}",
                    spread([run.cpu_us for run in of_it], 1),
                    f"{ratio(runs, name):.2f}",
                ]
            )
    table([f"median of {ROUNDS} rounds", "requests/s", "p50 µs", "CPU µs/request (least–most)", "ratio"], rows)


def ratio(runs, name):
    """The middle of the rounds' ratios of CPU time per request to the only model's, each within its round."""
    return median(run.cpu_us / alone.cpu_us for run, alone in zip(runs[name], runs[ALONE]))
