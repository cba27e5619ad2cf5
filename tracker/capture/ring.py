"""The ring: a memory-mapped byte ring in a file, where an answered hit is safe from any process's death.

Invariants
1. One producer (the thread that owns the ring), one consumer (the flusher). No lock, no waiting.
2. Positions are byte offsets of the stream; they only grow. Byte ``p`` lives at ``p % capacity``.
3. ``durable <= head <= durable + capacity``. The bytes ``[durable, head)`` are intact: the producer stores only
   above ``head``, and never beyond ``durable + capacity``.
4. Bytes first, then ``head``, by one eight-byte store. A reader of ``head`` therefore sees whole lines only; a
   producer killed anywhere leaves either the old head or the new one. (Within the process the interpreter lock orders
   the two stores; another process reads the bytes only after the owner's death.)
5. ``head`` stands behind a newline, always. So does ``durable``.
6. A ring file belongs to one stream for its whole life. It is written full of zeros before use, so that its blocks
   are allocated and a store can neither fail nor raise SIGBUS on a full disk.

The page cache outlives the process: what was published survives ``kill -9``. It does not survive a power cut; that is
what ``durable`` says. Nothing here knows events, JSON or the journal.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tracker import disk

HEADER_BYTES: Final = 4096
MAGIC: Final = int.from_bytes(b"TRKRING1", "little")
"""First eight bytes of a ring file; the digit is the format's version."""

# Eight-byte words of the header. head and durable have cache lines of their own: two threads write them.
_MAGIC, _CAPACITY, _STREAM, _BOOT, _INODE, _CLEAN = 0, 1, 2, 4, 6, 7
_HEAD, _DURABLE = 64, 128

MIN_CAPACITY: Final = 65_536


class RingError(Exception):
    """The file is not a ring of this version, or contradicts itself; the text says which."""


