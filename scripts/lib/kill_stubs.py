"""Kills the process of a model in Python again and again while clients ask it; nothing may be left unanswered.

scripts/kill-stubs runs it for long, the tests for a short while.
"""

import argparse
import os
import shutil
import signal
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import models
import numpy as np
import python_backend
import python_models
import stubs
from daemon import Daemon, DaemonError
from models import Repository
from tritonclient.grpc import service_pb2_grpc
from wheels import TARGET
from wire import request

FOLDER = TARGET / "kill-stubs"
CLIENTS = 8
# A request that takes longer was left unanswered; a model that takes longer is not mended; in seconds.
PATIENCE, LONGEST = 30, 10
# For how long the model works on a batch, in seconds.
SECONDS = 0.002
# What is promised, in seconds.
PROMISED = 2
# For how long the model is left in peace between two kills, in seconds.
PAUSE = 0.2


class Asking:
    """Clients that ask one request after another, each on a connection of its own, for as long as the block lasts."""

    def __init__(self, url, model, clients):
        self.url, self.model = url, model
        self.over = threading.Event()
        # How requests ended: `ok`, `wrong`, or a status; and when each that went well was sent.
        self.ends, self.lock = Counter(), threading.Lock()
        self.last = 0.0
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]

    def ask(self):
        with grpc.insecure_channel(self.url, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            message = request(self.model, ("INPUT0", "FP32", [1]), raw=[np.float32(7).tobytes()])
            while not self.over.is_set():
                sent, end = time.monotonic(), "ok"
                try:
                    answer = stub.ModelInfer(message, timeout=PATIENCE)
                    if answer.raw_output_contents[0] != np.float32(7).tobytes():
                        end = "wrong"
                except grpc.RpcError as error:
                    end = error.code().name
                with self.lock:
                    self.ends[end] += 1
                    if end == "ok":
                        self.last = max(self.last, sent)
                if end != "ok":
                    # A client that is refused at once is in no hurry.
                    time.sleep(0.01)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def run(scratch, kills, seconds=SECONDS, say=print):
    """So many kills of a model that takes so long over a batch; what is wrong, a line each. One that takes no time is more
    often killed while it holds a lock of the memory that it shares with the daemon.
    """
    scratch, prefix = Path(scratch), f"nerite_kill_{os.getpid()}_"
    repository = Repository(scratch / "repository")
    python_models.instance(repository, scratch / "journal", seconds=seconds)
    repository.add("beside", models.identity("FP32", [1]))
    arguments = [f"--model-repository={repository.folder}", *python_backend.flags(prefix)]
    found, times, killed = [], [], 0
    with Daemon(arguments, scratch / "nerite.log", environment=python_backend.environment()) as daemon:
        daemon.wait_ready()
        with Asking(daemon.url, "instance", CLIENTS) as asking, Asking(daemon.url, "beside", 1) as beside:
            try:
                for _ in range(kills):
                    wait_answered(daemon, asking, time.monotonic())
                    time.sleep(PAUSE)
                    killed += 1
                    times.append(kill_one(daemon, asking))
            except DaemonError as error:
                found.append(str(error))
        found += faults(daemon, asking, beside)
        if daemon.stop() != 0:
            found.append(f"the daemon ended with status {daemon.process.returncode}")
    lost = lost_instances(daemon)
    if len(left := stubs.memory(prefix)) > lost:
        found.append(f"{len(left)} pieces of shared memory are left, and {lost} instances were lost: {left}")
    for piece in left:
        (stubs.MEMORY / piece).unlink()
    say(f"{killed} kills; requests to the model: {told(asking.ends)}; to another beside it: {told(beside.ends)}")
    if lost:
        say(f"{lost} instances were lost with their threads; they leave {len(left)} pieces of shared memory")
    if times:
        worst, median = max(times), statistics.median(times)
        verdict = "reached" if worst <= PROMISED else "missed"
        say(f"the model was back after {median:.2f} s in the median, {worst:.2f} s at most; {PROMISED} s are {verdict}")
    return found


def kill_one(daemon, asking):
    """Kills the model's process; how long it took until a request that was sent since was answered well, in seconds."""
    daemon.wait_until(lambda: stubs.running(daemon.process.pid), LONGEST, "have a process for the model")
    victim = stubs.running(daemon.process.pid)[0]
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    # Its last answers may still be on their way: they were sent before.
    daemon.wait_until(lambda: victim not in stubs.running(daemon.process.pid), LONGEST, "notice the kill")
    wait_answered(daemon, asking, killed)
    return time.monotonic() - killed


def wait_answered(daemon, asking, since):
    """Waits until a request that was sent after that moment was answered well."""
    daemon.wait_until(lambda: asking.last > since, LONGEST, "answer for the model again")


def faults(daemon, asking, beside):
    """What is wrong once the clients have gone, a line each."""
    found = []
    if daemon.process.poll() is not None:
        return [f"the daemon ended with status {daemon.process.returncode}"]
    for name, ends, allowed in (
        ("the model", asking.ends, {"ok", "INTERNAL", "UNAVAILABLE"}),
        ("another model", beside.ends, {"ok"}),
    ):
        found += [f"{count} requests to {name} ended with {end}" for end, count in ends.items() if end not in allowed]
        if not ends["ok"]:
            found.append(f"no request to {name} was answered")
    try:
        daemon.wait_until(lambda: are_seen_to(daemon), LONGEST, "see to the processes that ended")
    except DaemonError as error:
        found.append(str(error))
    return found


def are_seen_to(daemon):
    """Whether no process that ended is left, but those of instances that were lost: nobody sees to them."""
    return len(stubs.zombies(daemon.process.pid)) <= lost_instances(daemon)


def lost_instances(daemon):
    """How many instances were lost with a thread that the Python backend ended: their processes died with a lock of the
    memory that both share, which stays then.
    """
    return daemon.log_text().count("a plugin ended a thread (nerite-")


def told(ends):
    """How requests ended, in words."""
    return ", ".join(f"{count:,} {end}" for end, count in ends.most_common())


def main():
    """As often as is asked for; exit status 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="scripts/kill-stubs", description="Kills the process of a model in Python.")
    parser.add_argument("--kills", type=int, default=50, help="how often [default: 50]")
    busy = "the model takes no time, and is more often killed with a lock of the memory that it shares with the daemon"
    parser.add_argument("--busy", action="store_true", help=busy)
    options = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    found = run(FOLDER, options.kills, 0 if options.busy else SECONDS)
    for fault in found:
        print(f"FAULT {fault}")
    print(f"{len(found)} faults")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
