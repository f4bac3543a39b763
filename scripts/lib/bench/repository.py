"""A repository of very many models: watched, polled, and loaded from in part."""

import shlex
import shutil
import subprocess
import time
from contextlib import contextmanager
from statistics import median

import grpc
import models
from bench import process
from bench.idle import SETTLE_SECONDS
from bench.report import spread, table, target
from bench.startup import stopwatch
from daemon import BINARY, Daemon, free_ports
from tritonclient.grpc import service_pb2, service_pb2_grpc
from wheels import TARGET

MODELS = 10_000
WANTED = [f"model_{number:05}" for number in (0, 5_000, 9_999)]
LOAD_SECONDS = 300
WATCH_SECONDS = 30
POLLS, POLL_SECONDS, SAMPLE_SECONDS = 6, 4, 0.05
STARTS = 15
INDEXES = 21
FOLDER = TARGET / "bench" / "repository"
# Without notification, as on a network file system: within its user namespace the process may have no watcher.
WITHOUT_NOTIFICATION = "echo 0 > /proc/sys/user/max_inotify_instances"
LOADED, NAMED = f"all {MODELS:,} loaded", f"{len(WANTED)} of {MODELS:,} loaded"


def run():
    """Prints the table; returns the lines about the targets."""
    many, few = make("many", [f"model_{number:05}" for number in range(MODELS)]), make("few", WANTED)
    rows, targets = [], []
    for part in (lambda: watched(many), lambda: polled(many), lambda: named(many), lambda: starts(many, few)):
        more_rows, more_targets = part()
        rows += more_rows
        targets += more_targets
    table([f"a repository of {MODELS:,} models", ""], rows)
    shutil.rmtree(FOLDER)
    return targets


def make(name, wanted):
    """A repository of identities without configuration."""
    shutil.rmtree(FOLDER / name, ignore_errors=True)
    repository = models.Repository(FOLDER / name)
    data = models.identity("FP32", [1]).SerializeToString()
    for model in wanted:
        repository.add(model, data)
    return repository.folder


def watched(repository):
    """Poll mode where the system tells of changes."""
    with all_loaded(repository, BINARY) as (daemon, took):
        pid, log = daemon.process.pid, daemon.log_text()
        if "looked at every" in log:
            raise RuntimeError("the system does not notify of changes; raise fs.inotify.max_user_watches")
        before = process.cpu_seconds(pid)
        time.sleep(WATCH_SECONDS)
        cpu = 1000 * (process.cpu_seconds(pid) - before) / WATCH_SECONDS
        resident, threads = process.status(pid, "VmRSS") / 1000, process.status(pid, "Threads")
        index = index_ms(daemon)
    rows = [
        ["all of them loaded, and the daemon ready, after", f"{took:.1f} s"],
        ["resident then", f"{resident:,.0f} MB"],
        ["threads then", threads],
        [f"watched, nothing happens for {WATCH_SECONDS} s", f"{cpu:.3f} ms of CPU/s"],
        [f"RepositoryIndex, {LOADED}", f"{spread(index, 1)} ms"],
    ]
    return rows, [
        target(f"{MODELS:,} models watched, CPU in a second", cpu, 1, "ms"),
        target(f"RepositoryIndex, {LOADED}", median(index), 500, "ms"),
    ]


def polled(repository):
    """Poll mode where it does not."""
    if subprocess.run(["unshare", "--user", "--map-root-user", "sh", "-c", WITHOUT_NOTIFICATION]).returncode:
        return [["polled", "not measured: no user namespace is to be had"]], []
    with all_loaded(repository, binary_without_notification(), f"--repository-poll-secs={POLL_SECONDS}") as (daemon, _):
        if f"looked at every {POLL_SECONDS} s" not in daemon.log_text():
            raise RuntimeError("the daemon was to be without notification, and is not")
        costs, others = polls(daemon.process.pid)
    rows = [
        [f"a full poll, median of {len(costs)}", f"{spread(costs)} ms of CPU"],
        [f"all other threads meanwhile, {POLL_SECONDS} s each", f"{others:.1f} ms of CPU/s"],
    ]
    return rows, [
        target(f"a full poll of {MODELS:,} models, CPU", median(costs), 400, "ms"),
        # They have nothing to do; what they might do of a poll would be some hundred.
        target("all threads but the watcher's, while it polls, CPU in a second", others, 1, "ms"),
    ]


