"""The audit of one stream: every block against its record, every line of a sound block, every number.

Rules
1. Lines are read from sound blocks only. A line that touches a bad block, or a byte without a record, is lost.
2. Numbers that are missing are told together with the bytes that took them, if there are such bytes.
3. A loss that the stream's seal names is told once, as the seal's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tracker.event import Event, decode_line
from tracker.journal import segment
from tracker.journal.reader import JournalReader, Part
from tracker.journal.report import Findings, Kind
from tracker.journal.seal import Seal, read_seal, seal_path
from tracker.journal.segment import Block


class StreamAudit:
    """One stream, front to back."""

    def __init__(
        self, journal: JournalReader, findings: Findings, stream: str, end: int,
        advance: Callable[[int], None], see: Callable[[Event], None],
    ) -> None:  # fmt: skip
        """``end``: what is durable. ``advance`` hears of bytes that are done, ``see`` of every event."""
        self._journal = journal
        self._findings = findings
        self._report = findings.report
        self._stream = stream
        self._end = end
        self._advance = advance
        self._see = see
        self._folder = journal.folder(stream)
        self._seal: Seal | None = None
        self._last_seq: int | None = 0  # of the line before; None if that is not known
        self._lost_from = -1  # where bytes went missing since the last line, if they did

    def run(self) -> None:
        """Look at everything of it."""
        parts = [part for part in self._journal.parts(self._stream, self._end) if part.end > part.start]
        self._report.segments += len(parts)
        self._look_at_seal()
        first = parts[0].start if parts else self._end
        if first > 0 and (parts or self._seal is not None):
            self._findings.unchecked(f"bytes 0 to {first} of stream {self._stream}: they have expired")
        elif first > 0:  # retention never takes the newest segment of a stream that goes on
            self._find("hole", f"{first} bytes were durable, and no segment is there")
        if first > 0 and parts:
            first_seq = segment.Index(self._folder, self._stream, first).first_seq
            self._last_seq = first_seq - 1 if first_seq else None
        if self._seal is None and self._journal.positions(self._stream) is None:
            self._findings.note(
                f"stream {self._stream} has no ring and no seal: it was checked as far as its index vouches for it"
            )
        for part in parts:
            path = segment.data_path(self._folder, part.start)
            try:
                self._look_at_part(part, path)
                self._look_beyond(part, path, newest=part is parts[-1])
            except FileNotFoundError:
                self._findings.unchecked(f"bytes {part.start} to {part.end} of stream {self._stream}: gone just now")
                self._lose(part.start)
            except OSError as error:
                self._find("unreadable", error.strerror or str(error), part.start, path)
                self._lose(part.start)
        if parts:
            self._compare_with_seal()

    def _find(self, kind: Kind, message: str, offset: int = -1, path: Path | None = None) -> None:
        self._findings.add(kind, message, self._stream, offset, path)

    # --- the seal

    def _look_at_seal(self) -> None:
        path = seal_path(self._folder)
        try:
            seal = self._seal = read_seal(self._folder)
        except (OSError, ValueError) as error:
            self._find("bad_seal", str(error), path=path)
            return
        if seal is None:
            return
        self._report.sealed += 1
        if seal.stream != self._stream:
            self._find("bad_seal", f"it belongs to stream {seal.stream}", path=path)
        what = f"sealed at {seal.end} (seq {seal.last_seq}) on {seal.sealed_at}: {seal.cause}"
        if seal.gap == "known":
            holes = ", ".join(f"bytes {start} to {end}" for start, end in seal.holes) or "nobody knows how much"
            self._find("recorded_gap", f"{what}; lost: {holes}", path=path)
        else:
            said = "without a gap" if seal.gap == "none" else "what was not yet durable then may be lost"
            self._findings.note(f"stream {self._stream} was {what}; {said}")

    def _compare_with_seal(self) -> None:
        if self._seal is None or self._last_seq is None or self._seal.last_seq == self._last_seq:
            return
        if self._lost_from >= 0 and self._seal.last_seq > self._last_seq:
            self._tell_missing(self._last_seq + 1, self._seal.last_seq, self._lost_from, self._end)
            return
        said = f"it says that the last seq is {self._seal.last_seq}; the last line has {self._last_seq}"
        self._find("bad_seal", said, self._end, seal_path(self._folder))

    def _named(self, start: int, end: int) -> bool:
        """Whether the stream's seal already names this range as lost."""
        return self._seal is not None and any(first <= start and end <= last for first, last in self._seal.holes)

    # --- bytes

    def _look_at_part(self, part: Part, path: Path) -> None:
        """One segment: every block against its record, every line of a sound block."""
        index = segment.Index(self._folder, self._stream, part.start, part.end)
        if index.torn or not index.size:
            what = "has records that do not fit" if index.torn else "is not there"
            self._find("bad_index", f"the index {what}", part.start, segment.index_path(self._folder, part.start))
        at = rest_at = part.start
        rest = b""  # the beginning of a line that goes on in the next block
        for block in index.blocks:
            if block.start >= part.end:
                break
            if block.start > at:
                rest = self._cut_off(rest, rest_at)
                self._look_at_unvouched(at, block.start, part.start, path)
            content = segment.read(self._folder, part.start, block.start, block.end)
            self._advance(len(content))
            self._report.bytes += len(content)
            at = block.end
            if not segment.intact(block, content):
                rest = self._cut_off(rest, rest_at)
                self._tell_damaged(block, content, path)
                continue
            if not rest:
                rest_at = block.start
                if not block.flags & segment.LINE_START:
                    self._lose(block.start)
                    continue  # the rest of a line whose beginning is lost
            lines = (rest + content).splitlines(keepends=True)
            rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
            for line in lines:
                if rest_at < part.end:
                    self._look_at_line(line, rest_at, path)
                rest_at += len(line)
        self._cut_off(rest, rest_at)
        if at < part.end:
            self._look_at_unvouched(at, part.end, part.start, path)

    def _look_at_unvouched(self, start: int, end: int, begin: int, path: Path) -> None:
        """Bytes without a record in the segment that begins at ``begin``: they are there, or not even that."""
        there = max(start, min(end, begin + path.stat().st_size))
        if there > start and not self._named(start, there):
            self._find("no_record", f"{there - start} bytes", start, path)
        if end > there and not self._named(there, end):
            self._find("hole", f"{end - there} bytes are not there", there, path)
        self._lose(start)
        self._advance(end - start)

    def _look_beyond(self, part: Part, path: Path, *, newest: bool) -> None:
        """Bytes of the file that do not count, and are no fault."""
        size = path.stat().st_size - (part.end - part.start)
        if size > 0 and newest:
            why = "not durable yet" if self._seal is None else "past its seal"
            self._findings.unchecked(f"{size} bytes of stream {self._stream} from {part.end} on: {why}")
        elif size > 0:
            self._findings.note(
                f"{size} bytes of stream {self._stream} at the end of {path.name} were given up after an I/O error; "
                "they stand in the next segment"
            )

    def _tell_damaged(self, block: Block, content: bytes, path: Path) -> None:
        size, missing = block.end - block.start, block.end - block.start - len(content)
        if not self._named(block.start, block.end):
            if missing:
                self._find("hole", f"{missing} of the block's {size} bytes are not there", block.start, path)
            else:
                self._find("bad_block", f"{size} bytes with the ends of {block.lines} lines", block.start, path)
        self._lose(block.start)

    def _cut_off(self, rest: bytes, offset: int) -> bytes:
        """A line whose end is lost."""
        if rest:
            self._lose(offset)
        return b""

    def _lose(self, offset: int) -> None:
        if self._lost_from < 0:
            self._lost_from = offset

    # --- lines

    def _look_at_line(self, line: bytes, offset: int, path: Path) -> None:
        report = self._report
        try:
            event = decode_line(line)
        except ValueError as error:
            self._find("unparsable", f"{len(line)} bytes: {error}", offset, path)
            self._lose(offset)
            return
        if event.stream != self._stream:
            self._find("foreign", f"a line of stream {event.stream or '(none)'}", offset, path)
            self._lose(offset)
            return
        report.events += 1
        report.bad_lane += event.lane == "bad"
        if not report.oldest or event.received_at < report.oldest:
            report.oldest = event.received_at
        report.newest = max(report.newest, event.received_at)
        self._see(event)
        self._look_at_seq(event.seq, offset, path)

    def _look_at_seq(self, seq: int, offset: int, path: Path) -> None:
        before, lost_from = self._last_seq, self._lost_from
        if before is not None and seq <= before:
            self._find("seq_repeated", f"seq {seq} after {before}", offset, path)
            return
        self._last_seq, self._lost_from = seq, -1
        if before is None or seq == before + 1:
            return
        self._tell_missing(before + 1, seq - 1, lost_from, offset)

    def _tell_missing(self, first: int, last: int, lost_from: int, offset: int) -> None:
        """Numbers ``first`` to ``last`` have no line; the bytes ``lost_from`` to ``offset`` took them, unless -1."""
        numbers = f"seq {first}" if first == last else f"seq {first} to {last} ({last - first + 1} events)"
        if lost_from < 0:
            self._find("seq_gap", numbers, offset)
        elif not self._named(lost_from, offset):
            self._find("seq_unreadable", f"{numbers} in bytes {lost_from} to {offset}", lost_from)
