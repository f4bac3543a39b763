"""More requests than a model can answer, at their times whatever becomes of them."""

import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import grpc
import models
from bench import cores, generator, process
from bench.bare import Bare
from bench.report import at_least, table, target
from daemon import Daemon
from tritonclient.grpc import service_pb2, service_pb2_grpc

ROUNDS = 5
SECONDS_OF_A_STEP = 3
# Offered load, as a multiple of what the model can answer.
LOADS = [0.5, 1, 2, 5, 10]
OVERLOADS = [load for load in LOADS if load > 1]
DEADLINE_MS = 100
COMPUTE_US = 5_000
QUEUE_SIZE = 8
# How the capacity is found: few at a time, so that nobody is refused.
CAPACITY_SHAPE, CAPACITY_REQUESTS = (2, 2), 1_000
# How refusals are counted, and for how many requests at a time. The run that holds the queue outlasts that.
REFUSAL_SHAPE, REFUSALS = (4, 16), 20_000
HELD_US = 120_000_000


class Step(NamedTuple):
    """One load of one round, and the resident memory after it in MB."""

    run: generator.Run
    resident: float

    @property
    def goodput(self):
        """Answers in time, per second."""
        return self.run.in_time / self.run.elapsed_us * 1e6


def run():
    """Prints the tables; returns the lines about the targets."""
    with TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        steps_of_one_us = calibrate(scratch / "calibration") / COMPUTE_US
        repository = models.Repository(scratch / "repository")
        add(repository, "overload", round(COMPUTE_US * steps_of_one_us))
        add(repository, "held", round(HELD_US * steps_of_one_us))
        body, held = scratch / "overload.body", scratch / "held.body"
        body.write_bytes(generator.frame(request("overload").SerializeToString()))
        held.write_bytes(generator.frame(request("held").SerializeToString()))
        with serve(repository, scratch) as daemon:
            steps = measure_steps(daemon, body)
            refusals = measure_refusals(daemon, held, scratch)
    show(steps)
    return judge(steps) + judge_refusals(refusals)


@contextmanager
def serve(repository, scratch):
    """The daemon, ready, on a core of its own; this process and what it starts in the block have another."""
    asking, serving = cores.split()
    with cores.pinned(serving):
        daemon = Daemon([f"--model-repository={repository.folder}"], scratch / "nerite.log")
    with daemon, cores.pinned(asking):
        yield daemon.wait_ready()


def add(repository, name, steps):
    """A model of one instance, one thread and one request at a time, before which few may wait."""
    extra = f"""
        instance_group [ {{ count: 1 kind: KIND_CPU }} ]
        dynamic_batching {{ default_queue_policy {{ max_queue_size: {QUEUE_SIZE} }} }}
        parameters {{ key: "intra_op_thread_count" value: {{ string_value: "1" }} }}
    """
    tensors = [("INPUT0", "FP32", [256])], [("OUTPUT0", "FP32", [256])]
    repository.add(name, models.slow(steps), models.config(name, *tensors, 1, extra))


def request(model):
    """One row."""
    message = service_pb2.ModelInferRequest(model_name=model)
    message.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 256])
    message.raw_input_contents.append(bytes(4 * 256))
    return message


def calibrate(scratch):
    """How many steps of the slow model take as long as the model of this benchmark is to take, in the daemon."""
    steps = 2_000
    repository = models.Repository(scratch / "repository")
    add(repository, "trial", steps)
    body = scratch / "body"
    body.write_bytes(generator.frame(request("trial").SerializeToString()))
    with serve(repository, scratch) as daemon:
        for _ in range(2):  # The first warms up.
            trial = generator.closed(daemon.grpc_port, daemon.process.pid, (1, 1), 200, body)
    return steps * COMPUTE_US / trial.p50_us


def measure_steps(daemon, body):
    """Every step, by load; the steps of a round come one after the other."""
    port, pid = daemon.grpc_port, daemon.process.pid
    capacity = generator.closed(port, pid, CAPACITY_SHAPE, CAPACITY_REQUESTS, body).rate
    print(f"capacity: {capacity:.0f} requests/s; a round's steps take {SECONDS_OF_A_STEP} s each\n", flush=True)
    steps = {load: [] for load in LOADS}
    for _ in range(ROUNDS):
        for load in LOADS:
            one = generator.open_loop(port, pid, capacity * load, SECONDS_OF_A_STEP, DEADLINE_MS, body)
            steps[load].append(Step(one, process.status(pid, "VmRSS") / 1000))
    return steps


