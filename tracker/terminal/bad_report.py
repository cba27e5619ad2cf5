"""The bad lane for people: what went wrong, how often, on which route, what to do about it, and the newest hits."""

from __future__ import annotations

from rich.text import Text

from tracker import reasons
from tracker.event import Event
from tracker.journal.bad_lane import BadLane, Group, offending
from tracker.terminal.safe import safe

VALUE_CHARS = 120
"""Longest value of one parameter."""
FIELDS = 12
"""Most parameters of one hit."""


def report(lane: BadLane, *, narrowed: bool) -> Text:
    """The whole report; ``narrowed``: somebody asked for certain reasons or routes only."""
    text = Text()
    _verdict(text, lane, narrowed)
    last = None
    for group in _by_reason(lane.groups):
        if group.reason != last:
            last = group.reason
            text.append(f"\n{safe(group.reason) or 'others'}", "bold red")
            text.append(f"  {_help(group.reason)}\n", "dim")
        _group(text, group)
    if lane.newest:
        text.append(f"\nThe newest {len(lane.newest):,}\n" if len(lane.newest) > 1 else "\nThe newest\n", "bold")
        for event in lane.newest:
            _event(text, event)
    if lane.not_kept:
        text.append("\nNot kept", "bold")
        text.append(", counted since the data folder was made\n")
        for name, count in sorted(lane.not_kept.items(), key=lambda item: -item[1]):
            text.append(f"{count:>8,}  {name}", "yellow" if name == reasons.BAD_LANE_LIMIT else "")
            text.append(f"  {_help(name)}\n", "dim")
    text.rstrip()
    return text


def _verdict(text: Text, lane: BadLane, narrowed: bool) -> None:
    when = f" since {safe(lane.since)}" if lane.since else ""
    size = f"{lane.searched_bytes:,} bytes of journal searched"
    if not lane.events:
        text.append("No bad events", "bold green")
        text.append(f"{when}{' of what was asked for' if narrowed else ''} ({size}).\n")
        if not narrowed:
            text.append("Each event that was kept is a proper one.\n", "dim")
        return
    text.append(f"{lane.events:,} bad event{'s' * (lane.events != 1)}", "bold red")
    text.append(f"{when} ({size}). None of them is billed.\n")


def _by_reason(groups: list[Group]) -> list[Group]:
    """The most frequent reason first, and within it the most frequent route."""
    totals: dict[str, int] = {}
    for group in groups:
        totals[group.reason] = totals.get(group.reason, 0) + group.events
    return sorted(groups, key=lambda group: (-totals[group.reason], group.reason, -group.events, group.route))


def _group(text: Text, group: Group) -> None:
    text.append(f"{group.events:>8,}  ")
    text.append(safe(group.route, 40).ljust(14) or "(no route)", "bold")
    text.append(f"  newest {_second(group.newest)}", "dim")
    if group.field:
        text.append(f"  {safe(group.field, 60)}", "cyan")
    if group.example:
        text.append(f"  {safe(group.example, VALUE_CHARS)}")
    text.append("\n")


def _event(text: Text, event: Event) -> None:
    field, fields = offending(event)
    text.append(f"\n  {safe(event.received_at)}  ", "dim")
    text.append(safe(event.source, 40) or "(no route)", "bold")
    text.append(f"  {safe(event.reason)}", "red")
    if field:
        text.append(f"  {safe(field, 60)}", "cyan")
    text.append(f"  {safe(event.id)}\n", "dim")
    width = max((len(safe(key, 60)) for key in list(fields)[:FIELDS]), default=0)
    for key in list(fields)[:FIELDS]:
        at_fault = key.partition(".")[2] == field
        text.append(f"    {safe(key, 60).ljust(width)}  ", "red" if at_fault else "dim")
        text.append(f"{safe(fields[key], VALUE_CHARS)}\n")
    if len(fields) > FIELDS:
        text.append(f"    and {len(fields) - FIELDS} more\n", "dim")
    where = event.context.page or event.context.referer if event.context is not None else ""
    if where:
        text.append("    on the page ", "dim")
        text.append(f"{safe(where, VALUE_CHARS)}\n")


def _help(name: str) -> str:
    known = reasons.BY_NAME.get(name)
    return known.help if known is not None else "A reason that this version does not know."


def _second(rfc3339: str) -> str:
    """``2026-11-20 21:27:05``: nobody reads more of a time in a table."""
    return safe(rfc3339[:19].replace("T", " "))
