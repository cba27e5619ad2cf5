"""Retention: hard limits, whole segments from the front, and nothing that a refusing collector has yet to read."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker.capture.ring import MIN_CAPACITY, Ring
from tracker.event import Event, encode_line
from tracker.journal import cursor, retention, segment
from tracker.journal.cursor import Position
from tracker.journal.reader import JournalReader
from tracker.journal.seal import Seal, write_seal
from tracker.journal.segment import Appender
from tracker.settings.model import Collector, Journal, Tracker

A, B, C = "a" * 32, "b" * 32, "c" * 32
HOUR = 3600.0


def fill(data_dir: Path, stream: str, ages_h: list[float], *, sealed: bool = False, lines: int = 3) -> list[int]:
    """One segment of some lines for each age in hours, the oldest first; returns their ends."""
    folder = data_dir / "journal/streams" / stream
    ends, position, seq = [], 0, 0
    for age in ages_h:
        appender = Appender(folder, stream, position, 1 << 30, 1e9)
        content = b""
        for _ in range(lines):
            seq += 1
            content += encode_line(Event(id=f"{stream[0]}{seq}", stream=stream, seq=seq))
        appender.append(lambda start, end, at=position, all_=content: iter([memoryview(all_)[start - at : end - at]]),  # type: ignore[misc]
                        position + len(content))
        appender.sync()
        appender.close()
        os.utime(segment.data_path(folder, position), (0, time.time() - age * HOUR))
        position += len(content)
        ends.append(position)
    if sealed:
        seal(data_dir, stream, position, seq)
    return ends


def seal(data_dir: Path, stream: str, end: int, last_seq: int) -> None:
    write_seal(
        data_dir / "journal/streams" / stream,
        Seal(stream=stream, end=end, last_seq=last_seq, cause="retired", gap="none", sealed_at="2026-01-01T00:00:00.000Z"),
    )


def limits(max_bytes: int = 1 << 40, max_age_h: float = 1e6, **on_limit: Any) -> Tracker:
    return Tracker(
        journal=Journal(max_bytes=max_bytes, max_age_s=int(max_age_h * HOUR)),
        collectors={name: Collector(type="log", on_limit=policy) for name, policy in on_limit.items()},
    )


def left(data_dir: Path, stream: str) -> list[int]:
    return segment.offsets(data_dir / "journal/streams" / stream)


def passed(data_dir: Path, collector: str, **streams: int) -> None:
    own = cursor.load(data_dir, collector)
    own.streams |= {letter * 32: Position(offset, 0) for letter, offset in streams.items()}
    own.save()


def refusal(data_dir: Path) -> str:
    path = data_dir / "journal/refuse"
    return path.read_text() if path.exists() else ""


def test_an_empty_or_absent_journal_is_no_trouble(tmp_path: Path) -> None:
    """Nothing is made, nothing is removed."""
    assert retention.enforce(tmp_path, limits()) == retention.Outcome(0, 0, 0, "")
    assert list(tmp_path.iterdir()) == []


def test_within_the_limits_nothing_goes(tmp_path: Path) -> None:
    """However old the rest of the world is."""
    fill(tmp_path, A, [30, 20, 10])
    outcome = retention.enforce(tmp_path, limits(max_age_h=31))
    assert outcome.removed_segments == 0
    assert outcome.bytes == sum(path.stat().st_size for path in (tmp_path / "journal/streams" / A).iterdir())


def test_what_is_too_old_goes_with_its_index(tmp_path: Path) -> None:
    """By the last write, in every stream; the newest of a living stream stays however old."""
    ends = fill(tmp_path, A, [50, 40, 10, 5])
    fill(tmp_path, B, [90])
    assert retention.enforce(tmp_path, limits(max_age_h=24)).removed_segments == 2
    assert left(tmp_path, A) == ends[1:3]
    assert left(tmp_path, B) == [0]
    assert sorted(path.name for path in (tmp_path / "journal/streams" / A).glob("*.idx")) == [
        f"{offset:020d}.idx" for offset in ends[1:3]
    ]


def test_beyond_the_size_the_oldest_go_across_streams(tmp_path: Path) -> None:
    """Until the rest fits, and no further."""
    fill(tmp_path, A, [50, 30, 10])
    fill(tmp_path, B, [40, 20, 5])
    total = retention.enforce(tmp_path, limits()).bytes
    outcome = retention.enforce(tmp_path, limits(max_bytes=total - 1))
    assert (outcome.removed_segments, len(left(tmp_path, A)), len(left(tmp_path, B))) == (1, 2, 3)
    outcome = retention.enforce(tmp_path, limits(max_bytes=total // 2))
    assert (outcome.removed_segments, len(left(tmp_path, A)), len(left(tmp_path, B))) == (2, 1, 2)
    assert outcome.bytes <= total // 2
    outcome = retention.enforce(tmp_path, limits(max_bytes=1))
    assert (len(left(tmp_path, A)), len(left(tmp_path, B))) == (1, 1)


def test_a_stream_never_gets_a_hole(tmp_path: Path) -> None:
    """A segment that was written to again (an erasure) is kept, and so is everything behind it."""
    ends = fill(tmp_path, A, [50, 1, 40, 30])
    retention.enforce(tmp_path, limits(max_age_h=24))
    assert left(tmp_path, A) == ends[:3]


def test_a_lagging_collector_that_says_expire_is_told_the_range(tmp_path: Path) -> None:
    """What goes is what the reader then says has expired."""
    ends = fill(tmp_path, A, [50, 40, 1])
    passed(tmp_path, "log", a=ends[0])
    assert retention.enforce(tmp_path, limits(max_age_h=24, log="expire")).refusal == ""
    chunk = JournalReader(tmp_path).read(A, ends[0])
    assert (chunk.expired_bytes, chunk.offset, len(chunk.lines)) == (ends[1] - ends[0], ends[1], 3)


def test_a_lagging_collector_that_says_refuse_stops_the_hits_until_it_has_read(tmp_path: Path) -> None:
    """Its segments stay, the file says who and why, and goes when it has caught up."""
    ends = fill(tmp_path, A, [50, 40, 1])
    passed(tmp_path, "bank", a=ends[0] + 1)
    rules = limits(max_age_h=24, bank="refuse", log="expire")
    outcome = retention.enforce(tmp_path, rules)
    assert left(tmp_path, A) == ends[:2]
    assert "`bank`" in outcome.refusal
    assert "max_age_s" in refusal(tmp_path)
    retention.enforce(tmp_path, rules)
    assert refusal(tmp_path) == outcome.refusal + "\n"
    passed(tmp_path, "bank", a=ends[1])
    assert retention.enforce(tmp_path, rules).refusal == ""
    assert left(tmp_path, A) == ends[1:2]
    assert refusal(tmp_path) == ""


def test_under_a_refusal_the_size_limit_takes_nothing_younger_from_others(tmp_path: Path) -> None:
    """Otherwise the collectors that keep up would pay for the one that does not."""
    fill(tmp_path, A, [50, 1])
    fill(tmp_path, B, [40, 30, 1])
    outcome = retention.enforce(tmp_path, limits(max_bytes=1, bank="refuse"))
    assert outcome.removed_segments == 0
    assert "max_bytes" in outcome.refusal


def test_a_refusal_of_a_collector_that_is_gone_is_taken_back(tmp_path: Path) -> None:
    """Removed from the settings, or changed to expire: hits are taken again with the first pass."""
    fill(tmp_path, A, [50, 1])
    assert retention.enforce(tmp_path, limits(max_age_h=24, bank="refuse")).refusal
    assert retention.enforce(tmp_path, limits(max_age_h=24)).removed_segments == 1
    assert refusal(tmp_path) == ""


def test_a_sealed_stream_goes_whole_when_everybody_has_passed_it(tmp_path: Path) -> None:
    """First its segments; its seal stays as long as a collector may ask what it has missed."""
    ends = fill(tmp_path, A, [50, 40], sealed=True)
    passed(tmp_path, "log", a=ends[0])
    rules = limits(max_age_h=24, log="expire")
    outcome = retention.enforce(tmp_path, rules)
    assert (outcome.removed_segments, outcome.removed_streams) == (2, 0)
    chunk = JournalReader(tmp_path).read(A, ends[0])
    assert (chunk.lines, chunk.end, chunk.expired_bytes) == ([], ends[1], ends[1] - ends[0])
    passed(tmp_path, "log", a=ends[1])
    assert retention.enforce(tmp_path, rules).removed_streams == 1
    assert JournalReader(tmp_path).streams() == []
    assert not (tmp_path / "journal/removed").exists()


def test_a_sealed_stream_that_a_ring_still_names_stays(tmp_path: Path) -> None:
    """A claim died between sealing and minting: the next one looks for the seal."""
    ends = fill(tmp_path, A, [50], sealed=True)
    (tmp_path / "journal/slots/0").mkdir(parents=True)
    Ring.create(tmp_path / "journal/slots/0/ring", MIN_CAPACITY, bytes.fromhex(A), bytes(16)).close()
    assert retention.enforce(tmp_path, limits(max_age_h=24)).removed_segments == 1
    assert (tmp_path / "journal/streams" / A / "sealed.json").exists()
    shutil.rmtree(tmp_path / "journal/slots/0")
    assert retention.enforce(tmp_path, limits(max_age_h=24)).removed_streams == 1
    assert ends


def test_a_seal_that_cannot_be_read_protects_the_newest_segment(tmp_path: Path) -> None:
    """In doubt the stream counts as living."""
    fill(tmp_path, A, [50, 40])
    (tmp_path / "journal/streams" / A / "sealed.json").write_bytes(b"{torn")
    assert retention.enforce(tmp_path, limits(max_age_h=1)).removed_segments == 1
    assert len(left(tmp_path, A)) == 1


def test_files_of_others_stay(tmp_path: Path) -> None:
    """A note in a living stream's folder, a folder that is no stream."""
    fill(tmp_path, A, [50, 40])
    (tmp_path / "journal/streams" / A / "note.txt").write_text("mine")
    (tmp_path / "journal/streams/lost+found").mkdir()
    retention.enforce(tmp_path, limits(max_age_h=1))
    assert (tmp_path / "journal/streams" / A / "note.txt").exists()
    assert (tmp_path / "journal/streams/lost+found").exists()


