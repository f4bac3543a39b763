"""Ensembles: requests that go through several models, and what becomes of them when these change."""

import subprocess
import threading

import models
import numpy as np
import plugins
import pytest
import tritonclient.grpc as triton
from accounts import Series, check
from daemon import BINARY
from ensembles import X, Y, chain, ensemble, linear, step
from server import LIMIT, Server, tensors
from tritonclient.grpc import service_pb2
from wire import fault, request

EXPLICIT = "--model-control-mode=explicit"
ROWS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


@pytest.fixture
def world(serve, repository):
    """Serves these, by name: a model, the configuration of an ensemble, or both. world(models, *flags)."""
    started = []

    def start(given, *flags):
        for name, content in given.items():
            add(repository, name, content)
        server = Server(serve(repository, *flags))
        server.repository = repository
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()


def add(repository, name, content):
    if isinstance(content, str):
        content = None, content
    elif not isinstance(content, tuple):
        content = content, None
    return repository.add(name, *content)


def succeeded(server, model):
    return server.daemon.metric("nv_inference_request_success", model=model)


DOUBLE_PLUS_ONE = {"double": linear(2, 0), "one": linear(1, 1)}


def test_a_chain_gives_what_its_models_give_one_after_the_other(world):
    server = world({**DOUBLE_PLUS_ONE, "both": chain("double", "one")})
    np.testing.assert_array_equal(server.infer("both", X=ROWS)["Y"], ROWS * 2 + 1)
    metadata = server.client.get_model_metadata("both")
    assert (metadata.platform, metadata.versions) == ("ensemble", ["1"])
    assert [list(one.shape) for one in [*metadata.inputs, *metadata.outputs]] == [[-1, -1], [-1, -1]]
    assert [server.rows(name) for name in ("both", "double")] == [[("1", "READY", "")]] * 2
    config = server.client.get_model_config("both").config
    assert config.platform == "ensemble" and not config.instance_group and not config.HasField("optimization")
    check(server.daemon)


DIAMOND = ensemble(
    X,
    [*Y, ("A", "FP32", [-1])],
    step("sum", {"INPUT0": "a", "INPUT1": "A", "INPUT2": "X"}, {"OUTPUT0": "Y"}),
    step("double", {"INPUT0": "X"}, {"OUTPUT0": "a"}),
    step("one", {"INPUT0": "X"}, {"OUTPUT0": "A"}),
    batch=4,
)


def test_in_a_diamond_each_step_runs_once_and_only_what_is_asked_for_does(world):
    server = world({**DOUBLE_PLUS_ONE, "sum": models.three_inputs(["b", "n"]), "diamond": DIAMOND})
    answers = server.infer("diamond", X=ROWS)
    np.testing.assert_array_equal(answers["Y"], ROWS * 2 + (ROWS + 1) + ROWS)
    np.testing.assert_array_equal(answers["A"], ROWS + 1)
    assert [succeeded(server, name) for name in ("sum", "double", "one", "diamond")] == [1, 1, 1, 1]
    assert list(server.infer("diamond", outputs=["A"], X=ROWS)) == ["A"]
    assert list(server.infer("diamond", outputs=["Y"], X=ROWS)) == ["Y"]
    assert [succeeded(server, name) for name in ("sum", "double", "one", "diamond")] == [2, 2, 3, 3]
    check(server.daemon)


def test_an_optional_input_that_is_left_out_is_left_out_of_the_step(world):
    inputs = [("INPUT0", "FP32", [-1]), ("INPUT1", "FP32", [1], "optional: true")]
    inner = models.config("add", inputs, [("OUTPUT0", "FP32", [-1])])
    own = [("X", "FP32", [-1]), ("Z", "FP32", [1], "optional: true")]
    outer = ensemble(own, Y, step("add", {"INPUT0": "X", "INPUT1": "Z"}, {"OUTPUT0": "Y"}))
    server = world({"outer": outer, "add": (models.optional_input(), inner)})
    row, three = ROWS[0], np.array([3], np.float32)
    np.testing.assert_array_equal(server.infer("outer", X=row)["Y"], row + 10)
    np.testing.assert_array_equal(server.infer("outer", X=row, Z=three)["Y"], row + 3)