class Ring:
    """One ring file, mapped. The owner publishes; the flusher takes views and moves ``durable``."""

    __slots__ = ("_at", "_data", "_fd", "_map", "_room", "_words", "capacity", "crowded", "path", "stream")

    def __init__(self, path: Path, fd: int) -> None:
        """Map an open ring file. Raises ``RingError``; then the descriptor is closed."""
        try:
            size = os.fstat(fd).st_size
            if size < HEADER_BYTES + MIN_CAPACITY:
                raise RingError(f"{size} bytes are too few for a ring")
            self._map = mmap.mmap(fd, size)  # MAP_SHARED, read and write
            # NOTE: positions are stored through this view only: one aligned store, never seen torn.
            # struct.pack_into zeroes its target first, and another process would now and then read 0.
            self._words = memoryview(self._map)[:HEADER_BYTES].cast("Q")
            words = self._words
            self.capacity: int = words[_CAPACITY]
            if words[_MAGIC] != MAGIC:
                raise RingError("no ring of this version (magic number differs)")
            if size != HEADER_BYTES + self.capacity:
                raise RingError(f"capacity {self.capacity} does not fit the file's {size} bytes")
            if not words[_DURABLE] <= words[_HEAD] <= words[_DURABLE] + self.capacity:
                raise RingError(f"head {words[_HEAD]} and durable {words[_DURABLE]} contradict each other")
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self.path = path
        self._data = memoryview(self._map)[HEADER_BYTES:]
        self.stream: str = bytes(self._map[_STREAM * 8 : _STREAM * 8 + 16]).hex()
        self._at: int = words[_HEAD]
        self._room = 0
        self.crowded = False
        """Whether at the producer's last look more than half was in use: time to wake the flusher."""

    @classmethod
    def open(cls, path: Path) -> Ring:
        """Map an existing ring. Raises ``FileNotFoundError`` or ``RingError``."""
        return cls(path, os.open(path, os.O_RDWR | os.O_CLOEXEC))

    @classmethod
    def create(cls, path: Path, capacity: int, stream: bytes, boot: bytes) -> Ring:
        """Make the ring of a new stream in place of whatever has this path; it is there whole or not at all.

        ``stream`` and ``boot`` are 16 bytes each. Raises ``OSError``, for instance on a full disk.
        """
        fresh = path.with_name(path.name + ".new")
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            header = bytearray(HEADER_BYTES)
            words = memoryview(header).cast("Q")
            words[_MAGIC], words[_CAPACITY], words[_INODE] = MAGIC, capacity, os.fstat(fd).st_ino
            header[_STREAM * 8 : _STREAM * 8 + 16] = stream
            header[_BOOT * 8 : _BOOT * 8 + 16] = boot
            disk.write_at(fd, header, 0)
            zeros = memoryview(bytes(min(capacity, 1 << 20)))
            for start in range(0, capacity, len(zeros)):
                disk.write_at(fd, zeros[: capacity - start], HEADER_BYTES + start)
            os.fsync(fd)
            os.rename(fresh, path)
            disk.sync_folder(path.parent)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd)

    # -- the producer's side

    def publish(self, lines: bytes | bytearray | memoryview) -> bool:
        """Store whole lines and publish them by one store. False if there is no room; then nothing has changed."""
        size = len(lines)
        head = self._at
        if size > self._room and not self._look(size):
            return False
        at = head % self.capacity
        end = at + size
        if end <= self.capacity:
            self._data[at:end] = lines
        else:
            cut = self.capacity - at
            view = memoryview(lines)
            self._data[at:] = view[:cut]
            self._data[: end - self.capacity] = view[cut:]
        self._room -= size
        self._at = head + size
        self._words[_HEAD] = self._at
        return True

    def _look(self, size: int) -> bool:
        """Look how much the flusher has freed; whether ``size`` bytes fit. Grants little, to look again in time:
        who leaves room for others (``Writer.append``) must see a crowded ring before it is three quarters full."""
        free = self.free
        self.crowded = free < self.capacity // 2
        self._room = min(free, max(size, 65_536 if self.crowded else self.capacity // 8))
        return size <= free

    @property
    def free(self) -> int:
        """How many bytes can be published before the flusher frees more."""
        return self.capacity - (self._at - self._words[_DURABLE])

    # -- the consumer's side

    def views(self, start: int, end: int) -> Iterator[memoryview]:
        """The bytes ``[start, end)`` as one or two views, without a copy. They must lie in what the ring holds."""
        if not max(0, self.head - self.capacity) <= start <= end <= self.head:
            raise ValueError(f"[{start}, {end}) is not in the ring")
        while start < end:
            at = start % self.capacity
            size = min(end - start, self.capacity - at)
            yield self._data[at : at + size]
            start += size

    def copy(self, start: int, end: int) -> bytes:
        """The bytes ``[start, end)``, copied out."""
        return b"".join(self.views(start, end))

    @property
    def head(self) -> int:
        """End of what is published."""
        return self._words[_HEAD]

    @property
    def durable(self) -> int:
        """End of what a power cut cannot take; the space before it is free."""
        return self._words[_DURABLE]

    @durable.setter
    def durable(self, position: int) -> None:
        if not self._words[_DURABLE] <= position <= self._words[_HEAD]:
            raise ValueError(f"durable cannot move from {self.durable} to {position} with head {self.head}")
        self._words[_DURABLE] = position

    # -- who and when

    @property
    def boot(self) -> bytes:
        """Boot id of the machine when the ring was made, 16 bytes."""
        return bytes(self._map[_BOOT * 8 : _BOOT * 8 + 16])

    @property
    def copied(self) -> bool:
        """Whether this file is a copy (clone, restore) of the one that was made: its inode is another."""
        return self._words[_INODE] != os.fstat(self._fd).st_ino

    @property
    def clean(self) -> bool:
        """Whether its last owner left in order, everything durable."""
        return bool(self._words[_CLEAN])

    def mark_clean(self, clean: bool) -> None:
        """Write the mark and sync the file, so that the mark itself survives a power cut."""
        if self.clean is not clean:
            self._words[_CLEAN] = clean
            os.fsync(self._fd)  # not mmap.flush: that would hold the interpreter lock

    def close(self) -> None:
        """Unmap. Views taken from it must be gone."""
        self._words.release()
        self._data.release()
        self._map.close()
        os.close(self._fd)


class Positions:
    """``stream``, ``head`` and ``durable`` of a ring, read-only: for readers in other processes."""

    __slots__ = ("_map", "_words", "capacity", "inode", "stream")

    def __init__(self, path: Path) -> None:
        """Raises ``OSError`` or ``RingError``."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if status.st_size < HEADER_BYTES:
                raise RingError("too short")
            self._map = mmap.mmap(fd, HEADER_BYTES, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")
        if self._words[_MAGIC] != MAGIC:
            raise RingError("no ring of this version (magic number differs)")
        self.inode: int = status.st_ino
        self.capacity: int = self._words[_CAPACITY]
        self.stream: str = bytes(self._map[_STREAM * 8 : _STREAM * 8 + 16]).hex()

    @property
    def head(self) -> int:
        """End of what is published."""
        return self._words[_HEAD]

    @property
    def durable(self) -> int:
        """End of what may be read from the journal."""
        return self._words[_DURABLE]

    def close(self) -> None:
        """Unmap."""
        self._words.release()
        self._map.close()
