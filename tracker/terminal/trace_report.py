"""Where an event is, for people: one block an occurrence, one row a collector."""

from __future__ import annotations

from rich.text import Text

from tracker.journal.standing import Standing
from tracker.journal.tracing import Found, Occurrence
from tracker.terminal.safe import safe

_STYLES = {"delivered": "green", "waiting": "yellow", "dead": "red", "lost": "red", "not_subscribed": "dim"}


def report(found: Found) -> Text:
    """Everything that was found, and what was searched."""
    text = Text()
    for occurrence in found.occurrences:
        _occurrence(text, occurrence)
    text.append(searched(found), "dim")
    return text


def searched(found: Found) -> str:
    """What was searched, in one sentence."""
    streams = f"{found.streams} stream{'s' * (found.streams != 1)}"
    if found.narrowed:
        return (f"Searched {found.searched_bytes:,} bytes of {streams}: those around the id's own time. "
                "--all searches the rest, for more of the same id.")  # fmt: skip
    return f"Searched all {found.searched_bytes:,} durable bytes of {streams}, and the rings."


def not_found(found: Found) -> str:
    """The sentences for an event that is not there."""
    return (
        f"No event has the id {safe(found.id)}. {searched(found)}\n"
        "It was never answered with this id, or it has expired from the journal; a log file may still have it."
    )


def _occurrence(text: Text, each: Occurrence) -> None:
    bad = each.lane == "bad"
    text.append(safe(each.event or "(no name)"), "bold red" if bad else "bold")
    text.append(f"  {safe(each.id)}  ")
    text.append(f"{safe(each.received_at)}\n", "dim")
    lane = f"bad: {each.reason or 'no reason'}" if bad else each.lane
    _row(text, "lane", safe(lane), "red" if bad else "")
    _row(text, "stream", f"{safe(each.stream)} seq {each.seq}")
    _row(text, "segment" if each.place == "journal" else "ring", f"{safe(each.segment)} at byte {each.position:,}")
    if each.place == "ring":
        _row(text, "", "answered and safe from any process's death; not yet durable, so no collector has it", "yellow")
    if not each.intact:
        _row(text, "", "its block does not fit its checksum: no collector gets it; see `tracker verify`", "red")
    for number, standing in enumerate(each.collectors):
        _row(text, "" if number else "collect", *_standing(standing))
    text.append("\n")


def _standing(standing: Standing) -> tuple[str, str]:
    said = standing.state.replace("_", " ")
    details = [safe(standing.detail)] if standing.detail else []
    if standing.state == "waiting":
        details.append(f"{standing.bytes_behind:,} bytes behind")
    why = f" ({'; '.join(details)})" if details else ""
    return f"{safe(standing.collector)}: {said}{why}", _STYLES[standing.state]


def _row(text: Text, name: str, value: str, style: str = "") -> None:
    text.append(f"  {name:<9}", "dim")
    text.append(f"{value}\n", style)
