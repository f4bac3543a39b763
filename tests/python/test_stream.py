"""ModelStreamInfer: many requests on one call, through Triton's own client and through the bare stub."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from test_client import feed
from tritonclient.grpc import service_pb2_grpc
from wire import request

FINAL = "triton_final_response"
LIMIT = 60


class Stream:
    """A stream of Triton's client, and what its callback was told."""

    def __init__(self, url, **options):
        self.client = triton.InferenceServerClient(url)
        self.told = queue.Queue()
        self.client.start_stream(lambda result, error: self.told.put((result, error)), **options)

    def send(self, model, *inputs, **options):
        self.client.async_stream_infer(model, list(inputs), **options)

    def next(self):
        """The next result, which is no failure."""
        result, error = self.told.get(timeout=LIMIT)
        assert error is None, error
        return result.get_response(), result

    def failure(self):
        _, error = self.told.get(timeout=LIMIT)
        assert error is not None
        return error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Otherwise it would wait for what is under way.
        self.client.stop_stream(cancel_requests=True)
        self.client.close()


def vector(*numbers):
    return feed("INPUT0", np.array([numbers], np.float32))


def steps(count):
    return feed("STEPS", np.array([[count]], np.int64))


@pytest.fixture
def spinning(serve, repository):
    """A daemon of a quick model and of one that takes as long as it is told."""
    repository.add("quick", models.identity("FP32", ["b", "n"]))
    repository.add("spin", models.spin())
    return serve(repository)


def test_answers_come_in_the_order_of_their_requests_and_say_that_they_are_the_last(spinning):
    with Stream(spinning.url) as stream:
        # The slow ones come first and are overtaken, but not on the wire.
        for number in range(20):
            if number % 5 == 0:
                stream.send("spin", steps(20_000), request_id=str(number))
            else:
                stream.send("quick", vector(number), request_id=str(number))
        for number in range(20):
            response, result = stream.next()
            assert response.id == str(number)
            assert response.parameters[FINAL].bool_param
            if number % 5:
                np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), [[number]])


def test_requests_of_a_stream_are_executed_side_by_side(spinning):
    with Stream(spinning.url) as stream:
        stream.send("spin", steps(40_000_000), request_id="never")
        stream.send("quick", vector(1), request_id="quick")

        def succeeded():
            return spinning.metric("nv_inference_request_success", model="quick") == 1

        spinning.wait_until(succeeded, 20, "execute the second beside the first")
        assert stream.told.empty(), "its turn has not come"


def test_a_failure_is_told_in_its_response_and_the_stream_goes_on(zoo):
    with Stream(zoo.url) as stream:
        index = np.array([[3]], np.int64)
        stream.send("gather", feed("INDEX", index), request_id="first")
        stream.send("gather", feed("INDEX", index + 100), request_id="wrong")
        stream.send("unknown", feed("INDEX", index))
        stream.send("gather", feed("INDEX", index), request_id="last")
        assert stream.next()[0].id == "first"
        assert "indices element out of data bounds" in stream.failure().message()
        assert "unknown model" in stream.failure().message()
        assert stream.next()[0].id == "last"


def test_a_failure_names_its_request(stub):
    wrong = request("gather", ("INDEX", "INT64", [1, 1]), raw=[(100).to_bytes(8, "little")], request_id="wrong")
    unknown = request("unknown", request_id="unknown")
    engines, lookups = stub.ModelStreamInfer(iter([wrong, unknown]))
    for response, name in [(engines, "wrong"), (lookups, "unknown")]:
        assert response.error_message
        assert response.infer_response.id == name
        assert response.infer_response.parameters[FINAL].bool_param
    assert (engines.infer_response.model_name, engines.infer_response.model_version) == ("gather", "1")


def test_with_triton_grpc_error_the_first_failure_ends_the_stream_with_its_status(stub):
    good = request("gather", ("INDEX", "INT64", [1, 1]), raw=[bytes(8)], request_id="good")
    for wrong, code in [
        (request("gather", ("INDEX", "INT64", [1, 1]), raw=[(100).to_bytes(8, "little")]), "INTERNAL"),
        (request("unknown"), "NOT_FOUND"),
    ]:
        call = stub.ModelStreamInfer(iter([good, wrong, good]), metadata=[("triton_grpc_error", "true")])
        assert next(call).infer_response.id == "good"
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        assert caught.value.code().name == code, caught.value.details()
        assert caught.value.details()


def test_an_ordinary_model_has_no_empty_final_response_whether_it_is_asked_for_or_not(zoo):
    with Stream(zoo.url) as stream:
        for asked in (True, False):
            stream.send("identity_fp32", vector(1, 2), enable_empty_final_response=asked)
            response, result = stream.next()
            assert response.parameters[FINAL].bool_param
            np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), [[1, 2]])
        stream.client.stop_stream()
        assert stream.told.empty()


def test_compressed_streams_are_answered(zoo):
    for algorithm in ("gzip", "deflate"):
        with Stream(zoo.url, compression_algorithm=algorithm) as stream:
            for size in (1, 1_000_000):
                stream.send("identity_fp32", vector(*range(size)))
                np.testing.assert_array_equal(stream.next()[1].as_numpy("OUTPUT0"), [range(size)])


