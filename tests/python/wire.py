"""Requests as they are on the wire, built field by field, so that they can be wrong."""

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2


def request(model, *tensors, raw=(), outputs=(), version="", request_id=""):
    """A ModelInferRequest; tensors are (name, dtype, shape), raw their contents."""
    message = service_pb2.ModelInferRequest(model_name=model, model_version=version, id=request_id)
    for name, dtype, shape in tensors:
        message.inputs.add(name=name, datatype=dtype, shape=shape)
    for name in outputs:
        message.outputs.add(name=name)
    message.raw_input_contents.extend(raw)
    return message


def simple(model="simple", rows=1, **more):
    """A valid request for a model of two FP32 inputs of 16 columns; its inputs are 0..15 and ones."""
    first = np.tile(np.arange(16, dtype=np.float32), (rows, 1))
    tensors = [("INPUT0", "FP32", [rows, 16]), ("INPUT1", "FP32", [rows, 16])]
    return request(model, *tensors, raw=[first.tobytes(), np.ones((rows, 16), np.float32).tobytes()], **more)


def byte_elements(*elements):
    """Elements of a BYTES tensor in their layout."""
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def fault(call, *arguments, **keywords):
    """The code and text of the error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **keywords)
    return caught.value.code().name, caught.value.details()
