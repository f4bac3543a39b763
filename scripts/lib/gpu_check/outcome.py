"""What became of each check, and the table of that."""

from typing import NamedTuple

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
# No GPU, and so nothing was checked.
NO_GPU = 2


class Outcome(NamedTuple):
    """A check, what became of it, and why, or how well."""

    title: str
    state: str
    detail: str = ""


def lines(outcomes):
    """The table, and a last line that counts."""
    width = max((len(one.title) for one in outcomes), default=0)
    table = [f"{one.title.ljust(width)}  {one.state.ljust(len(SKIPPED))}  {one.detail}".rstrip() for one in outcomes]
    counts = (f"{sum(one.state == state for one in outcomes)} {state}" for state in (PASSED, FAILED, SKIPPED))
    return [*table, ", ".join(counts)]


def status(outcomes):
    """The exit status: 1 if anything failed, or if nothing passed."""
    states = {one.state for one in outcomes}
    return int(FAILED in states or PASSED not in states)
