"""Models with sequences: accumulators, and a detector of speech with what it remembers as states."""

import zipfile

import models
import numpy as np
import onnx
import wheels
from onnx import helper, numpy_helper

CONTROLS = """
  control_input [ { name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] },
                  { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] } ] },
                  { name: "END" control [ { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] } ] },
                  { name: "CORRID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_%s } ] } ]
"""
SUM_STATE = 'state [ { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]'
ONE_THREAD = 'parameters { key: "intra_op_thread_count" value { string_value: "1" } }'


def accumulator(batching=True):
    """The sum of the INPUTs of a sequence, which is a state."""
    shape = ["b", 1] if batching else [1]
    nodes = [
        helper.make_node("Add", ["INPUT", "SUM_IN"], ["SUM_OUT"]),
        helper.make_node("Identity", ["SUM_OUT"], ["OUTPUT"]),
    ]
    inputs = [models.tensor("INPUT", "FP32", shape), models.tensor("SUM_IN", "FP32", shape)]
    return models.model(nodes, inputs, [models.tensor(name, "FP32", shape) for name in ("OUTPUT", "SUM_OUT")])


def echo_controls(id_type="UINT64"):
    """INPUT plus what was said by START, READY and END in the hundreds, tens and ones; and the id."""
    shape = ["b", 1]
    float_type = onnx.TensorProto.FLOAT
    hundred, ten = (numpy_helper.from_array(np.full(1, n, np.float32), f"c{n}") for n in (100, 10))
    nodes = [
        helper.make_node("Cast", ["READY"], ["ready"], to=float_type),
        helper.make_node("Cast", ["END"], ["end"], to=float_type),
        helper.make_node("Mul", ["START", "c100"], ["start100"]),
        helper.make_node("Mul", ["ready", "c10"], ["ready10"]),
        helper.make_node("Sum", ["start100", "ready10", "end"], ["SIGNALS"]),
        helper.make_node("Identity", ["CORRID"], ["ID"]),
        helper.make_node("Identity", ["INPUT"], ["OUTPUT"]),
    ]
    inputs = [("INPUT", "FP32"), ("START", "FP32"), ("READY", "INT32"), ("END", "BOOL"), ("CORRID", id_type)]
    outputs = [("OUTPUT", "FP32"), ("SIGNALS", "FP32"), ("ID", id_type)]
    made = [[models.tensor(name, dtype, shape) for name, dtype in tensors] for tensors in (inputs, outputs)]
    return models.model(nodes, *made, [hundred, ten])


def growing():
    """All INPUTs of a sequence behind one another, after a first row that is the initial state."""
    nodes = [
        helper.make_node("Concat", ["ALL_IN", "INPUT"], ["ALL_OUT"], axis=1),
        helper.make_node("Identity", ["ALL_OUT"], ["OUTPUT"]),
    ]
    inputs = [models.tensor("INPUT", "FP32", ["b", 1]), models.tensor("ALL_IN", "FP32", ["b", "n"])]
    outputs = [models.tensor(name, "FP32", ["b", "m"]) for name in ("OUTPUT", "ALL_OUT")]
    return models.model(nodes, inputs, outputs)


def batching(strategy, *more, size=8, idle=None):
    """A configuration with sequence_batching."""
    idle = f"max_sequence_idle_microseconds: {idle}" if idle else ""
    body = "\n".join(more)
    return f"""
        backend: "onnxruntime"
        max_batch_size: {size}
        sequence_batching {{ {strategy} {{ }} {idle} {body} }}
        instance_group [ {{ kind: KIND_CPU count: 1 }} ]
        {ONE_THREAD}
    """


def silero(name):
    """A file of the package's models."""
    with zipfile.ZipFile(wheels.fetch(wheels.SILERO)) as archive:
        return archive.read(f"silero_vad/data/{name}")


