"""The flusher: the background thread that moves the rings' bytes into the journal, syncs it, and frees the space.

Invariants
1. One thread a process, for all rings of that process. It calls ``pwrite`` and ``fdatasync`` only, which let the
   request threads run.
2. Every ``sync_interval`` at the latest, and at once if somebody waits, what is published becomes durable. Ring space
   is freed at ``durable``, not before: until then every byte can be written again, elsewhere.
3. A failed write or sync makes its slot refuse (nobody is told yes any more) until a later try succeeds; tries come
   every half second. After an I/O error the segment is abandoned, never synced again.
4. No error ends the thread. An error that is not the disk's is logged and counted, and the loop starts anew.
5. It publishes the counters once a second, and a heartbeat for ``/-/readyz``.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tracker import reasons
from tracker.counters import FLUSHER_RESTARTS, JOURNAL_BYTES, JOURNAL_ERRORS, JOURNAL_SYNC_US, JOURNAL_SYNCS
from tracker.journal.segment import IO_LOST
from tracker.journal.slot import Slot

log = logging.getLogger("tracker.journal")

RETRY_S = 0.5
"""Pause after a failed write or sync."""


class Flusher:
    """The thread and its slots."""

    def __init__(self, data_dir: Path, sync_interval_ms: int) -> None:
        """``start`` starts it. ``data_dir`` is looked at once a second for the retention's refusal."""
        self._refusal = data_dir / "journal" / "refuse"
        self._interval = sync_interval_ms / 1000
        self._slots: tuple[Slot, ...] = ()
        self._retry_at: dict[Slot, float] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._synced = threading.Condition()
        self._refused = ""
        self.beat = time.monotonic()
        """Monotonic time of the last turn of the loop."""
        self.on_synced: Callable[[], None] | None = None
        """Called in the flusher's thread after each turn; must not block or raise."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots it serves."""
        return self._slots

    def add(self, slot: Slot) -> None:
        """Serve this slot too. Call it from one thread at a time."""
        slot.refusing = self._refused
        self._slots = (*self._slots, slot)

    def start(self) -> None:
        """Start the thread, or start it again if it is gone."""
        if self._thread is None or not self._thread.is_alive():
            self.beat = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="tracker-flusher", daemon=True)
            self._thread.start()

    def alive(self, within_s: float = 5.0) -> bool:
        """Whether the loop has turned lately. A sync that hangs counts as not alive."""
        return self._thread is not None and self._thread.is_alive() and time.monotonic() - self.beat < within_s

    def wake(self) -> None:
        """Flush now, not at the end of the interval."""
        self._wake.set()

    def wait_durable(self, slot: Slot, position: int, timeout_s: float) -> bool:
        """Wait until the slot's stream is durable up to ``position``. False: the sync failed, took too long, or the
        process is stopping and has let the ring go."""
        deadline = time.monotonic() + timeout_s
        try:
            while slot.ring.durable < position:
                self._wake.set()
                with self._synced:
                    left = deadline - time.monotonic()
                    if left <= 0 or slot.refusing or (self._stopping and not self.alive()):
                        return slot.ring.durable >= position
                    if slot.ring.durable < position:
                        self._synced.wait(min(left, 0.1))
            return True
        except ValueError:  # unmapped: released by the stop
            return False

    def stop(self, grace_s: float) -> None:
        """Bring everything into the journal, release the slots, end the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(grace_s)
            if self._thread.is_alive():
                log.error("the journal did not take the last events within %g s; the rings keep them", grace_s)
                return
        for slot in self._slots:
            slot.release()
        self._slots = ()

    def _run(self) -> None:
        while True:
            try:
                self._loop()
                return
            except Exception:
                log.exception("the flusher starts again after an unexpected error")
                for slot in self._slots[:1]:
                    slot.counts[FLUSHER_RESTARTS] += 1
                time.sleep(RETRY_S)

    def _loop(self) -> None:
        publish_at = 0.0
        while True:
            stopping = self._stopping
            self._wake.clear()
            for slot in self._slots:
                self._flush(slot)
            with self._synced:
                self._synced.notify_all()
            if self.on_synced is not None:
                self.on_synced()
            self.beat = now = time.monotonic()
            if now >= publish_at or stopping:
                publish_at = now + 1
                self._once_a_second()
            if stopping:
                return
            self._wake.wait(self._interval)

    def _flush(self, slot: Slot) -> None:
        """Bring one ring into the journal; an error of the disk makes the slot refuse."""
        ring, appender = slot.ring, slot.appender
        now = time.monotonic()
        if ring.head == ring.durable and not slot.refusing:
            return
        if now < self._retry_at.get(slot, 0.0) and not self._stopping:
            return
        try:
            head = ring.head
            while ring.durable < head:
                slot.counts[JOURNAL_BYTES] += appender.append(ring.views, head)
                began = time.perf_counter_ns()
                ring.durable = appender.sync()
                slot.counts[JOURNAL_SYNCS] += 1
                slot.counts[JOURNAL_SYNC_US] += (time.perf_counter_ns() - began) // 1000
        except OSError as error:
            slot.counts[JOURNAL_ERRORS] += 1
            self._retry_at[slot] = now + RETRY_S
            if error.errno in IO_LOST:
                appender.abandon()
            if slot.refusing != reasons.JOURNAL_UNWRITABLE:
                slot.refusing = reasons.JOURNAL_UNWRITABLE
                why = os.strerror(error.errno or 0)
                log.error("the journal cannot be written (%s): hits are refused until it can", why)
            return
        if slot.refusing != self._refused:
            slot.refusing = self._refused
            if not self._refused:
                log.warning("hits are taken again")

    def _once_a_second(self) -> None:
        refused = reasons.JOURNAL_UNWRITABLE if self._refusal.exists() else ""
        if refused != self._refused:
            self._refused = refused
            log.log(logging.ERROR if refused else logging.WARNING, "retention: hits are %s",
                    "refused until a collector has caught up" if refused else "taken again")
        for slot in self._slots:
            if refused and not slot.refusing:
                slot.refusing = refused
            slot.counts_file.write(slot.counts)
