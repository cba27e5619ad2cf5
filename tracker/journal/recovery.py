"""Recovery: bringing the ring of a dead owner and its journal into agreement.

Invariants
1. A stream continues only if all of this holds: same boot, same file, ``journal end <= head``, the ring still holds
   everything past the journal's end, and the ring's lines follow the journal's last one by ``seq``.
2. Otherwise: what can be proven is brought into the journal, and the stream is sealed with its gap; never a guess.
3. It may die at any instruction; the next one starts from the same truth.

The caller holds the slot's lock. Where the stream goes on, it goes on at ``durable``: what the files hold past it is
cut off and comes again from the ring, for bytes that were never synced are not to be trusted.
"""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Literal, NamedTuple

from tracker.capture.ring import Ring
from tracker.clock import now_text
from tracker.journal import segment
from tracker.journal.seal import Cause, Seal, read_seal, write_seal
from tracker.journal.segment import Appender
from tracker.settings.model import Tracker

log = logging.getLogger("tracker.journal")


def journal_dir(data_dir: Path) -> Path:
    """The journal's folder under the data folder."""
    return data_dir / "journal"


def stream_dir(data_dir: Path, stream: str) -> Path:
    """A stream's folder: its segments and its seal."""
    return journal_dir(data_dir) / "streams" / stream


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
    folder = stream_dir(data_dir, ring.stream)
    seal = seal_of(folder)
    if seal is not None:  # a claim died between sealing and minting
        return Sealed(seal.end, seal.last_seq, seal.cause, seal.gap, list(seal.holes))
    head, durable = ring.head, ring.durable
    if ring.boot != boot:
        return _after_reboot(data_dir, ring, folder)
    end = _journal_end(folder, ring.stream)
    newest = (segment.offsets(folder) or [0])[-1]
    if end > head or newest > durable:
        _set_aside(data_dir, ring)
        gap: Literal["none", "possible"] = "none" if end >= head else "possible"
        return Sealed(end, _last_seq(folder, ring.stream, end), "journal_ahead", gap, [])
    hole = (end, durable) if end < durable and end < head - ring.capacity else None
    resume = durable if hole else min(end, durable)
    last_seq = _last_seq(folder, ring.stream, min(end, durable))
    try:
        last_seq = _follow(ring, resume, last_seq, hole=hole is not None)
    except ValueError as error:
        _set_aside(data_dir, ring)
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


def _set_aside(data_dir: Path, ring: Ring) -> None:
    """Keep what the ring holds past ``durable`` in ``quarantine/``: it cannot be believed, and is not to be lost."""
    if ring.head > ring.durable:
        folder = journal_dir(data_dir) / "quarantine"
        folder.mkdir(exist_ok=True)
        (folder / f"{ring.stream}-ring-{time.time_ns()}").write_bytes(ring.copy(ring.durable, ring.head))


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


def seal_of(folder: Path) -> Seal | None:
    """The stream's seal, or None; one that cannot be read is said, and counts as none."""
    try:
        return read_seal(folder)
    except ValueError as error:
        log.error("stream %s: %s", folder.name, error)
        return None


def seal_stream(data_dir: Path, stream: str, sealed: Sealed, successor: str = "") -> None:
    """Write the seal, unless there is one, or nothing that it could speak of. Raises ``OSError``."""
    folder = stream_dir(data_dir, stream)
    if seal_of(folder) is None and (sealed.end or sealed.gap != "none" or folder.exists()):
        segment.sync_newest(folder)  # the seal vouches for ``end``
        now = now_text()
        write_seal(folder, Seal(stream=stream, successor=successor, sealed_at=now, **sealed._asdict()))
        (log.info if sealed.gap == "none" else log.error)(
            "stream %s is sealed at %d (%s, gap: %s)", stream, sealed.end, sealed.cause, sealed.gap
        )