def test_an_ensemble_may_be_part_of_another(world):
    outer = ensemble(
        X,
        Y,
        step("inner", {"X": "X"}, {"Y": "a"}),
        step("double", {"INPUT0": "a"}, {"OUTPUT0": "b"}),
        step("inner", {"X": "b"}, {"Y": "Y"}),
        batch=4,
    )
    server = world({**DOUBLE_PLUS_ONE, "inner": chain("double", "one"), "outer": outer})
    np.testing.assert_array_equal(server.infer("outer", X=ROWS)["Y"], ((ROWS * 2 + 1) * 2) * 2 + 1)
    assert (succeeded(server, "inner"), succeeded(server, "double")) == (2, 3)
    check(server.daemon)


def test_tensors_go_from_models_that_batch_to_models_that_do_not_and_back(world):
    plain = models.config("plain", [("INPUT0", "FP32", [3])], [("OUTPUT0", "FP32", [3])])
    inside = ensemble(
        [("X", "FP32", [3])],
        [("Y", "FP32", [3])],
        step("double", {"INPUT0": "X"}, {"OUTPUT0": "a"}),
        step("plain", {"INPUT0": "a"}, {"OUTPUT0": "b"}),
        step("double", {"INPUT0": "b"}, {"OUTPUT0": "Y"}),
        batch=1,
    )
    server = world({"plain": (models.identity("FP32", [3]), plain), "double": linear(2, 0, ("b", 3)), "mixed": inside})
    np.testing.assert_array_equal(server.infer("mixed", X=ROWS[:1])["Y"], ROWS[:1] * 4)


def test_what_fails_in_a_step_is_told_with_the_ensembles_name_and_the_steps_code(world):
    looks_up = ensemble(
        [("INDEX", "INT64", [1])],
        Y_OF_GATHER,
        step("gather", {"INDEX": "INDEX"}, {"OUTPUT0": "Y"}),
        batch=4,
    )
    strict = ensemble(
        [("X", "FP32", [-1])],
        [("Y", "FP32", [3])],
        step("double", {"INPUT0": "X"}, {"OUTPUT0": "a"}),
        step("three", {"INPUT0": "a"}, {"OUTPUT0": "Y"}),
        batch=4,
    )
    given = {"gather": models.gather(), "looks_up": looks_up, "strict": strict, "double": linear(2, 0)}
    server = world({**given, "three": linear(1, 0, ("b", 3))})
    index = np.array([[3]], np.int64)
    good = server.infer("looks_up", INDEX=index)["Y"]
    np.testing.assert_array_equal(good, [[[12, 13, 14, 15]]])
    code, text = failure(server, "looks_up", INDEX=index + 100)
    assert code == "INTERNAL" and text.startswith("in ensemble 'looks_up', ")
    assert "indices element out of data bounds" in text
    np.testing.assert_array_equal(server.infer("strict", X=ROWS)["Y"], ROWS * 2)
    code, text = failure(server, "strict", X=ROWS[:, :2])
    shape = "[request id: r] unexpected shape for input 'INPUT0' for model 'three'. Expected [-1,3], got [2,2]."
    assert code == "INVALID_ARGUMENT" and text.startswith(f"in ensemble 'strict', {shape}")
    # What can be seen to be wrong at once is told without it.
    assert failure(server, "strict", X=ROWS[0])[1].startswith("[request id: r] ")
    check(server.daemon)


Y_OF_GATHER = [("Y", "FP32", [1, 4])]


def failure(server, model, deadline=LIMIT, **arrays):
    """The code and text that a request ends with."""
    named = [(name, triton_type(array), list(array.shape)) for name, array in arrays.items()]
    message = request(model, *named, raw=[array.tobytes() for array in arrays.values()], request_id="r")
    return fault(server.stub.ModelInfer, message, timeout=deadline)


def triton_type(array):
    return {"float32": "FP32", "int64": "INT64", "int32": "INT32", "uint32": "UINT32"}[str(array.dtype)]


