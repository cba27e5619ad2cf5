"""Retention: the journal's hard limits of size and age. One process enforces them: the one that holds the cursors.

Rules
1. Whole segments go, the oldest last write first; within a stream always from the front, so that what stays has no
   hole. The newest segment of a stream that is not sealed never goes: the stream is continued from it.
2. A collector that is behind and says ``expire`` gets a gap. One that says ``refuse`` keeps what it has not read:
   ``DATA/journal/refuse`` then holds the reason, and capture says no to hits until it has caught up.
3. A death at any instruction is harmless: the segment's bytes go before its index, and a stream that is done with
   leaves its place by one rename. What was begun is finished by the next pass.
4. A sealed stream without segments stays, as its seal, until every collector has passed its end and no ring names it.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import re
import shutil
import time
from pathlib import Path
from typing import Final, NamedTuple

from tracker import disk
from tracker.capture.ring import Positions, RingError
from tracker.journal import cursor, segment
from tracker.journal.recovery import journal_dir
from tracker.journal.seal import Seal, read_seal
from tracker.journal.slot import slot_folders
from tracker.settings.model import Tracker

log = logging.getLogger("tracker.journal")

_STREAM: Final = re.compile(r"[0-9a-f]{32}")
_INDEX: Final = re.compile(r"(\d{20})\.idx")


class Outcome(NamedTuple):
    """What one pass found and did."""

    bytes: int
    """What the journal's segments and indexes hold now."""
    removed_segments: int
    removed_streams: int
    refusal: str
    """Why hits are refused now, or empty."""


class _Segment(NamedTuple):
    written_at: float
    """Unix time of its last write."""
    stream: str
    offset: int
    end: int
    bytes: int


def refusal_path(data_dir: Path) -> Path:
    """The file whose presence makes capture refuse hits."""
    return journal_dir(data_dir) / "refuse"


def enforce(data_dir: Path, settings: Tracker) -> Outcome:
    """Look once and remove what is beyond the limits. Raises ``OSError``; then call again later."""
    journal = journal_dir(data_dir)
    now = time.time()
    _finish(journal)
    streams = _streams(journal)
    queues = {stream: _removable(journal / "streams" / stream, stream, seal) for stream, seal in streams.items()}
    total = sum(_bytes(journal / "streams" / stream) for stream in streams)
    positions = _Positions(data_dir, settings)
    heap = [queue.pop(0) for queue in queues.values() if queue]
    heapq.heapify(heap)
    removed, refusal = 0, ""
    while heap:
        oldest = heapq.heappop(heap)
        if total > settings.journal.max_bytes and not refusal:
            limit = "max_bytes"
        elif now - oldest.written_at > settings.journal.max_age_s:
            limit = "max_age_s"
        else:
            break  # every other stream's first one is younger
        if behind := positions.refusing_behind(oldest.stream, oldest.end):
            refusal = refusal or (
                f"collector `{behind}` has yet to read stream {oldest.stream} up to {oldest.end}, "
                f"which is beyond journal.{limit}; it says `on_limit: refuse`"
            )
            continue
        _remove(journal / "streams" / oldest.stream, oldest.offset)
        removed, total = removed + 1, total - oldest.bytes
        if queues[oldest.stream]:
            heapq.heappush(heap, queues[oldest.stream].pop(0))
    _say(refusal_path(data_dir), refusal)
    gone = _retire(data_dir, streams, positions)
    _expire_quarantine(journal, now - settings.journal.max_age_s)
    if removed or gone:
        log.info("retention: %d segments and %d sealed streams were removed; the journal has %d bytes",
                 removed, gone, total)
    return Outcome(total, removed, gone, refusal)


def _streams(journal: Path) -> dict[str, Seal | None]:
    """Every stream, with its seal. One whose seal cannot be read counts as not sealed."""
    found: dict[str, Seal | None] = {}
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(journal / "streams")):
            if _STREAM.fullmatch(name):
                try:
                    found[name] = read_seal(journal / "streams" / name)
                except ValueError:
                    found[name] = None
    return found


