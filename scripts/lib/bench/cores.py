"""Which cores a process may use."""

import contextlib
import os


def split():
    """The core for who asks and the core for who serves; the same one where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]


@contextlib.contextmanager
def pinned(core):
    """Every process that is started in the block has that core alone, as with `taskset`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
