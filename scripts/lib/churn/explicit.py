"""Reloads by clients, in explicit mode."""

import json
import random
import threading
import time
from pathlib import Path

import grpc
from churn import verdict
from churn.crowd import Crowd, Target
from churn.disk import Disk, Model
from churn.poll import serve
from tritonclient.grpc import service_pb2, service_pb2_grpc

CROWD = [Target("reloaded", 48), Target("beside", 16)]
# A reload that takes longer never ends.
PATIENCE = 30
FLAGS = ["--model-control-mode=explicit", "--load-model=*"]
LONGEST_PAUSE = 0.04
# Of so many reloads one is of a model that was broken, and must fail; one has a configuration of its own.
BROKEN_ONE_IN, CONFIGURED_ONE_IN = 10, 3


def run(scratch, reloads, seed, say=print):
    """So many reloads; what is wrong, a line each."""
    disk = Disk(Path(scratch) / "repository")
    reloaded, beside = Model("reloaded", "inline"), Model("beside", "heavy")
    disk.add(reloaded, 1)
    disk.add(beside, 1)
    found, chance = [], random.Random(seed)
    with serve(disk, FLAGS, Path(scratch) / "nerite.log") as daemon, Crowd(daemon.url, CROWD) as crowd:
        with grpc.insecure_channel(daemon.url) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            begun = time.monotonic()
            with Reconfiguring(stub, random.Random(seed)) as other:
                for _ in range(reloads):
                    found += reload(stub, disk, reloaded, chance)
                    time.sleep(chance.uniform(0, LONGEST_PAUSE))
            took = time.monotonic() - begun
            found += other.found
        if daemon.process.poll() is not None:
            found.append(f"the daemon ended with status {daemon.process.returncode}")
    say(f"{reloads:,} reloads in {took:.0f} s, and {other.count:,} of another client beside them")
    for line in verdict.summary(crowd.seen):
        say(line)
    return found + verdict.faults(disk, crowd.seen, ["reloaded", "beside"])


def reload(stub, disk, model, chance):
    """Another content, and its load; what is wrong, a line each."""
    found = []
    if chance.randrange(BROKEN_ONE_IN) == 0:
        disk.break_file(model, 1, lambda data: data[: len(data) // 2])
        if load(stub, model.name) is None:
            found.append("a broken model was loaded")
        disk.rewrite(model, 1, 2, lambda: None, True)
        tag = model.versions[1]
    else:
        _, tag, _ = disk.replace(model, 1)
    error = load(stub, model.name, configuration(chance) if chance.randrange(CONFIGURED_ONE_IN) == 0 else None)
    disk.loaded[tag] = time.monotonic()
    return found if error is None else [*found, f"content {tag} was not loaded: {error}"]


def load(stub, name, override=None):
    """Has a model loaded; why it was not, or None."""
    message = service_pb2.RepositoryModelLoadRequest(model_name=name)
    if override:
        message.parameters["config"].string_param = json.dumps(override)
    try:
        stub.RepositoryModelLoad(message, timeout=PATIENCE)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"


def configuration(chance):
    """What stands in for the model's own configuration."""
    group = {"count": chance.randint(1, 3), "kind": "KIND_CPU"}
    return {"backend": "onnxruntime", "max_batch_size": 0, "instance_group": [group]}


class Reconfiguring:
    """Another client that has the same model loaded, with other configurations, for as long as the block lasts.

    Its loads may fail where the model is broken at the moment.
    """

    def __init__(self, stub, chance):
        self.stub, self.chance = stub, chance
        self.count, self.found = 0, []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        """Loads, with pauses."""
        while not self.stop.wait(self.chance.uniform(0, 0.1)):
            load(self.stub, "reloaded", configuration(self.chance))
            self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
