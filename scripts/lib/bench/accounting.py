"""What it costs to account for a request."""

from bench.example import medians
from bench.report import target

LIMIT_NS = 2_000


def run():
    """Prints what the program says of each kind; returns the lines about the targets."""
    kinds = medians("accounting", r"^(.+): median ([\d.]+) ns")
    return [target(f"a request's account, {kind}", float(ns), LIMIT_NS, "ns") for kind, ns in kinds]