SPIN = ensemble(
    [("STEPS", "INT64", [1])],
    [("Y", "INT64", [1])],
    step("spin", {"STEPS": "STEPS"}, {"OUTPUT0": "a"}),
    step("again", {"STEPS": "a"}, {"OUTPUT0": "Y"}),
    batch=4,
)
ENDLESS = np.array([[1_000_000_000]], np.int64)
# A run ends early only if it is that of one request.
ALONE = models.config("spin", [("STEPS", "INT64", [1])], [("OUTPUT0", "INT64", [1])], 4)


def test_a_deadline_or_a_caller_that_goes_away_ends_the_steps(world):
    server = world({"spin": (models.spin(), ALONE), "again": models.spin(), "twice": SPIN})
    assert failure(server, "twice", deadline=1, STEPS=ENDLESS)[0] == "DEADLINE_EXCEEDED"
    message = request("twice", ("STEPS", "INT64", [1, 1]), raw=[ENDLESS.tobytes()])
    calls = [server.stub.ModelInfer.future(message, timeout=LIMIT) for _ in range(6)]
    server.until(lambda: server.daemon.metric("nerite_instances_busy", model="spin") > 0, "a step begins")
    for call in calls:
        call.cancel()
    server.until(lambda: server.daemon.metric("nerite_instances_busy", model="spin") == 0, "every step ends")
    one = np.array([[1]], np.int64)
    np.testing.assert_array_equal(server.infer("twice", STEPS=one)["Y"], one)
    series = Series(server.daemon)
    assert series.total("nv_inference_request_failure", model="twice", reason="CANCELED") == 7
    assert series.total("nv_inference_request_success", model="again") == 1
    check(server.daemon)


def test_a_step_that_waits_for_too_long_is_told_so_whatever_its_model_is_at(world):
    queue = "dynamic_batching { default_queue_policy { default_timeout_microseconds: 200000 } }\n"
    queue += "instance_group [ { count: 1 kind: KIND_CPU } ]"
    io = [("STEPS", "INT64", [1])], [("OUTPUT0", "INT64", [1])]
    spin = models.config("spin", *io, 4, queue)
    server = world({"spin": (models.spin(), spin), "again": models.spin(), "twice": SPIN})
    message = request("spin", ("STEPS", "INT64", [1, 1]), raw=[ENDLESS.tobytes()])
    busy = server.stub.ModelInfer.future(message, timeout=LIMIT)
    server.until(lambda: server.daemon.metric("nerite_instances_busy", model="spin") > 0, "it begins")
    one = np.array([[1]], np.int64)
    assert failure(server, "twice", STEPS=one) == ("UNAVAILABLE", "in ensemble 'twice', Request timeout expired")
    busy.cancel()
    check(server.daemon)


def test_an_ensembles_statistics_are_those_of_all_its_steps_together(world):
    server = world({**DOUBLE_PLUS_ONE, "both": chain("double", "one")})
    for _ in range(3):
        server.infer("both", X=ROWS)
    stats = {one.name: one for one in server.client.get_inference_statistics().model_stats}
    both, parts = stats["both"], [stats["double"], stats["one"]]
    assert (both.inference_count, both.execution_count, both.inference_stats.success.count) == (6, 3, 3)
    assert [part.inference_count for part in parts] == [6, 6]
    for phase in ("compute_input", "compute_infer", "compute_output"):
        total = sum(getattr(part.inference_stats, phase).ns for part in parts)
        assert getattr(both.inference_stats, phase).ns == total, phase
    assert both.inference_stats.success.ns >= sum(part.inference_stats.success.ns for part in parts)


def test_a_step_finds_what_its_model_was_asked_before_whoever_asked(world):
    io = [("INPUT0", "FP32", [-1])], [("OUTPUT0", "FP32", [-1])]
    kept = models.config("double", *io, 4, "response_cache { enable: true }")
    given = {"double": (linear(2, 0), kept), "one": linear(1, 1), "both": chain("double", "one")}
    server = world(given, "--cache-config=local,size=1048576")
    for _ in range(3):
        np.testing.assert_array_equal(server.infer("both", X=ROWS)["Y"], ROWS * 2 + 1)
    np.testing.assert_array_equal(server.infer("double", INPUT0=ROWS)["OUTPUT0"], ROWS * 2)
    stats = {one.name: one for one in server.client.get_inference_statistics().model_stats}
    of = stats["double"].inference_stats
    assert (of.success.count, of.cache_hit.count, of.cache_miss.count) == (4, 3, 1)
    assert (stats["double"].inference_count, stats["one"].inference_count, stats["both"].inference_count) == (2, 6, 6)


