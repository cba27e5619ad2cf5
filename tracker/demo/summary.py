"""The summary of a run, as plain values. ``tracker demo --json`` prints it as it is here.

Rules
1. What was meant and told comes from the ledger, what is stored from the witness; nothing is filled in from the other.
2. ``problems`` is the verdict: empty, or a sentence for everything that was not as meant. Being late is no problem of
   the tracker's, and a bad hit beyond the bad lane's limit is none at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from tracker.demo.ledger import Ledger
from tracker.demo.market import Market
from tracker.demo.sender import Sender
from tracker.demo.witness import Testimony
from tracker.reasons import BAD_LANE_LIMIT, NEVER_BILLED

PERCENTILES: Final = (50, 90, 99)


class Row(msgspec.Struct, kw_only=True):
    """Hits of one route that mean the same."""

    route: str
    outcome: str
    """``good``, ``bad`` or ``refused``."""
    reason: str = ""
    flags: list[str] = []
    sent: int = 0
    kept: int = 0
    """Answered with a receipt."""
    not_kept: int = 0
    unanswered: int = 0
    stored: int | None = None
    """In the journal; null: nobody looked."""

    @property
    def said(self) -> str:
        """As ``Expected.said`` has it."""
        words = " ".join(self.flags) if self.outcome == "good" else self.reason
        return f"{self.outcome}: {words}" if words else self.outcome


class Bill(msgspec.Struct, kw_only=True):
    """What the owner of a campaign would be billed for the receipts of this run; money in integers, USD."""

    campaign: str
    budget_micros: int = 0
    """0: none."""
    impressions: int = 0
    """Billed ones: good, and seen by a person."""
    clicks: int = 0
    """By people."""
    conversions: int = 0
    cost_nanos: int = 0
    stored_impressions: int | None = None
    stored_clicks: int | None = None
    stored_conversions: int | None = None
    stored_cost_nanos: int | None = None
    """The same out of the journal's own numbers; null: nobody looked."""


class Summary(msgspec.Struct, kw_only=True):
    """One run."""

    run: str
    """Part of every event's id: ``demo-<run>-<number>``."""
    url: str
    seed: int
    campaigns: int
    rate: float
    """Hits a second, as asked."""
    seconds: float = 0.0
    sent: int = 0
    answered: int = 0
    receipts: int = 0
    """Answers that said that the event is kept, and bore its id."""
    latest_s: float = 0.0
    """How late the latest hit left."""
    behind: bool = False
    """Whether the demo, or the tracker, did not keep up with the rate."""
    interrupted: bool = False
    statuses: dict[str, int] = {}
    """Answers by status."""
    latency_ms: dict[str, float] = {}
    """``p50``, ``p90``, ``p99``, ``max``, from when a hit was due to the end of its answer."""
    refused: dict[str, int] = {}
    """By reason: hits that should have been kept and were not, as the tracker said."""
    no_answer: dict[str, int] = {}
    """By cause."""
    rows: list[Row] = []
    bills: list[Bill] = []
    check: Testimony | None = None
    unchecked: str = ""
    """Why the journal was not looked at; empty: it was."""
    problems: list[str] = []
    """Everything that was not as meant."""


def summarise(
    summary: Summary, ledger: Ledger, sender: Sender, market: Market, testimony: Testimony | None
) -> Summary:
    """Fill in what came of a run."""
    progress = sender.progress
    summary.seconds = round(progress.elapsed_s, 3)
    summary.sent, summary.answered = progress.sent, progress.answered
    summary.receipts = sum(ledger.kept)
    summary.latest_s, summary.behind = round(progress.latest_s, 3), sender.behind
    summary.statuses = {str(status): count for status, count in sorted(ledger.statuses.items()) if status}
    latencies = sender.latencies
    summary.latency_ms = {f"p{each}": round(latencies.percentile_ms(each), 3) for each in PERCENTILES}
    summary.latency_ms["max"] = round(latencies.longest_ms, 3)
    summary.refused = dict(sorted(ledger.refused.items()))
    summary.no_answer = dict(sorted(sender.troubles.items()))
    summary.rows = _rows(ledger, testimony)
    summary.bills = _bills(ledger, market, testimony)
    summary.check = testimony
    summary.problems = list(_problems(summary, ledger))
    return summary


