"""Serves the sample repository, runs the demo's client against it, and serves on until Ctrl-C."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time

import backends
from daemon import ROOT, Daemon, DaemonError

CLIENT = ROOT / "scripts" / "demo_client.py"
PORTS = {"grpc": 8001, "http": 8000, "metrics": 8002}
READY_SECONDS = 60


def main():
    """Exit status 0 if every answer came."""
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--once", action="store_true", help="end after the answers")
    for name, number in PORTS.items():
        default = int(os.environ.get(f"NERITE_{name.upper()}_PORT", number))
        parser.add_argument(f"--{name}-port", type=int, default=default)
    options = parser.parse_args()
    ports = [getattr(options, f"{name}_port") for name in PORTS]
    for name, port in zip(PORTS, ports):
        if is_taken(port):
            raise SystemExit(
                f"error: port {port} ({name}) is in use, perhaps by another demo; "
                f"choose another with: scripts/demo --{name}-port {port + 1000}"
            )
    # Ended from outside, or left by its terminal: the daemon ends too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: sys.exit(128 + got))
    try:
        return serve(ports, options.once)
    except DaemonError as error:
        raise SystemExit(f"\nerror: {error}") from None
    except KeyboardInterrupt:
        print("\nstopped")
        return 0


def is_taken(port):
    """Whether somebody listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False


def serve(ports, once):
    """The daemon lives as long as this function."""
    plugins = ROOT / "target" / "backends"
    for backend in backends.SAMPLES:
        backends.stage(plugins, backend)
    flags = {"--model-repository": [ROOT / "model-repository", ROOT / "pipelines"], "--backend-directory": [plugins]}
    arguments = [f"{flag}={path}" for flag, paths in flags.items() for path in paths]
    print("$ target/release/nerite", " ".join(arguments).replace(f"{ROOT}/", ""))
    with Daemon(arguments, ROOT / "target" / "demo" / "nerite.log", ports) as daemon:
        begun = time.monotonic()
        daemon.wait_ready(READY_SECONDS)
        print(f"ready after {1000 * (time.monotonic() - begun):.0f} ms\n")
        asked = subprocess.run([sys.executable, CLIENT, "--url", daemon.url])
        if once or asked.returncode != 0:
            return asked.returncode
        explain(daemon)
        while daemon.process.poll() is None:
            time.sleep(0.2)
        raise daemon.error(f"nerite ended with status {daemon.process.returncode}")


def explain(daemon):
    """What somebody can do next."""
    url = "" if daemon.grpc_port == PORTS["grpc"] else f" --url {daemon.url}"
    print(
        f"""
nerite keeps serving: gRPC on port {daemon.grpc_port}, health on {daemon.http_port}, metrics on {daemon.metrics_port}.
Send it more from another terminal, in this folder:

  scripts/classify{url} --image PHOTO.jpg
  scripts/classify{url} --file Cargo.lock --file /bin/ls
  scripts/classify{url} --page PICTURE_OF_TEXT.png
  scripts/classify{url} --sentence "Hello there." --sentence "Good day."
  curl http://127.0.0.1:{daemon.metrics_port}/metrics

Ctrl-C ends it. Its log is {daemon.log.relative_to(ROOT)}.""",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
