"""Compares what ONNX Runtime did with what Nerite answered."""

import re
from typing import NamedTuple


class Verdict(NamedTuple):
    """`kind` is a row of the summary; `problem` says what is wrong, and is empty where nothing is."""

    name: str
    kind: str
    detail: str
    problem: str = ""


def judge(outcome, answer):
    """The verdict on one case."""
    if outcome.refused is not None:
        return judge_refused(outcome, answer)
    if outcome.failed is not None:
        return judge_failed(outcome, answer)
    return judge_equal(outcome, answer)


def judge_refused(outcome, answer):
    """What cannot be served is refused, at load or at request, for the reason that ONNX Runtime or its types give."""
    kind = "refused at load" if answer.refused is not None else "refused at request"
    said = answer.refused if answer.refused is not None else answer.text
    if said is None:
        return Verdict(outcome.name, kind, outcome.refused, "it was answered, though it cannot be served")
    clue = essence(outcome.refused) if outcome.unloadable else re.search(r"'(.*)' is of type", outcome.refused)[1]
    problem = "" if clue in said else f"the reason does not say: {clue}"
    return Verdict(outcome.name, kind, said, problem)


def judge_failed(outcome, answer):
    """What fails in `Run` is answered with ONNX Runtime's own message as INTERNAL."""
    problem = ""
    if answer.code != "INTERNAL" or outcome.failed not in (answer.text or ""):
        problem = f"expected INTERNAL with: {outcome.failed}; got {describe(answer)}"
    return Verdict(outcome.name, "failed in Run", describe(answer), problem)


def judge_equal(outcome, answer):
    """What runs gives the same bits, types and shapes, in the same order."""
    if answer.outputs is None:
        return Verdict(outcome.name, "served", "", f"expected outputs; got {describe(answer)}")
    problem = ""
    if len(answer.outputs) != len(outcome.outputs):
        problem = f"{len(outcome.outputs)} outputs expected, {len(answer.outputs)} given"
    for wanted, given in zip(outcome.outputs, answer.outputs):
        if wanted[:3] != given[:3]:
            problem = f"expected {wanted[:3]}, got {given[:3]}"
        elif wanted.data != given.data:
            problem = f"output '{wanted.name}' {wanted.dtype}{list(wanted.shape)} differs in its bits"
    return Verdict(outcome.name, "served", "", problem)


def essence(message):
    """The first line of a load error, without the path of the file and what stands before it."""
    lines = re.sub(r"^Load model from .*? failed:", "", message).strip().splitlines()
    return lines[0].strip() if lines else ""


def describe(answer):
    """An answer in one line."""
    if answer.refused is not None:
        return f"refused at load: {answer.refused}"
    if answer.code is not None:
        return f"{answer.code}: {answer.text}"
    return f"{len(answer.outputs)} outputs"
