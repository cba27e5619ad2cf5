"""The few file operations that durability is made of, in one place: the fault tests cut them one by one.

Rules
1. All of the journal's writing goes through here, with ``os`` calls that release the interpreter lock.
2. ``write_at`` writes everything or raises; a repeated call with the same arguments mends a short or failed one.
3. ``replace`` leaves the old file or the new one, whole, whatever happens.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_at(fd: int, block: bytes | bytearray | memoryview, position: int) -> None:
    """Write all of the block at a byte position of the file. Raises ``OSError``; short writes are gone on with."""
    view = memoryview(block)
    while view:
        written = os.pwrite(fd, view, position)
        view = view[written:]
        position += written


def sync(fd: int) -> None:
    """Make the file's bytes survive a power cut. After an ``OSError`` the file is suspect: never retry on it."""
    os.fdatasync(fd)


def sync_folder(folder: Path) -> None:
    """Make the folder's own entries (new names, renames) survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def cut(path: Path, size: int) -> None:
    """Shorten a file to ``size`` bytes."""
    os.truncate(path, size)


PRIVATE = 0o600
"""Mode of a file that holds secrets."""


def replace(path: Path, content: bytes, mode: int | None = None) -> None:
    """Put a file in place of whatever has this path: write new, sync, rename, sync the folder. Raises ``OSError``.

    ``mode``: exactly this, before a byte is in it; without it the file may be read by the group if the umask allows.
    """
    fresh = path.with_name(path.name + ".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640 if mode is None else mode)
    try:
        if mode is not None:  # a file that a crash left behind keeps its own
            os.fchmod(fd, mode)
        write_at(fd, content, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(fresh, path)
    sync_folder(path.parent)