def _rows(ledger: Ledger, testimony: Testimony | None) -> list[Row]:
    rows: dict[str, Row] = {}
    for expected, sent, kept, not_kept, unknown in ledger.rows():
        key = f"{expected.route}, {expected.said}"
        row = rows.get(key)
        if row is None:
            row = rows[key] = Row(route=expected.route, outcome=expected.outcome, reason=expected.reason)
            row.flags = list(expected.flags) if expected.outcome == "good" else []
        row.sent += sent
        row.kept += kept
        row.not_kept += not_kept
        row.unanswered += unknown
    if testimony is not None:
        for key, row in rows.items():
            row.stored = testimony.rows.get(key, 0)
        for key in testimony.rows.keys() - rows.keys():  # nobody meant these
            route, _, said = key.partition(", ")
            outcome, _, words = said.partition(": ")
            row = rows[key] = Row(route=route, outcome=outcome, stored=testimony.rows[key])
            row.flags, row.reason = (words.split(), "") if outcome == "good" else ([], words)
    return sorted(rows.values(), key=lambda row: (row.route, row.outcome != "good", row.outcome, row.said))


def _bills(ledger: Ledger, market: Market, testimony: Testimony | None) -> list[Bill]:
    bills = {each.name: Bill(campaign=each.name, budget_micros=each.budget_micros) for each in market.campaigns}
    for expected, _, kept, _, _ in ledger.rows():
        if expected.outcome != "good" or not expected.campaign or not kept:
            continue
        bill = bills.setdefault(expected.campaign, Bill(campaign=expected.campaign))
        seen = NEVER_BILLED.isdisjoint(expected.flags)
        bill.impressions += kept * expected.billed
        bill.clicks += kept * (expected.event == "click" and seen)
        bill.conversions += kept * (expected.event == "conversion" and seen)
        bill.cost_nanos += kept * expected.cost_nanos
    if testimony is not None:
        for name in testimony.campaigns:
            if name:
                bills.setdefault(name, Bill(campaign=name))
        for name, bill in bills.items():
            found = testimony.campaigns.get(name)
            bill.stored_impressions = found.impressions if found is not None else 0
            bill.stored_clicks = found.clicks if found is not None else 0
            bill.stored_conversions = found.conversions if found is not None else 0
            bill.stored_cost_nanos = found.cost_nanos if found is not None else 0
    return list(bills.values())


def _problems(summary: Summary, ledger: Ledger) -> Iterable[str]:
    for surprise, (count, first) in ledger.surprises.items():
        yield f"{surprise} ({_many(count, 'hit')}, the first was {first})"
    for reason, count in summary.refused.items():
        if reason != BAD_LANE_LIMIT:
            yield f"{_many(count, 'hit')} turned away: {reason}; none of them had a receipt"
    for cause, count in summary.no_answer.items():
        yield f"{_many(count, 'hit')} without an answer: {cause}"
    check = summary.check
    if check is None:
        return
    for kind, count in check.counts.items():
        yield f"{kind}: {_many(count, 'event')}"
    if check.unanswered_found or check.counts:
        return  # the totals cannot be equal then, and that has been said
    for row in summary.rows:
        if row.stored != row.kept:
            yield f"{row.route}, {row.said}: {row.kept} kept, {row.stored} stored"
    for bill in summary.bills:
        meant = (bill.impressions, bill.clicks, bill.conversions, bill.cost_nanos)
        stored = (bill.stored_impressions, bill.stored_clicks, bill.stored_conversions, bill.stored_cost_nanos)
        if meant != stored:
            yield f"campaign {bill.campaign}: impressions, clicks, conversions, cost are {stored}, meant {meant}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
