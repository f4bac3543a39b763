"""Backends as shared libraries: the samples, what can be compiled here, and every way for one to be bad."""

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import models
from backends import library, stage
from daemon import BINARY, ROOT
from damage import remove

# Where cargo leaves the samples in Rust.
BUILT = BINARY.parent
MINIMAL = ROOT / "plugins" / "minimal-c" / "minimal.c"
FAULTY = ROOT / "tests" / "plugins" / "faulty.c"
THROWING = ROOT / "tests" / "plugins" / "throwing.cpp"
KEEPER = ROOT / "tests" / "plugins" / "keeper.c"

# Everything that a backend must export.
LEAST = """
void *TRITONBACKEND_ModelInstanceExecute(void *instance, void **requests, unsigned count) { return 0; }
"""
# What is called when the library is loaded, and is nowhere.
UNRESOLVED = """
void nobody_has_this_function(void);
void *TRITONBACKEND_Initialize(void *backend) { nobody_has_this_function(); return 0; }
"""
# The number of a machine that nobody has: the field e_machine is 18 bytes into an ELF file.
MACHINE, NO_MACHINE = 18, 0x1234


def compile_c(source, path, *options):
    """Compiles a C file, or the text of one, to a shared library, as the sample says: with `cc` alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = source if isinstance(source, str) else source.read_text()
    include = [] if isinstance(source, str) else ["-I", source.parent]
    command = ["cc", "-shared", "-fPIC", "-O1", *include, *options, "-x", "c", "-", "-o", path]
    result = subprocess.run(command, input=text, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return path


def compiler_of_cpp():
    """The compiler of C++, if there is one. Without one there was none for the daemon either, which then catches no
    exceptions."""
    return shutil.which(os.environ.get("CXX", "g++"))


def compile_throwing(path, *options):
    """Compiles FAULTY so that it throws what it would return, as these options of the compiler say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    throwing = path.with_suffix(".o")
    subprocess.run([compiler_of_cpp(), "-c", "-fPIC", *options, THROWING, "-o", throwing], check=True)
    renamed = ["-pthread", "-fexceptions", "-DTRITONSERVER_ErrorNew=thrown", throwing, "-lstdc++"]
    return compile_c(FAULTY, path, *renamed)


def config(backend, *arguments, **keywords):
    """models.config for another backend."""
    return models.config(*arguments, **keywords).replace('"onnxruntime"', f'"{backend}"')


def parameters(**values):
    """The field `parameters` of a configuration."""
    entry = 'parameters {{ key: "{}" value {{ string_value: "{}" }} }}\n'
    return "".join(entry.format(key, value) for key, value in values.items())


class Bad(NamedTuple):
    """One way for a library to be bad."""

    make: Callable[[Path], object]
    """Makes what is in the library's place; the folder is there."""
    says: str
    """What the error says is wrong, as a pattern."""
    tells: str
    """What it says to do."""


def content(data):
    """A file of these bytes."""
    return lambda path: path.write_bytes(data)


def compiled(text, *options):
    """A library of this source."""
    return lambda path: compile_c(text, path, *options)


def changed(change):
    """A library that was whole, with other bytes."""

    def make(path):
        compile_c(LEAST, path)
        path.write_bytes(change(path.read_bytes()))

    return make


def foreign(data):
    """The same for another machine."""
    return data[:MACHINE] + struct.pack("<H", NO_MACHINE) + data[MACHINE + 2 :]


def unreadable(path):
    compile_c(LEAST, path)
    path.chmod(0)


BAD = {
    "missing": Bad(lambda path: None, r"libtriton_missing\.so", r"--backend-directory"),
    "text": Bad(content(b"Dear Sir or Madam,\n" * 100), r"not a shared library|invalid ELF header", r"\bput|copy|build"),
    "empty": Bad(content(b""), r"empty|file too short", r"copy|build"),
    "page": Bad(
        content(b"<!DOCTYPE html>\n<html></html>\n" * 9), r"not a shared library|ELF", r"put|copy|build|download"
    ),
    "beginning": Bad(changed(lambda data: data[:40]), r"truncated|file too short", r"copy|build"),
    "half": Bad(changed(lambda data: data[: len(data) // 2]), r"truncated|too short|cannot read|beyond", r"copy|build"),
    "foreign": Bad(changed(foreign), r"another (machine|architecture|processor)|architecture", r"build|install|compile"),
    "narrow": Bad(
        # ELFCLASS32 in the fifth byte.
        changed(lambda data: data[:4] + b"\x01" + data[5:]),
        r"32.bit|ELFCLASS|another (machine|architecture|processor)",
        r"build|install|compile",
    ),
    "bare": Bad(compiled("int nothing;"), r"TRITONBACKEND_ModelInstanceExecute", r"export|build|backend"),
    "lacking": Bad(
        compiled("void *TRITONBACKEND_Initialize(void *backend) { return 0; }"),
        r"TRITONBACKEND_ModelInstanceExecute",
        r"export|build|backend",
    ),
    "hidden": Bad(compiled(LEAST, "-fvisibility=hidden"), r"TRITONBACKEND_ModelInstanceExecute", r"export|build|backend"),
    "unresolved": Bad(
        compiled(LEAST + UNRESOLVED), r"undefined symbol: nobody_has_this_function", r"link|install|build"
    ),
    "dependent": Bad(
        # Names a library that is not there.
        lambda path: compile_c(LEAST, path, *linked(path.parent)),
        r"libnobody_has_this\.so.*cannot open shared object file",
        r"install|LD_LIBRARY_PATH",
    ),
    "directory": Bad(Path.mkdir, r"director", r"put|copy|file"),
    "unreadable": Bad(unreadable, r"[Pp]ermission denied", r"let the server's user read|permission|chmod"),
    "dangling": Bad(
        lambda path: path.symlink_to("gone.so"),
        r"gone\.so|link|libtriton_dangling\.so",
        r"link|put|copy|--backend",
    ),
    "pipe": Bad(os.mkfifo, r"not a file|not a regular file|pipe", r"put|copy|file"),
}


def linked(folder):
    """Options to link with a library that is gone afterwards."""
    path = compile_c("int nothing;", folder / "libnobody_has_this.so", "-Wl,-soname,libnobody_has_this.so")
    moved = folder / "kept.so"
    path.rename(moved)
    return ["-Wl,--no-as-needed", moved]


def make_bad(folder, name):
    """Puts the bad library of that name in its folder of the backend directory."""
    path = library(Path(folder) / name, name)
    remove(path.parent)
    path.parent.mkdir(parents=True)
    BAD[name].make(path)
    return path


def make_whole(folder, name):
    """Puts a whole one there, a copy of a sample."""
    path = library(Path(folder) / name, name)
    remove(path.parent)
    path.parent.mkdir(parents=True)
    shutil.copy(library(BUILT, "identity"), path)
    return path
