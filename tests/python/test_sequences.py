"""Requests that are parts of sequences, through Triton's client: what their models are told, what is kept for them from
one to the next, who has to wait and whose sequence is over."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import plugins
import pytest
import sequence_models as made
import tritonclient.grpc as triton
from server import LIMIT, Server, tensors

HOUR = 3_600_000_000
EXPLICIT = "--model-control-mode=explicit"


class Sequences(Server):
    """A daemon with models that have sequences."""

    def step(self, model, sequence, value, start=False, end=False, timeout=None):
        """One request of a sequence: its outputs by name."""
        inputs = value if isinstance(value, dict) else {"INPUT": np.full((1, 1), value, np.float32)}
        answer = self.client.infer(
            model,
            tensors(inputs),
            sequence_id=sequence,
            sequence_start=start,
            sequence_end=end,
            timeout=timeout,
            client_timeout=LIMIT,
        )
        return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}

    def sums(self, model, sequence, values):
        """The sums of a whole sequence so far, one for each value."""
        last = len(values) - 1
        steps = enumerate(values)
        return [float(self.step(model, sequence, v, i == 0, i == last)["OUTPUT"].item()) for i, v in steps]

    def refused(self, *arguments, **keywords):
        """The code and text of the error that a step ends with."""
        with pytest.raises(triton.InferenceServerException) as error:
            self.step(*arguments, **keywords)
        return error.value.status().removeprefix("StatusCode."), error.value.message()

    def pending(self, model):
        return self.daemon.metric("nv_inference_pending_request_count", model=model)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One daemon for what the tests do not change."""
    from daemon import Daemon

    folder = tmp_path_factory.mktemp("sequences")
    repository = made.models.Repository(folder / "repository")
    fill(repository)
    with Daemon([f"--model-repository={repository.folder}"], folder / "nerite.log") as daemon:
        server = Sequences(daemon.wait_ready(60))
        yield server
        server.close()


def fill(repository):
    """Models for both strategies, of one row and of many."""
    for strategy in ("direct", "oldest"):
        for size in (0, 1, 8):
            config = made.batching(strategy, made.SUM_STATE, size=size, idle=HOUR) + (made.WARM_UP if size else "")
            repository.add(f"sum_{strategy}_{size}", made.accumulator(size > 0), config)
        config = made.batching(strategy, made.SILERO_STATES, size=8, idle=HOUR)
        repository.add(f"silero_{strategy}_8", made.silero_in_batches(), config)
        config = made.batching(strategy, made.START, size=8, idle=HOUR)
        repository.add(f"explicit_{strategy}", made.silero_in_batches(is_told=True), config)
        state = 'state [ { input_name: "state" output_name: "stateN" data_type: TYPE_FP32 dims: [ 2, 1, 128 ] } ]'
        config = made.batching(strategy, state, size=0, idle=HOUR) + made.SILERO_TENSORS
        repository.add(f"silero_{strategy}_0", made.silero("silero_vad_op18_ifless.onnx"), config)
        config = made.batching(strategy, made.CONTROLS % "UINT64", size=8, idle=HOUR)
        repository.add(f"controls_{strategy}", made.echo_controls(), config)
    config = made.batching("direct", made.CONTROLS % "STRING", size=8, idle=HOUR) + made.WARM_UP
    repository.add("text_ids", made.echo_controls("BYTES"), config)
    config = made.batching("direct", made.CONTROLS % "INT32", size=8, idle=HOUR)
    repository.add("small_ids", made.echo_controls("INT32"), config)
    folder = repository.add("growing", made.growing(), made.batching("oldest", made.GROWING_STATE, idle=HOUR))
    (folder / "initial_state").mkdir()
    (folder / "initial_state" / "first").write_bytes(np.array([7], np.float32).tobytes())


ACCUMULATORS = [f"sum_{strategy}_{size}" for strategy in ("direct", "oldest") for size in (1, 8)]


@pytest.mark.parametrize("model", ACCUMULATORS)
def test_the_state_of_a_sequence_goes_from_one_request_to_the_next(served, model):
    assert served.sums(model, 5, [1, 2, 3]) == [1, 3, 6]
    assert served.sums(model, 5, [10, 20]) == [10, 30], "it begins anew"
    assert served.sums(model, "a text", [4, 5]) == [4, 9]


