"""A repository on disk, and the account of what was whole in it, from when on."""

import contextlib
import itertools
import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from churn import contents


class Content(NamedTuple):
    """A content that was whole on disk: of which models, as which version, and from when on."""

    models: tuple
    version: int
    whole_from: float


class Model:
    """What is on disk of a model."""

    def __init__(self, name, kind):
        self.name = name
        self.kind = kind
        # The tag of each version that is there and whole, or None where it is broken.
        self.versions = {}
        # What its version_policy selects: a function of the versions that are there.
        self.select = latest
        self.config_is_broken = False


def latest(versions):
    """What is selected where no policy is given."""
    return versions[-1:]


class Disk:
    """Writes contents as people do. Every content has a tag of its own, and later ones have greater tags."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.contents = {}
        # When a load that had to find this content was said to be over.
        self.loaded = {}
        # Pairs of tags whose files were side by side for long enough to be taken for a whole.
        self.excused = set()
        self.tags = itertools.count(1)

    def path(self, model, version=None):
        """Where a model, or a version of it, is."""
        return self.folder / model.name / ("" if version is None else str(version))

    def make(self, model):
        """The files of a new content."""
        tag = next(self.tags)
        return tag, contents.files(model.kind, tag)

    def is_whole(self, model, version, tag, names=None):
        """Takes note that a content is whole now."""
        model.versions[version] = tag
        self.contents.setdefault(tag, Content(names or (model.name,), version, time.monotonic()))

    def add(self, model, version, names=None):
        """A version's directory appears at once, with everything in it."""
        tag, files = self.make(model)
        part = self.folder / f".{model.name}-{version}"
        part.mkdir(parents=True)
        for name, data in files.items():
            (part / name).write_bytes(data)
        # Whole on disk from before it can be seen, or an answer could come too early for the account.
        self.is_whole(model, version, tag, names)
        self.path(model).mkdir(exist_ok=True)
        os.rename(part, self.path(model, version))
        return tag

    def replace(self, model, version, pause=lambda: None):
        """Each file is replaced at once, by a rename."""
        before = model.versions[version]
        tag, files = self.make(model)
        begun = None
        self.contents[tag] = Content((model.name,), version, time.monotonic())
        for number, (name, data) in enumerate(files.items()):
            if number:
                pause()
            part = self.path(model, version) / f".{name}"
            part.write_bytes(data)
            begun = begun or time.monotonic()
            os.rename(part, self.path(model, version) / name)
        model.versions[version] = tag
        return before, tag, time.monotonic() - begun

    def rewrite(self, model, version, pieces, pause, truncate):
        """Each file is written in place, a piece at a time."""
        model.versions[version] = None
        tag, files = self.make(model)
        folder = self.path(model, version)
        folder.mkdir(parents=True, exist_ok=True)
        for number, (name, data) in enumerate(files.items(), 1):
            is_last = number == len(files)
            with (folder / name).open("r+b" if not truncate and (folder / name).exists() else "wb", buffering=0) as file:
                size = -(-len(data) // pieces)
                for start in range(0, len(data), size):
                    pause()
                    if is_last and start + size >= len(data):
                        # From before it is, or an answer could come too early for the account.
                        self.is_whole(model, version, tag)
                    file.write(data[start : start + size])
                file.truncate(len(data))
        return tag

    def break_file(self, model, version, damage):
        """A version is damaged in place."""
        model.versions[version] = None
        path = self.path(model, version) / "model.onnx"
        data = path.read_bytes()
        path.write_bytes(damage(data))

    def remove(self, model, version):
        """A version goes, file by file."""
        model.versions.pop(version)
        shutil.rmtree(self.path(model, version))

    def configure(self, model, text, select=latest):
        """Another configuration, or none, at once."""
        path = self.path(model) / "config.pbtxt"
        model.select, model.config_is_broken = select, False
        if text is None:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
        part = path.with_name(".config.pbtxt")
        part.write_text(text)
        os.rename(part, path)

    def break_config(self, model):
        """A configuration that cannot be read."""
        (self.path(model) / "config.pbtxt").write_text("max_batch_size: many\n")
        model.config_is_broken = True

    def touch(self, model):
        """New times, and nothing else."""
        for path in self.path(model).rglob("*"):
            os.utime(path)

    def expected(self, model):
        """The tag that is to be answered once all is quiet, or None where that is not for the disk to say."""
        selected = model.select(sorted(model.versions))
        whole = all(model.versions[version] is not None for version in selected)
        return model.versions[selected[-1]] if selected and whole and not model.config_is_broken else None