def _removable(folder: Path, stream: str, seal: Seal | None) -> list[_Segment]:
    """The segments that may go, in order."""
    offsets = segment.offsets(folder)
    if seal is not None:
        ends = [*offsets, seal.end][1:]
    else:
        offsets, ends = offsets[:-1], offsets[1:]
    found: list[_Segment] = []
    for offset, end in zip(offsets, ends, strict=True):
        status = os.stat(segment.data_path(folder, offset))
        with contextlib.suppress(FileNotFoundError):
            size = status.st_size
            size += os.stat(segment.index_path(folder, offset)).st_size
        found.append(_Segment(status.st_mtime, stream, offset, end, size))
    return found


def _bytes(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.name.endswith((".ndjson", ".idx")))


def _remove(folder: Path, offset: int) -> None:
    os.unlink(segment.data_path(folder, offset))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(segment.index_path(folder, offset))


def _finish(journal: Path) -> None:
    """Finish what an earlier pass began: streams on their way out, and indexes whose segment is gone."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(journal / "removed")
    for stream in _streams(journal):
        folder = journal / "streams" / stream
        offsets = segment.offsets(folder)
        for name in os.listdir(folder):
            match = _INDEX.fullmatch(name)
            # A new segment begins with its index: only what is older than some segment is left over.
            if match and offsets and int(match[1]) not in offsets and int(match[1]) < offsets[-1]:
                os.unlink(folder / name)


def _say(path: Path, refusal: str) -> None:
    """Put the refusal where capture looks for it, or take it away."""
    try:
        said = path.read_text("utf-8").strip()
    except FileNotFoundError:
        said = ""
    if refusal and refusal != said:
        disk.replace(path, (refusal + "\n").encode())
        if not said:
            log.error("hits are refused: %s", refusal)
    elif not refusal:
        path.unlink(missing_ok=True)


def _retire(data_dir: Path, streams: dict[str, Seal | None], positions: _Positions) -> int:
    """Remove sealed streams that have no segments any more and that nobody asks about; returns how many."""
    journal = journal_dir(data_dir)
    done = [
        stream
        for stream, seal in streams.items()
        if seal is not None
        and not segment.offsets(journal / "streams" / stream)
        and not positions.any_behind(stream, seal.end)
    ]
    if not done:
        return 0
    named = set()
    for slot in slot_folders(data_dir):
        try:
            ring = Positions(slot / "ring")
        except (FileNotFoundError, RingError):
            continue
        named.add(ring.stream)
        ring.close()
    count = 0
    for stream in done:
        if stream not in named:
            (journal / "removed").mkdir(exist_ok=True)
            os.rename(journal / "streams" / stream, journal / "removed" / stream)
            count += 1
    if count:
        disk.sync_folder(journal / "streams")
        shutil.rmtree(journal / "removed")
    return count


def _expire_quarantine(journal: Path, before: float) -> None:
    """What was set aside is as personal as the journal, and no older than it may be."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(journal / "quarantine"):
            status = os.stat(journal / "quarantine" / name)
            if max(status.st_mtime, status.st_ctime) < before:
                os.unlink(journal / "quarantine" / name)


class _Positions:
    """How far the configured collectors have come, by their saved cursors. Unknown is the beginning."""

    def __init__(self, data_dir: Path, settings: Tracker) -> None:
        self._refusing = {name for name, each in settings.collectors.items() if each.on_limit == "refuse"}
        self._streams = {name: cursor.load(data_dir, name).streams for name in settings.collectors}

    def refusing_behind(self, stream: str, end: int) -> str:
        """A collector that must not lose the stream's bytes before ``end`` and has not read them; or empty."""
        return self._behind(stream, end, self._refusing)

    def any_behind(self, stream: str, end: int) -> str:
        """Any collector that has not read the stream up to ``end``; or empty."""
        return self._behind(stream, end, set(self._streams))

    def _behind(self, stream: str, end: int, collectors: set[str]) -> str:
        for name in sorted(collectors):
            place = self._streams[name].get(stream)
            if place is None or place.offset < end:
                return name
        return ""
