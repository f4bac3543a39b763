"""The models that the tests serve: made here, from nothing but packages."""

import functools
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

# Triton's name of each dtype, its name in configurations, and ONNX's.
DTYPES = {
    "BOOL": ("TYPE_BOOL", TensorProto.BOOL),
    "UINT8": ("TYPE_UINT8", TensorProto.UINT8),
    "UINT16": ("TYPE_UINT16", TensorProto.UINT16),
    "UINT32": ("TYPE_UINT32", TensorProto.UINT32),
    "UINT64": ("TYPE_UINT64", TensorProto.UINT64),
    "INT8": ("TYPE_INT8", TensorProto.INT8),
    "INT16": ("TYPE_INT16", TensorProto.INT16),
    "INT32": ("TYPE_INT32", TensorProto.INT32),
    "INT64": ("TYPE_INT64", TensorProto.INT64),
    "FP16": ("TYPE_FP16", TensorProto.FLOAT16),
    "BF16": ("TYPE_BF16", TensorProto.BFLOAT16),
    "FP32": ("TYPE_FP32", TensorProto.FLOAT),
    "FP64": ("TYPE_FP64", TensorProto.DOUBLE),
    "BYTES": ("TYPE_STRING", TensorProto.STRING),
}
ARITHMETIC = [dtype for dtype in DTYPES if dtype not in ("BOOL", "BYTES")]


class Repository:
    """A model repository in a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, name, model=None, config=None, version=1, **files):
        """Adds a model version; `files` are further files of its folder, `_` standing for the dot."""
        folder = self.folder / name
        (folder / str(version)).mkdir(parents=True, exist_ok=True)
        if model is not None:
            data = model if isinstance(model, bytes) else model.SerializeToString()
            (folder / str(version) / "model.onnx").write_bytes(data)
        if config is not None:
            (folder / "config.pbtxt").write_text(config)
        for file, text in files.items():
            (folder / file.replace("_", ".")).write_text(text)
        return folder


def tensor(name, dtype, shape):
    """A graph's input or output."""
    return helper.make_tensor_value_info(name, DTYPES[dtype][1], shape)


def model(nodes, inputs, outputs, initializers=()):
    """A checked model of some nodes."""
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    proto.ir_version = 9
    checker.check_model(proto)
    return proto


def identity(dtype, shape, names=("INPUT0", "OUTPUT0")):
    """Gives back what it is given."""
    node = helper.make_node("Identity", [names[0]], [names[1]])
    return model([node], [tensor(names[0], dtype, shape)], [tensor(names[1], dtype, shape)])


def add_constant(value, size=1):
    """INPUT0 + value, of one FP32 element. It carries `size` constants, whose mean that is."""
    constants = numpy_helper.from_array(np.full(size, value, np.float32), "constants")
    nodes = [
        helper.make_node("ReduceMean", ["constants"], ["mean"], keepdims=0),
        helper.make_node("Add", ["INPUT0", "mean"], ["OUTPUT0"]),
    ]
    return model(nodes, [tensor("INPUT0", "FP32", [1])], [tensor("OUTPUT0", "FP32", [1])], [constants])


def add_sub(dtype, shape):
    """INPUT0 + INPUT1 and INPUT0 - INPUT1, in the dtype given, whatever ONNX Runtime computes them in."""
    wide = {"FP64": TensorProto.DOUBLE, "FP16": TensorProto.FLOAT, "BF16": TensorProto.FLOAT, "FP32": TensorProto.FLOAT}
    to = wide.get(dtype, TensorProto.INT64)
    narrow = DTYPES[dtype][1]
    nodes = [
        helper.make_node("Cast", ["INPUT0"], ["a"], to=to),
        helper.make_node("Cast", ["INPUT1"], ["b"], to=to),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Sub", ["a", "b"], ["difference"]),
        helper.make_node("Cast", ["sum"], ["OUTPUT0"], to=narrow),
        helper.make_node("Cast", ["difference"], ["OUTPUT1"], to=narrow),
    ]
    inputs = [tensor(name, dtype, shape) for name in ("INPUT0", "INPUT1")]
    outputs = [tensor(name, dtype, shape) for name in ("OUTPUT0", "OUTPUT1")]
    return model(nodes, inputs, outputs)


def three_inputs(shape):
    """The sum of INPUT0, INPUT1 and INPUT2."""
    names = ["INPUT0", "INPUT1", "INPUT2"]
    node = helper.make_node("Sum", names, ["OUTPUT0"])
    return model([node], [tensor(name, "FP32", shape) for name in names], [tensor("OUTPUT0", "FP32", shape)])


def optional_input():
    """INPUT0 + INPUT1, where INPUT1 is ten if it is left out."""
    node = helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"])
    ten = numpy_helper.from_array(np.full(1, 10, np.float32), "INPUT1")
    inputs = [tensor("INPUT0", "FP32", ["n"]), tensor("INPUT1", "FP32", [1])]
    return model([node], inputs, [tensor("OUTPUT0", "FP32", ["n"])], [ten])


def compress():
    """Those elements of INPUT0 whose place in CONDITION is true."""
    node = helper.make_node("Compress", ["INPUT0", "CONDITION"], ["OUTPUT0"], axis=0)
    inputs = [tensor("INPUT0", "FP32", ["n"]), tensor("CONDITION", "BOOL", ["n"])]
    return model([node], inputs, [tensor("OUTPUT0", "FP32", ["m"])])


def no_inputs():
    """Always the same three numbers."""
    value = numpy_helper.from_array(np.array([1, 2, 3], np.float32), "value")
    node = helper.make_node("Constant", [], ["OUTPUT0"], value=value)
    return model([node], [], [tensor("OUTPUT0", "FP32", [3])])


def gather():
    """ROWS[INDEX]: only the engine can see that an index is out of range. One index a row."""
    rows = numpy_helper.from_array(np.arange(40, dtype=np.float32).reshape(10, 4), "ROWS")
    node = helper.make_node("Gather", ["ROWS", "INDEX"], ["OUTPUT0"], axis=0)
    return model([node], [tensor("INDEX", "INT64", ["b", 1])], [tensor("OUTPUT0", "FP32", ["b", 1, 4])], [rows])


def slow(steps):
    """INPUT0 [b,256] multiplied `steps` times by the identity matrix: an identity that takes its time."""
    matrix = numpy_helper.from_array(np.eye(256, dtype=np.float32), "matrix")
    limit = numpy_helper.from_array(np.int64(steps), "steps")
    go = numpy_helper.from_array(np.bool_(True), "go")
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "matrix"], ["y"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "body",
        [tensor("i", "INT64", []), tensor("go_in", "BOOL", []), tensor("x", "FP32", ["b", 256])],
        [tensor("go_out", "BOOL", []), tensor("y", "FP32", ["b", 256])],
    )
    node = helper.make_node("Loop", ["steps", "go", "INPUT0"], ["OUTPUT0"], body=body)
    shape = ["b", 256]
    return model([node], [tensor("INPUT0", "FP32", shape)], [tensor("OUTPUT0", "FP32", shape)], [matrix, limit, go])


def spin():
    """STEPS [b,1] INT64 given back after as many steps, of some microseconds each, as the largest of them says."""
    matrix = numpy_helper.from_array(np.eye(256, dtype=np.float32), "matrix")
    row = numpy_helper.from_array(np.ones((1, 256), np.float32), "row")
    go = numpy_helper.from_array(np.bool_(True), "go")
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "matrix"], ["y"]), helper.make_node("Identity", ["go_in"], ["go_out"])],
        "body",
        [tensor("i", "INT64", []), tensor("go_in", "BOOL", []), tensor("x", "FP32", [1, 256])],
        [tensor("go_out", "BOOL", []), tensor("y", "FP32", [1, 256])],
    )
    nodes = [
        helper.make_node("ReduceMax", ["STEPS"], ["most"], keepdims=0),
        helper.make_node("Loop", ["most", "go", "row"], ["spun"], body=body),
        # One, made of what was spun, so that nothing can be left out.
        helper.make_node("ReduceMax", ["spun"], ["one"], keepdims=0),
        helper.make_node("Cast", ["one"], ["factor"], to=TensorProto.INT64),
        helper.make_node("Mul", ["STEPS", "factor"], ["OUTPUT0"]),
    ]
    inputs, outputs = [tensor("STEPS", "INT64", ["b", 1])], [tensor("OUTPUT0", "INT64", ["b", 1])]
    return model(nodes, inputs, outputs, [matrix, row, go])


def unknown_operator():
    """A model that names an operator which nobody has."""
    node = helper.make_node("NoSuchOperator", ["INPUT0"], ["OUTPUT0"], domain="nowhere")
    graph = helper.make_graph([node], "test", [tensor("INPUT0", "FP32", [1])], [tensor("OUTPUT0", "FP32", [1])])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("nowhere", 1)]
    proto = helper.make_model(graph, opset_imports=opsets)
    proto.ir_version = 9
    return proto


def config(name, inputs, outputs, batch=0, extra=""):
    """A config.pbtxt; inputs and outputs are (name, dtype, dims) or (name, dtype, dims, further fields)."""

    def entry(kind, name, dtype, dims, more=""):
        return f'{kind} [ {{ name: "{name}" data_type: {DTYPES[dtype][0]} dims: {list(dims)} {more} }} ]\n'

    text = f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: {batch}\n'
    text += "".join(entry("input", *one) for one in inputs)
    text += "".join(entry("output", *one) for one in outputs)
    return text + extra + "\n"


@functools.cache
def digits():
    """An MLP trained on scikit-learn's digits: its layers, and the images and labels that it was not shown."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    train, test, train_labels, test_labels = train_test_split(images, labels, test_size=0.25, random_state=0)
    mlp = MLPClassifier((256, 256), random_state=0, max_iter=30, early_stopping=False)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp.fit(train, train_labels)
    return list(zip(mlp.coefs_, mlp.intercepts_)), test, test_labels


def mlp(dtype):
    """The digits MLP, 64-256-256-10 with a softmax, in FP32 or FP16: `pixels` [b,64] to `probabilities` [b,10]."""
    layers, _, _ = digits()
    number = {"FP32": np.float32, "FP16": np.float16}[dtype]
    nodes, constants, x = [], [], "pixels"
    for i, (weights, bias) in enumerate(layers):
        constants += [
            numpy_helper.from_array(weights.astype(number), f"weights{i}"),
            numpy_helper.from_array(bias.astype(number), f"bias{i}"),
        ]
        nodes.append(helper.make_node("Gemm", [x, f"weights{i}", f"bias{i}"], [f"sum{i}"]))
        x = f"sum{i}"
        if i + 1 < len(layers):
            nodes.append(helper.make_node("Relu", [x], [f"hidden{i}"]))
            x = f"hidden{i}"
    nodes.append(helper.make_node("Softmax", [x], ["probabilities"], axis=1))
    return model(nodes, [tensor("pixels", dtype, ["b", 64])], [tensor("probabilities", dtype, ["b", 10])], constants)


@functools.cache
def forest():
    """A random forest on the irises with string labels: the ONNX model, the trained original, and its data."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier

    data = load_iris()
    flowers, names = data.data.astype(np.float32), data.target_names[data.target]
    trained = RandomForestClassifier(20, max_depth=4, random_state=0).fit(flowers, names)
    proto = to_onnx(
        trained,
        initial_types=[("flower", FloatTensorType([None, 4]))],
        options={id(trained): {"zipmap": False}},
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    return proto, trained, flowers


SENTENCES = {
    "english": [
        "the weather is nice today",
        "where is the station",
        "this house is very old",
        "I would like the bread",
    ],
    "german": ["das Wetter ist heute schön", "wo ist der Bahnhof", "dieses Haus ist sehr alt", "ich möchte das Brot"],
    "french": [
        "il fait beau temps aujourd'hui",
        "où est la gare",
        "cette maison est très vieille",
        "je voudrais le pain",
    ],
}


def language_guesser(locale):
    """TF-IDF and a logistic regression over words, `text` BYTES [b,1] to `output_label` BYTES [b]."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = [text for group in SENTENCES.values() for text in group]
    labels = [language for language, group in SENTENCES.items() for _ in group]
    vectoriser = TfidfVectorizer(lowercase=True, token_pattern=r"\S+")
    trained = make_pipeline(vectoriser, LogisticRegression(C=100)).fit(texts, labels)
    options = {
        id(vectoriser): {"tokenexp": r"\S+", "locale": locale},
        id(trained.steps[-1][1]): {"zipmap": False},
    }
    return to_onnx(
        trained,
        initial_types=[("text", StringTensorType([None, 1]))],
        options=options,
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