@pytest.mark.parametrize("strategy", ["direct", "oldest"])
def test_a_model_without_batches_has_sequences_too(served, strategy):
    model, row = f"sum_{strategy}_0", np.ones(1, np.float32)
    sums = [served.step(model, 9, {"INPUT": row}, start, False)["OUTPUT"].item() for start in (True, False, False)]
    assert sums == [1, 2, 3]
    served.step(model, 9, {"INPUT": row}, end=True)


@pytest.mark.parametrize("model", ACCUMULATORS)
def test_many_sequences_at_once_do_not_mix(served, model):
    def run(sequence):
        values = np.random.default_rng(sequence).integers(0, 1000, 20).tolist()
        return served.sums(model, sequence, values) == np.cumsum(values).tolist()

    with ThreadPoolExecutor(24) as pool:
        assert all(pool.map(run, range(1, 49)))


@pytest.mark.parametrize("model", ACCUMULATORS)
def test_a_stream_of_requests_of_many_sequences_is_answered_in_order(served, model):
    answers = queue.Queue()
    with triton.InferenceServerClient(served.daemon.url) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for step in range(10):
            for sequence in range(1, 21):
                client.async_stream_infer(
                    model,
                    tensors({"INPUT": np.full((1, 1), sequence, np.float32)}),
                    sequence_id=sequence,
                    sequence_start=step == 0,
                    sequence_end=step == 9,
                )
        for step in range(10):
            for sequence in range(1, 21):
                result, error = answers.get(timeout=LIMIT)
                assert error is None
                assert result.as_numpy("OUTPUT").item() == sequence * (step + 1)


@pytest.mark.parametrize("strategy", ["direct", "oldest"])
def test_a_model_is_told_where_in_which_sequence_a_request_is(served, strategy):
    steps = [(True, False), (False, False), (False, True), (True, True)]
    seen = [served.step(f"controls_{strategy}", 77, 0.5, *step) for step in steps]
    assert [step["SIGNALS"].item() for step in seen] == [110, 10, 11, 111]
    assert [step["ID"].item() for step in seen] == [77] * 4
    assert [step["OUTPUT"].item() for step in seen] == [0.5] * 4


def test_an_id_is_told_in_the_type_that_the_model_takes_or_refused(served):
    assert served.step("text_ids", "néné", 0, True, True)["ID"].item().decode() == "néné"
    assert served.step("small_ids", 2**31 - 1, 0, True, True)["ID"].item() == 2**31 - 1
    wrong = [("text_ids", 5, "STRING"), ("small_ids", 2**31, "INT32"), ("small_ids", "a", "INT32")]
    for model, sequence, dtype in wrong:
        code, text = served.refused(model, sequence, 0, True, True)
        assert code == "INVALID_ARGUMENT"
        assert text == (
            f"inference request for sequence {sequence} to model '{model}' has a correlation ID that the model cannot "
            f"be told, which takes it as TYPE_{dtype}; use another"
        )


@pytest.mark.parametrize("model", ACCUMULATORS)
def test_requests_out_of_place_are_refused_in_tritons_words(served, model):
    code = "INVALID_ARGUMENT"
    no_id = f"inference request to model '{model}' must specify a non-zero or non-empty correlation ID"
    assert served.refused(model, 0, 1) == (code, no_id)
    assert served.refused(model, "", 1) == (code, no_id)
    no_start = (
        f"inference request for sequence 31 to model '{model}' must specify the START flag on the first request of the "
        "sequence"
    )
    assert served.refused(model, 31, 1) == (code, no_start)
    served.step(model, 31, 1, True, True)
    assert served.refused(model, 31, 1) == (code, no_start)
    if model.endswith("8"):
        several = {"INPUT": np.ones((2, 1), np.float32)}
        text = f"inference request to model '{model}' must specify batch-size 1 due to requirements of sequence batcher"
        assert served.refused(model, 31, several, True) == (code, text)


def test_a_beginning_in_the_middle_begins_anew(served):
    assert served.step("sum_oldest_8", 40, 5, True)["OUTPUT"].item() == 5
    assert served.step("sum_oldest_8", 40, 1, True)["OUTPUT"].item() == 1
    assert served.step("sum_oldest_8", 40, 1, False, True)["OUTPUT"].item() == 2


