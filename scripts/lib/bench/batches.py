"""How full batches are where nothing is configured but that there are some."""

import re
import subprocess

from bench.process import TOOLS
from bench.report import at_least
from daemon import clean_environment


def run():
    """Prints what the program says of each round; returns the line about the target."""
    command = [TOOLS / "examples" / "batch_efficiency"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=clean_environment())
    print(result.stdout, flush=True)
    middle = re.search(r"^median of \d+: mean batch ([\d.]+) of (\d+)$", result.stdout, re.MULTILINE)
    if not middle:
        raise RuntimeError("batch_efficiency does not say what the median is")
    return [at_least(f"mean batch, of up to {middle[2]} rows", float(middle[1]), 28, "")]