def test_an_output_is_classified_by_the_labels_of_the_ensemble(world, repository):
    labelled = ensemble(
        X,
        [("Y", "FP32", [3], 'label_filename: "labels.txt"')],
        step("double", {"INPUT0": "X"}, {"OUTPUT0": "Y"}),
        batch=4,
    )
    folder = repository.add("labelled", config=labelled)
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    server = world({"double": linear(2, 0)})
    wanted = [triton.InferRequestedOutput("Y", class_count=2)]
    answer = server.client.infer("labelled", tensors({"X": ROWS[:1]}), outputs=wanted, client_timeout=LIMIT)
    assert answer.as_numpy("Y").tolist() == [[b"6.000000:2:blue", b"4.000000:1:green"]]


BROKEN = {
    "no such model": (
        chain("double", "nowhere"),
        "ensemble e contains models that are not available or ambiguous: nowhere; ",
    ),
    "no such version": (
        ensemble(X, Y, step("double", {"INPUT0": "X"}, {"OUTPUT0": "Y"}, 7), batch=4),
        "ensemble 'e' depends on 'double' whose required version 7 is not loaded; ",
    ),
    "a broken model": (
        chain("double", "broken"),
        "ensemble 'e' depends on 'broken' which has no loaded version. Model 'broken' loading failed with error: "
        "version 1 is at UNAVAILABLE state: ",
    ),
    "no such input": (
        ensemble(X, Y, step("double", {"INPUT0": "X", "INPUT1": "X"}, {"OUTPUT0": "Y"}), batch=4),
        "in ensemble e, ensemble tensor X is mapping to non-existing input INPUT1 in model double; ",
    ),
    "an input that is not given": (
        ensemble(X, Y, step("sum", {"INPUT0": "X", "INPUT1": "X"}, {"OUTPUT0": "Y"}), batch=4),
        "in ensemble e, input INPUT2 in model sum is not mapped to any ensemble tensors; ",
    ),
    "no such output": (
        ensemble(X, Y, step("double", {"INPUT0": "X"}, {"OUTPUT1": "Y"}), batch=4),
        "in ensemble e, ensemble tensor Y is mapped from non-existing output OUTPUT1 in model double; ",
    ),
    "another type": (
        ensemble([("X", "INT32", [-1])], Y, step("double", {"INPUT0": "X"}, {"OUTPUT0": "Y"}), batch=4),
        "in ensemble e, ensemble tensor X: inconsistent data type: TYPE_INT32 is inferred from model e while TYPE_FP32 "
        "is inferred from model double; ",
    ),
    "another shape": (
        ensemble([("X", "FP32", [2, 2])], Y, step("double", {"INPUT0": "X"}, {"OUTPUT0": "Y"}), batch=4),
        "in ensemble e, ensemble tensor X: inconsistent shape: [-1,2,2] is inferred from model e while [-1,-1] is "
        "inferred from model double; ",
    ),
    "larger batches": (
        chain("double", batch=64),
        "ensemble e allows maximum batch size 64, but it contains model double which only allows maximum batch size to "
        "be 4; ",
    ),
}
MALFORMED = {
    "no step": (ensemble(X, Y), "must specify 'step' for ensemble 'e'; "),
    "no platform": (
        chain("double").replace('"ensemble"', '"onnxruntime_onnx"', 1),
        "ensemble scheduling cannot be set for model 'e' whose platform is not ensemble; ",
    ),
    "no scheduling": (
        'platform: "ensemble"',
        "ensemble scheduling must be set for ensemble 'e' whose platform is ensemble; ",
    ),
    "instances": (
        chain("double", extra="instance_group { count: 2 }"),
        "instance group should not be specified for ensemble 'e'; ",
    ),
    "a warm-up": (
        chain("double", extra='model_warmup { name: "w" }'),
        "model_warmup can not be specified for ensemble 'e'; ",
    ),
    "an unused input": (
        ensemble([*X, ("Z", "FP32", [-1])], Y, step("double", {"INPUT0": "X"}, {"OUTPUT0": "Y"})),
        "ensemble input 'Z' for ensemble 'e' is not used; ",
    ),
    "an output that nobody writes": (
        ensemble(X, [*Y, ("Z", "FP32", [-1])], step("double", {"INPUT0": "X"}, {"OUTPUT0": "Y"})),
        "ensemble output 'Z' for ensemble 'e' is not used; ",
    ),
    "a tensor that nobody writes": (
        ensemble(X, Y, step("sum", {"INPUT0": "X", "INPUT1": "a"}, {"OUTPUT0": "Y"})),
        "output 'Y' for ensemble 'e' is not written; nothing writes 'a'",
    ),
    "a circle": (
        ensemble(X, Y, step("sum", {"INPUT0": "X", "INPUT1": "Y"}, {"OUTPUT0": "Y"})),
        "output 'Y' for ensemble 'e' is not written; step 0, of model 'sum', waits for its own outputs",
    ),
    "a tensor that nobody reads": (
        ensemble(X, Y, step("double", {"INPUT0": "X"}, {"OUTPUT0": "Y", "OUTPUT1": "a"})),
        "ensemble tensor 'a' is unused in ensemble 'e'; ",
    ),
    "a tensor that is written twice": (
        ensemble(X, Y, *[step("double", {"INPUT0": "X"}, {"OUTPUT0": "Y"})] * 2),
        "ensemble tensor 'Y' can appear in an output map only once for ensemble 'e' step 1; ",
    ),
    "a step without a model": (
        ensemble(X, Y, step("", {"INPUT0": "X"}, {"OUTPUT0": "Y"})),
        "must specify 'model_name' in step 0 of ensemble 'e'; ",
    ),
    "a step without inputs": (
        ensemble(X, Y, step("double", {}, {"OUTPUT0": "Y"})),
        "must specify 'input_map' in step 0 of ensemble 'e'; ",
    ),
}


