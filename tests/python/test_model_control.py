"""RepositoryModelLoad and RepositoryModelUnload: their parameters, their errors, and what overrides do."""

import json
import os
from pathlib import Path

import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from server import LIMIT, Server
from tritonclient.grpc import service_pb2
from wire import fault

EXPLICIT = "--model-control-mode=explicit"


class Controlled(Server):
    """A daemon in explicit mode, and what it is asked to load and unload."""

    def ready(self):
        """The versions that are ready, by model."""
        index = self.stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True)).models
        found = {}
        for entry in index:
            found.setdefault(entry.name, []).append(int(entry.version))
        return found

    def plus(self, name="m", version=""):
        """What the model adds."""
        tensor = triton.InferInput("INPUT0", [1], "FP32").set_data_from_numpy(np.zeros(1, np.float32))
        return self.client.infer(name, [tensor], version, client_timeout=LIMIT).as_numpy("OUTPUT0").item()

    def load_fault(self, name, **parameters):
        """The code and text of the error of a load with these parameters: field, or (name, field), to value."""
        message = service_pb2.RepositoryModelLoadRequest(model_name=name)
        for key, (field, value) in parameters.items():
            setattr(message.parameters[key], field, value)
        return fault(self.stub.RepositoryModelLoad, message, timeout=LIMIT)


def adds(value):
    """A model that adds so much."""
    return models.add_constant(value).SerializeToString()


def configuration(**fields):
    """A configuration in JSON."""
    return json.dumps({"backend": "onnxruntime", **fields})


ADDS = {
    "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [1]}],
    "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [1]}],
}


@pytest.fixture
def server(serve, repository):
    """Serves the repository in explicit mode, with a model `m` whose versions 1 to 3 add 1 to 3."""
    for version in (1, 2, 3):
        repository.add("m", adds(version), version=version)
    started = Controlled(serve(repository, EXPLICIT))
    yield started
    started.close()


STRING, BYTES, NUMBER = ("string_param", "{}"), ("bytes_param", b"x"), ("int64_param", 1)
UNRECOGNIZED = "unrecognized load parameter 'x'."
CONFIG_TYPE = "invalid value type for load parameter 'config', expected string_param."
FILE_TYPE = "invalid value type for load parameter 'file:1/model.onnx', expected bytes_param."
PARAMETERS = {
    "unrecognized": ({"x": STRING}, UNRECOGNIZED),
    "unrecognized beside others": ({"config": STRING, "x": NUMBER}, UNRECOGNIZED),
    "config of bytes": ({"config": BYTES}, CONFIG_TYPE),
    "config of a number": ({"config": NUMBER}, CONFIG_TYPE),
    "config of a boolean": ({"config": ("bool_param", True)}, CONFIG_TYPE),
    "file of a string": ({"config": STRING, "file:1/model.onnx": STRING}, FILE_TYPE),
    "file of a number": ({"config": STRING, "file:1/model.onnx": NUMBER}, FILE_TYPE),
    "file without a configuration": (
        {"file:1/model.onnx": BYTES},
        "files for model 'm' were given without its configuration: give the load parameter 'config' too",
    ),
}


@pytest.mark.parametrize("title", PARAMETERS)
def test_a_load_parameter_that_is_wrong_is_refused_in_the_words_that_triton_has(server, title):
    parameters, text = PARAMETERS[title]
    assert server.load_fault("m", **parameters) == ("INVALID_ARGUMENT", text)
    assert not server.ready() and server.client.is_server_ready()


@pytest.mark.parametrize("path", ["../1/model.onnx", "/etc/passwd", "1/../../x", "..", "", ".", "1/../2/x", "./1/x"])
def test_a_file_whose_path_leads_out_of_the_model_is_refused(server, path):
    given = {"config": STRING, "file:1/model.onnx": BYTES, f"file:{path}": BYTES}
    code, text = server.load_fault("m", **given)
    assert code == "INVALID_ARGUMENT"
    assert text.startswith(f"load parameter 'file:{path}' leads out of the directory of model 'm': give a path like")
    assert not server.ready() and not list(stored()), "nothing of it was written"


def stored():
    """The directories that daemons keep given files in; only those of this test's are there while it runs."""
    return Path(os.environ["TMPDIR"]).glob("nerite-model-*")


