"""What people do to a model in a repository: one change after the other, by chance, with a seed."""

import shutil
import time

from churn import contents
from churn.disk import Model, latest
from models import config

INPUTS = [("INPUT0", "FP32", [1])]
OUTPUTS = [(name, "FP32", [contents.WEIGHTS]) for name in ("OUTPUT0", "OUTPUT1")]
ALL = ("version_policy { all { } }", lambda versions: versions)
POLICIES = [
    ALL,
    ("version_policy { latest { num_versions: 1 } }", latest),
    ("version_policy { latest { num_versions: 2 } }", lambda versions: versions[-2:]),
    ("version_policy { specific { versions: [ 1, 3 ] } }", lambda versions: [v for v in versions if v in (1, 3)]),
]


class Changes:
    """The changes of one model; `table` has them, each with how often it comes."""

    def __init__(self, disk, model, random, settle):
        """`settle` is the daemon's window, in seconds; nothing that belongs together is further apart than a third."""
        self.disk, self.model, self.random, self.settle = disk, model, random, settle
        self.table = []

    def step(self):
        """One change; what it was, in words."""
        weights, actions = zip(*self.table)
        action = self.random.choices(actions, weights)[0]
        action()
        return action.__name__.replace("_", " ")

    def pause(self):
        """Shorter than the window, so that what is done before and after it belongs together."""
        time.sleep(self.random.uniform(0, self.settle / 3))

    def let_it_be_seen(self):
        """Long enough, most times, for the daemon to have taken up what was done."""
        time.sleep(self.random.uniform(0, 3 * self.settle))

    def copy(self, version):
        """A version is copied in, a byte range at a time."""
        self.disk.rewrite(self.model, version, self.random.randint(2, 8), self.pause, True)

    def touch(self):
        """New times, and nothing else."""
        self.disk.touch(self.model)

    def mend(self):
        """Everything is whole again."""


class Lasting(Changes):
    """A model that always has something to serve: what is on disk or, where that is broken, what was loaded before."""

    def __init__(self, disk, model, random, settle, policies):
        super().__init__(disk, model, random, settle)
        self.policies = policies
        self.table = [
            (6, self.replace),
            (6, self.rewrite),
            (4, self.add_version),
            (3, self.remove_version),
            (3, self.break_version),
            (1, self.break_configuration),
            (4, self.configure),
            (2, self.touch),
        ]
        disk.add(model, 1)
        self.configure()

    def any_version(self):
        """A version that is there, whole or not."""
        return self.random.choice(sorted(self.model.versions))

    def replace(self):
        """A version is replaced in place, by renames over its files."""
        old, new, took = self.disk.replace(self.model, self.any_version(), self.pause)
        if took > 0.9 * self.settle:
            # The first tensor is in the file that comes last.
            self.disk.excused.add((old, new))

    def rewrite(self):
        """A version is written anew in place, a byte range at a time."""
        truncate = self.random.random() < 0.5
        self.disk.rewrite(self.model, self.any_version(), self.random.randint(2, 6), self.pause, truncate)

    def add_version(self):
        """A version more, at once or copied slowly."""
        free = [version for version in (2, 3, 4) if version not in self.model.versions]
        if free:
            self.random.choice([lambda version: self.disk.add(self.model, version), self.copy])(self.random.choice(free))

    def remove_version(self):
        """A version less, but never the first."""
        there = [version for version in sorted(self.model.versions) if version > 1]
        if there:
            self.disk.remove(self.model, self.random.choice(there))

    def break_version(self):
        """A version is truncated or overwritten with what is no model, and perhaps mended when that was seen."""
        version = self.any_version()
        damages = [
            lambda data: data[: len(data) // 2],
            lambda data: b"",
            lambda data: b"garbage" * 1000,
            lambda data: self.random.randbytes(len(data)),
        ]
        self.disk.break_file(self.model, version, self.random.choice(damages))
        self.let_it_be_seen()
        if self.random.random() < 0.7:
            self.copy(version)

    def break_configuration(self):
        """A configuration that cannot be read, mended when that was seen."""
        self.disk.break_config(self.model)
        self.let_it_be_seen()
        self.configure()

    def configure(self):
        """Another number of instances and another version policy, or no configuration at all."""
        if self.policies == POLICIES and self.random.random() < 0.2:
            return self.disk.configure(self.model, None)
        policy, select = self.random.choice(self.policies)
        extra = f"instance_group {{ count: {self.random.randint(1, 3)} kind: KIND_CPU }}\n{policy}"
        return self.disk.configure(self.model, config(self.model.name, INPUTS, OUTPUTS, extra=extra), select)

    def mend(self):
        if self.model.config_is_broken:
            self.configure()
        for version, tag in list(self.model.versions.items()):
            if tag is None:
                self.copy(version)
        if not self.model.select(sorted(self.model.versions)):
            self.disk.configure(self.model, None)


class Roaming(Changes):
    """A model that comes by one of two names."""

    NAMES = ("here", "there")

    def __init__(self, disk, model, random, settle):
        super().__init__(disk, model, random, settle)
        self.table = [(3, self.rename), (1, self.touch), (1, self.delete_and_restore)]
        disk.add(model, 1, self.NAMES)

    def rename(self):
        """It comes by its other name."""
        before = self.disk.path(self.model)
        self.model.name = next(name for name in self.NAMES if name != self.model.name)
        before.rename(self.disk.path(self.model))

    def delete_and_restore(self):
        """All of it goes, and comes again."""
        shutil.rmtree(self.disk.path(self.model))
        self.let_it_be_seen()
        self.disk.add(self.model, 1, self.NAMES)


class Newcomer(Changes):
    """A model that is copied in slowly, again and again."""

    def __init__(self, disk, model, random, settle):
        super().__init__(disk, model, random, settle)
        self.table = [(3, self.copy_slowly), (1, self.touch)]
        disk.add(model, 1)

    def copy_slowly(self):
        """It goes, and is copied in a byte range at a time; perhaps before anybody saw that it went."""
        shutil.rmtree(self.disk.path(self.model))
        if self.random.random() < 0.5:
            self.let_it_be_seen()
        self.copy(1)


class Ballast(Changes):
    """A model that takes long to load, so that the loads of others wait for it."""

    def __init__(self, disk, model, random, settle):
        super().__init__(disk, model, random, settle)
        self.table = [(1, self.touch)]
        disk.add(model, 1)


def everything(disk, seeded, settle):
    """The models of a repository, each with what happens to it. `seeded` gives each a source of chance of its own."""

    def of(kind, name, content="inline", **more):
        return kind(disk, Model(name, content), seeded(name), settle, **more)

    return [
        of(Lasting, "steady", policies=POLICIES),
        # Asked for version 1, which is there throughout.
        of(Lasting, "pinned", "heavy", policies=[ALL]),
        of(Lasting, "split", "external", policies=POLICIES),
        of(Roaming, "here"),
        of(Newcomer, "newcomer"),
        of(Ballast, "ballast", "large"),
    ]
