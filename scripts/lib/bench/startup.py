"""From exec to ServerReady, timed from outside."""

import subprocess
from statistics import median

from bench.process import TOOLS
from bench.report import spread, table, target
from daemon import BINARY, ROOT, clean_environment, free_ports
from wheels import TARGET

ROUNDS = 15


def run():
    """Prints the table; returns the lines about the targets."""
    scratch = TARGET / "bench"
    empty = scratch / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    samples = ROOT / "model-repository"
    files = sorted(samples.glob("*/1/model.onnx"))
    # In turn, so that a slow moment of the machine is a slow moment for all.
    results = {"empty": [], "samples": [], "bare": []}
    for _ in range(ROUNDS + 1):
        results["empty"].append(time_daemon(empty))
        results["bare"].append(stopwatch("exit", TOOLS / "examples" / "bare_load", *files))
        results["samples"].append(time_daemon(samples))
    # The first round warms the page cache.
    rounds = {name: list(zip(*values[1:])) for name, values in results.items()}
    milliseconds = {name: [micros / 1000 for micros in columns[0]] for name, columns in rounds.items()}
    megabytes = {name: [kb / 1000 for kb in rounds[name][1]] for name in ("empty", "samples")}

    names = {
        "empty": "nerite, empty repository",
        "samples": f"nerite, {len(files)} sample models",
        "bare": f"bare program, the same {len(files)} sessions",
    }
    rows = [
        [names[name], spread(milliseconds[name], 1), spread(megabytes[name], 1) if name in megabytes else ""]
        for name in names
    ]
    table([f"median of {ROUNDS} (least–most)", "until ready, ms", "resident, MB"], rows)
    surplus = median(milliseconds["samples"]) - median(milliseconds["bare"])
    return [
        target("empty repository, from exec to ServerReady", median(milliseconds["empty"]), 10, "ms"),
        target("empty repository, resident", median(megabytes["empty"]), 12, "MB"),
        target("sample models, more than the bare program", surplus, 20, "ms"),
    ]


def time_daemon(repository):
    """Microseconds until ServerReady, and the kB resident then."""
    grpc, http, metrics = free_ports(3)
    flags = [f"--grpc-port={grpc}", f"--http-port={http}", f"--metrics-port={metrics}"]
    return stopwatch(f"ready:{grpc}", BINARY, f"--model-repository={repository}", *flags)


def stopwatch(until, *command):
    """The numbers that the stopwatch prints."""
    arguments = [str(TOOLS / "stopwatch"), until, *map(str, command)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=True, env=clean_environment())
    return [int(number) for number in result.stdout.split()]
