"""What a request costs through the identity plugin, in turn with one through the same model in ONNX Runtime."""

import tempfile
from pathlib import Path
from statistics import median

import models
from backends import stage
from bench import generator, h2load, row
from bench.load import Server, successes
from bench.report import FIGURES, figures, table, target
from daemon import Daemon

ROUNDS = 7
SECONDS_OF_A_ROUND = 1.2
# Connections, and streams of each.
SHAPES = [(1, 1), (4, 16)]
# Elements of a row, of 4 bytes.
WIDTHS = {"256 B": 64, "150 kB": 37_632}
ONNX, PLUGIN, BRIEF = "ONNX", "plugin", "brief plugin"
LIMIT = 1.15
# Their configurations differ in these alone. A small ONNX model is known to be brief; of a plugin, its configuration says so.
CONFIGURATIONS = {
    ONNX: ("onnxruntime", ""),
    PLUGIN: ("identity", ""),
    BRIEF: ("identity", 'parameters { key: "nerite.brief" value { string_value: "true" } }'),
}


def run():
    """Prints the table; returns the lines about the targets."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        repository = models.Repository(scratch / "repository")
        for width in WIDTHS.values():
            add(repository, width)
        backends = scratch / "backends"
        stage(backends, "identity")
        flags = [f"--model-repository={repository.folder}", f"--backend-directory={backends}"]
        with Daemon(flags, scratch / "nerite.log") as daemon:
            daemon.wait_ready()
            results = {
                (size, shape): measure(daemon, width, shape, scratch)
                for size, width in WIDTHS.items()
                for shape in SHAPES
            }
    show(results)
    return [
        target(f"CPU of a {BRIEF} at {connections}×{streams}, {size}, as a multiple of ONNX's", ratio(runs, BRIEF), LIMIT, "")
        for (size, (connections, streams)), runs in results.items()
    ]


def add(repository, width):
    """The models of that width."""
    tensors = [("INPUT0", "FP32", [width])], [("OUTPUT0", "FP32", [width])]
    for kind, (backend, extra) in CONFIGURATIONS.items():
        name = model_name(kind, width)
        config = models.config(name, *tensors, 64, f"dynamic_batching {{ }} instance_group {{ count: 2 }} {extra}")
        config = config.replace('"onnxruntime"', f'"{backend}"')
        file = [models.identity("FP32", [-1, width])] if kind == ONNX else []
        repository.add(name, *file, config=config)


def model_name(kind, width):
    """The name of the model of that kind and width."""
    return f"{kind.lower().replace(' ', '_')}_{width}"


def measure(daemon, width, shape, scratch):
    """Rounds of one run for each backend, in turn; the first finds out how many requests fill a round."""
    log = scratch / "requests.log"
    servers, counts = {}, {}
    for backend in CONFIGURATIONS:
        message = row.request(model_name(backend, width), width)
        row.answer(daemon, message)
        body = scratch / f"{backend}.body"
        body.write_bytes(generator.frame(message.SerializeToString()))
        servers[backend] = Server(daemon.grpc_port, daemon.process.pid, body)
        probe = h2load.drive(servers[backend], shape, 1_000, body, log)
        counts[backend] = max(1_000, int(probe.rate * SECONDS_OF_A_ROUND))
    runs = {backend: [] for backend in servers}
    before = successes(daemon)
    for _ in range(ROUNDS):
        for backend, server in servers.items():
            runs[backend].append(h2load.drive(server, shape, counts[backend], server.body, log))
    # h2load does not see a gRPC status; the daemon's own count shows that every request was served.
    expected, served = ROUNDS * sum(counts.values()), successes(daemon) - before
    if served != expected:
        raise RuntimeError(f"{expected} requests were sent, and the daemon counts {served} successes")
    return runs


def show(results):
    """The table."""
    rows = []
    for (size, (connections, streams)), runs in results.items():
        for backend in CONFIGURATIONS:
            ratios = [f"{ratio(runs, backend):.2f}" if backend != ONNX else ""]
            rows.append([f"{size}  {connections}×{streams}  {backend}", *figures(runs[backend]), *ratios])
    table([f"median of {ROUNDS} rounds", *FIGURES, "to ONNX"], rows)


def ratio(runs, backend):
    """The middle of the rounds' ratios of that plugin's CPU time to ONNX Runtime's, each within its round."""
    return median(plugin.cpu / onnx.cpu for plugin, onnx in zip(runs[backend], runs[ONNX]))
