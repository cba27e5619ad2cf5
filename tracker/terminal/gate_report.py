"""A judgement of the gate for people: each limit and whether it was kept, and where the time went."""

from __future__ import annotations

from rich.text import Text

from tracker.gate.figures import Latency
from tracker.gate.verdict import Judgement
from tracker.terminal.safe import safe

_COLUMNS = (14, 10, 9, 9, 9, 9, 9, 9)
_CLOSING = {
    "passed": ("Passed.", "bold green"),
    "failed": ("Failed.", "bold red"),
    "invalid": ("Invalid: the generator was late, so nothing is known about the tracker's speed.", "bold yellow"),
}


def report(judgement: Judgement) -> Text:
    """The whole report."""
    figures, limits = judgement.figures, judgement.limits
    text = Text()
    text.append("Gate", "bold")
    text.append(f": {limits.rps:,.0f} requests/s for {limits.duration_s:g} s to {safe(judgement.url)}")
    text.append(", interrupted\n\n" if figures.interrupted else "\n\n")
    _cells(text, ("latency, ms", "requests", "mean", "p50", "p90", "p99", "p99.9", "max"), "dim")
    _latency(text, "all", figures.sent, figures.latency_ms, "bold")
    for row in figures.rows:
        _latency(text, safe(row.name), row.sent, row.latency_ms, "")
    answers = "   ".join(f"{status} {many:,}" for status, many in figures.statuses.items()) or "none"
    text.append(f"\nanswers: {answers}\n")
    for error, many in figures.errors.items():
        text.append(f"no answer: {safe(error)}: {many:,}\n", "red")
    if figures.waited:
        text.append(f"{figures.waited:,} requests found no connection free; their latency has the wait in it.\n", "dim")
    text.append("Latency counts from when a request was due.\n\n", "dim")
    for finding in judgement.findings:
        text.append("ok    " if finding.kept else "NOT   ", "green" if finding.kept else "bold red")
        text.append(f"{safe(finding.said)}\n", "" if finding.kept else "red")
    found = judgement.reckoning
    if found is not None:
        for example in found.examples:
            text.append(f"      {safe(example)}\n", "red")
    elif judgement.unchecked:
        text.append(f"      events were not reconciled: {safe(judgement.unchecked)}\n", "dim")
    closing, style = _CLOSING[judgement.outcome]
    if figures.interrupted:
        closing = "Interrupted: nothing is known about the tracker's speed."
    text.append(closing, style)
    return text


def _latency(text: Text, name: str, sent: int, each: Latency, style: str) -> None:
    shown = (each.mean, each.p50, each.p90, each.p99, each.p999)
    _cells(text, (name, f"{sent:,}", *(f"{ms:,.2f}" for ms in shown), f"{each.max:,.1f}"), style)


def _cells(text: Text, cells: tuple[str, ...], style: str) -> None:
    first, *rest = cells
    line = f"{first:<{_COLUMNS[0]}}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(rest, _COLUMNS[1:], strict=True)
    )
    text.append(f"{line.rstrip()}\n", style)
