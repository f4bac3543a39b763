"""A model that cannot be served is told apart by its reason, and hinders no other."""

import re
import subprocess
from pathlib import Path

import models
import onnxruntime
import pytest
import tritonclient.grpc as triton
from daemon import BINARY, clean_environment

LENIENT = ["--exit-on-error=false", "--strict-readiness=false"]


def reasons(daemon):
    """The reason of every model that is not ready."""
    with triton.InferenceServerClient(daemon.url) as client:
        index = client.get_model_repository_index().models
        return {entry.name: entry.reason for entry in index if entry.state == "UNAVAILABLE"}


def break_every_way(repository):
    """Adds one model for each way of being broken, and gives back what its reason must say."""
    whole = models.mlp("FP32").SerializeToString()
    iris = Path(onnxruntime.__file__).parent / "datasets" / "logreg_iris.onnx"
    repository.add("good", models.identity("FP32", ["b", 4]))
    repository.add("truncated", whole[: len(whole) // 2])
    repository.add("empty", b"")
    repository.add("garbage", b"This is a letter, not a model.\n" * 100)
    repository.add("missing_file")
    repository.add("unknown_operator", models.unknown_operator())
    repository.add("non_tensor_output", iris.read_bytes())
    repository.add("broken_config", models.identity("FP32", ["b", 4]), 'name: "broken_config"\nmax_batch_size: many\n')
    repository.add("missing_locale", models.language_guesser("xx_YY.UTF-8"))
    return {
        "truncated": r"(?i)truncated|parsing failed",
        "empty": r"(?i)empty",
        "garbage": r"(?i)parsing failed|not an? .*model",
        "missing_file": r"model\.onnx",
        "unknown_operator": r"NoSuchOperator",
        "non_tensor_output": r"probabilities",
        "broken_config": r"config\.pbtxt:2\b.*max_batch_size|config\.pbtxt.*line 2.*max_batch_size",
        "missing_locale": r"xx_YY\.UTF-8",
    }


def test_every_way_of_being_broken_has_its_own_reason(serve, repository):
    clues = break_every_way(repository)
    found = reasons(serve(repository, *LENIENT))
    assert sorted(found) == sorted(clues)
    for name, clue in clues.items():
        assert re.search(clue, found[name], re.DOTALL), f"{name}: {found[name]}"
    alike = {re.sub(r"\S*/\S*", "PATH", reason.replace(name, "NAME")) for name, reason in found.items()}
    assert len(alike) == len(clues), found


def check(repository):
    """What `nerite check` says of it."""
    command = [BINARY, "check", repository.folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environment())


def test_the_check_command_tells_every_problem_and_fails(repository):
    clues = break_every_way(repository)
    result = check(repository)
    printed = result.stdout + result.stderr
    assert result.returncode == 1, printed
    for name in [*clues, "good"]:
        assert name in printed, printed


def test_the_check_command_approves_a_sound_repository(repository):
    repository.add("good", models.identity("FP32", ["b", 4]))
    result = check(repository)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "good" in result.stdout


def add_two_versions(repository):
    """Adds a model whose second version is broken, both of them to be served."""
    repository.add("M", models.identity("FP32", ["b", 4]), "version_policy { all { } }")
    repository.add("M", b"not a model", version=2)
    repository.add("other", models.identity("FP32", ["b", 4]))


def test_a_model_is_served_with_all_of_its_versions_or_not_at_all(serve, repository):
    add_two_versions(repository)
    daemon = serve(repository, *LENIENT)
    with triton.InferenceServerClient(daemon.url) as client:
        index = {(entry.name, entry.version): entry for entry in client.get_model_repository_index().models}
        assert not client.is_model_ready("M") and client.is_model_ready("other")
    assert {entry.state for key, entry in index.items() if key[0] == "M"} == {"UNAVAILABLE"}
    assert index["M", "1"].reason == "unloaded: version 2 could not be loaded"
    assert "is not an ONNX model" in index["M", "2"].reason


def test_the_check_command_says_that_a_broken_version_takes_the_others_with_it(repository):
    add_two_versions(repository)
    result = check(repository)
    assert result.returncode == 1
    assert "M version 1: will not be served, because version 2 cannot be" in result.stdout
    assert "1 model versions can be served, 2 cannot" in result.stdout


PAIR = [("INPUT0", "FP32", [16]), ("INPUT1", "FP32", [16])]
RESULTS = [("OUTPUT0", "FP32", [16]), ("OUTPUT1", "FP32", [16])]

# What a configuration says that its model does not: inputs, outputs, max_batch_size, and the reason.
DISAGREEMENTS = {
    "one input": (
        PAIR[:1],
        RESULTS,
        8,
        "unable to load model 'M', configuration expects 1 inputs, model provides 2",
    ),
    "dtype": (
        [("INPUT0", "INT32", [16]), PAIR[1]],
        RESULTS,
        8,
        "unable to load model 'M', configuration expects datatype TYPE_INT32 for input 'INPUT0', "
        "model provides TYPE_FP32",
    ),
    "input name": (
        [("OTHER", "FP32", [16]), PAIR[1]],
        RESULTS,
        8,
        "unexpected inference input 'OTHER', allowed inputs are: INPUT0, INPUT1",
    ),
    "output name": (
        PAIR,
        [("OTHER", "FP32", [16])],
        8,
        "unexpected inference output 'OTHER', allowed outputs are: OUTPUT0, OUTPUT1",
    ),
    "rank": (
        [("INPUT0", "FP32", [16, 1]), PAIR[1]],
        RESULTS,
        8,
        "model 'M', tensor 'INPUT0': the model expects 2 dimensions (shape [-1,16]) but the model configuration "
        "specifies 3 dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit "
        "tensor shape, making complete shape [-1,16,1])",
    ),
}


@pytest.mark.parametrize("title", DISAGREEMENTS)
def test_a_configuration_that_disagrees_with_its_model_says_how(serve, repository, title):
    inputs, outputs, batch, reason = DISAGREEMENTS[title]
    repository.add("M", models.add_sub("FP32", ["b", 16]), models.config("M", inputs, outputs, batch=batch))
    assert reason in reasons(serve(repository, *LENIENT))["M"]


def test_batching_asked_of_a_model_that_cannot_batch_is_refused(serve, repository):
    repository.add("M", models.identity("FP32", [2, 3]), "max_batch_size: 8")
    reason = "autofill failed for model 'M': model does not support batching while non-zero max_batch_size is specified"
    assert reason in reasons(serve(repository, *LENIENT))["M"]


def test_the_name_in_the_configuration_must_be_the_folders(serve, repository):
    repository.add("M", models.identity("FP32", ["b", 4]), 'name: "other"')
    reason = reasons(serve(repository, *LENIENT))["M"]
    assert "other" in reason and "M" in reason
