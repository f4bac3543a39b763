"""Counterfeits of NVIDIA's libraries, and so GPUs for a daemon, on a machine without any."""

import os
import subprocess
from pathlib import Path

import plugins
from daemon import BINARY, ROOT

SOURCE = ROOT / "server" / "nvml" / "tests" / "c" / "nvml.c"
HEADERS = ROOT / "target" / "tensorrt" / "headers" / "nvml"

# One that tells everything, and one that tells little; the source says what each line means.
FIRST, SECOND = "GPU-aaaa", "GPU-bbbb"
TWO = f"""devices 2
0.uuid {FIRST}
0.name Counterfeit H1
0.utilization 37
0.total 80000000000
0.used 20000000000
0.power 123456
0.limit 700000
0.energy 5000000000
1.uuid {SECOND}
1.total 24000000000
1.used 1000
"""


def counterfeits(maker, folder):
    """A folder in there with the libraries that this example of the workspace makes."""
    folder = folder / "counterfeits"
    folder.mkdir()
    subprocess.run([BINARY.parent / "examples" / maker, folder], check=True)
    return folder


class Counterfeit:
    """The management library in a folder, where a daemon with `environment` finds it."""

    def __init__(self, folder, state=TWO):
        self.library = plugins.compile_c(SOURCE, Path(folder) / "libnvidia-ml.so.1", "-I", HEADERS)
        self.environment = {"LD_LIBRARY_PATH": str(folder)}
        self.say(state)

    def say(self, state):
        """What it says from now on."""
        part = self.library.with_name("part")
        part.write_text(state)
        os.replace(part, f"{self.library}.state")
