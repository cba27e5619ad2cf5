"""Tracing: where an event is by its id, and how far each collector is with it.

Rules
1. Every occurrence counts: a client may send its id more than once, and each time is an event of its own.
2. An id that is a UUIDv7 says when it was made; only the blocks of that time are searched first. If it is not there, or
   if everything was asked for, all durable bytes are searched. ``Found`` says which it was.
3. What is answered and not yet durable stands in a ring; rings are searched too, before the journal, so that an event
   on its way is not missed.
4. The end of an id will do, from ``SHORTEST`` characters on, as ``tracker tail`` shows it.
"""

from __future__ import annotations

import os
import re
import struct
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from tracker.capture.ring import HEADER_BYTES, Positions, RingError
from tracker.event import Event, decode_line
from tracker.journal import segment, standing
from tracker.journal.reader import JournalReader, Part
from tracker.journal.slot import slot_folders
from tracker.journal.standing import Standing
from tracker.settings.model import Collector

SHORTEST: Final = 8
"""Fewest characters of an id's end."""
SLACK_MS: Final = 60_000
"""How far a clock may have been off, to either side, where an id's time narrows the search."""
STRIDE_BYTES: Final = 4_194_304
"""Read at once."""

_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")

Progress = Callable[[int, int], None]
"""Called now and then with bytes searched and bytes to search."""


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """One line that has the id."""

    id: str
    stream: str
    seq: int
    offset: int
    """Where the line begins in the stream."""
    size: int
    """Its bytes, newline included."""
    segment: str
    """File, relative to the data folder; for ``place`` ``ring``, the ring's."""
    position: int
    """Where the line begins in that file."""
    place: Literal["journal", "ring"]
    """``ring``: answered, and not yet durable in the journal."""
    intact: bool
    """Whether its block fits its checksum. If not, no collector gets it."""
    event: str
    lane: str
    reason: str
    received_at: str
    collectors: list[Standing]
    """One for each configured collector; empty for an event in a ring."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search gave."""

    id: str
    """As asked."""
    occurrences: list[Occurrence]
    """In the order of streams and offsets."""
    narrowed: bool
    """Whether only the time of the id was searched; there may be more occurrences elsewhere."""
    searched_bytes: int
    streams: int
    """How many streams there are."""


class NoId(ValueError):
    """The text cannot be an id; ``str()`` says why."""


def find(
    data_dir: Path,
    event_id: str,
    collectors: dict[str, Collector],
    *,
    everything: bool = False,
    progress: Progress | None = None,
) -> Found:
    """Look for an event. Raises ``NoId``, or ``OSError`` if the journal cannot be read.

    ``everything``: also outside the id's own time.
    """
    check_id(event_id)
    return _Search(data_dir, event_id, collectors, progress).run(everything)


def check_id(event_id: str) -> None:
    """Raises ``NoId`` for a text that no event can have as its id."""
    if not _ID.fullmatch(event_id):
        raise NoId("an id is 1 to 64 letters, digits and . _ : - (see X-Event-Id, or its end in `tracker tail`)")


def made_at_ms(event_id: str) -> int | None:
    """The Unix milliseconds in a UUIDv7 (RFC 9562, 5.7); None for any other id."""
    try:
        parsed = uuid.UUID(event_id)
    except ValueError:
        return None
    return parsed.int >> 80 if parsed.version == 7 and len(event_id) == 36 else None


