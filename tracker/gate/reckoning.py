"""The reckoning: every receipt that was given out, held against the journal and against the log collector's files.

Rules
1. A receipt is an event id in an answer that promises (``X-Event-Id``, and not ``X-Tracker-Ack: none``). Its event must
   stand in the journal once, and once in the files of every log collector that takes such events.
2. It is read what stands behind the place where journal and files ended before the run. Durable lines only; nothing is
   written. An event that is in no journal counts as lost by the log as well, unless some file has it.
3. Events without a receipt are told. At a tracker that had no other clients there may be no more of them than requests
   whose answer never came.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tracker.delivery.choice import choice
from tracker.event import Event, decode_line
from tracker.journal.reader import JournalReader
from tracker.settings import load

PATIENCE_S: Final = 8.0
"""How long events may take to arrive, counted from the last one that did."""
POLL_S: Final = 0.2
MOST_LISTED: Final = 10
_BEGINS: Final = b'{"id":"'

Progress = Callable[[int, int], None]
"""Called now and then with receipts found in both places and receipts in all."""


class Reckoning(msgspec.Struct, kw_only=True):
    """What was found."""

    data_dir: str
    receipts: int
    """Answers with the id of an event that is kept."""
    receipts_twice: int = 0
    """Ids that more than one answer bore."""
    journal_events: int = 0
    """Events behind the place where the journal ended before."""
    journal_lost: int = 0
    """Receipts whose event is not in the journal."""
    journal_repeated: int = 0
    """Receipts whose event is there more than once."""
    log_files: list[str] = []
    """Files of the log collectors; none: nothing is delivered to files here."""
    log_lost: int = 0
    log_repeated: int = 0
    unknown: int = 0
    """Events of the journal that no receipt is about."""
    damaged_bytes: int = 0
    examples: list[str] = []
    """The first ids that are lost or repeated, and where."""

    @property
    def sound(self) -> bool:
        """Whether every receipt has its event, once."""
        wrong = self.receipts_twice + self.journal_lost + self.journal_repeated + self.log_lost + self.log_repeated
        return not wrong and not self.damaged_bytes and self.receipts > 0


class _Log:
    """One log collector: what should be in its files, and what is."""

    def __init__(self, path: Path, takes: Callable[[Event], bool]) -> None:
        self.path = path
        self.takes = takes
        self.wanted: set[bytes] = set()
        self.found: Counter[bytes] = Counter()

    def files(self) -> list[tuple[Path, os.stat_result]]:
        """The live file and what it was rotated to."""
        found = []
        for path in sorted(self.path.parent.glob("*" + self.path.suffix)):
            if path == self.path or path.name.startswith(f"{self.path.stem}-"):
                try:
                    found.append((path, path.stat()))
                except FileNotFoundError:
                    continue
        return found


class Bookkeeper:
    """Made before the run; belongs to one thread."""

    def __init__(self, data_dir: Path) -> None:
        """Remember where journal and files end. Raises ``OSError``."""
        self._folder = data_dir
        self._journal = JournalReader(data_dir)
        self._ends = {stream: self._journal.end(stream) for stream in self._journal.streams()}
        self._logs = _logs(data_dir)
        self._sizes = {(file.st_dev, file.st_ino): file.st_size for log in self._logs for _, file in log.files()}
        self._in_journal: Counter[bytes] = Counter()
        self._damaged = 0

    def wait(self, receipts: Sequence[bytes], progress: Progress | None = None) -> None:
        """Until every receipt has been found in both places, or nothing has come for ``PATIENCE_S``."""
        wanted = set(receipts)
        until, before = time.monotonic() + PATIENCE_S, -1
        while True:
            self._read()
            absent = wanted - self._in_journal.keys()
            for log in self._logs:
                absent |= wanted & log.wanted - log.found.keys()
            found = len(wanted) - len(absent)
            if progress is not None:
                progress(found, len(wanted))
            now = time.monotonic()
            if found > before:
                before, until = found, now + PATIENCE_S
            if not absent or now > until:
                return
            time.sleep(POLL_S)

    def reckon(self, receipts: Sequence[bytes]) -> Reckoning:
        """Read what is left, and compare. Raises ``OSError``."""
        self._read()
        self._journal.close()
        given = Counter(receipts)
        found = Reckoning(
            data_dir=str(self._folder), receipts=len(receipts), journal_events=self._in_journal.total(),
            log_files=[str(path) for log in self._logs for path, _ in log.files()], damaged_bytes=self._damaged,
            unknown=sum(many for each, many in self._in_journal.items() if each not in given),
        )  # fmt: skip
        for event, times in given.items():
            found.receipts_twice += times > 1
            count = self._in_journal[event]
            if count != 1:
                self._note(found, "journal", event, count)
            in_logs = [log.found[event] for log in self._logs if event in log.wanted or log.found[event]]
            if self._logs and not count and not in_logs:
                in_logs = [0]
            for many in in_logs:
                if many != 1:
                    self._note(found, "log", event, many)
        return found

    def _note(self, found: Reckoning, where: str, event: bytes, count: int) -> None:
        what = f"{where}_{'repeated' if count else 'lost'}"
        setattr(found, what, getattr(found, what) + 1)
        if len(found.examples) < MOST_LISTED:
            said = f"{count} times" if count else "not"
            found.examples.append(f"{event.decode('ascii', 'replace')} is {said} in the {where}")

    def _read(self) -> None:
        for stream in self._journal.streams():
            at = self._ends.get(stream, 0)
            while True:
                chunk = self._journal.read(stream, at)
                self._damaged += chunk.damaged_bytes
                for line in chunk.lines:
                    self._enter(line)
                if chunk.end == at:
                    break
                at = chunk.end
            self._ends[stream] = at
        for log in self._logs:
            for path, file in log.files():
                self._read_file(log, path, file)

    def _enter(self, line: bytes) -> None:
        try:
            event = decode_line(line)
        except ValueError:
            self._damaged += len(line)
            return
        name = event.id.encode()
        self._in_journal[name] += 1
        for log in self._logs:
            if log.takes(event):
                log.wanted.add(name)

    def _read_file(self, log: _Log, path: Path, file: os.stat_result) -> None:
        inode = (file.st_dev, file.st_ino)
        size = self._sizes.get(inode, 0)
        if file.st_size <= size:
            return
        with path.open("rb") as content:
            content.seek(size)
            while block := content.readlines(1 << 20):
                whole = block if block[-1].endswith(b"\n") else block[:-1]
                log.found.update(_ids(whole))
                size += sum(map(len, whole))
                if len(whole) < len(block):  # it is being written
                    break
        self._sizes[inode] = size


def _logs(folder: Path) -> list[_Log]:
    """The log collectors, as the settings have them that the folder is served with."""
    try:
        settings = load.restore((folder / "run" / "settings.json").read_bytes())
    except (OSError, ValueError):
        return []
    found = []
    for each in settings.tracker.collectors.values():
        name = str(each.options.get("file", "events.ndjson"))
        if each.type == "log" and name != "-":
            found.append(_Log(folder / "log" / name, choice(each)))
    return found


def _ids(lines: list[bytes]) -> Iterator[bytes]:
    """The events' ids, which the journal's lines begin with."""
    for line in lines:
        if line.startswith(_BEGINS):
            yield line[len(_BEGINS) : line.index(b'"', len(_BEGINS))]
