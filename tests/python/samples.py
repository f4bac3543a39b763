"""The sample pipelines, and what goes into them."""

import io
import re
from contextlib import contextmanager

import backends
import numpy as np
from conftest import ROOT
from daemon import Daemon
from PIL import Image
from server import Server

PIPELINES = ROOT / "pipelines"
DEMO = ROOT / "target" / "demo"
# What scikit-image's picture of a page says.
PAGE = [
    "Region-based segmentation",
    "Let us first determine markers of the coins and the",
    "background. These markers are pixels that we can label",
    "unambiguously as either object or background. Here,",
    "the markers are found at the two extreme parts of the",
    "histogram of grey values:",
    "markers = np.zeros_like(coins)",
]


@contextmanager
def served(folder, *flags):
    """A daemon of both sample repositories with the plugins that they need; a Server of it."""
    for backend in backends.SAMPLES:
        backends.stage(folder / "backends", backend)
    repositories = [f"--model-repository={path}" for path in (PIPELINES, ROOT / "model-repository")]
    with Daemon([*repositories, f"--backend-directory={folder / 'backends'}", *flags], folder / "nerite.log") as daemon:
        server = Server(daemon.wait_ready(60))
        yield server
        server.close()


def column(*elements):
    """A batch of BYTES with one element a row."""
    return np.array([[element] for element in elements], object)


def picture(name):
    """The bytes of one of the demo's pictures."""
    return (DEMO / name).read_bytes()


def encoded(image, **options):
    """A picture as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def blank():
    """A page without text."""
    return encoded(Image.new("RGB", (200, 100), "white"), format="PNG")


def same_words(text, expected):
    """Whether a text has the letters that are expected, whatever is between them."""
    letters = re.compile(r"[^\w]+")
    return letters.sub("", expected) in letters.sub("", text)
