"""Runs every test that needs a GPU, compares and measures models on it, and prints a table. See scripts/gpu-check."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
from bench import report
from daemon import ROOT, DaemonError, clean_environment
from gpu_check import binaries, machine, outcome, rust_tests, throughput
from gpu_check.binaries import CARRIED, DAEMON, GENERATOR, TESTS, Built, Carried, Missing
from gpu_check.cases import CASES, model_of
from gpu_check.compare import compare
from gpu_check.libraries import Libraries
from gpu_check.outcome import FAILED, NO_GPU, PASSED, SKIPPED, Outcome
from gpu_check.serving import EXACT, Server

SCRATCH = ROOT / "target" / "gpu-check"


def arguments(given):
    """The options. What scripts/gpu-pack has put beside these scripts is taken unless they say otherwise."""
    parser = argparse.ArgumentParser(
        prog="scripts/gpu-check",
        description="Runs every test that needs a GPU, compares models on it with the CPU, and measures them.",
        epilog=f"The exit status is 0 if all passed, 1 if anything failed, {NO_GPU} if there is no GPU.",
    )
    parser.add_argument("--libraries", action="append", metavar="DIR", help="a folder of libraries to use; repeatable")
    parser.add_argument("--binaries", metavar="DIR", help="a folder of programs to use instead of building them")
    parser.add_argument("--models", type=Path, metavar="DIR", help="a folder of NAME.onnx to use, not to make them")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="cpu tries this script without a GPU")
    parser.add_argument("--only", action="append", choices=[case.name for case in CASES], help="a model; repeatable")
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds are measured [default: 5]")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each takes [default: 2]")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="a folder to write to, which is emptied")
    options = parser.parse_args(given)
    for name in ("libraries", "binaries", "models"):
        if getattr(options, name) is None and (folder := CARRIED / name).is_dir():
            setattr(options, name, sorted(folder.iterdir()) if name == "libraries" else folder)
    options.cases = [case for case in CASES if not options.only or case.name in options.only]
    return options


def main(given=None):
    """The exit status."""
    options = arguments(given)
    libraries = Libraries(options.libraries or [])
    options.environment = clean_environment() | libraries.environment()
    programs = Carried(options.binaries) if options.binaries else Built()
    try:
        show_machine(libraries)
    except machine.NoGpu as error:
        print(f"no GPU: {error}")
        if options.device == "gpu":
            print("\nOn a machine with a GPU this would run:")
            print("\n".join(f"  {title}" for title in titles(options)))
            return NO_GPU
    shutil.rmtree(options.scratch, ignore_errors=True)
    options.scratch.mkdir(parents=True)
    outcomes = [*run_tests(programs, options), *serve(programs, options)]
    print("\n== Summary\n")
    print("\n".join(outcome.lines(outcomes)))
    return outcome.status(outcomes)


def show_machine(libraries):
    """Prints what there is. Raises NoGpu."""
    for title, name in libraries.versions():
        print(f"{title}: {name}")
    for number, gpu in enumerate(machine.gpus()):
        architecture = f"architecture {gpu.architecture}"
        print(f"GPU {number}: {gpu.name}, {architecture}, {gpu.gigabytes:.0f} GB, driver {machine.driver_version()}")


def titles(options):
    """What a run does."""
    return [
        *(f"tests: {test.title}" for test in TESTS),
        "metrics of the GPU",
        *(f"{case.name}: answers as on the CPU" for case in options.cases),
        *(f"{case.name}: throughput" for case in options.cases),
    ]


def run_tests(programs, options):
    """The outcomes of the tests in Rust."""
    if options.device != "gpu":
        return [Outcome(test.title, SKIPPED, "it needs a GPU") for test in TESTS]
    environment, outcomes = dict(options.environment), []
    if (files := CARRIED / "tensorrt").is_dir():
        environment["NERITE_TENSORRT_FILES"] = str(files)
    for test in TESTS:
        print(f"\n== {test.title}", flush=True)
        try:
            found = rust_tests.run(test, programs.test(test), environment)
        except Missing as error:
            found = [Outcome(test.title, FAILED, str(error))]
        print("\n".join(outcome.lines(found)), flush=True)
        outcomes += found
    return outcomes


def serve(programs, options):
    """The outcomes of serving the models through the daemon."""
    try:
        binary = programs.program(DAEMON)
        options.generator = programs.program(GENERATOR)
    except Missing as error:
        return [Outcome("the daemon and its load", FAILED, str(error))]
    models = {case: model_of(case, options.models) for case in options.cases}
    outcomes = []
    for title, part in (("answers", answers), ("throughput", rates)):
        try:
            outcomes += part(binary, models, options)
        except (DaemonError, grpc.RpcError, OSError) as error:
            outcomes.append(Outcome(title, FAILED, str(error)))
    return outcomes


def answers(binary, models, options):
    """Whether each model answers on the device as on the CPU."""
    environment = options.environment | EXACT
    with Server(binary, models, options.device, options.scratch / "answers", environment) as server:
        outcomes = [compare(server, case) for case in models]
        return [*outcomes, metrics(server, options)]


def metrics(server, options):
    """Whether the daemon tells of the GPU that it serves on."""
    title, text = "metrics of the GPU", "nv_gpu_memory_used_bytes{"
    if options.device != "gpu":
        return Outcome(title, SKIPPED, "it needs a GPU")
    try:
        server.daemon.wait_until(lambda: text in server.daemon.metrics(), 30, "tell of its GPUs")
    except DaemonError:
        return Outcome(title, FAILED, "there are none; the log of the daemon says why")
    series = [line for line in server.daemon.metrics().splitlines() if line.startswith("nv_") and "gpu_uuid=" in line]
    return Outcome(title, PASSED, f"{len(series)} series")


def rates(binary, models, options):
    """How fast each model is. Prints the table; the target that is missed is told there and fails nothing."""
    results, outcomes = [], []
    folder, environment = options.scratch / "rates", options.environment
    with Server(binary, models, options.device, folder, environment, only_device=True) as server:
        for case, data in models.items():
            title = f"{case.name}: throughput"
            print(f"\n== {title}", flush=True)
            model = options.scratch / f"{case.name}.onnx"
            model.write_bytes(data)
            try:
                for shape in throughput.shapes(case):
                    results.append(throughput.measure(server, case, shape, model, options.scratch, options))
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                outcomes.append(Outcome(title, FAILED, binaries.complaint(str(error))))
            else:
                told = f"{results[-1].ratio:.2f} of ONNX Runtime's own loop, in batches"
                outcomes.append(Outcome(title, PASSED, told))
    version = " and ".join(sorted({one.version for one in results})) or "nothing"
    header = ["daemon, rows/s", f"loop of ONNX Runtime {version}", "ratio", "target"]
    print()
    report.table([f"on the {options.device}, median of {options.rounds}", *header], throughput.rows(results))
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
