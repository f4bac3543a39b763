"""Running tests in Rust, and reading what the test harness prints of each."""

import re
import subprocess

from gpu_check.outcome import FAILED, PASSED, SKIPPED, Outcome

LIMIT_SECONDS = 600
BEGIN = re.compile(r"^test (\S+)(?: - should panic)? \.\.\. ?(.*)$")
END = re.compile(r"^(.*?)\b(ok|FAILED|ignored)(?:, (.*))?$")
STATES = {"ok": PASSED, "FAILED": FAILED, "ignored": SKIPPED}
# What is said of a test that says nothing itself; and how one says that it has returned without having tested anything.
UNENDED = "it did not end"
NOTHING = re.compile(r"\bnot tested\b|\bskipped\b")


def run(test, executable, environment):
    """The outcomes of all tests of an executable."""
    # One at a time and without capture, so that what a test says stands between its name and its end.
    command = [str(executable), "--test-threads=1", "--nocapture"]
    try:
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env=environment, timeout=LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return [Outcome(test.title, FAILED, f"did not end within {LIMIT_SECONDS} s")]
    except OSError as error:
        return [Outcome(test.title, FAILED, f"cannot be run: {error}")]
    outcomes = [one._replace(title=f"{test.title}: {one.title}") for one in read(result.stdout)]
    if result.returncode != 0 and not any(one.state == FAILED for one in outcomes):
        last = result.stdout.strip().splitlines()[-1:] or [""]
        outcomes.append(Outcome(test.title, FAILED, f"ended with status {result.returncode}: {last[0]}"))
    return outcomes or [Outcome(test.title, FAILED, "has no tests")]


def read(text):
    """An outcome for each test in what the harness prints."""
    outcomes, name, said = [], None, []
    for line in text.splitlines():
        begin = BEGIN.match(line)
        if begin:
            # The one before never ended: the process did.
            if name:
                outcomes.append(Outcome(name, FAILED, detail(said) or UNENDED))
            name, line, said = begin[1], begin[2], []
        if name is None:
            continue
        end = END.match(line)
        if not end:
            said += [line] if line.strip() else []
            continue
        said += [end[1]] if end[1].strip() else []
        state = STATES[end[2]]
        if state == PASSED and any(map(NOTHING.search, said)):
            state = SKIPPED
        why = end[3] or ("" if state == PASSED else detail(said))
        outcomes.append(Outcome(name, state, why))
        name, said = None, []
    if name:
        outcomes.append(Outcome(name, FAILED, detail(said) or UNENDED))
    return outcomes


def detail(said):
    """The line that says most of why: that of a panic is followed by its message."""
    for place, line in enumerate(said):
        if "panicked at" in line:
            return " ".join(said[place + 1 : place + 2]).strip() or line.strip()
    told = [line for line in said if NOTHING.search(line)]
    return (told or said or [""])[-1].strip()
