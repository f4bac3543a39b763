"""Runs every case both ways and compares: python -m conformance"""

import collections
import sys

import onnx
import onnxruntime

from daemon import BINARY, ROOT, Daemon

from . import cases, direct, served, verdict

FOLDER = ROOT / "target" / "conformance"
LIBRARY = ROOT / "target" / "onnxruntime" / "lib" / "libonnxruntime.so"


def main():
    """Exit status 0 if every case has the same outcome both ways."""
    check_versions()
    found = cases.find_cases()
    if len(found) != cases.EXPECTED_CASES:
        raise SystemExit(f"error: {len(found)} cases found, not {cases.EXPECTED_CASES}")
    outcomes = direct.run_all(found)
    repository = FOLDER / "repository"
    cases.lay_out(found, repository)
    flags = [f"--model-repository={repository}", *served.FLAGS]
    with Daemon(flags, FOLDER / "nerite.log") as daemon:
        answers = served.serve_all(daemon, outcomes)
    verdicts = [verdict.judge(outcomes[name], answers[name]) for name in sorted(outcomes)]
    return report(outcomes, verdicts)


def check_versions():
    """Both sides must run the same library, and the cases must be the pinned ones."""
    if onnx.__version__ != cases.ONNX_VERSION:
        raise SystemExit(f"error: onnx {onnx.__version__} is installed; the cases are those of {cases.ONNX_VERSION}")
    library = LIBRARY.resolve().name.removeprefix("libonnxruntime.so.")
    if library != onnxruntime.__version__:
        raise SystemExit(f"error: nerite has ONNX Runtime {library}, Python {onnxruntime.__version__}")
    if not BINARY.exists():
        raise SystemExit(f"error: {BINARY} is missing; cargo build --release makes it")


def report(outcomes, verdicts):
    """Prints the summary, lists everything that is not simply equal in a file, and returns the exit status."""
    kinds = collections.Counter(one.kind for one in verdicts if not one.problem)
    wrong = [one for one in verdicts if one.problem]
    carried = [outcome for outcome in outcomes.values() if outcome.refused is None]
    rows = [
        ("cases", len(verdicts)),
        ("loaded and carried by the protocol", len(carried)),
        ("  equal bit for bit", kinds["served"]),
        ("  failing in Run, with its message as INTERNAL", kinds["failed in Run"]),
        ("refused at load, with the reason", kinds["refused at load"]),
        ("refused at request, with the reason", kinds["refused at request"]),
        ("different from ONNX Runtime", len(wrong)),
    ]
    lines = [f"{label:48} {count:5}" for label, count in rows]
    print("\n".join(f"  {line}" for line in lines))
    for one in wrong:
        print(f"  DIFFERENT {one.name}: {one.problem}")
    details = [f"{one.kind}: {one.name}: {' '.join(one.detail.split())}" for one in verdicts if one.kind != "served"]
    problems = [f"DIFFERENT: {one.name}: {one.problem}" for one in wrong]
    path = FOLDER / "report.txt"
    path.write_text("\n".join([*lines, "", *problems, *details]) + "\n")
    print(f"  every case that is not served, with its reason: {path.relative_to(ROOT)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
