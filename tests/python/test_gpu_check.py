"""scripts/gpu-check and scripts/gpu-pack on a machine without a GPU, and what they would make of one."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import models
import plugins
import numpy as np
import onnxruntime
import pytest
from daemon import BINARY, ROOT
from gpu_check import __main__ as check
from gpu_check import binaries, cases, compare, fatbin, libraries, machine, outcome, rust_tests, serving
from gpu_check import throughput, transformer
from gpu_check.outcome import FAILED, PASSED, SKIPPED, Outcome
from gpu_check.throughput import Result
from gpus import Counterfeit

TEST = binaries.TESTS[0]


def has_gpu():
    try:
        return bool(machine.gpus())
    except machine.NoGpu:
        return False


needs_no_gpu = pytest.mark.skipif(has_gpu(), reason="this machine has a GPU")


@needs_no_gpu
def test_without_a_gpu_it_says_so_and_what_it_would_run(capsys, tmp_path):
    assert check.main(["--scratch", str(tmp_path / "scratch")]) == outcome.NO_GPU == 2
    said = capsys.readouterr().out
    assert "no GPU: the NVIDIA driver's library cannot be loaded" in said
    titles = ("nerite-tensorrt real", "nerite-onnxruntime gpu", "mobilenet_v2: answers", "transformer: throughput")
    assert all(title in said for title in titles)
    assert not (tmp_path / "scratch").exists(), "nothing was run"


def test_on_the_cpu_the_same_comparison_is_made_and_measured(capsys, tmp_path):
    scratch = tmp_path / "scratch"
    options = f"--device=cpu --only=mlp --rounds=1 --seconds=0.05 --binaries={BINARY.parent} --scratch={scratch}"
    assert check.main(options.split()) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "mlp: answers as on the CPU  passed" in said and "rows differ by 0 at most" in said
    assert "2 passed, 0 failed, 4 skipped" in said, said
    assert "mlp, 1 at a time" in said and "mlp, 64 at a time" in said and "at least 0.95:" in said


def test_with_a_gpu_its_tests_are_run_too_and_its_metrics_are_looked_for(capsys, tmp_path, monkeypatch):
    """The GPU is one of this test alone, and the CPU does its work."""
    monkeypatch.setattr(machine, "gpus", lambda: [machine.Gpu("Counterfeit H1", 90, 80.0)])
    monkeypatch.setitem(serving.KINDS, "gpu", "KIND_CPU")
    monkeypatch.setitem(throughput.PROVIDERS, "gpu", "CPUExecutionProvider")
    Counterfeit(tmp_path / "libraries")
    programs = tmp_path / "binaries"
    programs.mkdir()
    for name in (binaries.DAEMON, binaries.GENERATOR):
        (programs / name).symlink_to(BINARY.parent / name)
    for test, said in zip(binaries.TESTS, ("ok", "x was not tested\\nok", "FAILED"), strict=True):
        (programs / test.file).write_text(f"#!/bin/sh\nprintf 'test it ... {said}\\n'\n")
        (programs / test.file).chmod(0o755)
    options = f"--only=mlp --rounds=1 --seconds=0.05 --binaries={programs} --libraries={tmp_path / 'libraries'}"
    assert check.main([*options.split(), f"--scratch={tmp_path / 'scratch'}"]) == 1
    said = capsys.readouterr().out
    assert "GPU 0: Counterfeit H1, architecture 90, 80 GB" in said
    summary = said.partition("== Summary")[2]
    assert "nerite-tensorrt real: it    skipped  x was not tested" in summary, said
    assert "nerite-onnxruntime gpu: it  failed" in summary
    assert "metrics of the GPU          passed   8 series" in summary
    assert "4 passed, 1 failed, 1 skipped" in said


DRIVER = """
#include <cuda.h>
#include <string.h>
static int devices = DEVICES;
CUresult cuInit(unsigned flags) { return INIT; }
CUresult cuDeviceGetCount(int *count) { *count = devices; return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int number) { *device = 10 + number; return CUDA_SUCCESS; }
CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
    strncpy(name, device == 10 ? "First" : "Second", length);
    return CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem(size_t *size, CUdevice device) { *size = (device - 9) * 10000000000; return CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute what, CUdevice device) {
    *value = what == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? device - 1
        : what == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? device - 10 : -1;
    return CUDA_SUCCESS;
}
"""


@pytest.mark.parametrize(
    ("devices", "init", "told"),
    [
        (2, 0, [machine.Gpu("First", 90, 10.0), machine.Gpu("Second", 101, 20.0)]),
        (0, 0, "knows no GPU"),
        (1, 100, "cuInit of the NVIDIA driver failed with error 100"),
    ],
)
def test_gpus_are_told_as_the_driver_tells_them(tmp_path, devices, init, told):
    headers = ROOT / "target" / "tensorrt" / "headers" / "cuda"
    options = ("-I", headers, f"-DDEVICES={devices}", f"-DINIT={init}")
    library = plugins.compile_c(DRIVER, tmp_path / "libcuda.so.1", *options)
    if isinstance(told, list):
        assert machine.gpus(library) == told
    else:
        with pytest.raises(machine.NoGpu, match=told):
            machine.gpus(library)


def test_the_drivers_version_is_that_of_the_kernels_part(tmp_path):
    file = tmp_path / "version"
    assert machine.driver_version(file) == "unknown"
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan  9\nGCC version: 12\n")
    assert machine.driver_version(file) == "570.86.15"


def test_what_is_missing_fails_and_the_rest_is_still_done(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    options = f"--device=cpu --only=mlp --binaries={tmp_path / 'empty'} --scratch={tmp_path / 'scratch'}"
    assert check.main(options.split()) == 1
    assert f"{tmp_path / 'empty' / 'nerite'} does not exist" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="nowhere does not exist"):
        check.main(["--libraries=/nowhere"])


HARNESS = """
running 6 tests
test one::passes ... ok
test says_something ... library.so is loaded
ok
test does_nothing ... libfoo is not there and was not tested: run scripts/fetch
ok
test fails ... 
thread 'fails' panicked at tests/real.rs:1:2:
the GPU says 7
note: run with `RUST_BACKTRACE=1`
FAILED
test is_ignored ... ignored, it takes long
test ends_the_process ... about to crash
"""


def test_what_the_harness_of_rust_prints_is_read_with_what_was_skipped_and_why():
    assert rust_tests.read(HARNESS) == [
        Outcome("one::passes", PASSED),
        Outcome("says_something", PASSED),
        Outcome("does_nothing", SKIPPED, "libfoo is not there and was not tested: run scripts/fetch"),
        Outcome("fails", FAILED, "the GPU says 7"),
        Outcome("is_ignored", SKIPPED, "it takes long"),
        Outcome("ends_the_process", FAILED, "about to crash"),
    ]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'test a ... ok'", [Outcome(f"{TEST.title}: a", PASSED)]),
        ("echo 'test a ... ok'; exit 3", [Outcome(f"{TEST.title}: a", PASSED), (FAILED, "ended with status 3")]),
        ("echo gone >&2; kill -9 $$", [(FAILED, "ended with status -9: gone")]),
        ("true", [(FAILED, "has no tests")]),
    ],
)
def test_tests_that_end_otherwise_than_they_say_have_failed(tmp_path, script, expected):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    found = rust_tests.run(TEST, program, dict(os.environ))
    assert len(found) == len(expected)
    for one, wanted in zip(found, expected, strict=True):
        assert one == wanted or (one.state == wanted[0] and wanted[1] in one.detail), found
    (missing,) = rust_tests.run(TEST, tmp_path / "nothing", {})
    assert missing.state == FAILED and "cannot be run" in missing.detail


def test_the_table_says_what_became_of_everything_and_the_status_whether_all_is_well():
    passed, failed, skipped = Outcome("a", PASSED, "a"), Outcome("bcd", FAILED, "bcd"), Outcome("e", SKIPPED, "e")
    assert outcome.lines([passed, failed, skipped]) == [
        "a    passed   a",
        "bcd  failed   bcd",
        "e    skipped  e",
        "1 passed, 1 failed, 1 skipped",
    ]
    for outcomes, status in (([passed, skipped], 0), ([passed, failed], 1), ([skipped], 1), ([], 1)):
        assert outcome.status(outcomes) == status


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"y": [1.0, 2.0]}, {"y": [1.0, 2.5]}, 0.5),
        ({"y": [1.0], "z": [3.0]}, {"y": [1.0], "z": [1.0]}, 2.0),
        ({"y": []}, {"y": []}, 0.0),
        ({"y": [1.0]}, {"y": [1.0, 1.0]}, np.inf),
        ({"y": [1.0]}, {"z": [1.0]}, np.inf),
        ({"y": [np.nan]}, {"y": [np.nan]}, np.inf),
    ],
)
def test_answers_differ_by_the_largest_gap_and_what_is_no_number_is_never_alike(one, other, expected):
    arrays = [{name: np.array(values, np.float32) for name, values in side.items()} for side in (one, other)]
    assert compare.difference(*arrays) == expected


class Fake:
    """A server whose device is off by some number."""

    def __init__(self, off, reason=""):
        self.off, self.why = off, reason

    def reason(self, _case, side):
        return self.why if side == "device" else ""

    def infer(self, _case, side, inputs):
        (array,) = inputs.values()
        return {"y": array + (self.off if side == "device" else 0)}


def test_a_model_that_answers_otherwise_on_the_device_or_is_not_served_there_has_failed():
    case = cases.CASES[0]
    assert compare.compare(Fake(0.0005), case).state == PASSED
    off = compare.compare(Fake(0.01), case)
    assert off.state == FAILED and "1 rows differ by 0.01, of which 0.001 is allowed" in off.detail
    lacking = compare.compare(Fake(0, "there is no CUDA"), case)
    assert (lacking.state, lacking.detail) == (FAILED, "it is not served on the device: there is no CUDA")


def test_rates_are_compared_within_their_rounds_and_the_target_is_of_batches():
    steady = Result("m", 32, daemon=[90, 190, 400], loop=[100, 200, 400], version="1.0")
    assert throughput.rows([steady]) == [["m, 32 at a time", "190", "200", "0.95", "at least 0.95: reached"]]
    assert throughput.verdict(steady._replace(daemon=[90, 180, 360])) == "at least 0.95: missed"
    assert throughput.verdict(steady._replace(batch=1)) == ""


def test_the_transformer_is_a_model_whose_answers_depend_on_what_is_seen_alone():
    size = transformer.Size(vocabulary=2000, positions=64, width=24, heads=3, layers=2, inner=48)
    session = onnxruntime.InferenceSession(transformer.model(size), providers=["CPUExecutionProvider"])
    inputs = cases.sentences(np.random.default_rng(1), 3, words=16)
    inputs["attention_mask"][0, 10:] = 0
    (first,) = session.run(None, inputs)
    assert first.shape == (3, 24) and np.isfinite(first).all() and np.abs(first).max() > 0.1
    hidden = {**inputs, "input_ids": inputs["input_ids"].copy()}
    hidden["input_ids"][0, 10:] = 7
    np.testing.assert_allclose(session.run(None, hidden)[0], first, atol=1e-6)
    hidden["input_ids"][0, 3] = 8
    assert np.abs(session.run(None, hidden)[0][0] - first[0]).max() > 1e-3
    alone = {name: array[1:2] for name, array in inputs.items()}
    np.testing.assert_allclose(session.run(None, alone)[0], first[1:2], atol=1e-5)


def test_libraries_that_were_brought_along_are_found_with_their_versions(tmp_path, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/system")
    files = (
        "onnxruntime/capi/libonnxruntime.so.1.32.0",
        "onnxruntime/capi/libonnxruntime_providers_cuda.so",
        "onnxruntime/__init__.py",
        "nvidia/cudnn/lib/libcudnn.so.9",
        "nvidia/cudnn/lib/libcudnn.so.9.txt",
        "onnxruntime_gpu-1.32.0.dist-info/RECORD",
    )
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    record = tmp_path / "onnxruntime_gpu-1.32.0.dist-info" / "RECORD"
    record.write_text("onnxruntime/capi/libonnxruntime.so.1.32.0,sha256=x,1\n")
    found = libraries.Libraries([tmp_path])
    assert found.versions() == [
        ("ONNX Runtime", "libonnxruntime.so.1.32.0, of onnxruntime_gpu 1.32.0"),
        ("its CUDA provider", "libonnxruntime_providers_cuda.so"),
        ("cuDNN", "libcudnn.so.9"),
    ]
    environment = found.environment()
    assert environment["LD_LIBRARY_PATH"] == f"{tmp_path}/nvidia/cudnn/lib:{tmp_path}/onnxruntime/capi:/system"
    assert environment["ORT_DYLIB_PATH"] == str(tmp_path / files[0])
    assert environment["PYTHONPATH"].split(":")[0] == str(tmp_path)
    assert libraries.Libraries([]).environment() == {}


def entry(kind, architecture, code, header=64):
    described = struct.pack("<HHIQ12xI", kind, 0x101, header, len(code), architecture)
    return described.ljust(header, b"\0") + code


def fat(*entries):
    body = b"".join(entries)
    return fatbin.MAGIC + struct.pack("<HHQ", 1, 16, len(body)) + body


def test_device_code_for_other_gpus_becomes_zeros_and_everything_else_stays():
    sass, ptx = fatbin.SASS, fatbin.PTX
    both = fat(entry(sass, 80, b"A" * 40), entry(sass, 90, b"B" * 24), entry(ptx, 90, b"P" * 16))
    # Nothing for 90 alone, so that what its driver can compile stays.
    older = fat(entry(sass, 80, b"C" * 8), entry(ptx, 70, b"D" * 8), entry(ptx, 100, b"E" * 8))
    # Looks like a container, and is none.
    broken = fatbin.MAGIC + struct.pack("<HHQ", 1, 16, 1 << 40) + b"F" * 16
    image = bytearray(b"\x7fELF" + both + b"text" + broken + older + fatbin.MAGIC)
    before = bytes(image)
    assert fatbin.trim(image, 90) == 40 + 8 + 8
    assert image == before.replace(b"A" * 40, bytes(40)).replace(b"C" * 8, bytes(8)).replace(b"E" * 8, bytes(8))
    assert fatbin.trim(image, 90) == 56, "it can be done again"
    on_86 = bytearray(both)
    assert fatbin.trim(on_86, 86) == 24 + 16 and b"A" * 40 in on_86, "8.0 runs on 8.6"


@pytest.mark.parametrize("length", range(0, 90, 7))
def test_a_file_that_is_cut_off_is_left_alone(length):
    image = bytearray(fat(entry(fatbin.SASS, 80, b"A" * 40))[:length])
    assert fatbin.trim(image, 90) == 0


def test_cargo_says_where_tests_are_and_what_it_lacks_is_told():
    line = '{"reason":"compiler-artifact","target":{"name":"%s"},"executable":"/x/%s-1"}' % (TEST.name, TEST.name)
    assert binaries.executable(f"noise\n{line}\n", TEST) == Path(f"/x/{TEST.name}-1")
    with pytest.raises(binaries.Missing, match="did not say where"):
        binaries.executable('{"reason":"build-finished"}', TEST)
    assert binaries.complaint("warning: old\nerror: no test target named `gpu`\nhelp: there are:\n    threads\n") == (
        "error: no test target named `gpu`"
    )
    assert binaries.complaint("Killed\n\n") == "Killed" and binaries.complaint("") == ""


def test_what_is_carried_runs_by_itself(tmp_path):
    """The scripts and packages of a pack, without this repository; the programs in it are this build's."""
    from gpu_check import pack

    folder = tmp_path / "pack"
    carried = folder / "carried"
    pack.scripts(folder / "scripts")
    pack.python(carried)
    (carried / "models").mkdir()
    (carried / "models" / "mlp.onnx").write_bytes(models.mlp("FP32").SerializeToString())
    (carried / "tensorrt").mkdir()
    (carried / "binaries").mkdir()
    for name in (binaries.DAEMON, binaries.GENERATOR):
        (carried / "binaries" / name).symlink_to(BINARY.parent / name)
    package = Path(onnxruntime.__file__).parent
    library = tmp_path / "library"
    shutil.copytree(package, library / "onnxruntime", ignore=shutil.ignore_patterns("transformers", "datasets"))
    with (library / "onnxruntime" / "__init__.py").open("a") as file:
        file.write('__version__ += " that was carried"\n')
    (library / "onnxruntime" / "capi" / "libfat.so").write_bytes(fat(entry(fatbin.SASS, 80, b"A" * 40)))
    pack.libraries(library, carried / "libraries" / "0", 90)
    assert b"A" * 40 not in (carried / "libraries" / "0" / "onnxruntime" / "capi" / "libfat.so").read_bytes()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ORT_DYLIB_PATH")}
    environment |= {"NERITE_PYTHON": sys.executable, "PYTHONNOUSERSITE": "1"}
    command = [folder / "scripts" / "gpu-check", "--device=cpu", "--only=mlp", "--rounds=1", "--seconds=0.05"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "ONNX Runtime: libonnxruntime.so" in result.stdout and "2 passed, 0 failed" in result.stdout
    assert f"ONNX Runtime {onnxruntime.__version__} that was carried" in result.stdout
    assert str(ROOT) not in result.stdout
    # Packages are large, and pytest keeps what tests leave.
    shutil.rmtree(tmp_path)
