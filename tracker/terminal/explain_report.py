"""What becomes of a hit, for people: the verdict first, then where everything came from, the reply and the event.

Rules
1. Every text of the hit passes ``safe``. Only what nobody could read is cut (``_SHOWN``), with ``…``; ``--json`` has it
   whole.
2. A field is one line if there is little to say, else one for each of its sources, in the order in which they are
   asked: ``>`` marks the one that was taken.
3. No line is wider than the terminal, however narrow it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from rich.cells import cell_len
from rich.text import Text

from tracker.explain.explanation import Explanation, TroubleFound
from tracker.explain.fields import FieldFound, SourceFound, decimals
from tracker.terminal.fold import fold
from tracker.terminal.safe import safe

_SHOWN = 300
"""Longest text of a hit that is shown."""
_MOST_NAME = 20
"""Longest name that is shown; a third of a narrow terminal."""
_MOST_VALUE = 30
"""Cells to which a column of values is filled up."""
_COLOURS = {"good": "green", "bad": "red", "refused": "yellow"}
_STATES = {
    "macro": "is a macro that nobody replaced: counts as absent",
    "audit": "is a test render's word: the price is withheld",
}  # fmt: skip


class _Row(NamedTuple):
    name: str
    value: str
    style: str = ""
    why: str = ""
    """Harmless, as are ``below``."""
    below: tuple[tuple[str, str], ...] = ()
    """Further lines, each with its style."""


def report(explanations: Sequence[Explanation], width: int = 0) -> Text:
    """All of them, in lines of at most ``width`` cells (0: as long as they get), and a count if they are several."""
    text = Text()
    told = [each for each in explanations if not each.elsewhere]
    for number, each in enumerate(told, 1):
        if len(told) > 1:
            _lines(text, f"{number} of {len(told)}: {safe(each.source)}", width, "", "dim")
        _Report(text, width, each).explain()
        text.append("\n")
    others = [each for each in explanations if each.elsewhere]
    if len(told) > 1:
        counts = [(sum(each.outcome == outcome for each in told), outcome) for outcome in _COLOURS]
        said = ", ".join(f"{count} {outcome}" for count, outcome in counts if count)
        _lines(text, f"{len(told)} hits: {said}", width, "", "bold")
    if others:
        kinds = ", ".join(dict.fromkeys(safe(each.source) for each in others))
        plural = "s lead" if len(others) > 1 else " leads"
        _lines(text, f"{len(others)} more URL{plural} to other hosts: {kinds}", width, "", "dim")
    text.rstrip()
    return text


class _Report:
    """One explanation, section by section."""

    def __init__(self, text: Text, width: int, each: Explanation) -> None:
        self._text = text
        self._width = width
        self._each = each
        names = [field.name for field in each.fields] + [word.name for word in each.words]
        names += [found.name for found in each.properties] + [flag.name for flag in each.flags]
        names += [one.collector for one in each.collectors]
        names += [each.route.name] if each.route is not None else []
        self._most_name = min(_MOST_NAME, width // 3) if width else _MOST_NAME
        cells = [cell_len(safe(name, self._most_name)) for name in ["leads to", *names]]
        self._names = max(cells)

    def explain(self) -> None:
        each = self._each
        self._verdict()
        if each.route is not None:
            said = f"{' '.join(each.route.methods)}, {each.route.reply}, ack {each.route.ack}"
            values = ", ".join(f"{name} {_quoted(value)}" for name, value in each.route.parameters.items())
            below = ((values, "dim"),) if values else ()
            self._section("route", [_Row(each.route.name, each.route.path, "cyan", said, below)])
        self._section("dimensions", [_field(field) for field in each.fields if field.kind == "dimensions"])
        self._section("metrics", [_field(field) for field in each.fields if field.kind == "metrics"] + self._cost())
        self._section("client", [*self._words(), *self._client()])
        self._section("properties", [
            _Row(found.name, _json(found.value), "", f"{found.source}.{safe(found.name)}") for found in each.properties
        ])  # fmt: skip
        self._section("flags", [
            _Row(flag.name, flag.help, "yellow", "", ((f"set by {safe(', '.join(flag.because))}", "dim"),))
            for flag in each.flags
        ])  # fmt: skip
        self._reply()
        self._section("collectors", [
            _Row(one.collector, *(("takes it", "green") if one.takes else ("does not", "dim")), safe(one.because))
            for one in each.collectors
        ])  # fmt: skip
        if each.event is not None:
            if each.kept and not any(one.takes for one in each.collectors):
                self._line("Nobody takes it: it stays in the journal until that forgets it.", "yellow")
            self._title("event as it is stored" if each.kept else "event, which is not stored")
            for line in msgspec.json.format(msgspec.json.encode(each.event), indent=2).decode().split("\n"):
                depth = len(line) - len(line.lstrip()) + 2
                lead = " " * (min(depth, self._width // 2) if self._width else depth)
                _lines(self._text, safe(line.lstrip()), self._width, lead, "dim")

    def _verdict(self) -> None:
        each = self._each
        query = f"?{each.query}" if each.query else ""
        _lines(self._text, f"{safe(each.method, 20)} {safe(each.path + query, 2000)}", self._width, "", "bold")
        verdict = f"no event: {each.reason}"
        if each.outcome != "refused":
            verdict = f"a {each.outcome} event: {each.event_name}{f', {each.reason}' if each.reason else ''}"
        _lines(self._text, safe(verdict), self._width, "", f"bold {_COLOURS[each.outcome]}")
        if each.outcome == "refused":
            _lines(self._text, each.help, self._width, "", "")
        for miss in each.near:
            said = f"Did you mean {safe(miss.path)} ({safe(miss.route)})? {safe(miss.differs, _SHOWN)}."
            _lines(self._text, said, self._width, "", "")
        for note in each.notes:
            _lines(self._text, f"note: {safe(note, _SHOWN)}", self._width, "", "yellow")
        self._section("wrong", [
            _Row(trouble.field, f"{trouble.reason}: {trouble.help}", "red", "", tuple(self._wrong(trouble)))
            for trouble in each.troubles
        ])  # fmt: skip

    def _wrong(self, trouble: TroubleFound) -> Iterator[tuple[str, str]]:
        for field in self._each.fields:
            if (field.name, field.trouble) == (trouble.field, trouble.reason):
                yield "; ".join(_said(field, source) for source in field.sources if source.asked), ""
        if not trouble.decides:
            yield "of several reasons the event bears the first", "dim"

    def _cost(self) -> list[_Row]:
        cost = self._each.cost
        if cost is None:
            return []
        if not cost.nanos:
            return [_Row("cost", "nothing", "dim", safe(cost.because))]
        amount = f"{cost.amount} {cost.currency} for this event"
        return [_Row("cost", amount, "green", f"{safe(cost.because)}: {cost.nanos:,} nanos")]

    def _words(self) -> list[_Row]:
        return [
            _Row(word.name, word.value or "not taken", "" if word.value else "yellow",
                 f"{safe(word.source)} {_quoted(word.held or '')}{_flags(word.flags)}")
            for word in self._each.words
        ]  # fmt: skip

    def _client(self) -> list[_Row]:
        client = self._each.client
        if client is None:
            return []
        whose = client.address if client.address == client.connection else f"{client.address}, by {client.connection}"
        because = f"{safe(whose)}: {client.because}" if whose else client.because
        rows = [_Row("address", client.kept or "not kept", "", because)]
        context = (self._each.event or {}).get("context", {})
        return rows + [_Row(name, context[name]) for name in ("user_agent", "referer", "locale") if name in context]

    def _reply(self) -> None:
        reply, to = self._each.reply, self._each.destination
        below = [(f"{name}: {safe(value, 3000)}", "") for name, value in reply.headers]
        if reply.body:
            below += [(safe(line), "dim") for line in reply.body[:2000].rstrip("\n").split("\n")]
        rows = [_Row(str(reply.status), reply.phrase, "bold", "", tuple(below))]
        if to is not None:
            held = f"{safe(to.source)} {_quoted(to.held)}" if to.held is not None else f"{safe(to.source)} absent"
            if "/" in to.source:
                held = f"the route's own: {safe(to.source)}"
            hosts = f"allowed: {', '.join(to.allowed) or 'no host'}"
            signed = f", and any host that is signed by {to.signed_by}" if to.signed_by else ""
            lines = ((held, "dim"),) if to.taken else ((held, "dim"), (safe(hosts + signed), "dim"))
            rows.append(_Row("leads to", to.location or "nowhere", "cyan" if to.taken else "red", "", lines))
        self._section("reply", rows)

    def _section(self, title: str, rows: Sequence[_Row]) -> None:
        if rows:
            self._title(title)
        values = max((min(cell_len(safe(row.value)), _MOST_VALUE) for row in rows if row.why), default=0)
        for row in rows:
            self._row(row, values)
            for line, style in row.below:
                self._line(line, style)

    def _title(self, title: str) -> None:
        self._text.append(f"\n{title}\n", "bold")

    def _row(self, row: _Row, values: int) -> None:
        """``name  value  why``; why goes below if it does not fit beside."""
        label = safe(row.name, self._most_name)
        lead = f"  {label}{' ' * (self._names - cell_len(label))}  "
        lines = list(fold(safe(row.value, _SHOWN), self._width, lead, " " * (self._names + 4)))
        self._text.append(lead, "dim")
        self._text.append(lines[0][len(lead) :], row.style)
        for line in lines[1:]:
            self._text.append(f"\n{line}", row.style)
        gap = " " * (max(0, self._names + 4 + values - cell_len(lines[-1])) + 2)
        beside = len(lines) == 1 and cell_len(lines[0] + gap + row.why) <= (self._width or 1000)
        self._text.append(f"{gap}{row.why}\n" if row.why and beside else "\n", "dim")
        if row.why and not beside:
            self._line(row.why, "dim")

    def _line(self, said: str, style: str) -> None:
        """What goes below a value; ``said`` is harmless."""
        _lines(self._text, said, self._width, " " * (self._names + 4), style)


def _lines(text: Text, said: str, width: int, lead: str, style: str) -> None:
    for line in fold(said, width, lead, lead + ("  " if lead else "")):
        text.append(line + "\n", style)


def _field(field: FieldFound) -> _Row:
    value, style = _value(field)
    ending = ""
    if field.used in ("default", "const"):
        ending = f"the route's {field.used}"
    elif field.trouble == "missing_field":
        ending = "required, and no source has it"
    if len(field.sources) <= 1:
        said = [_said(field, source) for source in field.sources] + ([ending] if ending else [])
        return _Row(field.name, value, style, "; ".join(said))
    below = []
    for source in field.sources:
        taken = source.source == field.used
        mark, not_asked = "> " if taken else "- ", "" if source.asked else "; not asked"
        below.append((f"{mark}{_said(field, source)}{not_asked}", "" if taken else "dim"))
    return _Row(field.name, value, style, "", (*below, *([(f"> {ending}", "")] if ending else [])))


def _value(field: FieldFound) -> tuple[str, str]:
    if field.trouble:
        return field.trouble, "red"
    if field.value is None:
        return "none", "dim"
    if field.read_as == "money" and isinstance(field.value, int):
        return f"{decimals(field.value, 6)} {field.currency}", "green"
    return str(field.value), "cyan" if field.kind == "dimensions" else "green"


def _said(field: FieldFound, source: SourceFound) -> str:
    """A source and what it gave, harmless."""
    name = safe(source.source)
    if source.held is None:
        return f"{name} absent"
    if not source.held and source.state in ("unknown", "nothing"):
        return f"{name} empty: counts as absent{_flags(source.flags)}"
    state = _STATES.get(source.state, "")
    if source.state == "unknown":
        state = "means unknown: counts as absent"
    elif source.state == "nothing":
        state = f"names no {field.read_as}: counts as absent"
    elif source.state == "invalid":
        state = "" if field.read_as == "text" else f"cannot be read as {field.read_as}"
        if field.pattern:
            state += f"{', or' if state else ''} does not match {safe(field.pattern, 80)}".lstrip()
    elif field.read_as == "money" and isinstance(source.value, int):
        state = f"as money: {source.value:,} micros"
    elif source.state == "value" and field.read_as != "text":
        state = f"as {field.read_as}"
    return f"{name} {_quoted(source.held)}{f' {state}' if state else ''}{_flags(source.flags)}"


def _flags(flags: Iterable[str]) -> str:
    listed = ", ".join(flags)
    return f" [{listed}]" if listed else ""


def _json(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _quoted(text: str) -> str:
    return f'"{safe(text, _SHOWN)}"'