def polls(pid):
    """What the watcher's thread spends on each of some polls, in ms, and the others together in a second."""
    spent, costs, burst = threads(pid), [], 0.0
    before, begun = sum(spent.values()) - watcher(pid, spent), time.monotonic()
    last = watcher(pid, spent)
    while len(costs) < POLLS + 1 and time.monotonic() - begun < 3 * POLLS * POLL_SECONDS:
        time.sleep(SAMPLE_SECONDS)
        now = watcher(pid, threads(pid))
        # A poll goes on for as long as the thread does something.
        if now - last > SAMPLE_SECONDS / 10:
            burst += now - last
        elif burst:
            costs.append(1000 * burst)
            burst = 0.0
        last = now
    spent = threads(pid)
    others = (sum(spent.values()) - watcher(pid, spent) - before) / (time.monotonic() - begun)
    # The first may have been under way already.
    return costs[1:], 1000 * others


def threads(pid):
    """The CPU time of each thread, in seconds, by its id."""
    return process.threads_cpu_seconds(pid)


def watcher(pid, spent):
    """That of the thread that watches repositories."""
    names = {thread: process.thread_name(pid, thread) for thread in spent}
    return sum(spent[thread] for thread, name in names.items() if name == "nerite-watch")


def binary_without_notification():
    """A program that is the daemon, in a namespace where the system notifies it of nothing."""
    script = FOLDER / "nerite-without-notification"
    inner = f'{WITHOUT_NOTIFICATION} && exec {shlex.quote(str(BINARY.resolve()))} "$@"'
    script.write_text(f'#!/bin/sh\nexec unshare --user --map-root-user sh -c {shlex.quote(inner)} nerite "$@"\n')
    script.chmod(0o755)
    return script


def named(repository):
    """Explicit mode, where some are loaded."""
    with Daemon(explicit(repository), FOLDER / "nerite.log") as daemon:
        daemon.wait_ready()
        index = index_ms(daemon)
    rows = [[f"RepositoryIndex, {NAMED}", f"{spread(index, 1)} ms"]]
    return rows, [target(f"RepositoryIndex, {NAMED}", median(index), 500, "ms")]


def starts(many, few):
    """From exec to ready in explicit mode, beside all the others and without them, in turn."""
    took = {many: [], few: []}
    for _ in range(STARTS + 1):
        for repository, times in took.items():
            grpc_port, http, metrics = free_ports(3)
            ports = [f"--grpc-port={grpc_port}", f"--http-port={http}", f"--metrics-port={metrics}"]
            times.append(stopwatch(f"ready:{grpc_port}", BINARY, *explicit(repository), *ports)[0] / 1000)
    # The first round warms the page cache.
    beside, alone = took[many][1:], took[few][1:]
    rows = [
        [f"until ready, {NAMED}", f"{spread(beside, 1)} ms"],
        [f"until ready, {len(WANTED)} of {len(WANTED)} loaded", f"{spread(alone, 1)} ms"],
    ]
    surplus = median(beside) - median(alone)
    return rows, [target(f"until ready, {NAMED}, more than without the others", surplus, 100, "ms")]


def explicit(repository):
    """The flags."""
    return [
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in WANTED),
    ]


@contextmanager
def all_loaded(repository, binary, *flags):
    """A daemon that has loaded everything and come to rest, and the seconds that the loading took."""
    flags = [f"--model-repository={repository}", "--model-control-mode=poll", *flags]
    begun = time.monotonic()
    with Daemon(flags, FOLDER / "nerite.log", binary=binary) as daemon:
        daemon.wait_ready(LOAD_SECONDS)
        took = time.monotonic() - begun
        time.sleep(SETTLE_SECONDS)
        yield daemon, took


def index_ms(daemon):
    """How long each of some calls took, from a client's side."""
    took = []
    with grpc.insecure_channel(daemon.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(INDEXES):
            begun = time.monotonic()
            index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=30)
            took.append(1000 * (time.monotonic() - begun))
            if len(index.models) != MODELS:
                raise RuntimeError(f"the index has {len(index.models)} of {MODELS} models")
    return took