def test_what_was_set_aside_has_the_same_age_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from when it was set aside."""
    fill(tmp_path, A, [1])
    folder = tmp_path / "journal/quarantine"
    folder.mkdir()
    (folder / "old").write_bytes(b"x")
    os.utime(folder / "old", (0, 0))
    retention.enforce(tmp_path, limits(max_age_h=24))
    assert (folder / "old").exists()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 25 * HOUR)
    retention.enforce(tmp_path, limits(max_age_h=24))
    assert not (folder / "old").exists()


def test_an_index_that_is_just_being_begun_stays(tmp_path: Path) -> None:
    """A new segment begins with its index; only indexes before an existing segment are left over."""
    ends = fill(tmp_path, A, [3, 2])
    folder = tmp_path / "journal/streams" / A
    segment.index_path(folder, ends[1]).write_bytes(b"begun")
    segment.data_path(folder, 0).unlink()
    retention.enforce(tmp_path, limits())
    assert sorted(path.name for path in folder.glob("*.idx")) == [f"{offset:020d}.idx" for offset in ends]


class Killed(BaseException):
    """The process is gone."""


def killing(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """From the ``at``-th call on, nothing that changes the disk is done any more."""
    count = [0]

    def mortal(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] >= at:
                raise Killed
            return real(*args, **kwargs)

        return call

    for name in ("unlink", "rename", "rmdir", "mkdir"):
        monkeypatch.setattr(os, name, mortal(getattr(os, name)))


def test_killed_at_any_call_the_next_pass_ends_where_an_undisturbed_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And in between no stream has a hole or an unread end."""
    for at in range(1, 40):
        data = tmp_path / str(at)
        ends = fill(data, A, [50, 40, 30, 1])
        fill(data, B, [60, 55], sealed=True)
        passed(data, "log", a=ends[-1], b=fill(tmp_path / "scale", B, [1, 1])[-1])
        rules = limits(max_age_h=24, log="expire")
        with monkeypatch.context() as patch:
            killing(patch, at)
            try:
                retention.enforce(data, rules)
                done = True
            except Killed:
                done = False
        assert left(data, A) in ([0, *ends[:3]], ends[:3], ends[1:3], ends[2:3])
        reader = JournalReader(data)
        for stream in reader.streams():
            chunk = reader.read(stream, reader.start(stream))
            assert chunk.damaged_bytes == 0
        retention.enforce(data, rules)
        assert left(data, A) == ends[2:3]
        assert sorted(os.listdir(data / "journal/streams")) == [A]
        assert not (data / "journal/removed").exists()
        if done:
            break
    else:
        raise AssertionError("it never came to its end")


