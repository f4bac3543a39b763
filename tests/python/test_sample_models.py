"""The demo's models and client: the answers that their authors' own code gives."""

import sys

import pytest
import tritonclient.grpc as triton
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import demo_client
from daemon import Daemon


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """A client of a daemon that serves the sample repository."""
    log = tmp_path_factory.mktemp("samples") / "nerite.log"
    with Daemon([f"--model-repository={ROOT / 'model-repository'}"], log) as daemon:
        with triton.InferenceServerClient(daemon.wait_ready(60).url) as client:
            yield client


@pytest.mark.parametrize(
    "photo, label, probability", [("coffee.png", "espresso", 0.992), ("camera.png", "tripod", 0.978)]
)
def test_a_photograph_is_recognised_as_by_the_original(samples, photo, label, probability):
    rows = [demo_client.pixels(ROOT / "target" / "demo" / photo)]
    (((best, name), *_),) = demo_client.classify(samples, "mobilenet_v2", "image", "probabilities", rows, 3)
    assert name == label
    assert best == pytest.approx(probability, abs=0.001)


@pytest.mark.parametrize(
    "file, label",
    [
        ("Cargo.toml", "toml"),
        ("scripts/demo_client.py", "python"),
        ("scripts/demo", "shell"),
        ("target/demo/coffee.png", "png"),
        ("target/release/nerite", "elf"),
    ],
)
def test_a_file_is_told_by_its_type(samples, file, label):
    rows = [demo_client.ends(ROOT / file)]
    (((best, name), *_),) = demo_client.classify(samples, "magika", "bytes", "target_label", rows, 1)
    assert name == label
    assert best > 0.9


def test_a_batch_of_photographs_gives_each_its_own_answer(samples):
    rows = [demo_client.pixels(path) for path in demo_client.PHOTOS]
    answers = demo_client.classify(samples, "mobilenet_v2", "image", "probabilities", rows, 1)
    assert [answer[0][1] for answer in answers] == ["espresso", "Egyptian cat", "tripod"]
