"""Fields: from the parts of a hit to the dimensions and metrics of an event.

Rules
1. A field is compiled once, at start, to a ``Read``: a closure from the parts of a hit to its value, None (absent),
   ``MISSING`` or ``INVALID``. It never raises, whatever the hit holds.
2. Of several sources the first present wins. Empty texts, unknown ones and unreplaced macros count as absent
   (``text.settle``), and the next source is asked.
3. Of a parameter that came more than once the first value is taken, and the event is flagged; ``as: list`` takes all.
4. A header is not the tag's promise: as host, URL or language, one that names none (``about:blank``) counts as absent.
5. A dimension is cut at its limit after it was read. A price of ``AUDIT`` is there, but has no value (``WITHHELD``): it
   is neither missing nor wrong, no default stands in for it, and the event is flagged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tracker import reasons
from tracker.capture.body import at_pointer
from tracker.capture.cookie import cookie_value
from tracker.capture.memo import Memo
from tracker.capture.pattern import compile_pattern
from tracker.capture.source import sources_of, split_source
from tracker.capture.text import MACRO_STARTS, REPLACEMENT, fit, from_bytes_text, mark, settle
from tracker.capture.values import INVALID, MISSING, Convert, Trouble, Value, is_audit, written
from tracker.settings.model import Field

Parts = tuple[Sequence[str], Mapping[str, Any], Callable[[str], str | None], Mapping[str, Any], list[str]]
"""Values of the path's parameters, query parameters, ``Headers.get``, body fields, and the event's flags so far."""
PATH: Final = 0
QUERY: Final = 1
HEADER: Final = 2
BODY: Final = 3
FLAGS: Final = 4

Found = Value | Trouble | None
Read = Callable[[Parts], Found]
ReadNumber = Callable[[Parts], int | float | Trouble | None]
Get = Callable[[Parts], Any]
"""What a source holds, as it came: text, a list where it came more than once, any JSON; None if it is not there."""
Interpret = Callable[[Any, list[str]], Found]
"""From what a source holds to the field's value; the flags are the event's."""

WITHHELD: Final = Trouble("")
"""No value, and nothing wrong."""
NUMBERS: Final = frozenset({"integer", "number", "money"})
"""Types that only metrics have."""
MAX_RAW_CHARS = 65_536
"""Longest text that a type other than ``text`` looks at."""


def compile_field(
    field: Field | str, names: Sequence[str], max_text_chars: int, converts: Mapping[str, Convert]
) -> Read:
    """The ``Read`` of a field that has passed ``routing.check``.

    ``names`` are the path's parameters, left to right; ``converts`` is ``DIMENSION`` or ``METRIC``.
    """
    field = Field(from_=field) if isinstance(field, str) else field
    if field.const is not None:
        return _constant(fixed(field, field.const, max_text_chars, converts))
    sources = sources_of(field)
    reads = tuple(compile_source(field, source, names, max_text_chars, converts)[1] for source in sources)
    fallback: Found = MISSING if field.required else None
    if field.default is not None:
        fallback = fixed(field, field.default, max_text_chars, converts)
    if len(reads) == 1 and fallback is None:
        return reads[0]
    place, key = split_source(sources[0])
    return _first_present(reads, fallback, key if place == "query" else None)


def compile_source(
    field: Field, source: str, names: Sequence[str], max_text_chars: int, converts: Mapping[str, Convert]
) -> tuple[Get, Read]:
    """One source of a field: how to get at it, and how it is read (which gets at it, too)."""
    place, key = split_source(source)
    interpret = _interpreter(field, max_text_chars, converts)
    if place == "body":
        # A JSON number is what it says: only text is an ad server's.
        number = _interpreter(msgspec.structs.replace(field, unknown=()), max_text_chars, converts)
        interpret = _of_json(interpret, number, field)
    get = getter(source, names)
    if place == "header":
        return get, _from_header(key.lower(), interpret, lenient=field.as_ in ("host", "url", "language"))

    def read(parts: Parts) -> Found:
        raw = get(parts)
        return None if raw is None else interpret(raw, parts[FLAGS])

    def read_query(parts: Parts) -> Found:  # PERF: a call less, and most parameters are not there
        raw = parts[QUERY].get(key)
        return None if raw is None else interpret(raw, parts[FLAGS])

    return get, read_query if place == "query" else read


def fixed(field: Field, text: str, max_text_chars: int, converts: Mapping[str, Convert]) -> Value | Trouble:
    """A ``const`` or ``default`` as the field reads it."""
    value = _finisher(field, field.max_length or max_text_chars, converts.get(field.as_))[0](text, [])
    return INVALID if value is None else value


def _interpreter(field: Field, max_text_chars: int, converts: Mapping[str, Convert]) -> Interpret:
    unknown = frozenset(field.unknown)
    starts = MACRO_STARTS + "".join(text[:1] for text in unknown)
    limit = field.max_length or max_text_chars
    convert = converts.get(field.as_)
    finish, shape = _finisher(field, limit, convert)
    several = field.as_ == "list"
    if convert is None or field.as_ in ("macro", "list"):
        cut = limit if convert is None else MAX_RAW_CHARS
        plain = convert is None and not field.lower and field.pattern is None

        def from_text(raw: Any, flags: list[str]) -> Found:
            if several and type(raw) is list:
                raw = ",".join(raw)
            # PERF: text with which ``settle`` would do nothing; nearly all is.
            if (type(raw) is str and raw and raw.isascii() and raw.isprintable()
                    and raw[0] not in starts and len(raw) <= cut):  # fmt: skip
                return raw if plain else finish(raw, flags)
            text = settle(raw, cut, flags, unknown)
            return text if text is None or plain else finish(text, flags)

        return from_text

    refuses = [text for text in unknown if convert(text) is not INVALID]
    quick: Convert = convert if not refuses else lambda text: INVALID if text in unknown else convert(text)

    def typed(raw: Any, flags: list[str]) -> Found:
        if type(raw) is str:
            value = quick(raw)
            if value is not INVALID:  # PERF: no type takes what ``settle`` would clean away
                return value if shape is None else shape(value, flags)
        text = settle(raw, MAX_RAW_CHARS, flags, unknown)
        return None if text is None else finish(text, flags)

    return typed


def _finisher(field: Field, limit: int, convert: Convert | None) -> tuple[Interpret, Interpret | None]:
    """The last steps: settled text as the field's type and in its shape; and, for what is of its type already, the
    shape alone: its case, length and pattern. None: a number has none.
    """
    matches = compile_pattern(field.pattern) if field.pattern is not None else None

    def shape(value: Any, flags: list[str]) -> Found:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # a number, or a Trouble
        if not value:
            mark(flags, reasons.UNKNOWN_VALUE)
            return None
        if REPLACEMENT in value:  # decoded once more, it had what no log can hold
            mark(flags, reasons.CLEANED)
        value = fit(value.lower() if field.lower else value, limit, flags)
        return INVALID if matches is not None and not matches(value) else value

    if convert is None:
        return shape, shape

    def finish(text: str, flags: list[str]) -> Found:
        value = convert(text)
        if value is INVALID and field.as_ == "money" and is_audit(text):
            mark(flags, reasons.AUDIT)
            return WITHHELD
        return shape(value, flags)

    return finish, None if field.as_ in NUMBERS else shape


def _constant(value: Value | Trouble) -> Read:
    return lambda _: value


def _first_present(reads: tuple[Read, ...], fallback: Found, key: str | None) -> Read:
    """``key``: the query parameter that is the first source, if it is one."""
    first, others = reads[0], reads[1:]

    def read(parts: Parts) -> Found:
        if key is None or key in parts[QUERY]:  # PERF: spares a call; most tags leave their parameters to the headers
            value = first(parts)
            if value is not None:
                return value
        for source in others:
            value = source(parts)
            if value is not None:
                return value
        return fallback

    return read


def getter(source: str, names: Sequence[str]) -> Get:
    """How to get at a source; ``names`` are the path's parameters, left to right."""
    place, key = split_source(source)
    if place == "path":
        index = names.index(key)
        return lambda parts: parts[PATH][index]
    if place == "query":
        return lambda parts: parts[QUERY].get(key)
    if place == "header":
        name = key.lower()
        return lambda parts: from_bytes_text(raw) if (raw := parts[HEADER](name)) else raw
    if place == "cookie":
        return lambda parts: cookie_value(parts[HEADER]("cookie"), key)
    if key.startswith("/"):
        steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in key[1:].split("/"))  # RFC 6901, 4
        return lambda parts: at_pointer(parts[BODY], steps)
    return lambda parts: parts[BODY].get(key)


