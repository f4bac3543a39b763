"""Starting and stopping the daemon."""

import contextlib
import fcntl
import os
import resource
import signal
import socket
import subprocess
import threading
import time

import grpc
import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from daemon import BINARY, Daemon, clean_environment, free_ports
from tritonclient.grpc import service_pb2, service_pb2_grpc
from wire import fault, request


def run(*arguments, environment=None):
    """A daemon that is expected to end by itself: its status and what it prints."""
    environment = {**clean_environment(), **(environment or {})}
    command = [str(BINARY), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    return result.returncode, result.stdout + result.stderr


def ports():
    """Flags for ports that nobody uses."""
    return [f"--{name}-port={port}" for name, port in zip(("grpc", "http", "metrics"), free_ports(3))]


@pytest.fixture
def half_broken(repository):
    """A repository of one good and two broken models."""
    repository.add("good", models.identity("FP32", ["b", 4]))
    repository.add("broken", b"not a model")
    repository.add("missing")
    return repository


def test_a_broken_model_ends_the_start_with_every_reason(serve, half_broken):
    daemon = serve(half_broken, wait=False)
    assert daemon.wait_exit() == 1
    _, _, reasons = daemon.log_text().partition("failed to load all models")
    for words in ("broken", "is not an ONNX model", "missing", "Could not determine backend"):
        assert words in reasons, reasons


def test_the_reasons_of_a_failed_start_are_in_the_words_that_triton_has(serve, repository):
    identity = models.identity("FP32", ["b", 4])
    repository.add("badconf", identity, "max_batch_size: many")
    repository.add("broken", b"not a model")
    repository.add("unselected", identity, "version_policy { specific { versions: [ 2 ] } }")
    daemon = serve(repository, wait=False)
    assert daemon.wait_exit() == 1
    _, _, reasons = daemon.log_text().partition("failed to load all models")
    for words in (
        "failed to load 'badconf', failed to poll from model repository: Internal: ",
        "load failed for model 'broken': version 1 is at UNAVAILABLE state: ",
        "load failed for model 'unselected': at least one version must be available under the version policy of model "
        "'unselected'; its version_policy names 2, and its directory has 1; ",
    ):
        assert words in reasons, reasons


def test_a_model_whose_configuration_cannot_be_read_is_not_found(serve, repository):
    repository.add("badconf", models.identity("FP32", ["b", 4]), "max_batch_size: many")
    daemon = serve(repository, "--exit-on-error=false", "--strict-readiness=false")
    message = request("badconf", ("INPUT0", "FP32", [1, 4]), raw=[bytes(16)])
    with grpc.insecure_channel(daemon.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        found = ("NOT_FOUND", "Request for unknown model: 'badconf' is not found")
        assert fault(stub.ModelInfer, message) == found
        index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest()).models
    assert [(entry.name, entry.state) for entry in index] == [("badconf", "UNAVAILABLE")]
    assert "max_batch_size" in index[0].reason


def test_without_exit_on_error_the_rest_is_served_but_the_server_is_not_ready(serve, half_broken):
    daemon = serve(half_broken, "--exit-on-error=false", wait=False)
    with triton.InferenceServerClient(daemon.url) as client:
        daemon.wait_until(lambda: daemon.http("/v2/health/live")[0] == 200, 30, "live")
        daemon.wait_until(lambda: client.is_model_ready("good"), 30, "serve the good model")
        assert not client.is_server_ready()
        assert daemon.http("/v2/health/ready")[0] not in (200, None)
        array = np.ones((1, 4), np.float32)
        inputs = [triton.InferInput("INPUT0", [1, 4], "FP32").set_data_from_numpy(array)]
        np.testing.assert_array_equal(client.infer("good", inputs).as_numpy("OUTPUT0"), array)


def test_without_strict_readiness_the_server_is_ready_all_the_same(serve, half_broken):
    daemon = serve(half_broken, "--exit-on-error=false", "--strict-readiness=false")
    with triton.InferenceServerClient(daemon.url) as client:
        assert client.is_server_ready()
        states = {entry.name: (entry.state, bool(entry.reason)) for entry in client.get_model_repository_index().models}
    assert states == {"good": ("READY", False), "broken": ("UNAVAILABLE", True), "missing": ("UNAVAILABLE", True)}


def test_an_empty_repository_is_served(serve, repository):
    daemon = serve(repository)
    with triton.InferenceServerClient(daemon.url) as client:
        assert client.is_server_ready()
        assert len(client.get_model_repository_index().models) == 0


def test_several_repositories_are_served_together(serve, repository, tmp_path):
    other = models.Repository(tmp_path / "other")
    repository.add("first", models.identity("FP32", ["b", 4]))
    other.add("second", models.identity("FP32", ["b", 4]))
    daemon = serve(repository, "--model-repository", other.folder)
    with triton.InferenceServerClient(daemon.url) as client:
        assert client.is_model_ready("first") and client.is_model_ready("second")


def start_slow(serve, repository, steps, *flags, wait=True):
    """A daemon whose model `slow` needs 2 to 5 µs for each step, with one request in execution and one waiting."""
    vector = ["FP32", [-1, 256]]
    text = models.config("slow", [("INPUT0", *vector)], [("OUTPUT0", *vector)], extra="instance_group { count: 1 }")
    repository.add("slow", models.slow(steps), text)
    daemon = serve(repository, *flags, wait=wait)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(daemon.url))
    asked = service_pb2.ModelReadyRequest(name="slow")
    daemon.wait_until(lambda: stub.ModelReady(asked, wait_for_ready=True, timeout=30).ready, 30, "load it")
    calls = [stub.ModelInfer.future(slow_request()) for _ in range(2)]
    daemon.wait_until(lambda: pending(daemon) == 1, 10, "have one request in execution and one waiting")
    return daemon, stub, calls


