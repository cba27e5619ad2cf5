"""The tail: newest first found, oldest first shown, and nothing missed while it follows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tracker.journal import tail as tail_module
from tracker.journal.reader import JournalReader
from tracker.journal.tail import Entry, Tail
from tracker.journal.where import parse, select

Journal = Any  # the fixture's class


@pytest.fixture
def reader(journal: Journal) -> Iterator[JournalReader]:
    reader = JournalReader(journal.data_dir)
    yield reader
    reader.close()


def ids(entries: list[Entry]) -> list[str]:
    return [entry.event.id if entry.event else "?" for entry in entries]


def test_the_newest_events_of_all_streams_in_the_order_of_their_times(journal: Journal, reader: JournalReader) -> None:
    """Two streams, events in turns: the last five are the last five of both together."""
    streams = [journal.stream(), journal.stream()]
    made = [streams[number % 2].add().id for number in range(12)]
    assert ids(Tail(reader).newest(5)) == made[-5:]
    assert ids(Tail(reader).newest(100)) == made
    assert Tail(reader).newest(0) == []


def test_an_empty_or_absent_journal_has_no_events(journal: Journal, reader: JournalReader) -> None:
    """No folder, then a stream without a line: nothing, and no error."""
    assert Tail(reader).newest(3) == []
    journal.stream()
    tail = Tail(reader)
    assert tail.newest(3) == []
    assert tail.poll() == []


@pytest.mark.parametrize("window", [1, 7, 300, 1000, 65_536])
def test_looking_back_gives_the_same_whatever_the_window(
    journal: Journal, reader: JournalReader, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows end within lines, at newlines and within one long line; every line comes once, as it stands."""
    monkeypatch.setattr(tail_module, "WINDOW_BYTES", window)
    stream = journal.stream(segment_bytes=2000)
    for number in range(30):
        stream.add(properties={"fill": "x" * (number * 37 % 900)})
    stream.publish(properties={"fill": "y" * 150_000})  # more than two blocks
    stream.publish()
    stream.flush()
    assert len(stream.segments()) > 3
    assert [entry.line for entry in Tail(reader).newest(1000)] == stream.lines
    assert [entry.line for entry in Tail(reader).newest(4)] == stream.lines[-4:]


def test_what_is_wanted_is_searched_as_far_back_as_it_is(journal: Journal, reader: JournalReader) -> None:
    """The two clicks are far behind many impressions."""
    stream = journal.stream()
    clicks = [stream.add(event="click").id for _ in range(2)]
    for _ in range(300):
        stream.publish()
    stream.flush()
    tail = Tail(reader, select(["click"]))
    assert ids(tail.newest(10)) == clicks
    assert not tail.cut_short


def test_looking_back_is_bounded_and_says_so(journal: Journal, reader: JournalReader) -> None:
    """With a bound of one window the old click is not found, and ``cut_short`` tells."""
    stream = journal.stream()
    stream.add(event="click")
    for _ in range(1000):
        stream.publish()
    stream.flush()
    tail = Tail(reader, select(["click"]), lookback_bytes=70_000)
    assert tail.newest(1) == []
    assert tail.cut_short


def test_following_brings_each_line_once(journal: Journal, reader: JournalReader) -> None:
    """What was shown does not come again; what is not durable does not come yet."""
    stream = journal.stream()
    stream.add()
    tail = Tail(reader)
    assert len(tail.newest(10)) == 1
    assert tail.poll() == []
    early = stream.publish()
    assert tail.poll() == []
    stream.flush()
    assert ids(tail.poll()) == [early.id]
    assert tail.poll() == []


def test_a_new_stream_is_followed_from_its_beginning(journal: Journal, reader: JournalReader) -> None:
    """A worker that starts later has its first events shown too."""
    first = journal.stream()
    first.add()
    tail = Tail(reader)
    tail.newest(0)
    second = journal.stream()
    made = [second.add().id, first.add().id, second.add().id]
    assert ids(tail.poll()) == made


def test_a_stream_that_is_removed_is_forgotten(journal: Journal, reader: JournalReader) -> None:
    """Retention takes a whole stream; the others go on."""
    gone, stays = journal.stream(), journal.stream()
    gone.add()
    tail = Tail(reader)
    assert len(tail.newest(10)) == 1
    gone.drop_ring()
    shutil.rmtree(gone.folder)
    event = stays.add()
    assert ids(tail.poll()) == [event.id]


def test_within_a_stream_the_order_holds_though_the_clock_steps_back(journal: Journal, reader: JournalReader) -> None:
    """Times 5, 3, 4 stay in the journal's order, in both directions."""
    stream = journal.stream()
    tail = Tail(reader)
    tail.newest(0)
    made = [stream.add(ms=ms * 1000).id for ms in (5, 3, 4)]
    assert ids(tail.poll()) == made
    assert ids(Tail(reader).newest(10)) == made


def test_damage_is_passed_over_and_said(journal: Journal, reader: JournalReader) -> None:
    """A bad block in the middle costs its own lines, not those around it, looking back and following."""
    stream = journal.stream()
    following = Tail(reader)
    following.newest(0)
    made = [stream.add().id for _ in range(5)]
    stream.spoil(stream.offset(2) + 20)
    kept = made[:2] + made[3:]
    backward = Tail(reader)
    assert ids(backward.newest(10)) == kept
    assert backward.damaged_bytes == len(stream.lines[2])
    seen = ids(following.poll()) + ids(following.poll()) + ids(following.poll())
    assert seen == kept
    assert following.damaged_bytes == len(stream.lines[2])


def test_a_line_that_is_no_event_is_shown_unless_something_is_asked_for(journal: Journal, reader: JournalReader) -> None:
    """Junk in a sound block is a line of the journal; no condition takes it."""
    stream = journal.stream()
    stream.publish()
    stream.raw(b"junk \xff\n")
    stream.publish()
    stream.flush()
    assert [entry.event is None for entry in Tail(reader).newest(10)] == [False, True, False]
    assert len(Tail(reader, parse("seq>0").takes).newest(10)) == 2


def test_a_disk_error_is_said_and_does_not_end_the_watch(
    journal: Journal, reader: JournalReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stream cannot be read for a while: the other goes on, then both."""
    sick, well = journal.stream(), journal.stream()
    tail = Tail(reader)
    tail.newest(0)
    first, second = sick.add(), well.add()
    read = JournalReader.read

    def fails(self: JournalReader, stream: str, offset: int, max_bytes: int = 1) -> Any:
        if stream == sick.name:
            raise OSError(5, "Input/output error")
        return read(self, stream, offset, max_bytes)

    monkeypatch.setattr(JournalReader, "read", fails)
    assert ids(tail.poll()) == [second.id]
    assert "Input/output error" in tail.problem
    monkeypatch.setattr(JournalReader, "read", read)
    assert ids(tail.poll()) == [first.id]
