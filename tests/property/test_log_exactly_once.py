"""The log has each event exactly once, whatever call to the system the process dies in.

A death is simulated where it is the same thing as a real one: a stand-in for ``os`` counts the calls that change the
disk, does the fatal one not at all or by half (a write), and refuses everything after it. What is on the disk then is
what a kill -9 leaves.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tracker import disk
from tracker.delivery import losses, rotation
from tracker.delivery.collectors import log as log_module
from tracker.delivery.collectors.log import LogCollector, LogOptions
from tracker.delivery.loop import Loop
from tracker.delivery.plugin import Item, Place, RetryLater
from tracker.delivery.testing import MemoryJournal
from tracker.event import Event, encode_line
from tracker.journal import cursor
from tracker.settings.model import Collector

STREAMS = tuple(letter * 32 for letter in "abc")
How = Literal["before", "half"]
"""Dying after a call is dying before the next one."""
HOWS: tuple[How, ...] = ("before", "half")


class Killed(BaseException):
    """The process is gone."""


class MortalOs:
    """Stands in for ``os``: dies in the ``die_at``-th call that changes the disk; fails in those of ``fail_at``.

    With ``half`` only writes are counted.
    """

    CHANGES = ("write", "pwrite", "ftruncate", "truncate", "rename", "unlink", "fsync", "fdatasync", "utime", "mkdir")

    def __init__(
        self, die_at: int = 0, how: How = "before", fail_at: frozenset[int] = frozenset(), save_every_s: float = 1e9
    ) -> None:
        self.calls = 0
        self.save_every_s = save_every_s
        """How often the log saves its memory between rotations: at 0 there are more calls to die in, at 1e9 more to know
        from the files."""
        self.dead = False
        self._die_at, self._how, self._fail_at = die_at, how, fail_at
        self._open: set[int] = set()
        self.synced: dict[int, int] = {}
        """What a power cut leaves: size by inode at the last sync."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.CHANGES:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._change(name, real, args, kwargs)

        return call

    def _change(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.dead:
            raise Killed
        if name in ("fsync", "fdatasync"):
            real = self._note_sync  # a kill takes nothing out of the page cache: no need to wait for the disk
        half = self._how == "half" and name in ("write", "pwrite")
        if self._how == "half" and not half:
            return real(*args, **kwargs)
        self.calls += 1
        if self.calls in self._fail_at:
            if name in ("write", "pwrite"):
                real(args[0], bytes(args[1])[: len(args[1]) // 2], *args[2:])
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.calls != self._die_at:
            return real(*args, **kwargs)
        self.dead = True
        if half:
            real(args[0], bytes(args[1])[: len(args[1]) // 2], *args[2:])
        raise Killed

    def _note_sync(self, fd: int) -> None:
        status = os.fstat(fd)
        self.synced[status.st_ino] = status.st_size

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_CREAT | os.O_TRUNC):
            fd: int = self._change("open", os.open, (path, flags, mode), {})
        else:
            fd = os.open(path, flags, mode)
        self._open.add(fd)
        return fd

    def close(self, fd: int) -> None:
        if not self.dead:  # else the kernel does it: see ``bury``
            self._open.discard(fd)
            os.close(fd)

    def bury(self) -> None:
        """What the kernel does with the descriptors of the dead."""
        for fd in self._open:
            try:
                os.close(fd)
            except OSError:
                pass
        self._open.clear()


def cut_power(folder: Path, synced: dict[int, int]) -> None:
    """Take from the files what no sync had covered."""
    for path in folder.iterdir():
        kept = synced.get(path.stat().st_ino, 0)
        if path.stat().st_size > kept:
            os.truncate(path, kept)


@contextmanager
def running_on(mortal: MortalOs) -> Iterator[None]:
    """Everything between the loop and the disk goes through ``mortal``; rotation's thread does its work at once."""

    def tidy_now(self: rotation.Rotation) -> None:
        self.tidy(self.files())

    with pytest.MonkeyPatch.context() as patch:
        for module in (disk, log_module, rotation, losses, cursor):
            patch.setattr(module, "os", mortal)
        patch.setattr(rotation.Rotation, "tidy_soon", tidy_now)
        patch.setattr(log_module, "SAVE_EVERY_S", mortal.save_every_s)
        try:
            yield
        finally:
            mortal.bury()


def events(stream: str, first: int, last: int) -> list[Item]:
    items = []
    for seq in range(first, last + 1):
        event = Event(id=f"{stream[0]}{seq}", stream=stream, seq=seq, event="e", dimensions={"n": "x" * (seq % 7 * 20)})
        items.append(Item(event, encode_line(event)))
    return items


def lines(folder: Path) -> dict[str, list[int]]:
    """Seqs by stream over all files in order; every line whole, except a torn last one of the live file."""
    found: dict[str, list[int]] = {}
    rotated = sorted(
        (path for path in folder.glob("events-*") if path.suffix != ".new"),
        key=lambda path: (path.name.split(".")[0].rsplit("-", 1)[0], int(path.name.split(".")[0].rsplit("-", 1)[1])),
    )
    moved = sorted(folder.glob("moved-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in [*rotated, *moved, folder / "events.ndjson"]:
        if not path.exists() or path.with_name(path.name + ".gz").exists():
            continue  # x and x.gz: the second is whole, the first about to go
        with rotation.opened(path) as file:
            content = file.read()
        if path.name != "events.ndjson" and path not in moved:
            assert content.endswith(b"\n")
        for line in content.splitlines(keepends=True):
            if line.endswith(b"\n"):
                event = json.loads(line)
                found.setdefault(event["stream"], []).append(event["seq"])
    return found


def collector(data_dir: Path, **options: Any) -> LogCollector:
    state = data_dir / "delivery" / "log"
    state.mkdir(parents=True, exist_ok=True)
    return LogCollector(msgspec.convert(options, LogOptions), Place("log", data_dir, state))


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "packing": {"rotate_bytes": 600, "compress": "gzip"},
    "synced": {"rotate_bytes": 600, "fsync": "commit"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("how", HOWS)
def test_a_loop_killed_in_any_call_logs_each_event_once(
    tmp_path_factory: pytest.TempPathFactory, how: How, options: dict[str, Any]
) -> None:
    """Loop, cursor and log together: killed in call 1, 2, 3 ... of a delivery, then started again undisturbed."""
    die_at, survived = 0, False
    while not survived:
        die_at += 1
        data = tmp_path_factory.mktemp("kill")
        journal = MemoryJournal()
        for stream in STREAMS[:2]:
            journal.append(stream, *(item.event for item in events(stream, 1, 3)))
        # What had been delivered before: a memory and a cursor are there.
        _drain(data, journal, MortalOs(), options)
        for stream in STREAMS:
            journal.append(stream, *(item.event for item in events(stream, 4, 8)))
        mortal = MortalOs(die_at, how, save_every_s=0.0 if options else 1e9)
        survived = _drain(data, journal, mortal, options)
        _drain(data, journal, MortalOs(), options)
        want = {stream: list(range(1, 9)) for stream in STREAMS[:2]} | {STREAMS[2]: list(range(1, 6))}
        assert lines(data / "log") == want, f"killed in call {die_at}"
    assert die_at > 5


def test_a_power_cut_in_any_call_costs_a_synced_log_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With ``fsync: commit`` what was not synced had not counted as delivered, and comes again."""
    die_at, survived = 0, False
    while not survived:
        die_at += 1
        data = tmp_path_factory.mktemp("cut")
        journal = MemoryJournal()
        journal.append(STREAMS[0], *(item.event for item in events(STREAMS[0], 1, 3)))
        first, mortal = MortalOs(), MortalOs(die_at)
        _drain(data, journal, first, OPTIONS["synced"])
        for stream in STREAMS[:2]:
            journal.append(stream, *(item.event for item in events(stream, 4, 8)))
        survived = _drain(data, journal, mortal, OPTIONS["synced"])
        cut_power(data / "log", first.synced | mortal.synced)
        _drain(data, journal, MortalOs(), OPTIONS["synced"])
        assert lines(data / "log") == {STREAMS[0]: list(range(1, 9)), STREAMS[1]: list(range(1, 6))}, f"cut in {die_at}"
    assert die_at > 5


def _drain(data: Path, journal: MemoryJournal, mortal: MortalOs, options: dict[str, Any]) -> bool:
    """Deliver all there is, in small batches, the cursor saved after each; whether it survived."""
    stop = threading.Event()
    stop.set()
    with running_on(mortal), pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracker.delivery.loop.BATCH_EVENTS", 5)
        patch.setattr("tracker.delivery.loop.COMMIT_EVERY_S", 0.0)
        try:
            Loop("log", Collector(type="log"), collector(data, **options), journal, data).run(stop, 60.0)
        except Killed:
            return False
    return not mortal.dead


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_disk_that_fails_in_any_call_costs_nothing(
    tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any]
) -> None:
    """No space in call 1, 2, 3 ..., and in the two after it: the batch comes again until it is written."""
    fail_at, done = 0, False
    while not done:
        fail_at += 1
        data = tmp_path_factory.mktemp("full")
        mortal = MortalOs(fail_at=frozenset({fail_at, fail_at + 1, fail_at + 2}))
        with running_on(mortal):
            one = collector(data, **options)
            _insist(one.open)
            for first in (1, 5):
                for stream in STREAMS[:2]:
                    _insist(partial(one.deliver, events(stream, first, first + 3)))
            one.close()
            done = mortal.calls < fail_at
        assert lines(data / "log") == {stream: list(range(1, 9)) for stream in STREAMS[:2]}, f"full in call {fail_at}"
    assert fail_at > 5


def _insist(action: Callable[[], object]) -> None:
    for _ in range(10):
        try:
            action()
            return
        except RetryLater:
            pass
    raise AssertionError("it never works")


class LogMachine(RuleBasedStateMachine):
    """Against a list: deliver, deliver again, be killed anywhere, fail, be moved away, start with other options."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.data = Path(self._folder.name)
        self.sent = dict.fromkeys(STREAMS, 0)  # seqs that were handed to ``deliver``
        self.acked = dict.fromkeys(STREAMS, 0)  # and came back from it
        self.moves = 0
        self.options: dict[str, Any] = {}
        self.synced: dict[int, int] = {}

    @initialize(options=st.sampled_from(list(OPTIONS.values())))
    def choose(self, options: dict[str, Any]) -> None:
        self.options = options

    def _process(self, mortal: MortalOs, batches: Sequence[dict[str, tuple[int, int]]], *, ordered_end: bool) -> None:
        """One life of the collector's process."""
        mortal.synced = self.synced
        with running_on(mortal):
            one = collector(self.data, **self.options)
            try:
                _insist(one.open)
                for batch in batches:
                    items = []
                    for stream, (first, last) in batch.items():
                        items += events(stream, first, last)
                        self.sent[stream] = max(self.sent[stream], last)
                    _insist(partial(one.deliver, items))
                    for stream, (_, last) in batch.items():
                        self.acked[stream] = max(self.acked[stream], last)
                if ordered_end:
                    one.close()
            except Killed:
                pass

    def _batches(self, data: st.DataObject, count: int) -> list[dict[str, tuple[int, int]]]:
        """Batches as a runner would send them: from somewhere before the end on, never leaving anything out."""
        at = {stream: data.draw(st.integers(max(0, done - 6), done)) for stream, done in self.acked.items()}
        batches = []
        for _ in range(count):
            batch = {}
            for stream in data.draw(st.lists(st.sampled_from(STREAMS), unique=True, min_size=1)):
                last = at[stream] + data.draw(st.integers(1, 5))
                batch[stream] = (at[stream] + 1, last)
                at[stream] = last
            batches.append(batch)
        return batches

    @rule(data=st.data(), count=st.integers(0, 4))
    def live(self, data: st.DataObject, count: int) -> None:
        """A life without trouble."""
        self._process(MortalOs(), self._batches(data, count), ordered_end=True)

    @rule(
        data=st.data(), count=st.integers(1, 4), die_at=st.integers(1, 40), how=st.sampled_from(HOWS),
        save_every_s=st.sampled_from([0.0, 1e9]),
    )
    def die(self, data: st.DataObject, count: int, die_at: int, how: How, save_every_s: float) -> None:
        """A life that ends in one of its calls, or right after them."""
        self._process(MortalOs(die_at, how, save_every_s=save_every_s), self._batches(data, count), ordered_end=False)

    @rule(data=st.data(), fails=st.frozensets(st.integers(1, 30), max_size=3))
    def fail(self, data: st.DataObject, fails: frozenset[int]) -> None:
        """A life on a disk that is full now and then."""
        self._process(MortalOs(fail_at=fails), self._batches(data, 2), ordered_end=True)

    @precondition(lambda self: self.options.get("fsync") == "commit" and (self.data / "log").exists())
    @rule()
    def cut_power(self) -> None:
        """Between two lives, whether the last one had ended well or not."""
        cut_power(self.data / "log", self.synced)

    @precondition(lambda self: (self.data / "log/events.ndjson").exists())
    @precondition(lambda self: (self.data / "delivery/log/memory.json").exists())
    @rule()
    def move_away(self) -> None:
        """As logrotate does it, between two lives; only the memory knows the file then."""
        self.moves += 1
        os.rename(self.data / "log/events.ndjson", self.data / "log" / f"moved-{self.moves}")

    @rule()
    def forget(self) -> None:
        """Somebody removes the memory, as long as the files that it could be made from are few."""
        if self.moves == 0 and len(list((self.data / "log").glob("events-*"))) <= 1:
            (self.data / "delivery/log/memory.json").unlink(missing_ok=True)

    @invariant()
    def each_event_once(self) -> None:
        """Every acknowledged event stands in the files, none twice, none that was never sent, all in order."""
        for stream, seqs in lines(self.data / "log").items():
            if not self.moves:  # the order across moved files is known to nobody
                assert seqs == list(range(1, len(seqs) + 1))
            assert sorted(seqs) == list(range(1, len(seqs) + 1))
            assert self.acked[stream] <= len(seqs) <= self.sent[stream]

    def teardown(self) -> None:
        self._folder.cleanup()


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(
    max_examples=150, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
