"""What a request costs whose answer is kept, in turn with a bare tonic service that sends the same answer."""

import tempfile
from pathlib import Path
from statistics import median

import models
from bench import generator, h2load, row
from bench.bare import Bare
from bench.load import Server, successes
from bench.report import FIGURES, figures, table, target
from daemon import Daemon

ROUNDS = 7
SECONDS_OF_A_ROUND = 1.0
# Connections, and streams of each.
SHAPES = [(1, 1), (4, 16)]
# Elements of a row, of 4 bytes, which comes and goes.
WIDTHS = {"256 B": 64, "150 kB": 37_632}
ECHO, HIT = "bare echo", "hit"
LIMIT = 1.1


def run():
    """Prints the table; returns the lines about the targets."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        repository = models.Repository(scratch / "repository")
        for width in WIDTHS.values():
            add(repository, width)
        flags = [f"--model-repository={repository.folder}", f"--cache-config=local,size={1 << 24}"]
        with Daemon(flags, scratch / "nerite.log") as daemon:
            daemon.wait_ready()
            results = {}
            for size, width in WIDTHS.items():
                for shape in SHAPES:
                    results[size, shape] = measure(daemon, width, shape, scratch)
    show(results)
    return [
        target(f"CPU of a hit at {connections}×{streams}, {size}, as a multiple of the echo's", ratio(runs), LIMIT, "")
        for (size, (connections, streams)), runs in results.items()
    ]


def add(repository, width):
    """A model that gives back what it takes, and keeps its answers."""
    tensors = [("INPUT0", "FP32", [width])], [("OUTPUT0", "FP32", [width])]
    extra = "dynamic_batching { } response_cache { enable: true }"
    config = models.config(f"m{width}", *tensors, 64, extra)
    repository.add(f"m{width}", models.identity("FP32", [-1, width]), config)


def measure(daemon, width, shape, scratch):
    """Rounds of one run for each, in turn, another first each time; the first finds out how many requests fill a round."""
    log, body, file = scratch / "requests.log", scratch / "body", scratch / "answer"
    message = row.request(f"m{width}", width)
    answer = row.answer(daemon, message)
    body.write_bytes(generator.frame(message.SerializeToString()))
    file.write_bytes(answer.SerializeToString())
    with Bare("echo_server", file) as echo:
        servers = {
            HIT: Server(daemon.grpc_port, daemon.process.pid, body),
            ECHO: Server(echo.port, echo.pid, body),
        }
        counts = {
            name: max(1_000, int(h2load.drive(server, shape, 1_000, body, log).rate * SECONDS_OF_A_ROUND))
            for name, server in servers.items()
        }
        runs = {name: [] for name in servers}
        before = successes(daemon), hits(daemon)
        for number in range(ROUNDS):
            for name in sorted(servers, reverse=number % 2 == 1):
                runs[name].append(h2load.drive(servers[name], shape, counts[name], body, log))
    # h2load does not see a gRPC status; the daemon's own count shows that every request was a hit.
    expected = ROUNDS * counts[HIT]
    served = successes(daemon) - before[0], hits(daemon) - before[1]
    if served != (expected, expected):
        raise RuntimeError(f"{expected} requests were sent, and the daemon counts {served} successes and hits")
    return runs


def hits(daemon):
    """The daemon's count of hits."""
    return daemon.metric("nv_cache_num_hits_per_model")


def ratio(runs):
    """The middle of the rounds' ratios of a hit's CPU time to the echo's, each within its round."""
    return median(hit.cpu / echo.cpu for hit, echo in zip(runs[HIT], runs[ECHO]))


def show(results):
    """The table."""
    rows = []
    for (size, (connections, streams)), runs in results.items():
        for name in (ECHO, HIT):
            shown = f"{ratio(runs):.2f}" if name == HIT else ""
            rows.append([f"{size}  {connections}×{streams}  {name}", *figures(runs[name]), shown])
    table([f"median of {ROUNDS} rounds", *FIGURES, "to the echo"], rows)
