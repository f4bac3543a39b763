"""Every field that says how requests wait and which of them are executed together, through a real client.

The models spin for as long as a request says. A request that spins for long occupies an instance; what others do meanwhile
is seen in the pending gauge, in the statistics, and in the order of the answers.
"""

import threading
import time

import grpc
import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from wire import fault, request

# Some hundredths of a second: enough to tell which of two answers came first.
SHORT = 20_000
# Half a second.
LONG = 200_000
# So long that nothing waits for its end.
ENDLESS = 1_000_000_000
# In microseconds.
HOUR = 3_600_000_000
LIMIT = 30
ONE_INSTANCE = "instance_group [ { count: 1 kind: KIND_CPU } ]"
# One run must not be spread over the machine's cores.
ONE_THREAD = 'parameters { key: "intra_op_thread_count" value { string_value: "1" } }'


class Spinning:
    """A daemon with models that spin, and what is sent to them."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.channel = grpc.insecure_channel(daemon.url)
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)
        self.sent, self.answered = [], []

    def send(self, model, steps=1, name="", deadline=LIMIT, rows=1, **parameters):
        """Sends a request and returns its future; `name` goes into the list of those answered, in their order."""
        data = np.full((rows, 1), steps, np.int64).tobytes()
        message = request(model, ("STEPS", "INT64", [rows, 1]), raw=[data], request_id=name)
        for key, value in parameters.items():
            message.parameters[key].int64_param = value
        future = self.stub.ModelInfer.future(message, timeout=deadline)
        # A call that nobody refers to is cancelled.
        self.sent.append(future)
        future.add_done_callback(lambda _: self.answered.append(name))
        return future

    def queue(self, model, steps=SHORT, **keywords):
        """Sends a request and waits until it waits in the queue."""
        before = self.pending(model)
        future = self.send(model, steps, **keywords)
        self.until(lambda: self.pending(model) > before, "a request waits")
        return future

    def occupy(self, model, instances=1):
        """Keeps a model's instances busy until the calls are cancelled; its queue is empty then."""
        busy = [self.send(model, ENDLESS, "busy") for _ in range(instances)]
        # All instances are busy when one more waits. It may also have come first, and have been answered.
        probes = [self.send(model, 1, "probe")]

        def waits():
            if probes[-1].done():
                probes.append(self.send(model, 1, "probe"))
            return self.pending(model) == 1

        self.until(waits, "keep its instances busy")
        probes[-1].cancel()
        self.until(lambda: self.pending(model) == 0, "the queue is empty")
        # The client hears of the cancelled one on a thread of its own, maybe later than the daemon.
        self.until(lambda: self.answered.count("probe") == len(probes), "all probes are over")
        self.answered.clear()
        return busy

    def metric(self, name, model, **labels):
        """One of a model's metrics."""
        return self.daemon.metric(name, model=model, **labels)

    def pending(self, model):
        """How many requests wait."""
        return self.metric("nv_inference_pending_request_count", model)

    def batches(self, model):
        """How many executions there were of each batch size."""
        stats = self.stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=model)).model_stats[0]
        return {batch.batch_size: batch.compute_infer.count for batch in stats.batch_stats}

    def until(self, condition, what):
        """Waits until it is so."""
        self.daemon.wait_until(condition, LIMIT, what)

    def names(self, count):
        """The names of those answered, once there are so many."""
        self.until(lambda: len(self.answered) >= count, f"{count} answers")
        return self.answered[:count]


@pytest.fixture
def spinning(repository, serve):
    """Starts a daemon with models that spin: spinning({name: (max_batch_size, further configuration)}, flags...)."""
    started = []

    def start(configurations, *flags, environment=None):
        for name, (batch, extra) in configurations.items():
            dims = [1] if batch else [-1, 1]
            if "instance_group" not in extra:
                extra += ONE_INSTANCE
            config = models.config(
                name, [("STEPS", "INT64", dims)], [("OUTPUT0", "INT64", dims)], batch, extra + ONE_THREAD
            )
            repository.add(name, models.spin(), config)
        started.append(Spinning(serve(repository, *flags, environment=environment)))
        return started[-1]

    yield start
    for one in started:
        one.channel.close()


def dynamic(batch=4, **fields):
    """A model with dynamic batching and these fields of it."""
    text = " ".join(f"{name}: {value}" for name, value in fields.items())
    return batch, f"dynamic_batching {{ {text} }}"


