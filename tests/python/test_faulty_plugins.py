"""A plugin that does wrong in any entry point gets a clear error where there is one to get, and hinders no other model.

What tests/plugins/faulty.c does wrong is said by a parameter of the model, or by the backend's name. The backend `throwing`
is the same, and throws each error that the other returns; `ending` throws it where nothing can catch it.
"""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import grpc
import models
import numpy as np
import plugins
import pytest
from daemon import Daemon
from models import Repository
from plugins import parameters
from server import LIMIT, Server
from wire import request

EXPLICIT = "--model-control-mode=explicit"
NUMBERS = np.arange(4, dtype=np.float32)
# What a request may be answered with while its model's instance is made again.
MENDING = ("UNAVAILABLE", "INTERNAL")

needs_cpp = pytest.mark.skipif(
    plugins.compiler_of_cpp() is None, reason="it takes a compiler of C++; on Debian or Ubuntu: apt-get install g++"
)
in_both_ways = pytest.mark.parametrize("backend", ["faulty", pytest.param("throwing", marks=needs_cpp)])


def configuration(name, backend="faulty", count=1, **values):
    """A configuration whose parameters say what is done wrong."""
    extra = f"instance_group [ {{ count: {count} kind: KIND_CPU }} ]\ndynamic_batching {{ }}\n{parameters(**values)}"
    return plugins.config(backend, name, [("INPUT", "FP32", [4])], [("OUTPUT", "FP32", [4])], 8, extra)


class World(Server):
    """A daemon in explicit mode with the faulty backends, its repository, and a model of ONNX Runtime beside."""

    def __init__(self, daemon, repository):
        super().__init__(daemon)
        self.repository = repository

    def add(self, name, backend="faulty", count=1, **values):
        """Adds a model with a fault."""
        return self.repository.add(name, config=configuration(name, backend, count, **values))

    def load(self, name, timeout=LIMIT):
        self.client.load_model(name, client_timeout=timeout)

    def ask(self, name, timeout=LIMIT):
        """How a request ends: OK if its answer is what it was sent, else WRONG, or the status and text of its error."""
        message = request(name, ("INPUT", "FP32", [1, 4]), raw=[NUMBERS.tobytes()])
        try:
            answer = self.stub.ModelInfer(message, timeout=timeout)
        except grpc.RpcError as error:
            return error.code().name, error.details()
        return ("OK" if answer.raw_output_contents[:1] == [NUMBERS.tobytes()] else "WRONG"), ""

    def others_serve(self):
        """Whether a model of another backend answers, and a whole one of the same."""
        message = request("onnx", ("INPUT0", "FP32", [1, 4]), raw=[NUMBERS.tobytes()])
        answer = self.stub.ModelInfer(message, timeout=LIMIT)
        return answer.raw_output_contents == [NUMBERS.tobytes()] and self.ask("whole") == ("OK", "")

    def remove(self, name):
        """Unloads a model, waits until it is gone, and removes its folder."""
        self.client.unload_model(name)
        self.until(lambda: "READY" not in [state for _, state, _ in self.rows(name)], f"unload {name}")
        shutil.rmtree(self.repository.folder / name)


def fill(folder):
    """A repository, and the flags of a daemon that serves it."""
    repository, backends = Repository(folder / "repository"), folder / "backends"
    made = {"faulty": plugins.compile_c(plugins.FAULTY, plugins.library(backends / "faulty", "faulty"), "-pthread")}
    if plugins.compiler_of_cpp():
        made["throwing"] = plugins.compile_throwing(plugins.library(backends / "throwing", "throwing"))
        plugins.compile_throwing(plugins.library(backends / "ending", "ending"), "-DCATCHABLE=noexcept")
    for backend, source in made.items():
        for fault in [*BY_NAME, *HANGING_BY_NAME]:
            path = plugins.library(backends / f"{backend}_{fault}", f"{backend}_{fault}")
            path.parent.mkdir()
            shutil.copy(source, path)
    repository.add("onnx", models.identity("FP32", ["b", 4]))
    repository.add("whole", config=configuration("whole"))
    flags = [f"--model-repository={repository.folder}", f"--backend-directory={backends}", EXPLICIT]
    return repository, [*flags, "--load-model=onnx", "--load-model=whole", "--exit-timeout-secs=2"]


