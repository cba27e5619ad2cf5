"""The writer: numbers, all-or-nothing, and the event that cannot be encoded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker import reasons
from tracker.capture.rings import Rings
from tracker.capture.writer import Writer
from tracker.counters import EVENTS_BAD, EVENTS_GOOD, REASON_INDEX
from tracker.event import Event, decode_line
from tracker.settings.model import Journal, Ring, Tracker


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    rings = Rings(Tracker(
        data_dir=str(tmp_path), threads=1, ring=Ring(bytes_per_worker=1 << 16), journal=Journal(sync_interval_ms=10)
    ))
    writer = rings.writer()
    assert writer is not None
    yield writer
    rings.stop(5)


def published(writer: Writer, start: int = 0) -> list[Event]:
    """What the ring got from an offset on."""
    ring = writer.slot.ring
    return [decode_line(line) for line in ring.copy(start, ring.head).splitlines()]


def test_events_are_numbered_in_order_and_counted(writer: Writer) -> None:
    """seq runs on over requests; lanes, reasons and flags have their counters."""
    assert writer.append([Event(id="a", event="x"), Event(id="b", event="x", flags=["head"])]) == ""
    assert writer.append([Event(id="c", event="x", lane="bad", reason=reasons.MISSING_FIELD)]) == ""
    assert [(event.id, event.seq, event.stream) for event in published(writer)] == [
        ("a", 1, writer.stream), ("b", 2, writer.stream), ("c", 3, writer.stream)
    ]
    assert (writer.counts[EVENTS_GOOD], writer.counts[EVENTS_BAD]) == (2, 1)
    assert writer.counts[REASON_INDEX["head"]] == writer.counts[REASON_INDEX["missing_field"]] == 1


def test_a_refused_request_uses_no_number(writer: Writer) -> None:
    """A request that does not fit is refused whole; the next one has the next number."""
    big = [Event(id=str(i), event="x", dimensions={"fill": "y" * 40_000}) for i in range(2)]
    assert writer.append(big) == reasons.EVENT_TOO_LARGE
    assert writer.append([Event(id="a", event="x")]) == ""
    assert [event.seq for event in published(writer)] == [1]


def test_a_refusing_slot_takes_nothing(writer: Writer) -> None:
    """The flusher's refusal reaches the next request."""
    writer.slot.refusing = reasons.JOURNAL_UNWRITABLE
    assert writer.append([Event(id="a", event="x")]) == reasons.JOURNAL_UNWRITABLE
    assert writer.slot.ring.head == 0
    writer.slot.refusing = ""


def test_an_event_that_cannot_be_encoded_costs_only_itself(writer: Writer) -> None:
    """Its neighbours are published; its own place says what happened, and the numbers have no gap."""
    events = [Event(id="a", event="x"), Event(id="\ud800", event="\ud801"), Event(id="c", event="x")]
    assert writer.append(events) == ""
    first, second, third = published(writer)
    assert (first.id, third.id, third.seq) == ("a", "c", 3)
    assert (second.seq, second.lane, second.reason) == (2, "bad", reasons.UNENCODABLE)


def test_durable_is_waited_for(writer: Writer) -> None:
    """After the wait nothing is left in the ring."""
    writer.append([Event(id="a", event="x")])
    assert writer.wait_durable(5) and writer.slot.drained


def test_a_stop_does_not_wait_for_those_who_wait(tmp_path: Path) -> None:
    """A request that waits for a sync that cannot come ends with the process's stop, not with its own long patience."""
    rings = Rings(Tracker(data_dir=str(tmp_path), threads=1, ring=Ring(bytes_per_worker=1 << 16)))
    writer = rings.writer()
    assert writer is not None
    writer.append([Event(id="a", event="x")])
    beyond = writer.slot.ring.head + 1
    outcome: list[bool] = []
    flusher, slot = rings.flusher, writer.slot
    waiting = threading.Thread(target=lambda: outcome.append(flusher.wait_durable(slot, beyond, 60)), daemon=True)
    waiting.start()
    rings.stop(5)
    waiting.join(5)
    assert outcome == [False]


def test_when_the_journal_does_not_keep_up_the_less_important_go_without_first(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Low from three quarters, normal from seven eighths, high until nothing fits; what was refused used no number."""
    ring = writer.slot.ring
    monkeypatch.setattr(writer._flusher, "_flush", lambda _: None)  # nobody frees space any more
    line = Event(id="a", event="x", dimensions={"fill": "y" * 1000})
    taken = {}
    for reserve, reason in ((1 / 4, reasons.SHED), (1 / 8, reasons.SHED), (0.0, reasons.RING_FULL)):
        while (refused := writer.append([line], reserve)) == "":
            pass
        assert refused == reason
        taken[reserve] = (ring.head - ring.durable) / ring.capacity
    assert 0.70 < taken[1 / 4] <= 0.75
    assert 0.85 < taken[1 / 8] <= 0.875
    assert 0.97 < taken[0.0] <= 1.0
    assert [event.seq for event in published(writer)] == list(range(1, writer.seq + 1))
