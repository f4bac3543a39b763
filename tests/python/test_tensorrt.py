"""Models for TensorRT: through counterfeits of NVIDIA's libraries where there is no GPU, and without any."""

import gpus
import models
import numpy as np
import pytest
import tritonclient.grpc as triton

# What the counterfeit takes for an engine; see backends/tensorrt/tests/cpp/nvinfer.cpp.
PLAN = """plan 11
in x 0 device data -1,4
out y 0 device data -1,4 copy x
profile
range x 1,4 4,4 16,4
"""


def add_plan(repository, name, text=PLAN, config=None):
    folder = repository.add(name, config=config)
    (folder / "1" / "model.plan").write_text(text)


@pytest.fixture
def counterfeits(tmp_path):
    """The environment in which a daemon finds them."""
    return {"LD_LIBRARY_PATH": str(gpus.counterfeits("counterfeit", tmp_path))}


def infer(client, name, rows):
    given = triton.InferInput("x", rows.shape, "FP32")
    given.set_data_from_numpy(rows)
    return client.infer(name, [given]).as_numpy("y")


def test_a_plan_without_a_configuration_is_completed_from_its_engine_and_served(repository, serve, counterfeits):
    add_plan(repository, "plan")
    daemon = serve(repository, environment=counterfeits)
    with triton.InferenceServerClient(daemon.url) as client:
        config = client.get_model_config("plan", as_json=True)["config"]
        assert (config["platform"], config["backend"]) == ("tensorrt_plan", "tensorrt")
        assert config["max_batch_size"] == 16, "the largest batch of the engine's profile"
        assert [group["kind"] for group in config["instance_group"]] == ["KIND_GPU"]
        for count in (1, 7, 16):
            rows = np.random.default_rng(count).random((count, 4), np.float32)
            np.testing.assert_array_equal(infer(client, "plan", rows), rows)
        assert client.is_model_ready("plan")


def test_instances_are_where_their_group_says(repository, serve, counterfeits):
    config = 'backend: "tensorrt" max_batch_size: 8 instance_group [ { count: 2 kind: KIND_GPU gpus: %d } ]'
    add_plan(repository, "here", config=config % 0)
    add_plan(repository, "nowhere", config=config % 5)
    daemon = serve(repository, "--exit-on-error=false", "--strict-readiness=false", environment=counterfeits)
    with triton.InferenceServerClient(daemon.url) as client:
        rows = np.ones((3, 4), np.float32)
        np.testing.assert_array_equal(infer(client, "here", rows), rows)
        reasons = {model.name: model.reason for model in client.get_model_repository_index().models}
    assert "there is no GPU 5: this process may use GPU 0 alone" in reasons["nowhere"]


def test_an_engine_of_another_version_is_refused_in_tensorrts_words(repository, serve, counterfeits):
    add_plan(repository, "old", PLAN.replace("plan 11", "plan 10"))
    daemon = serve(repository, "--exit-on-error=false", "--strict-readiness=false", environment=counterfeits)
    with triton.InferenceServerClient(daemon.url) as client:
        (model,) = client.get_model_repository_index().models
    assert "The engine plan file is not compatible with this version of TensorRT" in model.reason
    assert "build it anew with this version" in model.reason


def test_without_nvidias_libraries_everything_else_is_served_and_a_plan_says_what_it_lacks(repository, serve):
    add_plan(repository, "plan")
    repository.add("other", models.identity("FP32", ["b", 4]))
    daemon = serve(
        repository,
        "--exit-on-error=false",
        "--strict-readiness=false",
        "--backend-config=tensorrt,library=/nowhere/libnvinfer.so.10",
    )
    with triton.InferenceServerClient(daemon.url) as client:
        assert client.is_model_ready("other")
        reasons = {model.name: model.reason for model in client.get_model_repository_index().models}
    assert "TensorRT's library '/nowhere/libnvinfer.so.10' cannot be loaded" in reasons["plan"]
    assert "--backend-config=tensorrt,library=PATH" in reasons["plan"]