def parts():
    """Models of batches of up to 4 rows, and one that is broken."""
    io = [("INPUT0", "FP32", [-1])], [("OUTPUT0", "FP32", [-1])]
    broken = (b"no model", models.config("broken", *io, 4))
    return {"double": linear(2, 0), "sum": models.three_inputs(["b", "n"]), "broken": broken}


def test_an_ensemble_that_cannot_work_is_refused_and_says_why(world):
    server = world(parts(), EXPLICIT)
    for title, (config, text) in {**BROKEN, **MALFORMED}.items():
        server.repository.add("e", config=config)
        error, _ = server.fail_to_load("e")
        if title in BROKEN:
            assert error.status().endswith("INVALID_ARGUMENT"), title
            assert error.message().startswith(f"load failed for model 'e': {text}"), (title, error.message())
        else:
            beginning = "failed to load 'e', failed to poll from model repository: Invalid argument: "
            assert error.message().startswith(beginning + text), (title, error.message())
        [(_, state, reason)] = server.rows("e")
        assert state == "UNAVAILABLE" and text in reason, title
    server.repository.add("e", config=chain("double"))
    server.client.load_model("e", client_timeout=LIMIT)
    np.testing.assert_array_equal(server.infer("e", X=ROWS)["Y"], ROWS * 2)


def test_ensembles_that_consist_of_each_other_are_refused(world):
    server = world({"a": chain("b"), "b": chain("c"), "c": chain("a")}, EXPLICIT)
    error, _ = server.fail_to_load("a")
    assert "circular dependency between ensembles: " in error.message()
    assert all("circular dependency" in server.rows(name)[0][2] for name in "abc")


