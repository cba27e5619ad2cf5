"""Doubles for the tests of collectors and of delivery: a journal in memory, and a collector that keeps what it gets.

They behave as the real ones do where a test can see it: whole lines only, nothing beyond the end, ranges that are gone
or damaged are skipped and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from tracker.delivery.plugin import Item, Place, Rejection
from tracker.event import Event, encode_line
from tracker.journal.reader import Chunk
from tracker.journal.seal import Seal


class MemoryJournal:
    """A journal in memory, to be filled by the test. It stands in for ``journal.reader.JournalReader``."""

    def __init__(self) -> None:
        """Empty."""
        self.content: dict[str, bytearray] = {}
        """Bytes of each stream."""
        self.starts: dict[str, int] = {}
        """What is before it has expired."""
        self.damaged: dict[str, list[tuple[int, int]]] = {}
        """Ranges that do not fit their checksum; they begin and end at newlines."""
        self.seals: dict[str, Seal] = {}
        self.errors: list[OSError] = []
        """Raised by the next calls of ``read``."""
        self._seqs: dict[str, int] = {}

    def append(self, stream: str, *events: Event) -> list[Event]:
        """Add events; stamps ``stream`` and ``seq`` as a ring does. Returns them."""
        for event in events:
            event.stream, event.seq = stream, self._seqs.get(stream, 0) + 1
            self._seqs[stream] = event.seq
            self.append_bytes(stream, encode_line(event))
        return list(events)

    def append_bytes(self, stream: str, content: bytes) -> None:
        """Add bytes that end with a newline."""
        self.content.setdefault(stream, bytearray()).extend(content)

    def seal(self, stream: str) -> None:
        """The stream never grows again."""
        self.seals[stream] = Seal(
            stream=stream, end=self.end(stream), last_seq=self._seqs.get(stream, 0), cause="retired", gap="none",
            sealed_at="2026-01-01T00:00:00.000Z",
        )

    def remove(self, stream: str) -> None:
        """As retention does with a sealed stream that is done with."""
        del self.content[stream]

    def streams(self) -> list[str]:
        """Ids of the streams, in order."""
        return sorted(self.content)

    def start(self, stream: str) -> int:
        """Oldest offset that has not expired."""
        return self.starts.get(stream, 0)

    def end(self, stream: str) -> int:
        """End of the stream."""
        return len(self.content.get(stream, b""))

    def sealed(self, stream: str) -> Seal | None:
        """The stream's seal, if it has one."""
        return self.seals.get(stream)

    def read(self, stream: str, offset: int, max_bytes: int = 1 << 20) -> Chunk:
        """Lines from ``offset`` on, at least one if there is one."""
        if self.errors:
            raise self.errors.pop(0)
        at = max(offset, self.start(stream))
        expired = at - offset
        damaged = 0
        stop = self.end(stream)
        for start, end in sorted(self.damaged.get(stream, [])):
            if start <= at < end:
                damaged, at = damaged + end - at, end
            elif start > at:
                stop = min(stop, start)
        lines: list[bytes] = []
        end = at
        while end < stop and end - at < max_bytes:
            newline = self.content[stream].index(b"\n", end) + 1
            lines.append(bytes(self.content[stream][end:newline]))
            end = newline
        return Chunk(lines, at, end, damaged, expired)

    def close(self) -> None:
        """Nothing to let go."""


class RecordingCollector:
    """Keeps what it gets; fails and rejects as it is told."""

    class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """It has none."""

    name: ClassVar[str] = "recording"

    def __init__(self, options: Options | None = None, place: Place | None = None) -> None:
        """Both may be left out."""
        self.options, self.place = options, place
        self.batches: list[list[Item]] = []
        """What was delivered, call by call."""
        self.errors: list[BaseException] = []
        """Raised by the next calls of ``deliver``."""
        self.open_errors: list[BaseException] = []
        """Raised by the next calls of ``open``."""
        self.rejects: Mapping[str, str] = {}
        """Reason by id."""
        self.calls: list[str] = []
        """Names of the methods that were called."""

    @property
    def ids(self) -> list[str]:
        """Ids of everything that was delivered, in order."""
        return [item.event.id for batch in self.batches for item in batch]

    def open(self) -> None:
        """Raises the next of ``open_errors``, if there is one."""
        self.calls.append("open")
        if self.open_errors:
            raise self.open_errors.pop(0)

    def deliver(self, batch: Sequence[Item]) -> Sequence[Rejection]:
        """Raises the next of ``errors``, or keeps the batch."""
        self.calls.append("deliver")
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append([item for item in batch if item.event.id not in self.rejects])
        return [Rejection(event.id, self.rejects[event.id]) for event, _ in batch if event.id in self.rejects]

    def close(self) -> None:
        """Counts itself."""
        self.calls.append("close")
