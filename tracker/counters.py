"""What is counted: the closed list of counters, and how a thread counts.

Rules
1. A thread counts in a plain list of ints that belongs to it: ``counts[INDEX] += 1``. No lock, no call.
2. Once a second the flusher publishes the list into the slot's memory-mapped counter file; ``/-/metrics`` sums the
   files. A slot's file outlives its process, so the sums never go back.
3. Labels come from closed lists only; a counter's place in the list is its place in the file.
"""

from __future__ import annotations

import json
import mmap
import os
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tracker.reasons import REASONS


class Counter(NamedTuple):
    """One row of the list: a Prometheus sample."""

    name: str
    help: str
    label: str = ""
    """Label name, or empty."""
    value: str = ""
    """Label value."""


_FIXED = (
    Counter("tracker_events_accepted_total", "Events published to a ring.", "lane", "good"),
    Counter("tracker_events_accepted_total", "Events published to a ring.", "lane", "bad"),
    Counter("tracker_ring_bytes_total", "Bytes published to rings."),
    Counter("tracker_journal_bytes_total", "Bytes written to segment files."),
    Counter("tracker_journal_syncs_total", "Syncs of the journal (fdatasync of segment and index)."),
    Counter("tracker_journal_sync_microseconds_total", "Time spent in syncs, in microseconds."),
    Counter("tracker_journal_errors_total", "Failed writes and syncs of the journal."),
    Counter("tracker_journal_streams_sealed_total", "Streams sealed because their continuity could not be proven."),
    Counter("tracker_journal_adoptions_total", "Rings of dead workers that were flushed by another process."),
    Counter("tracker_flusher_restarts_total", "Times the flusher thread was restarted after an unexpected error."),
    Counter("tracker_replies_total", "Replies by status class.", "class", "2xx"),
    Counter("tracker_replies_total", "Replies by status class.", "class", "3xx"),
    Counter("tracker_replies_total", "Replies by status class.", "class", "4xx"),
    Counter("tracker_replies_total", "Replies by status class.", "class", "5xx"),
)

COUNTERS: tuple[Counter, ...] = _FIXED + tuple(
    Counter(f"tracker_hits_{'flagged' if r.kind == 'flag' else r.kind}_total", {
        "bad": "Hits kept in the bad lane, by reason.",
        "refused": "Hits not kept, by reason.",
        "flag": "Events marked, by flag.",
    }[r.kind], "reason", r.name)
    for r in REASONS
)

(
    EVENTS_GOOD, EVENTS_BAD, RING_BYTES, JOURNAL_BYTES, JOURNAL_SYNCS, JOURNAL_SYNC_US, JOURNAL_ERRORS,
    STREAMS_SEALED, ADOPTIONS, FLUSHER_RESTARTS, REPLIES_2XX, REPLIES_3XX, REPLIES_4XX, REPLIES_5XX,
) = range(len(_FIXED))

REASON_INDEX: dict[str, int] = {reason.name: len(_FIXED) + i for i, reason in enumerate(REASONS)}


def new_counts() -> list[int]:
    """A thread's counters, all zero, one place for each row of ``COUNTERS``."""
    return [0] * len(COUNTERS)


_MAGIC = b"TRKCNT\x00\x01"
_KEYS = [f"{c.name}{{{c.label}={c.value}}}" for c in COUNTERS]


class CounterFile:
    """Counters in a memory-mapped file: written by one process, read by any.

    The file names its counters, so that a newer tracker with a longer list goes on where an older one stopped.
    """

    __slots__ = ("_map", "_words")

    def __init__(self, path: Path) -> None:
        """Open or make it; a file that cannot be read as counters is begun anew. Raises ``OSError``."""
        old = _read_counts(path)
        names = json.dumps(_KEYS).encode()
        start = -(-(len(_MAGIC) + 8 + len(names)) // 8) * 8
        size = start + 8 * len(_KEYS)
        content = bytearray(size)
        content[: len(_MAGIC)] = _MAGIC
        content[8:16] = len(names).to_bytes(8, "little")
        content[16 : 16 + len(names)] = names
        memoryview(content)[start:].cast("Q")[:] = array("Q", [old.get(key, 0) for key in _KEYS])
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            if os.pread(fd, size + 1, 0)[:start] != content[:start] or os.fstat(fd).st_size != size:
                os.pwrite(fd, content, 0)
                os.ftruncate(fd, size)
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        self._words = memoryview(self._map)[start:].cast("Q")

    def read(self) -> list[int]:
        """All counters, in the order of ``COUNTERS``."""
        return self._words.tolist()

    def write(self, counts: list[int]) -> None:
        """Replace all counters."""
        self._words[:] = array("Q", counts)

    def close(self) -> None:
        """Unmap."""
        self._words.release()
        self._map.close()


def read_counts(paths: Iterable[Path]) -> list[int]:
    """The sum of several counter files, in the order of ``COUNTERS``; a missing or foreign file counts nothing."""
    total = new_counts()
    for path in paths:
        counts = _read_counts(path)
        for i, key in enumerate(_KEYS):
            total[i] += counts.get(key, 0)
    return total


def _read_counts(path: Path) -> dict[str, int]:
    try:
        content = path.read_bytes()
        if content[:8] != _MAGIC:
            return {}
        size = int.from_bytes(content[8:16], "little")
        keys = json.loads(content[16 : 16 + size])
        start = -(-(16 + size) // 8) * 8
        return dict(zip(keys, memoryview(content)[start : start + 8 * len(keys)].cast("Q"), strict=True))
    except (FileNotFoundError, ValueError, TypeError):
        return {}
