"""The calls of Triton's own Python client work unmodified."""

import queue

import ml_dtypes
import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import np_to_triton_dtype

VALUES = {"BF16": ml_dtypes.bfloat16, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "BOOL": np.bool_}


def number_type(dtype):
    return VALUES.get(dtype) or np.dtype(dtype.lower())


def feed(name, array):
    """An input of the client from an array."""
    return triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)).set_data_from_numpy(array)


def two_inputs(rows=1, dtype="FP32"):
    first = np.tile(np.arange(16, 32), (rows, 1)).astype(number_type(dtype))
    second = np.ones((rows, 16), number_type(dtype))
    return first, second, [feed("INPUT0", first), feed("INPUT1", second)]


@pytest.mark.parametrize("dtype", models.ARITHMETIC)
def test_every_dtype_is_added_and_subtracted_exactly(client, dtype):
    first, second, inputs = two_inputs(3, dtype)
    result = client.infer(f"add_sub_{dtype.lower()}", inputs)
    assert [output.datatype for output in result.get_response().outputs] == [dtype, dtype]
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), first + second)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), first - second)


@pytest.mark.parametrize("dtype", [dtype for dtype in models.DTYPES if dtype != "BYTES"])
def test_every_dtype_passes_through_bit_for_bit(client, dtype):
    bits = np.random.default_rng(0).integers(0, 2 if dtype == "BOOL" else 256, 8 * 3 * 4, np.uint8)
    array = np.frombuffer(bits.tobytes(), number_type(dtype))[:12].reshape(3, 4)
    result = client.infer(f"identity_{dtype.lower()}", [feed("INPUT0", array)])
    assert result.as_numpy("OUTPUT0").tobytes() == array.tobytes()


def test_strings_pass_through_whatever_bytes_they_hold(client):
    strings = np.array(
        [[b"plain", b"", "möwe".encode()], [b"\xff\xfe not utf-8", b"nul \0 inside", b"x" * 100_000]], object
    )
    result = client.infer("identity_bytes", [feed("INPUT0", strings)])
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), strings)


def test_typed_contents_are_as_good_as_raw_ones(stub):
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name="simple")
    for name in ("INPUT0", "INPUT1"):
        request.inputs.add(name=name, datatype="FP32", shape=[1, 16]).contents.fp32_contents.extend(range(16))
    answer = stub.ModelInfer(request)
    np.testing.assert_array_equal(np.frombuffer(answer.raw_output_contents[0], np.float32), 2 * np.arange(16))


def test_only_the_outputs_asked_for_come_and_in_that_order(client):
    first, second, inputs = two_inputs()
    wanted = [triton.InferRequestedOutput("OUTPUT1"), triton.InferRequestedOutput("OUTPUT0")]
    result = client.infer("simple", inputs, outputs=wanted[:1])
    assert [output.name for output in result.get_response().outputs] == ["OUTPUT1"]
    result = client.infer("simple", inputs, outputs=wanted)
    assert [output.name for output in result.get_response().outputs] == ["OUTPUT1", "OUTPUT0"]
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), first + second)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), first - second)


def test_the_request_id_comes_back(client):
    response = client.infer("simple", two_inputs()[2], request_id="my-17").get_response()
    assert (response.id, response.model_name, response.model_version) == ("my-17", "simple", "1")


def test_asynchronous_requests_are_all_answered_rightly(client):
    answers = queue.Queue()
    for i in range(64):
        array = np.full((1, 16), i, np.float32)
        inputs = [feed("INPUT0", array), feed("INPUT1", array)]
        client.async_infer("simple", inputs, lambda result, error: answers.put((result, error)), request_id=str(i))
    for _ in range(64):
        result, error = answers.get(timeout=30)
        assert error is None
        wanted = np.full((1, 16), 2 * int(result.get_response().id), np.float32)
        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), wanted)


def test_classification_gives_the_likeliest_elements_with_labels(client):
    _, _, inputs = two_inputs(2)
    result = client.infer("simple", inputs, outputs=[triton.InferRequestedOutput("OUTPUT0", class_count=3)])
    rows = result.as_numpy("OUTPUT0")
    assert rows.shape == (2, 3)
    for row in rows:
        parsed = [element.decode().split(":") for element in row]
        assert [(float(value), int(index), label) for value, index, label in parsed] == [
            (32.0, 15, "label 15"),
            (31.0, 14, "label 14"),
            (30.0, 13, "label 13"),
        ]


