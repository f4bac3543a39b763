"""What a scrape of the metrics costs where many models have each served a request."""

import http.client
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import process, scale
from bench.report import spread, table, target

MODELS = 1_000
ROUNDS = 30
LIMIT_MS = 30
KINDS = {"text": "text/plain", "OpenMetrics": "application/openmetrics-text; version=1.0.0"}


def run():
    """Prints the table; returns the lines about the targets."""
    with TemporaryDirectory() as scratch, ExitStack() as daemons:
        scratch = Path(scratch)
        names = [f"model_{number:04}" for number in range(MODELS)]
        bodies = scratch / "all.bodies"
        bodies.write_bytes(b"".join(map(scale.body, names)))
        daemon = scale.serve(daemons, scratch / "many", names)
        scale.drive((daemon, bodies), (1, 1), MODELS)
        results = {kind: measure(daemon, accept) for kind, accept in KINDS.items()}
    rows = [
        [kind, f"{size / 1e6:.1f}", f"{series:,}", spread([cpu * 1e3 for cpu in cpus], 1)]
        for kind, (size, series, cpus) in results.items()
    ]
    table([f"a scrape of {MODELS:,} models", "MB", "series", "CPU ms (least–most)"], rows)
    return [
        target(f"CPU of a scrape of {MODELS:,} models, {kind}", median(cpus) * 1e3, LIMIT_MS, "ms")
        for kind, (_, _, cpus) in results.items()
    ]


def measure(daemon, accept):
    """The size of the answer, its series, and what the daemon's CPU time was in each round."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.metrics_port, timeout=30)
    cpus, text = [], b""
    for _ in range(ROUNDS):
        before = process.cpu_seconds(daemon.process.pid)
        connection.request("GET", "/metrics", headers={"Accept": accept})
        text = connection.getresponse().read()
        cpus.append(process.cpu_seconds(daemon.process.pid) - before)
    connection.close()
    if text.count(b"nv_inference_request_success{") != MODELS or b'_success{model="model_0999",version="1"} 1' not in text:
        raise RuntimeError("the scrape does not show a request of every model")
    return len(text), sum(not line.startswith(b"#") for line in text.splitlines()), cpus
