"""Which events somebody wants to see: one condition, such as ``metrics.price_micros>1000000``.

Rules
1. A condition is ``FIELD OP VALUE``; it is read once, and every mistake is found then, with its repair.
2. ``FIELD`` is a field of the event (``event``, ``reason``, ``flags`` ...) or a name below one
   (``dimensions.campaign``, ``metrics.price_micros``, ``context.page``, ``properties.cart.total``).
3. An absent field is the empty text: ``reason=`` takes events without a reason, ``reason!=`` those with one.
4. Two numbers compare as numbers, anything else as text. RFC 3339 times of one zone compare well as text.
5. Nothing here reads a file. Condition and event are in, yes or no is out; no event makes it raise.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from tracker.event import Context, Event, names_like

Takes = Callable[[Event], bool]
"""Does somebody want this event?"""

MAX_PATTERN_CHARS = 256
"""Longest pattern of ``~``."""
MAX_SEARCHED_CHARS = 4096
"""How far into a text ``~`` looks."""

_SHAPE = re.compile(r"\s*([^\s=!<>~]+)\s*(!=|>=|<=|=|>|<|~)(.*)", re.DOTALL)
_FIELDS = tuple(field.name for field in msgspec.structs.fields(Event))
_CONTEXT = tuple(field.name for field in msgspec.structs.fields(Context))
_NESTED = ("dimensions", "metrics", "properties", "traits", "context")


class BadExpression(ValueError):
    """The expression is not a condition. ``str()`` says what is wrong and how to write it."""


class Condition(NamedTuple):
    """One condition, ready to use."""

    text: str
    """As it was written."""
    takes: Takes
    """True for the events that fulfil it."""


def parse(text: str) -> Condition:
    """The condition that ``text`` says. Raises ``BadExpression``."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise BadExpression(
            f"`{text}` is no condition: write FIELD OP VALUE, such as dimensions.campaign=c1 "
            "or metrics.price_micros>1000000; OP is one of = != > >= < <= ~"
        )
    path, operator, operand = shape[1], shape[2], shape[3].strip()
    if operand.startswith("="):
        raise BadExpression(f"`{text}`: equality is a single `=` here: write {path}={operand.lstrip('= ')}")
    values = _reach(path, text)
    if operator == "~":
        return Condition(text, _search(values, operand, text))
    if path.startswith("metrics.") and operand and _number(operand) is None:
        raise BadExpression(
            f"`{text}`: metrics are numbers and `{operand}` is none; money is whole millionths: 2.50 is 2500000"
        )
    operand = _unquote(operand, text)
    if operator in ("=", "!="):
        return Condition(text, _equal(values, operand, wanted=operator == "="))
    if not operand:
        raise BadExpression(f"`{text}`: a value is missing behind `{operator}`")
    return Condition(text, _order(values, operator, operand))


def select(events: Sequence[str] = (), lane: str | None = None, conditions: Iterable[Condition] = ()) -> Takes | None:
    """One test out of all that was asked: any of the event name globs, and the lane, and every condition.

    None when nothing was asked: then even lines that are no events are wanted.
    """
    tests: list[Takes] = [condition.takes for condition in conditions]
    if lane is not None:
        tests.append(lambda event: event.lane == lane)
    if events:
        names = names_like(events)
        tests.append(lambda event: names.fullmatch(event.event) is not None)
    if not tests:
        return None
    return lambda event: all(takes(event) for takes in tests)


# --- reading a field: every value that stands there, as text or number; a list has several -----------------------

_Values = Callable[[Event], list["str | int | float"]]


def _reach(path: str, text: str) -> _Values:
    top, _, below = path.partition(".")
    if top not in _FIELDS:
        close = difflib.get_close_matches(top, _FIELDS, 1)
        meant = f"did you mean `{close[0]}`?" if close else (
            f"a dimension is written dimensions.{path}, a metric metrics.{path}, a property properties.{path}"
        )
        raise BadExpression(f"`{text}`: an event has no field `{top}`; {meant}")
    if top in _NESTED and not below:
        raise BadExpression(f"`{text}`: say which of the {top}, such as {top}.{_example(top)}")
    if below and top not in _NESTED:
        raise BadExpression(f"`{text}`: `{top}` has no names below it; write {top} alone")
    if top == "context":
        if below not in _CONTEXT:
            raise BadExpression(f"`{text}`: the context has {', '.join(_CONTEXT)}; `{below}` is none of them")
        return lambda event: [] if event.context is None else _texts(getattr(event.context, below))
    if below:
        return lambda event: _texts(_descend(getattr(event, top), below))
    return lambda event: _texts(getattr(event, top))


def _example(top: str) -> str:
    return {"dimensions": "campaign", "metrics": "price_micros", "context": "page"}.get(top, "name")


def _descend(value: Any, path: str) -> Any:
    """What stands at the dotted ``path``; a key that has dots itself comes first."""
    while isinstance(value, dict):
        if path in value:
            return value[path]
        key, dot, path = path.partition(".")
        if not dot or key not in value:
            return None
        value = value[key]
    return None


def _texts(value: Any) -> list[str | int | float]:
    if value is True or value is False:  # before int: a bool is one
        return ["true" if value else "false"]
    if isinstance(value, (int, float)):
        return [value]
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, list):
        return [text for item in value if not isinstance(item, list) for text in _texts(item)]
    return [""] if value else []  # an object is there, and is no text


# --- the operators -----------------------------------------------------------------------------------------------


def _number(text: str) -> int | float | None:
    """The number that ``text`` writes, whole numbers exactly; None for anything else, infinities too."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _unquote(operand: str, text: str) -> str:
    if len(operand) < 2 or not (operand[0] == operand[-1] == '"'):
        return operand
    try:
        return msgspec.json.decode(operand.encode("utf-8", "replace"), type=str)
    except msgspec.MsgspecError as error:
        raise BadExpression(f'`{text}`: the quoted value is not a JSON string: write \\" for a quote inside') from error


def _equal(values: _Values, operand: str, *, wanted: bool) -> Takes:
    number = _number(operand)

    def takes(event: Event) -> bool:
        found = values(event)
        if not operand:
            return (not found) is wanted
        return any(value == operand if isinstance(value, str) else value == number for value in found) is wanted

    return takes


def _order(values: _Values, operator: str, operand: str) -> Takes:
    number = _number(operand)
    signs = {">": (1,), ">=": (1, 0), "<": (-1,), "<=": (-1, 0)}[operator]

    def sign(value: str | int | float) -> int | None:
        known = _number(value) if isinstance(value, str) else value
        if known is not None and number is not None:
            return (known > number) - (known < number)
        if isinstance(value, str):
            return (value > operand) - (value < operand)
        return None

    return lambda event: any(sign(value) in signs for value in values(event))


def _search(values: _Values, pattern: str, text: str) -> Takes:
    if not pattern:
        raise BadExpression(f"`{text}`: a regular expression is missing behind `~`")
    if len(pattern) > MAX_PATTERN_CHARS:
        raise BadExpression(f"`{text[:40]}...`: the pattern is longer than {MAX_PATTERN_CHARS} characters")
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadExpression(
            f"`{text}`: not a regular expression: {error}; put a backslash before . * + ? ( ) [ to mean the character"
        ) from error

    def found(value: str | int | float) -> bool:
        text = value if isinstance(value, str) else str(value)
        return compiled.search(text, 0, MAX_SEARCHED_CHARS) is not None

    return lambda event: any(map(found, values(event)))
