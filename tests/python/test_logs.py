"""The log and the access log: their formats, what clients may change of them, and readers that do not read."""

import contextlib
import json
import os
import re
import select
import subprocess
import threading
import time
from datetime import datetime, timezone

import grpc
import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from daemon import BINARY, clean_environment, free_ports
from tritonclient.grpc import service_pb2, service_pb2_grpc
from wire import fault, request

DEFAULTS = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def served(serve, repository):
    """serve(*flags): a daemon of the model `identity`, and Triton's client."""
    repository.add("identity", models.identity("FP32", ["b", 4]))
    with contextlib.ExitStack() as stack:

        def start(*flags):
            daemon = serve(repository, *flags)
            return daemon, stack.enter_context(triton.InferenceServerClient(daemon.url))

        yield start


def feed(rows=1):
    data = np.ones((rows, 4), np.float32)
    return [triton.InferInput("INPUT0", [rows, 4], "FP32").set_data_from_numpy(data)]


def shown(response):
    """The settings in an answer, by name."""
    return {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in response.settings.items()}


def lines_of(daemon, path, count):
    """The lines of a file, once there are so many."""
    daemon.wait_until(lambda: path.exists() and len(path.read_text().splitlines()) >= count, 10, f"write {path}")
    lines = path.read_text().splitlines()
    assert len(lines) == count
    return lines


def test_clients_see_the_settings_of_the_log(served, tmp_path):
    _, client = served()
    assert shown(client.get_log_settings()) == DEFAULTS
    assert "logging" in client.get_server_metadata().extensions
    path = tmp_path / "nerite.txt"
    _, client = served(f"--log-file={path}", "--log-verbose=3", "--log-info=false", "--log-format=ISO8601")
    expected = {"log_file": str(path), "log_verbose_level": 3, "log_info": False, "log_format": "ISO8601"}
    assert shown(client.get_log_settings()) == DEFAULTS | expected
    as_json = client.get_log_settings(as_json=True)
    assert as_json["settings"]["log_verbose_level"] == {"uint32_param": 3}


def test_clients_change_the_log_while_it_is_written(served):
    daemon, client = served("--model-control-mode=explicit", "--load-model=identity")

    def written():
        """What the log has of a load."""
        before = len(daemon.log_text())
        client.unload_model("identity")
        client.load_model("identity")
        return daemon.log_text()[before:]

    assert re.search(r"^I\d{4} .*successfully loaded 'identity'", written(), re.MULTILINE)
    changed = client.update_log_settings({"log_info": False, "log_format": "ISO8601"})
    assert shown(changed) == DEFAULTS | {"log_info": False, "log_format": "ISO8601"}
    assert written() == ""
    client.update_log_settings({"log_info": True})
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ I .*successfully loaded 'identity'", written(), re.MULTILINE)
    client.update_log_settings({"log_format": "json"})
    messages = [json.loads(line)["message"] for line in written().splitlines()]
    assert "successfully loaded 'identity' version 1" in messages
    client.update_log_settings({"log_verbose_level": 2})
    assert shown(client.get_log_settings())["log_verbose_level"] == 2
    everything = {"log_info": True, "log_warning": False, "log_error": False, "log_verbose_level": 0}
    assert shown(client.update_log_settings(everything)) == DEFAULTS | everything | {"log_format": "json"}


