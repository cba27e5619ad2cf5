"""Delivery as a whole: loops that share nothing, one process a data folder, and what it says about itself."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tracker.capture.ring import MIN_CAPACITY
from tracker.delivery import registry, runner, status
from tracker.delivery.plugin import RetryLater
from tracker.delivery.runner import EXIT_LOCKED, Delivery, Locked
from tracker.delivery.testing import MemoryJournal, RecordingCollector
from tracker.event import Event, encode_line
from tracker.journal import cursor, recovery, slot
from tracker.settings.model import Collector, Journal, Routes, Settings, Tracker

A, B = "a" * 32, "b" * 32


def events(first: int, last: int, **fields: Any) -> list[Event]:
    return [Event(id=f"e{number}", event="impression", **fields) for number in range(first, last + 1)]


def wait_for(fact: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not fact() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert fact()


class Bench:
    """A delivery in a thread, with doubles for the journal and the collectors."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.journal = MemoryJournal()
        self.collectors: dict[str, RecordingCollector] = {}
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        self.thread: threading.Thread | None = None

    def settings(self, **fields: Any) -> Settings:
        collectors = {name: Collector(type="recording") for name in self.collectors}
        return Settings(
            tracker=Tracker(**{"data_dir": str(self.data_dir), "collectors": collectors, **fields}), routes=Routes(), version="x"
        )

    def build(self, name: str, settings: Collector, data_dir: Path) -> RecordingCollector:
        return self.collectors[name]

    def start(self, **fields: Any) -> None:
        self.stop.clear()

        def run() -> None:
            try:
                Delivery(self.settings(**fields), self.data_dir, lambda data_dir: self.journal).run(self.stop)
            except BaseException as error:
                self.errors.append(error)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def end(self) -> None:
        self.stop.set()
        assert self.thread
        self.thread.join(20)
        assert not self.thread.is_alive()

    def status(self, name: str) -> status.Status:
        return status.read(self.data_dir, name) or status.Status(collector=name, type="none yet")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    one = Bench(tmp_path)
    monkeypatch.setattr(registry, "build", one.build)
    monkeypatch.setattr(runner, "TELL_EVERY_S", 0.05)
    yield one
    one.stop.set()
    if one.thread:
        one.thread.join(20)


