"""What it costs to account for a request."""

import re
import subprocess

from bench.process import TOOLS
from bench.report import target
from daemon import clean_environment

LIMIT_NS = 2_000


def run():
    """Prints what the program says of each kind; returns the lines about the targets."""
    command = [TOOLS / "examples" / "accounting"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=clean_environment())
    print(result.stdout, flush=True)
    kinds = re.findall(r"^(.+): median ([\d.]+) ns", result.stdout, re.MULTILINE)
    if not kinds:
        raise RuntimeError("accounting does not say what the medians are")
    return [target(f"a request's account, {kind}", float(ns), LIMIT_NS, "ns") for kind, ns in kinds]
