"""One collector's loop: what it delivers, in which order, and what it does when something does not work."""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tracker.delivery import loop as loop_module
from tracker.delivery.loop import BATCH_EVENTS, Loop
from tracker.delivery.plugin import Collector as CollectorPort
from tracker.delivery.plugin import RetryLater
from tracker.delivery.testing import MemoryJournal, RecordingCollector
from tracker.event import Event
from tracker.journal import cursor
from tracker.journal.cursor import Position
from tracker.settings.model import Collector

A, B, C = "a" * 32, "b" * 32, "c" * 32


def events(first: int, last: int, **fields: Any) -> list[Event]:
    return [Event(id=f"e{number}", event="impression", **fields) for number in range(first, last + 1)]


def names(first: int, last: int) -> list[str]:
    return [f"e{number}" for number in range(first, last + 1)]


class Bench:
    """A loop with its doubles."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.journal = MemoryJournal()
        self.collector = RecordingCollector()
        self.settings = Collector(type="recording")
        self.loops: list[tuple[threading.Event, threading.Thread]] = []

    def loop(self) -> Loop:
        port: CollectorPort = self.collector
        return Loop("test", self.settings, port, self.journal, self.data_dir)

    def drain(self) -> Loop:
        """A loop that is told to stop before it starts delivers what is there and leaves."""
        one = self.loop()
        stop = threading.Event()
        stop.set()
        one.run(stop, 10.0)
        assert one.status.state == "stopped"
        return one

    def start(self) -> tuple[Loop, Callable[[], None]]:
        """A loop in a thread, and what stops it."""
        one, stop = self.loop(), threading.Event()
        thread = threading.Thread(target=one.run, args=(stop, 5.0), daemon=True)
        thread.start()
        self.loops.append((stop, thread))

        def end() -> None:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()

        return one, end

    def rows(self, kind: str) -> list[dict[str, Any]]:
        path = self.data_dir / "delivery" / f"test.{kind}.ndjson"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def place(self, stream: str = A) -> Position:
        return cursor.load(self.data_dir, "test").streams[stream]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(loop_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(loop_module, "LONGEST_PAUSE_S", 0.01)
    one = Bench(tmp_path)
    yield one
    for stop, thread in one.loops:
        stop.set()
        thread.join(10)


def wait_for(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not fact() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert fact()


# --- what is delivered


def test_everything_is_delivered_in_order_and_once(bench: Bench) -> None:
    """Also across restarts, with the journal growing in between."""
    bench.journal.append(A, *events(1, 1234))
    bench.drain()
    bench.journal.append(A, *events(1235, 1300))
    bench.drain()
    bench.drain()
    assert bench.collector.ids == names(1, 1300)
    assert bench.place() == Position(bench.journal.end(A), 1300)


def test_a_line_arrives_as_it_stands_in_the_journal(bench: Bench) -> None:
    """Decoded, and beside it the very bytes."""
    line = b'{"id":"e1","stream":"%s","seq":1,"event":"x","unknown":[1]}    \n' % A.encode()
    bench.journal.append_bytes(A, line)
    bench.drain()
    ((item,),) = bench.collector.batches
    assert item.line == line
    assert (item.event.id, item.event.event, item.event.seq) == ("e1", "x", 1)


def test_batches_are_bounded_in_events_and_bytes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line past the byte limit still belongs to the batch, so a huge line is delivered alone or last."""
    bench.journal.append(A, *events(1, BATCH_EVENTS * 2 + 1))
    bench.drain()
    assert [len(batch) for batch in bench.collector.batches] == [BATCH_EVENTS, BATCH_EVENTS, 1]
    monkeypatch.setattr(loop_module, "BATCH_BYTES", 1000)
    bench.collector.batches.clear()
    bench.journal.append(A, *events(1, 3, properties={"pad": "x" * 600}))
    bench.drain()
    assert [len(batch) for batch in bench.collector.batches] == [2, 1]


