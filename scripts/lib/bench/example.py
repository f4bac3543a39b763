"""Examples of the workspace that measure themselves."""

import re
import subprocess

from bench.process import TOOLS
from daemon import clean_environment


def medians(name, pattern):
    """Runs the example, prints what it says, and returns what `pattern` finds in it, which is at least once."""
    command = [TOOLS / "examples" / name]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=clean_environment())
    print(result.stdout, flush=True)
    found = re.findall(pattern, result.stdout, re.MULTILINE)
    if not found:
        raise RuntimeError(f"{name} does not say what the medians are")
    return found
