"""The verdict: figures and reckoning held against the limits. One sentence for each limit, kept or broken.

Rules
1. A broken limit is told with what was measured and by how much it is broken.
2. A run is invalid when the generator's own lag takes part in what was to be measured: when its mean is more than a
   fifth of the limit for the mean, or its p99 more than half of the limit for the p99. Then nothing is said about the
   server's speed, good or bad. An event that is lost is lost all the same: that fails an invalid run, too.
3. Latency needs answers: a run without them fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from tracker.gate.figures import Figures
from tracker.gate.reckoning import Reckoning

LAG_OF_MEAN: Final = 0.2
LAG_OF_P99: Final = 0.5
LEAST_ANSWERS: Final = 0.99
"""Answers a second, of those that were asked for."""

Outcome = Literal["passed", "failed", "invalid"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a run must keep to."""

    rps: float
    mean_ms: float
    p99_ms: float | None = None
    """None: it is shown, and no limit."""
    duration_s: float = 20.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One limit and what came of it."""

    name: str
    """``valid``, ``answers``, ``rate``, ``mean``, ``p99``, ``journal`` or ``log``."""
    kept: bool
    said: str


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report, as plain values."""

    outcome: Outcome
    url: str
    limits: Limits
    findings: list[Finding]
    figures: Figures
    reckoning: Reckoning | None
    """None: nobody looked; ``unchecked`` says why."""
    unchecked: str = ""
    settings_version: str = ""
    """Of the tracker, as it says itself."""
    began: str = ""
    """RFC 3339, UTC."""
    machine: str = ""


def judge(
    url: str, limits: Limits, figures: Figures, reckoning: Reckoning | None, *, unchecked: str = "",
    unasked_for: int | None = None, settings_version: str = "", began: str = "", machine: str = "",
) -> Judgement:  # fmt: skip
    """The verdict. ``unasked_for``: most events there may be without a receipt; None: any number."""
    findings = [*_of_figures(limits, figures)]
    if reckoning is not None:
        findings += _of_reckoning(reckoning, unasked_for)
    broken = {each.name for each in findings if not each.kept}
    outcome: Outcome = "failed" if broken else "passed"
    if "valid" in broken and not broken & {"journal", "log"}:
        outcome = "invalid"
    return Judgement(outcome=outcome, url=url, limits=limits, findings=findings, figures=figures, reckoning=reckoning,
                     unchecked=unchecked, settings_version=settings_version, began=began, machine=machine)  # fmt: skip


def _of_figures(limits: Limits, figures: Figures) -> Iterator[Finding]:
    if figures.lag_ms is not None:
        yield _of_lag(limits, figures)
    wrong = figures.sent - figures.right
    said = f"{figures.right:,} of {figures.sent:,} requests were answered as expected"
    if wrong:
        why = [f"{status}: {many:,}" for status, many in figures.statuses.items()]
        why += [f"{error}: {many:,}" for error, many in figures.errors.items()]
        said += f"; {wrong:,} were not ({', '.join(why)})"
    yield Finding(name="answers", kept=not wrong and figures.sent > 0, said=said)
    rate = figures.answered / figures.seconds if figures.seconds else 0.0
    # The last answers may take a second, which is no lack of speed; how long they take is the other limits' business.
    least = limits.rps * limits.duration_s / (limits.duration_s + 1.0) * LEAST_ANSWERS
    yield _least("rate", rate, least, limits.rps)
    yield _most("mean", figures.latency_ms.mean, limits.mean_ms, figures.answered)
    if limits.p99_ms is not None:
        yield _most("p99", figures.latency_ms.p99, limits.p99_ms, figures.answered)


def _of_lag(limits: Limits, figures: Figures) -> Finding:
    lag = figures.lag_ms
    assert lag is not None
    bounds = [("mean", lag.mean, LAG_OF_MEAN * limits.mean_ms)]
    if limits.p99_ms is not None:
        bounds.append(("p99", lag.p99, LAG_OF_P99 * limits.p99_ms))
    over = [f"its {name} is {value:.2f} ms, bound {bound:g} ms" for name, value, bound in bounds if value > bound]
    if over:
        said = f"the generator itself was late: {', and '.join(over)}; use a quieter or larger machine"
    else:
        said = f"the generator's own lag: mean {lag.mean:.2f} ms, p99 {lag.p99:.2f} ms, longest {lag.max:.1f} ms"
    if figures.interrupted:
        said = "the run was interrupted"
    return Finding(name="valid", kept=not over and not figures.interrupted, said=said)


def _least(name: str, measured: float, least: float, wanted: float) -> Finding:
    said = f"{measured:,.0f} answers a second of {wanted:,.0f}"
    kept = measured >= least
    return Finding(name=name, kept=kept, said=said if kept else f"{said}: {wanted - measured:,.0f} too few")


def _most(name: str, measured: float, limit: float, answers: int) -> Finding:
    said = f"{name} {measured:.2f} ms, limit {limit:g} ms"
    if not answers:
        return Finding(name=name, kept=False, said=f"no answer, so no {name}")
    kept = measured <= limit
    return Finding(name=name, kept=kept, said=said if kept else f"{said}: over by {measured - limit:.2f} ms")


def _of_reckoning(found: Reckoning, unasked_for: int | None) -> Iterator[Finding]:
    if not found.receipts:
        yield Finding(name="journal", kept=False, said="no answer bore the id of an event that is kept")
        return
    wrong = _counted((found.journal_lost, "lost"), (found.journal_repeated, "repeated"),
                     (found.receipts_twice, "promised twice"))  # fmt: skip
    if unasked_for is not None and found.unknown > unasked_for:
        wrong.append(f"{found.unknown - unasked_for:,} without a receipt")
    if found.damaged_bytes:
        wrong.append(f"{found.damaged_bytes:,} damaged bytes")
    yield _of_events("journal", found.receipts, wrong)
    if found.log_files:
        yield _of_events("log", found.receipts, _counted((found.log_lost, "lost"), (found.log_repeated, "repeated")))


def _counted(*counts: tuple[int, str]) -> list[str]:
    return [f"{count:,} {what}" for count, what in counts if count]


def _of_events(where: str, receipts: int, wrong: list[str]) -> Finding:
    place = {"journal": "the journal", "log": "the log collector's output"}[where]
    if wrong:
        return Finding(name=where, kept=False, said=f"{receipts:,} receipts; in {place}: {', '.join(wrong)}")
    return Finding(name=where, kept=True, said=f"each of {receipts:,} receipts has its event in {place}, once")