def test_check_names_what_is_wrong_with_an_ensemble(world, repository):
    for name, content in {**DOUBLE_PLUS_ONE, "both": chain("double", "one", batch=4)}.items():
        add(repository, name, content)
    repository.add("outer", config=ensemble(X, Y, step("both", {"X": "X"}, {"Y": "Y"}), batch=4))
    command = [BINARY, "check", f"--model-repository={repository.folder}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert result.returncode == 0, result.stdout
    assert "both version 1: fine: 1 inputs, 1 outputs, batches up to 4" in result.stdout
    assert "4 model versions can be served, 0 cannot" in result.stdout
    repository.add("wrong", config=chain("one", "nowhere"))
    repository.add("large", config=chain("one", "double", batch=64))
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert result.returncode == 1
    assert "wrong: will not be served: Invalid argument: ensemble wrong contains models that are not" in result.stdout
    assert "large: will not be served: Invalid argument: ensemble large allows maximum batch size 64" in result.stdout
    assert "4 model versions can be served, 2 cannot" in result.stdout


def test_an_ensemble_brings_its_models_along_and_takes_them_away_if_told_to(world):
    outer = ensemble(X, Y, step("inner", {"X": "X"}, {"Y": "Y"}), batch=4)
    server = world({**DOUBLE_PLUS_ONE, "inner": chain("double", "one"), "outer": outer}, EXPLICIT)

    def ready():
        index = server.stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True)).models
        return sorted(entry.name for entry in index)

    server.client.load_model("outer", client_timeout=LIMIT)
    assert ready() == ["double", "inner", "one", "outer"]
    server.client.unload_model("outer", client_timeout=LIMIT)
    assert ready() == ["double", "inner", "one"]
    server.client.load_model("outer", client_timeout=LIMIT)
    # What was asked for by name stays.
    server.client.load_model("double", client_timeout=LIMIT)
    server.client.unload_model("outer", unload_dependents=True, client_timeout=LIMIT)
    assert ready() == ["double"]


def test_without_one_of_its_models_an_ensemble_is_not_served_and_with_it_again_it_is(world):
    server = world({**DOUBLE_PLUS_ONE, "both": chain("double", "one")}, EXPLICIT, "--load-model=both")
    np.testing.assert_array_equal(server.infer("both", X=ROWS)["Y"], ROWS * 2 + 1)
    server.client.unload_model("one", client_timeout=LIMIT)
    server.until(lambda: not server.client.is_model_ready("both"), "it is not served")
    missing = "ensemble both contains models that are not available or ambiguous: one;"
    server.until(lambda: any(missing in reason for _, _, reason in server.rows("both")), "the index says why")
    assert failure(server, "both", X=ROWS)[0] == "NOT_FOUND"
    server.client.load_model("one", client_timeout=LIMIT)
    server.until(lambda: server.client.is_model_ready("both"), "it is served again")
    np.testing.assert_array_equal(server.infer("both", X=ROWS)["Y"], ROWS * 2 + 1)


def test_an_ensemble_follows_the_reloads_of_its_models_under_load_and_no_request_fails(world):
    server = world({**DOUBLE_PLUS_ONE, "both": chain("double", "one")}, EXPLICIT, "--load-model=both")
    stop, failures, seen = threading.Event(), [], set()

    def ask():
        with triton.InferenceServerClient(server.daemon.url) as client:
            while not stop.is_set():
                try:
                    answer = client.infer("both", tensors({"X": ROWS[:1, :1]}), client_timeout=LIMIT)
                    seen.add(answer.as_numpy("Y").item())
                except triton.InferenceServerException as error:
                    failures.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for offset in (2, 3, 4, 5):
        server.repository.add("one", linear(1, offset))
        server.client.load_model("one", client_timeout=LIMIT)
        server.until(lambda offset=offset: 2 + offset in seen, "the new model answers")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    # One that does not fit any more ends it.
    server.repository.add("one", linear(1, 1, ("b", "n", "m")))
    server.client.load_model("one", client_timeout=LIMIT)
    server.until(lambda: any("inconsistent shape" in reason for _, _, reason in server.rows("both")), "it is refused")
    assert failure(server, "both", X=ROWS)[0] == "NOT_FOUND"
    server.repository.add("one", linear(1, 1))
    server.client.load_model("one", client_timeout=LIMIT)
    server.until(lambda: server.client.is_model_ready("both"), "it is served again")
    check(server.daemon)


REPEAT_IN = [("IN", "INT32", [-1]), ("DELAY", "UINT32", [-1]), ("WAIT", "UINT32", [1])]
REPEAT_OUT = [("OUT", "INT32", [1]), ("IDX", "UINT32", [1])]


