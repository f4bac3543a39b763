"""A model that cannot be served is told apart by its reason, which says what to do, and hinders no other."""

import os
import re
import shutil
import subprocess

import damage
import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from broken_configurations import CONFIGURATIONS, WARM_UPS
from broken_files import DIRECTORIES, FILES
from daemon import BINARY, Daemon, clean_environment
from server import Server

LENIENT = ["--exit-on-error=false", "--strict-readiness=false"]
WAYS = {**FILES, **DIRECTORIES, **CONFIGURATIONS, **WARM_UPS}
# For root, nothing is unreadable.
IS_ROOT = os.geteuid() == 0
# What a reason begins with in the index, where the error and the log have other words for it.
KIND = re.compile(r"^(Internal|Invalid argument|Not found|Unavailable|Unsupported): ")


class World(Server):
    """A daemon whose models are loaded on demand, and its two repositories."""

    def __init__(self, daemon, folder):
        super().__init__(daemon)
        self.folder = folder

    def answers(self, name):
        """Whether a model answers as a whole one does."""
        numbers = np.arange(16, dtype=np.float32).reshape(1, 16)
        tensors = [triton.InferInput(f"INPUT{i}", [1, 16], "FP32").set_data_from_numpy(numbers) for i in range(2)]
        answer = self.client.infer(name, tensors, client_timeout=30)
        return np.array_equal(answer.as_numpy("OUTPUT0"), 2 * numbers) and not answer.as_numpy("OUTPUT1").any()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A daemon in explicit mode that serves the model `good`. It has none of root's rights, if it can be without them."""
    folder = tmp_path_factory.mktemp("broken")
    repositories = [folder / "first", folder / "second"]
    for repository in repositories:
        repository.mkdir()
    (folder / "elsewhere.bin").write_bytes(bytes(64))
    damage.make_whole(repositories[0] / "good")
    flags = [f"--model-repository={repository}" for repository in repositories]
    flags += ["--model-control-mode=explicit", "--load-model=good"]
    with Daemon(flags, folder / "nerite.log", binary=plain_user(folder)) as daemon:
        world = World(daemon.wait_ready(), repositories[0])
        yield world
        world.close()


def plain_user(folder):
    """The daemon, for root one without its rights, so that files can be unreadable."""
    if not IS_ROOT or not shutil.which("setpriv"):
        return BINARY
    script = folder / "nerite"
    script.write_text(f'#!/bin/sh\nexec setpriv --inh-caps=-all --bounding-set=-all "{BINARY}" "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def broken(world, name):
    """A model that is whole until it is damaged, and is gone when the test is over."""
    if "unreadable" in name and IS_ROOT and not shutil.which("setpriv"):
        pytest.skip("for root, nothing is unreadable")
    folder = world.folder / name
    damage.make_whole(folder)
    yield folder
    remove(folder)
    world.client.unload_model(name)


def remove(folder):
    damage.remove(folder)
    damage.remove(damage.twin(folder))


def clues(way, folder):
    """What the reason must say of the model in that folder, as patterns."""
    named = {"name": re.escape(folder.name), "folder": re.escape(str(folder))}
    return [clue.format(**named) for clue in (way.says, way.tells)]


@pytest.mark.parametrize("name", WAYS)
def test_every_way_of_being_broken_is_told_with_a_remedy_by_the_index_the_log_and_the_call(world, broken, name):
    WAYS[name].damage(broken)
    error, log = world.fail_to_load(name)
    ((_, state, reason),) = world.rows(name)
    assert state == "UNAVAILABLE"
    for clue in clues(WAYS[name], broken):
        assert re.search(clue, reason), reason
    told = KIND.sub("", reason)
    assert told in error.message(), error
    assert any(line.startswith("E") and told in line for line in log.splitlines()), log
    assert error.message().startswith((f"failed to load '{name}', failed to poll", f"load failed for model '{name}': "))

    assert not world.client.is_model_ready(name)
    assert world.daemon.process.poll() is None and world.answers("good")
    remove(broken)
    damage.make_whole(broken)
    world.client.load_model(name)
    assert world.rows(name) == [("1", "READY", "")]
    assert world.answers(name)


@pytest.mark.parametrize("name", WAYS)
def test_a_model_that_is_broken_while_it_is_served_goes_on_being_served_and_says_why(world, broken, name):
    world.client.load_model(name)
    WAYS[name].damage(broken)
    world.fail_to_load(name)
    ((version, state, reason),) = world.rows(name)
    assert (version, state) == ("1", "READY")
    assert reason.startswith("what was loaded before is served, since a reload failed: ")
    for clue in clues(WAYS[name], broken):
        assert re.search(clue, reason), reason
    assert world.client.is_model_ready(name) and world.client.is_server_ready() and world.answers(name)


def break_every_way(repository, tmp_path):
    """Adds a whole model and one for each way of being broken; gives back the folders of these, and flags."""
    (tmp_path / "elsewhere.bin").write_bytes(bytes(64))
    (tmp_path / "second").mkdir()
    damage.make_whole(repository.folder / "good")
    folders = [repository.folder / name for name in WAYS if not (IS_ROOT and "unreadable" in name)]
    for folder in folders:
        damage.make_whole(folder)
        WAYS[folder.name].damage(folder)
    return folders, tmp_path / "second"


@pytest.fixture
def readable_again(repository):
    """Lets pytest remove what a test made unreadable."""
    yield
    for folder in repository.folder.iterdir():
        damage.remove(folder)


def test_every_way_of_being_broken_has_its_own_reason(serve, repository, tmp_path, readable_again):
    folders, second = break_every_way(repository, tmp_path)
    found = reasons(serve(repository, f"--model-repository={second}", *LENIENT))
    assert sorted(found) == sorted(folder.name for folder in folders)
    for folder in folders:
        for clue in clues(WAYS[folder.name], folder):
            assert re.search(clue, found[folder.name]), found[folder.name]
    unnamed = {re.sub(r"\S*/\S*", "PATH", reason.replace(name, "NAME")) for name, reason in found.items()}
    assert len(unnamed) > 0.8 * len(found), "few are told by what they have in common"


def reasons(daemon):
    """The reason of every model that is not ready."""
    with triton.InferenceServerClient(daemon.url) as client:
        index = client.get_model_repository_index().models
        return {entry.name: entry.reason for entry in index if entry.state == "UNAVAILABLE"}


def check(*repositories):
    """What `nerite check` says of them."""
    command = [BINARY, "check", *repositories]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environment())


