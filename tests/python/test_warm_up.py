"""model_warmup: what is executed before a model is served, seen by models that do not take everything."""

import threading
import time
from pathlib import Path

import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper, numpy_helper
from wire import byte_elements

EXPLICIT = ["--model-control-mode=explicit", "--load-model=*", "--exit-on-error=false", "--strict-readiness=false"]
# More executions, or more steps of one, than any test waits for.
ENDLESS = 1_000_000_000
ONE_THREAD = 'parameters { key: "intra_op_thread_count" value { string_value: "1" } }'
INDEX, ROWS = [("INDEX", "INT64", [1])], [("OUTPUT0", "FP32", [1, 4])]
NUMBERS, NUMBER = [("INPUT0", "FP32", [4])], [("OUTPUT0", "FP32", [1])]


def sample(tensor, data, dims="1", dtype="INT64", **fields):
    """A model_warmup entry `first` of one input."""
    more = " ".join(f"{name}: {value}" for name, value in fields.items())
    value = f"data_type: TYPE_{dtype} dims: [ {dims} ] {data}"
    return f'model_warmup [ {{ name: "first" {more} inputs {{ key: "{tensor}" value {{ {value} }} }} }} ]\n'


def file_sample(tensor, **more):
    return sample(tensor, 'input_data_file: "row"', **more)


def add(repository, name, model, config, row=None):
    """Adds a model, and the file `row` for its samples."""
    folder = repository.add(name, model, config)
    if row is not None:
        (folder / "warmup").mkdir(exist_ok=True)
        (folder / "warmup" / "row").write_bytes(row)


def add_gather(repository, name, warm_up, index=None):
    """A model that fails where an index is not from 0 to 9, with that index in the file of its samples."""
    config = models.config(name, INDEX, ROWS, 8, warm_up)
    add(repository, name, models.gather(), config, None if index is None else np.int64(index).tobytes())


