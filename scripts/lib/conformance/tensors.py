"""Tensors in the form in which both sides are compared: Triton's dtype name, shape and wire bytes."""

from typing import NamedTuple

import ml_dtypes
import numpy as np
from onnx import TensorProto, numpy_helper

# ONNX's element types that the inference protocol can carry.
WIRE_DTYPES = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}

# The same types as ONNX Runtime spells them.
RUNTIME_DTYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}

NUMPY_DTYPES = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
}


class Tensor(NamedTuple):
    """One tensor. `data` is what travels in raw contents, so equality is bit for bit, NaNs included."""

    name: str
    dtype: str
    shape: tuple
    data: bytes


def strings_to_wire(strings):
    """The BYTES layout: each element is a little-endian 4-byte length and that many bytes."""
    encoded = (s if isinstance(s, bytes) else str(s).encode() for s in strings)
    return b"".join(len(s).to_bytes(4, "little") + s for s in encoded)


def strings_from_wire(data):
    """The elements of a BYTES tensor."""
    strings, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        strings.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return strings


def from_proto(name, proto):
    """A Tensor of an ONNX TensorProto whose type the protocol carries."""
    dtype = WIRE_DTYPES[proto.data_type]
    shape = tuple(proto.dims)
    if dtype == "BYTES":
        return Tensor(name, dtype, shape, strings_to_wire(proto.string_data))
    if dtype == "BF16":
        # The helper widens this type in some releases; its bits are what counts here.
        data = proto.raw_data or np.array(proto.int32_data, np.uint16).tobytes()
        return Tensor(name, dtype, shape, data)
    return Tensor(name, dtype, shape, numpy_helper.to_array(proto).tobytes())


def from_array(name, dtype, array):
    """A Tensor of a numpy array."""
    data = strings_to_wire(array.reshape(-1)) if dtype == "BYTES" else np.ascontiguousarray(array).tobytes()
    return Tensor(name, dtype, tuple(array.shape), data)


def to_array(tensor):
    """The numpy array of a Tensor; strings as bytes."""
    if tensor.dtype != "BYTES":
        return np.frombuffer(tensor.data, NUMPY_DTYPES[tensor.dtype]).reshape(tensor.shape)
    array = np.empty(int(np.prod(tensor.shape)), object)
    array[:] = strings_from_wire(tensor.data)
    return array.reshape(tensor.shape)
