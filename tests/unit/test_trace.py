"""Tracing: every occurrence is found where it is, and each collector's standing is what its files say."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tracker.capture.identity import FreshIds
from tracker.journal import cursor, tracing
from tracker.journal.cursor import Position
from tracker.journal.tracing import Found, NoId, find
from tracker.settings.model import Collector
from tracker.terminal import trace_report

Journal = Any  # the fixture's class

LOG = {"log": Collector(type="log")}


def look(journal: Journal, event_id: str, *, everything: bool = False, collectors: dict[str, Collector] | None = None) -> Found:
    return find(journal.data_dir, event_id, LOG if collectors is None else collectors, everything=everything)


def states(found: Found) -> dict[str, str]:
    (occurrence,) = found.occurrences
    return {standing.collector: standing.state for standing in occurrence.collectors}


def test_an_event_is_found_at_its_place_in_its_file(journal: Journal) -> None:
    """Stream, seq, segment and byte: the file has the line exactly there."""
    stream = journal.stream(segment_bytes=1500)
    events = [stream.add(dimensions={"campaign": "c1"}) for _ in range(20)]
    assert len(stream.segments()) > 2
    for number, event in enumerate(events):
        (each,) = look(journal, event.id).occurrences
        assert (each.id, each.stream, each.seq, each.place, each.intact) == (event.id, stream.name, number + 1, "journal", True)
        content = (journal.data_dir / each.segment).read_bytes()
        assert content[each.position : each.position + each.size] == stream.lines[number]
        assert each.offset == stream.offset(number)


def test_every_occurrence_of_a_clients_id_is_shown(journal: Journal) -> None:
    """The same id in two streams and twice in one: three places, and the bad lane with its reason."""
    one, two = journal.stream(), journal.stream()
    one.add(id="order-77")
    two.add(id="order-77", lane="bad", reason="missing_field")
    one.add(id="order-7")
    one.add(id="order-77")
    found = look(journal, "order-77")
    assert [(each.stream, each.seq, each.lane, each.reason) for each in found.occurrences] == [
        (one.name, 1, "good", ""), (one.name, 3, "good", ""), (two.name, 1, "bad", "missing_field"),
    ]
    assert not found.narrowed


def test_the_id_of_another_event_in_a_property_is_no_occurrence(journal: Journal) -> None:
    """Only the event's own id counts, though the same text stands in other lines."""
    stream = journal.stream()
    first = stream.add()
    stream.add(properties={"id": first.id, "cause": {"id": first.id}}, dimensions={"click": first.id})
    assert [each.seq for each in look(journal, first.id, everything=True).occurrences] == [1]


def test_the_end_of_an_id_will_do(journal: Journal) -> None:
    """Eight characters or more; an exact match goes before those that only end so."""
    stream = journal.stream()
    event = stream.add()
    stream.add(id="prefix-abcdefgh")
    assert [each.id for each in look(journal, event.id[-12:]).occurrences] == [event.id]
    assert [each.id for each in look(journal, "abcdefgh").occurrences] == ["prefix-abcdefgh"]
    assert look(journal, "bcdefgh").occurrences == []
    stream.add(id="abcdefgh")
    assert [each.id for each in look(journal, "abcdefgh").occurrences] == ["abcdefgh"]


@pytest.mark.parametrize("event_id", ["", " ", "a b", "a\nb", "x" * 65, "é", '"', "../x"])
def test_what_cannot_be_an_id_is_refused(journal: Journal, event_id: str) -> None:
    """Before anything is searched."""
    with pytest.raises(NoId):
        look(journal, event_id)


def test_the_time_of_an_id_narrows_the_search(journal: Journal) -> None:
    """An hour of blocks, one a second: an id's own time needs a few of them, in old segments and in the newest."""
    stream = journal.stream(segment_bytes=100_000)
    events = [stream.add() for _ in range(3600)]
    size = stream.ring.head
    for number in (0, 1800, 3599):
        found = look(journal, events[number].id)
        assert [each.seq for each in found.occurrences] == [number + 1]
        assert found.narrowed
        assert found.searched_bytes < size / 10
    full = look(journal, events[1800].id, everything=True)
    assert full.searched_bytes == size
    assert not full.narrowed