def repeating(**more):
    """An ensemble around the sample `repeat`, whose numbers go through another model."""
    return ensemble(
        REPEAT_IN,
        [("Y", "INT32", [1]), ("PLACE", "UINT32", [1])],
        step("repeat", {name: name for name, *_ in REPEAT_IN}, {"OUT": "out", "IDX": "PLACE"}),
        step("same", {"INPUT0": "out"}, {"OUTPUT0": "Y"}),
        **more,
    )


def repetition(model, values, request_id=""):
    arrays = [np.array(values, np.int32), np.zeros(len(values), np.uint32), np.zeros(1, np.uint32)]
    named = [(one, dtype, list(array.shape)) for (one, dtype, _), array in zip(REPEAT_IN, arrays)]
    message = request(model, *named, raw=[array.tobytes() for array in arrays], request_id=request_id)
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    return message


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_each_response_of_a_decoupled_step_goes_on_by_itself(world, tmp_path, limit):
    plugins.stage(tmp_path / "backends", "repeat")
    server = world({}, EXPLICIT, f"--backend-directory={tmp_path / 'backends'}")
    extra = "model_transaction_policy { decoupled: true }\ninstance_group [ { count: 1 kind: KIND_CPU } ]\n"
    server.repository.add("repeat", config=plugins.config("repeat", "repeat", REPEAT_IN, REPEAT_OUT, 0, extra))
    same = [("INPUT0", "INT32", [1])], [("OUTPUT0", "INT32", [1])]
    server.repository.add("same", models.identity("INT32", [1]), models.config("same", *same))
    server.repository.add("repeats", config=repeating(limit=limit))
    server.client.load_model("repeats", client_timeout=LIMIT)
    assert server.client.get_model_config("repeats").config.model_transaction_policy.decoupled
    for count in (0, 1, 5, 300):
        messages = [repetition("repeats", range(count), str(number)) for number in range(3)]
        answers = list(server.stub.ModelStreamInfer(iter(messages), timeout=LIMIT))
        assert not any(answer.error_message for answer in answers), answers
        for number in range(3):
            own = [one.infer_response for one in answers if one.infer_response.id == str(number)]
            pairs = []
            for response in own:
                raw = dict(zip((output.name for output in response.outputs), response.raw_output_contents))
                if raw:
                    pairs.append(tuple(int.from_bytes(raw[name], "little") for name in ("Y", "PLACE")))
            assert sorted(pairs) == [(value, value) for value in range(count)]
            finals = [response.parameters["triton_final_response"].bool_param for response in own]
            assert finals[-1] and not any(finals[:-1])
    assert fault(server.stub.ModelInfer, repetition("repeats", [1]), timeout=LIMIT)[0] == "UNIMPLEMENTED"
    # A client that goes away hinders nobody.
    stream = server.stub.ModelStreamInfer(iter([repetition("repeats", range(300))]), timeout=LIMIT)
    next(stream)
    stream.cancel()
    assert list(server.stub.ModelStreamInfer(iter([repetition("repeats", [])]), timeout=LIMIT))
    check(server.daemon)


def test_at_most_so_many_requests_of_a_step_are_in_flight_and_all_are_answered(world):
    limited = SPIN.replace(" } ] }\n", " } ] max_inflight_requests: 1 }\n")
    assert limited != SPIN
    server = world({"spin": models.spin(), "again": models.spin(), "twice": limited})
    message = request("twice", ("STEPS", "INT64", [1, 1]), raw=[np.array([[1000]], np.int64).tobytes()])
    calls = [server.stub.ModelInfer.future(message, timeout=LIMIT) for _ in range(40)]
    assert all(call.result().raw_output_contents for call in calls)
    blocked = request("twice", ("STEPS", "INT64", [1, 1]), raw=[ENDLESS.tobytes()])
    first = server.stub.ModelInfer.future(blocked, timeout=LIMIT)
    server.until(lambda: server.daemon.metric("nerite_instances_busy", model="spin") == 1, "it begins")
    second = server.stub.ModelInfer.future(message, timeout=LIMIT)
    assert failure(server, "twice", deadline=1, STEPS=np.array([[1]], np.int64))[0] == "DEADLINE_EXCEEDED"
    assert not second.done(), "it waits in line"
    first.cancel()
    assert second.result().raw_output_contents
    check(server.daemon)
