"""Where the programs that are measured are found, and what the kernel says of another process."""

import contextlib
import os
import time
from pathlib import Path

from wheels import TARGET

TOOLS = Path(os.environ.get("NERITE_BENCH_TOOLS", TARGET / "release"))


def cpu_seconds(pid):
    """The CPU time of all threads that the process has or had, to the nanosecond."""
    # The id of the clock that counts a process's CPU time, as Linux makes it (CPUCLOCK_SCHED).
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def cpu_ticks(pid):
    """The same in the clock ticks of /proc, user and system time together."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])


def threads_cpu_seconds(pid):
    """The CPU time of each thread that the process has, by the thread's id."""
    times = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end while the others are read.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            times[folder.name] = int((folder / "schedstat").read_text().split()[0]) / 1e9
    return times


def thread_name(pid, thread):
    """What a thread is called; nothing where it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/task/{thread}/comm").read_text().rstrip("\n")
    return ""


def status(pid, key):
    """A number from /proc/<pid>/status: memory is in kB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0])
    raise RuntimeError(f"/proc/{pid}/status has no {key}")