def test_a_setting_that_is_wrong_changes_nothing(served):
    daemon, _ = served()
    with grpc.insecure_channel(daemon.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def change(**settings):
            message = service_pb2.LogSettingsRequest()
            message.settings["log_warning"].bool_param = False
            for name, (field, value) in settings.items():
                if field:
                    setattr(message.settings[name], field, value)
                else:
                    message.settings[name].SetInParent()
            return fault(stub.LogSettings, message)

        text, number, switch, nothing = "string_param", "uint32_param", "bool_param", None
        immovable = ("UNIMPLEMENTED", "log file location can not be updated through network protocol")
        assert change(log_file=(text, "elsewhere.log")) == immovable
        assert change(log_file=(nothing, None)) == immovable
        for name in ("log_info", "log_error"):
            for wrong in ((text, "true"), (number, 1), (nothing, None)):
                assert change(**{name: wrong}) == ("INVALID_ARGUMENT", f"expect boolean for '{name}'")
        for wrong in ((text, "1"), (switch, True)):
            assert change(log_verbose_level=wrong) == ("INVALID_ARGUMENT", "expect int32 for 'log_verbose_level'")
        assert change(log_format=(number, 1)) == ("INVALID_ARGUMENT", "expect string for 'log_format'")
        for wrong in ("xml", "JSON", "iso8601", ""):
            expected = ("INVALID_ARGUMENT", f"invalid argument for log_format, got: {wrong}")
            assert change(log_format=(text, wrong)) == expected
        code, details = change(log_colour=(switch, True))
        assert code == "INVALID_ARGUMENT" and details.startswith("unknown log setting 'log_colour'; there are log_info")
        assert shown(stub.LogSettings(service_pb2.LogSettingsRequest())) == DEFAULTS


def test_every_line_of_a_json_log_is_an_object(serve, repository):
    repository.add("good", models.identity("FP32", ["b", 4]))
    repository.add("broken", b"not a model")
    repository.add('odd "name"\\', models.identity("FP32", ["b", 4]))
    daemon = serve(repository, "--log-format=json", "--log-verbose=2", "--exit-on-error=false", wait=False)
    daemon.wait_until(lambda: "Started" in daemon.log_text() and "not an ONNX model" in daemon.log_text(), 30, "load")
    daemon.stop()
    lines = [json.loads(line) for line in daemon.log_text().splitlines()]
    assert len(lines) > 5
    for line in lines:
        assert datetime.strptime(line["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ")
        assert line["level"] in ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
        assert line["pid"] == daemon.process.pid and line["line"] > 0 and line["file"].endswith(".rs")
        assert line["target"].startswith("nerite") and line["message"]


def test_the_access_log_has_a_line_for_each_inference(served, tmp_path):
    path = tmp_path / "access.log"
    daemon, client = served(f"--access-log={path}", "--log-format=json")
    began = datetime.now(timezone.utc)
    client.infer("identity", feed(3), request_id='my "request"\n', headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    for name, version in (("nobody", ""), ("identity", "7")):
        with pytest.raises(triton.InferenceServerException):
            client.infer(name, feed(), model_version=version)
    wrong = [triton.InferInput("INPUT0", [1, 5], "FP32").set_data_from_numpy(np.ones((1, 5), np.float32))]
    with pytest.raises(triton.InferenceServerException):
        client.infer("identity", wrong)
    client.is_server_ready()
    good, nobody, seventh, refused = map(json.loads, lines_of(daemon, path, 4))

    time_of = datetime.strptime(good.pop("timestamp"), "%Y-%m-%dT%H:%M:%S.%f%z")
    assert abs((time_of - began).total_seconds()) < 10
    assert re.fullmatch(r"127\.0\.0\.1:\d+", good.pop("peer"))
    queue, compute, total = (good.pop(name) for name in ("queue_us", "compute_us", "total_us"))
    assert 0 <= queue and 0 < compute and queue + compute <= total < 10_000_000
    assert good.pop("request_bytes") > 48 and good.pop("response_bytes") > 48
    assert good == {
        "level": "INFO",
        "target": "access",
        "pid": daemon.process.pid,
        "model": "identity",
        "version": 1,
        "id": 'my "request"\n',
        "rows": 3,
        "status": "OK",
        "trace_id": TRACE,
    }
    assert [line["status"] for line in (nobody, seventh, refused)] == ["NOT_FOUND", "NOT_FOUND", "INVALID_ARGUMENT"]
    assert [line["model"] for line in (nobody, seventh, refused)] == ["nobody", "identity", "identity"]
    assert [line.get("version") for line in (nobody, seventh, refused)] == [None, None, 1]
    assert all("compute_us" not in line and "response_bytes" not in line for line in (nobody, seventh, refused))


def test_the_access_log_tells_of_callers_that_gave_up_and_of_those_that_were_refused(serve, repository, tmp_path):
    repository.add("spin", models.spin())
    path = tmp_path / "access.log"
    daemon = serve(repository, f"--access-log={path}", "--max-inflight-requests=1")
    steps = (500_000).to_bytes(8, "little")
    long = request("spin", ("STEPS", "INT64", [1, 1]), raw=[steps], request_id="long")
    with grpc.insecure_channel(daemon.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert fault(stub.ModelInfer, long, timeout=0.3)[0] == "DEADLINE_EXCEEDED"
        lines_of(daemon, path, 1)
        call = stub.ModelInfer.future(long)
        daemon.wait_until(lambda: daemon.metric("nerite_inflight_requests") == 1, 10, "take the request")
        assert fault(stub.ModelInfer, long)[0] == "UNAVAILABLE"
        call.cancel()
        late, refused, cancelled = lines_of(daemon, path, 3)
    assert "] peer=127.0.0.1:" in late
    assert ' model="spin" version=1 id="long" rows=1 status=DEADLINE_EXCEEDED total_us=' in late
    assert ' model="spin" version=1 id="long" rows=1 status=CANCELLED total_us=' in cancelled
    assert " status=UNAVAILABLE total_us=" in refused and "model" not in refused


def test_the_access_log_follows_the_format_of_the_log_and_takes_a_sample(served, tmp_path):
    path = tmp_path / "access.log"
    daemon, client = served(f"--access-log={path}", "--access-log-sample=10")
    for _ in range(25):
        client.infer("identity", feed())
    lines = lines_of(daemon, path, 3)
    assert all(re.match(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} \d+ access\] peer=", line) for line in lines)
    client.update_log_settings({"log_format": "json", "log_info": False})
    for _ in range(10):
        client.infer("identity", feed())
    assert json.loads(lines_of(daemon, path, 4)[-1])["model"] == "identity"


def test_a_line_of_the_access_log_on_standard_error_is_never_torn(served):
    daemon, client = served("--access-log=-", "--log-format=json", "--log-verbose=2")

    def infer():
        with triton.InferenceServerClient(daemon.url) as own:
            for _ in range(200):
                own.infer("identity", feed())

    threads = [threading.Thread(target=infer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        client.update_log_settings({"log_verbose_level": 2})
    for thread in threads:
        thread.join()
    daemon.stop()
    lines = [json.loads(line) for line in daemon.log_text().splitlines()]
    assert sum(line["target"] == "access" for line in lines) == 800
    assert sum(line["message"].startswith("a client changed") for line in lines if "message" in line) == 20


def test_a_pipe_that_nobody_reads_holds_up_no_request_and_every_line_is_written_or_counted(served, tmp_path):
    pipe = tmp_path / "access.pipe"
    os.mkfifo(pipe)
    daemon, _ = served(f"--access-log={pipe}")
    requests, threads, slowest = 30_000, 4, []
    message = request("identity", ("INPUT0", "FP32", [1, 4]), raw=[bytes(16)], request_id="x" * 400)

    def infer():
        longest = 0
        with grpc.insecure_channel(daemon.url, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            for _ in range(requests // threads):
                before = time.monotonic()
                stub.ModelInfer(message)
                longest = max(longest, time.monotonic() - before)
        slowest.append(longest)

    workers = [threading.Thread(target=infer) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(slowest) == threads and max(slowest) < 2
    dropped = daemon.metric("nerite_access_log_lines_dropped_total")
    assert dropped > 0
    # What was kept is there for a reader who comes late, and then the log goes on.
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        text = drain(reader, lambda text: text.count(b"\n") >= requests - dropped)
        assert text.count(b"\n") == requests - dropped
        assert all(b" status=OK queue_us=" in line for line in text.splitlines())
        assert daemon.metric("nerite_access_log_lines_dropped_total") == dropped
        with grpc.insecure_channel(daemon.url) as channel:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message)
        assert drain(reader, lambda text: b"\n" in text).count(b"\n") == 1
    finally:
        os.close(reader)


def drain(reader, enough, seconds=20):
    """What comes out of a pipe until there is enough of it."""
    text, deadline = b"", time.monotonic() + seconds
    while not enough(text):
        assert time.monotonic() < deadline, f"{len(text)} bytes came"
        if select.select([reader], [], [], 0.1)[0]:
            text += os.read(reader, 1 << 20)
    return text


@pytest.mark.parametrize("format", ["default", "json"])
def test_standard_error_that_nobody_reads_holds_up_neither_requests_nor_the_exit(repository, format):
    repository.add("identity", models.identity("FP32", ["b", 4]))
    ports = free_ports(3)
    reader, writer = os.pipe()
    flags = [f"--{name}-port={port}" for name, port in zip(("grpc", "http", "metrics"), ports)]
    command = [BINARY, f"--model-repository={repository.folder}", *flags, f"--log-format={format}"]
    process = subprocess.Popen(command, stderr=writer, stdout=subprocess.DEVNULL, env=clean_environment())
    os.close(writer)
    try:
        with triton.InferenceServerClient(f"127.0.0.1:{ports[0]}") as client:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                with contextlib.suppress(triton.InferenceServerException):
                    if client.is_server_ready():
                        break
                time.sleep(0.05)
            # Each of these is a line of information, and together they are many times what a pipe holds.
            before = time.monotonic()
            for _ in range(3_000):
                client.update_log_settings({"log_info": True})
            client.infer("identity", feed())
            assert time.monotonic() - before < 30
        process.terminate()
        # The reader has not read a byte, and is waited for no longer than a second.
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)


def test_an_access_log_that_cannot_be_written_to_ends_the_start(serve, repository, tmp_path):
    repository.add("identity", models.identity("FP32", ["b", 4]))
    daemon = serve(repository, f"--access-log={tmp_path}", wait=False)
    assert daemon.wait_exit() == 1
    assert f"--access-log: cannot open {tmp_path}" in daemon.log_text()