def policy(**fields):
    """A queue policy as a field of dynamic_batching."""
    return "{ " + " ".join(f"{name}: {value}" for name, value in fields.items()) + " }"


def test_a_batch_waits_for_max_queue_delay_until_it_is_full(spinning):
    world = spinning({"m": dynamic(max_queue_delay_microseconds=HOUR), "short": dynamic(max_queue_delay_microseconds=5000)})
    waiting = [world.queue("m") for _ in range(3)]
    assert world.batches("m") == {}
    waiting.append(world.send("m"))
    assert all(future.result() for future in waiting)
    assert world.batches("m") == {4: 1}
    assert world.send("short").result(), "the delay ends by itself"


def test_a_preferred_batch_size_is_executed_as_soon_as_it_is_reached(spinning):
    world = spinning({"m": dynamic(preferred_batch_size="[ 2 ]", max_queue_delay_microseconds=HOUR)})
    futures = [world.queue("m"), world.send("m")]
    assert all(future.result() for future in futures)
    assert world.batches("m") == {2: 1}


def test_responses_keep_the_order_of_requests_with_preserve_ordering(spinning):
    two = "instance_group [ { count: 2 kind: KIND_CPU } ]"
    world = spinning({name: (1, f"dynamic_batching {{ preserve_ordering: {keep} }} {two}") for name, keep in (("kept", "true"), ("free", "false"))})
    for model, answered_before_quick in (("kept", 1), ("free", 0)):
        world.send(model, LONG, "slow")
        time.sleep(0.05)
        assert world.send(model, 1, "quick").result()
        # Both were counted before their answers could be seen.
        assert world.metric("nv_inference_request_success", model) == answered_before_quick + 1


def test_priorities_are_strict_and_the_default_level_is_for_those_that_name_none(spinning):
    world = spinning({"m": (1, "dynamic_batching { priority_levels: 3 default_priority_level: 2 }")})
    (busy,) = world.occupy("m")
    for name, parameters in {
        "low": {"priority": 3},
        "none": {},
        "beyond": {"priority": 9},
        "high": {"priority": 1},
    }.items():
        world.queue("m", name=name, **parameters)
    busy.cancel()
    assert world.names(5) == ["busy", "high", "none", "beyond", "low"]


def test_a_full_queue_refuses_at_once_with_tritons_text(spinning):
    full = policy(max_queue_size=2)
    world = spinning({"m": (1, f"dynamic_batching {{ default_queue_policy {full} }}")})
    (busy,) = world.occupy("m")
    waiting = [world.queue("m"), world.queue("m")]
    code, text = fault(world.send("m", name="one more").result)
    assert (code, text) == ("UNAVAILABLE", "[request id: one more] Exceeds maximum queue size")
    assert world.metric("nv_inference_request_failure", "m", reason="REJECTED") == 1
    busy.cancel()
    assert all(future.result() for future in waiting)


def test_each_priority_level_may_have_a_policy_of_its_own(spinning):
    level = f"priority_queue_policy {{ key: 2 value {policy(max_queue_size=1)} }}"
    world = spinning({"m": (1, f"dynamic_batching {{ priority_levels: 2 default_priority_level: 1 {level} }}")})
    world.occupy("m")
    world.queue("m", priority=2)
    assert fault(world.send("m", priority=2).result)[0] == "UNAVAILABLE"
    world.queue("m", priority=1)
    world.queue("m", priority=1)


def test_a_request_that_waits_too_long_is_rejected_while_the_instance_is_busy(spinning):
    late = policy(default_timeout_microseconds=1_000_000)
    world = spinning({"m": (1, f"dynamic_batching {{ default_queue_policy {late} }}")})
    (busy,) = world.occupy("m")
    assert fault(world.send("m").result) == ("UNAVAILABLE", "Request timeout expired")
    assert not busy.done()
    assert world.metric("nv_inference_request_failure", "m", reason="REJECTED") == 1
    assert world.pending("m") == 0
    busy.cancel()


def test_a_request_that_is_to_be_delayed_lets_others_go_first(spinning):
    late = policy(timeout_action="DELAY", default_timeout_microseconds=HOUR, allow_timeout_override="true")
    world = spinning({"m": (1, f"dynamic_batching {{ default_queue_policy {late} }}")})
    (busy,) = world.occupy("m")
    world.queue("m", name="late", timeout=1)
    world.queue("m", name="timely")
    busy.cancel()
    assert world.names(3) == ["busy", "timely", "late"]


