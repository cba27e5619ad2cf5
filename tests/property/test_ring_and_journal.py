"""Ring, segments, slots, flusher, recovery and reader as one state machine against a list.

The model is a list of lines for each stream. Whatever happens (publish, fill, wrap, flush, sync, roll, disk errors,
a kill between any two steps of the disk, a power cut, claim, adoption, an orderly stop), reading the journal gives a
prefix of that list, byte for byte; the prefix holds everything that was durable; and after a kill a stream goes on
without losing a line.

What it does not model: names of files that vanish in a power cut before their folder was synced, and processor
reordering. ``TRACKER_SCHEDULES`` sets the number of schedules (the long form runs many more than CI).
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tracker import disk
from tracker.capture import ring as ring_module
from tracker.capture.writer import Writer
from tracker.event import Event
from tracker.journal import segment
from tracker.journal import slot as slot_module
from tracker.journal.adoption import Adopter
from tracker.journal.flusher import Flusher
from tracker.journal.reader import JournalReader
from tracker.journal.slot import Slot, claim
from tracker.settings.model import Journal, Tracker

CAPACITY = 8192
SETTINGS = Tracker(journal=Journal(segment_bytes=4096))
SCHEDULES = int(os.environ.get("TRACKER_SCHEDULES", "60"))


class Killed(BaseException):
    """The process dies here."""


class Disk:
    """Stands between the journal and the real files: kills, fails, and remembers what was synced."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.synced: dict[str, bytes] = {}
        self.kill_in = -1
        self.partial = 0
        self.fail: dict[str, int] = {}
        self.streams = 0
        self._fsync, self._fdatasync, self._pwrite = os.fsync, os.fdatasync, os.pwrite

    def next_stream(self) -> uuid.UUID:
        """Stream ids in order: a schedule must give the same run again."""
        self.streams += 1
        return uuid.UUID(int=self.streams << 64)

    def step(self, what: str) -> None:
        """One operation of the disk is about to happen."""
        if self.kill_in == 0:
            self.kill_in = -1
            raise Killed
        if self.kill_in > 0:
            self.kill_in -= 1
        if (number := self.fail.pop(what, 0)):
            raise OSError(number, os.strerror(number))

    def write_at(self, fd: int, block: bytes | bytearray | memoryview, position: int) -> None:
        try:
            self.step("write")
        except BaseException:
            self._pwrite(fd, memoryview(block)[: self.partial], position)
            raise
        view = memoryview(block)
        while view:
            written = self._pwrite(fd, view, position)
            view, position = view[written:], position + written

    def sync(self, fd: int) -> None:
        self.step("sync")
        self._fdatasync(fd)
        self.remember(fd)

    def fsync(self, fd: int) -> None:
        self.step("fsync")
        self._fsync(fd)
        self.remember(fd)

    def remember(self, fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.startswith(str(self.root)) and os.path.isfile(path):
            self.synced[path] = Path(path).read_bytes()

    def rename(self, source: Any, target: Any) -> None:
        self.step("rename")
        os.replace(source, target)
        if str(source) in self.synced:
            self.synced[str(target)] = self.synced.pop(str(source))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(disk, "write_at", self.write_at)
            patch.setattr(disk, "sync", self.sync)
            patch.setattr(os, "fsync", self.fsync)
            patch.setattr(os, "rename", self.rename)
            patch.setattr(ring_module, "MIN_CAPACITY", 4096)
            patch.setattr(slot_module, "MIN_CAPACITY", 4096)
            patch.setattr(segment, "BLOCK_BYTES", 700)
            patch.setattr(uuid, "uuid4", self.next_stream)
            yield


class RingAndJournal(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        self.disk = Disk(self.root)
        self.model: dict[str, list[bytes]] = {}
        self.durable: dict[str, int] = {}  # stream -> lines that nothing may take away
        self.cut: set[str] = set()  # streams that went through a power cut
        self.slot: Slot | None = None
        self.writer: Writer | None = None
        self.flusher = Flusher(self.root, 200)
        self.headers: dict[str, list[bytes]] = {}
        self.boot(uuid.UUID(int=1))
        self.number = 0
        self.follower = JournalReader(self.root)
        self.followed: dict[str, int] = {}  # stream -> offset up to which the follower has read

    def boot(self, identity: uuid.UUID) -> None:
        self.boot_id = identity
        os.environ["TRACKER_BOOT_ID"] = str(identity)

    def teardown(self) -> None:
        self.follower.close()
        if self.slot is not None:
            self.slot.close()
        shutil.rmtree(self.root)
        os.environ.pop("TRACKER_BOOT_ID", None)

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Do it on the watched disk; a kill leaves the files as they are and the process gone."""
        try:
            with self.disk.in_place():
                return action()
        except Killed:
            self.gone()
            return None
        finally:
            self.disk.kill_in = -1
            self.disk.fail.clear()

    def gone(self) -> None:
        self.note_durable()
        if self.slot is not None:
            with contextlib.suppress(ValueError, OSError):
                self.slot.close()
        self.slot = self.writer = None

    def note_durable(self) -> None:
        if self.slot is None:
            return
        try:
            durable, stream = self.slot.ring.durable, self.slot.ring.stream
        except ValueError:
            return
        count = size = 0
        for line in self.model.get(stream, []):
            size += len(line)
            if size > durable:
                break
            count += 1
        self.durable[stream] = max(self.durable.get(stream, 0), count)
        header = bytes(self.slot.ring._map[: ring_module.HEADER_BYTES])
        self.headers.setdefault(stream, []).append(header)

    # -- rules

    @initialize()
    def first_claim(self) -> None:
        self.claim_slot(-1, 0)

    @precondition(lambda self: self.slot is None)
    @rule(kill_in=st.integers(-1, 12), partial=st.integers(0, 900))
    def claim_slot(self, kill_in: int, partial: int) -> None:
        """A worker starts; it may be killed while it claims."""
        self.disk.kill_in, self.disk.partial = kill_in, partial
        slot = self.attempt(lambda: claim(self.root, SETTINGS, CAPACITY))
        if slot is None:
            return
        self.slot = slot
        self.flusher._retry_at.clear()
        self.writer = Writer(slot, self.flusher)
        lines = self.model.setdefault(slot.ring.stream, [])
        assert slot.last_seq == len(lines), "seq goes on behind the last published line"
        assert slot.ring.head == sum(map(len, lines))

    @precondition(lambda self: self.slot is not None)
    @rule(sizes=st.lists(st.integers(0, 2500), min_size=1, max_size=4))
    def publish(self, sizes: list[int]) -> None:
        """A request with a few events: all are published, or none."""
        assert self.slot is not None and self.writer is not None
        events = []
        for size in sizes:
            self.number += 1
            events.append(Event(id=f"e{self.number}", event="impression", received_at="2026-11-20T21:27:05.123Z",
                                dimensions={"fill": "x" * size}))
        free = self.slot.ring.capacity - (self.slot.ring.head - self.slot.ring.durable)
        refusal = self.writer.append(events)
        lines = [segment_line(event) for event in events]
        size = sum(map(len, lines))
        if refusal:
            assert self.slot.refusing or size > free, "a refusal has its cause"
        else:
            assert size <= free
            self.model[self.slot.ring.stream] += lines

    @precondition(lambda self: self.slot is not None)
    @rule(data=st.data())
    def half_publish(self, data: st.DataObject) -> None:
        """A kill in the middle of a publish: bytes are stored above head, head is not."""
        assert self.slot is not None
        ring = self.slot.ring
        free = ring.capacity - (ring.head - ring.durable)
        for i in range(data.draw(st.integers(0, min(free, 900)))):
            ring._data[(ring.head + i) % ring.capacity] = 0x7B
        self.gone()

    @precondition(lambda self: self.slot is not None)
    @rule(kill_in=st.integers(-1, 20), partial=st.integers(0, 900))
    def flush(self, kill_in: int, partial: int) -> None:
        """The flusher's turn; it may be killed in it."""
        assert self.slot is not None
        slot = self.slot
        self.disk.kill_in, self.disk.partial = kill_in, partial
        self.attempt(lambda: self.flusher._flush(slot))
        self.flusher._retry_at.clear()
        self.note_durable()

    @precondition(lambda self: self.slot is not None)
    @rule()
    def append_without_sync(self) -> None:
        """Bytes reach the files and are not synced: the state a kill or a power cut finds most often."""
        assert self.slot is not None
        slot = self.slot
        self.attempt(lambda: slot.appender.append(slot.ring.views, slot.ring.head))

    @precondition(lambda self: self.slot is not None)
    @rule(what=st.sampled_from(["write", "sync", "fsync"]),
          number=st.sampled_from([errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS]), partial=st.integers(0, 900))
    def disk_error(self, what: str, number: int, partial: int) -> None:
        """A write or a sync fails: the slot refuses until a later flush succeeds."""
        assert self.slot is not None
        slot, waiting = self.slot, not self.slot.drained
        self.disk.fail[what] = number
        self.disk.partial = partial
        self.attempt(lambda: self.flusher._flush(slot))
        if waiting and what in ("write", "sync") and slot.ring.durable < slot.ring.head:
            assert slot.refusing
        self.flusher._retry_at.clear()
        self.note_durable()

    @precondition(lambda self: self.slot is not None)
    @rule()
    def kill(self) -> None:
        """``kill -9`` between two steps."""
        self.gone()

    @precondition(lambda self: self.slot is not None)
    @rule()
    def stop(self) -> None:
        """An orderly stop."""
        assert self.slot is not None
        slot = self.slot
        self.attempt(lambda: self.flusher._flush(slot))
        self.note_durable()
        if self.slot is not None:
            assert slot.drained, "nothing failed, so everything is durable"
            self.attempt(slot.release)
            self.slot = self.writer = None

    @precondition(lambda self: self.slot is None)
    @rule(kill_in=st.integers(-1, 12), partial=st.integers(0, 900), surplus=st.booleans())
    def adopt(self, kill_in: int, partial: int, surplus: bool) -> None:
        """Delivery looks after the slots that nobody holds."""
        self.disk.kill_in, self.disk.partial = kill_in, partial
        self.attempt(lambda: Adopter(self.root, SETTINGS, surplus_after_s=-1 if surplus else 60).scan())
        if kill_in == -1:
            with contextlib.closing(JournalReader(self.root)) as reader:
                for stream, lines in self.model.items():
                    if stream not in self.cut and lines:
                        reader.streams()
                        assert reader.end(stream) == sum(map(len, lines)), "adopted up to the last published line"

    @rule(seed=st.integers(0, 2**32))
    def power_cut(self, seed: int) -> None:
        """The machine loses power: what was not synced is there, torn, zero, or gone."""
        self.gone()
        dice = random.Random(seed)
        for path in sorted(self.root.rglob("*")):
            if not path.is_file() or path.name == "lock":
                continue
            if path.name == "ring":
                self.age_ring(path, dice)
            elif path.suffix in (".ndjson", ".idx", ".json"):
                tear(path, self.disk.synced.get(str(path), b""), dice)
        for path in self.root.rglob("ring"):
            self.cut.add(path.read_bytes()[16:32].hex())
        self.cut.update(self.model)
        self.boot(uuid.UUID(int=self.boot_id.int + 1))
        self.follower.close()  # it has died too; its cursors have not
        self.follower = JournalReader(self.root)

    def age_ring(self, path: Path, dice: random.Random) -> None:
        """Pages of the ring are written back at any time: take an old header, and lose some of the pages."""
        content = bytearray(path.read_bytes())
        stream = bytes(content[16:32]).hex()
        if stream in self.headers:
            content[: ring_module.HEADER_BYTES] = dice.choice(self.headers[stream])
        for page in range(ring_module.HEADER_BYTES, len(content), 4096):
            if dice.random() < 0.5:
                content[page : page + 4096] = bytes(len(content[page : page + 4096]))
        fd = os.open(path, os.O_RDWR)
        os.pwrite(fd, content, 0)
        os.close(fd)

    @rule()
    def follow(self) -> None:
        """Delivery, which lives on while workers die, reads a block further: the next lines, nothing skipped."""
        for stream in self.follower.streams():
            at = self.followed.get(stream, 0)
            chunk = self.follower.read(stream, at, 1)
            assert not chunk.damaged_bytes and not chunk.expired_bytes, chunk
            assert b"".join(chunk.lines) == b"".join(self.model.get(stream, []))[at : chunk.end]
            self.followed[stream] = chunk.end

    # -- what must hold at every instant

    @invariant()
    def the_journal_is_a_prefix_of_what_was_published(self) -> None:
        self.note_durable()
        with contextlib.closing(JournalReader(self.root)) as reader:
            for stream in reader.streams():
                lines = self.model.get(stream, [])
                got: list[bytes] = []
                at = 0
                while (chunk := reader.read(stream, at, 1500)).end > at:
                    assert not chunk.damaged_bytes and not chunk.expired_bytes, chunk
                    assert chunk.offset == at
                    got += chunk.lines
                    at = chunk.end
                assert got == lines[: len(got)], "only what was published, in order, byte for byte"
                seal = reader.sealed(stream)
                if seal is not None or stream not in self.cut:  # an old header shows less until somebody recovers it
                    assert len(got) >= self.durable.get(stream, 0), "what was durable stays"
                if seal is not None:
                    assert seal.last_seq == len(got)
                    assert len(got) == len(lines) or (stream in self.cut and seal.gap != "none"), "a gap is said"
            for stream, count in self.durable.items():
                assert not count or stream in reader.streams()


def segment_line(event: Event) -> bytes:
    """The event's line as it was stamped."""
    from tracker.event import encode_line

    return encode_line(event)


def tear(path: Path, synced: bytes, dice: random.Random) -> None:
    """What a power cut leaves of a file: what was synced, and of the rest some pages, zeros, or nothing."""
    content = path.read_bytes()
    how = dice.choice(["kept", "lost", "zeros", "torn", "short"])
    if how == "lost" or not content.startswith(synced):
        result = synced
    elif how == "zeros":
        result = synced + bytes(len(content) - len(synced))
    elif how == "torn":
        rest = bytearray(content[len(synced) :])
        for i in range(0, len(rest), 512):
            if dice.random() < 0.5:
                rest[i : i + 512] = bytes(len(rest[i : i + 512]))
        result = synced + bytes(rest)
    elif how == "short":
        result = content[: dice.randint(len(synced), len(content))]
    else:
        result = content
    path.write_bytes(result)


RingAndJournal.TestCase.settings = settings(
    max_examples=SCHEDULES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRingAndJournal = RingAndJournal.TestCase
