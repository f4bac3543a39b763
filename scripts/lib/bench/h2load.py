"""One run of h2load, and what it says."""

import re
import subprocess
from typing import NamedTuple

from bench import process

LIMIT_SECONDS = 60
PATH = "/inference.GRPCInferenceService/ModelInfer"


class Run(NamedTuple):
    """Requests per second, latencies in µs, and the server's CPU time in µs for each request."""

    rate: float
    p50: float
    p99: float
    cpu: float


def drive(server, shape, requests, body, log):
    """Sends so many requests to a server, over (connections, streams of each), and measures both.

    `body` is the file with the request's gRPC frame, `log` a file to write to. Raises unless every answer was 2xx.
    """
    connections, streams = shape
    log.unlink(missing_ok=True)
    command = ["h2load", f"-n{requests}", f"-c{connections}", f"-m{streams}", f"-d{body}", f"--log-file={log}"]
    command += ["-Hcontent-type: application/grpc", "-Hte: trailers", f"http://127.0.0.1:{server.port}{PATH}"]
    before = process.cpu_seconds(server.pid)
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True)
    cpu = process.cpu_seconds(server.pid) - before
    return read(result.stdout, log.read_text(), requests, cpu)


def read(printed, log, requests, cpu):
    """The run, from what h2load printed and what it wrote down of every request."""
    seconds = re.search(r"finished in ([\d.]+)(us|ms|s|m)\b", printed)
    rows = [line.split("\t") for line in log.splitlines()]
    good = [int(latency) for _, status, latency in rows if status.startswith("2")]
    if seconds is None or len(good) != requests or f"{requests} succeeded, 0 failed, 0 errored" not in printed:
        raise RuntimeError(f"h2load: {len(good)} of {requests} requests were answered\n{printed}")
    good.sort()
    elapsed = float(seconds[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[seconds[2]]
    return Run(requests / elapsed, good[len(good) // 2], good[len(good) * 99 // 100], cpu * 1e6 / requests)
