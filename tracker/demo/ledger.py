"""The ledger: of every hit, what was meant, and what its sender was told.

Rules
1. It is written by the demo alone, before and after each request. What the journal says is compared with it later
   (``witness``); it never looks there itself.
2. An event was *kept* if its answer was a receipt (an acknowledgement of ``process`` or ``power``), *not kept* if its
   answer said so, *unknown* if no answer came: then it may be there or not.
3. What an answer says is held against what was meant at once (``judge``). Two things are no surprise, since the
   documents announce them: a bad hit beyond the bad lane's limit is answered and not kept; an overloaded tracker
   refuses with 429 or 503. Both are counted by reason.
4. A few bytes a hit: expectations are shared, so a million hits take some ten megabytes.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from tracker.demo.planned import Expected, Planned
from tracker.reasons import BAD_LANE_LIMIT, BY_NAME

MOST_HITS: Final = 10_000_000
"""More would take too much memory."""
TURNED_AWAY: Final = frozenset({429, 503})
"""Statuses of a tracker that has too much to do."""

Told = Literal["kept", "not_kept", "unknown"]


class Reply(NamedTuple):
    """What a hit was answered."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


class Verdict(NamedTuple):
    """What an answer means."""

    told: Told
    refused: str = ""
    """Why it was not kept although it should have been; a name of ``tracker.reasons``, or empty."""
    surprise: str = ""
    """What was answered otherwise than meant; empty: nothing."""


class Ledger:
    """One run's. Belongs to one thread."""

    def __init__(self) -> None:
        self.meanings: list[Expected] = []
        self._codes: dict[Expected, int] = {}
        self._meant = array("L")
        """By event number - 1: which of ``meanings``."""
        self.kept = bytearray()
        """By event number - 1: how many of its sends were answered with a receipt. (A replay is a second send.)"""
        self.unknown = bytearray()
        """The same for sends without an answer."""
        self.sent: Counter[int] = Counter()
        """By meaning: how many hits were sent."""
        self.told: Counter[tuple[int, Told]] = Counter()
        """By meaning: what they were told."""
        self.refused: Counter[str] = Counter()
        """By reason: hits that were turned away or, beyond the bad lane's limit, not kept."""
        self.surprises: dict[str, tuple[int, str]] = {}
        """What was answered otherwise than meant: how often, and the id of the first such event."""
        self.statuses: Counter[int] = Counter()
        """Answers by status; 0: none came."""

    def __len__(self) -> int:
        """Events so far; replays are not counted."""
        return len(self._meant)

    def meaning(self, number: int) -> Expected | None:
        """What was meant with an event; None if it was never sent."""
        return self.meanings[self._meant[number - 1]] if 1 <= number <= len(self._meant) else None

    def open(self, hit: Planned) -> None:
        """A hit is about to be sent. Numbers come in order; a replay has an earlier one."""
        code = self._codes.get(hit.expected)
        if code is None:
            code = self._codes[hit.expected] = len(self.meanings)
            self.meanings.append(hit.expected)
        if hit.number == len(self._meant) + 1:
            self._meant.append(code)
            self.kept.append(0)
            self.unknown.append(0)
        elif self.meaning(hit.number) != hit.expected:
            raise ValueError(f"event {hit.number} is out of order, or a replay that means something else")
        self.sent[code] += 1

    def close(self, hit: Planned, reply: Reply | None) -> None:
        """What came of it; None: nobody answered."""
        code = self._codes[hit.expected]
        verdict = judge(hit, reply) if reply is not None else Verdict("unknown")
        self.statuses[reply.status if reply is not None else 0] += 1
        self.told[code, verdict.told] += 1
        at = hit.number - 1
        if verdict.told == "kept":
            self.kept[at] = min(self.kept[at] + 1, 255)
        elif verdict.told == "unknown":
            self.unknown[at] = min(self.unknown[at] + 1, 255)
        if verdict.refused:
            self.refused[verdict.refused] += 1
        if verdict.surprise:
            count, first = self.surprises.get(verdict.surprise, (0, hit.event_id))
            self.surprises[verdict.surprise] = (count + 1, first)

    def rows(self) -> Iterator[tuple[Expected, int, int, int, int]]:
        """Each meaning with how many hits were sent, kept, not kept, and without an answer."""
        for code, expected in enumerate(self.meanings):
            told = [self.told[code, kind] for kind in ("kept", "not_kept", "unknown")]
            yield expected, self.sent[code], *told  # type: ignore[misc]


def judge(hit: Planned, reply: Reply) -> Verdict:
    """What an answer means for a hit."""
    expected, headers = hit.expected, reply.headers
    ack = headers.get("x-tracker-ack", "none")
    told: Told = "not_kept" if ack == "none" else "kept"
    if expected.kept and told == "not_kept":
        reason = headers.get("x-tracker-reason") or _error(reply.body)
        as_meant = reply.status == expected.status
        sent_on = as_meant and hit.location and reason != expected.reason  # a person is, whatever is full
        if reply.status in TURNED_AWAY or sent_on:
            return Verdict(told, reason if reason in BY_NAME else "other")
        if expected.outcome == "bad" and as_meant:
            return Verdict(told, BAD_LANE_LIMIT)
    return Verdict(told, "", _surprise(hit, reply, ack))


def _surprise(hit: Planned, reply: Reply, ack: str) -> str:
    """The first thing that is otherwise than meant."""
    expected, headers = hit.expected, reply.headers
    where = expected.route or "no route"
    said = f"{where}, {expected.said}"
    if reply.status != expected.status:
        return f"{said}: answered {reply.status}, meant {expected.status}"
    if ack != expected.ack:
        return f"{said}: acknowledged {ack}, meant {expected.ack}"
    if expected.kept and headers.get("x-event-id") != hit.event_id:
        return f"{said}: the answer bears another event's id"
    reason = headers.get("x-tracker-reason") or _error(reply.body)
    if reason != expected.reason:
        return f"{said}: the answer gives the reason {reason or 'none'}, meant {expected.reason or 'none'}"
    if headers.get("location", "") != hit.location:
        return f"{said}: leads elsewhere than meant"
    return ""


def _error(body: bytes) -> str:
    """The reason in a refusal's JSON; empty if there is none."""
    if not body.startswith(b"{"):
        return ""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return str(found.get("error", "")) if isinstance(found, dict) else ""