def test_the_check_command_tells_every_problem_and_fails(repository, tmp_path, readable_again):
    folders, second = break_every_way(repository, tmp_path)
    result = check(repository.folder, second)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "good version 1: fine" in result.stdout
    for folder in folders:
        told = "\n".join(
            line
            for line in result.stdout.splitlines()
            if line.startswith((f"{folder.name}: ", f"{folder.name} version"))
        )
        for clue in clues(WAYS[folder.name], folder):
            assert re.search(clue, told), f"{folder.name}: {told}"


def test_the_check_command_approves_a_sound_repository(repository):
    repository.add("good", models.identity("FP32", ["b", 4]))
    result = check(repository.folder)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "good" in result.stdout


NAMES = {
    "": "Model name cannot be empty. Please enter a valid name to deploy.",
    **{
        name: f"invalid model name '{name}', model name must not contain path traversal characters"
        for name in ("..", ".", "../x", "a/b", "/etc", "good/", "good/../good", "..\\x", "good\0")
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_out_of_the_repository_is_refused(world, name):
    error, _ = world.fail_to_load(name)
    assert (error.status(), error.message()) == ("StatusCode.INVALID_ARGUMENT", NAMES[name])
    assert not world.rows(name) and world.client.is_server_ready()


@pytest.mark.parametrize("name", ["nobody", ".hidden", "plain", "loop", "dangling", "n" * 5000])
def test_a_model_that_is_not_there_is_told_so_and_leaves_nothing_behind(world, name):
    (world.folder / ".hidden" / "1").mkdir(parents=True, exist_ok=True)
    (world.folder / "plain").touch()
    for link, target in (("loop", "loop"), ("dangling", "gone")):
        damage.remove(world.folder / link)
        (world.folder / link).symlink_to(target)
    error, log = world.fail_to_load(name)
    reason = (
        f"failed to load '{name}', failed to poll from model repository: Not found: there is no directory '{name}' in"
    )
    remedy = "copy the model's directory into one, or correct the name"
    assert error.status() == "StatusCode.INTERNAL"
    assert error.message().startswith(reason[:1900])
    assert remedy in error.message() or len(name) > 1000
    assert any(line.startswith("E") and reason in line and remedy in line for line in log.splitlines()), log
    assert not world.rows(name) and world.client.is_server_ready() and world.answers("good")


def test_a_model_whose_directory_is_gone_goes_on_being_served_until_it_is_unloaded(world):
    folder = world.folder / "leaving"
    damage.make_whole(folder)
    world.client.load_model("leaving")
    damage.remove(folder)
    error, _ = world.fail_to_load("leaving")
    assert "there is no directory 'leaving'" in error.message()
    assert world.answers("leaving") and world.client.is_server_ready()
    world.client.unload_model("leaving")
    world.daemon.wait_until(lambda: not world.rows("leaving"), 30, "forget it")


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
    result = check(repository.folder)
    assert result.returncode == 1
    assert "M version 1: will not be served, because version 2 cannot be" in result.stdout
    assert "1 model versions can be served, 2 cannot" in result.stdout