def test_a_collector_in_trouble_holds_no_other_one_back(bench: Bench) -> None:
    """One raises for ever, one hangs, one cannot be made: the fourth has everything at once, and each says how it is."""
    hanging = threading.Event()

    class Hanging(RecordingCollector):
        def deliver(self, batch: Any) -> Any:
            hanging.wait(20)
            return super().deliver(batch)

    class Unmakeable(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            if name == "odd":
                raise RuntimeError("bang")
            return super().__getitem__(name)

    bench.collectors = Unmakeable(good=RecordingCollector(), away=RecordingCollector(), hangs=Hanging(), odd=None)
    bench.collectors["away"].errors = [RetryLater("no route to host")] * 100_000
    then = datetime.now(UTC) - timedelta(hours=1)
    bench.journal.append(A, *events(1, 1200, received_at=then.isoformat(timespec="milliseconds").replace("+00:00", "Z")))
    bench.start()
    wait_for(lambda: len(bench.collectors["good"].ids) == 1200)
    wait_for(lambda: bench.status("away").state == "retrying" and bench.status("hangs").lag_seconds > 0)
    # Counts and lag are looked at one after the other: a status may be between the two, the next one is not.
    wait_for(lambda: (bench.status("good").delivered_events, bench.status("good").lag_bytes) == (1200, 0))
    wait_for(lambda: bench.status("good").lag_seconds == 0)
    assert bench.status("good").state == "running"
    assert bench.status("away").error == "RetryLater: no route to host"
    wait_for(lambda: bench.status("away").lag_bytes == bench.status("hangs").lag_bytes == bench.journal.end(A))
    assert 3600 <= bench.status("hangs").lag_seconds < 3700
    assert (bench.status("odd").state, bench.status("odd").error) == ("failed", "bang")
    bench.collectors["away"].errors.clear()
    wait_for(lambda: bench.status("away").delivered_events == 1200)
    hanging.set()
    wait_for(lambda: bench.status("hangs").delivered_events == 1200)
    bench.end()
    assert [bench.status(name).state for name in ("good", "away", "hangs")] == ["stopped"] * 3


def test_each_collector_reads_with_a_cursor_of_its_own(bench: Bench) -> None:
    """Added later, it gets all that is there, and the other one nothing twice."""
    bench.collectors = {"one": RecordingCollector()}
    bench.journal.append(A, *events(1, 10))
    bench.start()
    wait_for(lambda: len(bench.collectors["one"].ids) == 10)
    bench.end()
    bench.collectors["two"] = RecordingCollector()
    bench.start()
    wait_for(lambda: len(bench.collectors["two"].ids) == 10)
    bench.end()
    assert len(bench.collectors["one"].ids) == 10
    assert cursor.load(bench.data_dir, "one").streams == cursor.load(bench.data_dir, "two").streams


def test_no_collectors_is_a_quiet_delivery(bench: Bench) -> None:
    """It runs, holds the lock, and leaves."""
    bench.start()
    wait_for(lambda: (bench.data_dir / "cursors/lock").exists())
    bench.end()
    assert bench.errors == []


def test_the_second_delivery_says_who_is_there_and_leaves(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a while first, and delivers nothing."""
    monkeypatch.setattr(runner, "LOCK_PATIENCE_S", 0.2)
    bench.collectors = {"one": RecordingCollector()}
    bench.start()
    wait_for(lambda: "open" in bench.collectors["one"].calls)
    second = Delivery(bench.settings(), bench.data_dir, lambda data_dir: bench.journal)
    began = time.monotonic()
    with pytest.raises(Locked, match=rf"\(pid {os.getpid()}\) delivers from {bench.data_dir}"):
        second.run(threading.Event())
    assert time.monotonic() - began >= 0.2
    assert bench.collectors["one"].calls == ["open"]


def test_a_predecessor_on_its_way_out_is_waited_for(bench: Bench) -> None:
    """A restart does not fail because the old process needs a moment; a stop meanwhile is heard."""
    bench.collectors = {"one": RecordingCollector()}
    (bench.data_dir / "cursors").mkdir()
    with open(bench.data_dir / "cursors/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        bench.start()
        time.sleep(0.15)
        bench.end()
        assert bench.errors == []
        assert bench.collectors["one"].calls == []
        bench.start()
        time.sleep(0.15)
    wait_for(lambda: "open" in bench.collectors["one"].calls)
    bench.end()


def test_a_collector_that_hangs_does_not_keep_the_process(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are stopped in order; the lock stays with the process, for the hanging thread is still at work."""
    monkeypatch.setattr(runner, "LOCK_PATIENCE_S", 0.1)
    release = threading.Event()
    good, hangs = RecordingCollector(), RecordingCollector()
    monkeypatch.setattr(hangs, "deliver", lambda batch: release.wait(30))
    bench.collectors = {"good": good, "hangs": hangs}
    bench.journal.append(A, *events(1, 3))
    bench.start(graceful_timeout_s=1)
    wait_for(lambda: len(good.ids) == 3)
    began = time.monotonic()
    bench.end()
    assert time.monotonic() - began < 2
    assert good.calls[-1] == "close"
    assert cursor.load(bench.data_dir, "good").streams[A].seq == 3
    with pytest.raises(Locked):
        Delivery(bench.settings(), bench.data_dir, lambda data_dir: bench.journal).run(threading.Event())
    release.set()


def test_statuses_of_collectors_that_are_gone_are_removed(bench: Bench) -> None:
    """Nobody would bring them up to date; their dead letters and folders stay."""
    folder = bench.data_dir / "delivery"
    (folder / "old").mkdir(parents=True)
    (folder / "old/memory.json").write_text("{}")
    (folder / "old.json").write_text("{}")
    (folder / "old.dead.ndjson").write_text("{}\n")
    bench.collectors = {"one": RecordingCollector()}
    bench.start()
    wait_for(lambda: (folder / "one.json").exists())
    bench.end()
    assert sorted(path.name for path in folder.iterdir()) == ["old", "old.dead.ndjson", "one", "one.json"]
    assert (folder / "old/memory.json").exists()


def test_a_status_that_cannot_be_written_stops_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes the page, not the events."""
    bench.collectors = {"one": RecordingCollector()}

    def full(data_dir: Path, each: status.Status) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(status, "write", full)
    bench.journal.append(A, *events(1, 3))
    bench.start()
    wait_for(lambda: len(bench.collectors["one"].ids) == 3)
    bench.end()
    assert bench.errors == []


# --- with the real journal, and in processes of their own


def publish(held: slot.Slot, first: int, last: int) -> None:
    """What a writer does, without its thread."""
    for number in range(first, last + 1):
        line = encode_line(Event(id=f"e{number}", stream=held.ring.stream, seq=number, event="impression"))
        assert held.ring.publish(line)
    held.last_seq = last


def settings_of(data_dir: Path, **fields: Any) -> Settings:
    tracker = Tracker(data_dir=str(data_dir), collectors={"log": Collector(type="log")}, **fields)
    return Settings(tracker=tracker, routes=Routes(), version="x")


def logged(data_dir: Path) -> list[str]:
    path = data_dir / "log/events.ndjson"
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()] if path.exists() else []


def test_a_ring_that_nobody_holds_is_flushed_and_delivered(tmp_path: Path) -> None:
    """Its worker was killed with events that no flusher had seen: delivery brings them in itself."""
    settings = settings_of(tmp_path)
    held = slot.claim(tmp_path, settings.tracker, MIN_CAPACITY)
    publish(held, 1, 100)
    held.close()
    stop = threading.Event()
    thread = threading.Thread(target=Delivery(settings, tmp_path).run, args=(stop,), daemon=True)
    thread.start()
    wait_for(lambda: len(logged(tmp_path)) == 100)
    stop.set()
    thread.join(20)
    assert logged(tmp_path) == [f"e{number}" for number in range(1, 101)]


def test_the_limits_of_the_journal_are_enforced_from_the_start(tmp_path: Path) -> None:
    """A segment beyond the age limit goes with the first pass, and what it held is listed as lost."""
    settings = settings_of(tmp_path, journal=Journal(segment_bytes=65_536, max_age_s=3600))
    held = slot.claim(tmp_path, settings.tracker, 1 << 20)
    publish(held, 1, 2000)
    recovery.drain(held.ring, held.appender)
    stream = held.ring.stream
    held.release()
    segments = sorted((tmp_path / "journal/streams" / stream).glob("*.ndjson"))
    assert len(segments) > 1
    os.utime(segments[0], (0, 0))
    own = cursor.load(tmp_path, "log")
    own.streams = {stream: cursor.Position(0, 0)}
    own.save()
    stop = threading.Event()
    delivery = Delivery(settings, tmp_path)
    (tmp_path / "log").mkdir()
    (tmp_path / "log/events.ndjson").mkdir()  # the collector cannot begin before the first pass is over
    thread = threading.Thread(target=delivery.run, args=(stop,), daemon=True)
    thread.start()
    wait_for(lambda: not segments[0].exists())
    (tmp_path / "log/events.ndjson").rmdir()
    wait_for(lambda: logged(tmp_path)[-1:] == ["e2000"])
    stop.set()
    thread.join(20)
    ids = logged(tmp_path)
    assert ids == [f"e{number}" for number in range(2001 - len(ids), 2001)]
    (gap,) = [json.loads(line) for line in (tmp_path / "delivery/log.gaps.ndjson").read_bytes().splitlines()]
    assert (gap["start"], gap["end"], gap["expired_bytes"]) == (0, int(segments[1].stem), int(segments[1].stem))


PROCESS = """
import logging, sys
from pathlib import Path
from tracker.delivery import runner
from tracker.settings.model import Collector, Routes, Settings, Tracker
logging.basicConfig(level=logging.INFO)
runner.LOCK_PATIENCE_S = 0.3
tracker = Tracker(data_dir=sys.argv[1], collectors={"log": Collector(type="log")}, graceful_timeout_s=5)
sys.exit(runner.run_process(Settings(tracker=tracker, routes=Routes(), version="x")))
"""


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts deliverers of one data folder; none is left behind."""
    started = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path)], stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order(
    tmp_path: Path, spawn: Callable[[], subprocess.Popen[str]], number: signal.Signals
) -> None:
    """Exit code 0, everything durable delivered, the cursor at its end, no traceback; the next one goes on from there."""
    settings = settings_of(tmp_path)
    held = slot.claim(tmp_path, settings.tracker, 1 << 20)
    for first in (1, 1001):
        process = spawn()
        wait_for(lambda: status.read(tmp_path, "log") is not None)
        publish(held, first, first + 999)
        recovery.drain(held.ring, held.appender)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert "Traceback" not in said
        assert logged(tmp_path) == [f"e{n}" for n in range(1, first + 1000)]
        assert cursor.load(tmp_path, "log").streams[held.ring.stream].offset == held.ring.durable
        (tmp_path / "delivery/log.json").unlink()
    held.release()


def test_the_second_process_exits_with_its_own_code_and_a_sentence(
    tmp_path: Path, spawn: Callable[[], subprocess.Popen[str]]
) -> None:
    """75, and who is there; killed hard, the first one leaves no lock behind."""
    first = spawn()
    wait_for(lambda: status.read(tmp_path, "log") is not None)
    second = spawn()
    _, said = second.communicate(timeout=20)
    assert second.returncode == EXIT_LOCKED == 75
    assert f"another process (pid {first.pid}) delivers from {tmp_path}" in said
    first.kill()
    first.communicate()
    (tmp_path / "delivery/log.json").unlink()
    third = spawn()
    wait_for(lambda: status.read(tmp_path, "log") is not None)
    third.terminate()
    assert third.wait(20) == 0
