"""Metrics of GPUs, through a counterfeit of NVIDIA's management library."""

import ctypes

import accounts
import pytest
from accounts import Series, families
from daemon import Daemon, free_ports
from gpus import FIRST, SECOND, TWO, Counterfeit

LIMIT = 30
NONE = "there are no metrics of GPUs"
OFTEN = "--metrics-interval-ms=20"
# Triton's: type and help.
OF_A_GPU = {
    "nv_gpu_utilization": ("gauge", "GPU utilization rate [0.0 - 1.0)"),
    "nv_gpu_memory_total_bytes": ("gauge", "GPU total memory, in bytes"),
    "nv_gpu_memory_used_bytes": ("gauge", "GPU used memory, in bytes"),
    "nv_gpu_power_usage": ("gauge", "GPU power usage in watts"),
    "nv_gpu_power_limit": ("gauge", "GPU power management limit in watts"),
    "nv_energy_consumption": ("counter", "GPU energy consumption in joules since the Triton Server started"),
}


@pytest.fixture
def nvml(tmp_path):
    """Two GPUs."""
    return Counterfeit(tmp_path / "counterfeits")


def told(daemon):
    """Every series of a GPU: its metric and the GPU, with its value."""
    values = {}
    for name, family in families(daemon).items():
        if name in OF_A_GPU:
            for sample in family.samples:
                assert sample.labels.keys() == {"gpu_uuid"}
                values[name, sample.labels["gpu_uuid"]] = sample.value
    return values


def until_told(daemon, condition, what):
    daemon.wait_until(lambda: condition(told(daemon)), LIMIT, what)
    return told(daemon)


def test_every_gpu_has_tritons_metrics_of_what_it_can_tell(repository, serve, nvml):
    daemon = serve(repository, OFTEN, environment=nvml.environment)
    first = {
        "nv_gpu_utilization": 0.37,
        "nv_gpu_memory_total_bytes": 80e9,
        "nv_gpu_memory_used_bytes": 20e9,
        "nv_gpu_power_usage": 123.456,
        "nv_gpu_power_limit": 700,
        "nv_energy_consumption": 0,
    }
    expected = {(name, FIRST): value for name, value in first.items()}
    expected |= {("nv_gpu_memory_total_bytes", SECOND): 24e9, ("nv_gpu_memory_used_bytes", SECOND): 1000}
    assert until_told(daemon, bool, "tell of its GPUs") == expected
    found = families(daemon)
    assert {name: (found[name].type, found[name].documentation) for name in OF_A_GPU} == OF_A_GPU
    log = daemon.log_text()
    assert f"metrics of GPU 0 ({FIRST}), Counterfeit H1" in log and f"GPU 1 ({SECOND}), without a name" in log


def test_energy_is_counted_from_the_start_on_and_goes_on_after_a_reset(repository, serve, nvml):
    daemon = serve(repository, OFTEN, environment=nvml.environment)
    key = ("nv_energy_consumption", FIRST)
    assert until_told(daemon, bool, "tell of its GPUs")[key] == 0
    for reading, expected in ((5000001500, 1.5), (5000002000, 2.0), (250, 2.25), (1000, 3.0)):
        nvml.say(TWO.replace("0.energy 5000000000", f"0.energy {reading}"))
        until_told(daemon, lambda values: values[key] == expected, f"count {expected} J")


def test_a_gpu_that_is_lost_has_no_series_until_it_is_back_and_the_others_go_on(repository, serve, nvml):
    daemon = serve(repository, OFTEN, environment=nvml.environment)
    before = until_told(daemon, bool, "tell of its GPUs")
    nvml.say(TWO + "0.fail 15\n")
    lost = until_told(daemon, lambda values: len(values) == 2, "lose a GPU")
    assert {gpu for _, gpu in lost} == {SECOND}
    text = f"GPU 0 ({FIRST}): nvmlDeviceGetUtilizationRates failed: GPU is lost (15)"
    assert daemon.log_text().count(text) == 1, "it is said once"
    nvml.say(TWO)
    assert until_told(daemon, lambda values: len(values) > 2, "have it back") == before
    assert f"GPU 0 ({FIRST}) tells again" in daemon.log_text()


