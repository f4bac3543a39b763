"""What traces cost a request: a small MLP under load, in turn without traces and with a share of requests traced."""

import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import grpc
import models
from bench import generator, h2load, load, process
from bench.load import Server
from bench.report import table, target
from daemon import Daemon
from tritonclient.grpc import service_pb2_grpc

PAIRS = 7
SECONDS_OF_A_RUN = 1.5
# Connections, and streams of each. Over one stream a receiver on the same machine keeps up with all traces.
ONE, MANY = (1, 1), (4, 16)
# The second is what the machine makes of two daemons that are the same.
NONE, AGAIN = "no traces", "no traces, again"
# One request in so many, to an OpenTelemetry receiver, or into Triton's file.
RATES = {"none of them": 0, "1 %": 100, "100 %": 1}
FILE = "100 %, to a file"
MOST_SHARE, MOST_MICROS = 1.02, 15


class Cost(NamedTuple):
    """A kind of run beside the one without traces, pair by pair."""

    ratio: float
    more: float


def run():
    """Prints the table; returns the lines about the targets."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        scratch = Path(scratch)
        repository = models.Repository(scratch / "repository")
        load.add(repository, "mlp", 64)
        receiver = stack.enter_context(
            subprocess.Popen(
                [process.TOOLS / "trace_receiver"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        # Its end; also where a run fails.
        stack.callback(receiver.stdin.close)
        url = f"http://127.0.0.1:{receiver.stdout.readline().strip()}"
        daemons = {
            name: stack.enter_context(Daemon([f"--model-repository={repository.folder}", *flags], scratch / f"{n}.log"))
            for n, (name, flags) in enumerate(kinds(url, scratch).items())
        }
        for daemon in daemons.values():
            daemon.wait_ready()
        one, many = (measure_and_show(daemons, shape, scratch) for shape in (ONE, MANY))
    return [
        target("CPU per request at 1 %, as a multiple of that without traces", many["1 %"].ratio, MOST_SHARE, ""),
        target("CPU of a request that is traced, more than without", one["100 %"].more, MOST_MICROS, "µs"),
        target("the same of one that is written to a file", one[FILE].more, MOST_MICROS, "µs"),
    ]


def measure_and_show(daemons, shape, scratch):
    """The cost of each kind; prints the table."""
    before = {name: traces(daemon) for name, daemon in daemons.items()}
    runs = measure(daemons, shape, scratch)
    costs = {name: cost(runs[name], runs[NONE]) for name in runs}
    dropped = {name: lost(before[name], traces(daemon)) for name, daemon in daemons.items()}
    show(shape, runs, costs, dropped)
    return costs


def kinds(url, scratch):
    """The flags of each kind of daemon."""
    config = "--trace-config="
    otlp = [f"{config}mode=opentelemetry", f"{config}level=TIMESTAMPS", f"{config}opentelemetry,url={url}"]
    # Room for what comes while a batch is sent, so that next to nothing is dropped, which would cost less.
    otlp += [f"{config}opentelemetry,bsp_max_queue_size=60000", f"{config}opentelemetry,bsp_max_export_batch_size=3000"]
    file = [f"{config}triton,file={scratch / 'trace.json'}", f"{config}level=TIMESTAMPS", f"{config}rate=1"]
    with_rates = {name: [*otlp, f"{config}rate={rate}"] for name, rate in RATES.items()}
    return {NONE: [], AGAIN: [], **with_rates, FILE: file}


def measure(daemons, shape, scratch):
    """The runs of each kind, one of each in turn."""
    body = scratch / "body"
    body.write_bytes(generator.frame(load.request("mlp").SerializeToString()))
    servers = {name: Server(daemon.grpc_port, daemon.process.pid, body) for name, daemon in daemons.items()}
    for daemon in daemons.values():
        with grpc.insecure_channel(daemon.url) as channel:
            load.check_answers(service_pb2_grpc.GRPCInferenceServiceStub(channel), ["mlp"])
    log = scratch / "requests.log"
    probes = [h2load.drive(server, shape, 20_000, body, log) for server in servers.values()]
    requests = int(probes[0].rate * SECONDS_OF_A_RUN)
    runs = {name: [] for name in servers}
    for number in range(PAIRS):
        # Whoever goes first is another each time.
        names = list(servers)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            runs[name].append(h2load.drive(servers[name], shape, requests, body, log))
    return runs


def traces(daemon):
    """How many requests were traced, and how many of the traces were dropped."""
    return daemon.metric("nerite_traces_total"), daemon.metric("nerite_traces_dropped_total")


def lost(before, after):
    """The share of traces that were dropped in between."""
    traced, dropped = (now - then for now, then in zip(after, before))
    return dropped / traced if traced else 0


def cost(runs, without):
    """The middle of what the pairs say."""
    pairs = list(zip(runs, without))
    ratio = median(one.cpu / other.cpu for one, other in pairs)
    return Cost(ratio, median(one.cpu - other.cpu for one, other in pairs))


def show(shape, runs, costs, dropped):
    """The table."""
    connections, streams = shape
    rows = [
        [
            f"{connections}×{streams}  {name}",
            f"{median(run.rate for run in of):,.0f}",
            f"{median(run.p50 for run in of):,.0f}",
            f"{median(run.p99 for run in of):,.0f}",
            f"{median(run.cpu for run in of):.2f}",
            f"{costs[name].more:+.2f}",
            f"{costs[name].ratio:.3f}",
            f"{dropped[name]:.1%}",
        ]
        for name, of in runs.items()
    ]
    header = ["requests/s", "p50 µs", "p99 µs", "CPU µs/request", "more", "ratio", "dropped"]
    table([f"median of {PAIRS} pairs", *header], rows)