SEGMENTS = st.lists(st.floats(0, 100), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ages=st.lists(st.tuples(SEGMENTS, st.booleans()), min_size=1, max_size=3),
    max_age_h=st.floats(1, 100),
    share=st.floats(0.01, 1.2),
    read=st.lists(st.integers(0, 6), min_size=3, max_size=3),
    refuse=st.booleans(),
)
def test_whatever_is_there_the_rules_hold(
    tmp_path_factory: pytest.TempPathFactory,
    ages: list[tuple[list[float], bool]],
    max_age_h: float,
    share: float,
    read: list[int],
    refuse: bool,
) -> None:
    """What stays is the end of each stream; both limits hold unless what cannot go, or must not, is beyond them."""
    data = tmp_path_factory.mktemp("journal")
    offsets, ends, written = {}, {}, {}
    for letter, (hours, sealed) in zip("abc", ages, strict=False):
        stream = letter * 32
        ends[stream] = fill(data, stream, hours, sealed=sealed, lines=1)
        offsets[stream] = left(data, stream)
        written[stream] = [-age for age in hours]
    places = {stream: [0, *ends[stream]][min(number, len(ends[stream]))] for stream, number in zip(ends, read, strict=False)}
    passed(data, "log", **{stream[0]: place for stream, place in places.items()})
    total = retention.enforce(data, limits()).bytes
    rules = limits(int(total * share) + 1, max_age_h, log="refuse" if refuse else "expire")
    outcome = retention.enforce(data, rules)
    blocked = False
    free = 0
    for letter, (_, sealed) in zip("abc", ages, strict=False):
        stream = letter * 32
        now = left(data, stream)
        assert now == offsets[stream][len(offsets[stream]) - len(now) :]
        if not sealed:
            assert now
        first = len(offsets[stream]) - len(now)
        if refuse:
            assert all(end <= places[stream] for end in ends[stream][:first])
        removable = len(now) if sealed else len(now) - 1
        held = refuse and removable > 0 and ends[stream][first] > places[stream]
        blocked |= held
        free += removable
        if removable > 0 and not held:
            assert written[stream][first] >= -max_age_h - 0.01
    if not outcome.refusal:
        assert outcome.bytes <= rules.journal.max_bytes or free == 0
    else:
        assert refuse
        assert blocked
    assert bool(refusal(data)) == bool(outcome.refusal)
    again = retention.enforce(data, rules)
    assert (again.removed_segments, bool(again.refusal)) == (0, bool(outcome.refusal))
