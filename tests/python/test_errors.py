"""The errors that clients match on, by code and text, through a real client."""

from typing import NamedTuple

import grpc
import models
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc
from wire import byte_elements, fault, request, simple

ROW = np.zeros((1, 16), np.float32).tobytes()
FP32_ROW = ("FP32", [1, 16])
TAG = "[request id: <id_unknown>] "


class Fault(NamedTuple):
    """One row: a request, and the code and text it is answered with. A text that ends in … goes on."""

    title: str
    request: service_pb2.ModelInferRequest
    code: str
    text: str


def invalid(title, message, text):
    return Fault(title, message, "INVALID_ARGUMENT", text)


def inputs(*shapes_and_types, model="simple", raw=(ROW, ROW), **more):
    """A request for INPUT0 and INPUT1 with these (dtype, shape) pairs."""
    tensors = [(f"INPUT{i}", dtype, shape) for i, (dtype, shape) in enumerate(shapes_and_types)]
    return request(model, *tensors, raw=raw, **more)


def typed(model="simple", **contents):
    """A request whose INPUT0 has typed contents, and raw ones too where INPUT1's are given."""
    message = request(model, ("INPUT0", *FP32_ROW), ("INPUT1", *FP32_ROW))
    for tensor in message.inputs:
        for field, values in contents.items():
            getattr(tensor.contents, field).extend(values)
    return message


def with_raw(message):
    message.raw_input_contents.extend([ROW, ROW])
    return message


def with_parameter(name, **value):
    message = simple()
    for field, content in value.items():
        setattr(message.parameters[name], field, content)
    return message


def classified(message, output, count):
    message.outputs.add(name=output).parameters["classification"].int64_param = count
    return message


def strings(*elements, data=None):
    return request(
        "strings", ("INPUT0", "BYTES", [1, 16]), raw=[data if data is not None else byte_elements(*elements)]
    )