def test_a_clients_uuid7_from_another_time_is_found_all_the_same(journal: Journal) -> None:
    """Its time says an hour ago: the narrow search finds nothing, the full one does."""
    stream = journal.stream()
    made = FreshIds()(journal.clock.ms - 3_600_000)
    for _ in range(200):
        stream.add()
    stream.add(id=made)
    found = look(journal, made)
    assert [each.seq for each in found.occurrences] == [201]
    assert not found.narrowed


def test_a_long_line_over_several_blocks_is_found_narrowed(journal: Journal) -> None:
    """A line of 200 kB begins in one block and ends in another."""
    stream = journal.stream()
    stream.add()
    long = stream.add(properties={"fill": "x" * 200_000})
    after = stream.add()
    for event in (long, after):
        found = look(journal, event.id)
        assert [each.id for each in found.occurrences] == [event.id]
        assert found.narrowed
        assert found.occurrences[0].intact


def test_the_search_crosses_the_boundaries_of_what_is_read_at_once(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the stride, each line is found once."""
    stream = journal.stream(segment_bytes=900)
    events = [stream.add(id=f"client-id-{number}") for number in range(12)]
    for stride in (1, 17, 251, 252, 1000):
        monkeypatch.setattr(tracing, "STRIDE_BYTES", stride)
        for event in events[::3]:
            assert [each.id for each in look(journal, event.id).occurrences] == [event.id]


def test_an_event_that_is_only_in_the_ring_is_found_there(journal: Journal) -> None:
    """Answered, not yet durable: no collector can have it; once durable it is in the journal, and found once."""
    stream = journal.stream()
    stream.add()
    event = stream.publish()
    (each,) = look(journal, event.id).occurrences
    assert (each.place, each.seq, each.collectors) == ("ring", 2, [])
    content = (journal.data_dir / each.segment).read_bytes()
    assert content[each.position : each.position + each.size] == stream.lines[1]
    stream.flush()
    (each,) = look(journal, event.id).occurrences
    assert each.place == "journal"


def test_a_wrapped_ring_is_read_in_order(journal: Journal) -> None:
    """The waiting line begins at the ring's end and goes on at its beginning."""
    stream = journal.stream()
    while stream.ring.head < stream.ring.capacity - 100_000:
        stream.publish(properties={"fill": "x" * 50_000})
        stream.flush()
    while stream.ring.head + 300 < stream.ring.capacity:
        stream.publish()
    stream.flush()
    event = stream.publish(properties={"fill": "y" * 1000})
    assert stream.ring.head > stream.ring.capacity
    (each,) = look(journal, event.id).occurrences
    assert (each.place, each.size) == ("ring", len(stream.lines[-1]))


def test_an_event_in_a_bad_block_is_found_and_called_not_intact(journal: Journal) -> None:
    """The id can be read though the block does not fit its checksum: no collector gets it."""
    stream = journal.stream()
    event = stream.add(dimensions={"campaign": "c1"})
    stream.add()
    path = stream.segments()[0]
    path.write_bytes(path.read_bytes().replace(b'"c1"', b'"c2"', 1))
    (each,) = look(journal, event.id).occurrences
    assert not each.intact


def test_an_absent_event_is_not_found_in_all_that_there_is(journal: Journal) -> None:
    """And what was searched is said; an absent journal is an empty one."""
    assert look(journal, "nothing-here").occurrences == []
    stream = journal.stream()
    stream.add()
    found = look(journal, FreshIds()(journal.clock.ms))
    assert found.occurrences == []
    assert not found.narrowed
    assert found.searched_bytes >= stream.ring.head
    assert "was never answered" in trace_report.not_found(found)


def save_cursor(journal: Journal, collector: str, stream: str, offset: int) -> None:
    own = cursor.Cursor(cursor.cursor_path(journal.data_dir, collector), collector)
    own.streams = {stream: Position(offset, 0)}
    own.save()


def test_a_collector_has_what_its_cursor_has_passed(journal: Journal) -> None:
    """Before, within and behind the line: waiting by so many bytes, then delivered."""
    stream = journal.stream()
    event = [stream.add() for _ in range(3)][1]
    begin, end = stream.offset(1), stream.offset(2)
    standing = look(journal, event.id).occurrences[0].collectors[0]
    assert (standing.state, standing.bytes_behind) == ("waiting", end)
    assert "never delivered" in standing.detail
    for offset, state, behind in ((0, "waiting", end), (begin, "waiting", end - begin), (end, "delivered", 0)):
        save_cursor(journal, "log", stream.name, offset)
        standing = look(journal, event.id).occurrences[0].collectors[0]
        assert (standing.state, standing.bytes_behind) == (state, behind)


def test_a_collector_that_has_not_met_the_stream_waits(journal: Journal) -> None:
    """Its cursor knows other streams only."""
    stream = journal.stream()
    event = stream.add()
    save_cursor(journal, "log", "f" * 32, 10)
    standing = look(journal, event.id).occurrences[0].collectors[0]
    assert (standing.state, standing.detail) == ("waiting", "it has not begun with this stream")


def test_who_does_not_subscribe_is_told_why(journal: Journal) -> None:
    """By lane, by name; the pattern and the event's name are in the words."""
    stream = journal.stream()
    event = stream.add(event="click")
    collectors = {
        "bad": Collector(type="log", lanes=("bad",)),
        "views": Collector(type="log", events=("imp*", "view")),
        "clicks": Collector(type="log", events=("cl*k",)),
        "none": Collector(type="log", events=()),
    }
    (occurrence,) = look(journal, event.id, collectors=collectors).occurrences
    told = {standing.collector: (standing.state, standing.detail) for standing in occurrence.collectors}
    assert told["bad"] == ("not_subscribed", "it takes the bad lane only")
    assert told["views"] == ("not_subscribed", "it takes imp*, view, not click")
    assert told["clicks"][0] == "waiting"
    assert told["none"][0] == "not_subscribed"


def test_dead_letters_and_gaps_are_told_with_their_reason(journal: Journal) -> None:
    """A position the cursor has passed: refused for ever, or in a range that was lost; rotated files count too."""
    stream = journal.stream()
    events = [stream.add() for _ in range(3)]
    save_cursor(journal, "log", stream.name, stream.offset(3))
    folder = journal.data_dir / "delivery"
    folder.mkdir()
    letter = {"at": "2026-11-20T21:30:00.000Z", "stream": stream.name, "offset": stream.offset(1), "reason": "too big"}
    (folder / "log.dead-20261120T213000Z-1.ndjson").write_text(json.dumps(letter) + "\n")
    (folder / "log.dead.ndjson").write_bytes(b'torn {"stream":\n\xff\n{"stream":"' + stream.name.encode())
    gap = {"stream": stream.name, "start": stream.offset(2), "end": stream.offset(3)}
    (folder / "log.gaps.ndjson").write_text(json.dumps(gap) + "\n")
    assert states(look(journal, events[0].id)) == {"log": "delivered"}
    (dead,) = look(journal, events[1].id).occurrences[0].collectors
    assert (dead.state, dead.detail) == ("dead", "too big (2026-11-20T21:30:00.000Z)")
    assert states(look(journal, events[2].id)) == {"log": "lost"}


def test_the_report_says_it_all_and_steers_no_terminal(journal: Journal) -> None:
    """Place, lane, reason and each collector; JSON has the same."""
    stream = journal.stream()
    event = stream.add(event="evil\x1b[2J", lane="bad", reason="r\u202e")
    found = look(journal, event.id)
    text = trace_report.report(found).plain
    assert all(line.isprintable() for line in text.splitlines())
    for part in (event.id, stream.name, "seq 1", "at byte 0", "bad: r\\u202e", "log: not subscribed", "--all"):
        assert part in text
    assert msgspec.json.decode(msgspec.json.encode(found), type=Found) == found
