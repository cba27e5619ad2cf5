"""The writer: stamps events with stream and ``seq``, encodes them, and publishes them to the thread's ring.

Invariants
1. A writer belongs to one thread, as its ring does. It takes no lock and writes no file.
2. ``seq`` advances only with a publish: a refused event has used no number.
3. The events of one request are published together or not at all.
4. An event that cannot be encoded concerns nobody but itself: its place is taken by a bad-lane event that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tracker import reasons
from tracker.counters import EVENTS_BAD, EVENTS_GOOD, REASON_INDEX, RING_BYTES
from tracker.event import Event, encode_line, encode_lines
from tracker.journal.flusher import Flusher
from tracker.journal.slot import Slot

POWER_S: Final = 10.0
"""Longest that a door waits for ``durable``; after it nobody knows."""


class Writer:
    """One thread's way into the journal."""

    __slots__ = ("_flusher", "_ring", "counts", "seq", "slot", "stream")

    def __init__(self, slot: Slot, flusher: Flusher) -> None:
        """Write to this slot's ring, behind its last line."""
        self.slot = slot
        self.seq = slot.last_seq
        """``seq`` of the last published line."""
        self.stream = slot.ring.stream
        self.counts = slot.counts
        """This thread's counters: see ``tracker.counters``."""
        self._ring = slot.ring
        self._flusher = flusher

    def append(self, events: Sequence[Event], reserve: float = 0.0) -> str:
        """Publish the events of one request. Returns "" or the reason for the refusal (a name from reasons.py).

        ``reserve``: the part of the ring, from 0 to 1, that must stay free for more important routes.
        """
        slot = self.slot
        if slot.refusing:
            return slot.refusing
        ring = self._ring
        seq = self._number(events)
        lines = b""
        for event in events:
            try:
                line = encode_line(event)
            except (ValueError, TypeError, RecursionError, OverflowError):
                line = self._stand_in(event)
            lines = lines + line if lines else line
        if reserve and ring.crowded and ring.free < len(lines) + reserve * ring.capacity:
            self._flusher.wake()
            return reasons.SHED if len(lines) <= ring.capacity else reasons.EVENT_TOO_LARGE
        if not ring.publish(lines):
            self._flusher.wake()
            return reasons.RING_FULL if len(lines) <= ring.capacity else reasons.EVENT_TOO_LARGE
        self._published(events, seq, len(lines))
        return ""

    def append_each(self, requests: Sequence[tuple[Sequence[Event], float]]) -> list[str] | None:
        """Publish the events of several requests, each with its ``reserve``: all by one publish if they fit.

        None if all were taken, else for each what ``append`` says.
        """
        slot = self.slot
        ring = self._ring
        if not slot.refusing and not ring.crowded:
            events = [event for each, _ in requests for event in each]
            seq = self._number(events)
            try:
                lines = encode_lines(events)
            except (ValueError, TypeError, RecursionError, OverflowError):
                lines = b""  # one of them cannot be encoded: each by itself
            if lines and ring.publish(lines):
                self._published(events, seq, len(lines))
                return None
        return [self.append(events, reserve) for events, reserve in requests]

    def _number(self, events: Sequence[Event]) -> int:
        """Write stream and ``seq`` into the events; the last of them. None is used before they are published."""
        seq, stream = self.seq, self.stream
        for event in events:
            seq += 1
            event.stream = stream
            event.seq = seq
        return seq

    def _published(self, events: Sequence[Event], seq: int, size: int) -> None:
        self.seq = self.slot.last_seq = seq
        if self._ring.crowded:
            self._flusher.wake()
        counts = self.counts
        counts[RING_BYTES] += size
        for event in events:
            if event.reason:
                counts[EVENTS_BAD] += 1
                counts[REASON_INDEX[event.reason]] += 1
            else:
                counts[EVENTS_GOOD] += 1
            if event.flags:
                for flag in event.flags:
                    counts[REASON_INDEX[flag]] += 1

    def _stand_in(self, event: Event) -> bytes:
        """The line of an event that cannot be encoded: what names it, in ASCII."""
        self.counts[REASON_INDEX[reasons.UNENCODABLE]] += 1
        ident, name, source = (
            text.encode("ascii", "replace").decode() for text in (event.id, event.event, event.source)
        )
        return encode_line(Event(
            id=ident, stream=self.stream, seq=event.seq, event=name, lane="bad", reason=reasons.UNENCODABLE,
            timestamp=event.received_at, received_at=event.received_at, source=source,
        ))

    @property
    def head(self) -> int:
        """End of what has been published."""
        return self._ring.head

    @property
    def durable(self) -> int:
        """End of what survives a power cut."""
        return self._ring.durable

    def wait_durable(self, timeout_s: float) -> bool:
        """Wait until everything this writer has published survives a power cut. False: nobody knows."""
        return self._flusher.wait_durable(self.slot, self._ring.head, timeout_s)
