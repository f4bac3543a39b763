"""The processes and the shared memory that Triton's Python backend uses for a daemon."""

import os
from pathlib import Path

MEMORY = Path("/dev/shm")
PROGRAM = "triton_python_backend_stub"


def children(process):
    """The numbers and states (`S`, `R`, `Z` and so on) of a process's children."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name is in brackets, and may have anything in it.
            state, parent, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(parent) == process:
            found[int(path.parent.name)] = state
    return found


def running(process, model=""):
    """The numbers of the stubs that run for a daemon, of all models or one."""
    found = []
    for child, state in children(process).items():
        try:
            command = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        except OSError:
            continue
        if state != "Z" and PROGRAM in command[0] and (not model or f"/{model}/" in command[1]):
            found.append(child)
    return found


def zombies(process):
    """The numbers of children that have ended and nobody has asked for."""
    return [child for child, state in children(process).items() if state == "Z"]


def memory(prefix):
    """The names of shared memory whose names begin so."""
    return sorted(name for name in os.listdir(MEMORY) if name.startswith(prefix))
