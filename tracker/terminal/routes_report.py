"""The routing table for people: one line a route where the terminal is wide enough, else a few; then who takes what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tracker.explain.table import Row, Subscriber, Table, Taker
from tracker.terminal.fold import fold
from tracker.terminal.safe import safe

_NOBODY = "nobody"
_STYLES = {
    "route": "bold", "path": "cyan", "ack": "dim", "access": "dim", "priority": "dim", "good events": "green",
    "bad events": "dim",
}  # fmt: skip
_WIDE = ("route", "methods", "path", "event", "reply", "ack", "access", "priority", "good events", "bad events")
_NARROW = ("route", "methods", "path", "reply", "good events", "bad events")
_USUAL = {"ack": "process", "access": "open", "priority": "normal"}
"""What the narrower forms leave out."""
_LEAST_REPLY = 16
"""Cells that a shortened reply keeps at least."""


def report(table: Table, width: int = 0) -> Text:
    """The whole report in lines of at most ``width`` cells; 0 means as long as they get."""
    text = Text()
    rows = [_cells(row) for row in table.routes]
    for headings in (_WIDE, _NARROW):
        columns = _columns(headings, rows, width)
        if columns:
            _lines(text, headings, rows, columns, width)
            break
    else:
        columns = []
        for row in rows:
            _block(text, row, width)
    if rows and len(columns) < len(_WIDE):
        usual = [f"{name} {value}" for name, value in _USUAL.items()]
        _folded(text, "", [f"unless said otherwise: {', '.join(usual)}"], width, "dim")
    if not table.routes:
        _folded(text, "", ["no routes: every hit gets a 404"], width, "yellow")
    text.append("\ncollectors\n", "bold")
    if not table.collectors:
        _folded(text, "  ", ["none: events stay in the journal"], width, "yellow")
    for collector in table.collectors:
        _collector(text, collector, len(table.routes), width)
    if table.untaken:
        _folded(text, "", [f"Nobody takes the good events of: {', '.join(table.untaken)}"], width, "yellow")
        _folded(text, "", ["They stay in the journal until it forgets them."], width, "dim")
    text.rstrip()
    return text


def _cells(row: Row) -> dict[str, str]:
    """The texts of a route by heading."""
    return {
        "route": safe(row.name), "methods": " ".join(row.methods), "path": safe(row.path), "event": safe(row.event),
        "reply": safe(f"redirect to {row.to}" if row.to else row.reply), "ack": row.ack, "access": row.access,
        "priority": row.priority, "good events": _takers(row.good), "bad events": _takers(row.bad),
    }  # fmt: skip


def _takers(takers: Iterable[Taker]) -> str:
    some = {"some": " (some)", "all": ""}
    return " ".join(safe(taker.collector) + some[taker.share] for taker in takers) or _NOBODY


def _columns(headings: Sequence[str], rows: Sequence[dict[str, str]], width: int) -> list[int]:
    """The width of each column, that of a long reply cut if need be; none if the lines do not fit."""
    columns = [max(map(cell_len, (heading, *(row[heading] for row in rows)))) for heading in headings]
    over = sum(columns) + 2 * (len(columns) - 1) - width
    if width and over > 0:
        at = headings.index("reply")
        if columns[at] - over < _LEAST_REPLY:
            return []
        columns[at] -= over
    return columns if rows else []


def _lines(
    text: Text, headings: Sequence[str], rows: Iterable[dict[str, str]], columns: list[int], width: int
) -> None:
    for row in ({heading: heading for heading in headings}, *rows):
        for heading, size in zip(headings, columns, strict=True):
            cell = row[heading]
            shown = cell if cell_len(cell) <= size else set_cell_size(cell, size - 1) + "…"
            text.append(shown, "dim" if cell == heading else _style(heading, cell))
            if heading != headings[-1]:
                text.append(" " * (size - cell_len(shown) + 2))
        text.append("\n")
        left_out = _unusual(row) if "event" in row and "event" not in headings else []
        if left_out:
            _folded(text, " " * (columns[0] + 2), left_out, width, "dim")


def _unusual(row: dict[str, str]) -> list[str]:
    """What a route has that most have not."""
    event = [f"event {row['event']}"] if row["event"] != row["route"] else []
    return event + [f"{name} {row[name]}" for name, usual in _USUAL.items() if row[name] != usual]


def _style(heading: str, cell: str) -> str:
    return "yellow" if cell == _NOBODY and heading == "good events" else _STYLES.get(heading, "")


def _block(text: Text, row: dict[str, str], width: int) -> None:
    """A route in several lines."""
    _folded(text, "", [row["route"]], width, "bold")
    _folded(text, "  ", [f"{row['methods']} {row['path']}"], width, "cyan")
    _folded(text, "  ", [row["reply"], *_unusual(row)], width, "")
    good = row["good events"]
    takers = [f"good events: {good}", f"bad events: {row['bad events']}"]
    _folded(text, "  ", takers, width, _style("good events", good))


def _collector(text: Text, each: Subscriber, routes: int, width: int) -> None:
    lanes = " and ".join(each.lanes) or "no"
    names = "all" if "*" in each.events else " ".join(map(safe, each.events)) or "no"
    text.append(f"  {safe(each.name)}", "bold")
    head = f"  ({safe(each.type)}) takes {names} events of the {lanes} lane{'s' * (len(each.lanes) > 1)}\n"
    if width and cell_len(each.name) + cell_len(head) + 1 > width:
        text.append("\n")
        _folded(text, "    ", [head.strip()], width, "")
    else:
        text.append(head)
    for lane, taken in (("good", each.good), ("bad", each.bad)):
        if lane in each.lanes:
            said = ["all routes"] if len(taken) == routes and routes else taken or ["no route"]
            _folded(text, f"    {lane}: ", said, width, "" if taken else "yellow")


def _folded(text: Text, lead: str, parts: Iterable[str], width: int, style: str) -> None:
    """Parts behind a lead, with commas between them, in as many lines as they need."""
    for line in fold(", ".join(map(safe, parts)), width, lead, " " * min(len(lead) + 2, 8)):
        text.append(line + "\n", style)