@pytest.fixture(autouse=True)
def own_tmpdir(tmp_path, monkeypatch):
    """A directory for temporary files that no other daemon uses."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_a_parameter_without_a_value_is_of_the_wrong_type(server):
    message = service_pb2.RepositoryModelLoadRequest(model_name="m")
    message.parameters["config"].SetInParent()
    assert fault(server.stub.RepositoryModelLoad, message) == ("INVALID_ARGUMENT", CONFIG_TYPE)


def test_a_repository_cannot_be_named(server):
    unsupported = ("UNIMPLEMENTED", "'repository_name' specification is not supported")
    load = service_pb2.RepositoryModelLoadRequest(repository_name="models", model_name="m")
    unload = service_pb2.RepositoryModelUnloadRequest(repository_name="models", model_name="m")
    index = service_pb2.RepositoryIndexRequest(repository_name="models")
    assert fault(server.stub.RepositoryModelLoad, load) == unsupported
    assert fault(server.stub.RepositoryModelUnload, unload) == unsupported
    assert fault(server.stub.RepositoryIndex, index) == unsupported


@pytest.mark.parametrize("mode", ["none", "poll"])
def test_where_clients_do_not_decide_they_may_neither_load_nor_unload(serve, repository, mode):
    repository.add("m", adds(1))
    server = Controlled(serve(repository, f"--model-control-mode={mode}"))
    refused = ("UNAVAILABLE", "explicit model load / unload is not allowed if polling is enabled")
    for name in ("m", "nobody"):
        assert server.load_fault(name) == refused
        assert server.load_fault(name, config=STRING) == refused
        unload = service_pb2.RepositoryModelUnloadRequest(model_name=name)
        assert fault(server.stub.RepositoryModelUnload, unload) == refused
    assert server.ready() == {"m": [1]} and server.plus() == 1
    server.close()


def test_an_unload_whose_parameter_is_of_the_wrong_type_is_refused(server):
    server.client.load_model("m")
    for field, value in (("string_param", "true"), ("int64_param", 1), ("bytes_param", b"\1")):
        message = service_pb2.RepositoryModelUnloadRequest(model_name="m")
        setattr(message.parameters["unload_dependents"], field, value)
        text = "invalid value type for 'unload_dependents' parameter, expected bool_param."
        assert fault(server.stub.RepositoryModelUnload, message) == ("INVALID_ARGUMENT", text)
    assert server.plus() == 3
    server.client.unload_model("m", unload_dependents=True)
    assert not server.ready()


def test_an_unload_of_what_is_not_loaded_is_no_error(server):
    for name in ("m", "nobody", "", "..", "../m"):
        server.client.unload_model(name)
    server.client.load_model("m")
    server.client.unload_model("m")
    server.client.unload_model("m")
    assert not server.ready() and server.client.is_server_ready() and not server.rows("nobody")
    server.client.load_model("m")
    assert server.plus() == 3


def test_a_load_loads_what_has_changed_and_an_unload_hides_it_at_once(server, repository):
    assert server.rows("m") == [("", "", "")], "it is in the repository, and was never loaded"
    server.client.load_model("m")
    assert server.ready() == {"m": [3]} and server.plus() == 3
    repository.add("m", adds(30), version=3)
    assert server.plus() == 3, "nobody asked for it yet"
    server.client.load_model("m")
    assert server.plus() == 30
    server.client.unload_model("m")
    with pytest.raises(triton.InferenceServerException, match="'m' has no available versions|is not at ready state"):
        server.plus()
    server.until(lambda: server.rows("m") == [("3", "UNAVAILABLE", "unloaded")], "unload it")


def test_single_versions_are_loaded_and_unloaded_by_the_version_policy_of_an_override(server):
    def load(*versions):
        policy = {"specific": {"versions": [str(version) for version in versions]}}
        server.client.load_model("m", config=configuration(version_policy=policy))
        assert server.ready() == {"m": sorted(versions)}
        for version in versions:
            assert server.plus(version=str(version)) == version
        assert server.plus() == max(versions)

    load(1)
    load(1, 2)
    load(2, 3)
    with pytest.raises(triton.InferenceServerException, match="version 1 is not at ready state"):
        server.plus(version="1")
    server.until(lambda: server.rows("m")[0] == ("1", "UNAVAILABLE", "unloaded"), "unload version 1")
    load(1, 3)
    with pytest.raises(
        triton.InferenceServerException, match="its version_policy names 9, and its directory has 1, 2, 3"
    ):
        server.client.load_model("m", config=configuration(version_policy={"specific": {"versions": [9]}}))
    assert server.ready() == {"m": [1, 3]}, "what was loaded before is served"
    server.client.load_model("m")
    assert server.ready() == {"m": [3]}, "the next plain load undoes it"


def test_a_configuration_that_is_given_counts_until_the_next_plain_load(server):
    def instances():
        return server.client.get_model_config("m").config.instance_group[0].count

    server.client.load_model("m")
    assert instances() == 2
    for count, given in ((3, 3), (4, "4")):
        server.client.load_model("m", config=configuration(instance_group=[{"count": given, "kind": "KIND_CPU"}]))
        assert instances() == count and server.plus() == 3
    server.client.load_model("m")
    assert instances() == 2 and server.plus() == 3


CONFIGURATIONS = {
    "no JSON": ("{ backend: ", r"failed to load the configuration override for model 'm': .*"),
    "an unknown field": ('{"backends": "onnxruntime"}', r".*configuration override for model 'm': .*backends"),
    "a wrong type": ('{"max_batch_size": [1]}', r".*configuration override for model 'm': .*max_batch_size"),
    "another name": ('{"name": "other"}', r".*directory name must equal model name"),
    "another backend": ('{"backend": "python"}', r".*unable to find backend library for backend 'python'"),
    "a contradiction": (
        configuration(**{**ADDS, "input": [{"name": "INPUT0", "data_type": "TYPE_INT32", "dims": [1]}]}),
        r".*configuration expects datatype TYPE_INT32 for input 'INPUT0', model provides TYPE_FP32",
    ),
}


@pytest.mark.parametrize("title", CONFIGURATIONS)
def test_a_given_configuration_that_is_wrong_leaves_in_service_what_was_served(server, title):
    given, words = CONFIGURATIONS[title]
    server.client.load_model("m")
    with pytest.raises(triton.InferenceServerException, match=f"(failed to load|load failed for model) 'm'.*{words}"):
        server.client.load_model("m", config=given)
    ((_, state, reason),) = server.rows("m")
    assert state == "READY" and reason.startswith("what was loaded before is served, since a reload failed: ")
    assert server.plus() == 3 and server.client.is_server_ready()
    server.client.load_model("m")
    assert server.rows("m") == [("3", "READY", "")]


def test_files_that_are_given_are_the_whole_model_until_the_next_plain_load(server, repository):
    server.client.load_model("m")
    files = {"file:7/model.onnx": adds(70), "file:8/model.onnx": adds(80), "file:labels.txt": b"only\n"}
    output = [{**ADDS["output"][0], "label_filename": "labels.txt"}]
    given = configuration(**{**ADDS, "output": output}, version_policy={"all": {}})
    server.client.load_model("m", config=given, files=files)
    assert server.ready() == {"m": [7, 8]}
    assert [server.plus(version=version) for version in ("7", "8", "")] == [70, 80, 80]
    tensor = triton.InferInput("INPUT0", [1], "FP32").set_data_from_numpy(np.zeros(1, np.float32))
    top = triton.InferRequestedOutput("OUTPUT0", class_count=1)
    assert server.client.infer("m", [tensor], outputs=[top]).as_numpy("OUTPUT0").item() == b"80.000000:0:only"
    assert len(list(stored())) == 1
    server.client.load_model("m")
    assert server.ready() == {"m": [3]} and server.plus() == 3
    server.until(lambda: not list(stored()), "remove the files")


def test_a_model_of_given_files_needs_no_directory_and_is_gone_when_it_is_unloaded(server):
    files = {"file:1/model.onnx": adds(5)}
    server.client.load_model("given", config=configuration(**ADDS), files=files)
    assert server.plus("given") == 5
    files = {"file:1/model.onnx": adds(6)}
    server.client.load_model("given", config=configuration(), files=files)
    assert server.plus("given") == 6
    error = server.load_fault("given")
    assert error[0] == "INTERNAL" and "there is no directory 'given' in any model repository" in error[1]
    assert server.plus("given") == 6
    server.client.unload_model("given")
    server.until(lambda: not server.rows("given") and not list(stored()), "forget it and its files")


def test_files_that_are_no_model_leave_in_service_what_was_served_and_nothing_on_the_disk(server):
    server.client.load_model("m")
    for files, words in (
        ({"file:1/model.onnx": b"not a model"}, "is not an ONNX model"),
        ({"file:1/model.onnx": adds(1)[:-1]}, "is truncated"),
        ({"file:1/model.onnx": b""}, "is empty"),
        ({"file:v1/model.onnx": adds(1)}, "its directory has no version: 'v1' is none"),
        ({"file:model.onnx": adds(1)}, "its directory has no version"),
        ({"file:1/other.onnx": adds(1)}, r"unable to find '.*/m/1/model\.onnx'"),
    ):
        with pytest.raises(triton.InferenceServerException, match=words):
            server.client.load_model("m", config=configuration(), files=files)
        assert server.ready() == {"m": [3]} and server.plus() == 3
        server.until(lambda: not list(stored()), "remove the files")


def test_a_file_and_a_directory_of_one_name_are_refused(server):
    files = {"file:1": b"x", "file:1/model.onnx": adds(1)}
    with pytest.raises(triton.InferenceServerException) as error:
        server.client.load_model("m", config=configuration(), files=files)
    words = "load parameters 'file:1' and 'file:1/model.onnx' of model 'm' cannot both be files: give each a path of its own"
    assert (error.value.status(), error.value.message()) == ("StatusCode.INVALID_ARGUMENT", words)
    assert not list(stored())


def test_a_model_of_given_files_has_a_name_as_any_other(server):
    files = {"file:1/model.onnx": adds(1)}
    for name in ("", "..", "a/b", "../m"):
        with pytest.raises(triton.InferenceServerException) as error:
            server.client.load_model(name, config=configuration(), files=files)
        assert error.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(triton.InferenceServerException, match="a model's name must not begin with a dot"):
        server.client.load_model(".hidden", config=configuration(), files=files)
    assert not list(stored()) and not server.ready()


def test_a_load_of_several_at_once_answers_each_when_its_own_is_served(server, repository):
    for i in range(8):
        repository.add(f"m{i}", adds(i))
    loads = [service_pb2.RepositoryModelLoadRequest(model_name=f"m{i}") for i in range(8)]
    futures = [server.stub.RepositoryModelLoad.future(load) for load in loads for _ in range(3)]
    for future in futures:
        future.result(LIMIT)
    assert [server.plus(f"m{i}") for i in range(8)] == list(range(8))
