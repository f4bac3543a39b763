"""Answers that are kept for requests that are the same, through a real client."""

import threading

import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from server import LIMIT, Server, tensors
from tritonclient.grpc import service_pb2
from wire import request

CACHE = "--cache-config=local,size=1048576"
ENABLED = "response_cache { enable: true }\n"
ONE_INSTANCE = "instance_group [ { count: 1 kind: KIND_CPU } ]\n"
# Some tenths of a second.
LONG = 200_000


class Caching(Server):
    """A daemon, and what it says of a model's answers."""

    def statistics(self, model):
        """What ModelStatistics says."""
        return self.stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=model)).model_stats[0]

    def counts(self, model):
        """Successes, inferences, hits and misses."""
        stats = self.statistics(model)
        of = stats.inference_stats
        return of.success.count, stats.inference_count, of.cache_hit.count, of.cache_miss.count


@pytest.fixture
def caching(repository, serve):
    """Starts a daemon over the repository: caching(flags...)."""
    started = []

    def start(*flags):
        started.append(Caching(serve(repository, *flags)))
        return started[-1]

    yield start
    for server in started:
        server.close()


def add(repository, name="m", value=1, extra=ENABLED):
    """A model that adds so much to one number."""
    config = models.config(name, [("INPUT0", "FP32", [1])], [("OUTPUT0", "FP32", [1])], 0, extra)
    repository.add(name, models.add_constant(value), config)


def number(value):
    """One number."""
    return np.array([value], np.float32)


def test_the_same_is_computed_once_and_counted_as_in_triton(repository, caching):
    add(repository)
    add(repository, "without", extra="")
    server = caching(CACHE, "--metrics-config=summary_latencies=true")
    for value in [1, 1, 2, 1, 2]:
        for name in ["m", "without"]:
            assert server.infer(name, INPUT0=number(value))["OUTPUT0"] == value + 1
    assert server.counts("m") == (5, 2, 3, 2)
    assert server.counts("without") == (5, 5, 0, 0)
    stats = server.statistics("m").inference_stats
    assert (stats.queue.count, stats.compute_infer.count) == (5, 2)
    assert stats.cache_hit.ns > 0 and stats.cache_miss.ns > 0
    metric = server.daemon.metric
    for name, value in {
        "nv_cache_num_hits_per_model": 3,
        "nv_cache_num_misses_per_model": 2,
        "nv_inference_request_success": 5,
        "nv_inference_count": 2,
        "nv_cache_hit_summary_per_model_count": 3,
        "nv_cache_miss_summary_per_model_count": 2,
    }.items():
        assert metric(name, model="m") == value, name
    assert metric("nv_cache_hit_duration_per_model", model="m") == stats.cache_hit.ns // 1000
    assert metric("nv_cache_miss_duration_per_model", model="m") == stats.cache_miss.ns // 1000
    assert metric("nerite_response_cache_entries") == 2
    assert 0 < metric("nerite_response_cache_bytes") < metric("nerite_response_cache_size_bytes") == 1 << 20
    text = server.daemon.metrics()
    of_other = [line for line in text.splitlines() if 'model="without"' in line and "cache" in line]
    assert of_other == [], "a model that keeps nothing has no such metrics"


def test_requests_of_a_stream_find_what_is_kept(repository, caching):
    add(repository)
    server = caching(CACHE)
    assert server.infer("m", INPUT0=number(1))["OUTPUT0"] == 2
    message = request("m", ("INPUT0", "FP32", [1]), raw=[number(1).tobytes()], request_id="s")
    answers = list(server.stub.ModelStreamInfer(iter([message] * 3), timeout=LIMIT))
    assert [answer.infer_response.id for answer in answers] == ["s"] * 3
    assert {answer.infer_response.raw_output_contents[0] for answer in answers} == {number(2).tobytes()}
    assert server.counts("m") == (4, 1, 3, 1)


def spinning(repository):
    """A model whose answer takes as long as the request says, one at a time."""
    tensor = [("STEPS", "INT64", [-1, 1])], [("OUTPUT0", "INT64", [-1, 1])]
    repository.add("spin", models.spin(), models.config("spin", *tensor, 0, ENABLED + ONE_INSTANCE))


