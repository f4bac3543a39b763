"""Dockerfile.gpu, held against the tree and the binary without building it, which scripts/check-image does."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import fetch_gpu_libraries
import models
import pytest
import wheels
from check_image import stand_ins
from daemon import BINARY, ROOT, clean_environment, free_ports
from dockerfile_parse import DockerfileParser
from server import LIMIT

DOCKERFILE = ROOT / "Dockerfile.gpu"
# The Debian releases by their numbers.
SUITES = {"12": "bookworm", "13": "trixie"}


class Stage:
    """One stage of the Dockerfile: its name, what it builds upon, and its instructions with their values, in order."""

    def __init__(self, value):
        self.base, _, self.name = value.split()
        self.steps = []

    def values(self, instruction):
        return [value for name, value in self.steps if name == instruction]


@pytest.fixture(scope="module")
def stages():
    """The stages by name, in order."""
    found = []
    with DOCKERFILE.open("rb") as file:
        for step in DockerfileParser(fileobj=file).structure:
            if step["instruction"] == "FROM":
                found.append(Stage(step["value"]))
            elif step["instruction"] != "COMMENT":
                found[-1].steps.append((step["instruction"], step["value"]))
    return {stage.name: stage for stage in found}


def lineage(stages, name):
    """A stage and all that it builds upon, itself last."""
    line = []
    while name in stages:
        line.insert(0, stages[name])
        name = stages[name].base
    return line


def inherited(stages, name, instruction):
    """All values of an instruction that an image has, the one that counts last."""
    return [value for stage in lineage(stages, name) for value in stage.values(instruction)]


def copied(stages):
    """What is copied from the tree."""
    copies = [value.split() for stage in stages.values() for value in stage.values("COPY")]
    return {source for words in copies if not words[0].startswith("--from=") for source in words[:-1]}


def test_the_linter_has_nothing_to_say_of_the_dockerfile():
    linter = Path(sys.executable).with_name("hadolint")
    result = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (0, "")


def test_base_images_are_of_one_debian_and_rust_is_the_tree_s():
    debian, rust = stand_ins.bases(DOCKERFILE)
    release = re.fullmatch(r"debian:(\d+)\.\d+-slim", debian).group(1)
    toolchain = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    assert rust == f"rust:{toolchain}-slim-{SUITES[release]}"


def test_what_is_copied_is_there_and_nothing_else_is_sent_to_the_builder(stages):
    sources = copied(stages)
    assert all((ROOT / source).exists() for source in sources)
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert sources == {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines


def test_stages_take_only_from_stages_before_them(stages):
    before = set()
    for stage in stages.values():
        for value in stage.values("COPY"):
            if origin := re.match(r"--from=(\S+)", value):
                assert origin.group(1) in before, value
        before.add(stage.name)


def test_images_fetch_nothing_that_is_not_pinned(stages):
    for stage in stages.values():
        for command in stage.values("RUN"):
            assert not re.search(r"\b(curl|wget|pip3? install|git)\b", command), command
            assert "cargo" not in command or "--locked" in command
    for wheel in [wheels.ONNXRUNTIME, wheels.ONNXRUNTIME_GPU, *fetch_gpu_libraries.NVIDIA]:
        assert re.fullmatch(r"[0-9a-f]{64}", wheel.sha256["x86_64"]), wheel.package


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_both_images_run_as_nobody_in_particular_and_end_by_sigterm(stages, target):
    assert int(inherited(stages, target, "USER")[-1].partition(":")[0]) > 0
    assert inherited(stages, target, "STOPSIGNAL") == ["SIGTERM"]
    assert inherited(stages, target, "EXPOSE") == ["8000 8001 8002"]
    assert json.loads(inherited(stages, target, "ENTRYPOINT")[-1]) == ["nerite"]
    assert json.loads(inherited(stages, target, "CMD")[-1]) == ["--model-repository=/models"]
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert f"VERSION={version}" in inherited(stages, target, "ARG")


def health_command(stages):
    """The images' health check, run by the binary under test."""
    (check,) = inherited(stages, "cpu", "HEALTHCHECK")
    name, *arguments = json.loads(check.partition("CMD ")[2])
    assert name == "nerite"
    return [BINARY, *arguments]


def ask(command, port, *flags):
    """The exit status of the health check of a daemon with that HTTP port, and what it prints."""
    environment = {**clean_environment(), "NERITE_HTTP_PORT": str(port)}
    result = subprocess.run([*command, *flags], env=environment, capture_output=True, text=True, timeout=LIMIT)
    return result.returncode, result.stdout + result.stderr


def test_the_health_check_follows_the_readiness_of_the_daemon(stages, repository, serve):
    command = health_command(stages)
    repository.add("sum", models.add_sub("FP32", ["b", 16]))
    daemon = serve(repository)
    assert ask(command, daemon.http_port) == (0, "ready\n")
    daemon.stop()
    status, text = ask(command, daemon.http_port)
    assert status == 1
    assert f"no answer from 0.0.0.0:{daemon.http_port}" in text


def test_the_health_check_fails_while_a_model_is_missing(stages, repository, serve):
    repository.add("broken", b"half a model")
    daemon = serve(repository, "--exit-on-error=false", wait=False)
    daemon.wait_until(lambda: daemon.http("/v2/health/ready")[0] == 400, LIMIT, "say that it is not ready")
    status, text = ask(health_command(stages), daemon.http_port)
    assert status == 1
    assert text == f"error: not ready: 127.0.0.1:{daemon.http_port} answers 400\n"


def test_the_health_check_takes_the_daemon_s_flags_and_refuses_others(stages):
    command = health_command(stages)
    (port,) = free_ports(1)
    for flag, expected in [
        (f"--http-port={port}", f"no answer from 0.0.0.0:{port}"),
        ("--http-address=127.0.0.1", "no answer from 127.0.0.1:1"),
        ("--allow-http=false", "the HTTP port is off"),
        ("--http-port=0", "--http-port=0 does not say which port was taken"),
        ("--grpc-port=1", "--grpc-port has no meaning for 'nerite health'"),
    ]:
        status, text = ask(command, 1, flag)
        assert status == 1
        assert expected in text


def test_libraries_for_gpus_lie_together_and_their_terms_apart(tmp_path, monkeypatch):
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("nvidia/a/lib/liba.so.1", "nvidia/a/lib/libnvblas.so.1", "nvidia/a/include/a.h"):
            archive.writestr(name, "")
        archive.writestr("a-1.dist-info/licenses/License.txt", "terms")
    monkeypatch.setattr(wheels, "fetch", lambda *_: wheel)
    monkeypatch.setattr(fetch_gpu_libraries, "FOLDER", tmp_path / "gpu")
    (tmp_path / "gpu").mkdir()
    fetch_gpu_libraries.lay_out(wheels.CUBLAS, tmp_path / "gpu" / "lib")
    found = {os.path.relpath(path, tmp_path / "gpu") for path in (tmp_path / "gpu").rglob("*") if path.is_file()}
    assert found == {"lib/liba.so.1", "licenses/nvidia-cublas/License.txt"}
