"""Whether the server is ready: instances that do not come back, models that are broken, and what readiness depends on."""

import time

import damage
import grpc
import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from server import LIMIT, Server
from tritonclient.grpc import service_pb2
from wire import request

# So long that nothing waits for its end.
ENDLESS = 1_000_000_000
ONE_INSTANCE = "instance_group [ { count: 1 kind: KIND_CPU } ]\n"
ONE_THREAD = 'parameters { key: "intra_op_thread_count" value { string_value: "1" } }\n'
EXPLICIT = "--model-control-mode=explicit"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Probed(Server):
    """A daemon, and everything that says whether it is ready."""

    def __init__(self, daemon):
        super().__init__(daemon)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def until_live(self):
        """Waits until it answers and has looked at all of its models, ready or not."""
        self.until(lambda: self.daemon.http("/v2/health/live")[0] == 200, "answer")
        return self

    def probes(self):
        """What those say that say whether it is ready."""
        return {
            self.client.is_server_ready(),
            self.daemon.http("/v2/health/ready")[0] == 200,
            self.health.Check(health_pb2.HealthCheckRequest()).status == SERVING,
        }

    def is_ready(self):
        """Whether it is ready; all that say so agree."""
        (ready,) = self.probes()
        return ready

    def until_ready(self, ready=True):
        self.until(lambda: self.probes() == {ready}, f"be ready: {ready}")

    def row(self, name, version="1"):
        """The state and the reason of a version in the index, empty where it has none yet."""
        found = {number: (state, reason) for number, state, reason in self.rows(name)}
        return found.get(version, ("", ""))

    def spin(self, name, steps, deadline=None):
        """Sends a request that takes so many steps."""
        message = request(name, ("STEPS", "INT64", [1, 1]), raw=[np.int64(steps).tobytes()])
        return self.stub.ModelInfer.future(message, timeout=deadline)

    def stalled(self, name):
        return self.daemon.metric("nerite_instances_stalled", model=name)

    def lines(self, *words):
        """The lines of the log with all of these words."""
        return [line for line in self.daemon.log_text().splitlines() if all(word in line for word in words)]


@pytest.fixture
def server(serve, repository):
    """Serves the repository: server(flags...), once it is ready, or server(flags..., wait=False), once it answers."""
    started = []

    def start(*flags, wait=True):
        started.append(Probed(serve(repository, *flags, wait=wait)))
        return started[-1].until_live()

    yield start
    for one in started:
        one.close()


def add_spin(repository, name="m", instances=ONE_INSTANCE):
    dims = [("STEPS", "INT64", [1])], [("OUTPUT0", "INT64", [1])]
    repository.add(name, models.spin(), models.config(name, *dims, 4, instances + ONE_THREAD))


def add_good(repository, name):
    damage.make_whole(repository.folder / name)


def add_broken(repository, name):
    repository.add(name, b"not a model")


def test_an_instance_that_does_not_come_back_is_seen_wherever_one_looks_until_it_does(server, repository):
    add_spin(repository)
    add_good(repository, "other")
    world = server("--instance-stall-secs=1")
    watched = world.health.Watch(health_pb2.HealthCheckRequest(), timeout=LIMIT)
    assert next(watched).status == SERVING and world.is_ready() and world.stalled("m") == 0

    busy = world.spin("m", ENDLESS)
    world.until(lambda: world.stalled("m") == 1, "notice the instance")
    assert not busy.done()
    assert not world.client.is_model_ready("m") and not world.client.is_model_ready("m", "1")
    assert world.client.is_model_ready("other")
    assert not world.is_ready()
    assert next(watched).status == NOT_SERVING
    state, reason = world.row("m")
    assert state == "UNAVAILABLE"
    assert "1 of its instances have been executing for longer than --instance-stall-secs, 'm_0_0' for " in reason
    assert "to load the model again puts others in their place" in reason
    ready = world.stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True)).models
    assert [entry.name for entry in ready] == ["other"]
    assert world.row("other") == ("READY", "") and world.stalled("other") == 0
    assert world.lines("model 'm' version 1: instance 'm_0_0' is stalled: it has been executing for 1.")

    busy.cancel()
    world.until(lambda: world.stalled("m") == 0, "end what was cancelled")
    assert world.client.is_model_ready("m") and world.is_ready()
    assert next(watched).status == SERVING
    assert world.row("m") == ("READY", "")
    assert world.lines("model 'm' version 1: instance 'm_0_0', which was stalled, ended after ")
    assert world.spin("m", 3, LIMIT).result().raw_output_contents[0] == np.int64(3).tobytes()


