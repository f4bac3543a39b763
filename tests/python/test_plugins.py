"""Backends as shared libraries: the samples answer, and whatever is wrong with a library is told and hinders nobody."""

import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import damage
import models
import numpy as np
import plugins
import pytest
import tritonclient.grpc as triton
from daemon import Daemon
from models import Repository
from server import LIMIT, Server, tensors
from test_broken_models import IS_ROOT, KIND, plain_user
from wire import byte_elements, fault, request

EXPLICIT = "--model-control-mode=explicit"
MINIMAL = [("INPUT", "FP32", [4])], [("OUTPUT", "FP32", [4])]
REPEAT = [("IN", "INT32", [-1]), ("DELAY", "UINT32", [-1]), ("WAIT", "UINT32", [1])]
REPEATED = [("OUT", "INT32", [1]), ("IDX", "UINT32", [1])]


class World(Server):
    """A daemon in explicit mode, its repository, and its backend directory, which has every sample."""

    def __init__(self, daemon, repository, backends):
        super().__init__(daemon)
        self.repository = repository
        self.backends = backends

    def stream(self, message):
        """The messages of a stream of one request."""
        return list(self.stub.ModelStreamInfer(iter([message]), timeout=LIMIT))

    def others_serve(self):
        """Whether models of another plugin and of another backend answer."""
        ones = np.ones((1, 4), np.float32)
        return all(np.array_equal(self.infer(name, INPUT0=ones)["OUTPUT0"], ones) for name in ("onnx", "beside"))


