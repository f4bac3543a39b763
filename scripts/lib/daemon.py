"""Starts a nerite daemon, waits for it and ends it; for the demo, the conformance run and the tests.

Only the standard library is used.
"""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("NERITE_BINARY", ROOT / "target" / "release" / "nerite"))


class DaemonError(Exception):
    """The daemon did not become what it was waited for; the text ends with the end of its log."""


def clean_environment():
    """The environment without NERITE_* settings, which would make a run depend on who starts it."""
    return {key: value for key, value in os.environ.items() if not key.startswith("NERITE_")}


def free_ports(count):
    """Distinct ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Daemon:
    """One daemon process on ports of its own. As a context manager, it has ended when the block is left."""

    def __init__(self, arguments, log, ports=None, binary=BINARY, environment=None):
        """`arguments` are added to the ports' flags; everything the process prints goes to the file `log`."""
        self.grpc_port, self.http_port, self.metrics_port = ports or free_ports(3)
        self.log = Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.command = [
            str(binary),
            f"--grpc-port={self.grpc_port}",
            f"--http-port={self.http_port}",
            f"--metrics-port={self.metrics_port}",
            *map(str, arguments),
        ]
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**clean_environment(), **(environment or {})},
                # A Ctrl-C at the terminal is for the script, which then ends the daemon in order.
                start_new_session=True,
            )

    @property
    def url(self):
        """Where a gRPC client finds the daemon."""
        return f"127.0.0.1:{self.grpc_port}"

    def http(self, path, port=None):
        """The status and body of a GET of the HTTP port, or (None, "") where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.http_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return None, ""

    def metrics(self):
        """The text of the metrics endpoint."""
        return self.http("/metrics", self.metrics_port)[1]

    def metric(self, name, **labels):
        """The sum of a metric's series that have these labels; raises DaemonError where there is none."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        series = [line for line in self.metrics().splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        values = [line.rpartition(" ")[2] for line in series if all(label in line for label in wanted)]
        if not values:
            raise DaemonError(f"the daemon has no metric {name} {' '.join(wanted)}".rstrip())
        return sum(map(int, values))

    def is_ready(self):
        """Whether the readiness probe says yes."""
        return self.http("/v2/health/ready")[0] == 200

    def wait_ready(self, seconds=30, tick=None):
        """Waits until the daemon is ready; raises DaemonError if it ends or is not ready in time."""
        self.wait_until(self.is_ready, seconds, "become ready", tick)
        return self

    def wait_until(self, condition, seconds, what, tick=None):
        """Waits until `condition()` holds, calling `tick()` in between."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise self.error(f"nerite ended with status {self.process.returncode}")
            if time.monotonic() > deadline:
                raise self.error(f"nerite did not {what} within {seconds} s")
            if tick:
                tick()
            time.sleep(0.02)

    def wait_exit(self, seconds=30):
        """The exit status, once the process has ended; raises DaemonError if it does not in time."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise self.error(f"nerite did not end within {seconds} s") from None

    def terminate(self):
        """Asks the process to end, as an operator would (SIGTERM)."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self, seconds=35):
        """Ends the process: in order if it can, else by force. Returns its exit status."""
        self.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def log_text(self):
        """Everything the process has printed."""
        return self.log.read_text(errors="replace")

    def error(self, text):
        """A DaemonError with the end of the log."""
        lines = self.log_text().splitlines()[-30:]
        return DaemonError("\n  ".join([f"{text}; the end of its log ({self.log}):", *lines]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