def test_streams_take_turns(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long backlog of one stream keeps no other one waiting; within each the order holds."""
    monkeypatch.setattr(loop_module, "CHUNK_BYTES", 1000)
    bench.journal.append(A, *events(1, 200))
    bench.journal.append(B, *events(1001, 1003))
    bench.drain()
    ids = bench.collector.ids
    assert ids.index("e1003") < 30
    assert [name for name in ids if len(name) < 5] == names(1, 200)
    assert [name for name in ids if len(name) == 5] == names(1001, 1003)


def test_small_streams_share_a_batch(bench: Bench) -> None:
    """Many rings with a trickle each do not mean many calls."""
    for letter in "abcdef":
        bench.journal.append(letter * 32, *events(1, 3))
    bench.drain()
    assert [len(batch) for batch in bench.collector.batches] == [18]


@pytest.mark.parametrize(
    ("globs", "lanes", "wanted"),
    [
        (("*",), ("good",), ["click", "video.start", "video.end", "a*b"]),
        (("*",), ("good", "bad"), ["click", "video.start", "video.end", "broken", "a*b"]),
        (("*",), ("bad",), ["broken"]),
        (("video.*",), ("good",), ["video.start", "video.end"]),
        (("*.end", "click"), ("good",), ["click", "video.end"]),
        (("clic", "click?", "[c]lick", "Click"), ("good",), []),
        (("a*b",), ("good",), ["a*b"]),
        ((), ("good",), []),
    ],
)
def test_a_collector_gets_what_it_asked_for(
    bench: Bench, globs: tuple[str, ...], lanes: Any, wanted: list[str]
) -> None:
    """By name, where `*` is any run of characters and nothing else is special, and by lane."""
    for name in ("click", "video.start", "video.end", "broken", "a*b"):
        bench.journal.append(A, Event(id=name, event=name, lane="bad" if name == "broken" else "good"))
    bench.settings = Collector(type="recording", events=globs, lanes=lanes)
    bench.drain()
    assert bench.collector.ids == wanted
    assert bench.place() == Position(bench.journal.end(A), 5)


def test_names_made_up_by_clients_fill_no_memory(bench: Bench) -> None:
    """Ten thousand different names go through one by one."""
    bench.journal.append(A, *(Event(id=f"e{n}", event=f"n{n}") for n in range(10_000)))
    bench.settings = Collector(type="recording", events=("n*9",))
    bench.drain()
    assert len(bench.collector.ids) == 1000


def test_what_arrives_later_is_delivered_within_moments(bench: Bench) -> None:
    """A running loop finds new events and new streams by itself."""
    _, end = bench.start()
    wait_for(lambda: "open" in bench.collector.calls)
    for number in range(1, 6):
        bench.journal.append(A if number % 2 else B, *events(number, number))
        wait_for(lambda n=number: f"e{n}" in bench.collector.ids)  # type: ignore[misc]
    end()
    assert bench.collector.ids == names(1, 5)


# --- trouble


@pytest.mark.parametrize(
    "error", [RetryLater("away"), RuntimeError("bug"), OSError(5, "EIO"), SystemExit(3), RecursionError()], ids=repr
)
def test_whatever_is_raised_the_same_batch_comes_again(
    bench: Bench, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is skipped, and many failures are one warning and one line when it is over."""
    caplog.set_level(logging.INFO, "tracker")
    bench.journal.append(A, *events(1, 700))
    bench.collector.errors = [error] * 20
    loop, end = bench.start()
    wait_for(lambda: len(bench.collector.ids) == 700)
    end()
    assert bench.collector.ids == names(1, 700)
    assert loop.status.retries == 20
    assert loop.status.error.startswith(type(error).__name__)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_no_position_is_saved_before_its_event_is_delivered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that is away for long: the cursor stays where it was, also when it is saved in the meantime."""
    monkeypatch.setattr(loop_module, "COMMIT_EVERY_S", 0.0)
    bench.journal.append(A, *events(1, 1))
    bench.drain()
    before = bench.place()
    bench.journal.append(A, *events(2, 900))
    bench.collector.errors = [RetryLater("away")] * 1_000_000
    loop, end = bench.start()
    wait_for(lambda: loop.status.retries > 5)
    assert loop.status.state == "retrying"
    end()
    assert bench.place() == before
    bench.collector.errors = []
    bench.drain()
    assert bench.collector.ids == names(1, 900)


def test_a_stop_in_trouble_is_quick_and_in_order(bench: Bench) -> None:
    """However long the pause: told to stop, the loop leaves and closes the collector once."""
    bench.journal.append(A, *events(1, 5))
    bench.collector.errors = [RetryLater("away")] * 1_000_000
    loop, end = bench.start()
    wait_for(lambda: loop.status.state == "retrying")
    began = time.monotonic()
    end()
    assert time.monotonic() - began < 1
    assert bench.collector.calls.count("close") == 1


def test_a_collector_that_cannot_be_opened_is_tried_until_it_can(bench: Bench) -> None:
    """Then everything is delivered; it is opened and closed once more than it failed."""
    bench.collector.open_errors = [RetryLater("away"), RuntimeError("bug"), SystemExit(1)]
    bench.journal.append(A, *events(1, 5))
    _, end = bench.start()
    wait_for(lambda: len(bench.collector.ids) == 5)
    end()
    assert bench.collector.calls == ["open"] * 4 + ["deliver", "close"]


def test_an_answer_that_is_none_is_a_failure_not_a_delivery(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that forgets its return value is told so, and loses nothing."""
    bench.journal.append(A, *events(1, 3))
    real = bench.collector.deliver
    monkeypatch.setattr(bench.collector, "deliver", lambda batch: None)
    loop, end = bench.start()
    wait_for(lambda: loop.status.retries > 2)
    assert "NoneType" in loop.status.error
    monkeypatch.setattr(bench.collector, "deliver", real)
    wait_for(lambda: len(bench.collector.ids) == 3)
    end()


def test_a_stream_that_cannot_be_read_keeps_no_other_one_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad block under one stream: the others go on, and it goes on when the disk gives it."""
    bench.journal.append(A, *events(1, 3))
    bench.journal.append(B, *events(11, 13))
    real, bad = bench.journal.read, [True]

    def read(stream: str, offset: int, max_bytes: int = 0) -> Any:
        if stream == A and bad[0] and max_bytes > 1:
            raise OSError(5, "Input/output error")
        return real(stream, offset, max_bytes)

    monkeypatch.setattr(bench.journal, "read", read)
    loop, end = bench.start()
    wait_for(lambda: bench.collector.ids == names(11, 13))
    assert "Input/output error" in loop.status.error
    bad[0] = False
    wait_for(lambda: bench.collector.ids == names(11, 13) + names(1, 3))
    end()


def test_pauses_grow_from_a_tenth_of_a_second_to_half_a_minute() -> None:
    """Jittered by half, and never beyond."""
    loop_module_pause = loop_module._pause
    for tries, most in [(0, 0.1), (1, 0.2), (5, 3.2), (9, 30.0), (100_000, 30.0)]:
        pauses = [loop_module_pause(tries) for _ in range(200)]
        assert most / 2 <= min(pauses) <= max(pauses) <= most
        assert max(pauses) - min(pauses) > most / 5


# --- losses


def test_a_rejected_event_is_a_dead_letter_with_its_place(bench: Bench) -> None:
    """The event stands there whole, the others are delivered, and the cursor goes on."""
    bench.journal.append(A, *events(1, 5, dimensions={"campaign": "c1"}))
    bench.collector.rejects = {"e2": "too large", "e4": "no such topic", "stranger": "?"}
    loop = bench.drain()
    assert bench.collector.ids == ["e1", "e3", "e5"]
    rows = bench.rows("dead")
    assert [(row["id"], row["seq"], row["reason"]) for row in rows] == [("e2", 2, "too large"), ("e4", 4, "no such topic")]
    for row in rows:
        assert row["event"]["dimensions"] == {"campaign": "c1"}
        assert bench.journal.content[A][row["offset"] :].startswith(b'{"id":"%s"' % row["id"].encode())
    assert (loop.status.delivered_events, loop.status.rejected) == (3, 2)
    assert bench.place().seq == 5


@pytest.mark.parametrize(
    "line", [b"\n", b"{\n", b"[]\n", b"{}\n", b'{"id":1}\n', b"\xff\xfe\n", b"[" * 50_000 + b"\n", b"\0" * 99 + b"\n"], ids=len
)
def test_a_line_that_is_no_event_is_set_down_and_passed(bench: Bench, line: bytes) -> None:
    """Byte by byte in base64, with its place; what is around it is delivered."""
    bench.journal.append(A, *events(1, 2))
    offset = bench.journal.end(A)
    bench.journal.append_bytes(A, line)
    bench.journal.append(A, *events(3, 4))
    loop = bench.drain()
    assert bench.collector.ids == names(1, 4)
    (row,) = bench.rows("dead")
    assert base64.b64decode(row["line"]) == line
    assert (row["stream"], row["offset"]) == (A, offset)
    assert row["reason"].startswith("not an event: ")
    assert loop.status.unreadable == 1
    assert bench.place() == Position(bench.journal.end(A), 4)


def test_many_unreadable_lines_are_one_log_line(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Each is in the file; the log says it once a minute."""
    for _ in range(50):
        bench.journal.append_bytes(A, b"junk\n")
    bench.drain()
    assert len(bench.rows("dead")) == 50
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def test_what_expired_before_it_was_delivered_is_listed(bench: Bench) -> None:
    """The range, its bytes and the last seq before it."""
    bench.journal.append(A, *events(1, 3))
    bench.drain()
    at = bench.journal.end(A)
    bench.journal.append(A, *events(4, 9))
    bench.journal.starts[A] = bench.journal.content[A].index(b'{"id":"e7"')
    loop = bench.drain()
    assert bench.collector.ids == names(1, 3) + names(7, 9)
    (row,) = bench.rows("gaps")
    lost = bench.journal.starts[A] - at
    assert (row["start"], row["end"], row["after_seq"], row["expired_bytes"]) == (at, at + lost, 3, lost)
    assert (loop.status.expired_bytes, loop.status.missing_seqs) == (lost, 0)


def test_what_is_damaged_is_listed_and_the_rest_delivered(bench: Bench) -> None:
    """At the beginning, in the middle and at the end."""
    bench.journal.append(A, *events(1, 9))
    places = [bench.journal.content[A].index(b'{"id":"e%d"' % number) for number in range(1, 10)] + [bench.journal.end(A)]
    bench.journal.damaged[A] = [(places[0], places[1]), (places[3], places[5]), (places[8], places[9])]
    loop = bench.drain()
    assert bench.collector.ids == ["e2", "e3", "e6", "e7", "e8"]
    assert [(row["start"], row["end"]) for row in bench.rows("gaps")] == bench.journal.damaged[A]
    assert loop.status.damaged_bytes == sum(end - start for start, end in bench.journal.damaged[A])


def test_a_hole_in_the_numbers_is_said(bench: Bench) -> None:
    """Two sound lines that do not follow each other: a loss that no range tells of."""
    bench.journal.append(A, *events(1, 2))
    bench.journal._seqs[A] = 5
    bench.journal.append(A, *events(6, 7))
    loop = bench.drain()
    assert bench.collector.ids == ["e1", "e2", "e6", "e7"]
    (row,) = bench.rows("gaps")
    assert (row["after_seq"], row["before_seq"]) == (2, 6)
    assert loop.status.missing_seqs == 3


def test_a_new_collector_misses_nothing_of_what_was_before_it(bench: Bench) -> None:
    """It begins with the oldest that is there; what had expired by then is no gap of its own."""
    bench.journal.append(A, *events(1, 9))
    bench.journal.starts[A] = bench.journal.content[A].index(b'{"id":"e7"')
    bench.journal.append(B, *events(11, 13))
    bench.journal.starts[B] = bench.journal.end(B)
    bench.drain()
    assert bench.collector.ids == names(7, 9)
    assert bench.rows("gaps") == []
    bench.journal.append(C, *events(21, 29))
    bench.journal.starts[C] = bench.journal.content[C].index(b'{"id":"e25"')
    bench.drain()
    assert bench.collector.ids == names(7, 9) + names(25, 29)
    assert [row["stream"] for row in bench.rows("gaps")] == [C]


def test_losses_stand_in_the_file_before_the_cursor_passes_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the loop waits with the dead letter, and the cursor with it."""
    bench.journal.append(A, *events(1, 3))
    bench.collector.rejects = {"e2": "no"}
    full = [True]
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        if full[0]:
            raise OSError(28, "No space left on device")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    loop, end = bench.start()
    wait_for(lambda: loop.status.retries > 3)
    assert loop.cursor.streams[A] == Position(0, 0)
    full[0] = False
    wait_for(lambda: loop.cursor.streams[A].seq == 3)
    end()
    assert [row["id"] for row in bench.rows("dead")] == ["e2"]
    assert bench.collector.ids == ["e1", "e3"]


# --- the cursor


def test_a_cursor_that_cannot_be_used_is_set_aside_and_delivery_begins_at_the_oldest(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Never a crash loop: everything comes again, the collector's own memory has to know."""
    bench.journal.append(A, *events(1, 3))
    bench.drain()
    path = bench.data_dir / "cursors/test.json"
    path.write_bytes(path.read_bytes()[:20])
    loop = bench.drain()
    assert bench.collector.ids == names(1, 3) * 2
    assert loop.status.cursors_set_aside == 1
    assert (bench.data_dir / "cursors/test.json.bad-1").exists()
    assert "test.json.bad-1" in caplog.text


def test_a_cursor_that_cannot_be_saved_does_not_stop_delivery(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and saved as soon as it can be."""
    monkeypatch.setattr(loop_module, "COMMIT_EVERY_S", 0.001)
    full = [True]
    real = cursor.Cursor.save

    def save(self: cursor.Cursor) -> None:
        if full[0]:
            raise OSError(28, "No space left on device")
        real(self)

    monkeypatch.setattr(cursor.Cursor, "save", save)
    _, end = bench.start()
    for number in range(1, 6):
        bench.journal.append(A, *events(number, number))
        wait_for(lambda n=number: f"e{n}" in bench.collector.ids)  # type: ignore[misc]
    full[0] = False
    end()
    assert bench.place().seq == 5
    assert caplog.text.count("cannot be saved") == 1


def test_the_cursor_is_saved_once_a_second_at_the_most(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand events in twenty batches and a stop: the first save and the last."""
    saves: list[float] = []
    real = cursor.Cursor.save
    monkeypatch.setattr(cursor.Cursor, "save", lambda self: (saves.append(time.monotonic()), real(self))[1])
    bench.journal.append(A, *events(1, 10_000))
    bench.drain()
    assert len(saves) <= 3
    assert bench.place().seq == 10_000


def test_a_sealed_stream_keeps_its_place_until_it_is_gone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read to its end it is not read again; removed by retention, it leaves the cursor after a while, not at once."""
    bench.journal.append(A, *events(1, 3))
    bench.journal.append(B, *events(4, 6))
    bench.journal.seal(A)
    loop, end = bench.start()
    wait_for(lambda: len(bench.collector.ids) == 6 and A in loop._finished)
    real, asked = bench.journal.read, []
    monkeypatch.setattr(bench.journal, "read", lambda stream, *rest: (asked.append(stream), real(stream, *rest))[1])
    wait_for(lambda: asked.count(B) > 2)
    assert A not in asked
    bench.journal.remove(A)
    rounds = len(asked)
    wait_for(lambda: len(asked) > rounds + 2)
    assert A in loop.cursor.streams
    monkeypatch.setattr(loop_module, "FORGET_AFTER_S", 0.0)
    wait_for(lambda: A not in loop.cursor.streams)
    end()
    assert list(cursor.load(bench.data_dir, "test").streams) == [B]


# --- stopping


def test_a_stop_drains_what_is_durable_and_not_what_comes_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that grows as fast as it is read does not keep a loop from leaving."""
    monkeypatch.setattr(loop_module, "CHUNK_BYTES", 1000)
    bench.journal.append(A, *events(1, 200))
    real = bench.journal.read
    count = [200]

    def read(stream: str, offset: int, max_bytes: int = 0) -> Any:
        bench.journal.append(A, *events(count[0] + 1, count[0] + 50))
        count[0] += 50
        return real(stream, offset, max_bytes)

    monkeypatch.setattr(bench.journal, "read", read)
    began = time.monotonic()
    bench.drain()
    assert time.monotonic() - began < 5
    assert 200 <= len(bench.collector.ids) < count[0]
    assert bench.collector.ids == names(1, len(bench.collector.ids))


def test_a_stop_takes_no_longer_than_its_grace(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow collector and a long backlog: what is left waits for the next start, and comes then."""
    monkeypatch.setattr(loop_module, "BATCH_EVENTS", 1)
    monkeypatch.setattr(loop_module, "CHUNK_BYTES", 100)
    bench.journal.append(A, *events(1, 1000))
    real = bench.collector.deliver
    monkeypatch.setattr(bench.collector, "deliver", lambda batch: (time.sleep(0.02), real(batch))[1])
    loop, stop = bench.loop(), threading.Event()
    stop.set()
    began = time.monotonic()
    loop.run(stop, 0.3)
    assert time.monotonic() - began < 1
    done = len(bench.collector.ids)
    assert 0 < done < 100
    assert bench.place().seq == done
    monkeypatch.setattr(bench.collector, "deliver", real)
    bench.drain()
    assert bench.collector.ids == names(1, 1000)