def identity(name, dtype="FP32", dims=(4,), batch=8, count=1, **values):
    """The configuration of a model of the sample `identity`."""
    extra = f"instance_group [ {{ count: {count} kind: KIND_CPU }} ]\n{plugins.parameters(**values)}"
    inputs, outputs = [("INPUT0", dtype, dims)], [("OUTPUT0", dtype, dims)]
    return plugins.config("identity", name, inputs, outputs, batch, extra)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One daemon for all tests of this file, which has none of root's rights, if it can be without them. At first it serves
    a model of the sample `identity` and one of ONNX Runtime."""
    folder = tmp_path_factory.mktemp("plugins")
    repository, backends = Repository(folder / "repository"), folder / "backends"
    for sample in ("identity", "repeat"):
        plugins.stage(backends, sample)
    plugins.compile_c(plugins.MINIMAL, plugins.library(backends / "minimal", "minimal"))
    repository.add("onnx", models.identity("FP32", ["b", 4]))
    repository.add("beside", config=identity("beside"))
    flags = [f"--model-repository={repository.folder}", f"--backend-directory={backends}", EXPLICIT]
    flags += ["--load-model=onnx", "--load-model=beside"]
    with Daemon(flags, folder / "nerite.log", binary=plain_user(folder)) as daemon:
        served = World(daemon.wait_ready(), repository, backends)
        yield served
        assert served.others_serve()
        served.close()
        assert daemon.stop() == 0, daemon.log_text()


@pytest.fixture
def load(world):
    """load(name, configuration): adds a model and loads it, until the test is over."""
    loaded = []

    def add(name, configuration):
        loaded.append(world.repository.add(name, config=configuration))
        world.client.load_model(name, client_timeout=LIMIT)
        return name

    yield add
    for folder in loaded:
        world.client.unload_model(folder.name)
        shutil.rmtree(folder)


@pytest.mark.parametrize("dtype", models.DTYPES)
def test_the_identity_gives_back_every_dtype_as_it_was_sent(world, load, dtype):
    load("same", identity("same", dtype, dims=[-1]))
    rows, columns = 2, 3
    if dtype == "BYTES":
        raw = byte_elements(b"", b"a\x00b", "ü".encode(), b"d", b"", b"f" * 5000)
    else:
        size = {"BF16": 2, "FP16": 2, "FP32": 4, "FP64": 8, "BOOL": 1}.get(dtype) or int(re.sub(r"\D", "", dtype)) // 8
        raw = bytes(place % 2 for place in range(rows * columns * size))
    answer = world.stub.ModelInfer(request("same", ("INPUT0", dtype, [rows, columns]), raw=[raw]), timeout=LIMIT)
    (output,) = answer.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("OUTPUT0", dtype, [rows, columns])
    assert answer.raw_output_contents[0] == raw


def test_the_identity_is_told_its_settings_and_keeps_to_its_delay(world, load):
    load("slow", identity("slow", execute_delay_ms=200))
    begun = time.monotonic()
    world.infer("slow", INPUT0=np.ones((1, 4), np.float32))
    assert time.monotonic() - begun >= 0.2


def test_requests_to_the_identity_are_executed_together(world, load):
    batching = "dynamic_batching { max_queue_delay_microseconds: 500000 preferred_batch_size: [ 4 ] }"
    load("together", identity("together") + batching)
    with ThreadPoolExecutor(4) as pool:
        asked = [np.full((1, 4), place, np.float32) for place in range(4)]
        answers = list(pool.map(lambda array: world.infer("together", INPUT0=array)["OUTPUT0"], asked))
    for array, answer in zip(asked, answers):
        np.testing.assert_array_equal(answer, array)
    (statistics,) = world.client.get_inference_statistics("together").model_stats
    assert statistics.inference_count == 4 and statistics.execution_count < 4


def test_every_instance_of_the_identity_answers(world, load):
    # The multiplier is of the numbers of GPUs: without one, the delay is as it is said.
    load("uneven", identity("uneven", count=2, execute_delay_ms=50, instance_wise_delay_multiplier=3))
    with ThreadPoolExecutor(4) as pool:
        asked = [np.full((1, 4), place, np.float32) for place in range(8)]
        answers = list(pool.map(lambda array: world.infer("uneven", INPUT0=array)["OUTPUT0"], asked))
    for array, answer in zip(asked, answers):
        np.testing.assert_array_equal(answer, array)


def test_while_a_plugin_is_long_in_making_an_instance_others_serve(world):
    folder = world.repository.add("late", config=identity("late", creation_delay_sec=2))
    begun = time.monotonic()
    loading = threading.Thread(target=world.client.load_model, args=("late",))
    loading.start()
    served = 0
    while loading.is_alive():
        assert world.others_serve()
        served += 1
    assert time.monotonic() - begun >= 2 and served > 1
    assert world.rows("late") == [("1", "READY", "")]
    world.client.unload_model("late")
    shutil.rmtree(folder)


def repeat(name="repeat"):
    """The configuration of a model of the sample `repeat`."""
    extra = "model_transaction_policy { decoupled: true }\ninstance_group [ { count: 1 kind: KIND_CPU } ]\n"
    return plugins.config("repeat", name, REPEAT, REPEATED, 0, extra)


def repetition(values, delays, wait=0, request_id="", name="repeat"):
    """A request for it."""
    arrays = [np.array(values, np.int32), np.array(delays, np.uint32), np.array([wait], np.uint32)]
    tensors = [(one, dtype, list(array.shape)) for (one, dtype, _), array in zip(REPEAT, arrays)]
    message = request(name, *tensors, raw=[array.tobytes() for array in arrays], request_id=request_id)
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    return message


def repeated(messages, request_id=""):
    """The pairs of OUT and IDX in the responses to a request, in order."""
    pairs = []
    for message in messages:
        response = message.infer_response
        if response.id == request_id and response.raw_output_contents:
            values = dict(zip((output.name for output in response.outputs), response.raw_output_contents))
            pairs.append((np.frombuffer(values["OUT"], np.int32).item(), np.frombuffer(values["IDX"], np.uint32).item()))
    return pairs


@pytest.mark.parametrize("values", [[], [7], [4, 2, 0, 1], list(range(300))], ids=len)
def test_the_repeater_sends_a_response_for_each_element_and_says_which_is_the_last(world, load, values):
    load("repeat", repeat())
    messages = world.stream(repetition(values, [1 if len(values) < 10 else 0] * len(values)))
    assert not any(message.error_message for message in messages)
    assert repeated(messages) == [(value, place) for place, value in enumerate(values)]
    finals = [message.infer_response.parameters["triton_final_response"].bool_param for message in messages]
    assert finals[-1] and not any(finals[:-1])


def test_requests_to_the_repeater_in_one_stream_overtake_each_other_and_are_answered_in_full(world, load):
    load("repeat", repeat())
    messages = [repetition([1, 2, 3], [200, 0, 0], request_id="slow"), repetition([4, 5], [0, 0], request_id="fast")]
    answers = list(world.stub.ModelStreamInfer(iter(messages), timeout=LIMIT))
    assert repeated(answers, "slow") == [(1, 0), (2, 1), (3, 2)]
    assert repeated(answers, "fast") == [(4, 0), (5, 1)]


def test_a_client_that_goes_away_from_the_repeater_hinders_nobody(world, load):
    load("repeat", repeat())
    stream = world.stub.ModelStreamInfer(iter([repetition([1] * 200, [10] * 200)]), timeout=LIMIT)
    next(stream)
    stream.cancel()
    assert repeated(world.stream(repetition([5], [0]))) == [(5, 0)]
    assert world.others_serve()


def test_an_ill_formed_request_to_the_repeater_is_refused_in_the_stream(world, load):
    load("repeat", repeat())
    # As many delays as values are wanted.
    messages = world.stream(repetition([1, 2, 3], [0]))
    assert any(message.error_message for message in messages) and repeated(messages) == []
    assert repeated(world.stream(repetition([5], [0]))) == [(5, 0)]


ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_the_sample_in_c_reverses_rows(world, load):
    load("minimal", plugins.config("minimal", "minimal", *MINIMAL, batch=16, extra="dynamic_batching { }"))
    for count in (1, 2, 3):
        np.testing.assert_array_equal(world.infer("minimal", INPUT=ROWS[:count])["OUTPUT"], ROWS[:count][::-1])


def test_requests_that_the_sample_in_c_is_given_together_keep_their_own_rows(world, load):
    batching = "dynamic_batching { max_queue_delay_microseconds: 500000 preferred_batch_size: [ 12 ] }"
    load("minimal", plugins.config("minimal", "minimal", *MINIMAL, batch=16, extra=batching))
    with ThreadPoolExecutor(4) as pool:
        asked = [ROWS + 100 * place for place in range(4)]
        answers = list(pool.map(lambda array: world.infer("minimal", INPUT=array)["OUTPUT"], asked))
    for array, answer in zip(asked, answers):
        np.testing.assert_array_equal(answer, array[::-1])
    (statistics,) = world.client.get_inference_statistics("minimal").model_stats
    assert statistics.inference_count == 12 and statistics.execution_count < 4


def test_an_error_of_the_sample_in_c_is_the_answer_and_the_model_goes_on(world, load):
    words = plugins.config("minimal", "words", [("INPUT", "BYTES", [1])], [("OUTPUT", "BYTES", [1])])
    load("words", words)
    for _ in range(2):
        message = request("words", ("INPUT", "BYTES", [1]), raw=[byte_elements(b"word")])
        found = fault(world.stub.ModelInfer, message, timeout=LIMIT)
        assert found == ("UNIMPLEMENTED", "rows of type BYTES differ in length")
    assert world.client.is_model_ready("words") and world.others_serve()


SCALARS = [("INPUT0", "FP32", [4])], [("OUTPUT0", "FP32", [4])]
# Configurations that a sample does not serve, and what it says of each.
REFUSED = {
    "delay": (identity("delay", execute_delay_ms="soon"), r"execute_delay_ms"),
    "names": (plugins.config("identity", "names", [("IN", "FP32", [4])], SCALARS[1]), r"inputs named INPUT<index>"),
    "count": (plugins.config("identity", "count", [*SCALARS[0], ("INPUT1", "FP32", [4])], SCALARS[1]), r"2 inputs and"),
    "types": (plugins.config("identity", "types", SCALARS[0], [("OUTPUT0", "INT32", [4])]), r"FP32.*INT32"),
    "batching": (repeat("batching").replace("max_batch_size: 0", "max_batch_size: 4"), r"does not batch"),
    "coupled": (repeat("coupled").replace("decoupled: true", "decoupled: false"), r"decoupled: true"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_plugin_says_of_a_configuration_is_the_reason_that_the_model_is_refused(world, name):
    configuration, words = REFUSED[name]
    folder = world.repository.add(name, config=configuration)
    error, log = world.fail_to_load(name)
    ((_, state, reason),) = world.rows(name)
    assert state == "UNAVAILABLE"
    for told in (error.message(), log, reason):
        assert re.search(words, told), told
    assert world.others_serve()
    world.client.unload_model(name)
    shutil.rmtree(folder)


def mapped(daemon):
    """The files that the daemon has mapped."""
    lines = Path(f"/proc/{daemon.process.pid}/maps").read_text().splitlines()
    return {Path(line.split(maxsplit=5)[5]) for line in lines if "/" in line}


def test_a_library_is_looked_for_beside_the_model_before_the_backend_directory(serve, repository, tmp_path):
    backends = tmp_path / "backends"
    folder = repository.add("own", config=identity("own").replace('"identity"', '"mine"'))
    (folder / "1").mkdir(exist_ok=True)
    places = [folder / "1", folder, backends / "mine"]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(plugins.library(plugins.BUILT, "identity"), plugins.library(place, "mine"))
    for place in places:
        daemon = serve(repository, f"--backend-directory={backends}")
        path = plugins.library(place, "mine")
        assert path.resolve() in mapped(daemon)
        with triton.InferenceServerClient(daemon.url) as client:
            array = np.ones((1, 4), np.float32)
            assert np.array_equal(client.infer("own", tensors({"INPUT0": array})).as_numpy("OUTPUT0"), array)
        assert daemon.stop() == 0
        path.unlink()
    daemon = serve(repository, f"--backend-directory={backends}", wait=False)
    assert daemon.wait_exit() == 1
    assert "libtriton_mine.so" in daemon.log_text() and str(backends) in daemon.log_text()


@pytest.fixture
def bad(world, name):
    """The library of a bad backend in the backend directory, and the folder of a model of that backend."""
    if name == "unreadable" and IS_ROOT and not shutil.which("setpriv"):
        pytest.skip("for root, nothing is unreadable")
    path = plugins.make_bad(world.backends, name)
    folder = world.repository.add(name, config=identity(name).replace('"identity"', f'"{name}"'))
    yield path
    damage.remove(path.parent)
    world.client.unload_model(name)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", plugins.BAD)
def test_every_bad_library_is_told_with_a_remedy_by_the_index_the_log_and_the_call(world, bad, name):
    error, log = world.fail_to_load(name)
    ((_, state, reason),) = world.rows(name)
    assert state == "UNAVAILABLE"
    told = KIND.sub("", reason)
    for clue in (rf"libtriton_{name}\.so", plugins.BAD[name].says, plugins.BAD[name].tells):
        assert re.search(clue, told), told
    assert told in error.message(), error
    assert any(line.startswith("E") and told in line for line in log.splitlines()), log
    assert world.daemon.process.poll() is None and world.others_serve()
    plugins.make_whole(world.backends, name)
    world.client.load_model(name, client_timeout=LIMIT)
    assert world.rows(name) == [("1", "READY", "")]
    ones = np.ones((1, 4), np.float32)
    assert np.array_equal(world.infer(name, INPUT0=ones)["OUTPUT0"], ones)
