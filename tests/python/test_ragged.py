"""Ragged batches through a real client: requests of different shapes that share one execution, and a model that is told
of them in every way there is.

The daemon executes nothing before so many requests wait, so that it is known which of them make the batch.
"""

import models
import numpy as np
import plugins
import pytest
from models import tensor
from onnx import TensorProto, helper, numpy_helper
from server import LIMIT, Server, tensors
from tritonclient.utils import InferenceServerException

# The shapes of some requests, of one row each.
SHAPES = [(1, 2, 3), (1, 1, 4), (1, 5, 1), (1, 3, 3)]


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs.split(), [output], **attributes)


def number(name, value):
    return numpy_helper.from_array(np.array(value, np.int64), name)


def told():
    """What the model is told by each kind of batch input, a row for each request; the sum of its elements of X, which it
    finds by where they end; and twice X, as flat as it comes."""
    constants = [number("none", [0]), number("first", [1]), number("last", [-1]), number("axis", 0)]
    constants += [number("all", [2**31]), number("column", [1]), number("pairs", [-1, 2]), number("zero", [0])]
    nodes = [
        # Up to where each request ends, X adds up to the running sum there, less that where the one before it ends.
        node("CumSum", "X axis", "running"),
        node("CastLike", "zero X", "nothing"),
        node("Concat", "nothing running", "sums_before", axis=0),
        node("Cast", "ENDS", "ends", to=TensorProto.INT64),
        node("Slice", "ends none last none", "but_last"),
        node("Concat", "none but_last", "starts", axis=0),
        node("Gather", "sums_before ends", "upper", axis=0),
        node("Gather", "sums_before starts", "lower", axis=0),
        node("Sub", "upper lower", "sums"),
        node("Unsqueeze", "sums column", "SUM"),
        node("Unsqueeze", "COUNTS column", "COUNT"),
        node("Slice", "BOUNDS none last none", "from"),
        node("Slice", "BOUNDS first all none", "to"),
        node("Unsqueeze", "from column", "from_column"),
        node("Unsqueeze", "to column", "to_column"),
        node("Concat", "from_column to_column", "BOUND", axis=1),
        node("Shape", "LONGEST", "longest"),
        node("Shape", "COUNTS", "requests"),
        node("Expand", "longest requests", "repeated"),
        node("Unsqueeze", "repeated column", "MOST"),
        node("Identity", "ITEMS", "ITEM"),
        node("Reshape", "FLAT pairs", "FLAT_ITEM"),
        node("Add", "X X", "TWICE"),
    ]
    batch_inputs = [("COUNTS", "INT32", ["r"]), ("ENDS", "INT32", ["r"]), ("BOUNDS", "FP32", ["r1"])]
    batch_inputs += [("LONGEST", "FP32", ["m"]), ("ITEMS", "INT32", ["b", 2]), ("FLAT", "FP32", ["f"])]
    outputs = [("SUM", "FP32", 1), ("COUNT", "INT32", 1), ("BOUND", "FP32", 2), ("MOST", "INT64", 1)]
    outputs += [("ITEM", "INT32", 2), ("FLAT_ITEM", "FP32", 2)]
    return models.model(
        nodes,
        [tensor("X", "FP32", ["n"]), *(tensor(*one) for one in batch_inputs)],
        [*(tensor(name, dtype, ["b", width]) for name, dtype, width in outputs), tensor("TWICE", "FP32", ["n"])],
        constants,
    )


BATCH_INPUT = 'batch_input {{ kind: BATCH_{} target_name: "{}" data_type: TYPE_{} source_input: "X" }}\n'
CUT = 'batch_output { target_name: "TWICE" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "X" }\n'
RAGGED = "allow_ragged_batch: true"
DYNAMIC = "dynamic_batching { }\ninstance_group [ { count: 1 kind: KIND_CPU } ]\n"