def test_a_driver_that_hangs_holds_up_no_scrape_and_no_exit(repository, serve, nvml):
    daemon = serve(repository, OFTEN, environment=nvml.environment)
    before = until_told(daemon, bool, "tell of its GPUs")
    hang = "1.hang.nvmlDeviceGetMemoryInfo 1\n"
    nvml.say(TWO + hang)
    # What was known stays for a while, and is not shown when it is old.
    assert until_told(daemon, lambda values: not values, "show nothing that is old") == {}
    assert daemon.log_text().count("the NVIDIA driver has not answered for") == 1
    nvml.say(TWO)
    assert until_told(daemon, bool, "be answered again") == before
    assert "the NVIDIA driver answers again" in daemon.log_text()
    nvml.say(TWO + hang)
    until_told(daemon, lambda values: not values, "hang again")
    accounts.check_if_idle(daemon)
    assert daemon.stop() == 0


def test_a_driver_that_does_not_even_start_holds_up_nothing(repository, serve, nvml):
    nvml.say("hang.nvmlInit_v2 1\n")
    daemon = serve(repository, environment=nvml.environment)
    assert daemon.is_ready() and told(daemon) == {}
    assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("state", "level", "words"),
    [
        ("fail.nvmlInit_v2 9", "I", f"{NONE}: NVML does not start: nvmlInit_v2 failed: Driver Not Loaded (9)"),
        ("fail.nvmlInit_v2 18", "W", f"{NONE}: NVML does not start: nvmlInit_v2 failed: Driver/library"),
        ("fail.nvmlDeviceGetCount_v2 999", "W", f"{NONE}: NVML does not start: nvmlDeviceGetCount_v2 failed"),
        ("devices 0", "I", "there are no GPUs to have metrics of"),
        (None, "I", f"{NONE}: 'libnvidia-ml.so.1' cannot be loaded"),
    ],
)
def test_without_gpus_there_is_no_series_and_one_line_in_the_log(repository, serve, nvml, state, level, words):
    environment = nvml.environment
    if state is None:
        if has_nvml():
            pytest.skip("this machine has NVML, and a daemon finds it")
        environment = {}
    else:
        nvml.say(state + "\n")
    daemon = serve(repository, environment=environment)
    daemon.wait_until(lambda: words in daemon.log_text(), LIMIT, f"say '{words}'")
    lines = [line for line in daemon.log_text().splitlines() if "GPU" in line or "NVML" in line]
    assert len(lines) == 1 and lines[0].startswith(level), lines
    assert told(daemon) == {} and not [name for name, _ in Series(daemon).values if "gpu" in name]


def has_nvml():
    try:
        return bool(ctypes.CDLL("libnvidia-ml.so.1"))
    except OSError:
        return False


def test_a_gpu_that_cannot_be_asked_at_all_is_left_out(repository, serve, nvml):
    nvml.say(TWO + "0.fail.nvmlDeviceGetHandleByIndex_v2 15\n")
    daemon = serve(repository, environment=nvml.environment)
    assert {gpu for _, gpu in until_told(daemon, bool, "tell of its GPUs")} == {SECOND}
    assert "there are no metrics of GPU 0: nvmlDeviceGetHandleByIndex_v2 failed: GPU is lost (15)" in daemon.log_text()


def test_gpus_are_not_asked_where_nobody_wants_their_metrics(repository, tmp_path, nvml):
    for flag in ("--allow-gpu-metrics=false", "--allow-metrics=false"):
        arguments = [f"--model-repository={repository.folder}", OFTEN, flag]
        with Daemon(arguments, tmp_path / "log", free_ports(3), environment=nvml.environment) as daemon:
            daemon.wait_ready()
            if flag != "--allow-metrics=false":
                assert told(daemon) == {}
            assert daemon.stop() == 0
        assert "GPU" not in daemon.log_text()


def test_gpus_are_asked_no_more_often_than_the_interval_says(repository, serve, nvml):
    key = ("nv_gpu_utilization", FIRST)
    seldom = serve(repository, "--metrics-interval-ms=3600000", environment=nvml.environment)
    often = serve(repository, OFTEN, environment=nvml.environment)
    for daemon in (seldom, often):
        assert until_told(daemon, bool, "tell of its GPUs")[key] == 0.37
    nvml.say(TWO.replace("0.utilization 37", "0.utilization 100"))
    until_told(often, lambda values: values[key] == 1.0, "ask again")
    assert told(seldom)[key] == 0.37
