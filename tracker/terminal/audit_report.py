"""What an audit found, for people: the verdict first, then findings by kind, then notes and what was not checked."""

from __future__ import annotations

from rich.text import Text

from tracker.journal.report import KINDS, Finding, Report
from tracker.terminal.safe import safe

SHOWN = 10
"""Findings of one kind that are shown; ``--json`` has more."""


def report(audit: Report) -> Text:
    """The whole report."""
    text = Text()
    total = sum(audit.counts.values())
    text.append(_many(total, "finding") if total else "No findings", "bold red" if total else "bold green")
    size = ", ".join((_many(audit.streams, "stream"), _many(audit.segments, "segment"), _many(audit.bytes, "byte")))
    text.append(f" in {_many(audit.events, 'event')} ({audit.bad_lane:,} in the bad lane) of {size}")
    if audit.events:
        text.append(f", from {safe(audit.oldest)} to {safe(audit.newest)}")
    text.append(".\n")
    for kind, count in audit.counts.items():
        text.append(f"\n{kind}", "red")
        text.append(f" ({count:,}): {KINDS[kind]}\n")
        listed = [finding for finding in audit.findings if finding.kind == kind][:SHOWN]
        for finding in listed:
            text.append(f"  {_place(finding)}")
            text.append(f"{safe(finding.message)}\n")
        if count > len(listed):
            text.append(f"  ... and {count - len(listed):,} more\n", "dim")
    _section(text, "Notes", audit.notes)
    _section(text, "Not checked", [*audit.unchecked, "what collectors have made of the events: this is the journal"])
    text.rstrip()
    return text


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _place(finding: Finding) -> str:
    where = safe(finding.path or (f"stream {finding.stream}" if finding.stream else ""))
    if finding.offset >= 0:
        where += f" at {finding.offset}"
    return f"{where}: " if where else ""


def _section(text: Text, title: str, lines: list[str]) -> None:
    if not lines:
        return
    text.append(f"\n{title}\n", "bold")
    for line in lines[:SHOWN]:
        text.append(f"  {safe(line)}\n")
    if len(lines) > SHOWN:
        text.append(f"  ... and {len(lines) - SHOWN:,} more\n", "dim")
