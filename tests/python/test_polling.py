"""In poll mode the models follow the repository, whatever is done to it."""

import contextlib
import os
import shutil
import signal
import time

import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from daemon import Daemon
from server import Server

POLL = ["--model-control-mode=poll", "--repository-settle-ms=200"]
WHOLE = "version_policy { all { } }"


def constant(value, size=1):
    """A model that answers INPUT0 + value, for each of `size` values that it carries."""
    return models.add_constant(value, size)


class Watched(Server):
    """A daemon that follows a repository."""

    def answer(self, model, version=""):
        """What a model adds to zero; None if it is not served."""
        given = triton.InferInput("INPUT0", [1], "FP32")
        given.set_data_from_numpy(np.zeros(1, np.float32))
        try:
            return float(self.client.infer(model, [given], version).as_numpy("OUTPUT0")[0])
        except triton.InferenceServerException as error:
            assert "Request for unknown model" in error.message(), error
            return None

    def index(self, model):
        """{version: (state, reason)} of a model."""
        return {version: (state, reason) for version, state, reason in self.rows(model)}

    def loads(self):
        return self.daemon.log_text().count("successfully loaded")


@pytest.fixture
def watched(serve, repository):
    started = []

    def start(*flags):
        started.append(Watched(serve(repository, *POLL, *flags)))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_a_model_that_is_dropped_in_is_served_and_one_that_is_taken_out_is_not(watched, repository):
    repository.add("first", constant(1))
    world = watched()
    repository.add("second", constant(2))
    world.until(lambda: world.answer("second") == 2, "serve what was dropped in")
    shutil.rmtree(repository.folder / "first")
    world.until(lambda: world.answer("first") is None, "no longer serve what was taken out")
    world.until(lambda: not world.index("first"), "forget it")
    assert world.answer("second") == 2


