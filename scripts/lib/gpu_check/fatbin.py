"""Leaving device code out of CUDA libraries: what is for other GPUs is overwritten with zeros.

A library keeps its size and layout, and so still loads; compressed, the zeros are nothing. Device code lies in
containers ("fat binaries"), each with an entry for every architecture: machine code (SASS), or an intermediate form
(PTX) that the driver compiles.
"""

import struct
from typing import NamedTuple

MAGIC = struct.pack("<I", 0xBA55ED50)
# Of a container: after the magic number its version, the size of this header, and that of what follows.
CONTAINER = struct.Struct("<4xHHQ")
VERSION = 1
# Of an entry: its kind, a version, the size of its header and of its code; and further on its architecture.
ENTRY, ARCHITECTURE = struct.Struct("<HHIQ"), struct.Struct("<28xI")
PTX, SASS = 1, 2
# More than any header has, and less than the smallest.
LEAST_HEADER, MOST_HEADER = ARCHITECTURE.size, 4096


class Entry(NamedTuple):
    """Device code in a file: what it is, for which architecture, and where."""

    kind: int
    architecture: int
    start: int
    end: int

    def runs_on(self, architecture):
        """Whether a GPU of that architecture can run it, or its driver compile it."""
        if self.kind == PTX:
            return self.architecture <= architecture
        return self.architecture // 10 == architecture // 10 and self.architecture <= architecture


def containers(image):
    """The entries of each container of a file."""
    at = image.find(MAGIC)
    while at >= 0:
        entries, end = container(image, at)
        if entries:
            yield entries
        at = image.find(MAGIC, end)


def container(image, at):
    """The entries of what begins there like a container, and where to go on looking."""
    if at + CONTAINER.size > len(image):
        return [], len(image)
    version, header, size = CONTAINER.unpack_from(image, at)
    end = at + header + size
    if version != VERSION or header != CONTAINER.size or end > len(image):
        return [], at + len(MAGIC)
    entries, place = [], at + header
    while place + ARCHITECTURE.size <= end:
        kind, _, header, length = ENTRY.unpack_from(image, place)
        (architecture,) = ARCHITECTURE.unpack_from(image, place)
        start = place + header
        if not LEAST_HEADER <= header <= MOST_HEADER or start + length > end:
            break
        entries.append(Entry(kind, architecture, start, start + length))
        place = start + length
    return entries, end


def trim(image, architecture):
    """Leaves in a file's bytes what is for the architecture, or where a container has nothing for just this one, all
    that runs on it. Returns how many bytes became zeros."""
    zeroed = 0
    for entries in containers(image):
        kept = [one for one in entries if one.architecture == architecture]
        kept = kept or [one for one in entries if one.runs_on(architecture)]
        for entry in entries:
            if entry not in kept:
                image[entry.start : entry.end] = bytes(entry.end - entry.start)
                zeroed += entry.end - entry.start
    return zeroed
