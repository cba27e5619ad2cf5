"""Segments: a stream's bytes on disk, exactly as the ring held them, with an index of checked blocks beside them.

Format (version 1)
* ``DATA/journal/streams/<stream>/<offset>.ndjson``: named by the stream offset of its first byte, 20 digits. The
  bytes are the ring's bytes. A segment begins at a line's beginning. It ends where the next one begins, even if the
  file is longer: what lies beyond was given up after an I/O error and stands again in the next one.
* ``<offset>.idx``: a header (``HEADER``: magic, stream, offset, ``seq`` of the first line), then one record
  (``RECORD``) for each block of at most 64 KiB: end offset of the block in the stream, ``received_at`` of its first
  line in Unix ms, number of newlines, flags, CRC-32 of its bytes, CRC-32 of the record itself. All little-endian.

Invariants
1. A block's bytes are in the segment before its record is in the index. A record that fits vouches for its block.
2. Blocks follow each other without a hole. A block ends at a newline unless one line is longer than a block.
3. ``durable`` moves only after segment and index have been synced, and only to a newline.
4. A file on which a sync failed is never written or synced again: the stream goes on in a new segment at ``durable``.
5. Every write has a position of its own, so that a failed one is mended by repeating it.
6. The newest segment begins at or before ``durable``.

Nothing here knows rings, slots or threads; the caller brings bytes and calls one method at a time.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from tracker import disk

BLOCK_BYTES: Final = 65_536
"""Largest block."""
MAGIC: Final = b"TRKIDX\x00\x01"
"""First eight bytes of an index file; the last one is the format's version."""
HEADER: Final = struct.Struct("<8s16sQQ")
"""Magic, stream id, offset of the segment, ``seq`` of its first line."""
RECORD: Final = struct.Struct("<QQIIII")
"""End offset, first time (ms), newlines, flags, CRC-32 of the block, CRC-32 of the preceding 28 bytes."""
LINE_START: Final = 1
"""Flag: the block begins at the beginning of a line."""
LINE_END: Final = 2
"""Flag: the block ends with a newline."""

_END = attrgetter("end")
_NAME = re.compile(r"^(\d{20})\.ndjson$")


class Block(NamedTuple):
    """One index record, checked, with the block's own start."""

    start: int
    end: int
    first_time_ms: int
    lines: int
    flags: int
    crc: int


class LineHead(msgspec.Struct):
    """What the journal itself reads of a line."""

    id: str = ""
    stream: str = ""
    seq: int = 0
    received_at: str = ""


_LINE_HEAD = msgspec.json.Decoder(LineHead)