def test_a_state_may_grow_and_begin_with_a_file(served):
    for sequence in (1, 2):
        rows = [served.step("growing", sequence, n, n == 0, n == 3)["OUTPUT"].ravel().tolist() for n in range(4)]
        assert rows == [[7, 0], [7, 0, 1], [7, 0, 1, 2], [7, 0, 1, 2, 3]]


def test_states_and_controls_are_no_inputs_and_outputs_to_callers(served):
    for model in ("sum_direct_8", "silero_direct_8", "controls_direct"):
        metadata = served.client.get_model_metadata(model)
        names = {tensor.name for tensor in [*metadata.inputs, *metadata.outputs]}
        assert not names & {"SUM_IN", "SUM_OUT", "STATE_IN", "STATE_OUT", "START", "READY", "END", "CORRID"}
    batching = served.client.get_model_config("sum_oldest_8").config.sequence_batching
    assert batching.max_sequence_idle_microseconds == HOUR
    assert list(batching.oldest.preferred_batch_size) == [8]
    assert "sequence" in served.client.get_server_metadata().extensions


def audio(seed, chunks):
    """Noise that swells and fades, with tones in it, which the detector is not sure about."""
    random = np.random.default_rng(seed)
    time = np.arange(chunks * made.CHUNK) / 16000
    tones = sum(np.sin(2 * np.pi * f * time + random.uniform(0, 6)) for f in random.uniform(80, 900, 6))
    loudness = np.abs(np.sin(2 * np.pi * random.uniform(1, 5) * time))
    return (loudness * (tones * 0.05 + random.normal(0, 0.02, len(time)))).astype(np.float32)


def whole(sound):
    """What the detector of whole recordings says of each chunk."""
    import onnxruntime

    session = onnxruntime.InferenceSession(made.silero("silero_vad_16k_sequence.onnx"))
    return session.run(["speech_probs"], {"input": with_context(sound), "h": ZERO, "c": ZERO})[0]


ZERO = np.zeros((1, 1, 128), np.float32)


def with_context(sound):
    """The chunks of a recording, each behind the end of the one before."""
    padded = np.concatenate([np.zeros(made.CONTEXT, np.float32), sound])
    starts = range(0, len(sound), made.CHUNK)
    return np.stack([padded[start : start + made.CONTEXT + made.CHUNK] for start in starts])


@pytest.mark.parametrize("size", [0, 8])
@pytest.mark.parametrize("strategy", ["direct", "oldest"])
def test_speech_is_detected_chunk_by_chunk_as_in_the_whole_recording(served, strategy, size):
    model, chunks = f"silero_{strategy}_{size}", 12

    def run(seed):
        sound = audio(seed, chunks)
        inputs = [{"input": chunk[None]} for chunk in with_context(sound)]
        if size:
            inputs = [{"chunk": chunk[None]} for chunk in sound.reshape(chunks, made.CHUNK)]
        else:
            inputs = [{**one, "sr": np.array([16000], np.int64)} for one in inputs]
        steps = enumerate(inputs)
        found = [served.step(model, seed, one, i == 0, i == chunks - 1)["output"].item() for i, one in steps]
        return np.abs(found - whole(sound)).max()

    with ThreadPoolExecutor(16) as pool:
        assert max(pool.map(run, range(1, 25))) < 1e-4


@pytest.mark.parametrize("strategy", ["direct", "oldest"])
def test_a_client_may_carry_the_state_itself_and_the_model_be_told_where_to_begin(served, strategy):
    chunks = 12

    def run(seed):
        sound, found = audio(seed, chunks), []
        # What the model is to forget, since the sequence begins.
        memory = {"STATE_IN": np.ones((1, 2, 128), np.float32), "CONTEXT_IN": np.ones((1, made.CONTEXT), np.float32)}
        for i, chunk in enumerate(sound.reshape(chunks, made.CHUNK)):
            inputs = {"chunk": chunk[None], **memory}
            answer = served.step(f"explicit_{strategy}", seed, inputs, i == 0, i == chunks - 1)
            memory = {"STATE_IN": answer["STATE_OUT"], "CONTEXT_IN": answer["CONTEXT_OUT"]}
            found.append(answer["output"].item())
        return np.abs(found - whole(sound)).max()

    with ThreadPoolExecutor(16) as pool:
        assert max(pool.map(run, range(1, 25))) < 1e-4


