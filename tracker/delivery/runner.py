"""Delivery: the process that carries events out of the journal, one loop a collector.

Rules
1. One process delivers from a data folder: it holds ``DATA/cursors/lock`` (flock). The next one waits a few seconds,
   for its predecessor may be on its way out, and then says who is there and leaves.
2. The loops share nothing: not a thread, a cursor, a reader of the journal, or an error.
3. Once a second it says how they are (``status``). A thread beside them flushes rings that nobody holds any more, and
   keeps the journal within its limits.
4. Told to stop, it gives the loops the grace of the settings. One that hangs in its collector is left behind: what it
   was doing comes again with the next start.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Final

from tracker.clock import now_text
from tracker.delivery import losses, registry, status
from tracker.delivery.loop import Journal, Loop
from tracker.delivery.status import Status
from tracker.journal import retention
from tracker.journal.adoption import Adopter
from tracker.journal.reader import JournalReader
from tracker.journal.segment import line_head
from tracker.settings.model import Settings

log = logging.getLogger("tracker.delivery")

LOCK_PATIENCE_S: Final = 5.0
"""How long a start waits for a predecessor."""
TELL_EVERY_S: Final = 1.0
ADOPT_EVERY_S: Final = 1.0
RETAIN_EVERY_S: Final = 60.0
RETAIN_SOON_S: Final = 5.0
"""The same when the journal is nearly full, or hits are refused."""
EXIT_LOCKED: Final = 75
"""Exit code when another process delivers from the same data folder (EX_TEMPFAIL of sysexits.h)."""


class Locked(Exception):
    """Another process delivers from this data folder."""


class Delivery:
    """All loops of one data folder."""

    def __init__(
        self, settings: Settings, data_dir: Path, open_journal: Callable[[Path], Journal] = JournalReader
    ) -> None:
        """Touches nothing. ``open_journal`` is called once for each thread that reads."""
        self._settings = settings.tracker
        self._data_dir = data_dir
        self._open_journal = open_journal
        self._loops: list[Loop] = []
        self._unmade: list[Status] = []
        self._behind: dict[tuple[str, str], int] = {}  # end of the stream when the collector was last seen behind

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop. Raises ``Locked``, or ``OSError`` if the folder cannot be used at all."""
        lock = _lock(self._data_dir, stop)
        if lock is None:
            return
        self._make()
        grace_s = float(self._settings.graceful_timeout_s)
        threads = [
            threading.Thread(target=loop.run, args=(stop, grace_s / 2), name=loop.status.collector, daemon=True)
            for loop in self._loops
        ]
        care = threading.Thread(target=self._take_care, args=(stop,), name="care", daemon=True)
        journal = self._open_journal(self._data_dir)
        for thread in (*threads, care):
            thread.start()
        while True:
            self._tell(journal)
            if stop.wait(TELL_EVERY_S):
                break
        deadline = time.monotonic() + grace_s * 0.8
        for thread in (*threads, care):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._tell(journal)
        journal.close()
        late = [thread.name for thread in threads if thread.is_alive()]
        if late:
            # The lock stays with the process: what these threads do must not meet a successor.
            log.warning("left behind while delivering: %s; their last batch comes again", ", ".join(late))
        else:
            os.close(lock)

    def _make(self) -> None:
        """Make the collectors. What cannot be made keeps no other one from working."""
        self._forget_statuses()
        for name, settings in self._settings.collectors.items():
            try:
                registry.place(name, self._data_dir).state_dir.mkdir(parents=True, exist_ok=True)
                collector = registry.build(name, settings, self._data_dir)
                self._loops.append(Loop(name, settings, collector, self._open_journal(self._data_dir), self._data_dir))
            except Exception as error:  # a stranger's constructor may raise anything
                log.error("collector %s cannot be made: %s", name, error)
                self._unmade.append(Status(collector=name, type=settings.type, state="failed", error=str(error)))

    def _forget_statuses(self) -> None:
        """Remove the statuses of collectors that are configured no more: nobody would bring them up to date."""
        for path in (self._data_dir / "delivery").glob("*.json"):
            if path.stem not in self._settings.collectors:
                with contextlib.suppress(OSError):
                    path.unlink()

    # --- what it says about itself

    def _tell(self, journal: Journal) -> None:
        try:
            ends = {stream: journal.end(stream) for stream in journal.streams()}
            for loop in self._loops:
                self._measure(loop, journal, ends)
        except OSError as error:
            log.warning("the journal cannot be looked at: %s", error)
        for each in (*(loop.status for loop in self._loops), *self._unmade):
            each.pid = os.getpid()
            each.updated_at = now_text()
            try:
                status.write(self._data_dir, each)
            except OSError as error:
                log.debug("the status of collector %s cannot be written: %s", each.collector, error)

    def _measure(self, loop: Loop, journal: Journal, ends: dict[str, int]) -> None:
        """How far the loop is behind. Only what was there a second ago and still waits is worth a look at its time."""
        places = dict(loop.cursor.streams)  # in one step: the loop goes on meanwhile
        lag, oldest_ms = 0, 0
        for stream, end in ends.items():
            at = places[stream].offset if stream in places else 0
            before = self._behind.pop((loop.status.collector, stream), 0)
            if at >= end:
                continue
            lag += end - at
            self._behind[loop.status.collector, stream] = end
            if at < before and (ms := _time_at(journal, stream, at)) and (not oldest_ms or ms < oldest_ms):
                oldest_ms = ms
        loop.status.lag_bytes = lag
        loop.status.lag_seconds = max(0.0, round(time.time() - oldest_ms / 1000, 3)) if oldest_ms else 0.0

    # --- the thread beside the loops

    def _take_care(self, stop: threading.Event) -> None:
        adopter = Adopter(self._data_dir, self._settings)
        retain_at = 0.0
        said: dict[str, str] = {}

        def attempt(what: str, action: Callable[[], None]) -> None:
            try:
                action()
                said.pop(what, None)
            except Exception as error:  # whatever it is, the next round must come
                text = f"{type(error).__name__}: {error}"
                if said.get(what) != text:
                    log.error("%s: %s", what, text, exc_info=not isinstance(error, OSError))
                said[what] = text

        def retain() -> None:
            nonlocal retain_at
            retain_at = time.monotonic() + RETAIN_EVERY_S
            outcome = retention.enforce(self._data_dir, self._settings)
            if outcome.refusal or outcome.bytes > 0.8 * self._settings.journal.max_bytes:
                retain_at = time.monotonic() + RETAIN_SOON_S
            losses.expire(self._data_dir, self._settings.journal.max_age_s)

        def adopt() -> None:
            adopter.scan()

        while True:
            attempt("rings of the dead wait", adopt)
            if time.monotonic() >= retain_at:
                attempt("the journal's limits are not enforced", retain)
            if stop.wait(ADOPT_EVERY_S):
                return


