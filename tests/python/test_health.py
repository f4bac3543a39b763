"""grpc.health.v1: the health of the server and of each model, asked for and watched."""

import contextlib
import queue
import threading
import time

import grpc
import models
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2_grpc
from wire import fault, request

SERVING = "SERVING"
NOT_SERVING = "NOT_SERVING"
UNKNOWN = "SERVICE_UNKNOWN"


def name(answer):
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


class Health:
    """The health service of a daemon."""

    def __init__(self, channel):
        self.stub = health_pb2_grpc.HealthStub(channel)

    def check(self, service):
        return name(self.stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10))

    @contextlib.contextmanager
    def watch(self, service):
        """A queue of the statuses that are told, with the time of each, and ("end", time) when the stream has ended."""
        told = queue.SimpleQueue()
        stream = self.stub.Watch(health_pb2.HealthCheckRequest(service=service))

        def listen():
            with contextlib.suppress(grpc.RpcError):
                for answer in stream:
                    told.put(name(answer))
            told.put("end")

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield told
        finally:
            stream.cancel()
            listener.join(10)


def hear(told, *expected, seconds=10):
    """Exactly these statuses are told next."""
    assert [told.get(timeout=seconds) for _ in expected] == list(expected)


def nothing(told):
    """Nothing more has been told."""
    time.sleep(0.2)
    assert told.empty()


@pytest.fixture
def served(serve, repository):
    """serve(*flags): a daemon, its clients, and the models `one` and `two`, which are loaded by those who ask for them."""
    repository.add("one", models.identity("FP32", ["b", 4]))
    repository.add("two", models.identity("FP32", ["b", 4]))
    with contextlib.ExitStack() as stack:

        def start(*flags):
            daemon = serve(repository, "--model-control-mode=explicit", *flags)
            channel = stack.enter_context(grpc.insecure_channel(daemon.url))
            return daemon, stack.enter_context(triton.InferenceServerClient(daemon.url)), Health(channel)

        yield start


def test_a_check_knows_the_server_and_every_model_by_name(served):
    _, client, health = served("--load-model=one")
    assert [health.check(service) for service in ("", "inference.GRPCInferenceService", "one")] == [SERVING] * 3
    for unknown in ("two", "nobody", "inference.Nothing"):
        question = health_pb2.HealthCheckRequest(service=unknown)
        assert fault(health.stub.Check, question) == ("NOT_FOUND", f"unknown service '{unknown}'")
    client.load_model("two")
    assert health.check("two") == SERVING
    client.unload_model("two")
    assert health.check("two") == NOT_SERVING
    assert health.check("one") == SERVING


def test_a_model_that_could_not_be_loaded_is_known_and_does_not_serve(served, repository):
    repository.add("broken", b"not a model")
    _, client, health = served()
    with health.watch("broken") as told:
        hear(told, UNKNOWN)
        with pytest.raises(triton.InferenceServerException):
            client.load_model("broken")
        hear(told, NOT_SERVING)
        assert health.check("broken") == NOT_SERVING
        nothing(told)


def test_a_watch_tells_at_once_what_becomes_of_a_model_and_nothing_of_others(served):
    _, client, health = served()
    with health.watch("one") as told:
        hear(told, UNKNOWN)
        client.load_model("two")
        nothing(told)
        client.load_model("one")
        # It was loading before it served, and a watcher that was slow may not have heard of that.
        status = told.get(timeout=10)
        if status == NOT_SERVING:
            status = told.get(timeout=10)
        assert status == SERVING
        client.load_model("one")
        nothing(told)
        client.unload_model("one")
        hear(told, NOT_SERVING)
        nothing(told)


def test_a_watch_follows_the_server_as_its_models_make_it_ready_or_not(served, repository):
    repository.add("broken", b"not a model")
    _, client, health = served("--load-model=one")
    with health.watch("") as told, health.watch("inference.GRPCInferenceService") as same:
        hear(told, SERVING)
        hear(same, SERVING)
        with pytest.raises(triton.InferenceServerException):
            client.load_model("broken")
        hear(told, NOT_SERVING)
        hear(same, NOT_SERVING)
        client.unload_model("broken")


def test_a_watch_of_a_model_whose_directory_goes_and_comes_back(serve, repository):
    model = models.identity("FP32", ["b", 4])
    repository.add("stays", model)
    flags = ["--model-control-mode=poll", "--repository-poll-secs=1", "--repository-settle-ms=100"]
    daemon = serve(repository, *flags)
    with grpc.insecure_channel(daemon.url) as channel, Health(channel).watch("comes") as told:
        hear(told, UNKNOWN)
        repository.add("comes", model)
        statuses = []
        while SERVING not in statuses:
            statuses.append(told.get(timeout=20))
        assert statuses[-1] == SERVING
        nothing(told)


def test_a_stall_is_told_at_once_and_so_is_its_end(serve, repository):
    repository.add("slow", models.spin())
    daemon = serve(repository, "--instance-stall-secs=1")
    with grpc.insecure_channel(daemon.url) as channel:
        health, inference = Health(channel), service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with health.watch("slow") as told, health.watch("") as server:
            hear(told, SERVING)
            hear(server, SERVING)
            steps = (2_000_000).to_bytes(8, "little")
            call = inference.ModelInfer.future(request("slow", ("STEPS", "INT64", [1, 1]), raw=[steps]))
            hear(told, NOT_SERVING)
            hear(server, NOT_SERVING)
            assert health.check("slow") == NOT_SERVING
            call.result(timeout=60)
            hear(told, SERVING)
            hear(server, SERVING)


def test_watches_end_when_the_server_exits_and_do_not_hold_it_up(served):
    daemon, _, health = served("--load-model=one", "--exit-timeout-secs=20")
    with health.watch("") as server, health.watch("one") as one, health.watch("nobody") as nobody:
        hear(server, SERVING)
        hear(one, SERVING)
        hear(nobody, UNKNOWN)
        daemon.terminate()
        hear(server, NOT_SERVING, "end")
        hear(one, NOT_SERVING, "end")
        hear(nobody, "end")
        # Sooner than the exit timeout would end it.
        assert daemon.wait_exit(15) == 0
