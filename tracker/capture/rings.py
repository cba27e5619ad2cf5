"""The rings of one process: a slot for each request thread, claimed on first use, and their flusher.

Invariants
1. Nothing is claimed at import or before a fork: a forked child forgets what its parent held.
2. A ring belongs to one thread at a time. When a thread ends, the next new thread takes its ring over.
3. A claim that fails (disk full, all slots taken) is tried again at most once a second; until then hits are refused.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from pathlib import Path

from tracker.capture.writer import Writer
from tracker.journal.flusher import Flusher
from tracker.journal.slot import NoSlot, claim
from tracker.settings.model import Tracker

log = logging.getLogger("tracker.capture")

CLAIM_RETRY_S = 1.0


class _Held:
    """What a thread holds; when the thread ends, its writer goes to the next one."""

    __slots__ = ("_free", "writer")

    def __init__(self, writer: Writer, free: deque[Writer]) -> None:
        self.writer = writer
        self._free = free

    def __del__(self) -> None:
        self._free.append(self.writer)


class Rings:
    """Hands each thread its writer."""

    def __init__(self, settings: Tracker) -> None:
        """Claims nothing yet."""
        self._settings = settings
        self.data_dir = Path(settings.data_dir)
        self._begin()
        itself = weakref.ref(self)

        def forget() -> None:
            if (rings := itself()) is not None:
                for slot in rings.flusher.slots:
                    os.close(slot.lock)  # else the child would keep the lock beyond its parent's death
                rings._begin()

        def finish() -> None:
            if (rings := itself()) is not None:
                rings.stop(settings.graceful_timeout_s)

        os.register_at_fork(after_in_child=forget)
        atexit.register(finish)

    def _begin(self) -> None:
        self._local = threading.local()
        self._free: deque[Writer] = deque()
        self._claiming = threading.Lock()
        self._retry_at = 0.0
        self.flusher = Flusher(self.data_dir, self._settings.journal.sync_interval_ms)
        self.problem = ""
        """Why the last claim failed, or empty."""

    def writer(self) -> Writer | None:
        """This thread's writer; None if no slot can be had now (``problem`` says why)."""
        try:
            return self._local.held.writer  # type: ignore[no-any-return]
        except AttributeError:
            return self._first_use()

    def _first_use(self) -> Writer | None:
        try:
            writer = self._free.popleft()
        except IndexError:
            claimed = self._claim()
            if claimed is None:
                return None
            writer = claimed
        self._local.held = _Held(writer, self._free)
        return writer

    def prepare(self, count: int) -> None:
        """Claim slots ahead, so that no request waits for it. What fails is tried again on first use."""
        for _ in range(count):
            writer = self._claim()
            if writer is None:
                return
            self._free.append(writer)

    def _claim(self) -> Writer | None:
        with self._claiming:
            if time.monotonic() < self._retry_at:
                return None
            try:
                capacity = self._settings.ring.bytes_per_worker // self._settings.threads
                slot = claim(self.data_dir, self._settings, capacity)
            except (OSError, NoSlot) as error:
                self._retry_at = time.monotonic() + CLAIM_RETRY_S
                if self.problem != str(error):
                    self.problem = str(error)
                    log.error("no ring can be had, so hits are refused: %s", error)
                return None
            self.problem = ""
            self.flusher.add(slot)
            self.flusher.start()
            return Writer(slot, self.flusher)

    def stop(self, grace_s: float) -> None:
        """Bring everything into the journal and let the slots go. Nothing may be appended any more."""
        self.flusher.stop(grace_s)
        self._begin()