FAULTS = [
    Fault("unknown model", simple("M"), "NOT_FOUND", "Request for unknown model: 'M' is not found"),
    Fault(
        "unknown version",
        simple(version="9"),
        "NOT_FOUND",
        "Request for unknown model: 'simple' version 9 is not found",
    ),
    invalid(
        "version that is not an integer",
        simple(version="x"),
        "failed to get model version from specified version string 'x' (details: stol), "
        "version should be an integral value > 0",
    ),
    invalid(
        "negative version",
        simple(version="-1"),
        "invalid model version specified '-1' , version should be an integral value > 0",
    ),
    invalid(
        "too few inputs",
        request("three", ("INPUT0", *FP32_ROW), raw=[ROW]),
        TAG + "expected 3 inputs but got 1 inputs for model 'three'. Got input(s) ['INPUT0'], "
        "but missing required input(s) ['INPUT1','INPUT2']. Please provide all required input(s).",
    ),
    invalid(
        "too few inputs of a request with an id",
        request("three", ("INPUT0", *FP32_ROW), raw=[ROW], request_id="r7"),
        "[request id: r7] expected 3 inputs but got 1 inputs for model 'three'. …",
    ),
    invalid(
        "too few inputs where some are optional",
        request("optional", ("INPUT1", "FP32", [1]), ("X", "FP32", [1]), ("Y", "FP32", [1]), raw=[bytes(4)] * 3),
        TAG + "expected number of inputs between 1 and 2 but got 3 inputs for model 'optional'. …",
    ),
    invalid(
        "an optional input in the place of a required one",
        request("optional", ("INPUT1", "FP32", [1]), raw=[bytes(4)]),
        TAG + "expected number of inputs between 1 and 2 but got 1 inputs for model 'optional'. Got input(s) ['INPUT1'], "
        "but missing required input(s) ['INPUT0']. Please provide all required input(s).",
    ),
    invalid(
        "unknown input",
        request("simple", ("INPUT0", *FP32_ROW), ("X", *FP32_ROW), raw=[ROW, ROW]),
        "unexpected inference input 'X' for model 'simple'",
    ),
    invalid("unknown output", simple(outputs=["X"]), "unexpected inference output 'X' for model 'simple'"),
    invalid(
        "input twice",
        request("simple", ("INPUT0", *FP32_ROW), ("INPUT0", *FP32_ROW), raw=[ROW, ROW]),
        TAG + "input 'INPUT0' already exists in request",
    ),
    invalid("output twice", simple(outputs=["OUTPUT0", "OUTPUT0"]), TAG + "output 'OUTPUT0' already exists in request"),
    invalid(
        "wrong dtype",
        inputs(("INT32", [1, 16]), FP32_ROW),
        TAG + "inference input 'INPUT0' data-type is 'INT32', but model 'simple' expects 'FP32'",
    ),
    invalid(
        "wrong shape",
        inputs(("FP32", [1, 15]), FP32_ROW, raw=[ROW[:60], ROW]),
        TAG + "unexpected shape for input 'INPUT0' for model 'simple'. Expected [-1,16], got [1,15]. NOTE: …",
    ),
    invalid(
        "wrong shape, without the batch dimension",
        inputs(("FP32", [8]), ("FP32", [8])),
        TAG + "unexpected shape for input 'INPUT0' for model 'simple'. Expected [-1,16], got [8]. NOTE: …",
    ),
    invalid(
        "wrong shape of a model without batching",
        inputs(("FP32", [15]), ("FP32", [16]), model="unbatched", raw=[ROW[:60], ROW]),
        TAG + "unexpected shape for input 'INPUT0' for model 'unbatched'. Expected [16], got [15]. …",
    ),
    invalid(
        "dimension -1",
        inputs(("FP32", [1, -1]), FP32_ROW),
        TAG + "All input dimensions should be specified for input 'INPUT0' for model 'simple', got [1,-1]",
    ),
    invalid(
        "no shape",
        inputs(("FP32", []), FP32_ROW),
        TAG + "input 'INPUT0' has no shape but model requires batch dimension for 'simple'",
    ),
    invalid(
        "batch mismatch",
        inputs(("FP32", [2, 16]), FP32_ROW, raw=[2 * ROW, ROW]),
        TAG + "input 'INPUT1' batch size does not match other inputs for 'simple'",
    ),
    invalid("batch too large", simple(rows=9), TAG + "inference request batch-size must be <= 8 for 'simple'"),
    invalid(
        "byte size",
        inputs(FP32_ROW, FP32_ROW, raw=[ROW[:60], ROW]),
        TAG + "input byte size mismatch for input 'INPUT0' for model 'simple'. Expected 64, got 60",
    ),
    invalid(
        "too few strings",
        strings(*[b"x"] * 14),
        TAG + "expected 16 string elements for inference input 'INPUT0' for model 'strings', got 14",
    ),
    invalid(
        "too many strings",
        strings(*[b"x"] * 17),
        TAG + "unexpected number of string elements 17 for inference input 'INPUT0' for model 'strings', expecting 16",
    ),
    invalid(
        "truncated string length",
        strings(data=byte_elements(*[b"x"] * 15) + b"\1\0"),
        TAG + "incomplete string length indicator for inference input 'INPUT0' for model 'strings', "
        "expecting 4 bytes but only 2 bytes available. …",
    ),
    invalid(
        "no data",
        inputs(FP32_ROW, FP32_ROW, raw=()),
        "unable to find data for input tensor 'INPUT0' for model 'simple' in request.",
    ),
    invalid(
        "no data for the second input",
        inputs(FP32_ROW, FP32_ROW, raw=[ROW]),
        "unable to find data for input tensor 'INPUT1' for model 'simple' in request.",
    ),
    invalid(
        "raw and typed contents",
        with_raw(typed(fp32_contents=[0.0] * 16)),
        "contents field must not be specified when using raw_input_contents for 'INPUT0' for model 'simple'",
    ),
    invalid(
        "typed contents of another type",
        typed(int_contents=[0] * 16),
        "unexpected explicit tensor data for input tensor 'INPUT0' for model 'simple' of type 'INT32', "
        "expected datatype 'FP32'",
    ),
    invalid(
        "parameter of the wrong type",
        with_parameter("priority", string_param="high"),
        "invalid value type for 'priority' parameter, expected int64_param or uint64_param.",
    ),
    invalid(
        "reserved parameter",
        with_parameter("triton_secret", bool_param=True),
        "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with "
        "'triton_' are allowed: triton_enable_empty_final_response",
    ),
    invalid(
        "classification of nothing",
        classified(simple(), "OUTPUT0", 0),
        "invalid value for 'classification' parameter, expected >= 0",
    ),
    invalid(
        "classification of strings",
        classified(strings(*[b"x"] * 16), "OUTPUT0", 2),
        "class result not available for output due to unsupported type 'BYTES'",
    ),
]


