"""Slots: places for rings. A worker claims one, brings its ring and journal into agreement, and goes on.

Layout: ``DATA/journal/slots/<n>/`` holds ``lock`` (flock: whoever holds it owns the slot; the kernel frees it on any
death), ``ring`` and ``counters``.

Invariants
1. Only the holder of the lock changes ring, counters or the stream's segments.
2. A claim ends with an owned ring whose stream continues without a gap, or with a new stream; never with a guess.
3. A stream continues only if all of this holds: same boot, same file, ``journal end <= head``, the ring still holds
   everything past the journal's end, and the ring's lines follow the journal's last one by ``seq``.
4. Otherwise: what can be proven is brought into the journal, the stream is sealed with its gap, a new one is minted.
5. A claim may die at any instruction; the next claim starts from the same truth.
6. Claims happen in the process that uses them, never before a fork.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from tracker import counters
from tracker.capture.ring import MIN_CAPACITY, Ring, RingError
from tracker.counters import STREAMS_SEALED, CounterFile
from tracker.journal import segment
from tracker.journal.seal import Cause, Seal, read_seal, write_seal
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


def journal_dir(data_dir: Path) -> Path:
    """The journal's folder under the data folder."""
    return data_dir / "journal"


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
                    ring.mark_clean(False)
                    return Slot(folder, lock, ring, outcome.appender, outcome.last_seq, counts_file)
                outcome.appender.close()
                sealed = Sealed(ring.durable, outcome.last_seq, "resized", "none", [])
            else:
                sealed = outcome
        stream = uuid.uuid4()
        if ring is not None and sealed is not None:
            counts = counts_file.read()
            counts[STREAMS_SEALED] += sealed.cause not in ("retired", "reboot", "resized")
            counts_file.write(counts)
            _seal(data_dir, ring.stream, sealed, successor=stream.hex)
            ring.close()
            ring = None
        ring = Ring.create(folder / "ring", capacity, stream.bytes, boot)
        return Slot(folder, lock, ring, _appender(data_dir, settings, ring.stream, 0), 0, counts_file)
    except BaseException:
        counts_file.close()
        if ring is not None:
            ring.close()
        raise


class Recovered(NamedTuple):
    """The stream continues."""

    appender: Appender
    last_seq: int


class Sealed(NamedTuple):
    """The stream ends."""

    end: int
    last_seq: int
    cause: Cause
    gap: Literal["none", "possible", "known"]
    holes: list[tuple[int, int]]


def recover(data_dir: Path, settings: Tracker, ring: Ring, boot: bytes) -> Recovered | Sealed:
    """Bring the ring of a dead owner and its journal into agreement. Raises ``OSError``; then call again later.

    ``end`` below is the journal's end as its index vouches for it, behind a newline.
    """
    folder = journal_dir(data_dir) / "streams" / ring.stream
    seal = _seal_of(folder)
    if seal is not None:  # a claim died between sealing and minting
        return Sealed(seal.end, seal.last_seq, seal.cause, seal.gap, list(seal.holes))
    head, durable = ring.head, ring.durable
    if ring.boot != boot:
        return _after_reboot(data_dir, ring, folder)
    end = _journal_end(folder, ring.stream)
    newest = (segment.offsets(folder) or [0])[-1]
    if end > head or newest > durable:
        return Sealed(end, _last_seq(folder, ring.stream, end), "journal_ahead", "none", [])
    hole = (end, durable) if end < durable and end < head - ring.capacity else None
    resume = durable if hole else min(end, durable)
    last_seq = _last_seq(folder, ring.stream, min(end, durable))
    try:
        last_seq = _follow(ring, resume, last_seq, hole=hole is not None)
    except ValueError as error:
        kept = journal_dir(data_dir) / "quarantine"
        kept.mkdir(exist_ok=True)
        (kept / f"{ring.stream}-ring-{time.time_ns()}").write_bytes(ring.copy(durable, head))
        log.error("stream %s: the ring does not follow the journal (%s); its bytes are kept in quarantine/",
                  ring.stream, error)
        return Sealed(resume, _last_seq(folder, ring.stream, resume), "continuity", "known", [(resume, head)])
    appender = segment.resume(
        folder, ring.stream, resume, settings.journal.segment_bytes, settings.journal.segment_age_s
    )
    going_on = not hole and not ring.copied
    if going_on and resume == durable:
        return Recovered(appender, last_seq)
    try:
        drain(ring, appender)
    except BaseException:
        appender.close()
        raise
    if going_on:
        log.warning("stream %s: %d bytes lost by the journal were still in the ring", ring.stream, durable - resume)
        return Recovered(appender, last_seq)
    appender.close()
    if hole:
        log.error("stream %s: bytes %d to %d are gone from the journal", ring.stream, *hole)
        return Sealed(head, last_seq, "journal_lost", "known", [hole])
    return Sealed(head, last_seq, "copied", "none", [])


def drain(ring: Ring, appender: Appender) -> int:
    """Bring everything published into the journal and sync it. Returns how many bytes. Raises ``OSError``."""
    moved = 0
    while True:
        moved += appender.append(ring.views, ring.head)
        durable = appender.sync()
        if durable > ring.durable:
            ring.durable = durable
        if appender.end == ring.head:
            return moved