def begin(server, steps):
    """Sends a request and returns its future."""
    raw = [np.array([[steps]], np.int64).tobytes()]
    return server.stub.ModelInfer.future(request("spin", ("STEPS", "INT64", [1, 1]), raw=raw), timeout=LIMIT)


def test_requests_that_come_while_the_same_is_computed_wait_for_its_answer(repository, caching):
    spinning(repository)
    server = caching(CACHE)
    calls = [begin(server, LONG) for _ in range(8)]
    answers = {call.result().raw_output_contents[0] for call in calls}
    assert len(answers) == 1
    assert server.counts("spin") == (8, 1, 7, 1)


def test_a_client_that_goes_away_takes_nobody_else_with_it(repository, caching):
    spinning(repository)
    server = caching(CACHE)

    def received():
        return server.daemon.metric("nerite_inference_requests_total", model="spin")

    first = begin(server, 5 * LONG)
    server.until(lambda: received() == 1, "the first is there")
    second = begin(server, 5 * LONG)
    server.until(lambda: received() == 2, "the second is there")
    first.cancel()
    assert second.result().raw_output_contents
    success, _, hits, misses = server.counts("spin")
    # The first may have come to its end all the same.
    assert (success, hits + misses) == (1, 1)


def test_a_reload_forgets_the_answers_of_what_was_loaded_before(repository, caching):
    add(repository)
    server = caching(CACHE, "--model-control-mode=explicit", "--load-model=m")
    for _ in range(2):
        assert server.infer("m", INPUT0=number(1))["OUTPUT0"] == 2
    add(repository, value=10)
    server.client.load_model("m")
    for _ in range(2):
        assert server.infer("m", INPUT0=number(1))["OUTPUT0"] == 11
    server.until(lambda: server.daemon.metric("nerite_response_cache_entries") == 1, "the old answer is gone")
    server.client.unload_model("m")
    server.until(lambda: server.daemon.metric("nerite_response_cache_bytes") == 0, "all is gone")


def test_answers_of_any_size_stay_within_the_bound_and_are_right(repository, caching):
    config = models.config("m", [("INPUT0", "FP32", [-1])], [("OUTPUT0", "FP32", [-1])], 0, ENABLED)
    repository.add("m", models.identity("FP32", [-1]), config)
    size = 100_000
    server = caching(f"--cache-config=local,size={size}")
    random = np.random.default_rng(7)
    sent = [random.random(int(length), np.float32) for length in random.integers(0, 20_000, 40)]
    for data in [*sent, *reversed(sent)]:
        assert np.array_equal(server.infer("m", INPUT0=data)["OUTPUT0"], data)
        assert server.daemon.metric("nerite_response_cache_bytes") <= size
    assert server.daemon.metric("nerite_response_cache_evictions_total") > 0
    success, _, hits, misses = server.counts("m")
    assert (success, hits + misses) == (80, 80) and hits > 0


def test_callers_at_a_time_get_their_own_answers(repository, caching):
    add(repository)
    server = caching("--cache-config=local,size=4000")
    wrong = []

    def ask(seed):
        client = triton.InferenceServerClient(server.daemon.url)
        random = np.random.default_rng(seed)
        for value in random.integers(0, 12, 200):
            answer = client.infer("m", tensors({"INPUT0": number(value)}), client_timeout=LIMIT)
            if answer.as_numpy("OUTPUT0") != value + 1:
                wrong.append(value)
        client.close()

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    success, _, hits, misses = server.counts("m")
    assert (success, hits + misses) == (800, 800)


def test_a_server_without_a_cache_says_so_and_keeps_nothing(repository, caching):
    add(repository)
    server = caching()
    for _ in range(2):
        assert server.infer("m", INPUT0=number(1))["OUTPUT0"] == 2
    assert server.counts("m") == (2, 2, 0, 0)
    log = server.daemon.log_text()
    assert "model 'm': response_cache has no effect, since the server keeps no answers" in log
    assert "cache" not in server.daemon.metrics().replace("cached requests", "")


def test_a_decoupled_model_whose_answers_were_to_be_kept_is_refused(repository, caching):
    add(repository, extra=ENABLED + "model_transaction_policy { decoupled: true }\n")
    server = caching(CACHE, "--exit-on-error=false", "--strict-readiness=false")
    expected = "Response Cache does not currently support model m with 'decoupled' transaction policy"
    server.until(lambda: expected in server.daemon.log_text(), "the reason is in the log")