def test_a_request_may_shorten_its_timeout_only_where_that_is_allowed(spinning):
    def config(allowed):
        default = policy(default_timeout_microseconds=HOUR, allow_timeout_override=allowed)
        return 1, f"dynamic_batching {{ default_queue_policy {default} }}"

    world = spinning({"allowed": config("true"), "denied": config("false")})
    world.occupy("allowed")
    (busy,) = world.occupy("denied")
    with triton.InferenceServerClient(world.daemon.url) as client:
        inputs = [triton.InferInput("STEPS", [1, 1], "INT64").set_data_from_numpy(np.ones((1, 1), np.int64))]
        with pytest.raises(triton.InferenceServerException, match="Request timeout expired"):
            client.infer("allowed", inputs, timeout=20_000)
        # Long after the time that it asks for.
        threading.Timer(0.3, busy.cancel).start()
        assert client.infer("denied", inputs, timeout=20_000).as_numpy("OUTPUT0") == 1


def test_requests_of_different_shapes_do_not_share_a_batch(repository, serve):
    repository.add(
        "shapes",
        models.identity("FP32", ["b", "n"]),
        models.config("shapes", [("INPUT0", "FP32", [-1])], [("OUTPUT0", "FP32", [-1])], 4, "dynamic_batching { }"),
    )
    daemon = serve(repository, environment={"TRITONSERVER_DELAY_SCHEDULER": "3"})
    with grpc.insecure_channel(daemon.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        widths = [2, 2, 3]
        messages = [
            request("shapes", ("INPUT0", "FP32", [1, width]), raw=[np.ones(width, np.float32).tobytes()])
            for width in widths
        ]
        futures = []
        for message in messages:
            futures.append(stub.ModelInfer.future(message, timeout=LIMIT))
            time.sleep(0.05)
        for future, width in zip(futures, widths):
            assert list(future.result().outputs[0].shape) == [1, width]
        stats = stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name="shapes")).model_stats[0]
        assert {batch.batch_size: batch.compute_infer.count for batch in stats.batch_stats} == {2: 1, 1: 1}


def test_a_daemon_told_to_delay_its_scheduler_executes_nothing_before_so_many_requests_wait(spinning):
    world = spinning({"m": dynamic()}, environment={"TRITONSERVER_DELAY_SCHEDULER": "4"})
    waiting = [world.queue("m") for _ in range(3)]
    waiting.append(world.send("m"))
    assert all(future.result() for future in waiting)
    assert world.batches("m") == {4: 1}
    assert world.send("m").result(), "once is enough"


def test_as_many_requests_are_executed_at_once_as_there_are_instances(spinning):
    groups = "instance_group [ { count: 2 kind: KIND_CPU }, { name: 'more' count: 1 kind: KIND_CPU } ]"
    world = spinning({"m": (0, groups)})
    busy = world.occupy("m", instances=3)
    world.queue("m")
    world.queue("m")
    assert world.pending("m") == 2
    for future in busy:
        future.cancel()
    world.until(lambda: world.pending("m") == 0, "the cancelled ones make way")


def test_an_instance_on_a_gpu_is_refused_where_there_is_none(repository, serve):
    config = models.config("m", [("INPUT0", "FP32", [4])], [("OUTPUT0", "FP32", [4])], 4, "instance_group [ { kind: KIND_GPU } ]")
    repository.add("m", models.identity("FP32", ["b", 4]), config)
    daemon = serve(repository, "--exit-on-error=false", "--strict-readiness=false")
    with triton.InferenceServerClient(daemon.url) as client:
        (model,) = client.get_model_repository_index().models
    assert "KIND_GPU but server does not support GPUs" in model.reason


def test_models_that_share_a_resource_take_turns_with_rate_limit_execution_count(spinning):
    limited = "instance_group [ { count: 1 kind: KIND_CPU rate_limiter { resources [ { name: 'R1' count: 4 global: true } ] } } ]"
    configurations = {"one": (0, limited), "two": (0, limited)}
    world = spinning(configurations, "--rate-limit=execution_count")
    (busy,) = world.occupy("one")
    waiting = world.queue("two")
    assert not waiting.done()
    busy.cancel()
    assert waiting.result()