def test_a_model_with_a_stalled_instance_is_not_ready_though_its_others_serve(server, repository):
    add_spin(repository, instances="instance_group [ { count: 2 kind: KIND_CPU } ]\n")
    world = server("--instance-stall-secs=1")
    busy = world.spin("m", ENDLESS)
    world.until(lambda: world.stalled("m") == 1, "notice the instance")
    assert world.spin("m", 3, LIMIT).result().raw_output_contents[0] == np.int64(3).tobytes()
    assert not world.client.is_model_ready("m") and not world.is_ready()
    busy.cancel()
    world.until_ready()


def test_without_a_limit_no_instance_counts_as_stalled(server, repository):
    add_spin(repository)
    world = server()
    busy = world.spin("m", ENDLESS)
    # Nothing tells that nothing will happen; what is told after the limit of the other tests has passed has to do.
    time.sleep(1.2)
    assert not busy.done()
    assert world.stalled("m") == 0 and world.is_ready() and world.client.is_model_ready("m")
    busy.cancel()


def test_a_stalled_instance_counts_where_readiness_depends_on_its_model_alone(server, repository):
    add_spin(repository, "a")
    add_spin(repository, "b")
    world = server("--instance-stall-secs=1", "--ready-models=b")
    # The server is ready once `b` is.
    world.until(lambda: world.client.is_model_ready("a"), "load the other model")
    busy = world.spin("a", ENDLESS)
    world.until(lambda: world.stalled("a") == 1, "notice the instance")
    assert world.is_ready() and not world.client.is_model_ready("a")
    other = world.spin("b", ENDLESS)
    world.until_ready(False)
    other.cancel()
    busy.cancel()
    world.until_ready()


def test_a_load_puts_others_in_the_place_of_instances_that_are_stalled(server, repository):
    add_spin(repository)
    world = server("--instance-stall-secs=1", EXPLICIT, "--load-model=m")
    busy = world.spin("m", ENDLESS)
    world.until(lambda: world.stalled("m") == 1, "notice the instance")
    world.client.load_model("m", client_timeout=LIMIT)
    assert world.row("m") == ("READY", "") and world.is_ready() and world.client.is_model_ready("m")
    assert world.stalled("m") == 0 and not busy.done()
    assert world.spin("m", 3, LIMIT).result().raw_output_contents[0] == np.int64(3).tobytes()
    busy.cancel()


def test_readiness_depends_on_the_models_that_are_named_and_on_no_others(server, repository):
    add_good(repository, "a")
    add_broken(repository, "b")
    assert server("--exit-on-error=false", "--ready-models=a").is_ready()
    for flag in ("--ready-models=b", "--ready-models=a,b", "--ready-models=a,none", "--ready-models=none"):
        world = server("--exit-on-error=false", flag, wait=False)
        until_loaded(world)
        for _ in range(5):
            assert not world.is_ready(), flag


def until_loaded(world):
    """Waits until it is known that the model `a` can be served, and that `b` cannot."""
    world.until(lambda: world.client.is_model_ready("a"), "serve a")
    world.until(lambda: world.row("b")[0] == "UNAVAILABLE", "give b up")


def test_strict_readiness_wants_every_model_and_readiness_that_is_not_wants_none(server, repository):
    add_good(repository, "a")
    add_broken(repository, "b")
    world = server("--exit-on-error=false", wait=False)
    until_loaded(world)
    for _ in range(5):
        assert not world.is_ready()
    assert server("--exit-on-error=false", "--strict-readiness=false").is_ready()


