"""How full batches are where nothing is configured but that there are some."""

from bench.example import medians
from bench.report import at_least


def run():
    """Prints what the program says of each round; returns the line about the target."""
    [(mean, most)] = medians("batch_efficiency", r"^median of \d+: mean batch ([\d.]+) of (\d+)$")
    return [at_least(f"mean batch, of up to {most} rows", float(mean), 28, "")]