def test_classification_gives_no_more_than_there_is_and_no_label_where_none_is_configured(client):
    result = client.infer("simple", two_inputs()[2], outputs=[triton.InferRequestedOutput("OUTPUT1", class_count=99)])
    rows = result.as_numpy("OUTPUT1")
    assert rows.shape == (1, 16)
    assert all(element.count(b":") == 1 for element in rows[0])


def test_classification_without_batching_has_no_batch_dimension(client):
    array = np.arange(16, dtype=np.float32)
    outputs = [triton.InferRequestedOutput("OUTPUT0", class_count=2)]
    rows = client.infer("unbatched", [feed("INPUT0", array), feed("INPUT1", array)], outputs=outputs).as_numpy(
        "OUTPUT0"
    )
    assert rows.shape == (2,)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_answered(client, algorithm):
    first, second, inputs = two_inputs(8)
    result = client.infer("simple", inputs, compression_algorithm=algorithm)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), first + second)


def test_an_optional_input_may_be_left_out(client):
    array = np.arange(3, dtype=np.float32)
    np.testing.assert_array_equal(client.infer("optional", [feed("INPUT0", array)]).as_numpy("OUTPUT0"), array + 10)
    inputs = [feed("INPUT0", array), feed("INPUT1", np.ones(1, np.float32))]
    np.testing.assert_array_equal(client.infer("optional", inputs).as_numpy("OUTPUT0"), array + 1)


def test_a_reshaped_input_is_served_in_the_configured_shape(client):
    array = np.arange(4, dtype=np.float32).reshape(4, 1)
    np.testing.assert_array_equal(client.infer("reshape", [feed("INPUT0", array)]).as_numpy("OUTPUT0"), array)


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_scalar_may_be_sent_with_no_dimension_or_one(client, shape):
    result = client.infer("scalar", [feed("INPUT0", np.full(shape, 2.5, np.float32))])
    assert result.as_numpy("OUTPUT0").reshape(-1).tolist() == [2.5]
    assert list(result.get_response().outputs[0].shape) == []


def test_a_model_that_cannot_be_batched_is_served_as_it_is(client):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(client.infer("fixed", [feed("INPUT0", array)]).as_numpy("OUTPUT0"), array)
    assert client.get_model_config("fixed").config.max_batch_size == 0


def test_a_model_without_inputs_is_served(client):
    assert client.infer("no_inputs", []).as_numpy("OUTPUT0").tolist() == [1, 2, 3]


@pytest.mark.parametrize("model, number", [("digits", np.float32), ("digits_fp16", np.float16)])
def test_handwritten_digits_are_read(client, model, number):
    _, images, labels = models.digits()
    right = 0
    for i in range(0, len(images), 4):
        rows = client.infer(model, [feed("pixels", images[i : i + 4].astype(number))]).as_numpy("probabilities")
        right += int((rows.argmax(1) == labels[i : i + 4]).sum())
    assert right / len(labels) > 0.95


def test_a_random_forest_names_the_irises_as_scikit_learn_does(client):
    _, trained, flowers = models.forest()
    result = client.infer("forest", [feed("flower", flowers[::50])])
    assert [name.decode() for name in result.as_numpy("label").flatten()] == list(trained.predict(flowers[::50]))
    np.testing.assert_allclose(result.as_numpy("probabilities"), trained.predict_proba(flowers[::50]), atol=1e-5)


def test_strings_go_in_and_out_of_a_language_guesser(client):
    texts = np.array([["the old house"], ["wo ist das Haus"], ["où est le pain"]], object)
    result = client.infer("language", [feed("text", np.char.encode(texts.astype(str)).astype(object))])
    assert result.as_numpy("label").flatten().tolist() == [b"english", b"german", b"french"]


