"""Triton's Python backend as scripts/fetch-python-backend lays it out, and what a daemon must be told to use it."""

import os

from wheels import TARGET

FOLDER = TARGET / "python-backend"
# The wheel's own layout, since its libraries look for each other by relative paths.
DIRECTORY = FOLDER / "pytriton" / "tritonserver" / "backends"
# The Python packages of the models. The stub pays no heed to PYTHONPATH, but to the environment of the first `python3`.
VENV = FOLDER / "venv"
# Written last: what was laid out, and for which Python.
STAMP = FOLDER / "stamp.json"


def environment():
    """What a daemon needs in its environment, so that models find their packages."""
    return {"PATH": os.pathsep.join([str(VENV / "bin"), os.environ["PATH"]])}


def flags(prefix):
    """What a daemon is told to have the backend, with shared memory whose names begin so."""
    return [f"--backend-directory={DIRECTORY}", f"--backend-config=python,shm-region-prefix-name={prefix}"]
