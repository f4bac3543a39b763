"""Traces of requests: their settings through Triton's own client, and the file in Triton's format."""

import json
import time

import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

STAGES = [
    "GRPC_WAITREAD_START",
    "GRPC_WAITREAD_END",
    "REQUEST_START",
    "QUEUE_START",
    "COMPUTE_START",
    "COMPUTE_INPUT_END",
    "COMPUTE_OUTPUT_START",
    "COMPUTE_END",
    "INFER_RESPONSE_COMPLETE",
    "REQUEST_END",
    "GRPC_SEND_START",
    "GRPC_SEND_END",
]


@pytest.fixture
def start(repository, serve, tmp_path):
    """Starts a daemon with two models and these trace settings, and connects a client: start(*settings, file=True)."""
    for name in ("simple", "other"):
        repository.add(name, models.add_sub("FP32", ["b", 16]))
    repository.add("text", models.identity("BYTES", ["b", "n"]))
    clients = []

    def begin(*settings, file=True):
        settings = [*settings, f"triton,file={tmp_path / 'trace.json'}"] if file else settings
        daemon = serve(repository, *(f"--trace-config={setting}" for setting in settings))
        clients.append(triton.InferenceServerClient(daemon.url))
        return daemon, clients[-1]

    yield begin
    for client in clients:
        client.close()


def infer(client, model="simple", request_id=""):
    inputs = [triton.InferInput(name, [1, 16], "FP32") for name in ("INPUT0", "INPUT1")]
    for number, one in enumerate(inputs):
        one.set_data_from_numpy(np.full([1, 16], number + 0.5, np.float32))
    client.infer(model, inputs, request_id=request_id)


def read(path, least=1):
    """The traces in a file, by their ids, once there are so many."""
    deadline = time.monotonic() + 10
    while not path.exists() or len(traces := parse(path.read_text())) < least:
        assert time.monotonic() < deadline, f"there are too few traces in {path}"
        time.sleep(0.01)
    return traces


def parse(text):
    """The traces in the text of a file, by their ids. A file that has just been made is empty."""
    traces = {}
    for entry in json.loads(text or "[]"):
        trace = traces.setdefault(entry["id"], {"timestamps": [], "tensors": []})
        if "model_name" in entry:
            trace.update(entry, timestamps=trace["timestamps"])
        elif "timestamps" in entry:
            trace["timestamps"] += entry["timestamps"]
        else:
            trace["tensors"].append((entry["activity"], entry["tensor"]))
    return traces


def settings(client, model="", **changes):
    """The settings in force, after changes."""
    if changes:
        answer = client.update_trace_settings(model_name=model, settings=changes)
    else:
        answer = client.get_trace_settings(model_name=model)
    values = {name: list(setting.value) for name, setting in answer.settings.items()}
    # What was answered is what is in force.
    assert not changes or values == settings(client, model)
    return values


def refusal(client, model="", **changes):
    with pytest.raises(InferenceServerException) as error:
        client.update_trace_settings(model_name=model, settings=changes)
    return error.value.status(), error.value.message()


def test_the_servers_metadata_names_the_extension(client):
    assert "trace" in client.get_server_metadata().extensions


def test_settings_are_shown_as_in_triton(start, tmp_path):
    _, client = start("level=TIMESTAMPS", "rate=6", "count=9", "triton,log-frequency=2")
    expected = {
        "trace_level": ["TIMESTAMPS"],
        "trace_rate": ["6"],
        "trace_count": ["9"],
        "log_frequency": ["2"],
        "trace_file": [str(tmp_path / "trace.json")],
        "trace_mode": ["triton"],
    }
    assert settings(client) == settings(client, "simple") == expected


def test_a_receivers_settings_are_shown_instead_of_the_files(start):
    _, client = start("mode=opentelemetry", "level=TIMESTAMPS", "opentelemetry,bsp_max_queue_size=7", file=False)
    assert settings(client) == {
        "trace_level": ["TIMESTAMPS"],
        "trace_rate": ["1000"],
        "trace_count": ["-1"],
        "trace_mode": ["opentelemetry"],
        "url": ["http://localhost:4317"],
        "resource": ["service.name=triton-inference-server"],
        "bsp_max_queue_size": ["7"],
        "bsp_schedule_delay": ["5000"],
        "bsp_max_export_batch_size": ["512"],
    }


