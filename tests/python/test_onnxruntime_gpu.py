"""ONNX models on GPUs: through counterfeits of ONNX Runtime for GPUs and of NVIDIA's driver, and without any."""

import os

import gpus
import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from daemon import ROOT

ON_GPU = "instance_group [ { count: 2 kind: KIND_GPU } ]"
TENSORS = ([("INPUT0", "FP32", [4])], [("OUTPUT0", "FP32", [4])], 4)
LENIENT = ("--exit-on-error=false", "--strict-readiness=false")


def add(repository, name, extra=""):
    config = models.config(name, *TENSORS, extra) if extra else None
    repository.add(name, models.identity("FP32", ["b", 4]), config)


@pytest.fixture
def counterfeits(tmp_path):
    """The environment in which a daemon finds them; there is one GPU."""
    folder = gpus.counterfeits("gpu_counterfeits", tmp_path)
    real = os.environ.get("ORT_DYLIB_PATH") or ROOT / "target" / "onnxruntime" / "lib" / "libonnxruntime.so"
    return {
        "LD_LIBRARY_PATH": str(folder),
        "ORT_DYLIB_PATH": str(folder / "libonnxruntime.so"),
        "COUNTERFEIT_OF": str(real),
    }


def groups(client, name):
    config = client.get_model_config(name, as_json=True)["config"]
    return [(group["name"], group["kind"], int(group["count"])) for group in config["instance_group"]]


def infer(client, name, rows):
    given = triton.InferInput("INPUT0", rows.shape, "FP32")
    given.set_data_from_numpy(rows)
    return client.infer(name, [given]).as_numpy("OUTPUT0")


def reasons(client):
    return {model.name: model.reason for model in client.get_model_repository_index().models}


def test_models_are_on_gpus_where_their_groups_say_so_or_leave_it_open(repository, serve, counterfeits):
    add(repository, "open")
    add(repository, "gpu", ON_GPU)
    add(repository, "cpu", "instance_group [ { kind: KIND_CPU } ]")
    add(repository, "nowhere", "instance_group [ { kind: KIND_GPU gpus: [ 5 ] } ]")
    daemon = serve(repository, *LENIENT, environment=counterfeits)
    with triton.InferenceServerClient(daemon.url) as client:
        assert groups(client, "open") == [("open", "KIND_GPU", 1)]
        assert groups(client, "gpu") == [("gpu_0", "KIND_GPU", 2)]
        assert groups(client, "cpu") == [("cpu_0", "KIND_CPU", 2)]
        for name in ("open", "gpu", "cpu"):
            for count in (1, 3, 4):
                rows = np.random.default_rng(count).random((count, 4), np.float32)
                np.testing.assert_array_equal(infer(client, name, rows), rows)
        assert "there is no GPU 5: this process may use GPU 0 alone" in reasons(client)["nowhere"]


def test_a_model_moves_to_a_gpu_and_back_while_it_serves(repository, serve, counterfeits):
    add(repository, "m", "instance_group [ { kind: KIND_CPU } ]")
    daemon = serve(repository, "--model-control-mode=explicit", "--load-model=m", environment=counterfeits)
    rows = np.ones((2, 4), np.float32)
    with triton.InferenceServerClient(daemon.url) as client:
        for kind in ("KIND_GPU", "KIND_CPU", "KIND_GPU"):
            add(repository, "m", f"instance_group [ {{ kind: {kind} }} ]")
            client.load_model("m")
            assert [found for _, found, _ in groups(client, "m")] == [kind]
            np.testing.assert_array_equal(infer(client, "m", rows), rows)


def test_accelerators_that_cannot_be_had_are_refused_by_name(repository, serve, counterfeits):
    def accelerated(accelerators):
        return f"{ON_GPU} optimization {{ execution_accelerators {{ {accelerators} }} }}"

    add(repository, "served", accelerated('gpu_execution_accelerator [ { name: "tensorrt" }, { name: "cuda" } ]'))
    add(repository, "openvino", accelerated('cpu_execution_accelerator { name: "openvino" }'))
    add(repository, "unknown", accelerated('gpu_execution_accelerator { name: "gpu_io" }'))
    add(
        repository,
        "mode",
        accelerated(
            'gpu_execution_accelerator { name: "tensorrt" parameters { key: "precision_mode" value: "FP4" } }'
        ),
    )
    daemon = serve(repository, *LENIENT, environment=counterfeits)
    with triton.InferenceServerClient(daemon.url) as client:
        rows = np.ones((1, 4), np.float32)
        np.testing.assert_array_equal(infer(client, "served", rows), rows)
        why = reasons(client)
    assert "'openvino' on the CPU, which is not in this ONNX Runtime" in why["openvino"]
    assert "unknown Execution Accelerator 'gpu_io' is requested" in why["unknown"]
    assert "unsupported precision mode 'FP4' is requested" in why["mode"]


def test_on_a_machine_without_a_gpu_the_error_names_all_that_is_missing(repository, serve):
    add(repository, "gpu", ON_GPU)
    add(repository, "open")
    daemon = serve(repository, *LENIENT)
    with triton.InferenceServerClient(daemon.url) as client:
        assert groups(client, "open") == [("open", "KIND_CPU", 2)]
        reason = reasons(client)["gpu"]
    assert "needs CUDAExecutionProvider" in reason and "was built without it" in reason
    if not os.path.exists("/dev/nvidiactl"):
        assert "the NVIDIA driver's library 'libcuda.so.1' cannot be loaded" in reason
    assert "onnxruntime-gpu" in reason and "KIND_CPU or KIND_AUTO" in reason