def none_above_zero():
    """A model that fails where any of four numbers is above 0: it looks up row 0 or 1 of one row."""
    row = numpy_helper.from_array(np.ones((1, 1), np.float32), "ROWS")
    zero = numpy_helper.from_array(np.float32(0), "zero")
    nodes = [
        helper.make_node("ReduceMax", ["INPUT0"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "zero"], ["is_above"]),
        helper.make_node("Cast", ["is_above"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["ROWS", "index"], ["OUTPUT0"], axis=0),
    ]
    ends = [models.tensor("INPUT0", "FP32", [4]), models.tensor("OUTPUT0", "FP32", [1])]
    return models.model(nodes, ends[:1], ends[1:], [row, zero])


def at_most(rows):
    """A model that fails where its batch has more rows, or two fewer: of one row, it looks up that of the surplus."""
    table = numpy_helper.from_array(np.zeros(1, np.float32), "table")
    most = numpy_helper.from_array(np.array([rows], np.int64), "most")
    nodes = [
        helper.make_node("Shape", ["INPUT0"], ["rows"], end=1),
        helper.make_node("Sub", ["rows", "most"], ["surplus"]),
        helper.make_node("Gather", ["table", "surplus"], ["zero"], axis=0),
        helper.make_node("Add", ["INPUT0", "zero"], ["OUTPUT0"]),
    ]
    ends = [models.tensor(name, "FP32", ["b", 4]) for name in ("INPUT0", "OUTPUT0")]
    return models.model(nodes, ends[:1], ends[1:], [table, most])


def statuses(client):
    """The state and the reason of each version."""
    index = client.get_model_repository_index().models
    return {(entry.name, entry.version): (entry.state, entry.reason) for entry in index}


def status(client, name, version="1"):
    return statuses(client)[name, version]


def look_up(client, index, model="m"):
    """The row of that index, by a model that gathers."""
    tensor = triton.InferInput("INDEX", [1, 1], "INT64").set_data_from_numpy(np.array([[index]]))
    return client.infer(model, [tensor], client_timeout=30).as_numpy("OUTPUT0").ravel()[0]


@pytest.fixture
def connect(serve, repository):
    """Serves the repository in explicit mode, all models loaded as far as they can be."""
    clients = []

    def start(*flags):
        daemon = serve(repository, *EXPLICIT, *flags)
        clients.append(triton.InferenceServerClient(daemon.url))
        return daemon, clients[-1]

    yield start
    for client in clients:
        client.close()


def test_samples_of_zeros_of_random_data_and_of_files_are_executed(connect, repository):
    add_gather(repository, "zero", sample("INDEX", "zero_data: true"))
    add_gather(repository, "random", sample("INDEX", "random_data: true"))
    add_gather(repository, "file", file_sample("INDEX"), index=9)
    add_gather(repository, "bad_file", file_sample("INDEX"), index=10)
    for kind in ("zero", "random"):
        text = sample("INPUT0", f"{kind}_data: true", dims="4", dtype="FP32")
        add(repository, f"picky_{kind}", none_above_zero(), models.config(f"picky_{kind}", NUMBERS, NUMBER, 0, text))
    _, client = connect()
    found = statuses(client)
    for name in ("zero", "random", "file", "picky_zero"):
        assert found[name, "1"] == ("READY", ""), name
    for name in ("bad_file", "picky_random"):
        state, reason = found[name, "1"]
        assert state == "UNAVAILABLE" and "indices element out of data bounds" in reason, (
            "it was executed, and not zeros"
        )


def test_a_file_holds_one_row_of_strings_in_the_layout_of_the_wire(connect, repository):
    strings = [("INPUT0", "BYTES", [2])], [("OUTPUT0", "BYTES", [2])]
    for name, row in {
        "right": byte_elements(b"one", b"\x00\xff"),
        "one_less": byte_elements(b"one"),
        "no_lengths": b"one two",
    }.items():
        text = file_sample("INPUT0", dims="2", dtype="STRING", batch_size=3)
        add(repository, name, models.identity("BYTES", ["b", 2]), models.config(name, *strings, 4, text), row)
    _, client = connect()
    found = statuses(client)
    assert found["right", "1"] == ("READY", "")
    for name in ("one_less", "no_lengths"):
        assert found[name, "1"][0] == "UNAVAILABLE"
        assert f"model '{name}', warm-up sample 'first': " in found[name, "1"][1]


def test_a_sample_has_as_many_rows_as_its_batch_size_and_one_where_it_has_none(connect, repository):
    row = np.arange(4, dtype=np.float32).tobytes()
    rows = [("INPUT0", "FP32", [4])], [("OUTPUT0", "FP32", [4])]
    for name, most, more in (("three", 3, {"batch_size": 3}), ("one", 1, {}), ("other", 2, {"batch_size": 3})):
        text = file_sample("INPUT0", dims="4", dtype="FP32", **more)
        add(repository, name, at_most(most), models.config(name, *rows, 4, text), row)
    _, client = connect()
    assert status(client, "three")[0] == status(client, "one")[0] == "READY"
    state, reason = status(client, "other")
    assert state == "UNAVAILABLE" and "warm-up sample 'first' on instance 'other_0'" in reason


def test_nothing_of_a_warm_up_is_in_the_statistics(connect, repository):
    add_gather(repository, "m", sample("INDEX", "zero_data: true", count=7, batch_size=4))
    daemon, client = connect()

    def counted():
        (stats,) = client.get_inference_statistics("m").model_stats
        metrics = {
            name: daemon.metric(f"nv_inference_{name}", model="m")
            for name in ("request_success", "count", "exec_count")
        }
        return stats.inference_count, stats.execution_count, stats.inference_stats.success.count, *metrics.values()

    (stats,) = client.get_inference_statistics("m").model_stats
    assert counted() == (0, 0, 0, 0, 0, 0)
    assert stats.last_inference == 0 and not stats.batch_stats and stats.inference_stats.compute_infer.ns == 0
    assert daemon.metric("nv_inference_request_duration_us", model="m") == 0
    assert look_up(client, 3) == 12
    assert counted() == (1, 1, 1, 1, 1, 1)


def test_a_sample_that_fails_fails_the_load_with_its_name_and_the_instance(connect, repository):
    fine = sample("INDEX", "zero_data: true").replace("first", "fine")
    add_gather(repository, "m", fine + file_sample("INDEX"), index=-11)
    daemon, client = connect()
    words = "model 'm', warm-up sample 'first' on instance 'm_0': "
    remedy = "correct the sample in model_warmup, or the model"
    with pytest.raises(triton.InferenceServerException) as error:
        client.load_model("m")
    assert words in error.value.message() and remedy in error.value.message()
    state, reason = status(client, "m")
    assert state == "UNAVAILABLE" and words in reason and remedy in reason
    assert any(words in line and remedy in line for line in daemon.log_text().splitlines() if line.startswith("E"))
    (repository.folder / "m" / "warmup" / "row").write_bytes(np.int64(-10).tobytes())
    client.load_model("m")
    assert status(client, "m") == ("READY", "") and look_up(client, 2) == 8


def test_a_reload_whose_warm_up_fails_leaves_the_old_version_in_service(connect, repository):
    add_gather(repository, "m", sample("INDEX", "zero_data: true"))
    daemon, client = connect()
    add_gather(repository, "m", file_sample("INDEX"), index=99)
    with pytest.raises(triton.InferenceServerException, match="warm-up sample 'first' on instance 'm_0'"):
        client.load_model("m")
    state, reason = status(client, "m")
    assert state == "READY" and "what was loaded before is served, since a reload failed" in reason
    assert "warm-up sample 'first'" in reason
    assert client.is_model_ready("m") and look_up(client, 5) == 20

    # A version more, for which the sample is wrong as well.
    repository.add("m", models.gather(), version=2)
    with pytest.raises(triton.InferenceServerException, match="version 2 is at UNAVAILABLE state: .*'first'"):
        client.load_model("m")
    assert client.is_model_ready("m", "1") and not client.is_model_ready("m", "2") and look_up(client, 5) == 20
    assert status(client, "m", "2")[0] == "UNAVAILABLE"

    add_gather(repository, "m", file_sample("INDEX"), index=9)
    client.load_model("m")
    assert status(client, "m", "2") == ("READY", "")
    daemon.wait_until(lambda: status(client, "m") == ("UNAVAILABLE", "unloaded"), 30, "unload version 1")
    assert look_up(client, 5) == 20


def test_a_sample_is_executed_as_often_as_its_count_says_until_its_load_is_not_wanted_any_more(connect, repository):
    add_gather(repository, "other", "")
    daemon, client = connect()
    add_gather(repository, "m", sample("INDEX", "zero_data: true", count=ENDLESS))
    error = give_up(daemon, client, "m")
    assert "load of model 'm' was given up: it is to be unloaded" in error
    assert look_up(client, 1, "other") == 4


def test_a_warm_up_that_hangs_leaves_the_old_version_in_service_and_is_ended_when_the_model_is_mended(
    connect, repository
):
    def add_spin(warm_up, steps):
        config = models.config("m", [("STEPS", "INT64", [1])], [("OUTPUT0", "INT64", [1])], 4, ONE_THREAD + warm_up)
        add(repository, "m", models.spin(), config, np.int64(steps).tobytes())

    def spun():
        tensor = triton.InferInput("STEPS", [1, 1], "INT64").set_data_from_numpy(np.array([[3]]))
        return client.infer("m", [tensor], client_timeout=30).as_numpy("OUTPUT0").item()

    add_spin("", 1)
    daemon, client = connect()
    add_spin(file_sample("STEPS"), ENDLESS)
    errors = []
    thread = begin_load(daemon, "m", errors)
    # The old version is shown as what it is, ready, for as long as the new one warms up.
    daemon.wait_until(lambda: is_busy(daemon), 30, "begin to warm up")
    for _ in range(20):
        assert spun() == 3 and client.is_model_ready("m") and status(client, "m") == ("READY", "")
    assert thread.is_alive()
    add_spin(file_sample("STEPS"), 1)
    client.load_model("m", client_timeout=30)
    thread.join(30)
    assert not thread.is_alive() and not errors, "whoever asked first is told of the load that took the place of theirs"
    assert spun() == 3 and status(client, "m") == ("READY", "")


def begin_load(daemon, name, errors):
    """Loads a model from a thread, which ends with the load and notes its error."""

    def load():
        with triton.InferenceServerClient(daemon.url) as client:
            try:
                client.load_model(name)
            except triton.InferenceServerException as error:
                errors.append(error.message())

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    return thread


def give_up(daemon, client, name):
    """Begins a load that does not end, and unloads the model; the error that the load ends with."""
    errors = []
    thread = begin_load(daemon, name, errors)
    daemon.wait_until(lambda: statuses(client).get((name, "1")) == ("LOADING", ""), 30, "load it")
    assert thread.is_alive() and not client.is_model_ready(name)
    client.unload_model(name)
    thread.join(30)
    assert not thread.is_alive()
    daemon.wait_until(lambda: not is_busy(daemon), 30, "end the load")
    return errors[0]


def is_busy(daemon):
    """Whether the daemon computes, most of a tenth of a second long."""

    def ticks():
        return sum(map(int, Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))

    before = ticks()
    time.sleep(0.1)
    return ticks() - before >= 5
