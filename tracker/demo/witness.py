"""The witness: what the journal says about a run, held against the ledger.

Rules
1. It reads what the journal has behind the place where each stream stood before the run; streams that appear later are
   read whole. It reads durable lines only, and writes nothing.
2. Every event of the run is looked at: its number, lane, reason, route, name, flags, campaign, creative, action, sum of
   money and cost. What was kept must be there as often as it was kept; what was not kept must not be there.
3. Events of anybody else are passed over.
4. Totals are added up from the journal's own numbers, apart from the ledger's.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tracker.demo.ledger import Ledger
from tracker.demo.planned import Expected, number_of
from tracker.event import Event, decode_line
from tracker.journal.reader import JournalReader
from tracker.reasons import NEVER_BILLED

PATIENCE_S: Final = 10.0
"""How long events that were answered may take to become durable, counted from the last one that did."""
POLL_S: Final = 0.1
LINGER_S: Final = 0.5
"""After everything has come: how long to wait for what should not be there."""
MOST_LISTED: Final = 20
"""Differences that are told one by one."""

Progress = Callable[[int, int], None]
"""Called now and then with events found and events expected."""


class Campaign(msgspec.Struct, kw_only=True):
    """What a campaign's owner is billed, by the journal alone."""

    impressions: int = 0
    """Billed ones."""
    clicks: int = 0
    """By people."""
    conversions: int = 0
    cost_nanos: int = 0


class Testimony(msgspec.Struct, kw_only=True):
    """What the journal says."""

    data_dir: str
    events: int = 0
    """Events of this run."""
    answered: int = 0
    """Of how many events the sender has a receipt."""
    counts: dict[str, int] = {}
    """Differences by kind: ``lost``, ``leaked``, ``repeated``, ``foreign``, ``different``."""
    differences: list[str] = []
    """The first of them, in words."""
    unanswered_found: int = 0
    """Events that are there although their answer never came: that may be."""
    damaged_bytes: int = 0
    rows: dict[str, int] = {}
    """Events by route and outcome, as ``impression, good: bot``."""
    campaigns: dict[str, Campaign] = {}


class Witness:
    """Belongs to one thread. Made before the run."""

    def __init__(self, data_dir: Path) -> None:
        """Remember where each stream stands. Raises ``OSError``."""
        self._journal = JournalReader(data_dir)
        self._positions = {stream: self._journal.end(stream) for stream in self._journal.streams()}
        self._stored = bytearray()
        self._missing = 0
        self._found = Testimony(data_dir=str(data_dir))
        self._rows: Counter[str] = Counter()

    def testify(self, run: str, ledger: Ledger, progress: Progress | None = None) -> Testimony:
        """Read until everything that was kept is there, or nothing more comes. Raises ``OSError``."""
        found = self._found
        found.answered = self._missing = sum(ledger.kept)
        self._stored = bytearray(len(ledger))
        try:
            until = 0.0
            while True:
                before = found.events
                self._read(run, ledger)
                if progress is not None:
                    progress(found.answered - self._missing, found.answered)
                now = time.monotonic()
                if found.events > before or until == 0.0:
                    until = now + (PATIENCE_S if self._missing else LINGER_S)
                elif now > until:
                    break
                time.sleep(POLL_S)
        finally:
            self._journal.close()
        self._settle(run, ledger)
        found.rows = dict(self._rows)
        return found

    def _read(self, run: str, ledger: Ledger) -> None:
        """What has become durable since."""
        mark = f'{{"id":"demo-{run}-'.encode()
        for stream in self._journal.streams():
            offset = self._positions.get(stream)
            if offset is None:
                offset = self._journal.start(stream)
            while True:
                chunk = self._journal.read(stream, offset)
                if chunk.end == offset:
                    break
                offset = chunk.end
                self._found.damaged_bytes += chunk.damaged_bytes
                for line in chunk.lines:
                    if line.startswith(mark):  # PERF: the id stands first in every line
                        self._see(line, run, ledger)
            self._positions[stream] = offset

    def _see(self, line: bytes, run: str, ledger: Ledger) -> None:
        found = self._found
        try:
            event = decode_line(line)
        except ValueError as error:
            self._differ("foreign", f"a line of this run that is no event: {error}")
            return
        found.events += 1
        self._rows[_row(event)] += 1
        if event.lane == "good":
            self._bill(event)
        number = number_of(event.id, run)
        expected = ledger.meaning(number)
        if expected is None:
            self._differ("foreign", f"{event.id}: stands in the journal and was never sent")
            return
        if self._stored[number - 1] < ledger.kept[number - 1]:
            self._missing -= 1
        self._stored[number - 1] = min(self._stored[number - 1] + 1, 255)
        for what, stored, meant in _compared(event, expected):
            if stored != meant:
                self._differ("different", f"{event.id}: {what} is {stored!r}, meant {meant!r}")

    def _bill(self, event: Event) -> None:
        dimensions = event.dimensions
        campaign = self._found.campaigns.setdefault(dimensions.get("campaign", ""), Campaign())
        seen = NEVER_BILLED.isdisjoint(event.flags)
        campaign.impressions += event.event == "impression" and seen
        campaign.clicks += event.event == "click" and seen
        campaign.conversions += event.event == "conversion" and seen
        campaign.cost_nanos += int(event.metrics.get("cost_nanos", 0))

    def _settle(self, run: str, ledger: Ledger) -> None:
        """Hold how often each event is there against how often it was answered."""
        for at, (stored, kept, unknown) in enumerate(zip(self._stored, ledger.kept, ledger.unknown, strict=True)):
            if kept <= stored <= kept + unknown:
                self._found.unanswered_found += stored - kept
                continue
            own = f"demo-{run}-{at + 1}"
            meant = ledger.meaning(at + 1)
            if stored < kept:
                self._differ("lost", f"{own}: answered {kept} times, stands there {stored} times", kept - stored)
            elif meant is not None and meant.kept and kept:
                text = f"{own}: stands there {stored} times, answered {kept} times"
                self._differ("repeated", text, stored - kept - unknown)
            else:
                self._differ("leaked", f"{own}: stands there although the answer said that it is not kept")

    def _differ(self, kind: str, text: str, count: int = 1) -> None:
        counts = self._found.counts
        counts[kind] = counts.get(kind, 0) + count
        if len(self._found.differences) < MOST_LISTED:
            self._found.differences.append(f"{kind}: {text}")


def _row(event: Event) -> str:
    """Route and outcome, as ``Expected`` says them."""
    words = " ".join(sorted(event.flags)) if event.lane == "good" else event.reason
    return f"{event.source}, {event.lane}{f': {words}' if words else ''}"


def _compared(event: Event, expected: Expected) -> list[tuple[str, object, object]]:
    """What stands in the event, and what was meant."""
    good = expected.outcome == "good"
    pairs: list[tuple[str, object, object]] = [
        ("lane", event.lane, expected.outcome),
        ("reason", event.reason, expected.reason),
        ("route", event.source, expected.route),
        ("event", event.event, expected.event),
        ("flags", tuple(sorted(event.flags)), expected.flags),
        ("cost_nanos", event.metrics.get("cost_nanos", 0), expected.cost_nanos),
        ("campaign", event.dimensions.get("campaign", ""), expected.campaign),
        ("creative", event.dimensions.get("creative", ""), expected.creative),
    ]
    if good:
        money = {key: value for key, value in event.metrics.items() if key.endswith("_micros")}
        pairs.append(("money", money, {expected.metric: expected.micros} if expected.metric else {}))
        pairs.append(("action", event.dimensions.get("action", ""), expected.action))
    return pairs
