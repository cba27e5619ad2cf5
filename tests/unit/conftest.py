"""A journal made line by line, with the ring and the segment code that the tracker itself uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tracker.capture.identity import FreshIds
from tracker.capture.ring import Ring
from tracker.event import Event, encode_line
from tracker.journal import segment
from tracker.journal.segment import Appender

START_MS = 1_795_212_425_000
"""2026-11-20T21:27:05Z. Without word to the contrary each event comes a second after the one before."""


def rfc3339(ms: int) -> str:
    """Milliseconds as the journal writes them."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Stream:
    """One stream: its ring, its segments, and what was put in."""

    def __init__(self, data_dir: Path, number: int, segment_bytes: int, clock: Clock) -> None:
        self.name = f"{number:032x}"
        self.folder = data_dir / "journal" / "streams" / self.name
        self.slot = data_dir / "journal" / "slots" / str(number)
        self.slot.mkdir(parents=True)
        (self.slot / "lock").touch()
        self.ring = Ring.create(self.slot / "ring", 1 << 20, bytes.fromhex(self.name), bytes(16))
        self.appender = Appender(self.folder, self.name, 0, segment_bytes, 86_400)
        self.lines: list[bytes] = []
        self.events: list[Event] = []
        self._clock = clock

    def publish(self, ms: int | None = None, **fields: Any) -> Event:
        """An event in the ring, and not yet in the journal. ``ms``: when it came."""
        ms = self._clock.tick() if ms is None else ms
        seq = fields.pop("seq", self.events[-1].seq + 1 if self.events else 1)
        event = Event(**{
            "id": self._clock.ids(ms), "stream": self.name, "seq": seq, "event": "impression",
            "timestamp": rfc3339(ms), "received_at": rfc3339(ms), "source": "impression", **fields,
        })
        self.events.append(event)
        self.raw(encode_line(event))
        return event

    def raw(self, line: bytes) -> None:
        """Any bytes as a line."""
        self.lines.append(line)
        assert self.ring.publish(line)

    def add(self, ms: int | None = None, **fields: Any) -> Event:
        """An event, durable, in a block of its own."""
        event = self.publish(ms, **fields)
        self.flush()
        return event

    def flush(self) -> None:
        """What is in the ring becomes durable, in one block of at most 64 KiB after the other."""
        while self.ring.durable < self.ring.head:
            self.appender.append(self.ring.views, self.ring.head)
            self.ring.durable = self.appender.sync()

    def segments(self) -> list[Path]:
        """Its segment files, in order."""
        return [segment.data_path(self.folder, offset) for offset in segment.offsets(self.folder)]

    def offset(self, number: int) -> int:
        """Where line ``number`` (from 0) begins."""
        return sum(map(len, self.lines[:number]))

    def spoil(self, offset: int) -> None:
        """Change the byte at a stream offset on the disk."""
        begin = max(start for start in segment.offsets(self.folder) if start <= offset)
        path = segment.data_path(self.folder, begin)
        content = bytearray(path.read_bytes())
        content[offset - begin] ^= 1
        path.write_bytes(content)

    def drop_ring(self) -> None:
        """Close and remove ring and slot."""
        for path in self.slot.iterdir():
            path.unlink()
        self.slot.rmdir()


class Clock:
    """Times and ids for all streams."""

    def __init__(self) -> None:
        self.ms = START_MS
        self.ids = FreshIds()

    def tick(self) -> int:
        self.ms += 1000
        return self.ms


class Journal:
    """A data folder with streams."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.clock = Clock()
        self.streams: list[Stream] = []

    def stream(self, segment_bytes: int = 1 << 26) -> Stream:
        """A new stream with a ring."""
        self.streams.append(Stream(self.data_dir, len(self.streams), segment_bytes, self.clock))
        return self.streams[-1]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal under ``tmp_path / "var"``."""
    made = Journal(tmp_path / "var")
    yield made
    for stream in made.streams:
        stream.appender.close()
        stream.ring.close()


@pytest.fixture
def tracker_command(tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of a real process: ``tracker_command("tail", "-n", "3")``."""
    import sys

    return lambda *arguments: [sys.executable, "-m", "tracker", *arguments]
