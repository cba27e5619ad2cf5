"""The reader: whole, checked, durable lines of every stream, for delivery, tail, trace and verify.

Rules
1. Nothing beyond ``durable`` is ever read: what was delivered cannot be taken back by a power cut.
2. A line is given out only if every block it touches fits its CRC. What does not fit is skipped and said
   (``damaged_bytes``), never guessed.
3. What is gone (expired by the hard limits, or a hole) is skipped and said (``expired_bytes``).
4. It writes nothing and holds no lock; streams may appear, be sealed, or lose old segments while it looks.

A reader belongs to one thread.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from tracker.capture.ring import Positions, RingError
from tracker.journal import segment
from tracker.journal.seal import Seal, read_seal

_STREAM = re.compile(r"^[0-9a-f]{32}$")


class Chunk(NamedTuple):
    """What one read gave."""

    lines: list[bytes]
    """Whole lines, each with its newline."""
    offset: int
    """Where the first line begins; more than asked if something was skipped."""
    end: int
    """Where to go on. Equal to what was asked: nothing new yet."""
    damaged_bytes: int = 0
    """Skipped: bytes that do not fit their CRC, or that no index record vouches for."""
    expired_bytes: int = 0
    """Skipped: bytes that the journal no longer has."""


class Part(NamedTuple):
    """One segment as it counts: from ``start`` up to ``end``, where the next one begins or ``durable`` ends it."""

    start: int
    end: int


class JournalReader:
    """Reads the journal under a data folder."""

    def __init__(self, data_dir: Path) -> None:
        """Opens nothing yet; the folder need not be there."""
        self._journal = data_dir / "journal"
        self._rings: dict[str, Positions] = {}  # by stream
        self._inodes: dict[str, int] = {}  # by slot: the ring file last looked at
        self._seals: dict[str, Seal] = {}
        self._indexes: dict[tuple[str, int], segment.Index] = {}

    def streams(self) -> list[str]:
        """Ids of the streams that have a folder, in order; also looks for new rings and seals."""
        try:
            found = sorted(name for name in os.listdir(self._journal / "streams") if _STREAM.match(name))
        except FileNotFoundError:
            found = []
        # After the listing: a stream's ring is there before its folder, and its seal before its ring goes.
        self._find_rings()
        alive = set(found)
        for stream in [stream for stream in self._seals if stream not in alive]:
            del self._seals[stream]
        for stream in [stream for stream in self._rings if stream in self._seals]:
            self._rings.pop(stream).close()  # the seal has the last word
        self._indexes = {key: index for key, index in self._indexes.items() if key[0] in alive}
        return found

    def folder(self, stream: str) -> Path:
        """The stream's folder."""
        return self._journal / "streams" / stream

    def sealed(self, stream: str) -> Seal | None:
        """The stream's seal, or None. A seal that cannot be read counts as none."""
        if stream not in self._seals:
            try:
                seal = read_seal(self.folder(stream))
            except ValueError:
                return None
            if seal is None:
                return None
            self._seals[stream] = seal
        return self._seals[stream]

    def positions(self, stream: str) -> Positions | None:
        """The positions of the stream's ring, or None if no slot has one."""
        return self._rings.get(stream)

    def start(self, stream: str) -> int:
        """Oldest offset that is still there; 0 if there is no segment."""
        offsets = segment.offsets(self.folder(stream))
        return offsets[0] if offsets else 0

    def end(self, stream: str) -> int:
        """End of what may be read, behind a newline."""
        seal = self.sealed(stream)
        if seal is not None:
            return seal.end
        ring = self._rings.get(stream)
        if ring is not None:
            return ring.durable
        # No ring says what is durable (a journal copied here for a look): what the index vouches for, in whole lines.
        for offset in reversed(segment.offsets(self.folder(stream))):
            for block in reversed(segment.Index(self.folder(stream), stream, offset).blocks):
                if block.flags & segment.LINE_END:
                    return block.end
        return 0

    def parts(self, stream: str, end: int) -> list[Part]:
        """The segments that count up to ``end``, in order."""
        offsets = [offset for offset in segment.offsets(self.folder(stream)) if offset <= end]
        return [Part(start, stop) for start, stop in zip(offsets, [*offsets[1:], end], strict=False)]

    def index(self, stream: str, part: Part) -> segment.Index:
        """The index of one segment, with what has become durable since the last look.

        Never more: what stands beyond ``durable`` may be cut off after a kill, and come again in other blocks.
        """
        known = self._indexes.get((stream, part.start))
        if known is None:
            known = segment.Index(self.folder(stream), stream, part.start, part.end)
            self._indexes[stream, part.start] = known
        else:
            known.refresh(part.end)
        return known

    def read(self, stream: str, offset: int, max_bytes: int = 1 << 20) -> Chunk:
        """Lines from ``offset`` (a line's beginning) on, at least one if there is one, else about ``max_bytes``.

        Raises ``OSError`` if a file cannot be read; a segment that retention has just removed counts as expired.
        """
        end = self.end(stream)
        if offset >= end:
            return Chunk([], offset, offset)
        for part in self.parts(stream, end):
            if part.end <= offset or part.start == part.end:
                continue
            at = max(offset, part.start)
            try:
                chunk = self._read_part(stream, part, at, max_bytes)
            except FileNotFoundError:
                chunk = Chunk([], part.end, part.end, expired_bytes=part.end - at)
            return chunk._replace(expired_bytes=chunk.expired_bytes + at - offset)
        return Chunk([], end, end, expired_bytes=end - offset)

    def _read_part(self, stream: str, part: Part, offset: int, max_bytes: int) -> Chunk:
        """One run of sound blocks. Trouble before it is skipped and said; trouble behind it waits for the next call."""
        index = self.index(stream, part)
        taken: list[bytes] = []
        begin = at = whole = offset  # the run: its begin, its end, and the end of its last whole line
        lost = False  # behind trouble: only a block that begins with a line is of use
        for number in index.between(offset, part.end):
            block = index.blocks[number]
            content = segment.read(self.folder(stream), part.start, block.start, block.end)
            follows = block.start <= at and not lost
            sound = segment.intact(block, content) and (follows or bool(block.flags & segment.LINE_START))
            if not (sound and follows):
                if whole > begin:
                    break
                taken.clear()
                begin = at = whole = block.start if sound else block.end
                lost = not sound
                if lost:
                    continue
            taken.append(content[max(0, at - block.start) :])
            at = block.end
            if block.flags & segment.LINE_END:
                whole = at
                if whole - begin >= max_bytes:
                    break
        if whole == begin:
            return Chunk([], part.end, part.end, damaged_bytes=part.end - offset)
        # A journal line holds no CR: splitlines splits at newlines only.
        lines = b"".join(taken)[: whole - begin].splitlines(keepends=True)
        return Chunk(lines, begin, whole, damaged_bytes=begin - offset)

    def _find_rings(self) -> None:
        slots = self._journal / "slots"
        try:
            names = os.listdir(slots)
        except FileNotFoundError:
            names = []
        for gone in set(self._inodes) - set(names):
            del self._inodes[gone]
        for name in names:
            try:
                inode = os.stat(slots / name / "ring").st_ino
                if self._inodes.get(name) == inode:
                    continue
                ring = Positions(slots / name / "ring")
            except (OSError, RingError):
                continue
            self._inodes[name] = ring.inode
            self._rings[ring.stream] = ring

    def close(self) -> None:
        """Let go of the mapped rings."""
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()
        self._inodes.clear()