def assert_text(found, expected):
    """Exactly the text expected, or its beginning where that ends in …"""
    if expected.endswith("…"):
        assert found.startswith(expected.rstrip("…").rstrip()), found
    else:
        assert found == expected


@pytest.mark.parametrize("case", FAULTS, ids=[case.title.replace(" ", "-") for case in FAULTS])
def test_a_wrong_request_is_answered_with_the_code_and_text_that_clients_know(stub, case):
    code, text = fault(stub.ModelInfer, case.request)
    assert_text(text, case.text)
    assert code == case.code


def test_surplus_raw_contents_are_an_error(stub):
    message = simple()
    message.raw_input_contents.append(ROW)
    code, text = fault(stub.ModelInfer, message)
    assert code == "INVALID_ARGUMENT" and text


def test_an_unknown_model_has_no_statistics(stub):
    ask = service_pb2.ModelStatisticsRequest
    assert fault(stub.ModelStatistics, ask(name="M")) == ("INVALID_ARGUMENT", "requested model 'M' is not available")
    assert fault(stub.ModelStatistics, ask(name="simple", version="9")) == (
        "INVALID_ARGUMENT",
        "requested model version is not available for model 'simple'",
    )


@pytest.mark.parametrize("call", ["ModelMetadata", "ModelConfig"])
def test_an_unknown_model_has_neither_metadata_nor_configuration(stub, call):
    ask = getattr(service_pb2, f"{call}Request")
    code, text = fault(getattr(stub, call), ask(name="M"))
    assert (code, text) == ("NOT_FOUND", "Request for unknown model: 'M' is not found")


def test_the_index_of_one_repository_cannot_be_asked_for(stub):
    message = service_pb2.RepositoryIndexRequest(repository_name="somewhere")
    assert fault(stub.RepositoryIndex, message) == (
        "UNIMPLEMENTED",
        "'repository_name' specification is not supported",
    )


@pytest.mark.parametrize(
    "call",
    [
        "SystemSharedMemoryStatus",
        "SystemSharedMemoryRegister",
        "SystemSharedMemoryUnregister",
        "CudaSharedMemoryStatus",
        "CudaSharedMemoryRegister",
        "CudaSharedMemoryUnregister",
    ],
)
def test_a_call_that_is_not_served_yet_says_so(stub, call):
    code, text = fault(getattr(stub, call), getattr(service_pb2, f"{call}Request")())
    assert code == "UNIMPLEMENTED"
    assert len(text) > 10


def test_a_model_whose_versions_are_not_ready_says_which_way(serve, repository):
    repository.add("good", models.identity("FP32", ["b", 4]))
    repository.add("broken", b"not a model")
    repository.add("empty").joinpath("1").rmdir()
    repository.add(
        "decoupled",
        models.identity("FP32", ["b", 4]),
        "model_transaction_policy { decoupled: true }",
    )
    daemon = serve(repository, "--exit-on-error=false", "--strict-readiness=false")
    with grpc.insecure_channel(daemon.url) as channel:
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer

        def ask(model, version=""):
            return fault(infer, request(model, ("INPUT0", "FP32", [1, 4]), raw=[bytes(16)], version=version))

        assert ask("broken", "1") == (
            "UNAVAILABLE",
            "Request for unknown model: 'broken' version 1 is not at ready state",
        )
        assert ask("broken") == ("NOT_FOUND", "Request for unknown model: 'broken' has no available versions")
        assert ask("decoupled") == (
            "UNIMPLEMENTED",
            "ModelInfer RPC doesn't support models with decoupled transaction policy",
        )