def test_many_streams_at_once_each_have_their_own_answers(zoo):
    def run(number):
        with Stream(zoo.url) as stream:
            for i in range(100):
                stream.send("identity_fp32", vector(number, i), request_id=f"{number}.{i}")
            for i in range(100):
                response, result = stream.next()
                assert response.id == f"{number}.{i}"
                np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), [[number, i]])

    with ThreadPoolExecutor(32) as pool:
        assert len(list(pool.map(run, range(64)))) == 64


def test_what_is_no_request_of_a_model_of_many_responses_says_so(serve, repository):
    repository.add("many", models.identity("FP32", ["b", 4]), "model_transaction_policy { decoupled: true }")
    daemon = serve(repository)
    four = feed("INPUT0", np.zeros((1, 4), np.float32))
    with Stream(daemon.url) as stream, triton.InferenceServerClient(daemon.url) as client:
        with pytest.raises(triton.InferenceServerException, match="decoupled transaction policy"):
            client.infer("many", [four])
        # An engine of one response may be declared to be decoupled.
        for asked in (True, False):
            stream.send("many", four, enable_empty_final_response=asked)
            assert stream.next()[0].parameters[FINAL].bool_param
        statistics = client.get_inference_statistics("many").model_stats[0].inference_stats
        assert (statistics.success.count, statistics.fail.count) == (2, 1)


def test_a_stream_that_is_broken_off_cancels_its_requests(spinning):
    with Stream(spinning.url) as stream:
        for _ in range(3):
            stream.send("spin", steps(2_000_000))
        requests = "nerite_inference_requests_total"
        spinning.wait_until(lambda: spinning.metric(requests, model="spin") == 3, 20, "have them all")
        stream.client.stop_stream(cancel_requests=True)

        def cancelled():
            return spinning.metric("nv_inference_request_failure", model="spin", reason="CANCELED")

        def pending():
            return spinning.metric("nv_inference_pending_request_count", model="spin")

        spinning.wait_until(lambda: cancelled() == 3, 20, "count them as cancelled")
        spinning.wait_until(lambda: pending() == 0, 20, "let go of those that waited")


def test_a_stop_answers_what_a_stream_has_begun_and_ends_it(spinning):
    ended = threading.Event()

    def requests():
        yield request("spin", ("STEPS", "INT64", [1, 1]), raw=[(400_000).to_bytes(8, "little")], request_id="begun")
        # The client does not end its side.
        ended.wait(LIMIT)

    with grpc.insecure_channel(spinning.url) as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(requests())
        received = "nerite_inference_requests_total"
        spinning.wait_until(lambda: spinning.metric(received, model="spin") == 1, 20, "have the request")
        spinning.terminate()
        assert next(call).infer_response.id == "begun"
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        assert (caught.value.code().name, caught.value.details()) == ("UNAVAILABLE", "Server exiting")
        assert spinning.wait_exit() == 0
        ended.set()


def test_a_client_that_does_not_read_bounds_what_its_stream_holds(serve, repository):
    repository.add("quick", models.identity("FP32", ["b", "n"]))
    daemon = serve(repository)
    size, count, sent = 1 << 20, 600, 0

    def requests():
        nonlocal sent
        raw = bytes(size)
        for number in range(count):
            sent = number + 1
            yield request("quick", ("INPUT0", "FP32", [1, size // 4]), raw=[raw], request_id=str(number))

    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(daemon.url, options) as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(requests())
        seen = []

        def has_stopped():
            seen.append(sent)
            return len(seen) > 50 and seen[-1] == seen[-50] > 0

        daemon.wait_until(has_stopped, 30, "stop reading")
        assert sent < count, "it read all of them, though nobody took an answer"
        assert daemon.metric("nerite_inflight_bytes") < 200 << 20
        for number, response in enumerate(call):
            assert response.infer_response.id == str(number)
            assert len(response.infer_response.raw_output_contents[0]) == size
        assert number == count - 1
    daemon.wait_until(lambda: daemon.metric("nerite_inflight_bytes") == 0, 10, "hold nothing any more")


def test_every_request_of_a_stream_has_its_line_in_the_access_log(serve, repository, tmp_path):
    repository.add("quick", models.identity("FP32", ["b", "n"]))
    log = tmp_path / "access.log"
    daemon = serve(repository, f"--access-log={log}")
    with Stream(daemon.url) as stream:
        for name in ("one", "two"):
            stream.send("quick", vector(1), request_id=name)
            stream.next()
        stream.send("unknown", vector(1), request_id="three")
        stream.failure()
    daemon.wait_until(lambda: log.read_text().count("\n") == 3, 10, "write its lines")
    for name, status, line in zip(
        ("one", "two", "three"), ("OK", "OK", "NOT_FOUND"), log.read_text().splitlines(), strict=True
    ):
        assert f'id="{name}"' in line and f"status={status}" in line, line
