"""The audit of a whole journal: does it keep its promises, and what was not looked at?

Rules
1. It reads files, not the reader: what the reader skips in silence for delivery's sake is what an audit is for.
2. A finding is a broken promise, or something that nobody should have to wonder about. A note is a fact that an owner
   wants to know and that breaks no promise: a seal, a client that sent an id twice.
3. What was not looked at is said, always, with its size. Silence means: looked at, and sound.
4. Memory is bounded: one segment's index, ``MAX_IDS`` fingerprints of eight bytes, ``MAX_LISTED`` findings a kind.
5. It may run beside a tracker at work: it looks at what was durable when it began. It writes nothing.

``verify_stream`` has the streams; what belongs to none of them is here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from tracker.capture.ring import Positions, RingError
from tracker.event import Event
from tracker.journal import segment
from tracker.journal.fingerprints import Fingerprints, fingerprint
from tracker.journal.reader import JournalReader
from tracker.journal.report import MAX_LISTED, Findings, Report
from tracker.journal.tracing import made_at_ms
from tracker.journal.verify_stream import StreamAudit

MAX_IDS: Final = 16_777_216
"""How many events' ids are compared: 128 MiB of fingerprints."""

Progress = Callable[[int, int], None]
"""Called now and then with bytes done and bytes to do."""


def audit(data_dir: Path, progress: Progress | None = None, max_ids: int = MAX_IDS) -> Report:
    """Audit the journal under a data folder. Errors of the disk are findings; nothing is raised for them."""
    return _Audit(data_dir, progress, max_ids).run()


class _Audit:
    """One audit."""

    def __init__(self, data_dir: Path, progress: Progress | None, max_ids: int) -> None:
        self._findings = Findings(data_dir)
        self._folder = data_dir / "journal"
        self._journal = JournalReader(data_dir)
        self._progress = progress
        self._ids = Fingerprints(max_ids)
        self._done = self._total = 0
        self._clock = ("", 0)

    def run(self) -> Report:
        """Look at everything."""
        report = self._findings.report
        try:
            ends = self._ends()
            report.streams = len(ends)
            for stream, end in ends.items():
                StreamAudit(self._journal, self._findings, stream, end, self._advance, self._see).run()
            self._repeated_ids(ends)
            self._rings()
            self._quarantine()
        finally:
            self._journal.close()
        for path in strays(self._folder):
            self._findings.add("stray", "does not belong here", path=path)
        return report

    def _ends(self) -> dict[str, int]:
        """What is durable of each stream now; sets the size of the work."""
        ends = {}
        for stream in self._journal.streams():
            try:
                ends[stream] = self._journal.end(stream)
                self._total += max(0, ends[stream] - self._journal.start(stream))
            except OSError as error:
                self._findings.add("unreadable", str(error), stream)
        return ends

    def _advance(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)

    # --- ids

    def _see(self, event: Event) -> None:
        """Remember an id, and whether the tracker made it: its own ids carry the hit's millisecond."""
        made = made_at_ms(event.id) if event.id[14:15] == "7" else None
        self._ids.add(event.id, own=made is not None and made == self._ms(event.received_at))

    def _ms(self, rfc3339: str) -> int:
        if self._clock[0] != rfc3339:  # many events share a millisecond
            try:
                self._clock = (rfc3339, round(datetime.fromisoformat(rfc3339).timestamp() * 1000))
            except (ValueError, OverflowError):
                self._clock = (rfc3339, -1)
        return self._clock[1]

    def _repeated_ids(self, ends: dict[str, int]) -> None:
        written_twice, clients = set(), 0
        for code, _, own in self._ids.repeated():
            if own > 1:
                written_twice.add(code)
            else:
                clients += 1
        if clients:
            self._findings.note(f"{clients} ids came more than once from clients; each time is an event of its own")
        if self._ids.left_out:
            self._findings.unchecked(f"{self._ids.left_out} events: too many to compare their ids")
        if not written_twice:
            return
        places: dict[str, list[str]] = {}
        for event_id, place in self._named(ends, written_twice):  # a second look, only now that there is what to name
            if event_id in places or len(places) < MAX_LISTED:
                places.setdefault(event_id, []).append(place)
        for event_id, found in sorted(places.items()):
            if len(found) > 1:
                self._findings.add("id_repeated", f"{event_id} stands {len(found)} times: {', '.join(found[:10])}")

    def _named(self, ends: dict[str, int], codes: set[int]) -> Iterator[tuple[str, str]]:
        """Id and place of every line whose fingerprint is one of these."""
        for stream, end in ends.items():
            try:
                offset = self._journal.start(stream)
                while offset < end and (chunk := self._journal.read(stream, offset)).end > offset:
                    for line in chunk.lines:
                        try:
                            head = segment.line_head(line)
                        except ValueError:
                            continue
                        if fingerprint(head.id) in codes:
                            yield head.id, f"stream {stream} seq {head.seq}"
                    offset = chunk.end
            except OSError as error:
                self._findings.add("unreadable", str(error), stream)

    # --- beside the streams

    def _rings(self) -> None:
        folder = self._folder / "slots"
        for slot in sorted(_names(folder)):
            path = folder / slot / "ring"
            try:
                ring = Positions(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, RingError) as error:
                self._findings.add("bad_ring", str(error), path=path)
                continue
            waiting = ring.head - ring.durable
            if waiting:
                where = f"the ring of slot {slot}, on their way to the journal"
                self._findings.unchecked(f"{waiting} bytes of stream {ring.stream} in {where}")
            ring.close()

    def _quarantine(self) -> None:
        sizes = []
        for name in _names(self._folder / "quarantine"):
            try:
                sizes.append(os.stat(self._folder / "quarantine" / name).st_size)
            except OSError:
                continue
        if sizes:
            self._findings.unchecked(f"{len(sizes)} files ({sum(sizes)} bytes), set aside in journal/quarantine")


# --- what belongs into a journal ---------------------------------------------------------------------------------

_JOURNAL = re.compile(r"slots|streams|quarantine|removed|refuse(\.new)?|counters(\.lock)?")
_STREAM = re.compile(r"[0-9a-f]{32}")
_IN_STREAM = re.compile(r"\d{20}\.(ndjson|idx)(\.new)?|sealed\.json(\.new)?")
_SLOT = re.compile(r"\d{1,4}")
_IN_SLOT = re.compile(r"lock|ring(\.new)?|counters")


def strays(journal: Path) -> Iterator[Path]:
    """Whatever is there and has no place in the format."""
    for name in sorted(_names(journal)):
        if not _JOURNAL.fullmatch(name):
            yield journal / name
    for folder, outer, inner in (("streams", _STREAM, _IN_STREAM), ("slots", _SLOT, _IN_SLOT)):
        for name in sorted(_names(journal / folder)):
            path = journal / folder / name
            if not outer.fullmatch(name) or not path.is_dir():
                yield path
                continue
            yield from (path / each for each in sorted(_names(path)) if not inner.fullmatch(each))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []

