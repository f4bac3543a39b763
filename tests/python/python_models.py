"""Models in Python for Triton's Python backend: the sources in served/, each with configurations that show something."""

from pathlib import Path

import models
from plugins import parameters

SERVED = Path(__file__).parent / "served"
VECTORS = [("INPUT0", "FP32", [16]), ("INPUT1", "FP32", [16])]
RESULTS = [("OUTPUT0", "FP32", [16]), ("OUTPUT1", "FP32", [16])]
# The same where nothing is batched, of one row.
ROW = [(name, dtype, [1, 16]) for name, dtype, _ in VECTORS]
ROW_RESULTS = [(name, dtype, [1, 16]) for name, dtype, _ in RESULTS]
# What numpy has a type for.
DTYPES = [dtype for dtype in models.DTYPES if dtype != "BF16"]

BROKEN = {
    "raising": """
class TritonPythonModel:
    def initialize(self, args):
        raise RuntimeError("the weights are missing")

    def execute(self, requests):
        return []
""",
    "classless": "weights = []\n",
    "misspelt": "class TritonPythonModel\n",
    "importing": "import a_package_that_nobody_has\n",
    "leaving": "import os\n\nos._exit(3)\n",
    "killing": "import os, signal\n\nos.kill(os.getpid(), signal.SIGKILL)\n",
}


def group(count):
    """The field `instance_group`."""
    return f"instance_group [ {{ count: {count} kind: KIND_CPU }} ]\n"


def add(repository, name, source, inputs=(), outputs=(), batch=0, extra="", version=1):
    """Adds the model of a source in served/, or of the text of one."""
    text = source if "\n" in source else (SERVED / f"{source}.py").read_text()
    if "instance_group" not in extra:
        extra += group(1)
    configuration = models.config(name, inputs, outputs, batch, extra).replace("onnxruntime", "python")
    folder = repository.add(name, config=configuration, version=version)
    (folder / str(version) / "model.py").write_text(text)
    return folder


def add_sub(repository, name="add_sub", extra="dynamic_batching { max_queue_delay_microseconds: 100000 }"):
    """The sum, the difference, and how many requests were executed together."""
    return add(repository, name, "add_sub", VECTORS, [*RESULTS, ("TOGETHER", "INT32", [1])], 8, extra)


def echo(repository, *dtypes, name="echo"):
    """An identity of tensors of these dtypes, each of any shape of one dimension, which is not batched."""
    inputs, outputs = ([(f"{kind}{i}", dtype, [-1]) for i, dtype in enumerate(dtypes)] for kind in ("INPUT", "OUTPUT"))
    return add(repository, name, "echo", inputs, outputs)


def generator(repository, name="generator"):
    """As many responses as are asked for."""
    extra = "model_transaction_policy { decoupled: true }\n"
    return add(repository, name, "generator", [("COUNT", "INT32", [1])], [("NUMBER", "INT32", [1])], extra=extra)


def faulty(repository, name="faulty"):
    """Fails as it is told to."""
    return add(repository, name, "faulty", [("INPUT0", "FP32", [1])], [("OUTPUT0", "FP32", [1])])


def caller(repository, name, target, how="synchronous"):
    """Calls a model of two vectors."""
    more = parameters(target=target, how=how)
    return add(repository, name, "caller", ROW, ROW_RESULTS, extra=more)


def summing(repository, name="summing", target="generator"):
    """Calls a decoupled model, and gives the sum and the count of what that generates."""
    outputs = [("SUM", "INT32", [1]), ("LENGTH", "INT32", [1])]
    more = parameters(target=target, how="decoupled")
    return add(repository, name, "caller", [("COUNT", "INT32", [1])], outputs, extra=more)


def async_caller(repository, name="async_caller", target="add_sub"):
    """Calls a model of two vectors twice at once."""
    return add(repository, name, "async_caller", ROW, ROW_RESULTS, extra=parameters(target=target))


def instance(repository, journal, name="instance", count=1, seconds=0.0):
    """Says which process answers, after so many seconds, and leaves word of its end in the journal."""
    outputs = [("OUTPUT0", "FP32", [1]), ("PROCESS", "INT32", [1])]
    more = parameters(journal=journal, seconds=seconds) + group(count)
    return add(repository, name, "instance", [("INPUT0", "FP32", [1])], outputs, extra=more)


def telling(repository, name="telling"):
    """Tells what it knows of a request in its log, its metrics and its answer."""
    return add(repository, name, "telling", [("INPUT0", "BYTES", [1])], [("OUTPUT0", "BYTES", [1])])


def patient(repository, journal, name="patient"):
    """Works until its request is cancelled."""
    vector = [("INPUT0", "FP32", [1])]
    return add(repository, name, "patient", vector, [("OUTPUT0", "FP32", [1])], extra=parameters(journal=journal))
