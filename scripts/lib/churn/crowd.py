"""The clients' process, from outside."""

import json
import os
import subprocess
import sys
from typing import NamedTuple

from daemon import ROOT

LIBRARIES = [ROOT / "scripts" / "lib", ROOT / "tests" / "python"]


class Target(NamedTuple):
    """Whom some clients ask: a model, and a version of it or any."""

    model: str
    clients: int
    version: str = ""


def environment():
    """For another Python that finds what this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, LIBRARIES))}


class Crowd:
    """Clients that ask for as long as the block lasts; then `seen` has what came."""

    def __init__(self, url, targets):
        command = [sys.executable, "-m", "churn.clients"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment())
        plan = {"url": url, "targets": [target._asdict() for target in targets]}
        self.process.stdin.write(json.dumps(plan) + "\n")
        self.process.stdin.flush()
        # Said when the first answers have come.
        self.process.stdout.readline()
        self.seen = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
        output, _ = self.process.communicate(timeout=60)
        if kind is None:
            self.seen = json.loads(output)