class _Search:
    """One search: what is looked for, and what has been found."""

    def __init__(
        self, data_dir: Path, event_id: str, collectors: dict[str, Collector], progress: Progress | None
    ) -> None:
        self._data_dir = data_dir
        self._id = event_id
        self._collectors = collectors
        self._progress = progress
        self._journal = JournalReader(data_dir)
        self._text = msgspec.json.encode(event_id)[1:]  # with its closing quotation mark
        self._found: dict[tuple[str, int], Occurrence] = {}
        self._exact = False
        self._done = 0

    def run(self, everything: bool) -> Found:
        try:
            self._rings()
            streams = self._journal.streams()
            parts = [
                (stream, part)
                for stream in streams
                for part in self._journal.parts(stream, self._journal.end(stream))
                if part.end > part.start
            ]
            made = None if everything else made_at_ms(self._id)
            narrowed = made is not None and self._scan(self._narrow(parts, made))
            if not narrowed:
                self._scan(parts)
        finally:
            self._journal.close()
        occurrences = [each for each in self._found.values() if not self._exact or each.id == self._id]
        occurrences.sort(key=lambda each: (each.stream, each.offset))
        return Found(
            id=self._id, occurrences=occurrences, narrowed=narrowed, searched_bytes=self._done, streams=len(streams)
        )

    # --- the journal

    def _narrow(self, parts: list[tuple[str, Part]], made: int) -> list[tuple[str, Part]]:
        """The ranges whose blocks may hold an event of that time, in whole lines."""
        found = []
        for number, (stream, part) in enumerate(parts):
            behind = parts[number + 1] if number + 1 < len(parts) else None
            until = self._begins(*behind) if behind is not None and behind[0] == stream else None
            if self._begins(stream, part) > made + SLACK_MS or (until is not None and until < made - SLACK_MS):
                continue
            index = segment.Index(self._journal.folder(stream), stream, part.start)
            found += [(stream, run) for run in _runs(index.blocks, made, part)]
        return found

    def _begins(self, stream: str, part: Part) -> int:
        """Time of the segment's first block; 0 if it cannot be read, so that the segment is searched."""
        path = segment.index_path(self._journal.folder(stream), part.start)
        try:
            with path.open("rb") as file:
                head = file.read(segment.HEADER.size + segment.RECORD.size)
            return int(segment.RECORD.unpack_from(head, segment.HEADER.size)[1])
        except (OSError, ValueError, struct.error):
            return 0

    def _scan(self, parts: list[tuple[str, Part]]) -> bool:
        """Search these ranges, each a piece of one segment; whether anything is found by now."""
        total = self._done + sum(part.end - part.start for _, part in parts)
        for stream, part in parts:
            starts = [start for start in segment.offsets(self._journal.folder(stream)) if start <= part.start]
            if not starts:
                continue  # retention was here
            rest, at = b"", part.start
            while at < part.end:
                try:
                    content = segment.read(
                        self._journal.folder(stream), starts[-1], at, min(part.end, at + STRIDE_BYTES)
                    )
                except FileNotFoundError:
                    break
                if not content:
                    break
                at += len(content)
                self._done += len(content)
                content = rest + content
                whole = content.rfind(b"\n") + 1
                self._lines(content[:whole], stream, at - len(content), starts[-1])
                rest = content[whole:]
                if self._progress is not None:
                    self._progress(self._done, total)
        return bool(self._found)

    def _lines(self, content: bytes, stream: str, offset: int, begin: int) -> None:
        for start, line in self._matches(content):
            at = offset + start
            event = self._event(line)
            if event is None:
                continue
            chunk = self._journal.read(stream, at, 1)
            intact = chunk.offset == at and bool(chunk.lines) and chunk.lines[0] == line
            path = segment.data_path(self._journal.folder(stream), begin)
            self._keep(event, Occurrence(
                id=event.id, stream=stream, seq=event.seq, offset=at, size=len(line),
                segment=str(path.relative_to(self._data_dir)), position=at - begin, place="journal", intact=intact,
                event=event.event, lane=event.lane, reason=event.reason, received_at=event.received_at,
                collectors=[
                    standing.of(self._data_dir, name, each, event, (stream, at, len(line)))
                    for name, each in self._collectors.items()
                ],
            ))  # fmt: skip

    def _matches(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes of each line that has the text; most lines are never looked at one by one."""
        at = content.find(self._text)
        while at >= 0:
            start, end = content.rfind(b"\n", 0, at) + 1, content.find(b"\n", at) + 1
            if not end:
                return
            yield start, content[start:end]
            at = content.find(self._text, end)

    def _event(self, line: bytes) -> Event | None:
        """The line's event if it is the one that is asked for: the text may stand elsewhere in a line."""
        try:
            event = decode_line(line)
        except ValueError:
            return None
        wanted = event.id == self._id or (len(self._id) >= SHORTEST and event.id.endswith(self._id))
        return event if wanted else None

    def _keep(self, event: Event, occurrence: Occurrence) -> None:
        self._exact = self._exact or event.id == self._id
        self._found[occurrence.stream, occurrence.offset] = occurrence

    # --- rings

    def _rings(self) -> None:
        """Search what is published and not yet durable."""
        for folder in slot_folders(self._data_dir):
            path = folder / "ring"
            try:
                positions = Positions(path)
            except (OSError, RingError):
                continue
            try:
                start, content = published(path, positions)
            except OSError:
                continue
            finally:
                stream, capacity = positions.stream, positions.capacity
                positions.close()
            for at, line in self._matches(content):
                event = self._event(line)
                if event is not None:
                    self._keep(event, Occurrence(
                        id=event.id, stream=stream, seq=event.seq, offset=start + at, size=len(line),
                        segment=str(path.relative_to(self._data_dir)),
                        position=HEADER_BYTES + (start + at) % capacity, place="ring", intact=True,
                        event=event.event, lane=event.lane, reason=event.reason, received_at=event.received_at,
                        collectors=[],
                    ))  # fmt: skip


def published(path: Path, positions: Positions) -> tuple[int, bytes]:
    """Offset and bytes of what a ring holds beyond ``durable``, as far as they did not change while they were read."""
    start, head, capacity = positions.durable, positions.head, positions.capacity
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts, at = [], start
        while at < head:
            size = min(head - at, capacity - at % capacity)
            parts.append(os.pread(fd, size, HEADER_BYTES + at % capacity))
            at += size
    finally:
        os.close(fd)
    # What became durable meanwhile may have been overwritten; the journal has it.
    kept = max(start, min(positions.durable, head))
    return kept, b"".join(parts)[kept - start :]


def _runs(blocks: list[segment.Block], made: int, part: Part) -> Iterator[Part]:
    """Ranges of neighbouring blocks that may hold an event of that time, from a line's beginning to a line's end."""
    start = end = -1
    for number, block in enumerate(blocks):
        if block.start >= part.end:
            break
        later = blocks[number + 1].first_time_ms if number + 1 < len(blocks) else None
        if block.first_time_ms > made + SLACK_MS or (later is not None and later < made - SLACK_MS):
            continue
        first, last = number, number
        while first > 0 and not blocks[first].flags & segment.LINE_START:
            first -= 1
        while last + 1 < len(blocks) and not blocks[last].flags & segment.LINE_END:
            last += 1
        begin, stop = blocks[first].start, min(blocks[last].end, part.end)
        if begin <= end:
            end = max(end, stop)
            continue
        if end > start:
            yield Part(start, end)
        start, end = begin, stop
    if end > start:
        yield Part(start, end)

