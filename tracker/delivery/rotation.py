"""Rotated files: how they are named, compressed and removed. The live file is somebody else's.

Rules
1. ``<stem>-<UTC time>-<n><suffix>``: no name is given twice, and their order is the order of rotation, also when the
   clock goes back.
2. Compression writes a new file, syncs it, renames it, and only then removes the old one. Where ``x.ndjson`` and
   ``x.ndjson.gz`` both stand, the second is whole and the first about to go. What a death left over is done again.
3. The background thread touches only files that it was told of, and those only once the new live file is known.
"""

from __future__ import annotations

import contextlib
import enum
import gzip
import io
import logging
import os
import queue
import re
import threading
import time
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from tracker import disk

log = logging.getLogger("tracker.delivery")

_BLOCK: Final = 1 << 20


class Compress(enum.Enum):
    """What becomes of rotated files."""

    NONE = "none"
    """They stay as they are."""
    GZIP = "gzip"
    """About a tenth of the size, read by every tool; a second of one core for about 50 MB."""
    ZSTD = "zstd"
    """Smaller than gzip in a tenth of its time; needs ``pip install 'tracker[zstd]'``."""


_SUFFIX: Final = {Compress.GZIP: ".gz", Compress.ZSTD: ".zst"}


class Rotated(NamedTuple):
    """One rotated file. Their order is the order of rotation."""

    time: str
    """When it was rotated, ``20261120T214400Z``."""
    number: int
    """1, or more for another one in the same second."""
    path: Path


class Rotation:
    """The rotated files of one live file."""

    def __init__(self, live: Path, compress: Compress, keep: int) -> None:
        """``keep``: how many of them stay; 0 means all. Touches nothing."""
        self._live = live
        self._compress = compress
        self._keep = keep
        stem, suffix = re.escape(live.stem), re.escape(live.suffix)
        self._name = re.compile(rf"{stem}-(\d{{8}}T\d{{6}}Z)-(\d+){suffix}(\.gz|\.zst)?")
        self._due: queue.SimpleQueue[list[Rotated]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def files(self) -> list[Rotated]:
        """What is there, oldest first."""
        names = os.listdir(self._live.parent)
        found = [(match, name) for name in names if (match := self._name.fullmatch(name))]
        return sorted(Rotated(match[1], int(match[2]), self._live.parent / name) for match, name in found)

    def next_path(self) -> Path:
        """The name to give to the live file now."""
        now, number = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), 1
        for newest in self.files()[-1:]:
            if newest.time >= now:  # the same second, or the clock went back
                now, number = newest.time, newest.number + 1
        return self._live.with_name(f"{self._live.stem}-{now}-{number}{self._live.suffix}")

    def tidy_soon(self) -> None:
        """Compress and remove what is there now, in the background."""
        if self._compress is Compress.NONE and not self._keep:
            return
        self._due.put(self.files())
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rotation", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the background thread; compression under way is given up, to be done again some other time."""
        self._stopping.set()
        self._due.put([])
        if self._thread is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            files = self._due.get()
            try:
                self.tidy(files)
            except OSError as error:
                log.warning("%s: rotated files wait: %s", self._live, error)

    def tidy(self, files: list[Rotated]) -> None:
        """Compress these files and remove the oldest. Raises ``OSError``; then call again some other time."""
        kept = set(sorted({file[:2] for file in files})[-self._keep :])  # [-0:] is all of them
        for file in files:
            if file[:2] not in kept:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file.path)
            elif self._compress is not Compress.NONE and file.path.suffix not in _SUFFIX.values():
                self._pack(file.path, file.path.with_name(file.path.name + _SUFFIX[self._compress]))
            if self._stopping.is_set():
                return

    def _pack(self, path: Path, packed: Path) -> None:
        fresh = packed.with_name(packed.name + ".new")
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return  # done already
        with (
            open(path, "rb") as source,
            open(fresh, "wb", opener=lambda name, flags: os.open(name, flags, 0o640)) as target,
        ):
            with _packing(target, packed.suffix) as packer:
                while not self._stopping.is_set() and (block := source.read(_BLOCK)):
                    packer.write(block)
            target.flush()
            os.fsync(target.fileno())
        if self._stopping.is_set():
            os.unlink(fresh)
            return
        os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.rename(fresh, packed)
        disk.sync_folder(path.parent)
        os.unlink(path)


def _packing(target: IO[bytes], suffix: str) -> Any:
    if suffix == ".gz":
        return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=target, mtime=0)
    import zstandard  # an extra; whoever chose it has been told so by the options' check

    return zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(target, closefd=False)


def opened(path: Path) -> IO[bytes]:
    """A rotated file to read, compressed or not."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if path.suffix == ".zst":
        import zstandard

        return io.BufferedReader(cast("io.RawIOBase", zstandard.open(path, "rb")))
    return open(path, "rb")
