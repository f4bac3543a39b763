"""What ONNX Runtime does with each case when it is called directly."""

import ctypes
import os
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple, Optional

import numpy as np
import onnx
import onnxruntime as ort

from .tensors import NUMPY_DTYPES, RUNTIME_DTYPES, Tensor, from_array, to_array

# Cases per worker process: few enough that the workers finish together.
CHUNK = 100


class Outcome(NamedTuple):
    """The outcome of one case. Exactly one of `refused`, `failed` and `outputs` is set."""

    name: str
    inputs: list
    # Why the case cannot be served: it does not load, or a type cannot be carried.
    refused: Optional[str] = None
    # Whether it was ONNX Runtime that refused to load it.
    unloadable: bool = False
    # ONNX Runtime's own message where `Run` failed.
    failed: Optional[str] = None
    outputs: Optional[list] = None


def open_session(model):
    """A session with what Nerite uses by default, but one intra-op thread; each choice is spelled out."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def run_case(case):
    """Runs one case."""
    try:
        session = open_session(case.model)
    except Exception as error:
        return Outcome(case.name, [], refused=message(error), unloadable=True)
    for kind, arguments in (("input", session.get_inputs()), ("output", session.get_outputs())):
        for argument in arguments:
            if argument.type not in RUNTIME_DTYPES:
                return Outcome(case.name, [], refused=f"{kind} '{argument.name}' is of type {argument.type}")
    inputs = case.inputs([(argument.name, RUNTIME_DTYPES[argument.type]) for argument in session.get_inputs()])
    try:
        return Outcome(case.name, inputs, outputs=run_session(session, inputs))
    except Exception as error:
        return Outcome(case.name, inputs, failed=message(error))


def run_session(session, inputs):
    """The outputs of one run, as wire tensors."""
    dtypes = {output.name: RUNTIME_DTYPES[output.type] for output in session.get_outputs()}
    if "BYTES" in dtypes.values() or any(tensor.dtype == "BYTES" for tensor in inputs):
        # Strings travel through numpy, everything else as ONNX Runtime's own values: numpy lacks BF16.
        arrays = session.run(list(dtypes), {tensor.name: feed_array(tensor) for tensor in inputs})
        return [from_array(name, dtype, array) for (name, dtype), array in zip(dtypes.items(), arrays)]
    values = session.run_with_ort_values(list(dtypes), {tensor.name: feed_value(tensor) for tensor in inputs})
    return [value_to_tensor(name, dtype, value) for (name, dtype), value in zip(dtypes.items(), values)]


def feed_array(tensor):
    array = to_array(tensor)
    if tensor.dtype == "BYTES":
        array = np.vectorize(lambda s: s.decode(), otypes=[object])(array) if array.size else array
    return array


def feed_value(tensor):
    if tensor.dtype == "BF16":
        bits = np.frombuffer(tensor.data, np.uint16).reshape(tensor.shape)
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, onnx.TensorProto.BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(np.array(to_array(tensor)))


def value_to_tensor(name, dtype, value):
    shape = tuple(value.shape())
    size = int(np.prod(shape)) * np.dtype(NUMPY_DTYPES[dtype]).itemsize
    return Tensor(name, dtype, shape, ctypes.string_at(value.data_ptr(), size) if size else b"")


def message(error):
    """ONNX Runtime's message without the prefix that its Python package adds."""
    text = str(error)
    if text.startswith("[ONNXRuntimeError] : "):
        text = text.split(" : ", 3)[-1]
    return text


def run_chunk(cases):
    return [run_case(case) for case in cases]


def run_all(cases):
    """The outcome of every case, by name. Worker processes, so that cases run in parallel."""
    chunks = [cases[i : i + CHUNK] for i in range(0, len(cases), CHUNK)]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        outcomes = {outcome.name: outcome for chunk in pool.map(run_chunk, chunks) for outcome in chunk}
    print(f"  {len(outcomes)} cases run directly")
    return outcomes
