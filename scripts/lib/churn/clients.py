"""Many clients that ask without pause, each over a connection of its own, until the standard input ends.

The first line of the input says of what and where; the output is what came, in JSON. A process of its own, since what
changes the repository must not wait for them. Times are those of the system's monotonic clock, which all processes share.
"""

import asyncio
import json
import struct
import sys
import time
from collections import Counter

import grpc
from churn import contents
from tritonclient.grpc import service_pb2

INFER = "/inference.GRPCInferenceService/ModelInfer"
# An answer that takes longer never comes.
PATIENCE = 30
# A client whose model is not there waits before it asks again.
PAUSE = 0.02
# What came that should not have is kept with its text up to this number.
MOST_KEPT = 1000
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


class Seen:
    """What came."""

    def __init__(self):
        # By model, version and tag: how many, when the first came, when the last was asked for.
        self.answers = {}
        # By model, and the code and text of the error.
        self.errors = Counter()
        # By model: the error's code and text, and the seconds since the start.
        self.failed = []
        self.torn = []
        self.begun = time.monotonic()

    def answer(self, target, answer, addend, begun):
        """Takes note of an answer."""
        now = time.monotonic()
        try:
            tag = contents.read(answer, addend)
        except contents.Torn as torn:
            if len(self.torn) < MOST_KEPT:
                self.torn.append((target["model"], answer.model_version, now, str(torn)))
            return
        if (answer.model_name, answer.model_version) != (target["model"], target["version"] or answer.model_version):
            self.torn.append((target["model"], answer.model_version, now, f"is of model {answer.model_name}"))
        first = self.answers.setdefault((target["model"], answer.model_version, tag), [0, now, begun])
        first[0] += 1
        first[2] = max(first[2], begun)

    def error(self, target, error):
        """Takes note of an error."""
        self.errors[target["model"], error.code().name, error.details()] += 1
        if len(self.failed) < MOST_KEPT:
            self.failed.append((target["model"], error.code().name, error.details(), time.monotonic() - self.begun))

    def json(self):
        """All of it."""
        return json.dumps(
            {
                "answers": [[*key, *value] for key, value in self.answers.items()],
                "errors": [[*key, count] for key, count in self.errors.items()],
                "failed": self.failed,
                "torn": self.torn,
            }
        )


def request(target, addend):
    """A request whose answer is the sum of that and every weight."""
    message = service_pb2.ModelInferRequest(model_name=target["model"], model_version=target["version"])
    message.inputs.add(name="INPUT0", datatype="FP32", shape=[1])
    message.raw_input_contents.append(struct.pack("<f", addend))
    return message


async def client(url, number, target, seen, stop):
    """One client."""
    addend = float(number * contents.STRIDE)
    body = request(target, addend).SerializeToString()
    async with grpc.aio.insecure_channel(url, OPTIONS) as channel:
        infer = channel.unary_unary(INFER, response_deserializer=service_pb2.ModelInferResponse.FromString)
        while not stop.is_set():
            begun = time.monotonic()
            try:
                answer = await infer(body, timeout=PATIENCE)
            except grpc.aio.AioRpcError as error:
                seen.error(target, error)
                await asyncio.sleep(PAUSE)
            else:
                seen.answer(target, answer, addend, begun)


async def run():
    """Asks until the input ends."""
    plan = json.loads(sys.stdin.readline())
    targets = [target for target in plan["targets"] for _ in range(target["clients"])]
    seen, stop = Seen(), asyncio.Event()
    clients = [
        asyncio.ensure_future(client(plan["url"], number, target, seen, stop)) for number, target in enumerate(targets)
    ]
    while sum(count for count, *_ in seen.answers.values()) < len(clients):
        await asyncio.sleep(0.01)
    print("begun", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    stop.set()
    await asyncio.gather(*clients)
    print(seen.json())


if __name__ == "__main__":
    asyncio.run(run())
