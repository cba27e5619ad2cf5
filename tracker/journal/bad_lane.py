"""The bad lane, read back: how many hits went wrong, why and where, and the newest of them.

Rules
1. It reads durable lines only, as everybody does (see ``journal.reader``), and writes nothing.
2. Memory is bounded: the newest events asked for, and one ``Group`` for each reason and route, at most ``MAX_GROUPS``.
3. Everything durable when it began is looked at. With ``since``, blocks that are older are not even read, but for
   ``SLACK_MS``: a clock may have been set back.
4. What was counted and never kept is no line of the journal; it comes from the counter files, which know no time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import msgspec

from tracker.counters import REASON_INDEX, read_counts
from tracker.event import Event, decode_line
from tracker.journal import segment
from tracker.journal.reader import JournalReader
from tracker.journal.recovery import journal_dir
from tracker.journal.slot import slot_folders
from tracker.reasons import REASONS

MAX_GROUPS: Final = 1000
"""Most pairs of reason and route that are told apart: there are few of both, unless somebody wrote the journal."""
SLACK_MS: Final = 60_000
"""How far a clock may have been set back where ``since`` narrows the search."""
EXAMPLE_CHARS: Final = 200
"""Longest example of a group."""

_MARK: Final = b'"lane":"bad"'
"""Stands in every line of the bad lane. PERF: a line without it is never decoded."""

Progress = Callable[[int, int], None]
"""Called now and then with bytes searched and bytes to search."""


class Group(msgspec.Struct, kw_only=True):
    """The bad events of one route for one reason."""

    reason: str
    route: str
    """Empty for one that was never known."""
    events: int = 0
    oldest: str = ""
    newest: str = ""
    """``received_at``, RFC 3339."""
    field: str = ""
    """Of the newest event: which field was wrong."""
    example: str = ""
    """Of the newest event: what stood there, such as ``query.price=x2.50``; empty where nothing did."""


class BadLane(msgspec.Struct, kw_only=True):
    """What was found."""

    data_dir: str
    since: str = ""
    """As asked, RFC 3339; empty: from the beginning."""
    events: int = 0
    groups: list[Group] = []
    """The most frequent first."""
    not_kept: dict[str, int] = {}
    """By reason: hits that were counted and not kept since the data folder was made, whatever was asked for."""
    newest: list[Event] = []
    """The newest events, oldest first."""
    searched_bytes: int = 0
    damaged_bytes: int = 0
    """Passed over: bytes that do not fit their checksum."""
    problems: list[str] = []
    """What the disk would not give."""


def look(
    data_dir: Path,
    *,
    count: int = 0,
    reasons: Collection[str] = (),
    routes: Collection[str] = (),
    since_ms: int | None = None,
    since: str = "",
    progress: Progress | None = None,
) -> BadLane:
    """Look through the bad lane under a data folder.

    ``count``: how many of the newest events to keep. ``reasons``, ``routes``: only these, if there are any.
    ``since_ms`` (Unix) and ``since`` (the same as RFC 3339 in UTC with milliseconds): only events received from then
    on. Errors of the disk are said in ``problems``; nothing is raised for them.
    """
    search = _Search(data_dir, count, reasons, routes, since)
    search.run(since_ms, progress)
    return search.found


def offending(event: Event) -> tuple[str, dict[str, str]]:
    """A bad event's field, and the parameters of its hit as they were kept, anonymised and cut."""
    field, fields = event.properties.get("field"), event.properties.get("fields")
    shown = {str(key): str(value) for key, value in fields.items()} if isinstance(fields, dict) else {}
    return str(field) if field is not None else "", shown