def told_config(name="told"):
    """The configuration of a model of `told`, whose clients send X in two dimensions besides the batch."""
    kinds = [("ELEMENT_COUNT", "COUNTS", "INT32"), ("ACCUMULATED_ELEMENT_COUNT", "ENDS", "INT32")]
    kinds += [("ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", "BOUNDS", "FP32")]
    kinds += [("MAX_ELEMENT_COUNT_AS_SHAPE", "LONGEST", "FP32"), ("ITEM_SHAPE", "ITEMS", "INT32")]
    kinds += [("ITEM_SHAPE_FLATTEN", "FLAT", "FP32")]
    outputs = [("SUM", "FP32", [1]), ("COUNT", "INT32", [1]), ("BOUND", "FP32", [2]), ("MOST", "INT64", [1])]
    outputs += [("ITEM", "INT32", [2]), ("FLAT_ITEM", "FP32", [2]), ("TWICE", "FP32", [-1, -1])]
    warm_up = 'model_warmup { inputs { key: "X" value { data_type: TYPE_FP32 dims: [ 2, 3 ] zero_data: true } } }\n'
    extra = "".join(BATCH_INPUT.format(*kind) for kind in kinds) + CUT + DYNAMIC + warm_up
    return models.config(name, [("X", "FP32", [-1, -1], RAGGED)], outputs, 8, extra)


class Batching(Server):
    """A daemon that executes nothing before so many requests wait."""

    def together(self, model, requests):
        """The outputs of requests that wait together, in this order; an error in the place of a request that fails."""
        answers = {}
        for place, arrays in enumerate(requests):
            self.client.async_infer(model, tensors(arrays), self.keeper(answers, place), client_timeout=LIMIT)
            if place + 1 < len(requests):
                self.until(lambda: self.pending(model) == place + 1, "a request waits")
        self.until(lambda: len(answers) == len(requests), "all are answered")
        return [answers[place] for place in range(len(requests))]

    def keeper(self, answers, place):
        """What keeps an answer in its place."""
        return lambda result, error: answers.update({place: error or result})

    def pending(self, model):
        """How many requests wait."""
        return self.daemon.metric("nv_inference_pending_request_count", model=model)

    def batches(self, model):
        """How many executions there were of each batch size."""
        (stats,) = self.client.get_inference_statistics(model).model_stats
        return {batch.batch_size: batch.compute_infer.count for batch in stats.batch_stats}


@pytest.fixture
def batching(repository, serve):
    """batching(requests, flags...): a daemon that waits for so many requests."""
    started = []

    def start(requests, *flags):
        daemon = serve(repository, *flags, environment={"TRITONSERVER_DELAY_SCHEDULER": str(requests)})
        started.append(Batching(daemon))
        return started[-1]

    yield start
    for one in started:
        one.close()


def of_shapes(shapes):
    """Requests of these shapes, no element like another."""
    return [{"X": (np.arange(np.prod(shape)) + 100 * i).astype(np.float32).reshape(shape)} for i, shape in enumerate(shapes)]


def test_requests_of_different_shapes_share_a_batch_and_their_model_is_told_of_them(repository, batching):
    repository.add("told", told(), told_config())
    world = batching(len(SHAPES))
    metadata = world.client.get_model_metadata("told")
    assert [(one.name, list(one.shape)) for one in metadata.inputs] == [("X", [-1, -1, -1])]
    requests = of_shapes(SHAPES)
    answers = world.together("told", requests)
    assert world.batches("told") == {len(SHAPES): 1}
    ends = np.cumsum([np.prod(shape) for shape in SHAPES])
    for answer, sent, shape, end in zip(answers, requests, SHAPES, ends):
        x, count = sent["X"], np.prod(shape)
        expected = {"SUM": [x.sum()], "COUNT": [count], "BOUND": [end - count, end], "MOST": [9]}
        expected |= {"ITEM": shape[1:], "FLAT_ITEM": shape[1:]}
        for name, row in expected.items():
            assert answer.as_numpy(name).tolist() == [list(row)], name
        np.testing.assert_array_equal(answer.as_numpy("TWICE"), 2 * x)
        # Alone it gets the same, but for what tells of the others.
        alone = world.infer("told", **sent)
        for name in ("SUM", "COUNT", "ITEM", "FLAT_ITEM", "TWICE"):
            np.testing.assert_array_equal(answer.as_numpy(name), alone[name])
        assert (alone["BOUND"].tolist(), alone["MOST"].tolist()) == ([[0, count]], [[count]])