def slow_request():
    data = np.arange(256, dtype=np.float32).tobytes()
    return request("slow", ("INPUT0", "FP32", [1, 256]), raw=[data])


def pending(daemon):
    """The number of requests that wait for the model `slow`."""
    return daemon.metric("nv_inference_pending_request_count", model="slow")


def test_requests_that_their_caller_gave_up_are_counted_as_cancelled_and_wait_no_more(serve, repository):
    daemon, _, calls = start_slow(serve, repository, 600_000)
    for call in calls:
        call.cancel()

    def cancelled():
        return daemon.metric("nv_inference_request_failure", model="slow", reason="CANCELED")

    daemon.wait_until(lambda: cancelled() == 2, 10, "count both as cancelled")
    daemon.wait_until(lambda: pending(daemon) == 0, 30, "let go of the one that waited")


def test_a_stop_answers_what_is_in_flight_and_refuses_what_is_new(serve, repository):
    daemon, stub, calls = start_slow(serve, repository, 600_000)
    daemon.terminate()
    daemon.wait_until(lambda: not daemon.is_ready(), 10, "say that it is not ready")
    code, _ = fault(stub.ServerReady, service_pb2.ServerReadyRequest())
    assert code == "UNAVAILABLE"
    code, text = fault(stub.ModelInfer, slow_request())
    assert code == "UNAVAILABLE" and text
    assert not any(call.done() for call in calls), "too fast for this test to say anything"
    for call in calls:
        answer = call.result(timeout=30)
        np.testing.assert_array_equal(np.frombuffer(answer.raw_output_contents[0], np.float32), np.arange(256))
    assert daemon.wait_exit() == 0


def test_a_stop_does_not_wait_longer_than_the_exit_timeout(serve, repository):
    daemon, _, calls = start_slow(serve, repository, 40_000_000, "--exit-timeout-secs=1")
    begun = time.monotonic()
    daemon.terminate()
    assert daemon.wait_exit(10) == 1
    assert time.monotonic() - begun < 8
    for call in calls:
        assert call.exception(timeout=10) is not None


def test_an_idle_daemon_stops_at_once_with_status_zero(serve, repository):
    daemon = serve(repository)
    begun = time.monotonic()
    daemon.terminate()
    assert daemon.wait_exit() == 0
    assert time.monotonic() - begun < 2


