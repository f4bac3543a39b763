"""Nothing that is done to a repository fails a request or shows half a model; scripts/churn does the same for longer."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest
from churn import contents, explicit, poll, verdict
from churn.disk import Content


def test_whatever_is_done_to_files_no_request_fails_and_every_answer_is_of_a_whole_model(tmp_path):
    assert poll.run(tmp_path, seconds=15, seed=1) == []


def test_reloads_fail_no_request_and_are_over_when_they_say_so(tmp_path):
    assert explicit.run(tmp_path, reloads=150, seed=1) == []


# What follows is about the judge itself: there is no daemon.


def seen(answers=(), errors=(), torn=()):
    """What clients saw."""
    failed = [(*error[:3], 0.0) for error in errors]
    return {"answers": answers, "errors": errors, "failed": failed, "torn": torn}


def disk(loaded=None):
    """A disk on which a model had the contents 1, 2 and 3, whole from the seconds 10, 20 and 30 on."""
    whole = {tag: Content(("m",), 1, 10.0 * tag) for tag in (1, 2, 3)}
    return SimpleNamespace(contents=whole, loaded=loaded or {}, excused={(1, 2)})


@pytest.mark.parametrize(
    "what, words",
    [
        ({"errors": [("m", "NOT_FOUND", "gone", 3)]}, "3 requests failed with NOT_FOUND"),
        ({"errors": [("away", "INTERNAL", "torn", 1)]}, "1 requests failed with INTERNAL"),
        ({"torn": [("m", "1", 5.0, "[2.0] and [3.0]")]}, "of no one content"),
        ({"answers": [("m", "1", 9, 1, 40, 40)]}, "never whole on disk"),
        ({"answers": [("m", "2", 1, 1, 40, 40)]}, "which is of"),
        ({"answers": [("n", "1", 1, 1, 40, 40)]}, "which is of"),
        ({"answers": [("m", "1", 2, 1, 15, 40)]}, "before it was whole"),
        ({"answers": [("m", "1", 1, 9, 11, 35), ("m", "1", 2, 1, 25, 40)]}, "10.000 s after 2, which is newer, was"),
        ({"answers": [("m", "1", 1, 9, 11, 35)]}, "2.000 s after 3 had been loaded"),
    ],
)
def test_each_kind_of_fault_is_found(what, words):
    faults = verdict.faults(disk(loaded={3: 33.0}), seen(**what), ["m"])
    assert len(faults) >= 1 and words in faults[0], faults


def test_what_may_be_is_no_fault():
    answers = [("m", "1", 1, 9, 11, 24), ("m", "1", 2, 9, 25, 32), ("m", "1", 3, 9, 32, 99)]
    errors = [("away", "NOT_FOUND", "gone", 3)]
    excused = [("m", "1", 5.0, "[1.0] and [2.0]")]
    assert verdict.faults(disk(loaded={3: 33.0}), seen(answers, errors, excused), ["m"]) == []


def test_an_answer_is_read_in_full():
    def answer(*tensors):
        return SimpleNamespace(raw_output_contents=[tensor.astype(np.float32).tobytes() for tensor in tensors])

    whole = np.full(contents.WEIGHTS, 7.0 + contents.STRIDE)
    assert contents.read(answer(whole, whole), contents.STRIDE) == 7
    for place in (0, contents.WEIGHTS // 2, contents.WEIGHTS - 1):
        other = whole.copy()
        other[place] += 1
        for tensors in ((whole, other), (other, whole), (whole,), (whole, whole[1:]), (whole + 0.5, whole + 0.5)):
            with pytest.raises(contents.Torn):
                contents.read(answer(*tensors), contents.STRIDE)


def test_contents_of_a_kind_are_equally_long_so_that_one_may_be_written_over_another():
    for kind in ("inline", "external", "heavy"):
        sizes = [{name: len(data) for name, data in contents.files(kind, tag).items()} for tag in (1, 30_000)]
        assert sizes[0] == sizes[1]
    assert struct.pack("<f", 7.0) * 3 in contents.files("inline", 7)["model.onnx"]
