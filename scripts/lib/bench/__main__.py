"""Runs the benchmarks named on the command line and ends with their targets."""

import os
import subprocess
import sys

from bench import (
    accounting,
    batches,
    cache,
    ensemble,
    idle,
    load,
    overload,
    plugin,
    reload_memory,
    repository,
    scale,
    scrape,
    startup,
    storm,
    swap,
    trace,
)
from daemon import DaemonError

BENCHMARKS = {
    "startup": startup.run,
    "load": load.run,
    "idle": idle.run,
    "overload": overload.run,
    "storm": storm.run,
    "scale": scale.run,
    "batches": batches.run,
    "swap": swap.run,
    "reload-memory": reload_memory.run,
    "repository": repository.run,
    "scrape": scrape.run,
    "accounting": accounting.run,
    "trace": trace.run,
    "plugin": plugin.run,
    "cache": cache.run,
    "ensemble": ensemble.run,
}


def main():
    """Exit status 0 unless something could not be run."""
    chosen = sys.argv[1] if len(sys.argv) > 1 else "all"
    names = list(BENCHMARKS) if chosen == "all" else [chosen]
    targets = []
    print(f"{len(os.sched_getaffinity(0))} cores")
    try:
        for name in names:
            print(f"\n== {name}\n", flush=True)
            targets += BENCHMARKS[name]()
    except (DaemonError, RuntimeError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or ""
        raise SystemExit(f"\nerror: {error}\n{output}") from None
    print()
    for target in targets:
        print(target)


if __name__ == "__main__":
    main()
