"""What the tests share: the daemon under test, a repository with every kind of model, and clients."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

import accounts
import grpc
import models
import tritonclient.grpc as triton
from daemon import BINARY, Daemon
from models import Repository
from tritonclient.grpc import service_pb2_grpc


def pytest_sessionstart():
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is missing; cargo build --release makes it", returncode=1)


@pytest.fixture
def repository(tmp_path):
    """An empty model repository."""
    return Repository(tmp_path / "repository")


@pytest.fixture
def serve(tmp_path):
    """Starts daemons that end with the test: serve(repository, *flags, wait=True, environment=None)."""
    started = []

    def start(repository, *flags, wait=True, environment=None):
        log = tmp_path / f"nerite-{len(started)}.log"
        daemon = Daemon([f"--model-repository={repository.folder}", *flags], log, environment=environment)
        started.append(daemon)
        return daemon.wait_ready() if wait else daemon

    yield start
    for daemon in started:
        accounts.check_if_idle(daemon)
        daemon.stop()


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """One daemon for the whole session that serves every kind of model; see fill_zoo."""
    folder = tmp_path_factory.mktemp("zoo")
    repository = Repository(folder / "repository")
    fill_zoo(repository)
    with Daemon([f"--model-repository={repository.folder}", "--id=zoo"], folder / "nerite.log") as daemon:
        yield daemon.wait_ready(60)
        # Whatever the tests did to it.
        accounts.check(daemon)


def fill_zoo(repository):
    """The models of the session's daemon. Those without a configuration are completed by the daemon."""
    for dtype in models.ARITHMETIC:
        repository.add(f"add_sub_{dtype.lower()}", models.add_sub(dtype, ["b", 16]))
    for dtype in models.DTYPES:
        repository.add(f"identity_{dtype.lower()}", models.identity(dtype, ["b", "n"]))
    add_simple(repository)
    repository.add("scalar", models.identity("FP32", []))
    repository.add("fixed", models.identity("FP32", [2, 3]))
    repository.add("no_inputs", models.no_inputs())
    repository.add("gather", models.gather())
    repository.add("digits", models.mlp("FP32"))
    repository.add("digits_fp16", models.mlp("FP16"))
    repository.add("forest", models.forest()[0])
    repository.add("language", models.language_guesser("C"))
    add_free(repository)
    add_compress(repository)
    add_optional(repository)
    add_reshape(repository)
    for version in (1, 2, 3):
        repository.add(
            "versions",
            models.add_sub("FP32", ["b", 16]),
            "version_policy { specific { versions: [ 1, 3 ] } }",
            version=version,
        )


def add_simple(repository):
    """Models whose configurations the error table is about."""
    vector = [("INPUT0", "FP32", [16]), ("INPUT1", "FP32", [16])]
    results = [("OUTPUT0", "FP32", [16]), ("OUTPUT1", "FP32", [16])]
    labelled = [("OUTPUT0", "FP32", [16], 'label_filename: "labels.txt"'), ("OUTPUT1", "FP32", [16])]
    batching = "dynamic_batching { }"
    repository.add(
        "simple",
        models.add_sub("FP32", ["b", 16]),
        models.config("simple", vector, labelled, batch=8, extra=batching),
        labels_txt="\n".join(f"label {i}" for i in range(16)) + "\n",
    )
    repository.add("unbatched", models.add_sub("FP32", [16]), models.config("unbatched", vector, results))
    three = [(f"INPUT{i}", "FP32", [16]) for i in range(3)]
    repository.add(
        "three",
        models.three_inputs(["b", 16]),
        models.config("three", three, [("OUTPUT0", "FP32", [16])], batch=8, extra=batching),
    )
    repository.add(
        "strings",
        models.identity("BYTES", ["b", 16]),
        models.config("strings", [("INPUT0", "BYTES", [16])], [("OUTPUT0", "BYTES", [16])], batch=8, extra=batching),
    )


def add_free(repository):
    """Models that take any shape of two dimensions and are not batched."""
    for name, dtype in (("free", "FP32"), ("free_strings", "BYTES")):
        repository.add(
            name,
            models.identity(dtype, ["a", "b"]),
            models.config(name, [("INPUT0", dtype, [-1, -1])], [("OUTPUT0", dtype, [-1, -1])]),
        )


def add_compress(repository):
    """A model that counts what is true, and cannot batch, because nothing says which row an element of its output is of."""
    inputs = [("INPUT0", "FP32", [-1]), ("CONDITION", "BOOL", [-1])]
    repository.add("compress", models.compress(), models.config("compress", inputs, [("OUTPUT0", "FP32", [-1])]))


def add_optional(repository):
    """A model that can do without its second input."""
    inputs = [("INPUT0", "FP32", [-1]), ("INPUT1", "FP32", [1], "optional: true")]
    repository.add("optional", models.optional_input(), models.config("optional", inputs, [("OUTPUT0", "FP32", [-1])]))


def add_reshape(repository):
    """A model of vectors that is served as one of rows of one."""
    shape = "reshape { shape: [ ] }"
    repository.add(
        "reshape",
        models.identity("FP32", ["b"]),
        models.config("reshape", [("INPUT0", "FP32", [1], shape)], [("OUTPUT0", "FP32", [1], shape)], batch=8),
    )


@pytest.fixture
def client(zoo):
    """Triton's own client, connected to the session's daemon."""
    with triton.InferenceServerClient(zoo.url) as connected:
        yield connected


@pytest.fixture
def stub(zoo):
    """The bare gRPC stub, for requests that Triton's client would not send."""
    with grpc.insecure_channel(zoo.url) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)