def test_a_model_that_is_copied_in_slowly_is_loaded_once_when_it_is_whole(watched, repository):
    repository.add("other", constant(1))
    world = watched()
    before = world.loads()
    data = constant(3, 100_000).SerializeToString()
    folder = repository.add("slow")
    with (folder / "1" / "model.onnx").open("wb", buffering=0) as file:
        for start in range(0, len(data), len(data) // 20):
            file.write(data[start : start + len(data) // 20])
            # Longer than the settle window in all, shorter in each pause; and the file stays open.
            time.sleep(0.05)
    world.until(lambda: world.answer("slow") == 3, "serve it")
    assert world.loads() == before + 1
    assert "failed" not in world.daemon.log_text()


def test_a_file_that_is_held_open_by_its_writer_is_waited_for(watched, repository):
    repository.add("m", constant(1))
    world = watched()
    data = constant(2).SerializeToString()
    path = repository.folder / "m" / "1" / "model.onnx"
    with path.open("r+b", buffering=0) as file:
        file.truncate()
        file.write(data[: len(data) // 2])
        repository.add("marker", constant(5))
        world.until(lambda: world.answer("marker") == 5, "see what changed later")
        time.sleep(0.5)
        assert world.answer("m") == 1
        file.write(data[len(data) // 2 :])
    world.until(lambda: world.answer("m") == 2, "serve the new file")
    assert "load failed" not in world.daemon.log_text()


def test_any_change_of_a_file_counts_even_if_its_size_and_time_are_restored(watched, repository):
    path = repository.add("m", constant(1)) / "1" / "model.onnx"
    world = watched()
    times = path.stat()
    path.write_bytes(constant(2).SerializeToString())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    world.until(lambda: world.answer("m") == 2, "serve the new file")
    older = path.with_name("older")
    older.write_bytes(constant(3).SerializeToString())
    os.utime(older, (0, 0))
    older.rename(path)
    world.until(lambda: world.answer("m") == 3, "serve the file with the older time")


def test_versions_come_and_go(watched, repository):
    repository.add("m", constant(1), WHOLE)
    world = watched()
    repository.add("m", constant(2), version=2)
    world.until(lambda: world.answer("m") == 2, "serve the new version by default")
    assert world.answer("m", "1") == 1
    shutil.rmtree(repository.folder / "m" / "2")
    world.until(lambda: world.answer("m") == 1, "serve the old version by default")
    world.until(lambda: world.index("m").get("2") in (None, ("UNAVAILABLE", "unloaded")), "unload the other")
    assert world.answer("m", "2") is None


def test_what_breaks_leaves_the_old_in_service_and_the_index_says_why(watched, repository):
    folder = repository.add("m", constant(1), WHOLE)
    world = watched()
    path = folder / "1" / "model.onnx"
    path.write_bytes(b"garbage")
    world.until(lambda: "reload failed" in world.index("m")["1"][1], "say why")
    assert world.index("m")["1"][0] == "READY" and world.answer("m") == 1
    assert world.daemon.is_ready(), "what it served it serves"
    path.write_bytes(constant(2).SerializeToString())
    world.until(lambda: world.answer("m") == 2, "serve what was mended")
    assert world.index("m") == {"1": ("READY", "")}
    (folder / "config.pbtxt").write_text("version_policy { some { } }")
    world.until(lambda: "config.pbtxt:1" in world.index("m")["1"][1], "say where the configuration is wrong")
    assert world.answer("m") == 2


def test_a_change_of_the_configuration_alone_is_applied_and_the_account_goes_on(watched, repository):
    folder = repository.add("m", constant(1), WHOLE)
    world = watched()
    assert world.answer("m") == 1
    config = world.client.get_model_config("m").config
    assert config.instance_group[0].count == 2
    (folder / "config.pbtxt").write_text(WHOLE + " instance_group [ { count: 3 kind: KIND_CPU } ]")
    count = lambda: world.client.get_model_config("m").config.instance_group[0].count
    world.until(lambda: count() == 3, "have three instances")
    assert world.answer("m") == 1
    assert world.client.get_inference_statistics("m").model_stats[0].inference_count == 2, "the account goes on"


def test_a_model_that_is_renamed_is_served_by_its_new_name(watched, repository):
    repository.add("old", constant(1))
    world = watched()
    (repository.folder / "old").rename(repository.folder / "new")
    world.until(lambda: world.answer("new") == 1 and world.answer("old") is None, "follow the name")


def test_everything_deleted_and_restored_is_served_again(watched, repository, tmp_path):
    for name in ("a", "b"):
        repository.add(name, constant(1))
    world = watched()
    shutil.copytree(repository.folder, tmp_path / "backup")
    for name in ("a", "b"):
        shutil.rmtree(repository.folder / name)
    world.until(lambda: world.answer("a") is None and world.answer("b") is None, "serve nothing")
    assert world.daemon.is_ready()
    shutil.copytree(tmp_path / "backup", repository.folder, dirs_exist_ok=True)
    world.until(lambda: world.answer("a") == world.answer("b") == 1, "serve all of it again")


def test_a_repository_that_is_away_for_a_while_is_no_reason_to_unload(watched, repository):
    repository.add("m", constant(1))
    world = watched()
    aside = repository.folder.with_name("aside")
    repository.folder.rename(aside)
    world.until(lambda: "cannot be read or is not mounted" in world.daemon.log_text(), "notice")
    assert world.answer("m") == 1
    aside.rename(repository.folder)
    repository.add("m", constant(2))
    world.until(lambda: world.answer("m") == 2, "serve what changed meanwhile")


def test_load_and_unload_by_hand_are_refused_where_the_repository_decides(watched, repository):
    repository.add("m", constant(1))
    world = watched()
    for call in (world.client.load_model, world.client.unload_model):
        with pytest.raises(triton.InferenceServerException) as error:
            call("m")
        assert error.value.status() == "StatusCode.UNAVAILABLE"
        assert error.value.message() == "explicit model load / unload is not allowed if polling is enabled"


def test_after_kill_9_at_any_moment_a_restart_serves_what_is_on_disk(repository, tmp_path):
    folder = repository.add("m", constant(0, 50_000), WHOLE)
    flags = [f"--model-repository={repository.folder}", *POLL, "--exit-on-error=false"]
    for round in range(1, 9):
        daemon = Daemon(flags, tmp_path / f"nerite-{round}.log")
        try:
            # Killed while it starts, loads, swaps or serves, a little later each time.
            if round % 4:
                daemon.wait_until(daemon.is_ready, 30, "become ready")
            fresh = folder / "1" / "fresh"
            fresh.write_bytes(constant(round, 50_000).SerializeToString())
            fresh.rename(folder / "1" / "model.onnx")
            time.sleep(round * 0.06)
        finally:
            os.kill(daemon.process.pid, signal.SIGKILL)
            daemon.process.wait()
        with Daemon(flags, tmp_path / f"nerite-{round}-again.log") as again:
            again.wait_ready()
            with contextlib.closing(Watched(again)) as world:
                assert world.answer("m") == round
