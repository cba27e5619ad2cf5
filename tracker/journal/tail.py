"""The tail: the newest events of all streams, and those that come after, in about the order in which they happened.

Rules
1. Streams are merged by ``received_at``; within a stream the journal's order holds, whatever the clock did.
2. It reads durable lines only, as everybody does (see ``journal.reader``), and writes nothing.
3. A stream that appears while it follows is read from its beginning; one that retention removes is forgotten.
4. Looking back for wanted events is bounded by ``LOOKBACK_BYTES``; ``cut_short`` says that the bound was met.
5. What cannot be read is passed over and said (``damaged_bytes``, ``expired_bytes``, ``problem``): watching never ends
   because of one bad block or disk error.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from operator import attrgetter
from typing import Final, NamedTuple

from tracker.event import Event, decode_line
from tracker.journal.reader import JournalReader
from tracker.journal.where import Takes

LOOKBACK_BYTES: Final = 268_435_456
"""How much of the journal, newest first, is searched for the first events to show."""
WINDOW_BYTES: Final = 65_536
"""How much of one stream is read at once while looking back."""
TURN_BYTES: Final = 1_048_576
"""What one stream may bring in one poll."""


class Entry(NamedTuple):
    """One line of the journal."""

    line: bytes
    """As it stands there, newline included."""
    event: Event | None
    """Decoded; None if the line is no event."""
    time: str
    """``received_at``, or that of a neighbour: what streams are merged by."""


_TIME = attrgetter("time")


class Tail:
    """Belongs to one thread, as its reader does."""

    def __init__(
        self, journal: JournalReader, takes: Takes | None = None, lookback_bytes: int = LOOKBACK_BYTES
    ) -> None:
        """``takes`` chooses events; None takes every line, even one that is no event."""
        self._journal = journal
        self._takes = takes
        self._left = lookback_bytes
        self._positions: dict[str, int] = {}
        self.cut_short = False
        """Whether looking back ended at the bound, so that there may be older events to show."""
        self.damaged_bytes = 0
        """Passed over since the beginning: bytes that do not fit their checksum."""
        self.expired_bytes = 0
        """Passed over since the beginning: bytes that went while we were looking."""
        self.problem = ""
        """The last error of the disk, or empty."""

    def newest(self, count: int) -> list[Entry]:
        """The last ``count`` wanted entries, oldest first. ``poll`` goes on behind them."""
        self._positions = {stream: self._journal.end(stream) for stream in self._journal.streams()}
        if count < 1:
            return []
        # Each stream gives its entries newest first and reads only as far as they are asked for.
        streams = [self._backward(stream, end) for stream, end in self._positions.items()]
        wanted = (entry for entry in heapq.merge(*streams, key=_TIME, reverse=True) if self._wanted(entry))
        return list(itertools.islice(wanted, count))[::-1]

    def poll(self) -> list[Entry]:
        """What has become durable since the last call, up to ``TURN_BYTES`` a stream; empty if nothing has."""
        streams = self._journal.streams()
        for gone in self._positions.keys() - set(streams):
            del self._positions[gone]
        turns = [self._turn(stream) for stream in streams]
        return [entry for entry in heapq.merge(*turns, key=_TIME) if self._wanted(entry)]

    def _wanted(self, entry: Entry) -> bool:
        return self._takes is None or (entry.event is not None and self._takes(entry.event))

    def _turn(self, stream: str) -> list[Entry]:
        try:
            offset = self._positions.get(stream)
            if offset is None:
                offset = self._journal.start(stream)
            chunk = self._journal.read(stream, offset, TURN_BYTES)
        except OSError as error:
            self.problem = f"stream {stream}: {error.strerror or error}"
            return []
        self._positions[stream] = chunk.end
        self.damaged_bytes += chunk.damaged_bytes
        self.expired_bytes += chunk.expired_bytes
        return _entries(chunk.lines, "")

    def _backward(self, stream: str, end: int) -> Iterator[Entry]:
        """The stream's entries before ``end``, newest first, window by window."""
        try:
            start = self._journal.start(stream)
            window, newer = WINDOW_BYTES, "\x7f"  # behind every time there is
            while end > start:
                if self._left <= 0:
                    self.cut_short = True
                    return
                begin = max(start, end - window)
                self._left -= end - begin
                lines, whole = self._between(stream, begin, end, aligned=begin == start)
                if whole >= end > begin > start:  # one line fills the window
                    window *= 2
                    continue
                for entry in reversed(_entries(lines, newer)):
                    newer = entry.time
                    yield entry
                end, window = whole, WINDOW_BYTES
        except OSError as error:
            self.problem = f"stream {stream}: {error.strerror or error}"

    def _between(self, stream: str, begin: int, end: int, *, aligned: bool) -> tuple[list[bytes], int]:
        """The whole lines in ``[begin, end)`` and the offset of the first; ``end`` if there is none.

        Unless ``aligned``, ``begin`` may lie within a line, whose rest is left to the window before.
        """
        lines: list[bytes] = []
        at = begin
        whole = begin if aligned else end
        while at < end:
            chunk = self._journal.read(stream, at, end - at)
            if chunk.end == at:
                break
            fresh, offset = chunk.lines, chunk.offset
            self.damaged_bytes += chunk.damaged_bytes
            if not aligned:
                aligned = True
                if fresh and offset == begin:  # nothing was skipped, so this may be the rest of a line
                    offset += len(fresh[0])
                    fresh = fresh[1:]
                whole = min(offset, end)
            for line in fresh:
                if offset >= end:
                    break
                lines.append(line)
                offset += len(line)
            at = chunk.end
        return lines, whole


def _entries(lines: list[bytes], unknown: str) -> list[Entry]:
    """The entries of consecutive lines; one without a time has its predecessor's, the first one ``unknown``."""
    entries = []
    time = unknown
    for line in lines:
        event: Event | None
        try:
            event = decode_line(line)
        except ValueError:
            event = None
        else:
            time = event.received_at or time
        entries.append(Entry(line, event, time))
    return entries
