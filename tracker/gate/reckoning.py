"""The reckoning: every receipt that was given out, held against the journal and against the log collector's files.

Rules
1. A receipt is an event id in an answer that promises (``X-Event-Id``, and not ``X-Tracker-Ack: none``). Its event must
   stand in the journal once, and once in the files of the log collectors.
2. It is read what stands behind the place where journal and files ended before the run. Durable lines only; nothing is
   written. The files are read on their own account: the journal is not asked what should be in them.
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

from tracker.journal.reader import JournalReader
from tracker.settings import load

PATIENCE_S: Final = 20.0
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


class Bookkeeper:
    """Made before the run; belongs to one thread."""

    def __init__(self, data_dir: Path) -> None:
        """Remember where journal and files end. Raises ``OSError``."""
        self._folder = data_dir
        self._journal = JournalReader(data_dir)
        self._ends = {stream: self._journal.end(stream) for stream in self._journal.streams()}
        self._sizes = {(file.st_dev, file.st_ino): file.st_size for _, file in self._files()}
        self._in_journal: Counter[bytes] = Counter()
        self._in_log: Counter[bytes] = Counter()
        self._damaged = 0

    def wait(self, receipts: Sequence[bytes], progress: Progress | None = None) -> None:
        """Until every receipt has been found in both places, or nothing has come for ``PATIENCE_S``."""
        wanted = set(receipts)
        until, before = time.monotonic() + PATIENCE_S, -1
        while True:
            self._read()
            found = len(wanted & self._in_journal.keys())
            if self._files():
                found = min(found, len(wanted & self._in_log.keys()))
            if progress is not None:
                progress(found, len(wanted))
            now = time.monotonic()
            if found > before:
                before, until = found, now + PATIENCE_S
            if found == len(wanted) or now > until:
                return
            time.sleep(POLL_S)

    def reckon(self, receipts: Sequence[bytes]) -> Reckoning:
        """Read what is left, and compare. Raises ``OSError``."""
        self._read()
        self._journal.close()
        given = Counter(receipts)
        files = [str(path) for path, _ in self._files()]
        found = Reckoning(
            data_dir=str(self._folder), receipts=len(receipts), journal_events=self._in_journal.total(),
            log_files=files, damaged_bytes=self._damaged,
            unknown=sum(many for each, many in self._in_journal.items() if each not in given),
        )  # fmt: skip
        for event, times in given.items():
            found.receipts_twice += times > 1
            for where, count in (("journal", self._in_journal[event]), ("log", self._in_log[event])):
                if count == 1 or (where == "log" and not files):
                    continue
                what = f"{where}_{'repeated' if count else 'lost'}"
                setattr(found, what, getattr(found, what) + 1)
                if len(found.examples) < MOST_LISTED:
                    said = f"{count} times" if count else "not"
                    found.examples.append(f"{event.decode('ascii', 'replace')} is {said} in the {where}")
        return found

    def _read(self) -> None:
        for stream in self._journal.streams():
            at = self._ends.get(stream, 0)
            while True:
                chunk = self._journal.read(stream, at)
                self._damaged += chunk.damaged_bytes
                self._in_journal.update(_ids(chunk.lines))
                if chunk.end == at:
                    break
                at = chunk.end
            self._ends[stream] = at
        for path, file in self._files():
            inode = (file.st_dev, file.st_ino)
            size = self._sizes.get(inode, 0)
            if file.st_size <= size:
                continue
            with path.open("rb") as content:
                content.seek(size)
                while block := content.readlines(1 << 20):
                    whole = block if block[-1].endswith(b"\n") else block[:-1]
                    self._in_log.update(_ids(whole))
                    size += sum(map(len, whole))
                    if len(whole) < len(block):  # it is being written
                        break
            self._sizes[inode] = size

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """The live files of the log collectors and what they were rotated to."""
        found: dict[Path, os.stat_result] = {}
        for live in self._live():
            begin, end = live.stem, live.suffix
            for path in sorted(live.parent.glob(f"{begin}*{end}")):
                try:
                    found[path] = path.stat()
                except FileNotFoundError:
                    continue
        return list(found.items())

    def _live(self) -> list[Path]:
        """As the settings have them that the folder is served with."""
        try:
            settings = load.restore((self._folder / "run" / "settings.json").read_bytes())
        except (OSError, ValueError):
            return []
        names = [
            str(each.options.get("file", "events.ndjson"))
            for each in settings.tracker.collectors.values() if each.type == "log"
        ]  # fmt: skip
        return [self._folder / "log" / name for name in dict.fromkeys(names) if name != "-"]


def _ids(lines: list[bytes]) -> Iterator[bytes]:
    """The events' ids, which the journal's lines begin with."""
    for line in lines:
        if line.startswith(_BEGINS):
            yield line[len(_BEGINS) : line.index(b'"', len(_BEGINS))]
