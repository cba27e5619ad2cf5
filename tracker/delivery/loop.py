"""One collector's loop: read, choose, deliver, commit. It has its own thread, its own cursor and its own troubles.

Rules
1. Peek, deliver, then commit: a position enters the cursor when everything before it was delivered, set down as a dead
   letter, listed as a gap, or not wanted. The cursor is saved at most once a second, and at the end.
2. Whatever raises is tried again with pauses of 0.1 s to 30 s, jittered, for ever, with the same batch. One warning
   when the trouble begins, one line when it ends.
3. Streams take turns of one chunk each. Within a stream events come in order; a batch may hold several streams.
4. A line that is no event goes to the dead letters and is passed; so does an event that the collector rejects.
5. Told to stop, it delivers what is durable while the time allows; in trouble, or when the time is up, it leaves the
   rest to the next start.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from tracker.clock import now_text
from tracker.delivery.choice import choice
from tracker.delivery.losses import DeadLetter, Gap, Losses
from tracker.delivery.plugin import Collector, Item, Rejection
from tracker.delivery.status import Status
from tracker.event import decode_line
from tracker.journal import cursor
from tracker.journal.cursor import Cursor, Position
from tracker.journal.reader import Chunk
from tracker.journal.seal import Seal
from tracker.settings import model

log = logging.getLogger("tracker.delivery")

BATCH_EVENTS: Final = 500
"""Most events in one call of ``deliver``."""
BATCH_BYTES: Final = 1_048_576
"""A batch is handed over at the first line past this size."""
CHUNK_BYTES: Final = 262_144
"""What one stream may bring in its turn."""
COMMIT_EVERY_S: Final = 1.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 30.0
IDLE_FIRST_S: Final = 0.01
IDLE_LONGEST_S: Final = 0.1
"""How long an idle loop sleeps: each time twice as long, up to this."""
FORGET_AFTER_S: Final = 60.0
"""A stream's position is dropped when the stream has not been there for so long: a folder may be away for a moment."""

_START: Final = Position(0, 0)

T = TypeVar("T")


class Journal(Protocol):
    """What a loop needs of the journal; see ``journal.reader.JournalReader``."""

    def streams(self) -> list[str]:
        """Ids of the streams that are there."""

    def start(self, stream: str) -> int:
        """Oldest offset that is still there."""

    def end(self, stream: str) -> int:
        """End of what may be read."""

    def read(self, stream: str, offset: int, max_bytes: int = ...) -> Chunk:
        """Whole lines from ``offset`` on."""

    def sealed(self, stream: str) -> Seal | None:
        """The stream's seal, if it has one."""

    def close(self) -> None:
        """Let go."""


class _Stopped(Exception):
    """Told to stop while something did not work."""


