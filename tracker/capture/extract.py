"""Fields: from the parts of a hit to the dimensions and metrics of an event.

Rules
1. A field is compiled once, at start, to a ``Read``: a closure from the parts of a hit to its value, None (absent),
   ``MISSING`` or ``INVALID``. It never raises, whatever the hit holds.
2. Of several sources the first present wins. Empty texts and unreplaced macros count as absent (``text.settle``).
3. A header is not the tag's promise: as ``host``, one that names no host (``about:blank``) counts as absent.
4. ``text`` is cut at its limit; every other type is read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tracker import reasons
from tracker.capture.body import clean_property
from tracker.capture.memo import Memo
from tracker.capture.text import MACRO_STARTS, from_bytes_text, mark, settle
from tracker.capture.values import CONVERT, INVALID, MISSING, Convert, Trouble, Value, host, written
from tracker.settings.model import Field

Parts = tuple[Sequence[str], Mapping[str, Any], Callable[[str], str | None], Mapping[str, Any], list[str]]
"""Values of the path's parameters, query parameters, ``Headers.get``, body fields, and the event's flags so far."""
PATH: Final = 0
QUERY: Final = 1
HEADER: Final = 2
BODY: Final = 3
FLAGS: Final = 4

Read = Callable[[Parts], Value | Trouble | None]
ReadNumber = Callable[[Parts], int | float | Trouble | None]

MAX_RAW_CHARS = 65_536
"""Longest text that a type other than ``text`` looks at."""


def compile_field(field: Field | str, names: Sequence[str], max_text_chars: int) -> Read:
    """The ``Read`` of a field that has passed ``routing.check``; ``names`` are the path's parameters, left to right."""
    if isinstance(field, str):
        field = Field(from_=field)
    limit = field.max_length or max_text_chars
    convert = _converter(field, limit)
    if field.const is not None:
        return _constant(_fixed(field.const, convert, limit))
    sources = (field.from_,) if isinstance(field.from_, str) else field.from_
    reads = tuple(_source(source, names, limit, field, convert) for source in sources)
    fallback: Value | Trouble | None = MISSING if field.required else None
    if field.default is not None:
        fallback = _fixed(field.default, convert, limit)
    if len(reads) == 1 and fallback is None:
        return reads[0]
    return _first_present(reads, fallback)


def _fixed(text: str, convert: Convert | None, limit: int) -> Value | Trouble:
    return convert(text) if convert is not None else text[:limit]


def _converter(field: Field, limit: int) -> Convert | None:
    if field.as_ == "text":
        return (lambda text: text.lower()[:limit]) if field.lower else None
    if field.as_ == "host" and field.max_length:
        return lambda text: found if isinstance(found := host(text), Trouble) else found[:limit]
    return CONVERT[field.as_]


def _constant(value: Value | Trouble) -> Read:
    return lambda _: value


def _first_present(reads: tuple[Read, ...], fallback: Value | Trouble | None) -> Read:
    first, others = reads[0], reads[1:]

    def read(parts: Parts) -> Value | Trouble | None:
        value = first(parts)
        if value is not None:
            return value
        for source in others:
            value = source(parts)
            if value is not None:
                return value
        return fallback

    return read


def _source(source: str, names: Sequence[str], limit: int, field: Field, convert: Convert | None) -> Read:
    place, _, key = source.partition(".")
    if field.as_ != "text":
        limit = MAX_RAW_CHARS
    if place == "path":
        return _from_path(names.index(key), limit, convert)
    if place == "query":
        return _from_query(key, limit) if convert is None else _from_query_as(key, limit, convert)
    if place == "header":
        return _from_header(key.lower(), limit, convert, None if field.as_ == "host" else INVALID)
    return _from_body(key, limit, convert, exact=field.as_ == "money")


def _plain(text: str, limit: int) -> bool:
    """Text with which ``settle`` would do nothing. PERF: nearly all text is."""
    return bool(text) and text.isascii() and text.isprintable() and text[0] not in MACRO_STARTS and len(text) <= limit


def _from_path(index: int, limit: int, convert: Convert | None) -> Read:
    def read(parts: Parts) -> Value | Trouble | None:
        raw = parts[PATH][index]
        text = raw if _plain(raw, limit) else settle(raw, limit, parts[FLAGS])
        return text if convert is None or text is None else convert(text)

    return read


def _from_query(key: str, limit: int) -> Read:
    def read(parts: Parts) -> str | None:
        text = parts[QUERY].get(key)
        if text is None:
            return None
        if type(text) is str and _plain(text, limit):  # a list where the parameter was repeated
            return text
        return settle(text, limit, parts[FLAGS])

    return read


def _from_query_as(key: str, limit: int, convert: Convert) -> Read:
    def read(parts: Parts) -> Value | Trouble | None:
        text = parts[QUERY].get(key)
        if text is None:
            return None
        if type(text) is str:
            value = convert(text)
            if value is not INVALID:  # PERF: no type takes what ``settle`` would clean away
                return value
        text = settle(text, limit, parts[FLAGS])
        return None if text is None else convert(text)

    return read


def _from_header(name: str, limit: int, convert: Convert | None, on_invalid: Trouble | None) -> Read:
    def work(raw: str) -> tuple[Value | Trouble | None, Sequence[str]]:
        flags: list[str] = []
        text = raw if _plain(raw, limit) else settle(from_bytes_text(raw), limit, flags)
        value = text if convert is None or text is None else convert(text)
        return (on_invalid if value is INVALID else value), tuple(flags)

    known = Memo(work)

    def read(parts: Parts) -> Value | Trouble | None:
        raw = parts[HEADER](name)
        if raw is None:
            return None
        value, flags = known[raw]
        if flags:
            for flag in flags:
                mark(parts[FLAGS], flag)
        return value

    return read


def _from_body(key: str, limit: int, convert: Convert | None, *, exact: bool) -> Read:
    def read(parts: Parts) -> Value | Trouble | None:
        value = parts[BODY].get(key)
        if value is None:
            return None
        text = settle(value, limit, parts[FLAGS]) if isinstance(value, str) else written(value, exact=exact)
        return text if convert is None or not isinstance(text, str) else convert(text)

    return read


def properties(
    wanted: frozenset[str] | None, parts: Parts, consumed_query: frozenset[str], consumed_body: frozenset[str]
) -> dict[str, Any]:
    """What the query and the body hold beside the fields (None wants all of it); the body's word goes first."""
    flags = parts[FLAGS]
    found: dict[str, Any] = {}
    for key, value in parts[QUERY].items():
        if key not in consumed_query and (wanted is None or key in wanted):
            if isinstance(value, list):
                mark(flags, reasons.REPEATED_PARAMETER)
                value = value[0]
            found[clean_property(key, flags)] = clean_property(value, flags)
    return found | {  # the body was cleaned when it was decoded
        key: value
        for key, value in parts[BODY].items()
        if key not in consumed_body and (wanted is None or key in wanted)
    }