def test_a_models_settings_cover_those_of_all_and_what_is_cleared_shows_them_again(start):
    _, client = start("rate=6")
    assert settings(client, "simple", trace_level=["TIMESTAMPS", "TENSORS"])["trace_level"] == ["TIMESTAMPS", "TENSORS"]
    assert settings(client, "simple", trace_rate="2")["trace_rate"] == ["2"]
    everyone = settings(client, trace_rate="3", trace_count="5")
    assert (everyone["trace_level"], everyone["trace_rate"], everyone["trace_count"]) == (["OFF"], ["3"], ["5"])
    assert settings(client, "other") == everyone
    own = settings(client, "simple")
    assert (own["trace_rate"], own["trace_count"]) == (["2"], ["5"])
    assert settings(client, "simple", trace_rate=None)["trace_rate"] == ["3"]
    assert settings(client, "simple", trace_level=None) == everyone
    assert settings(client, trace_rate=None, trace_count=None)["trace_rate"] == ["6"]


@pytest.mark.parametrize(
    "changes, status, message",
    [
        (
            {"trace_file": "elsewhere"},
            "UNIMPLEMENTED",
            "trace file location can not be updated through network protocol",
        ),
        ({"trace_file": None}, "UNIMPLEMENTED", "trace file location can not be updated through network protocol"),
        ({"trace_mode": "opentelemetry"}, "UNIMPLEMENTED", "trace mode can not be updated through network protocol"),
        ({"trace_level": ["OFF", "TENSORS"]}, "INVALID_ARGUMENT", "Expect only one trace level 'OFF' is specified"),
        (
            {"trace_level": "LOUD"},
            "INVALID_ARGUMENT",
            "Unable to parse 'trace_level', expecting OFF, TIMESTAMPS or TENSORS, got: LOUD",
        ),
        ({"trace_rate": "often"}, "INVALID_ARGUMENT", "Unable to parse 'trace_rate', got: often"),
        ({"trace_rate": ["1", "2"]}, "INVALID_ARGUMENT", "expect only 1 value for 'trace_rate'"),
        (
            {"trace_count": "-2"},
            "INVALID_ARGUMENT",
            "Unable to parse 'trace_count', value is out of range [ -1, 2147483647 ], got: -2",
        ),
        ({"log_frequency": "x"}, "INVALID_ARGUMENT", "Unable to parse 'log_frequency', got: x"),
        ({"speed": "1"}, "INVALID_ARGUMENT", "unknown trace setting 'speed'"),
        (
            {"trace_level": "TIMESTAMPS", "trace_rate": "0"},
            "INVALID_ARGUMENT",
            "Attempting to set invalid trace setting :sample rate must be non-zero",
        ),
    ],
)
def test_what_cannot_be_set_is_refused_and_nothing_is_changed(start, changes, status, message):
    _, client = start()
    before = settings(client)
    assert refusal(client, **{"trace_rate": "7", **changes}) == (f"StatusCode.{status}", message)
    assert refusal(client, "simple", **changes)[1] == message
    assert settings(client) == settings(client, "simple") == before


def test_without_a_file_nothing_can_be_traced(start):
    _, client = start(file=False)
    message = "Attempting to set invalid trace setting :trace file name is not given"
    assert refusal(client, trace_level="TIMESTAMPS") == ("StatusCode.INVALID_ARGUMENT", message)


def test_a_model_that_is_not_there_has_no_settings(start):
    _, client = start()
    expected = ("StatusCode.INVALID_ARGUMENT", "Request for unknown model : nobody")
    assert refusal(client, "nobody", trace_rate="1") == expected
    with pytest.raises(InferenceServerException, match="Request for unknown model : nobody"):
        client.get_trace_settings(model_name="nobody")


