"""What a collector will never get, and why: dead letters (``<collector>.dead.ndjson``) and gaps (``.gaps.ndjson``).

Rules
1. A loss stands here, synced, before the cursor passes it. After a kill it may stand twice: ``(stream, offset)`` names
   it.
2. Every line is whole but the last one of a file that was being written; the next append cuts that one off.
3. Nobody keeps the files open: they may be moved or removed at any time. Past ``ROTATE_BYTES`` they are rotated; what
   is older than the journal's own age limit is removed.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tracker.clock import now_text
from tracker.delivery.rotation import Compress, Rotation

log = logging.getLogger("tracker.delivery")

ROTATE_BYTES: Final = 16_777_216
"""A file past this size is rotated."""
_NAME: Final = re.compile(r".+\.(dead|gaps)(-\d{8}T\d{6}Z-\d+)?\.ndjson")


class DeadLetter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of ``<collector>.dead.ndjson``: a line of the journal that was skipped for ever."""

    at: str = ""
    """When it was set down."""
    stream: str
    offset: int
    """Where the line begins in the stream."""
    seq: int = 0
    """Its ``seq``, if it could be read."""
    id: str = ""
    """The event's id, if it could be read."""
    reason: str
    """What the collector said, or why the line is no event."""
    event: msgspec.Raw | None = None
    """The event as it stands in the journal."""
    line: bytes = b""
    """In base64: the line, if it is no event."""


class Gap(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of ``<collector>.gaps.ndjson``: a range of a stream that could not be read."""

    at: str = ""
    """When it was found."""
    stream: str
    start: int
    """First offset of the range."""
    end: int
    """Where reading went on."""
    after_seq: int = 0
    """``seq`` of the last line before it; 0 if unknown."""
    before_seq: int = 0
    """``seq`` of the first line behind it; 0 if unknown."""
    expired_bytes: int = 0
    """Bytes that the journal's limits had removed."""
    damaged_bytes: int = 0
    """Bytes that did not fit their checksum."""


class Losses:
    """One collector's two files."""

    def __init__(self, data_dir: Path, collector: str) -> None:
        """Touches nothing."""
        self._dead = data_dir / "delivery" / f"{collector}.dead.ndjson"
        self._gaps = data_dir / "delivery" / f"{collector}.gaps.ndjson"

    def dead(self, letters: Sequence[DeadLetter]) -> None:
        """Set dead letters down, all or none. Raises ``OSError``."""
        _append(self._dead, letters)

    def gap(self, gap: Gap) -> None:
        """List a gap. Raises ``OSError``."""
        _append(self._gaps, [gap])


def _append(path: Path, rows: Sequence[DeadLetter] | Sequence[Gap]) -> None:
    now = now_text()
    for row in rows:
        row.at = now
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        size = _whole(fd)
        try:
            view = memoryview(msgspec.json.Encoder().encode_lines(rows))
            while view:
                view = view[os.write(fd, view) :]
            os.fdatasync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
        if os.fstat(fd).st_size > ROTATE_BYTES:
            os.rename(path, Rotation(path, Compress.NONE, 0).next_path())
    finally:
        os.close(fd)


def _whole(fd: int) -> int:
    """Cut a torn last line off; returns the file's size then."""
    size = end = os.fstat(fd).st_size
    while end and not (block := os.pread(fd, min(end, 65_536), max(0, end - 65_536))).endswith(b"\n"):
        end = max(0, end - 65_536) + block.rfind(b"\n") + 1
    if end < size:
        os.ftruncate(fd, end)
    return end


def expire(data_dir: Path, max_age_s: float) -> int:
    """Remove files that nothing was added to for so long; returns how many. They are personal data like the journal."""
    removed = 0
    try:
        names = os.listdir(data_dir / "delivery")
    except FileNotFoundError:
        return 0
    for name in names:
        path = data_dir / "delivery" / name
        if _NAME.fullmatch(name) and time.time() - os.stat(path).st_mtime > max_age_s:
            os.unlink(path)
            removed += 1
    if removed:
        log.info("%d files of dead letters and gaps had passed the age limit and were removed", removed)
    return removed