def line_head(line: bytes) -> LineHead:
    """The line's id, stream, seq and time. Raises ``ValueError`` if the line is no event."""
    try:
        return _LINE_HEAD.decode(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def data_path(folder: Path, offset: int) -> Path:
    """Path of the segment that begins at this offset."""
    return folder / f"{offset:020d}.ndjson"


def index_path(folder: Path, offset: int) -> Path:
    """Path of that segment's index."""
    return folder / f"{offset:020d}.idx"


def offsets(folder: Path) -> list[int]:
    """Where the stream's segments begin, in order. A folder that is not there has none."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for name in names if (match := _NAME.match(name)))


class Index:
    """An index file, read. Records that do not fit are left out; ``torn`` counts them.

    Only records up to a durable ``limit`` may be kept from one look to the next: what stands beyond may be cut off
    after a kill and written again with other blocks, in the same file.
    """

    __slots__ = ("_inode", "_start", "blocks", "first_seq", "folder", "offset", "size", "stream", "torn")

    def __init__(self, folder: Path, stream: str, offset: int, limit: int | None = None) -> None:
        """Read it, up to ``limit`` if given. A missing, foreign or cut file gives no blocks and ``first_seq`` 0."""
        self.folder, self.stream, self.offset = folder, stream, offset
        self._forget()
        self.refresh(limit)

    def _forget(self) -> None:
        self.blocks: list[Block] = []
        self.first_seq = 0
        self.torn = 0
        self.size = 0
        """Bytes of the file read so far."""
        self._inode = 0
        self._start = self.offset

    def refresh(self, limit: int | None = None) -> None:
        """Read what was appended since, up to ``limit``; all of it anew, if the file is another one now."""
        try:
            fd = os.open(index_path(self.folder, self.offset), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._forget()
            return
        try:
            status = os.fstat(fd)
            if status.st_ino != self._inode or status.st_size < self.size:
                self._forget()
                self._inode = status.st_ino
            if status.st_size == self.size:
                return
            content = os.pread(fd, status.st_size - self.size, self.size)
        finally:
            os.close(fd)
        if not self.size:
            if content[: HEADER.size - 8] != _header(self.stream, self.offset, 0)[:-8] or len(content) < HEADER.size:
                self.torn = int(bool(content))
                return
            self.first_seq = HEADER.unpack_from(content)[3]
            content = content[HEADER.size :]
            self.size = HEADER.size
        start = self._start
        taken = misfits = 0
        # The rest behind the last whole record is being written, or torn for ever.
        for at in range(0, len(content) - len(content) % RECORD.size, RECORD.size):
            end, first, lines, flags, crc, check = RECORD.unpack_from(content, at)
            if zlib.crc32(content[at : at + RECORD.size - 4]) != check or end <= start:
                # The block's own bounds are lost with its record, and with them where the next one starts.
                misfits += 1
                start = -1
            elif limit is not None and end > limit:
                break
            else:
                if start >= 0:
                    self.blocks.append(Block(start, end, first, lines, flags, crc))
                self._start = start = end
                self.torn += misfits
                taken, misfits = at + RECORD.size, 0
        self.size += taken
        if limit is None:
            self.torn += misfits

    def between(self, start: int, end: int) -> range:
        """Numbers of the blocks that touch ``[start, end)`` and do not reach beyond ``end``."""
        first = bisect_right(self.blocks, start, key=_END)
        return range(first, bisect_right(self.blocks, end, key=_END))


def read(folder: Path, offset: int, start: int, end: int) -> bytes:
    """Bytes ``[start, end)`` of the stream from the segment that begins at ``offset``; shorter if the file is."""
    fd = os.open(data_path(folder, offset), os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while start < end and (part := os.pread(fd, end - start, start - offset)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def intact(block: Block, content: bytes) -> bool:
    """Whether these bytes are the block's."""
    return len(content) == block.end - block.start and zlib.crc32(content) == block.crc


class Appender:
    """Appends one stream's bytes to its segments. Everything may raise ``OSError``; then call again later."""

    __slots__ = ("_age_s", "_data_fd", "_index_at", "_index_fd", "_line_end", "_opened_at", "_segment_bytes",
                 "durable", "end", "folder", "offset", "stream")

    def __init__(self, folder: Path, stream: str, position: int, segment_bytes: int, segment_age_s: float) -> None:
        """Go on at ``position``, which must be durable and behind a newline (or 0). Opens nothing yet."""
        self.folder = folder
        self.stream = stream
        self.durable = position
        """End of what is synced; always behind a newline."""
        self.end = position
        """End of the last whole block."""
        self.offset = -1
        """Where the open segment begins; -1 if none is open."""
        self._segment_bytes = segment_bytes
        self._age_s = segment_age_s
        self._opened_at = time.monotonic()
        self._line_end = position
        self._data_fd = self._index_fd = -1
        self._index_at = 0

    @property
    def dirty(self) -> bool:
        """Whether there is something to sync."""
        return self._line_end > self.durable

    def append(self, views: Callable[[int, int], Iterator[memoryview]], head: int) -> int:
        """Bring the bytes ``[end, head)`` into segments, block by block. Returns how many bytes.

        ``views(start, end)`` gives the stream's bytes; ``head`` stands behind a newline. It stops early where a new
        segment is due and the old one is not synced: sync, publish ``durable``, and call again. So no segment ever
        begins beyond the ``durable`` that others can see (invariant 6).
        """
        began = self.end
        while self.end < head:
            if self.offset >= 0 and self.end == self._line_end and self._due():
                if self.dirty:
                    break
                self._close()
            block = b"".join(views(self.end, min(head, self.end + BLOCK_BYTES)))
            newline = block.rfind(b"\n") + 1
            if newline:
                block = block[:newline]
            if self.offset < 0:
                self._open(block, views, head)
            self._write(block)
        return self.end - began

    def _due(self) -> bool:
        """Whether the open segment is long or old enough for a new one."""
        return (
            self.end - self.offset >= self._segment_bytes or time.monotonic() - self._opened_at >= self._age_s
        ) and self.end > self.offset

    def _write(self, block: bytes) -> None:
        end = self.end + len(block)
        whole_start, whole_end = self.end == self._line_end, block.endswith(b"\n")
        flags = (LINE_START if whole_start else 0) | (LINE_END if whole_end else 0)
        first_time_ms = _first_time(block) if whole_start else _now_ms()
        record = RECORD.pack(end, first_time_ms, block.count(b"\n"), flags, zlib.crc32(block), 0)[:-4]
        disk.write_at(self._data_fd, block, self.end - self.offset)
        disk.write_at(self._index_fd, record + zlib.crc32(record).to_bytes(4, "little"), self._index_at)
        self._index_at += RECORD.size
        self.end = end
        if whole_end:
            self._line_end = end

    def sync(self) -> int:
        """Make what was appended survive a power cut; returns ``durable``."""
        if self.dirty:
            disk.sync(self._data_fd)
            disk.sync(self._index_fd)
            self.durable = self._line_end
        return self.durable

    def abandon(self) -> None:
        """After an I/O error: leave the open segment for ever; the next append begins a new one at ``durable``."""
        if self.offset >= 0:
            self._close()
        self.end = self._line_end = self.durable

    def close(self) -> None:
        """Close the files. Nothing is synced."""
        if self.offset >= 0:
            self._close()

    def _open(self, block: bytes, views: Callable[[int, int], Iterator[memoryview]], head: int) -> None:
        """Begin a segment at ``end``: the index with its header first, so that no segment is without one."""
        offset = self.end
        self.folder.mkdir(parents=True, exist_ok=True)
        self._set_aside(offset)
        whole = block if block.endswith(b"\n") else b"".join(views(offset, head))
        try:
            first_seq = line_head(whole[: whole.index(b"\n")]).seq
        except ValueError:
            first_seq = 0  # not ours to refuse: the reader will say so
        index_fd = os.open(index_path(self.folder, offset), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            disk.write_at(index_fd, _header(self.stream, offset, first_seq), 0)
            disk.sync(index_fd)
            data_fd = os.open(data_path(self.folder, offset), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
            try:
                disk.sync_folder(self.folder)
            except BaseException:
                os.close(data_fd)
                raise
        except BaseException:
            os.close(index_fd)
            raise
        self._data_fd, self._index_fd, self.offset = data_fd, index_fd, offset
        self._index_at = HEADER.size
        self._opened_at = time.monotonic()

    def _set_aside(self, offset: int) -> None:
        """A segment of this name is there only if nothing of it became durable; keep its bytes for the curious."""
        try:
            if data_path(self.folder, offset).stat().st_size:
                quarantine(self.folder.parent.parent, data_path(self.folder, offset), self.stream)
        except FileNotFoundError:
            pass

    def _close(self) -> None:
        os.close(self._data_fd)
        os.close(self._index_fd)
        self._data_fd = self._index_fd = self.offset = -1


def resume(folder: Path, stream: str, position: int, segment_bytes: int, segment_age_s: float) -> Appender:
    """An appender that goes on at ``position``: what the newest segment has beyond it is cut off.

    The caller has proven that everything beyond is either worthless or held elsewhere. If ``position`` is not a
    block's end of the newest segment, the stream goes on in a new segment. Raises ``OSError``.
    """
    appender = Appender(folder, stream, position, segment_bytes, segment_age_s)
    starts = offsets(folder)
    if not starts or starts[-1] > position:
        return appender
    offset = starts[-1]
    index = Index(folder, stream, offset)
    kept = [block for block in index.blocks if block.end <= position]
    if not kept or kept[-1].end != position or index.torn:
        return appender  # a new segment, named by the position
    data_fd = os.open(data_path(folder, offset), os.O_RDWR | os.O_CLOEXEC)
    try:
        index_fd = os.open(index_path(folder, offset), os.O_RDWR | os.O_CLOEXEC)
    except BaseException:
        os.close(data_fd)
        raise
    index_size = HEADER.size + len(kept) * RECORD.size
    try:
        os.ftruncate(index_fd, index_size)
        os.ftruncate(data_fd, position - offset)
    except BaseException:
        os.close(data_fd)
        os.close(index_fd)
        raise
    appender._data_fd, appender._index_fd, appender.offset, appender._index_at = data_fd, index_fd, offset, index_size
    return appender


def sync_newest(folder: Path) -> None:
    """Make the newest segment and its index survive a power cut. Raises ``OSError``."""
    for offset in offsets(folder)[-1:]:
        for path in (data_path(folder, offset), index_path(folder, offset)):
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                disk.sync(fd)
            finally:
                os.close(fd)


def quarantine(journal: Path, path: Path, label: str) -> Path:
    """Move a file out of the journal into ``quarantine/``; returns where it is now."""
    folder = journal / "quarantine"
    folder.mkdir(exist_ok=True)
    target = folder / f"{label}-{path.name}-{time.time_ns()}"
    os.rename(path, target)
    return target


def _header(stream: str, offset: int, first_seq: int) -> bytes:
    return HEADER.pack(MAGIC, bytes.fromhex(stream), offset, first_seq)


def _first_time(block: bytes) -> int:
    """``received_at`` of the block's first line in Unix ms; the present if the line does not say.

    The pattern cannot occur inside a JSON string: there a quotation mark has a backslash before it.
    """
    at = block.find(b'"received_at":"', 0, block.find(b"\n"))
    try:
        return round(datetime.fromisoformat(block[at + 15 : at + 39].decode("ascii")).timestamp() * 1000)
    except ValueError:
        return _now_ms()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


IO_LOST: Final = frozenset({errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.EBADF, errno.ENXIO})
"""Errors after which a file is suspect. Others (a full disk) are answered by repeating the write."""