def test_idle_connections_do_not_hold_up_a_stop(serve, repository):
    daemon = serve(repository)
    with triton.InferenceServerClient(daemon.url) as client:
        assert client.is_server_live()
        daemon.terminate()
        begun = time.monotonic()
        assert daemon.wait_exit() == 0
        assert time.monotonic() - begun < 5


def test_a_client_that_says_nothing_and_never_goes_does_not_hold_up_a_stop(serve, repository):
    daemon = serve(repository)
    with socket.create_connection(("127.0.0.1", daemon.grpc_port)) as mute:
        mute.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        mute.recv(1)
        daemon.terminate()
        begun = time.monotonic()
        assert daemon.wait_exit() == 0
        assert time.monotonic() - begun < 10


def test_a_stop_while_models_are_loaded_ends_in_order(repository, tmp_path):
    forest = models.forest()[0]
    for number in range(24):
        repository.add(f"m{number}", forest if number % 2 else models.slow(1_000 + number))
    for run in range(40):
        with Daemon([f"--model-repository={repository.folder}"], tmp_path / f"log-{run}") as daemon:
            daemon.wait_until(lambda: daemon.http("/v2/health/live")[0] == 200, 10, "answer")
            time.sleep(0.002 * run)
            daemon.terminate()
            assert daemon.wait_exit(10) == 0, (run, daemon.log_text())


def test_a_stop_answers_what_is_in_flight_and_does_not_wait_for_a_load_that_never_ends(serve, repository):
    result = [("OUTPUT0", "FP32", [-1], 'label_filename: "labels.txt"')]
    repository.add("never", models.identity("FP32", ["n"]), models.config("never", [("INPUT0", "FP32", [-1])], result))
    labels = repository.folder / "never" / "labels.txt"
    labels.write_text("")
    with held(labels):
        daemon, stub, calls = start_slow(serve, repository, 600_000, wait=False)
        index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest()).models
        assert ("never", "LOADING") in {(entry.name, entry.state) for entry in index}
        daemon.terminate()
        daemon.wait_until(lambda: not is_live(daemon), 10, "refuse what is new")
        assert not any(call.done() for call in calls), "too fast for this test to say anything"
        for call in calls:
            answer = call.result(timeout=30)
            np.testing.assert_array_equal(np.frombuffer(answer.raw_output_contents[0], np.float32), np.arange(256))
        begun = time.monotonic()
        assert daemon.wait_exit() == 0
        assert time.monotonic() - begun < 10


@contextlib.contextmanager
def held(path):
    """Has everybody else who opens that file wait, as a file system that hangs does; the system lets it last most of a
    minute."""
    # It tells by this signal that somebody waits.
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    with open(path, "r+b") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    signal.signal(signal.SIGIO, before)


def is_live(daemon):
    return daemon.http("/v2/health/live")[0] == 200


def test_a_request_that_never_comes_does_not_hold_up_a_stop(serve, repository):
    daemon = serve(repository)
    never = threading.Event()
    with grpc.insecure_channel(daemon.url) as channel:
        grpc.channel_ready_future(channel).result(10)
        infer = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
        call = infer.future(b"" for _ in range(1) if never.wait())
        # Nothing tells a client that its call has begun; this is ample.
        time.sleep(0.2)
        daemon.terminate()
        error = call.exception(timeout=10)
        never.set()
    assert (error.code().name, error.details()) == ("UNAVAILABLE", "Server exiting")
    assert daemon.wait_exit(10) == 0


def test_idle_connections_do_not_keep_a_probe_from_its_answer(zoo):
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(socket.create_connection(("127.0.0.1", zoo.http_port)))
        begun = time.monotonic()
        assert zoo.is_ready()
        assert time.monotonic() - begun < 2


def test_a_misspelt_flag_is_an_error_that_names_the_nearest_one(repository):
    status, printed = run(f"--model-repositry={repository.folder}")
    assert status not in (0, None)
    assert "--model-repository" in printed


