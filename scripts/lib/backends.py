"""The workspace's plugins, where a daemon looks for them."""

from pathlib import Path

from daemon import BINARY

# Those that the sample pipelines use.
SAMPLES = ["tokenizer", "image", "text_lines", "ctc"]


def library(folder, backend):
    """The path of a backend's library in a folder."""
    return Path(folder) / f"libtriton_{backend}.so"


def stage(folder, backend):
    """Puts a plugin that cargo has built in its folder of a backend directory; gives back its path there."""
    path = library(Path(folder) / backend, backend)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    # The library itself is large with its debug information.
    path.symlink_to(library(BINARY.parent.resolve(), backend))
    return path