def test_requests_of_several_rows_are_told_row_by_row_and_get_their_own_elements(repository, batching):
    nodes = [node("Identity", "ITEMS", "ITEM"), node("Add", "X X", "TWICE")]
    inputs = [tensor("X", "FP32", ["n"]), tensor("ITEMS", "INT32", ["b", 2])]
    outputs = [tensor("ITEM", "INT32", ["b", 2]), tensor("TWICE", "FP32", ["n"])]
    extra = BATCH_INPUT.format("ITEM_SHAPE", "ITEMS", "INT32") + CUT + DYNAMIC
    written = [("ITEM", "INT32", [2]), ("TWICE", "FP32", [-1, -1])]
    config = models.config("rows", [("X", "FP32", [-1, -1], RAGGED)], written, 8, extra)
    repository.add("rows", models.model(nodes, inputs, outputs), config)
    world = batching(2)
    # Those of the protocol's own example.
    requests = of_shapes([(2, 3, 1), (1, 2, 2)])
    answers = world.together("rows", requests)
    assert world.batches("rows") == {3: 1}
    assert [answer.as_numpy("ITEM").tolist() for answer in answers] == [[[3, 1], [3, 1]], [[2, 2]]]
    for answer, sent in zip(answers, requests):
        np.testing.assert_array_equal(answer.as_numpy("TWICE"), 2 * sent["X"])


def test_only_the_guilty_request_of_a_ragged_batch_fails(repository, batching):
    proto = told()
    rows = numpy_helper.from_array(np.arange(10, dtype=np.float32).reshape(10, 1), "ROWS")
    proto.graph.initializer.append(rows)
    proto.graph.input.append(tensor("INDEX", "INT64", ["b"]))
    proto.graph.output.append(tensor("ROW", "FP32", ["b", 1]))
    proto.graph.node.append(node("Gather", "ROWS INDEX", "ROW", axis=0))
    config = told_config("guilty")
    config += 'input { name: "INDEX" data_type: TYPE_INT64 dims: 1 reshape { shape: [ ] } }\n'
    config += 'output { name: "ROW" data_type: TYPE_FP32 dims: 1 }\n'
    repository.add("guilty", proto, config.replace("model_warmup", "#"))
    world = batching(3)
    requests = of_shapes(SHAPES[:3])
    for sent, index in zip(requests, (4, 10, 6)):
        sent["INDEX"] = np.array([[index]], np.int64)
    first, guilty, last = world.together("guilty", requests)
    assert isinstance(guilty, InferenceServerException)
    for answer, sent in ((first, requests[0]), (last, requests[2])):
        assert answer.as_numpy("SUM").tolist() == [[sent["X"].sum()]]
        assert answer.as_numpy("BOUND").tolist() == [[0, sent["X"].size]], "it was run again alone"
        assert answer.as_numpy("ROW").tolist() == sent["INDEX"].tolist()


def test_strings_are_ragged_as_well(repository, batching):
    extra = 'batch_output { target_name: "OUTPUT0" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "INPUT0" }\n'
    inputs, outputs = [("INPUT0", "BYTES", [-1], RAGGED)], [("OUTPUT0", "BYTES", [-1])]
    config = models.config("words", inputs, outputs, 4, extra + DYNAMIC)
    repository.add("words", models.identity("BYTES", ["n"]), config)
    world = batching(3)
    requests = [{"INPUT0": np.array([row], object)} for row in ([b"a", b"bcd"], [b""], [b"efghi", b"j", b"k"])]
    answers = world.together("words", requests)
    assert world.batches("words") == {3: 1}
    for answer, sent in zip(answers, requests):
        np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), sent["INPUT0"])


def test_a_plugin_is_given_ragged_requests_together_each_in_its_own_shape(repository, batching, tmp_path):
    plugins.stage(tmp_path / "backends", "identity")
    inputs, outputs = [("INPUT0", "FP32", [-1], RAGGED)], [("OUTPUT0", "FP32", [-1])]
    # What the plugin would make of it is its own business.
    extra = 'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "N" data_type: TYPE_INT32 source_input: "INPUT0" }\n'
    repository.add("own", config=plugins.config("identity", "own", inputs, outputs, 8, DYNAMIC + extra))
    world = batching(3, f"--backend-directory={tmp_path / 'backends'}")
    requests = [{"INPUT0": np.arange(width, dtype=np.float32).reshape(1, width)} for width in (3, 1, 5)]
    answers = world.together("own", requests)
    assert world.batches("own") == {3: 1}
    for answer, sent in zip(answers, requests):
        np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), sent["INPUT0"])


def test_a_contradiction_between_batch_input_and_model_is_told_in_the_index(repository, serve):
    repository.add("told", told(), told_config().replace('"ENDS" data_type: TYPE_INT32', '"ENDS" data_type: TYPE_FP32'))
    world = Server(serve(repository, "--exit-on-error=false", "--strict-readiness=false"))
    ((_, _, reason),) = world.rows("told")
    world.close()
    assert "batch_input gives input 'ENDS' the data_type TYPE_FP32, but the model's is TYPE_INT32" in reason
