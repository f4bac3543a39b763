"""Triton's own Python backend, as it is published, serves models in Python: each thing that such a model can do."""

import contextlib
import json
import os
import re
import shutil
import signal
import time
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import accounts
import kill_stubs
import models
import numpy as np
import plugins
import pytest
import python_backend
import python_models
import stubs
import tritonclient.grpc as triton
from daemon import Daemon
from models import Repository
from server import LIMIT, Server, tensors
from wire import fault, request

EXPLICIT = "--model-control-mode=explicit"
ROWS = np.arange(48, dtype=np.float32).reshape(3, 16)


class World(Server):
    """A daemon in explicit mode that has the Python backend, its repository, and the file that models write to."""

    def __init__(self, daemon, repository, journal):
        super().__init__(daemon)
        self.repository = repository
        self.journal = journal

    def refuse(self, model, value):
        """The code and text of the error of a request of one number."""
        message = request(model, ("INPUT0", "FP32", [1]), raw=[np.float32(value).tobytes()])
        return fault(self.stub.ModelInfer, message, timeout=LIMIT)

    def generate(self, *counts, **parameters):
        """The messages of a stream with a request to the generator for each count, whose id is its place."""
        messages = []
        for place, count in enumerate(counts):
            raw = [np.int32(count).tobytes()]
            message = request("generator", ("COUNT", "INT32", [1]), raw=raw, request_id=str(place))
            for name, value in parameters.items():
                message.parameters[name].bool_param = value
            messages.append(message)
        return list(self.stub.ModelStreamInfer(iter(messages), timeout=LIMIT))

    def stubs(self, model):
        return stubs.running(self.daemon.process.pid, model)

    def written(self):
        """The lines of the journal."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One daemon for all tests of this file but those that stop theirs. At first it serves an ONNX model only."""
    folder = tmp_path_factory.mktemp("python")
    repository = Repository(folder / "repository")
    repository.add("onnx", models.add_sub("FP32", ["b", 16]))
    prefix = f"nerite_test_{os.getpid()}_"
    flags = [f"--model-repository={repository.folder}", EXPLICIT, "--load-model=onnx", *python_backend.flags(prefix)]
    with Daemon(flags, folder / "nerite.log", environment=python_backend.environment()) as daemon:
        served = World(daemon.wait_ready(), repository, folder / "journal")
        yield served
        accounts.check(daemon)
        assert served.rows("onnx") == [("1", "READY", "")]
        served.close()
        assert daemon.stop() == 0, daemon.log_text()
    assert stubs.memory(prefix) == []


@pytest.fixture
def load(world):
    """load(adder, ...): adds a model by a function of python_models and loads it, until the test is over."""
    loaded = []

    def add(adder, *arguments, **keywords):
        folder = adder(world.repository, *arguments, **keywords)
        loaded.append(folder)
        world.client.load_model(folder.name, client_timeout=LIMIT)
        return folder.name

    yield add
    # Who calls goes before who is called.
    for folder in reversed(loaded):
        world.client.unload_model(folder.name)
        world.until(lambda: not world.stubs(folder.name), f"end the stubs of {folder.name}")
        shutil.rmtree(folder)
    world.journal.unlink(missing_ok=True)


def test_a_model_in_python_answers_as_numpy_does_and_with_what_was_asked_for(world, load):
    load(python_models.add_sub)
    answer = world.infer("add_sub", INPUT0=ROWS, INPUT1=2 * ROWS)
    assert answer.keys() == {"OUTPUT0", "OUTPUT1", "TOGETHER"}
    np.testing.assert_array_equal(answer["OUTPUT0"], 3 * ROWS)
    np.testing.assert_array_equal(answer["OUTPUT1"], -ROWS)
    answer = world.infer("add_sub", outputs=["OUTPUT1"], INPUT0=ROWS, INPUT1=ROWS)
    assert answer.keys() == {"OUTPUT1"} and not answer["OUTPUT1"].any()