def measure_refusals(daemon, body, scratch):
    """The CPU time in µs of refused requests and of the bare echo's, round by round.

    One request occupies the model all the while and others fill its queue, so that every further one is refused. What
    the thread that computes takes is left out. The echo takes its turn on the same core, beside the same computation.
    """
    answer = scratch / "answer"
    with grpc.insecure_channel(daemon.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer.write_bytes(stub.ModelInfer(request("overload")).SerializeToString())
        _, serving = cores.split()
        with cores.pinned(serving):
            echo = Bare("echo_server", answer)
        with echo, held(daemon, stub):
            busy = busiest(daemon.process.pid)
            return [measure_refusal(daemon, echo, body, busy) for _ in range(ROUNDS + 1)][1:]


def measure_refusal(daemon, echo, body, busy):
    """The CPU time in µs of one refused request and one of the echo's; None where not all were refused."""
    limits = REFUSAL_SHAPE, REFUSALS, body
    bare = generator.closed(echo.port, echo.pid, *limits)
    pid = daemon.process.pid
    probe = generator.closed(daemon.grpc_port, pid, REFUSAL_SHAPE, 64, body, DEADLINE_MS)
    if probe.refused < probe.total:
        return None

    def clock(pid):
        return sum(cpu for thread, cpu in process.threads_cpu_seconds(pid).items() if thread != busy)

    refused = generator.closed(daemon.grpc_port, pid, *limits, DEADLINE_MS, clock)
    return (refused.cpu_us, bare.cpu_us) if refused.refused == refused.total else None


def busiest(pid):
    """The thread that computes while nobody asks."""
    before = process.threads_cpu_seconds(pid)
    time.sleep(0.5)
    after = process.threads_cpu_seconds(pid)
    return max(after, key=lambda thread: after[thread] - before.get(thread, 0))


@contextmanager
def held(daemon, stub):
    """One request is being executed all the while, and its model's queue is full."""
    calls = [stub.ModelInfer.future(request("held"))]
    # Nothing tells a client that its request is being executed but that it no longer waits.
    time.sleep(1)
    calls += [stub.ModelInfer.future(request("held")) for _ in range(QUEUE_SIZE)]
    try:
        daemon.wait_until(lambda: pending(daemon) == QUEUE_SIZE, 10, "fill its queue")
        yield
    finally:
        for call in calls:
            call.cancel()


def pending(daemon):
    """How many requests wait for their models."""
    return daemon.metric("nv_inference_pending_request_count")


def show(steps):
    """The table."""
    rows = []
    for load, rounds in steps.items():
        figures = [
            lambda step: step.run.rate,
            lambda step: step.run.ok,
            lambda step: step.run.refused,
            lambda step: step.run.expired + step.run.ok_late,
            others,
            lambda step: step.goodput,
        ]
        counts = [f"{median(map(figure, rounds)):,.0f}" for figure in figures]
        latencies = [median(micros) / 1000 for micros in zip(*((step.run.p50_us, step.run.p99_us) for step in rounds))]
        memory = [rounds[0].resident, rounds[-1].resident]
        rows.append([f"{load:g}×", *counts, *(f"{number:,.1f}" for number in latencies + memory)])
    header = ["offered/s", "accepted", "refused", "late", "other", "goodput/s", "p50 ms", "p99 ms"]
    table([f"median of {ROUNDS} rounds", *header, "MB at first", "MB at last"], rows)


def others(step):
    """The requests that ended in no way that is foreseen."""
    return step.run.failed + step.run.broken + step.run.unanswered + step.run.unsent


def judge(steps):
    """The lines about the steps."""
    rounds = [dict(zip(steps, one)) for one in zip(*steps.values())]
    most = [max(step.goodput for step in one.values()) for one in rounds]
    lines = []
    for load in OVERLOADS:
        kept = median(100 * one[load].goodput / best for one, best in zip(rounds, most))
        lines.append(at_least(f"goodput at {load}×, of the most at any load", kept, 90, "%"))
    for load in OVERLOADS:
        p99 = median(step.run.p99_us for step in steps[load]) / 1000
        lines.append(target(f"p99 of the accepted at {load}×", p99, DEADLINE_MS, "ms"))
    grown = 100 * max(step.resident for step in steps[LOADS[-1]]) / steps[1][0].resident - 100
    lines.append(target(f"resident after any {LOADS[-1]}×, more than after the first 1×", grown, 5, "%"))
    lines.append(target("answers of another kind", sum(map(others, sum(steps.values(), []))), 0, ""))
    return lines


def judge_refusals(refusals):
    """The line about what a refusal costs."""
    what = "CPU of a refused request, as a multiple of the bare echo's"
    if None in refusals:
        return [f"target {what}: not all were refused, at most 1.2: missed"]
    refused, bare = (median(column) for column in zip(*refusals))
    print(f"CPU of a refused request {refused:.1f} µs, of the bare echo's {bare:.1f} µs\n")
    return [target(what, median(refused / bare for refused, bare in refusals), 1.2, "")]