def keeper(strategy, more=""):
    """A configuration of the plugin that keeps sums."""
    tensors = """input [ { name: "INPUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
                 output [ { name: "OWN" data_type: TYPE_FP32 dims: [ 1 ] },
                          { name: "KEPT" data_type: TYPE_FP32 dims: [ 1 ] } ]"""
    controls = """control_input [
      { name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] },
      { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] } ] } ]"""
    written = made.batching(strategy, controls, made.SUM_STATE, more, size=8, idle=HOUR) + tensors + made.WARM_UP
    return written.replace('"onnxruntime"', '"keeper"')


def test_a_plugin_keeps_a_sequence_by_its_row_or_has_the_server_keep_it(serve, repository, tmp_path):
    plugins.compile_c(plugins.KEEPER, plugins.library(tmp_path / "backends" / "keeper", "keeper"))
    repository.add("keeper", config=keeper("direct"))
    repository.add("again", config=keeper("oldest", "iterative_sequence: true"))
    server = Sequences(serve(repository, f"--backend-directory={tmp_path / 'backends'}"))

    def run(sequence):
        values = np.random.default_rng(sequence).integers(1, 1000, 20).tolist()
        steps = [server.step("keeper", sequence, v, i == 0, i == 19) for i, v in enumerate(values)]
        sums = np.cumsum(values).tolist()
        return [[step[name].item() for step in steps] for name in ("OWN", "KEPT")] == [sums, sums]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(run, range(1, 33)))
    # No model with iterative sequences.
    assert "iterative_sequence" in server.refused("keeper", 1, -1, True, True)[1]
    # Five executions, in a sequence of the request's own.
    assert server.infer("again", INPUT=np.full((1, 1), -2, np.float32))["KEPT"].item() == -10
    statistics = server.client.get_inference_statistics("again").model_stats[0]
    assert statistics.inference_stats.success.count == 1
    server.close()


def test_an_idle_sequence_is_over_and_one_that_waits_has_its_row(serve, repository):
    repository.add("sum", made.accumulator(), made.batching("direct", made.SUM_STATE, size=1, idle=300_000))
    server = Sequences(serve(repository))
    assert server.step("sum", 1, 5, True)["OUTPUT"].item() == 5
    # There is one row, which the first has until it has been idle for too long.
    assert server.step("sum", 2, 7, True, True)["OUTPUT"].item() == 7
    code, text = server.refused("sum", 1, 1)
    assert (code, "must specify the START flag" in text) == ("INVALID_ARGUMENT", True)
    server.close()


def test_a_sequence_that_would_not_wait_longer_for_a_row_is_told_so(serve, repository):
    repository.add("sum", made.accumulator(), made.batching("direct", made.SUM_STATE, size=1, idle=HOUR))
    server = Sequences(serve(repository))
    server.step("sum", 1, 5, True)
    expected = ("UNAVAILABLE", "timeout of the corresponding sequence has been expired")
    assert server.refused("sum", 2, 1, True, timeout=100_000) == expected
    assert server.step("sum", 1, 1)["OUTPUT"].item() == 6
    server.close()


def test_a_request_given_up_before_its_turn_ends_its_sequence(serve, repository):
    repository.add("sum", made.accumulator(), made.batching("direct", made.SUM_STATE, size=1, idle=HOUR))
    server = Sequences(serve(repository))
    server.step("sum", 1, 5, True)
    inputs = tensors({"INPUT": np.ones((1, 1), np.float32)})
    with pytest.raises(triton.InferenceServerException, match="Deadline Exceeded"):
        server.client.infer("sum", inputs, sequence_id=2, sequence_start=True, client_timeout=0.2)
    server.until(lambda: server.pending("sum") == 0, "nothing waits any more")
    code, text = server.refused("sum", 2, 1)
    assert (code, "must specify the START flag" in text) == ("INVALID_ARGUMENT", True)
    assert server.step("sum", 1, 1, False, True)["OUTPUT"].item() == 6
    assert server.step("sum", 2, 1, True, True)["OUTPUT"].item() == 1
    server.close()


