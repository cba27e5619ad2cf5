"""Fields: where each dimension and metric came from, source by source.

Rules
1. Every source is got and read by the piece that the route itself is compiled from (``extract.compile_source``); only
   the choice of the first present one is written here a second time. The property test compares it with the event.
2. Sources behind the one that was taken are shown too, as ``asked: false``: they had no say, and set no flag.
3. Texts are what the hit held, whole; who shows them makes them harmless.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import msgspec

from tracker import reasons
from tracker.capture.extract import FLAGS, WITHHELD, Found, Get, Parts, Read, compile_source, fixed
from tracker.capture.plan import fields_of
from tracker.capture.source import sources_of
from tracker.capture.values import DIMENSION, METRIC, MISSING, Trouble
from tracker.settings.model import Field, Route, Routes

Kind = Literal["dimensions", "metrics"]
State = Literal["absent", "unknown", "macro", "audit", "nothing", "invalid", "value"]
"""``unknown``: empty, or one of the field's ``unknown`` texts; ``audit``: a price that a test render withholds;
``nothing``: a header that names no host, URL or language."""


class SourceFound(msgspec.Struct, kw_only=True):
    """One source of a field."""

    source: str
    """``query.price``, as the route writes it."""
    state: State
    held: str | None
    """What the hit held there, as text; JSON for what is no text. Null if it is absent."""
    value: str | int | float | None = None
    """What it was read as."""
    flags: tuple[str, ...] = ()
    """Flags that reading it sets."""
    asked: bool = True
    """Whether the field came so far as to ask it."""


class FieldFound(msgspec.Struct, kw_only=True):
    """One dimension or metric."""

    kind: Kind
    name: str
    key: str
    """Its name in the event: money is ``<name>_micros``."""
    read_as: str
    """What the route's ``as`` says."""
    sources: tuple[SourceFound, ...]
    used: str
    """The source that was taken, ``default`` or ``const``; empty if none."""
    value: str | int | float | None
    """As in the event; null if the event has none."""
    trouble: str
    """The reason that it gives for the bad lane; empty if none."""
    flags: tuple[str, ...]
    """Flags of the sources that were asked."""
    pattern: str = ""
    """The route's ``pattern``, if it has one."""
    currency: str = ""
    """Of money."""
    cost: str = ""
    """``cpm`` or ``each`` if it is what the event costs."""


class _Compiled(NamedTuple):
    kind: Kind
    name: str
    field: Field
    sources: tuple[tuple[str, Get, Read], ...]
    fallback: Found
    """Of ``const``, else of ``default``, else of ``required``."""


class Fields:
    """The fields of one route, in its order: dimensions, then metrics; those of its field sets first."""

    def __init__(self, route: Route, routes: Routes, names: Sequence[str], max_text_chars: int) -> None:
        """``names`` are the path's parameters, from left to right."""
        self._compiled: list[_Compiled] = []
        kinds: tuple[Kind, ...] = ("dimensions", "metrics")
        for kind in kinds:
            converts = DIMENSION if kind == "dimensions" else METRIC
            longest = max_text_chars if kind == "dimensions" else 0
            for name, written in fields_of(route, routes, kind).items():
                field = Field(from_=written) if isinstance(written, str) else written
                fallback: Found = MISSING if field.required else None
                text = field.const if field.const is not None else field.default
                if text is not None:
                    fallback = fixed(field, text, longest, converts)
                sources = tuple(
                    (source, *compile_source(field, source, names, longest, converts)) for source in sources_of(field)
                )
                self._compiled.append(_Compiled(kind, name, field, sources, fallback))

    def __call__(self, parts: Parts) -> Iterator[FieldFound]:
        """Each field as this hit gives it."""
        for compiled in self._compiled:
            yield _field(compiled, parts)


def _field(compiled: _Compiled, parts: Parts) -> FieldFound:
    kind, name, field, sources, fallback = compiled
    found: list[SourceFound] = []
    flags: list[str] = []
    result: Found = None
    used = ""
    for source, get, read in sources:
        own: list[str] = []
        value = read((*parts[:FLAGS], own))
        asked = result is None
        found.append(SourceFound(
            source=source, state=_state(get(parts), value, own), held=shown(get(parts)), flags=tuple(own), asked=asked,
            value=None if isinstance(value, Trouble) else value,
        ))  # fmt: skip
        if asked:
            flags += [flag for flag in own if flag not in flags]
            result = value
            used = source if value is not None else ""
    if result is None:
        result = fallback
        used = "" if fallback is None or fallback is MISSING else "const" if field.const is not None else "default"
    trouble = result.reason if isinstance(result, Trouble) else ""
    money = field.as_ == "money"
    return FieldFound(
        kind=kind, name=name, key=f"{name}_micros" if money else name, read_as=field.as_, sources=tuple(found),
        used=used, value=None if isinstance(result, Trouble) else result, trouble=trouble, flags=tuple(flags),
        pattern=field.pattern or "", currency=field.currency if money else "",
        cost=field.unit if money and field.cost else "",
    )  # fmt: skip


def _state(raw: Any, value: Found, flags: Sequence[str]) -> State:
    if isinstance(value, Trouble) and value is not WITHHELD:
        return "invalid"
    if value is not None and value is not WITHHELD:
        return "value"
    if raw is None:
        return "absent"
    states: tuple[tuple[str, State], ...] = (
        (reasons.MACRO_UNREPLACED, "macro"), (reasons.AUDIT, "audit"), (reasons.UNKNOWN_VALUE, "unknown"),
    )  # fmt: skip
    return next((state for flag, state in states if flag in flags), "nothing")


def shown(raw: Any) -> str | None:
    """What a source held, as text that can be written as JSON; None if it held nothing."""
    if raw is None:
        return None
    if isinstance(raw, list) and all(isinstance(item, str) for item in raw):
        return whole(", ".join(raw))
    return whole(raw) if isinstance(raw, str) else msgspec.json.encode(raw).decode()


def whole(text: str) -> str:
    """The text without halves of surrogate pairs, which no JSON can hold."""
    return text.encode("utf-8", "replace").decode()


def decimals(number: int, digits: int) -> str:
    """``2500000`` with 6 digits is ``2.50``: at least two decimals, exactly."""
    front, _, behind = f"{Decimal(number).scaleb(-digits):f}".partition(".")
    return f"{front}.{behind.rstrip('0').ljust(2, '0')}"