def test_health_is_told(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("simple")
    assert client.is_model_ready("simple", "1")
    assert not client.is_model_ready("simple", "9")
    assert not client.is_model_ready("nobody")


def test_the_standard_health_check_and_reflection_answer(zoo):
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    with grpc.insecure_channel(zoo.url) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
        assert "inference.GRPCInferenceService" in services
        file = ProtoReflectionDescriptorDatabase(channel).FindFileContainingSymbol("inference.GRPCInferenceService")
        assert len(file.service[0].method) == 20


def test_the_servers_metadata_is_told(client):
    metadata = client.get_server_metadata()
    assert metadata.name == "zoo"
    assert metadata.version
    assert {"classification", "model_configuration", "binary_tensor_data", "parameters", "statistics"} <= set(
        metadata.extensions
    )


def test_a_models_metadata_is_told_with_the_batch_dimension(client):
    metadata = client.get_model_metadata("simple")
    assert (metadata.name, list(metadata.versions)) == ("simple", ["1"])
    assert metadata.platform in ("onnxruntime_onnx", "onnxruntime")
    assert [(i.name, i.datatype, list(i.shape)) for i in metadata.inputs] == [
        ("INPUT0", "FP32", [-1, 16]),
        ("INPUT1", "FP32", [-1, 16]),
    ]
    assert [(o.name, o.datatype, list(o.shape)) for o in metadata.outputs] == [
        ("OUTPUT0", "FP32", [-1, 16]),
        ("OUTPUT1", "FP32", [-1, 16]),
    ]


def test_a_version_policy_decides_which_versions_are_served(client):
    assert sorted(client.get_model_metadata("versions").versions) == ["1", "3"]
    assert not client.is_model_ready("versions", "2")
    inputs = two_inputs()[2]
    assert client.infer("versions", inputs).get_response().model_version == "3"
    assert client.infer("versions", inputs, model_version="1").get_response().model_version == "1"


def test_a_configuration_is_completed_from_the_model(client):
    config = client.get_model_config("add_sub_fp32").config
    assert (config.name, config.backend, config.max_batch_size) == ("add_sub_fp32", "onnxruntime", 4)
    assert config.HasField("dynamic_batching")
    assert [(i.name, list(i.dims)) for i in config.input] == [("INPUT0", [16]), ("INPUT1", [16])]
    assert config.instance_group[0].count == 2
    assert config.version_policy.latest.num_versions == 1


def test_statistics_count_requests_and_executions(client):
    def counts():
        (model,) = client.get_inference_statistics("three").model_stats
        return model.inference_count, model.execution_count, model.inference_stats.success.count

    before = counts()
    array = np.ones((2, 16), np.float32)
    for _ in range(3):
        client.infer("three", [feed(f"INPUT{i}", array) for i in range(3)])
    after = counts()
    assert [b - a for a, b in zip(before, after)] == [6, 3, 3]
    names = {model.name for model in client.get_inference_statistics().model_stats}
    assert {"simple", "three", "forest"} <= names


def test_the_repository_index_lists_every_version(client):
    entries = {(entry.name, entry.version): entry.state for entry in client.get_model_repository_index().models}
    assert entries[("simple", "1")] == "READY"
    assert entries[("versions", "1")] == entries[("versions", "3")] == "READY"


def test_metrics_count_requests(zoo, client):
    client.infer("simple", two_inputs()[2])
    lines = zoo.metrics().splitlines()
    (line,) = [one for one in lines if one.startswith('nv_inference_request_success{model="simple",version="1"}')]
    assert float(line.split()[-1]) >= 1
    assert any(one.startswith("nv_inference_pending_request_count{") for one in lines)


def test_an_index_out_of_range_fails_only_the_guilty_request(client):
    answers = queue.Queue()
    for i in range(40):
        index = np.array([[99 if i % 5 == 0 else i % 10]], np.int64)
        client.async_infer(
            "gather", [feed("INDEX", index)], lambda result, error: answers.put((result, error)), request_id=str(i)
        )
    good = bad = 0
    for _ in range(40):
        result, error = answers.get(timeout=30)
        if error is not None:
            assert "INTERNAL" in str(error.status()) and "out of" in error.message()
            bad += 1
        else:
            row = int(result.get_response().id) % 10
            np.testing.assert_array_equal(result.as_numpy("OUTPUT0")[0, 0], np.arange(4 * row, 4 * row + 4))
            good += 1
    assert (good, bad) == (32, 8)


def test_error_texts_reach_the_caller_of_the_client(client):
    with pytest.raises(
        triton.InferenceServerException, match="Request for unknown model: 'nobody' is not found"
    ) as caught:
        client.infer("nobody", [])
    assert caught.value.status() == "StatusCode.NOT_FOUND"