def test_a_resource_is_there_as_often_as_the_flag_says(spinning):
    limited = "instance_group [ { count: 1 kind: KIND_CPU rate_limiter { resources [ { name: 'R1' count: 4 } ] } } ]"
    configurations = {"one": (0, limited), "two": (0, limited)}
    world = spinning(configurations, "--rate-limit=execution_count", "--rate-limit-resource=R1:8:0")
    (busy,) = world.occupy("one")
    assert world.send("two").result(), "there is enough for both"
    busy.cancel()


def test_an_instance_that_can_never_have_its_resources_is_refused(repository, serve):
    limited = "instance_group [ { kind: KIND_CPU rate_limiter { resources [ { name: 'R1' count: 4 } ] } } ]"
    config = models.config("m", [("INPUT0", "FP32", [4])], [("OUTPUT0", "FP32", [4])], 4, limited)
    repository.add("m", models.identity("FP32", ["b", 4]), config)
    flags = ["--rate-limit=execution_count", "--rate-limit-resource=R1:3", "--exit-on-error=false", "--strict-readiness=false"]
    daemon = serve(repository, *flags)
    with triton.InferenceServerClient(daemon.url) as client:
        (model,) = client.get_model_repository_index().models
    assert "limited to 3" in model.reason and "required count is 4" in model.reason


def test_a_request_whose_deadline_passes_while_it_waits_is_never_executed(spinning):
    world = spinning({"m": (0, "")})
    (busy,) = world.occupy("m")
    executed = world.metric("nv_inference_exec_count", "m")
    canceled = world.metric("nv_inference_request_failure", "m", reason="CANCELED")
    code, _ = fault(world.send("m", deadline=0.05).result)
    assert code == "DEADLINE_EXCEEDED"
    world.until(
        lambda: world.metric("nv_inference_request_failure", "m", reason="CANCELED") > canceled, "it is counted"
    )
    assert world.pending("m") == 0 and not busy.done()
    busy.cancel()
    assert world.send("m").result(), "what was executed alone was terminated"
    assert world.metric("nv_inference_exec_count", "m") == executed + 1


def test_a_model_without_dynamic_batching_may_have_a_queue_policy_too(spinning):
    parameter = 'parameters { key: "nerite.%s" value { string_value: "%s" } }'
    world = spinning(
        {
            "sized": (0, parameter % ("max_queue_size", 1)),
            "timed": (0, parameter % ("default_timeout_microseconds", 1_000_000)),
            "default": (0, ""),
        },
        "--default-max-queue-size=2",
    )
    for model in ("sized", "timed", "default"):
        world.occupy(model)
    world.queue("sized")
    assert "Exceeds maximum queue size" in fault(world.send("sized").result)[1]
    assert fault(world.send("timed").result)[1] == "Request timeout expired"
    world.queue("default")
    world.queue("default")
    assert "Exceeds maximum queue size" in fault(world.send("default").result)[1]


def test_cancelled_requests_are_not_executed_and_leave_nothing_behind(spinning):
    world = spinning({"m": dynamic(batch=1)})
    (busy,) = world.occupy("m")
    executed = world.metric("nv_inference_exec_count", "m")
    waiting = [world.send("m") for _ in range(200)]
    world.until(lambda: world.pending("m") == 200, "all wait")
    threads = [threading.Thread(target=future.cancel) for future in waiting]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.until(lambda: world.pending("m") == 0, "none waits")
    busy.cancel()
    assert world.send("m").result()
    assert world.metric("nv_inference_exec_count", "m") == executed + 1


def test_a_model_that_was_fast_and_is_slow_once_holds_up_nobody_and_ends_with_its_caller(spinning):
    world = spinning({"m": (0, ""), "other": (0, ""), "two": (0, "instance_group [ { count: 2 kind: KIND_CPU } ]")})
    for model in ("m", "other", "two"):
        for _ in range(60):
            assert world.send(model).result()
    code, _ = fault(world.send("m", ENDLESS, deadline=0.3).result)
    assert code == "DEADLINE_EXCEEDED"
    assert world.send("m").result(), "it was ended with its caller"
    for _ in range(60):
        assert world.send("two").result()
    slow = world.send("two", ENDLESS)
    for _ in range(60):
        assert world.send("two").result(), "the other instance serves"
        assert world.send("other").result()
    assert not slow.done()
    slow.cancel()