class Loop:
    """Delivers to one collector."""

    def __init__(
        self, name: str, settings: model.Collector, collector: Collector, journal: Journal, data_dir: Path
    ) -> None:
        """Touches nothing; ``run`` does, and closes the collector and the journal."""
        self.status = Status(collector=name, type=settings.type)
        """Counts, state and errors; the owner of the loop adds what only it knows. Others read it."""
        self.cursor = Cursor(cursor.cursor_path(data_dir, name), name)
        self._takes = choice(settings)
        self._collector = collector
        self._journal = journal
        self._data_dir = data_dir
        self._losses = Losses(data_dir, name)
        self._batch: list[Item] = []
        self._places: list[tuple[str, int]] = []  # of each item: stream, offset
        self._batch_bytes = 0
        self._ahead: dict[str, Position] = {}  # read, and not delivered
        self._finished: set[str] = set()  # sealed, and read to the end
        self._gone_since: dict[str, float] = {}
        self._dirty = False
        self._commit_failed = False
        self._committed_at = 0.0
        self._told_unreadable_at = float("-inf")
        self._stop = threading.Event()
        self._drain_s = 0.0
        self._deadline = float("inf")
        self._unread: dict[str, tuple[int, float]] = {}  # streams that the disk does not give: tries, when next

    # --- the thread

    def run(self, stop: threading.Event, drain_s: float) -> None:
        """Deliver until told to stop; then for up to ``drain_s`` seconds what is durable by then. Never raises."""
        self._stop, self._drain_s = stop, drain_s
        try:
            self._persist(self._begin)
            self._persist(self._collector.open)
            pause = IDLE_FIRST_S
            while not stop.is_set():
                if self._persist(self._round):
                    pause = IDLE_FIRST_S
                else:
                    stop.wait(pause)
                    pause = min(2 * pause, IDLE_LONGEST_S)
            goal = self._persist(lambda: {stream: self._journal.end(stream) for stream in self._journal.streams()})
            while self._in_time() and not self._reached(goal) and self._persist(self._round):
                pass
        except _Stopped:
            pass
        self._commit()
        try:
            self._collector.close()
            self._journal.close()
        except (Exception, SystemExit) as error:
            log.warning("collector %s did not close in order: %s", self.status.collector, _said(error))
        self.status.state = "stopped"

    def _persist(self, action: Callable[[], T]) -> T:
        """The action's result, however often it has to be tried. Raises ``_Stopped`` if told to stop meanwhile."""
        status, tries, began = self.status, 0, time.monotonic()
        while True:
            try:
                result = action()
            except _Stopped:
                raise
            except (Exception, SystemExit) as error:  # a plugin's sys.exit() is its own trouble, not ours
                status.retries += 1
                status.error, status.error_at = _said(error), now_text()
                if not tries:
                    log.warning("collector %s waits; nothing is lost: %s", status.collector, status.error)
                status.state = "retrying"
            else:
                if tries:
                    log.info("collector %s goes on after %d tries in %.1f s", status.collector, tries + 1,
                             time.monotonic() - began)
                status.state = "running"
                return result
            self._commit_if_due()
            if self._stop.wait(_pause(tries)):
                raise _Stopped
            tries += 1

    def _begin(self) -> None:
        own = cursor.load(self._data_dir, self.status.collector)
        if own.problem:
            problem, kept = own.problem, own.set_aside()
            self.status.cursors_set_aside += 1
            log.error("the cursor of collector %s cannot be used (%s); it is kept as %s, and delivery begins again at"
                      " the oldest event of the journal", self.status.collector, problem, kept.name)
        if not own.known:
            own.streams = {stream: self._first(stream) for stream in self._journal.streams()}
            self._dirty = True
        self.cursor = own

    def _first(self, stream: str) -> Position:
        """Where a collector begins that never had a position: what is gone by now is not missed by it."""
        start = self._journal.start(stream)
        chunk = self._journal.read(stream, start, 1)
        return Position(chunk.end if chunk.expired_bytes and not chunk.lines else start, 0)

    def _in_time(self) -> bool:
        if self._stop.is_set() and self._deadline == float("inf"):
            self._deadline = time.monotonic() + self._drain_s
        return time.monotonic() < self._deadline

    def _reached(self, goal: dict[str, int]) -> bool:
        return all(self.cursor.streams.get(stream, _START).offset >= end for stream, end in goal.items())

    # --- one round over the streams

    def _round(self) -> bool:
        """Give every stream its turn; whether there was anything."""
        self._batch, self._places, self._batch_bytes = [], [], 0  # of a round that raised
        self._ahead.clear()
        moved = False
        streams = self._journal.streams()
        self._forget(streams)
        for stream in streams:
            if stream not in self._finished and self._in_time():
                moved |= self._turn(stream)
        self._hand_over()
        return moved

    def _turn(self, stream: str) -> bool:
        """Read one chunk of the stream and put what is wanted into the batch; whether there was anything."""
        position = self.cursor.streams.get(stream, _START)
        chunk = self._read(stream, position.offset)
        if chunk is None:
            return False
        if chunk.end == position.offset:
            seal = self._journal.sealed(stream)
            if seal is not None and position.offset >= seal.end:
                self._finished.add(stream)
            return False
        seq = position.seq
        if chunk.offset > position.offset:
            self._skipped(stream, position, chunk)
            seq = 0
        at = chunk.offset
        for line in chunk.lines:
            start, at = at, at + len(line)
            try:
                event = decode_line(line)
            except ValueError as error:
                self._unreadable(stream, start, line, str(error))
                seq = 0
            else:
                if seq and event.seq != seq + 1:
                    self._out_of_sequence(stream, start, seq, event.seq)
                seq = event.seq
                if self._takes(event):
                    self._batch.append(Item(event, line))
                    self._places.append((stream, start))
                    self._batch_bytes += len(line)
                    if len(self._batch) >= BATCH_EVENTS or self._batch_bytes >= BATCH_BYTES:
                        self._ahead[stream] = Position(at, seq)
                        self._hand_over()
        self._ahead[stream] = Position(chunk.end, seq)
        return True

    def _read(self, stream: str, offset: int) -> Chunk | None:
        """The next chunk; None if the disk does not give it now. One bad stream keeps no other one back."""
        tries, next_at = self._unread.get(stream, (0, 0.0))
        if time.monotonic() < next_at:
            return None
        try:
            chunk = self._journal.read(stream, offset, CHUNK_BYTES)
        except OSError as error:
            self._unread[stream] = (tries + 1, time.monotonic() + _pause(tries))
            self.status.error, self.status.error_at = _said(error), now_text()
            if not tries:
                log.warning("stream %s cannot be read at %d, collector %s tries again: %s",
                            stream, offset, self.status.collector, self.status.error)
            return None
        self._unread.pop(stream, None)
        return chunk

    def _hand_over(self) -> None:
        """Deliver the batch; then what was read may enter the cursor."""
        if self._batch:
            batch, places, size = self._batch, self._places, self._batch_bytes
            rejections = self._persist(lambda: _rejections(self._collector, batch))
            if rejections:
                self._rejected(batch, places, rejections)
            self.status.delivered_events += len(batch)
            self.status.delivered_bytes += size
            self._batch, self._places, self._batch_bytes = [], [], 0
        if self._ahead:
            self.cursor.streams.update(self._ahead)
            self._ahead.clear()
            self._dirty = True
        self._commit_if_due()

    # --- what is lost, and said

    def _rejected(self, batch: list[Item], places: list[tuple[str, int]], rejections: dict[str, str]) -> None:
        letters, size = [], 0
        for (event, line), (stream, offset) in zip(batch, places, strict=True):
            if (reason := rejections.get(event.id)) is not None:
                letters.append(DeadLetter(stream=stream, offset=offset, seq=event.seq, id=event.id, reason=reason,
                                          event=msgspec.Raw(line.rstrip())))
                size += len(line)
        strangers = len(rejections.keys() - {event.id for event, _ in batch})
        if strangers:
            log.error("collector %s rejected %d ids that were not in its batch", self.status.collector, strangers)
        if letters:
            self._persist(lambda: self._losses.dead(letters))
            self.status.rejected += len(letters)
            self.status.delivered_events -= len(letters)
            self.status.delivered_bytes -= size

    def _unreadable(self, stream: str, offset: int, line: bytes, reason: str) -> None:
        letter = DeadLetter(stream=stream, offset=offset, reason=f"not an event: {reason}", line=line)
        self._persist(lambda: self._losses.dead([letter]))
        self.status.unreadable += 1
        if time.monotonic() - self._told_unreadable_at > 60:
            self._told_unreadable_at = time.monotonic()
            log.error("stream %s has a line at %d that is no event; collector %s skips it, and all such (%d so far)",
                      stream, offset, self.status.collector, self.status.unreadable)

    def _skipped(self, stream: str, position: Position, chunk: Chunk) -> None:
        gap = Gap(stream=stream, start=position.offset, end=chunk.offset, after_seq=position.seq,
                  expired_bytes=chunk.expired_bytes, damaged_bytes=chunk.damaged_bytes)
        self._persist(lambda: self._losses.gap(gap))
        self.status.expired_bytes += chunk.expired_bytes
        self.status.damaged_bytes += chunk.damaged_bytes
        log.error("collector %s: bytes %d to %d of stream %s are lost to it (%d expired, %d damaged)",
                  self.status.collector, gap.start, gap.end, stream, gap.expired_bytes, gap.damaged_bytes)

    def _out_of_sequence(self, stream: str, offset: int, before: int, now: int) -> None:
        gap = Gap(stream=stream, start=offset, end=offset, after_seq=before, before_seq=now)
        self._persist(lambda: self._losses.gap(gap))
        self.status.missing_seqs += max(1, now - before - 1)
        log.error("stream %s goes from seq %d to %d at %d", stream, before, now, offset)

    # --- the cursor

    def _forget(self, streams: list[str]) -> None:
        """Drop what retention has removed."""
        if len(self.cursor.streams) <= len(streams) and self.cursor.streams.keys() <= set(streams):
            self._gone_since.clear()
            return
        gone = self.cursor.streams.keys() - set(streams)
        now = time.monotonic()
        self._gone_since = {stream: self._gone_since.get(stream, now) for stream in gone}
        for stream, since in self._gone_since.items():
            if now - since > FORGET_AFTER_S:
                del self.cursor.streams[stream]
                self._finished.discard(stream)
                self._dirty = True

    def _commit_if_due(self) -> None:
        if self._dirty and time.monotonic() - self._committed_at >= COMMIT_EVERY_S:
            self._commit()

    def _commit(self) -> None:
        """Save the cursor, if it has moved. A failure is tried again in a second: delivery need not wait for it."""
        if not self._dirty:
            return
        self._committed_at = time.monotonic()
        try:
            self.cursor.save()
        except OSError as error:
            self.status.error, self.status.error_at = _said(error), now_text()
            if not self._commit_failed:
                log.warning("the cursor of collector %s cannot be saved; a restart would deliver again: %s",
                            self.status.collector, self.status.error)
            self._commit_failed = True
        else:
            self._dirty = self._commit_failed = False


def _rejections(collector: Collector, batch: list[Item]) -> dict[str, str]:
    """Deliver, and what was rejected: reason by id. Raises what the collector raises, also for an odd answer."""
    answer: list[Rejection] = list(collector.deliver(tuple(batch)))
    return {str(rejection.id): str(rejection.reason) for rejection in answer}


def _pause(tries: int) -> float:
    """Seconds to wait after so many failed tries. Jittered: what was away is not met by everybody at once."""
    return float(min(FIRST_PAUSE_S * 2.0 ** min(tries, 20), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]

