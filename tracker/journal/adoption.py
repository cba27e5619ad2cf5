"""Adoption: delivery looks after the slots that nobody holds.

Rules
1. What a dead worker left in its ring is brought into the journal within seconds, whether or not a worker comes back.
2. A slot that stays free and empty is sealed and removed; its counters go on in a common file, so sums never go back.
3. It takes the slot's lock like anybody else, and leaves a held slot alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tracker import counters
from tracker.capture.ring import Ring, RingError
from tracker.counters import CounterFile
from tracker.journal.recovery import Recovered, Sealed, drain, journal_dir, recover, seal_stream
from tracker.journal.slot import boot_id, slot_folders, try_lock
from tracker.settings.model import Tracker

log = logging.getLogger("tracker.journal")


class Adopter:
    """Looks after slots that nobody holds."""

    def __init__(self, data_dir: Path, settings: Tracker, surplus_after_s: float = 60.0) -> None:
        """``surplus_after_s``: how long an empty slot may stay free before it is sealed and removed."""
        self._data_dir = data_dir
        self._settings = settings
        self._surplus_after_s = surplus_after_s
        self._free_since: dict[str, float] = {}

    def scan(self) -> int:
        """Look once; returns how many rings were adopted. Errors of one slot do not keep it from the others."""
        adopted = 0
        seen = set()
        for folder in slot_folders(self._data_dir):
            lock = try_lock(folder, create=False)
            if lock is None:
                continue
            seen.add(folder.name)
            try:
                adopted += self._look_after(folder)
            except OSError as error:
                log.warning("slot %s waits: %s", folder.name, error)
            finally:
                with contextlib.suppress(OSError):
                    os.close(lock)
        self._free_since = {name: since for name, since in self._free_since.items() if name in seen}
        return adopted

    def _look_after(self, folder: Path) -> int:
        """One slot whose lock we hold."""
        since = self._free_since.setdefault(folder.name, time.monotonic())
        try:
            ring = Ring.open(folder / "ring")
        except FileNotFoundError:
            if time.monotonic() - since > self._surplus_after_s:
                _remove(self._data_dir, folder)
            return 0
        except RingError:
            return 0  # whoever claims it sets it aside
        waiting = ring.head - ring.durable
        surplus = not waiting and time.monotonic() - since > self._surplus_after_s
        try:
            if not waiting and not surplus:
                return 0
            outcome = recover(self._data_dir, self._settings, ring, boot_id())
            if isinstance(outcome, Recovered):
                try:
                    drain(ring, outcome.appender)
                finally:
                    outcome.appender.close()
                ring.mark_clean(True)
                if surplus:
                    retired = Sealed(ring.durable, outcome.last_seq, "retired", "none", [])
                    seal_stream(self._data_dir, ring.stream, retired)
            else:
                seal_stream(self._data_dir, ring.stream, outcome)
            if surplus or isinstance(outcome, Sealed):
                _remove(self._data_dir, folder)
        finally:
            ring.close()
        if not waiting:
            return 0
        log.info("slot %s: %d bytes of stream %s were adopted", folder.name, waiting, ring.stream)
        with _counting(self._data_dir) as counts:
            counts[counters.ADOPTIONS] += 1
        return 1


def _remove(data_dir: Path, folder: Path) -> None:
    """Remove a slot whose lock we hold; its counters go on in the common file, the lock goes last."""
    with contextlib.suppress(FileNotFoundError):
        file = CounterFile(folder / "counters")
        counts = file.read()
        file.close()
        with _counting(data_dir) as common:
            common[:] = [mine + its for mine, its in zip(common, counts, strict=True)]
        (folder / "counters").unlink()
    for name in ("ring", "ring.new", "lock"):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something foreign in it: leave it
        folder.rmdir()


@contextlib.contextmanager
def _counting(data_dir: Path) -> Iterator[list[int]]:
    """The counters that belong to no slot, to change under a lock."""
    fd = os.open(journal_dir(data_dir) / "counters.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        file = CounterFile(journal_dir(data_dir) / "counters")
        try:
            counts = file.read()
            yield counts
            file.write(counts)
        finally:
            file.close()
    finally:
        os.close(fd)