@pytest.mark.parametrize(
    "flag",
    [
        "--grpc-restricted-protocol=health:key=value",
        "--http-restricted-api=health:key=value",
        "--model-namespacing=true",
        "--repoagent-directory=/nowhere",
    ],
)
def test_a_flag_whose_absence_would_weaken_the_server_stops_it(repository, flag):
    status, printed = run(f"--model-repository={repository.folder}", *ports(), flag)
    assert status not in (0, None)
    assert flag.split("=")[0].lstrip("-") in printed


def test_a_flag_that_only_tunes_is_accepted_with_a_warning(serve, repository):
    daemon = serve(repository, "--pinned-memory-pool-byte-size=1048576", "--http-thread-count", "4")
    log = daemon.log_text()
    assert "pinned-memory-pool-byte-size" in log and "http-thread-count" in log


def test_a_folder_that_is_no_version_is_warned_of_unless_it_has_a_meaning_of_its_own(serve, repository):
    for folder in ("1", "01", "v2", "configs", "warmup", "initial_state"):
        repository.add("M", models.identity("FP32", ["b", 4]), version=folder)
    warnings = [line for line in serve(repository).log_text().splitlines() if line.startswith("W")]
    told = [line.partition("] ")[2] for line in warnings if "directory" in line]
    assert [text.partition(" is not a version and is ignored")[0] for text in told] == [
        f"model 'M': directory '{name}'" for name in ("01", "v2")
    ]


@pytest.mark.parametrize("flags", [["--grpc-port=many"], ["--exit-on-error=perhaps"], ["--grpc-port"], ["stray"]])
def test_a_value_that_makes_no_sense_is_an_error(repository, flags):
    status, printed = run(f"--model-repository={repository.folder}", *flags)
    assert status not in (0, None)
    assert printed.strip()


def test_a_missing_repository_is_an_error(tmp_path):
    status, printed = run(f"--model-repository={tmp_path / 'nowhere'}", *ports())
    assert status not in (0, None)
    assert "nowhere" in printed


def test_a_port_in_use_is_an_error_that_names_it(repository):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = [f"--model-repository={repository.folder}", "--grpc-address=127.0.0.1", *ports()[1:]]
        status, printed = run(*flags, f"--grpc-port={port}")
    assert status not in (0, None)
    assert str(port) in printed


def test_help_is_printed():
    status, printed = run("--help")
    assert status == 0
    for flag in ("--model-repository", "--grpc-port", "--exit-on-error", "check"):
        assert flag in printed


def test_settings_come_from_the_environment_too(repository, tmp_path):
    with Daemon([], tmp_path / "log", environment={"NERITE_MODEL_REPOSITORY": str(repository.folder)}) as daemon:
        daemon.wait_ready()


def test_many_clients_at_once_are_all_answered_rightly(zoo):
    wrong = []

    def work(number):
        with triton.InferenceServerClient(zoo.url) as client:
            for i in range(50):
                array = np.full((1 + i % 4, 16), number * 1000 + i, np.float32)
                inputs = [
                    triton.InferInput(name, list(array.shape), "FP32").set_data_from_numpy(array)
                    for name in ("INPUT0", "INPUT1")
                ]
                if not np.array_equal(client.infer("simple", inputs).as_numpy("OUTPUT0"), 2 * array):
                    wrong.append((number, i))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_the_limit_on_open_files_is_raised_as_far_as_it_may_be(serve, repository):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        daemon = serve(repository)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_onnx_runtime_reports_to_nobody(serve, repository, monkeypatch, tmp_path):
    # These would keep it quiet by themselves.
    for name in ("ORT_DISABLE_TELEMETRY", "CI", "GITLAB_CI", "CIRCLECI", "GITHUB_ACTIONS", "TF_BUILD"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(home))
    home.mkdir()
    repository.add("identity", models.identity("FP32", ["b", 4]))
    daemon = serve(repository)
    with triton.InferenceServerClient(daemon.url) as client:
        assert client.is_model_ready("identity")
    # It would keep an identifier of the machine there, from before the first model is loaded.
    assert list(home.rglob("*")) == []