def test_requests_are_executed_together_and_each_gets_its_own_rows(world, load):
    load(python_models.add_sub)
    with ThreadPoolExecutor(4) as pool:
        asked = [np.full((rows, 16), rows, np.float32) for rows in (1, 2, 3, 2)]
        answers = list(pool.map(lambda rows: world.infer("add_sub", INPUT0=rows, INPUT1=rows), asked))
    for rows, answer in zip(asked, answers):
        np.testing.assert_array_equal(answer["OUTPUT0"], 2 * rows)
    together = [answer["TOGETHER"].flat[0] for answer in answers]
    assert max(together) > 1, together
    (statistics,) = world.client.get_inference_statistics("add_sub").model_stats
    assert statistics.inference_count == 8 and statistics.execution_count < 4


def test_every_dtype_that_numpy_has_comes_back_as_it_was_sent(world, load):
    load(python_models.echo, *python_models.DTYPES)
    for size in (3, 1, 0):
        arrays = {f"INPUT{i}": some(dtype, size) for i, dtype in enumerate(python_models.DTYPES)}
        answer = world.infer("echo", **arrays)
        for i, dtype in enumerate(python_models.DTYPES):
            sent, back = arrays[f"INPUT{i}"], answer[f"OUTPUT{i}"]
            assert back.dtype == sent.dtype and back.tolist() == sent.tolist(), dtype


def some(dtype, size):
    """So many elements of a dtype."""
    if dtype == "BYTES":
        return np.array([b"", "straße".encode(), b"\x00\xff\xfe"][:size], np.object_)
    return np.arange(size).astype(triton_type(dtype))


def triton_type(dtype):
    """The numpy type of a dtype."""
    return {"BOOL": np.bool_, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64}.get(dtype) or dtype.lower()


