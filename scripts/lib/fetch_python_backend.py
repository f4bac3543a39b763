"""Lays out Triton's Python backend in target/python-backend, for a Python of this machine.

The backend's library is Triton's, unmodified. The stub, which it starts for each instance of a model, embeds a Python of
just one version, and is linked to that Python's shared library; there is a stub for each version.
"""

import json
import os
import shutil
import subprocess
from fnmatch import fnmatch
from typing import NamedTuple

import python_backend
import wheels

# What is used of the wheel besides a stub. Of its other libraries only those that the backend and the stub link to: above
# all not its libtritonserver, for which the daemon stands in.
BACKEND = "pytriton/tritonserver/backends/python/"
STUB = "triton_python_backend_stub"
LIBRARIES = "nvidia_pytriton.libs/"
LINKED = ["acl", "archive", "bz2", "cudart", "icudata", "icuuc", "lz4", "lzma", "nettle", "xml2", "zstd"]
CANDIDATES = [wheels.TARGET / "venv/bin/python", "python3", "python3.12", "python3.11", "python3.10", "python3.9"]
DESCRIBE = """
import json, sys, sysconfig
version, machine = "%d.%d" % sys.version_info[:2], sysconfig.get_config_var("MULTIARCH") or ""
folders = [sysconfig.get_config_var("LIBDIR"), sys.base_prefix + "/lib", "/usr/lib/" + machine]
print(json.dumps([version, ["%s/libpython%s.so.1.0" % (folder, version) for folder in folders]]))
"""


class Python(NamedTuple):
    """A Python that the stub can embed: its program, version and shared library."""

    program: str
    version: str
    library: str


def main():
    """Instant when everything is there already."""
    arch, python = wheels.machine(), find_python()
    stamp = {"backend": wheels.PYTRITON.version, "numpy": wheels.NUMPY_1[python.version].version}
    stamp = json.dumps({**stamp, **python._asdict()}, indent=2) + "\n"
    if not python_backend.STAMP.exists() or python_backend.STAMP.read_text() != stamp:
        part = python_backend.FOLDER.with_name("python-backend.part")
        shutil.rmtree(part, ignore_errors=True)
        lay_out(part, arch, python)
        (part / python_backend.STAMP.name).write_text(stamp)
        shutil.rmtree(python_backend.FOLDER, ignore_errors=True)
        part.rename(python_backend.FOLDER)
    where = python_backend.DIRECTORY.relative_to(wheels.ROOT)
    print(f"Python backend of {wheels.PYTRITON.package} {wheels.PYTRITON.version} for Python {python.version}: {where}")


def find_python():
    """The first interpreter of a version that has a stub and a numpy below 2, and has a shared library."""
    lacking = []
    for candidate in filter(None, [os.environ.get("NERITE_PYTHON"), *CANDIDATES]):
        try:
            answer = subprocess.run([candidate, "-c", DESCRIBE], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            continue
        version, libraries = json.loads(answer)
        if version not in wheels.NUMPY_1:
            continue
        found = next(filter(os.path.exists, libraries), None)
        if found:
            return Python(str(candidate), version, os.path.realpath(found))
        lacking.append((str(candidate), version))
    if lacking and install(f"libpython{lacking[0][1]}"):
        return find_python()
    reasons = [f"{candidate} ({version}) has no shared library" for candidate, version in lacking]
    raise SystemExit(
        f"error: the Python backend embeds a Python of version {', '.join(wheels.NUMPY_1)}, as a shared library: "
        f"{'; '.join(reasons) or 'no such Python was found'}. On Debian or Ubuntu: apt-get install python3 "
        f"{'libpython' + lacking[0][1] if lacking else 'libpython3-dev'}; or name one with NERITE_PYTHON=/path/to/python3"
    )


def install(package):
    """Whether Debian's package was installed: only root can."""
    if os.geteuid() != 0 or not shutil.which("apt-get") or "NERITE_INSTALLED" in os.environ:
        return False
    # So that a package which does not help is not installed again.
    os.environ["NERITE_INSTALLED"] = package
    print(f"  installing {package}", flush=True)
    commands = [["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", package]]
    return all(subprocess.run(command, capture_output=True).returncode == 0 for command in commands)


def lay_out(folder, arch, python):
    """Everything, in a folder that is not there yet."""
    stub = f"pytriton/tritonserver/python_backend_stubs/{python.version}/{STUB}"
    libraries = [f"{LIBRARIES}lib{name}-*.so*" for name in LINKED]

    def wanted(name):
        return name.startswith(BACKEND) or name == stub or any(fnmatch(name, library) for library in libraries)

    wheels.unpack(wheels.PYTRITON, folder, wanted, arch)
    (folder / stub).rename(folder / BACKEND / STUB)
    shutil.rmtree(folder / "pytriton/tritonserver/python_backend_stubs")
    # Where the stub looks first, so that it is this Python whatever else the machine has.
    (folder / LIBRARIES / f"libpython{python.version}.so.1.0").symlink_to(python.library)
    make_venv(folder / python_backend.VENV.name, arch, python)
    check(folder / BACKEND)


def make_venv(folder, arch, python):
    """An environment of that Python, which has numpy and nothing else."""
    subprocess.run([python.program, "-m", "venv", "--without-pip", folder], check=True)
    packages = folder / "lib" / f"python{python.version}" / "site-packages"
    wheels.unpack(wheels.NUMPY_1[python.version], packages, lambda _: True, arch)
    # Or else each stub would compile it again where nothing may be written.
    subprocess.run([python.program, "-m", "compileall", "-qq", packages / "numpy"])


def check(backend):
    """Ends the script if something that is linked to is missing, but for the server's library."""
    for path in (backend / "libtriton_python.so", backend / STUB):
        listing = subprocess.run(["ldd", path], capture_output=True, text=True)
        missing = [line.split()[0] for line in listing.stdout.splitlines() if "not found" in line]
        missing = [name for name in missing if not name.startswith("libtritonserver")]
        if missing or listing.returncode != 0:
            what = f"needs {', '.join(missing)}, not found here" if missing else listing.stderr.strip()
            raise SystemExit(
                f"error: {path.name} {what}. It needs a glibc of 2.35 or newer; on Debian or Ubuntu: "
                "apt-get install libstdc++6 zlib1g libexpat1"
            )


if __name__ == "__main__":
    main()
