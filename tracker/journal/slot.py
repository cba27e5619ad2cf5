"""Slots: places for rings. A worker claims one, has its ring and journal brought into agreement, and goes on.

Layout: ``DATA/journal/slots/<n>/`` holds ``lock`` (flock: whoever holds it owns the slot; the kernel frees it on any
death), ``ring`` and ``counters``.

Invariants
1. Only the holder of the lock changes ring, counters or the stream's segments.
2. A claim ends with an owned ring whose stream continues without a gap, or with a new stream (see ``recovery``).
3. A claim may die at any instruction; the next claim starts from the same truth.
4. Claims happen in the process that uses them, never before a fork.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
import uuid
from pathlib import Path

from tracker.capture.ring import MIN_CAPACITY, Ring, RingError
from tracker.counters import STREAMS_SEALED, CounterFile
from tracker.journal import segment
from tracker.journal.recovery import Recovered, Sealed, journal_dir, recover, seal_stream, stream_dir
from tracker.journal.segment import Appender
from tracker.settings.model import Tracker

log = logging.getLogger("tracker.journal")


class NoSlot(Exception):
    """All slots are taken; the text names the setting to raise."""


class Slot:
    """One claimed slot: ring, the stream's appender, counters and the lock."""

    __slots__ = ("appender", "counts", "counts_file", "folder", "last_seq", "lock", "refusing", "ring")

    def __init__(
        self, folder: Path, lock: int, ring: Ring, appender: Appender, last_seq: int, counts_file: CounterFile
    ) -> None:
        """Made by ``claim``."""
        self.folder = folder
        self.lock = lock
        self.ring = ring
        self.appender = appender
        self.last_seq = last_seq
        """``seq`` of the last line that is published; 0 in a new stream."""
        self.counts_file = counts_file
        self.counts = counts_file.read()
        self.refusing = ""
        """Why nothing may be published now (a name from reasons.py), or empty. Set by the flusher."""

    @property
    def drained(self) -> bool:
        """Whether everything published is durable."""
        return self.ring.durable == self.ring.head

    def release(self) -> None:
        """Let the slot go in order. If everything is durable the ring is marked so, and survives a reboot."""
        self.counts_file.write(self.counts)
        try:
            if self.drained:
                self.ring.mark_clean(True)
        finally:
            self.close()

    def close(self) -> None:
        """Let the slot go as it is."""
        self.appender.close()
        self.ring.close()
        self.counts_file.close()
        os.close(self.lock)


def boot_id() -> bytes:
    """This boot of this machine: 16 bytes. ``TRACKER_BOOT_ID`` (a UUID) stands in for it in tests."""
    text = os.environ.get("TRACKER_BOOT_ID", "")
    if not text:
        try:
            text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except FileNotFoundError:  # macOS
            out = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=True)
            text = out.stdout.strip()
    return uuid.UUID(text).bytes


def try_lock(folder: Path, *, create: bool) -> int | None:
    """The lock of a slot folder as an open descriptor, or None if somebody holds it or it is not there."""
    flags = os.O_RDWR | os.O_CLOEXEC
    if create:
        folder.mkdir(parents=True, exist_ok=True)
        flags |= os.O_CREAT
    try:
        fd = os.open(folder / "lock", flags, 0o640)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A slot is removed under its lock: the file that was locked must still be the one with this name.
        if os.fstat(fd).st_ino == os.stat(folder / "lock").st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def slot_folders(data_dir: Path) -> list[Path]:
    """The slots that are there, in order."""
    slots = journal_dir(data_dir) / "slots"
    try:
        return sorted((slots / name for name in os.listdir(slots) if name.isdigit()), key=lambda path: int(path.name))
    except FileNotFoundError:
        return []


def claim(data_dir: Path, settings: Tracker, capacity: int) -> Slot:
    """Claim the first free slot; ``capacity`` is the ring's size in bytes if one has to be made.

    A slot that cannot be recovered now is left to a later claim. Raises ``NoSlot``, or ``OSError`` if the disk does
    not let us; then nothing is held.
    """
    failed: OSError | None = None
    for number in range(settings.ring.max_slots):
        folder = journal_dir(data_dir) / "slots" / str(number)
        lock = try_lock(folder, create=True)
        if lock is None:
            continue
        try:
            return _take(data_dir, settings, folder, lock, capacity)
        except OSError as error:
            os.close(lock)
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise
            log.error("slot %s cannot be used: %s", folder.name, error)
            failed = failed or error
        except BaseException:
            os.close(lock)
            raise
    if failed is not None:
        raise failed
    raise NoSlot(f"all {settings.ring.max_slots} slots are taken: raise ring.max_slots, or see who runs on {data_dir}")


def _take(data_dir: Path, settings: Tracker, folder: Path, lock: int, capacity: int) -> Slot:
    """The slot whose lock we hold, recovered or minted anew."""
    capacity = max(MIN_CAPACITY, capacity)
    boot = boot_id()
    counts_file = CounterFile(folder / "counters")
    sealed: Sealed | None = None
    ring: Ring | None = None
    try:
        try:
            ring = Ring.open(folder / "ring")
        except FileNotFoundError:
            pass
        except RingError as error:
            kept = segment.quarantine(journal_dir(data_dir), folder / "ring", f"slot{folder.name}")
            log.error("slot %s: the ring file cannot be used (%s); it is kept as quarantine/%s", folder.name, error,
                      kept.name)
        if ring is not None:
            outcome = recover(data_dir, settings, ring, boot)
            if isinstance(outcome, Recovered):
                if capacity == ring.capacity or ring.head > ring.durable:
                    try:
                        ring.mark_clean(False)
                    except BaseException:
                        outcome.appender.close()
                        raise
                    return Slot(folder, lock, ring, outcome.appender, outcome.last_seq, counts_file)
                outcome.appender.close()
                sealed = Sealed(ring.durable, outcome.last_seq, "resized", "none", [])
            else:
                sealed = outcome
        stream = uuid.uuid4()
        if ring is not None and sealed is not None:
            seal_stream(data_dir, ring.stream, sealed, successor=stream.hex)
            counts = counts_file.read()
            counts[STREAMS_SEALED] += sealed.cause not in ("retired", "reboot", "resized")
            counts_file.write(counts)
            ring.close()
            ring = None
        ring = Ring.create(folder / "ring", capacity, stream.bytes, boot)
        return Slot(folder, lock, ring, _appender(data_dir, settings, ring.stream, 0), 0, counts_file)
    except BaseException:
        counts_file.close()
        if ring is not None:
            ring.close()
        raise


def _appender(data_dir: Path, settings: Tracker, stream: str, position: int) -> Appender:
    journal = settings.journal
    return Appender(stream_dir(data_dir, stream), stream, position, journal.segment_bytes, journal.segment_age_s)