def test_the_file_has_every_stage_in_order(start, tmp_path):
    _, client = start("level=TIMESTAMPS", "rate=3")
    began = time.monotonic_ns()
    for number in range(1, 8):
        infer(client, request_id=f'"{number}"')
    ended = time.monotonic_ns()
    # What is there is JSON, also while the daemon goes on.
    traces = read(tmp_path / "trace.json", 2)
    assert [trace["id"] for trace in traces.values()] == [1, 2]
    assert [trace["request_id"] for trace in traces.values()] == ['"3"', '"6"']
    for trace in traces.values():
        assert (trace["model_name"], trace["model_version"]) == ("simple", 1)
        assert [stage["name"] for stage in trace["timestamps"]] == STAGES
        times = [stage["ns"] for stage in trace["timestamps"]]
        assert times == sorted(times) and began <= times[0] and times[-1] <= ended + 1_000_000_000
        assert trace["tensors"] == []


def test_a_log_frequency_makes_files_of_so_many_traces(start, tmp_path):
    daemon, client = start("level=TIMESTAMPS", "rate=1", "triton,log-frequency=2")
    settings(client, "other", log_frequency="3")
    for _ in range(5):
        infer(client)
    for _ in range(4):
        infer(client, "other")
    assert daemon.stop() == 0
    files = {path.name: list(read(path).values()) for path in tmp_path.glob("trace.json*")}
    assert sorted(files) == [f"trace.json.{number}" for number in range(5)]
    of_models = sorted([trace["model_name"] for trace in traces] for traces in files.values())
    assert of_models == [["other"], ["other"] * 3, ["simple"], ["simple"] * 2, ["simple"] * 2]


def test_when_all_are_traced_that_were_to_be_the_file_gets_an_index(start, tmp_path):
    _, client = start("level=TIMESTAMPS", "rate=1", "count=2")
    for _ in range(4):
        infer(client)
    assert len(read(tmp_path / "trace.json.0")) == 2
    assert settings(client)["trace_count"] == ["0"]
    assert not (tmp_path / "trace.json").exists()
    # And again.
    settings(client, trace_count="1")
    infer(client)
    assert len(read(tmp_path / "trace.json.1")) == 1


def test_tensors_are_written_where_the_level_says_so(start, tmp_path):
    daemon, client = start("level=TENSORS", "rate=1")
    infer(client)
    words = triton.InferInput("INPUT0", [1, 2], "BYTES")
    words.set_data_from_numpy(np.array([[b'say "hi"', "ü".encode()]], np.object_))
    client.infer("text", [words])
    assert daemon.stop() == 0
    numbers, texts = read(tmp_path / "trace.json", 2).values()
    assert numbers["timestamps"] == []
    expected = [
        ("TENSOR_QUEUE_INPUT", "INPUT0", "0.5"),
        ("TENSOR_QUEUE_INPUT", "INPUT1", "1.5"),
        ("TENSOR_BACKEND_OUTPUT", "OUTPUT0", "2"),
        ("TENSOR_BACKEND_OUTPUT", "OUTPUT1", "-1"),
    ]
    for (activity, tensor), (of, name, value) in zip(numbers["tensors"], expected, strict=True):
        assert (activity, tensor["name"], tensor["dtype"], tensor["shape"]) == (of, name, "FP32", "1,16")
        assert tensor["data"] == ",".join([value] * 16)
    assert [tensor["data"] for _, tensor in texts["tensors"]] == ['"say "hi"","ü"'] * 2


def test_a_file_that_cannot_be_written_is_complained_of_once_and_stops_nobody(start, tmp_path):
    (tmp_path / "trace.json").mkdir()
    daemon, client = start("level=TIMESTAMPS", "rate=1")
    for _ in range(3):
        infer(client)
        time.sleep(0.2)
    daemon.wait_until(lambda: daemon.metric("nerite_traces_dropped_total") == 3, 5, "count what it dropped")
    assert daemon.stop() == 0
    assert daemon.log_text().count("traces cannot be written to") == 1
