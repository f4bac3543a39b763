"""The GPUs that this process may use, as the NVIDIA driver tells. Only the standard library is used."""

import ctypes
import re
from pathlib import Path
from typing import NamedTuple

DRIVER = "libcuda.so.1"
# Numbers of cuda.h.
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
VERSION = Path("/proc/driver/nvidia/version")


class Gpu(NamedTuple):
    """A GPU; `architecture` is its compute capability without the dot, 90 for instance."""

    name: str
    architecture: int
    gigabytes: float


class NoGpu(Exception):
    """There is none; the text says why."""


def gpus(library=DRIVER):
    """Every GPU. Raises NoGpu where there is none."""
    try:
        cuda = ctypes.CDLL(library)
    except OSError as error:
        raise NoGpu(f"the NVIDIA driver's library cannot be loaded ({error})") from None
    call(cuda.cuInit, 0)
    count = ctypes.c_int()
    call(cuda.cuDeviceGetCount, ctypes.byref(count))
    if count.value == 0:
        raise NoGpu("the NVIDIA driver knows no GPU that this process may use")
    return [gpu(cuda, number) for number in range(count.value)]


def gpu(cuda, number):
    """One GPU by its number."""
    device, name, size = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_size_t()
    call(cuda.cuDeviceGet, ctypes.byref(device), number)
    call(cuda.cuDeviceGetName, name, len(name), device)
    call(cuda.cuDeviceTotalMem_v2, ctypes.byref(size), device)
    capability = [ctypes.c_int(), ctypes.c_int()]
    for value, what in zip(capability, (CAPABILITY_MAJOR, CAPABILITY_MINOR)):
        call(cuda.cuDeviceGetAttribute, ctypes.byref(value), what, device)
    major, minor = (value.value for value in capability)
    return Gpu(name.value.decode(errors="replace"), 10 * major + minor, size.value / 1e9)


def call(function, *arguments):
    """Calls a function of the driver, and raises NoGpu if it fails."""
    if status := function(*arguments):
        raise NoGpu(f"{function.__name__} of the NVIDIA driver failed with error {status}")


def driver_version(file=VERSION):
    """The driver's version, as the kernel's part of it says."""
    try:
        return re.search(r"\d+\.\d+(\.\d+)*", file.read_text())[0]
    except (OSError, TypeError):
        return "unknown"