def start(folder):
    """A daemon that serves what `fill` made."""
    repository, flags = fill(folder)
    return World(Daemon(flags, folder / "nerite.log").wait_ready(), repository)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One daemon for those faults that are over when their model is gone."""
    folder = tmp_path_factory.mktemp("faulty")
    served = start(folder)
    try:
        yield served
        assert served.others_serve()
        served.close()
        assert served.daemon.stop() == 0, served.daemon.log_text()
    finally:
        served.daemon.stop()


@pytest.fixture
def own(tmp_path):
    """A daemon for one test, whose fault is never over. It ends within its time to exit all the same."""
    served = start(tmp_path)
    try:
        yield served
        assert served.others_serve()
        served.close()
        served.daemon.terminate()
        served.daemon.wait_exit(LIMIT)
    finally:
        served.daemon.process.kill()


# By the backend's name: what the load says.
BY_NAME = {"initialize_fails": "faulty: initialize_fails", "initialize_version": "faulty: the server's API is too old"}
HANGING_BY_NAME = ["initialize_hangs", "attributes_hang", "finalize_hangs", "attributes_fail", "finalize_fails"]


@in_both_ways
@pytest.mark.parametrize("fault", BY_NAME)
def test_a_backend_that_refuses_to_start_is_told_by_the_load_the_index_and_the_log(world, fault, backend):
    name = f"by_{fault}"
    world.add(name, backend=f"{backend}_{fault}")
    error, log = world.fail_to_load(name)
    ((_, state, reason),) = world.rows(name)
    assert state == "UNAVAILABLE"
    assert all(BY_NAME[fault] in told for told in (error.message(), reason, log)), (error, reason, log)
    assert world.others_serve()
    world.remove(name)


@in_both_ways
@pytest.mark.parametrize("fault", ["model_initialize_fails", "instance_initialize_fails"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_model_that_refuses_to_start_is_told_by_the_load_the_index_and_the_log(world, fault, count, backend):
    world.add("refusing", backend, fault=fault, count=count)
    error, log = world.fail_to_load("refusing")
    ((_, state, reason),) = world.rows("refusing")
    assert state == "UNAVAILABLE"
    assert all(f"faulty: {fault}" in told for told in (error.message(), reason, log)), (error, reason, log)
    assert world.others_serve()
    world.remove("refusing")


@pytest.mark.parametrize("fault", ["model_initialize_hangs", "instance_initialize_hangs"])
def test_while_a_model_is_long_in_starting_others_serve(world, fault):
    world.add("long", fault=fault, seconds=2)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(world.load, "long")
        served = 0
        while not loading.done():
            assert world.others_serve()
            served += 1
        loading.result()
    assert served > 1 and world.ask("long") == ("OK", "")
    world.remove("long")


@in_both_ways
@pytest.mark.parametrize("fault", ["model_finalize_fails", "instance_finalize_fails"])
def test_a_model_that_fails_to_end_is_unloaded_and_the_log_says_so(world, fault, backend):
    world.add("ending", backend, fault=fault)
    world.load("ending")
    assert world.ask("ending") == ("OK", "")
    before = len(world.daemon.log_text())
    world.remove("ending")
    world.until(lambda: f"faulty: {fault}" in world.daemon.log_text()[before:], "say what failed")
    assert world.others_serve()


@pytest.mark.parametrize("fault", ["model_finalize_hangs", "instance_finalize_hangs"])
def test_while_a_model_is_long_in_ending_others_serve(world, fault):
    world.add("ending", fault=fault, seconds=2)
    world.load("ending")
    world.client.unload_model("ending")
    for _ in range(3):
        assert world.others_serve()
    world.until(lambda: "READY" not in [state for _, state, _ in world.rows("ending")], "unload")
    shutil.rmtree(world.repository.folder / "ending")


# How requests end: OK; or with an error, whose text matches; or, where both are right, either.
FAULTS = {
    "nothing": "OK",
    "execute_fails": r"faulty: execute_fails",
    "execute_odd_error": r".",
    "execute_fails_late": "OK",
    "batch_fails": r"faulty: batch_fails",
    "never_answers": r"answer|respon",
    "releases_twice": "OK",
    "answers_twice": "OK",
    "sends_twice": "OK",
    "deletes_twice": "OK",
    "deletes_sent": "OK",
    "answers_released": None,
    "wrong_kind": "OK",
    "null_handles": "OK",
    "bad_index": "OK",
    "deleted_error": "OK",
    "output_too_small": r"OUTPUT.*byte|byte.*OUTPUT",
    "output_too_large": r"OUTPUT.*byte|byte.*OUTPUT",
    "output_huge": r"memory|byte|allocate",
    "output_without_buffer": r"OUTPUT",
    "output_twice": None,
    "output_missing": r"OUTPUT",
    "output_unknown": r"SOMETHING_ELSE|OUTPUT",
    "output_odd_type": r"type",
    "output_odd_shape": r"shape|-1",
    "response_after_final": "OK",
    "final_twice": "OK",
    "no_final": None,
    "factory_deleted_twice": "OK",
    "answers_late": "OK",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_request_to_a_model_that_does_wrong_is_answered(world, fault):
    world.add("wrong", fault=fault)
    world.load("wrong")
    expected = FAULTS[fault]
    code, text = world.ask("wrong")
    if expected == "OK":
        assert (code, text) == ("OK", "")
    elif expected is not None:
        assert code not in ("OK", "WRONG", "DEADLINE_EXCEEDED") and re.search(expected, text), (code, text)
    with ThreadPoolExecutor(8) as pool:
        ends = [code for code, _ in pool.map(lambda _: world.ask("wrong"), range(32))]
    allowed = {"OK"} if expected == "OK" else {code, "OK", *MENDING} - ({"OK"} if expected else set())
    assert set(ends) <= allowed, ends
    assert world.daemon.process.poll() is None and world.others_serve()
    world.remove("wrong")


def test_an_error_of_one_request_of_a_batch_is_not_that_of_the_others(world):
    world.add("first", fault="first_fails")
    world.load("first")
    code, text = world.ask("first")
    assert code == "INTERNAL" and "faulty: first_fails" in text
    assert world.others_serve()
    world.remove("first")


@pytest.mark.parametrize("backend", ["faulty", *(pytest.param(name, marks=needs_cpp) for name in ("throwing", "ending"))])
@pytest.mark.parametrize("fault", ["batch_fails", "execute_fails", "ready_fails"])
def test_a_model_that_fails_now_and_then_answers_all_other_requests(world, fault, backend):
    world.add("moody", backend, fault=fault, after=2, every=3)
    world.load("moody")
    for _ in range(6):
        # An instance that says it is not ready may be away for a while.
        world.until(lambda: world.ask("moody") == ("OK", ""), "answer again")
    assert world.daemon.process.poll() is None and world.others_serve()
    world.remove("moody")


@needs_cpp
@pytest.mark.parametrize(
    ("fault", "what"), [("execute_fails", "faulty: execute_fails"), ("execute_odd_error", "an object of type unsigned int")]
)
def test_an_exception_out_of_an_execution_is_the_answer_and_the_next_request_is_served(world, fault, what):
    world.add("throwing", "throwing", fault=fault, every=2)
    world.load("throwing")
    told = f"backend 'throwing' let an exception out of TRITONBACKEND_ModelInstanceExecute: {what}"
    for _ in range(4):
        assert world.ask("throwing") == ("OK", "")
        assert world.ask("throwing") == ("INTERNAL", told)
    assert world.others_serve()
    world.remove("throwing")


ENDING = [("ending", "execute_fails"), ("faulty", "execute_exits"), ("faulty", "execute_raises")]


@needs_cpp
@pytest.mark.parametrize(("backend", "fault"), ENDING)
def test_a_model_that_ends_the_threads_which_call_it_answers_every_request_and_is_back(world, backend, fault):
    world.add("ending", backend, fault=fault, every=2, count=2)
    world.load("ending")
    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            ends = [code for code, _ in pool.map(lambda _: world.ask("ending"), range(16))]
        assert set(ends) <= {"OK", *MENDING} and "INTERNAL" in ends, ends
        world.until(lambda: world.ask("ending") == ("OK", ""), "answer again")
    assert world.others_serve()
    world.remove("ending")


@needs_cpp
@pytest.mark.parametrize("fault", ["model_finalize_fails", "instance_finalize_fails"])
def test_a_model_that_ends_the_thread_which_unloads_it_is_gone_all_the_same(world, fault):
    world.add("ending", "ending", fault=fault)
    world.load("ending")
    assert world.ask("ending") == ("OK", "")
    world.remove("ending")
    world.until(lambda: [state for _, state, _ in world.rows("ending")] == ["UNAVAILABLE"], "unload it wholly")
    assert world.others_serve()


FAILING_BY_NAME = [
    *(("faulty", fault) for fault in HANGING_BY_NAME),
    *(pytest.param("throwing", fault, marks=needs_cpp) for fault in ("attributes_fail", "finalize_fails")),
]


@pytest.mark.parametrize(("backend", "fault"), FAILING_BY_NAME)
def test_a_backend_that_hangs_or_fails_where_it_need_not_hinders_no_other_and_no_end(own, backend, fault):
    name = f"by_{fault}"
    own.add(name, backend=f"{backend}_{fault}")
    if fault in ("initialize_hangs", "attributes_hang"):
        own.fail_to_load(name, timeout=2)
        assert not own.client.is_model_ready(name)
    else:
        own.load(name)
        assert own.ask(name) == ("OK", "")
        own.client.unload_model(name)
    assert own.others_serve()


@pytest.mark.parametrize("fault", ["model_initialize_hangs", "instance_initialize_hangs"])
def test_a_model_that_never_starts_hinders_no_other_and_no_end(own, fault):
    own.add("stuck", fault=fault)
    own.fail_to_load("stuck", timeout=2)
    assert not own.client.is_model_ready("stuck")
    own.add("second")
    own.load("second")
    assert own.ask("second") == ("OK", "")


@pytest.mark.parametrize("fault", ["model_finalize_hangs", "instance_finalize_hangs"])
def test_a_model_that_never_ends_hinders_no_other_and_no_end(own, fault):
    own.add("stuck", fault=fault)
    own.load("stuck")
    assert own.ask("stuck") == ("OK", "")
    own.client.unload_model("stuck")
    own.add("second")
    own.load("second")
    assert own.ask("second") == ("OK", "")


@pytest.mark.parametrize("fault", ["execute_hangs", "forgets", "thread_exits", "never_releases", "ready_hangs"])
def test_requests_that_a_plugin_keeps_end_with_their_clients_patience(own, fault):
    own.add("keeping", fault=fault, count=2)
    own.load("keeping")
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda _: own.ask("keeping", timeout=3), range(8)))
    allowed = {"OK", "DEADLINE_EXCEEDED", *MENDING}
    assert {code for code, _ in ends} <= allowed, ends
    assert own.daemon.process.poll() is None