def test_a_stop_executes_what_waits_for_the_end_of_a_sequence_that_nobody_can_end_any_more(serve, repository):
    repository.add("sum", made.accumulator(), made.batching("direct", made.SUM_STATE, size=1, idle=HOUR))
    server = Sequences(serve(repository))
    server.step("sum", 1, 5, True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.step, "sum", 2, 7, True)
        server.until(lambda: server.pending("sum") == 1, "the second sequence waits for the first one's row")
        server.daemon.terminate()
        assert waiting.result()["OUTPUT"].item() == 7
    assert server.daemon.wait_exit() == 0, server.daemon.log_text()
    server.close()


def test_a_reload_ends_sequences_and_they_can_begin_again(serve, repository):
    repository.add("sum", made.accumulator(), made.batching("oldest", made.SUM_STATE, size=4, idle=HOUR))
    server = Sequences(serve(repository, EXPLICIT, "--load-model=sum"))
    server.step("sum", 1, 5, True)
    server.client.load_model("sum")
    assert server.step("sum", 1, 1)["OUTPUT"].item() == 6, "what is the same is kept"
    repository.add("sum", made.accumulator(), made.batching("direct", made.SUM_STATE, size=4, idle=HOUR))
    server.client.load_model("sum")
    code, text = server.refused("sum", 1, 1)
    assert (code, "must specify the START flag" in text) == ("INVALID_ARGUMENT", True)
    assert server.sums("sum", 1, [2, 3]) == [2, 5]
    server.close()


def test_sequences_go_on_while_others_wait_for_rows_and_reloads_come(serve, repository):
    repository.add("sum", made.accumulator(), made.batching("oldest", made.SUM_STATE, size=2, idle=HOUR))
    server = Sequences(serve(repository, EXPLICIT, "--load-model=sum"))
    stop = threading.Event()

    def run(sequence):
        done = 0
        while not stop.is_set():
            try:
                assert server.sums("sum", sequence, [1, 2, 3, 4]) == [1, 3, 6, 10]
                done += 1
            except triton.InferenceServerException as error:
                # A reload in the middle: it is told so, and begins again.
                assert "must specify the START flag" in error.message()
        return done

    with ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(run, sequence) for sequence in range(1, 9)]
        for strategy in ("direct", "oldest", "direct"):
            repository.add("sum", made.accumulator(), made.batching(strategy, made.SUM_STATE, size=2, idle=HOUR))
            server.client.load_model("sum")
        stop.set()
        assert all(done.result(LIMIT) >= 0 for done in runs)
    server.until(lambda: server.pending("sum") == 0, "nothing waits any more")
    server.close()


STATE = 'state [ { input_name: "%s" output_name: "SUM_OUT" data_type: TYPE_%s dims: [ %d ] %s } ]'
MISSING_FILE = 'initial_state: { name: "i" data_type: TYPE_FP32 dims: [ 1 ] data_file: "none" }'
# What is wrong with a configuration, and what of it the error says.
WRONG = {
    "no_such_control": (made.START.replace("START", "NO", 1), "has a control 'NO', which is no input of the model"),
    "no_such_state": (STATE % ("NO", "FP32", 1, ""), "has a state 'NO', which is no input of the model"),
    "other_type": (STATE % ("SUM_IN", "INT32", 1, ""), "model provides TYPE_FP32"),
    "other_shape": (STATE % ("SUM_IN", "FP32", 2, ""), "correct the dims of the state"),
    "no_file": (STATE % ("SUM_IN", "FP32", 1, MISSING_FILE), "has the data_file"),
    "no_state": ("", "configuration expects 1 inputs, model provides 2"),
}


def test_a_configuration_that_does_not_fit_the_model_says_why(serve, repository):
    for name, (wrong, _) in WRONG.items():
        tensors = """input [ { name: "INPUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
                     output [ { name: "OUTPUT" data_type: TYPE_FP32 dims: [ 1 ] } ]"""
        repository.add(name, made.accumulator(), made.batching("direct", wrong, size=4) + tensors)
    server = Sequences(serve(repository, EXPLICIT))
    for name, (_, why) in WRONG.items():
        with pytest.raises(triton.InferenceServerException) as error:
            server.client.load_model(name)
        assert why in error.value.message(), name
    server.close()