WARM_UP = """model_warmup [ {
  name: "first" batch_size: 1 inputs { key: "INPUT" value { data_type: TYPE_FP32 dims: [ 1 ] zero_data: true } } } ]"""

GROWING_STATE = """state [ {
  input_name: "ALL_IN" output_name: "ALL_OUT" data_type: TYPE_FP32 dims: [ -1 ]
  initial_state: { name: "first" data_type: TYPE_FP32 dims: [ 1 ] data_file: "first" }
  use_same_buffer_for_input_output: true use_growable_memory: true } ]"""

CHUNK, CONTEXT = 512, 64


def silero_in_batches(is_told=False):
    """The detector with its memory's batch dimension in front, which remembers the end of the last chunk too: `chunk`
    [b,512] to `output` [b,1]. If it is told where a sequence begins (START), it forgets what it is given then."""
    proto = onnx.load_from_string(silero("silero_vad_op18_ifless.onnx"))
    graph = proto.graph
    rate = numpy_helper.from_array(np.array(16000, np.int64), "sr")
    bounds = [
        numpy_helper.from_array(np.array([n], np.int64), name)
        for name, n in (("first", -CONTEXT), ("last", 2**31 - 1), ("axis", 1))
    ]
    context, state = ("context", "memory") if is_told else ("CONTEXT_IN", "STATE_IN")
    before = [
        helper.make_node("Concat", [context, "chunk"], ["input"], axis=1),
        helper.make_node("Transpose", [state], ["state"], perm=[1, 0, 2]),
    ]
    if is_told:
        bounds += [
            numpy_helper.from_array(np.array([1], np.float32), "one"),
            numpy_helper.from_array(np.array([2], np.int64), "behind"),
        ]
        before = [
            helper.make_node("Sub", ["one", "START"], ["kept"]),
            helper.make_node("Unsqueeze", ["kept", "behind"], ["kept_memory"]),
            helper.make_node("Mul", ["CONTEXT_IN", "kept"], ["context"]),
            helper.make_node("Mul", ["STATE_IN", "kept_memory"], ["memory"]),
            *before,
        ]
    after = [
        helper.make_node("Transpose", ["stateN"], ["STATE_OUT"], perm=[1, 0, 2]),
        helper.make_node("Slice", ["input", "first", "last", "axis"], ["CONTEXT_OUT"]),
    ]
    nodes = [*before, *graph.node, *after]
    outputs = [output for output in graph.output if output.name == "output"]
    for field in (graph.node, graph.input, graph.output):
        del field[:]
    graph.node.extend(nodes)
    graph.initializer.extend([rate, *bounds])
    graph.input.extend(
        [
            models.tensor("chunk", "FP32", ["b", CHUNK]),
            models.tensor("STATE_IN", "FP32", ["b", 2, 128]),
            models.tensor("CONTEXT_IN", "FP32", ["b", CONTEXT]),
        ]
    )
    if is_told:
        graph.input.append(models.tensor("START", "FP32", ["b", 1]))
    graph.output.extend(
        [
            *outputs,
            models.tensor("STATE_OUT", "FP32", ["b", 2, 128]),
            models.tensor("CONTEXT_OUT", "FP32", ["b", CONTEXT]),
        ]
    )
    onnx.checker.check_model(proto)
    return proto


START = 'control_input [ { name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] } ]'

SILERO_STATES = """state [
  { input_name: "STATE_IN" output_name: "STATE_OUT" data_type: TYPE_FP32 dims: [ 2, 128 ] },
  { input_name: "CONTEXT_IN" output_name: "CONTEXT_OUT" data_type: TYPE_FP32 dims: [ 64 ] } ]"""

SILERO_TENSORS = """
  input [ { name: "input" data_type: TYPE_FP32 dims: [ 1, 576 ] }, { name: "sr" data_type: TYPE_INT64 dims: [ 1 ] } ]
  output [ { name: "output" data_type: TYPE_FP32 dims: [ -1, 1 ] } ]
"""