def _time_at(journal: Journal, stream: str, offset: int) -> int:
    """``received_at`` of the first line that can be read there, in Unix ms; 0 if none says."""
    try:
        lines = journal.read(stream, offset, 1).lines
        return round(datetime.fromisoformat(line_head(lines[0]).received_at).timestamp() * 1000) if lines else 0
    except (OSError, ValueError):
        return 0


def _lock(data_dir: Path, stop: threading.Event) -> int | None:
    """The lock of the cursors as an open descriptor; None if told to stop while waiting. Raises ``Locked``."""
    path = data_dir / "cursors" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    deadline = time.monotonic() + LOCK_PATIENCE_S
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
            if time.monotonic() >= deadline:
                holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
                raise Locked(f"another process{f' (pid {holder})' if holder else ''} delivers from {data_dir}")
            if stop.wait(0.05):
                os.close(fd)
                return None
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def run_process(settings: Settings) -> int:
    """Deliver until SIGTERM or SIGINT. Returns the exit code: 0, 1 after an error, or ``EXIT_LOCKED``.

    Call it from the main thread of a process of its own, with logging set up.
    """
    # A put is safe within a signal handler; Event.set is not: it may wait for a lock that the interrupted wait holds.
    wake: queue.SimpleQueue[int] = queue.SimpleQueue()
    stop = threading.Event()
    codes: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # as signal calls it
        wake.put(number)

    def deliver() -> None:
        try:
            Delivery(settings, Path(settings.tracker.data_dir)).run(stop)
            codes.append(0)
        except Locked as error:
            log.error("nothing is delivered here: %s", error)
            codes.append(EXIT_LOCKED)
        except BaseException:
            log.exception("delivery has ended with an error")
            codes.append(1)
        finally:
            wake.put(0)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        thread = threading.Thread(target=deliver, name="delivery", daemon=True)
        thread.start()
        wake.get()
        stop.set()
        thread.join(float(settings.tracker.graceful_timeout_s))
        return codes[0] if codes else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
