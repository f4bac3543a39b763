"""Changes of the repository's files in poll mode."""

import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import grpc
from churn import contents, verdict
from churn.changes import Lasting, everything
from churn.clients import request
from churn.crowd import Crowd, Target
from churn.disk import Disk
from daemon import Daemon
from tritonclient.grpc import service_pb2_grpc

CROWD = [
    Target("steady", 24),
    Target("pinned", 12, "1"),
    Target("split", 16),
    Target("here", 4),
    Target("there", 4),
    Target("newcomer", 4),
]
# The pauses between changes of a model, in the daemon's windows: many come while the last one is taken up.
LONGEST_PAUSE = 2.5
# So often a model is mended, and has to be served as it is on disk after a while.
CHANGES_TO_A_REST = 20
REST_SECONDS = 20


def run(scratch, seconds, seed, settle_ms=200, daemon_settle_ms=None, binary=None, say=print):
    """Changes for so long; what is wrong, a line each. With another window than the daemon's, that must be something."""
    disk = Disk(Path(scratch) / "repository")
    changed = everything(disk, lambda name: random.Random(f"{seed} {name}"), settle_ms / 1000)
    window = settle_ms if daemon_settle_ms is None else daemon_settle_ms
    # One load at a time, so that there is time for changes between the end of one and its load.
    flags = ["--model-load-thread-count=1", f"--repository-settle-ms={window}", "--repository-poll-secs=1"]
    log = Path(scratch) / "nerite.log"
    with serve(disk, ["--model-control-mode=poll", *flags], log, binary) as daemon, Crowd(daemon.url, CROWD) as crowd:
        hands = [Hand(daemon.url, changes, time.monotonic() + seconds) for changes in changed]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join()
        wrong = [fault for hand in hands for fault in hand.wrong]
        if daemon.process.poll() is not None:
            wrong.append(f"the daemon ended with status {daemon.process.returncode}")
    done = sum((hand.done for hand in hands), Counter())
    say(f"{done.total():,} changes: " + ", ".join(f"{name} {count}" for name, count in done.most_common()))
    for line in verdict.summary(crowd.seen):
        say(line)
    lasting = [changes.model.name for changes in changed if isinstance(changes, Lasting)]
    return wrong + verdict.faults(disk, crowd.seen, lasting)


@contextmanager
def serve(disk, flags, log, binary=None):
    """A daemon that serves the repository."""
    more = {"binary": binary} if binary else {}
    with Daemon([f"--model-repository={disk.folder}", *flags], log, **more) as daemon:
        yield daemon.wait_ready()


class Hand(threading.Thread):
    """Changes one model until it is time, and looks now and then whether it is served as it is on disk."""

    def __init__(self, url, changes, until):
        # Not one that holds up who ends the script.
        super().__init__(daemon=True)
        self.url, self.changes, self.until = url, changes, until
        self.done, self.wrong = Counter(), []

    def run(self):
        """All of it."""
        with grpc.insecure_channel(self.url) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            try:
                while time.monotonic() < self.until:
                    self.some(stub)
            # A fault of the tool's own must not look like success.
            except Exception as error:
                self.wrong.append(f"{self.changes.model.name} could not be changed: {error!r}")
                raise

    def some(self, stub):
        """Some changes, and a rest."""
        for _ in range(CHANGES_TO_A_REST):
            if time.monotonic() < self.until:
                self.done[self.changes.step()] += 1
                time.sleep(self.changes.random.uniform(0, LONGEST_PAUSE) * self.changes.settle)
        self.changes.mend()
        name, tag = self.changes.model.name, self.changes.disk.expected(self.changes.model)
        until, served = time.monotonic() + REST_SECONDS, None
        while served != tag and time.monotonic() < until:
            served = tag_served(stub, name)
            time.sleep(0.05)
        if served != tag:
            self.wrong.append(f"{name}: content {tag} has been on disk for {REST_SECONDS} s, and {served} is served")


def tag_served(stub, model):
    """The content that a model answers with, or why there is none."""
    try:
        return contents.read(stub.ModelInfer(request({"model": model, "version": ""}, 0.0), timeout=10), 0.0)
    except grpc.RpcError as error:
        return error.details()
    except contents.Torn as torn:
        return f"torn: {torn}"