def test_tensors_may_be_larger_than_the_memory_that_a_stub_begins_with(world, load):
    name = load(python_models.echo, "FP32")
    array = np.arange(3_000_000, dtype=np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(world.infer(name, INPUT0=array)["OUTPUT0"], array)


def test_a_model_says_itself_what_it_takes(world, load):
    load(python_models.add, "completing", "completing")
    configuration = world.client.get_model_config("completing", as_json=True)["config"]
    assert configuration["max_batch_size"] == 4 and "dynamic_batching" in configuration
    metadata = world.client.get_model_metadata("completing")
    assert [(one.name, one.datatype, list(one.shape)) for one in metadata.inputs] == [("INPUT0", "FP32", [-1, 4])]
    array = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(world.infer("completing", INPUT0=array)["OUTPUT0"], 2 * array)


NEVER = """
class TritonPythonModel:
    def execute(self, requests):
        raise ValueError("not today")
"""
# Numbers, and what the answers to them are.
ERRORS = {
    "raises": (1, "INTERNAL", "it was one"),
    "answers with an error": (2, "INTERNAL", "it was two"),
    "answers with an error of a code": (3, "INVALID_ARGUMENT", "it was three"),
    "answers to fewer requests than it was given": (4, "INTERNAL", "Number of InferenceResponse objects do not match"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_a_model_says_is_wrong_reaches_the_client_and_the_model_goes_on(world, load, name):
    load(python_models.faulty)
    (process,) = world.stubs("faulty")
    value, code, words = ERRORS[name]
    found, text = world.refuse("faulty", value)
    assert found == code and words in text, (found, text)
    assert world.infer("faulty", INPUT0=np.zeros(1, np.float32))["OUTPUT0"].tolist() == [0]
    assert world.stubs("faulty") == [process]


@pytest.mark.parametrize("way", [5, 6, 7], ids=["is killed", "leaves", "touches memory that is not there"])
def test_a_model_whose_process_ends_fails_that_request_only_and_is_mended(world, load, way):
    load(python_models.faulty)
    (process,) = world.stubs("faulty")
    code, text = world.refuse("faulty", way)
    assert code in ("INTERNAL", "UNAVAILABLE") and "faulty" in text, (code, text)

    def answers():
        try:
            return world.infer("faulty", INPUT0=np.zeros(1, np.float32))["OUTPUT0"].tolist() == [0]
        except triton.InferenceServerException:
            return False

    world.until(answers, "mend the model")
    assert world.rows("faulty") == [("1", "READY", "")]
    (mended,) = world.stubs("faulty")
    assert mended != process
    assert np.array_equal(world.infer("onnx", INPUT0=ROWS, INPUT1=ROWS)["OUTPUT0"], 2 * ROWS)


REASONS = {
    "raising": r"RuntimeError: the weights are missing.*/raising/1/model\.py\(4\): initialize",
    "classless": r"has no attribute 'TritonPythonModel'",
    "misspelt": r"SyntaxError: expected ':' \(model\.py, line 1\)",
    "importing": r"No module named 'a_package_that_nobody_has'",
}


@pytest.mark.parametrize("name", REASONS)
def test_a_model_that_cannot_be_initialised_says_why_in_the_call_the_index_and_the_log(world, name):
    vector = [("INPUT0", "FP32", [1])], [("OUTPUT0", "FP32", [1])]
    folder = python_models.add(world.repository, name, python_models.BROKEN[name], *vector)
    error, log = world.fail_to_load(name)
    ((version, state, reason),) = world.rows(name)
    assert (version, state) == ("1", "UNAVAILABLE")
    for told in (error.message(), reason, log):
        assert re.search(REASONS[name], told, re.DOTALL), told
    world.until(lambda: not world.stubs(name), "end the stub")
    python_models.add(world.repository, name, "echo", *vector)
    world.client.load_model(name)
    assert world.infer(name, INPUT0=np.ones(1, np.float32))["OUTPUT0"].tolist() == [1]
    world.client.unload_model(name)
    world.until(lambda: not world.stubs(name), "end the stub")
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["leaving", "killing"])
def test_a_model_whose_process_ends_while_it_is_loaded_is_refused(serve, repository, name):
    # With completion of configurations, the backend itself waits for such a process without end.
    vector = [("INPUT0", "FP32", [1])], [("OUTPUT0", "FP32", [1])]
    python_models.add(repository, name, python_models.BROKEN[name], *vector)
    flags = [EXPLICIT, "--disable-auto-complete-config", *python_backend.flags(f"nerite_test_{os.getpid()}_{name}_")]
    server = Server(serve(repository, *flags, environment=python_backend.environment()))
    with pytest.raises(triton.InferenceServerException, match=f"Stub process '{name}_0_0' is not healthy"):
        server.client.load_model(name, client_timeout=LIMIT)
    ((_, state, reason),) = server.rows(name)
    assert state == "UNAVAILABLE" and "is not healthy" in reason
    server.close()


@pytest.mark.parametrize("name", ["empty", "leaving"])
def test_a_model_over_which_the_backend_hangs_hinders_no_other_and_no_end(serve, repository, name):
    vector = [("INPUT0", "FP32", [1])], [("OUTPUT0", "FP32", [1])]
    python_models.add(repository, "good", "echo", *vector)
    folder = python_models.add(repository, name, python_models.BROKEN["leaving"], *vector)
    if name == "empty":
        (folder / "1" / "model.py").unlink()
    prefix = f"nerite_test_{os.getpid()}_hang_"
    flags = [EXPLICIT, "--exit-timeout-secs=1", *python_backend.flags(prefix)]
    server = Server(serve(repository, *flags, environment=python_backend.environment()))
    # Either the backend never comes back, or somebody has noticed.
    with pytest.raises(triton.InferenceServerException, match=r"Deadline|model\.py|stub|Stub"):
        server.client.load_model(name, client_timeout=3)
    server.client.load_model("good", client_timeout=LIMIT)
    inputs = tensors({"INPUT0": np.ones(1, np.float32)})
    assert server.client.infer("good", inputs, client_timeout=LIMIT).as_numpy("OUTPUT0").tolist() == [1]
    assert not server.client.is_model_ready(name)
    server.close()
    server.daemon.terminate()
    server.daemon.wait_exit(LIMIT)
    for memory in stubs.memory(prefix):
        (stubs.MEMORY / memory).unlink()


@pytest.mark.parametrize("target", ["add_sub", "onnx"])
def test_a_model_calls_another_whatever_backend_that_has(world, load, target):
    if target == "add_sub":
        load(python_models.add_sub, extra="")
    load(python_models.caller, "caller", target)
    row = ROWS[:1]
    answer = world.infer("caller", INPUT0=row, INPUT1=np.ones_like(row))
    np.testing.assert_array_equal(answer["OUTPUT0"], row + 1)
    np.testing.assert_array_equal(answer["OUTPUT1"], row - 1)


def test_a_model_calls_others_at_once_without_waiting(world, load):
    load(python_models.add_sub, extra="")
    load(python_models.async_caller)
    row = ROWS[1:2]
    answer = world.infer("async_caller", INPUT0=row, INPUT1=3 * row)
    np.testing.assert_array_equal(answer["OUTPUT0"], 4 * row)
    np.testing.assert_array_equal(answer["OUTPUT1"], 2 * row)


@pytest.mark.parametrize("count", [0, 1, 100])
def test_a_model_calls_a_decoupled_one_and_gets_every_response(world, load, count):
    load(python_models.generator)
    load(python_models.summing)
    answer = world.infer("summing", COUNT=np.array([count], np.int32))
    assert answer["LENGTH"].item() == count and answer["SUM"].item() == sum(range(count))


def test_a_model_that_calls_one_which_fails_or_is_not_there_is_told_why(world, load):
    load(python_models.caller, "caller", "nobody")
    with pytest.raises(triton.InferenceServerException, match="Model 'nobody' is not ready"):
        world.infer("caller", INPUT0=ROWS[:1], INPUT1=ROWS[:1])
    load(python_models.add, "never", NEVER, python_models.ROW, python_models.ROW_RESULTS)
    load(python_models.caller, "calls_never", "never")
    with pytest.raises(triton.InferenceServerException, match="ValueError: not today"):
        world.infer("calls_never", INPUT0=ROWS[:1], INPUT1=ROWS[:1])


def numbers(messages, place=0):
    """What the generator's responses to the request at that place have, in order, an empty one as None."""
    responses = [message.infer_response for message in messages if message.infer_response.id == str(place)]
    raw = [response.raw_output_contents[0] if response.raw_output_contents else None for response in responses]
    return [data and np.frombuffer(data, np.int32).item() for data in raw]


def finals(messages):
    return [message.infer_response.parameters["triton_final_response"].bool_param for message in messages]


@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_decoupled_model_answers_as_often_as_it_likes_after_it_was_left(world, load, count):
    load(python_models.generator)
    messages = world.generate(count)
    assert numbers(messages) == list(range(count)) and not any(finals(messages))
    assert not any(message.error_message for message in messages)
    messages = world.generate(count, triton_enable_empty_final_response=True)
    assert numbers(messages) == [*range(count), None] and finals(messages) == count * [False] + [True]


def test_requests_of_a_stream_to_a_decoupled_model_are_answered_in_full_each(world, load):
    load(python_models.generator)
    counts = [7, 0, 30, 1]
    messages = world.generate(*counts)
    for place, count in enumerate(counts):
        assert numbers(messages, place) == list(range(count))


def test_an_error_of_a_decoupled_model_comes_after_what_it_sent_and_the_stream_goes_on(world, load):
    load(python_models.generator)
    messages = world.generate(-4, triton_enable_empty_final_response=True)
    errors = [message.error_message for message in messages]
    assert [bool(error) for error in errors] == [False, False, False, False, True, False]
    assert "below zero" in errors[4]
    assert numbers(messages[:4]) == [0, 1, 2, 3] and finals(messages)[-1]
    assert numbers(world.generate(-1, 2), 1) == [0, 1]


def test_tritons_client_streams_from_a_decoupled_model(world, load):
    load(python_models.generator)
    answers = SimpleQueue()
    with triton.InferenceServerClient(world.daemon.url) as client:
        client.start_stream(lambda result, error: answers.put(error or result))
        inputs = tensors({"COUNT": np.array([3], np.int32)})
        client.async_stream_infer("generator", inputs, enable_empty_final_response=True)
        found = [answers.get(timeout=LIMIT) for _ in range(4)]
        client.stop_stream()
    assert [one.as_numpy("NUMBER").item() for one in found[:3]] == [0, 1, 2]
    assert found[3].get_response().parameters["triton_final_response"].bool_param


def test_a_decoupled_model_cannot_be_asked_outside_of_a_stream(world, load):
    load(python_models.generator)
    message = request("generator", ("COUNT", "INT32", [1]), raw=[bytes(4)])
    code, text = fault(world.stub.ModelInfer, message, timeout=LIMIT)
    assert (code, text) == ("UNIMPLEMENTED", "ModelInfer RPC doesn't support models with decoupled transaction policy")


def test_a_model_knows_what_its_request_says_of_itself(world, load):
    load(python_models.telling)
    inputs = tensors({"INPUT0": np.array([b"hello"], np.object_)})
    outputs = [triton.InferRequestedOutput("OUTPUT0")]
    parameters = {"colour": "blue", "number": 7, "yes": True}
    answer = world.client.infer(
        "telling", inputs, outputs=outputs, request_id="number 5", timeout=20_000_000, parameters=parameters,
        sequence_id=42, sequence_start=True, client_timeout=LIMIT,
    )  # fmt: skip
    known = json.loads(answer.as_numpy("OUTPUT0").item())
    assert known.pop("counted") >= 1
    assert known == {
        "id": "number 5",
        "correlation": 42,
        "flags": 1,
        "timeout": 20_000_000,
        "outputs": ["OUTPUT0"],
        "parameters": parameters,
    }
    assert answer.get_response().id == "number 5"


def test_what_a_model_logs_is_in_the_log_at_its_level(world, load):
    load(python_models.telling)
    world.client.update_log_settings({"log_verbose_level": 0})
    before = len(world.daemon.log_text())
    world.infer("telling", INPUT0=np.array([b"some words"], np.object_))
    world.until(lambda: "told at error: some words" in world.daemon.log_text()[before:], "log")
    lines = world.daemon.log_text()[before:].splitlines()
    for level, word in (("I", "info"), ("W", "warning"), ("E", "error")):
        assert any(line.startswith(level) and f"told at {word}: some words" in line for line in lines), lines
    assert not any("told at verbose" in line for line in lines)
    world.client.update_log_settings({"log_verbose_level": 1})
    world.infer("telling", INPUT0=np.array([b"more words"], np.object_))
    world.until(lambda: "told at verbose: more words" in world.daemon.log_text(), "log what is verbose")
    world.client.update_log_settings({"log_verbose_level": 0})


def test_metrics_of_a_model_are_among_the_daemons(world, load):
    load(python_models.telling)
    world.infer("telling", INPUT0=np.array([b"a"], np.object_))
    told = accounts.families(world.daemon)["telling_requests"].samples[0].value
    world.infer("telling", INPUT0=np.array([b"four"], np.object_))
    families = accounts.families(world.daemon)
    # The parser takes a counter's ending for no part of its name.
    counter, gauge = families["telling_requests"], families["telling_last"]
    assert (counter.documentation, counter.type, gauge.type) == ("What was told", "counter", "gauge")
    assert [(one.labels, one.value) for one in counter.samples] == [({"model": "telling", "version": "1"}, told + 1)]
    assert [(one.labels, one.value) for one in gauge.samples] == [({"model": "telling"}, 4)]
    world.client.load_model("telling")
    world.infer("telling", INPUT0=np.array([b"again"], np.object_))
    # No family comes twice: the parser would say so.
    assert [one.value for one in accounts.families(world.daemon)["telling_last"].samples] == [5]


def test_a_model_can_see_that_its_request_was_cancelled(world, load):
    load(python_models.patient, world.journal)
    message = request("patient", ("INPUT0", "FP32", [1]), raw=[bytes(4)])
    call = world.stub.ModelInfer.future(message, timeout=LIMIT)
    world.until(lambda: world.written() == ["begun"], "begin")
    call.cancel()
    world.until(lambda: len(world.written()) == 2, "cancel the request")
    assert world.written() == ["begun", "cancelled"]


def test_each_instance_has_a_process_and_is_finalised_when_the_model_goes(world, load):
    load(python_models.instance, world.journal, count=2, seconds=0.05)
    processes = world.stubs("instance")
    assert len(processes) == 2
    with ThreadPoolExecutor(8) as pool:
        one = np.ones(1, np.float32)
        answers = list(pool.map(lambda _: world.infer("instance", INPUT0=one)["PROCESS"].item(), range(16)))
    assert set(answers) == set(processes)
    world.client.unload_model("instance")
    world.until(lambda: len(world.written()) == 2, "finalise both")
    world.until(lambda: not world.stubs("instance"), "end both")
    assert len(set(world.written())) == 2


def test_a_reload_serves_the_new_source(world, load):
    load(python_models.add, "changing", "echo", [("INPUT0", "FP32", [4])], [("OUTPUT0", "FP32", [4])])
    (old,) = world.stubs("changing")
    one = np.ones(4, np.float32)
    assert world.infer("changing", INPUT0=one)["OUTPUT0"].tolist() == [1, 1, 1, 1]
    source = (python_models.SERVED / "echo.py").read_text().replace(".as_numpy()", ".as_numpy() + 1")
    (world.repository.folder / "changing" / "1" / "model.py").write_text(source)
    world.client.load_model("changing", client_timeout=LIMIT)
    assert world.infer("changing", INPUT0=one)["OUTPUT0"].tolist() == [2, 2, 2, 2]
    world.until(lambda: len(world.stubs("changing")) == 1, "end the old stub")
    assert world.stubs("changing") != [old]


def test_a_stream_from_a_model_whose_process_is_killed_ends_with_an_error(world, load):
    load(python_models.generator)
    (process,) = world.stubs("generator")
    message = request("generator", ("COUNT", "INT32", [1]), raw=[np.int32(100_000_000).tobytes()])
    stream = world.stub.ModelStreamInfer(iter([message]), timeout=2 * LIMIT)
    assert not next(stream).error_message
    os.kill(process, signal.SIGKILL)
    # Nobody but the next request notices.
    world.until(lambda: numbers(world.generate(3)) == [0, 1, 2], "mend the model")
    *_, last = stream
    assert last.error_message


REFUSING = """
import json
import os

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        journal = json.loads(args["model_config"])["parameters"]["journal"]["string_value"]
        if os.path.exists(journal):
            raise RuntimeError("the device is gone")

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", one.inputs()[0].as_numpy())]) for one in requests]
"""


def test_a_model_that_cannot_be_mended_is_not_ready_and_says_why_until_it_can(world, load):
    vector = [("INPUT0", "FP32", [1])], [("OUTPUT0", "FP32", [1])]
    more = plugins.parameters(journal=world.journal)
    load(python_models.add, "refusing", REFUSING, *vector, extra=more)
    version = {"model": "refusing", "version": "1"}
    restarts = world.daemon.metric("nerite_instance_restarts_total", **version)
    world.journal.write_text("")
    (process,) = world.stubs("refusing")
    os.kill(process, signal.SIGKILL)

    def answers():
        try:
            return world.infer("refusing", INPUT0=np.ones(1, np.float32))["OUTPUT0"].tolist() == [1]
        except triton.InferenceServerException:
            return False

    def is_told():
        assert not answers()
        ((_, state, reason),) = world.rows("refusing")
        return state == "UNAVAILABLE" and "the device is gone" in reason

    world.until(is_told, "say why the model cannot be mended")
    assert not world.client.is_model_ready("refusing")
    assert world.daemon.metric("nerite_instances_mending", **version) == 1
    world.journal.unlink()
    world.until(answers, "mend the model")
    assert world.client.is_model_ready("refusing") and world.rows("refusing") == [("1", "READY", "")]
    assert world.daemon.metric("nerite_instance_restarts_total", **version) == restarts + 1
    assert world.daemon.metric("nerite_instances_mending", **version) == 0


def test_a_process_that_goes_on_after_it_was_given_up_does_not_end_the_daemon(world, load):
    load(python_models.instance, world.journal)
    (paused,) = world.stubs("instance")
    one, regions = np.ones(1, np.float32), stubs.memory(f"nerite_test_{os.getpid()}_")
    os.kill(paused, signal.SIGSTOP)
    try:
        with pytest.raises(triton.InferenceServerException, match="is not healthy"):
            world.infer("instance", INPUT0=one)
        # The Python backend throws in the thread that ends the instance when it finds the two at odds about a lock.
        os.kill(paused, signal.SIGCONT)
        world.until(lambda: {*world.stubs("instance")} - {paused}, "start another stub")
        for _ in range(20):
            assert world.infer("instance", INPUT0=one)["PROCESS"].item() != paused
            assert world.daemon.process.poll() is None
            time.sleep(0.1)
    finally:
        # It may have ended by itself.
        with contextlib.suppress(ProcessLookupError):
            os.kill(paused, signal.SIGKILL)
        # Whose end was broken off by the exception, which is why it was not the daemon's.
        for region in regions:
            (stubs.MEMORY / region).unlink(missing_ok=True)


def test_while_one_instance_is_mended_its_sibling_serves(world, load):
    load(python_models.instance, world.journal, count=2)
    killed, sibling = world.stubs("instance")
    one, seen, over = np.ones(1, np.float32), [], threading.Event()

    def ask():
        while not over.is_set():
            try:
                seen.append(world.infer("instance", INPUT0=one)["PROCESS"].item())
            except triton.InferenceServerException as error:
                seen.append(error)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(ask)
        try:
            os.kill(killed, signal.SIGKILL)
            world.until(lambda: len({*world.stubs("instance"), killed, sibling}) == 3, "start another stub")
            (mended,) = {*world.stubs("instance")} - {killed, sibling}
            world.until(lambda: mended in seen, "serve from the other stub")
        finally:
            over.set()
    errors = [one for one in seen if isinstance(one, Exception)]
    # Those that the killed process had, or was about to be given.
    assert len(errors) < len(seen) / 2 and sibling in seen, (errors, len(seen))
    assert world.rows("instance") == [("1", "READY", "")]


def test_the_stub_is_killed_under_load_again_and_again_and_no_request_is_left_unanswered(tmp_path):
    assert kill_stubs.run(tmp_path, kills=10, seconds=0) == []


def test_the_daemon_ends_in_order_with_models_in_python_and_leaves_nothing(serve, repository, tmp_path):
    python_models.instance(repository, tmp_path / "journal", count=2)
    python_models.add_sub(repository)
    prefix = f"nerite_test_{os.getpid()}_end_"
    daemon = serve(repository, *python_backend.flags(prefix), environment=python_backend.environment())
    processes = stubs.running(daemon.process.pid)
    assert len(processes) == 3 and stubs.memory(prefix) != []
    daemon.terminate()
    assert daemon.wait_exit() == 0, daemon.log_text()
    assert len((tmp_path / "journal").read_text().splitlines()) == 2
    assert stubs.memory(prefix) == [] and not any(os.path.exists(f"/proc/{process}") for process in processes)