def _from_header(name: str, interpret: Interpret, *, lenient: bool) -> Read:
    def work(raw: str) -> tuple[Found, Sequence[str]]:
        flags: list[str] = []
        value = interpret(raw if raw.isascii() else from_bytes_text(raw), flags)
        return (None if lenient and value is INVALID else value), flags

    known = Memo(work)

    def read(parts: Parts) -> Found:
        raw = parts[HEADER](name)
        if not raw:  # an empty header is no ad server's word
            return None
        value, flags = known[raw]
        if flags:
            for flag in flags:
                mark(parts[FLAGS], flag)
        return value

    return read


def _of_json(interpret: Interpret, number: Interpret, field: Field) -> Interpret:
    """Numbers and booleans of a JSON body as the text that writes them; a list only where lists are read."""
    exact, several = field.as_ == "money", field.as_ == "list"

    def read(value: Any, flags: list[str]) -> Found:
        if isinstance(value, str):
            return interpret(value, flags)
        if several and isinstance(value, list):
            items = [item if isinstance(item, str) else written(item, exact=False) for item in value]
            texts = [item.replace("%", "%25").replace(",", "%2C") for item in items if isinstance(item, str)]
            return interpret(texts, flags)
        text = written(value, exact=exact)
        return number(text, flags) if isinstance(text, str) else text

    return read