def _after_reboot(data_dir: Path, ring: Ring, folder: Path) -> Sealed:
    """The page cache is gone, so the ring is not trusted: the journal alone counts, up to its last sound block."""
    end = _journal_end(folder, ring.stream)
    if ring.clean and ring.head == ring.durable == end:
        return Sealed(end, _last_seq(folder, ring.stream, end), "reboot", "none", [])
    starts = segment.offsets(folder)
    sound = 0
    if starts:
        # ``durable`` was stored after the sync it speaks of, so whatever value of it reached the disk is a true lower
        # bound; and a segment begins only where everything before it has been synced.
        sound = at = max(ring.durable if ring.durable <= end else 0, starts[-1])
        for block in segment.Index(folder, ring.stream, starts[-1]).blocks:
            if block.end <= at:
                continue
            content = segment.read(folder, starts[-1], block.start, block.end)
            if block.start > at or not segment.intact(block, content):
                break
            at = block.end
            if block.flags & segment.LINE_END:
                sound = at
        size = segment.data_path(folder, starts[-1]).stat().st_size
        if starts[-1] + size > sound:
            rest = segment.read(folder, starts[-1], sound, starts[-1] + size)
            kept = journal_dir(data_dir) / "quarantine"
            kept.mkdir(exist_ok=True)
            (kept / f"{ring.stream}-{sound:020d}-{time.time_ns()}").write_bytes(rest)
            segment.resume(folder, ring.stream, sound, 1, 1).close()  # cuts the newest segment at ``sound``
            log.warning("stream %s: %d bytes past the last sound block were set aside", ring.stream, len(rest))
    last_seq = _last_seq(folder, ring.stream, sound)
    if ring.durable > sound:  # a disk that lied, or a wiped folder
        return Sealed(sound, last_seq, "journal_lost", "known", [(sound, ring.durable)])
    return Sealed(sound, last_seq, "power_cut", "possible", [])


def _journal_end(folder: Path, stream: str) -> int:
    """End of the last block that the index vouches for and the file holds, behind a newline; 0 if there is none."""
    for offset in reversed(segment.offsets(folder)):
        size = segment.data_path(folder, offset).stat().st_size
        for block in reversed(segment.Index(folder, stream, offset).blocks):
            if block.flags & segment.LINE_END and block.end <= offset + size:
                return block.end
        if offset == 0:
            break
        if segment.Index(folder, stream, offset).first_seq:
            return offset  # begun and still empty: the one before was whole
    return 0


def _last_seq(folder: Path, stream: str, end: int) -> int:
    """``seq`` of the line that ends at ``end``; 0 at the beginning of a stream, or if nothing there tells."""
    for offset in reversed([offset for offset in segment.offsets(folder) if offset <= end]):
        if offset == end:
            first_seq = segment.Index(folder, stream, offset).first_seq
            if first_seq:
                return first_seq - 1
            continue
        back = 4096
        while True:
            start = max(offset, end - back)
            content = segment.read(folder, offset, start, end)
            newline = content.rfind(b"\n", 0, len(content) - 1)
            if newline >= 0 or start == offset:
                with contextlib.suppress(ValueError):
                    return segment.line_head(content[newline + 1 :]).seq
                return 0
            back *= 4
    return 0


def _follow(ring: Ring, start: int, last_seq: int, *, hole: bool) -> int:
    """``seq`` of the ring's last line, all lines from ``start`` on checked to follow. Raises ``ValueError``.

    Behind a ``hole`` the first line's ``seq`` only has to be higher than the last one before it.
    """
    for line in ring.copy(start, ring.head).splitlines(keepends=True):
        if not line.endswith(b"\n"):
            raise ValueError("the ring ends within a line")
        head = segment.line_head(line)
        if head.stream != ring.stream:
            raise ValueError(f"a line of stream {head.stream or '(none)'}")
        if head.seq != last_seq + 1 and not (hole and head.seq > last_seq):
            raise ValueError(f"seq {head.seq} after {last_seq}")
        last_seq, hole = head.seq, False
    return last_seq


def _appender(data_dir: Path, settings: Tracker, stream: str, position: int) -> Appender:
    journal = settings.journal
    folder = journal_dir(data_dir) / "streams" / stream
    return Appender(folder, stream, position, journal.segment_bytes, journal.segment_age_s)


def _seal_of(folder: Path) -> Seal | None:
    try:
        return read_seal(folder)
    except ValueError as error:
        log.error("stream %s: %s", folder.name, error)
        return None


def _seal(data_dir: Path, stream: str, sealed: Sealed, successor: str = "") -> None:
    folder = journal_dir(data_dir) / "streams" / stream
    if _seal_of(folder) is None and (sealed.end or sealed.gap != "none" or folder.exists()):
        segment.sync_newest(folder)  # the seal vouches for ``end``
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        write_seal(folder, Seal(stream=stream, successor=successor, sealed_at=now, **sealed._asdict()))
        (log.info if sealed.gap == "none" else log.error)(
            "stream %s is sealed at %d (%s, gap: %s)", stream, sealed.end, sealed.cause, sealed.gap
        )


class Adopter:
    """Looks after slots that nobody holds: flushes what is left in them, removes those that nobody comes back to."""

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
                    _seal(self._data_dir, ring.stream, Sealed(ring.durable, outcome.last_seq, "retired", "none", []))
            else:
                _seal(self._data_dir, ring.stream, outcome)
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