class _Search:
    """One look."""

    def __init__(
        self, data_dir: Path, count: int, reasons: Collection[str], routes: Collection[str], since: str
    ) -> None:
        self.found = BadLane(data_dir=str(data_dir), since=since)
        self._journal = JournalReader(data_dir)
        self._data_dir = data_dir
        self._count, self._reasons, self._routes, self._since = count, frozenset(reasons), frozenset(routes), since
        self._groups: dict[tuple[str, str], Group] = {}
        self._newest: list[tuple[str, int, Event]] = []  # a heap: the oldest of the newest is on top

    def run(self, since_ms: int | None, progress: Progress | None) -> None:
        found = self.found
        found.not_kept = not_kept(self._data_dir)
        try:
            ranges: dict[str, tuple[int, int]] = {}
            for stream in self._journal.streams():
                try:
                    end = self._journal.end(stream)
                    ranges[stream] = (self._begin(stream, end, since_ms), end)
                except OSError as error:
                    found.problems.append(f"stream {stream}: {error.strerror or error}")
            total = sum(end - begin for begin, end in ranges.values())
            done = 0
            for stream, (begin, end) in ranges.items():
                offset = begin
                while offset < end:
                    try:
                        chunk = self._journal.read(stream, offset)
                    except OSError as error:
                        found.problems.append(f"stream {stream}: {error.strerror or error}")
                        break
                    if chunk.end == offset:
                        break
                    self._take(chunk.lines)
                    found.damaged_bytes += chunk.damaged_bytes
                    done += chunk.end - offset
                    offset = chunk.end
                    if progress is not None:
                        progress(min(done, total), total)
            found.searched_bytes = done
        finally:
            self._journal.close()
        found.groups = sorted(self._groups.values(), key=lambda group: (-group.events, group.reason, group.route))
        found.newest = [event for _, _, event in sorted(self._newest, key=lambda each: each[:2])]

    def _begin(self, stream: str, end: int, since_ms: int | None) -> int:
        """Where to begin: the last whole line whose block began before that time."""
        begin = self._journal.start(stream)
        if since_ms is None:
            return begin
        for part in self._journal.parts(stream, end):
            blocks = segment.Index(self._journal.folder(stream), stream, part.start, part.end).blocks
            for block in blocks:
                if block.first_time_ms >= since_ms - SLACK_MS:
                    return begin
                if block.flags & segment.LINE_START:
                    begin = block.start
            if not blocks:  # nobody can say what is in it
                return begin
        return begin

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            if _MARK not in line:
                continue
            try:
                event = decode_line(line)
            except ValueError:
                continue
            if event.lane == "bad" and event.received_at >= self._since and self._asked_for(event):
                self._count_in(event)

    def _asked_for(self, event: Event) -> bool:
        return (not self._reasons or event.reason in self._reasons) and (
            not self._routes or event.source in self._routes
        )

    def _count_in(self, event: Event) -> None:
        found, at = self.found, event.received_at
        found.events += 1
        key = (event.reason, event.source)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                key = ("", "")
            group = self._groups.setdefault(key, Group(reason=key[0], route=key[1]))
        group.events += 1
        if not group.oldest or at < group.oldest:
            group.oldest = at
        if at >= group.newest:
            group.newest = at
            group.field, group.example = _example(event)
        entry = (at, found.events, event)
        if len(self._newest) < self._count:
            heapq.heappush(self._newest, entry)
        elif self._newest and entry > self._newest[0]:
            heapq.heapreplace(self._newest, entry)


def _example(event: Event) -> tuple[str, str]:
    """The field that was wrong, and the parameter that it was read from: the one of its name, else the first."""
    field, fields = offending(event)
    named = [key for key in fields if key.partition(".")[2] == field]
    shown = [f"{key}={fields[key]}" for key in named or list(fields)[:1]]
    return field, shown[0][:EXAMPLE_CHARS] if shown else ""


def not_kept(data_dir: Path) -> dict[str, int]:
    """By reason: hits that were refused, or answered beyond the bad lane's limits, since the data folder was made."""
    counts = read_counts([journal_dir(data_dir) / "counters", *(slot / "counters" for slot in slot_folders(data_dir))])
    refused = [reason.name for reason in REASONS if reason.kind == "refused"]
    return {name: counts[REASON_INDEX[name]] for name in refused if counts[REASON_INDEX[name]]}
