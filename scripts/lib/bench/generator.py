"""One run of one of our own generators, and what it says."""

import subprocess
from typing import NamedTuple

from bench import process

LIMIT_SECONDS = 300


class Run(NamedTuple):
    """What the generator counted, by name, and the CPU time in seconds that the server had meanwhile."""

    counts: dict
    cpu: float

    def __getattr__(self, name):
        return self.counts[name]

    @property
    def rate(self):
        """Requests per second."""
        return self.total / self.elapsed_us * 1e6

    @property
    def cpu_us(self):
        """The server's CPU time for each request, in µs."""
        return self.cpu / self.total * 1e6

    @property
    def in_time(self):
        """The requests that were answered well and before their deadline."""
        return self.ok - self.ok_late


def frame(message):
    """A gRPC message as it is in a body: not compressed, its length, itself."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def closed(port, pid, shape, requests, bodies, timeout_ms=0, clock=process.cpu_seconds):
    """So many requests from a closed loop over (connections, streams of each)."""
    return drive(pid, clock, "closed_loop", port, *shape, requests, timeout_ms, bodies)


def open_loop(port, pid, rate, seconds, timeout_ms, body, connections=4):
    """Requests at a constant rate."""
    return drive(pid, process.cpu_seconds, "open_loop", port, connections, rate, seconds, timeout_ms, body)


def storm(port, pid, seed, clients, requests, bodies):
    """Requests of clients that behave badly."""
    return drive(pid, process.cpu_seconds, "storm", port, seed, clients, requests, bodies)


def drive(pid, clock, tool, *arguments):
    """The numbers that the tool prints, and what `clock(pid)` says has passed meanwhile."""
    before = clock(pid)
    command = [str(process.TOOLS / tool), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True)
    cpu = clock(pid) - before
    lines = (line.split() for line in result.stdout.splitlines())
    return Run({name: int(number) for name, number in lines}, cpu)