def test_a_server_that_has_loaded_nothing_yet_is_ready_and_is_again_when_all_is_unloaded(server, repository):
    add_good(repository, "a")
    add_broken(repository, "b")
    world = server(EXPLICIT)
    assert world.is_ready()
    world.client.load_model("a")
    assert world.is_ready() and world.client.is_model_ready("a")
    with pytest.raises(triton.InferenceServerException):
        world.client.load_model("b")
    assert not world.is_ready()
    world.client.unload_model("b")
    assert world.is_ready()
    world.client.unload_model("a")
    assert world.is_ready() and not world.client.is_model_ready("a")
    world.until(lambda: world.row("a") == ("UNAVAILABLE", "unloaded"), "unload a")
    assert world.is_ready()


def test_a_named_model_is_missed_while_it_is_not_loaded(server, repository):
    add_good(repository, "a")
    world = server(EXPLICIT, "--ready-models=a", wait=False)
    assert not world.is_ready()
    world.client.load_model("a")
    assert world.is_ready()
    world.client.unload_model("a")
    assert not world.is_ready()


@pytest.mark.parametrize("flag", ["--strict-readiness=true", "--ready-models=a"])
def test_a_reload_that_fails_leaves_the_server_ready(server, repository, flag):
    add_good(repository, "a")
    world = server(EXPLICIT, "--load-model=a", flag)
    for damaged in (lambda folder: damage.written("max_batch_size: many")(folder), damage.model(b"not a model")):
        damaged(repository.folder / "a")
        with pytest.raises(triton.InferenceServerException):
            world.client.load_model("a")
        assert world.row("a")[0] == "READY" and world.row("a")[1]
        assert world.is_ready() and world.client.is_model_ready("a")
        add_good(repository, "a")
        world.client.load_model("a")
        assert world.row("a") == ("READY", "") and world.is_ready()


@pytest.mark.parametrize("flag", ["--strict-readiness=true", "--ready-models=a"])
def test_a_new_version_that_is_broken_leaves_the_server_ready(server, repository, flag):
    add_good(repository, "a")
    world = server(EXPLICIT, "--load-model=a", flag)
    repository.add("a", b"not a model", version=2)
    with pytest.raises(triton.InferenceServerException):
        world.client.load_model("a")
    assert world.client.is_model_ready("a") and world.row("a") == ("READY", "")
    assert world.row("a", "2")[0] == "UNAVAILABLE" and "is not an ONNX model" in world.row("a", "2")[1]
    assert world.is_ready()


def test_the_server_is_ready_while_a_new_version_is_being_loaded_and_not_while_a_new_model_is(server, repository):
    add_spin(repository)
    world = server(EXPLICIT, "--load-model=m")
    # It warms up without an end.
    value = 'value { data_type: TYPE_INT64 dims: [ 1 ] input_data_file: "steps" }'
    warm_up = f'model_warmup {{ name: "endless" inputs {{ key: "STEPS" {value} }} }}\n'
    for name, version in (("m", 2), ("new", 1)):
        add_spin(repository, name, ONE_INSTANCE + warm_up)
        repository.add(name, models.spin(), version=version)
        (repository.folder / name / "warmup").mkdir()
        (repository.folder / name / "warmup" / "steps").write_bytes(np.int64(ENDLESS).tobytes())
    loading = service_pb2.RepositoryModelLoadRequest(model_name="m")
    first = world.stub.RepositoryModelLoad.future(loading)
    world.until(lambda: world.row("m", "2") == ("LOADING", ""), "load version 2")
    assert world.is_ready() and world.client.is_model_ready("m", "1") and not world.client.is_model_ready("m", "2")
    second = world.stub.RepositoryModelLoad.future(service_pb2.RepositoryModelLoadRequest(model_name="new"))
    world.until_ready(False)
    world.client.unload_model("new")
    world.until_ready()
    assert second.exception(LIMIT).code() == grpc.StatusCode.UNAVAILABLE
    world.client.unload_model("m")
    assert first.exception(LIMIT).code() == grpc.StatusCode.UNAVAILABLE
