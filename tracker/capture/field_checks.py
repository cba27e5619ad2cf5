"""Field checks: every mistake in the dimensions and metrics of a route.

Rules
1. A fault is told at the part of the field that is wrong if that part is written out, else at the field.
2. What would silently do nothing is a mistake: ``lower`` on a number, ``default`` beside ``required``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from tracker.capture.extract import fixed
from tracker.capture.pattern import compile_pattern
from tracker.capture.privacy import PERSONAL_HEADERS
from tracker.capture.source import PLACES, sources_of, split_source
from tracker.capture.template import Template
from tracker.capture.values import DIMENSION, METRIC, Convert, Trouble
from tracker.settings.model import Field, Fields
from tracker.settings.problems import Fault, listed, quoted, suggestion

Kind = Literal["dimensions", "metrics"]
Where = tuple[str | int, ...]

CONVERTS: Mapping[Kind, Mapping[str, Convert]] = {"dimensions": DIMENSION, "metrics": METRIC}
TYPES: Mapping[Kind, tuple[str, ...]] = {"dimensions": ("text", *DIMENSION), "metrics": tuple(METRIC)}

_KEY = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
"""A name that a header or a cookie may have (RFC 9110, 5.1)."""
_POINTER = re.compile(r"(?:/(?:[^~/\x00-\x1f\x7f]|~[01])*){1,16}")


def check_field(
    where: Where, kind: Kind, name: str, field: Field | str, parsed: Template, posts: bool
) -> Iterator[Fault]:
    """``where`` is the field, or the place where a field set brings it in."""
    sources = sources_of(field)
    several = isinstance(field, Field) and not isinstance(field.from_, str)
    inside = isinstance(field, Field) and where[-2] == kind
    for at, source in enumerate(sources):
        place = (*where, "from", at) if inside and several else (*where, "from") if inside else where
        yield from check_source(place, source, parsed, posts)
    field = Field(from_=field) if isinstance(field, str) else field

    def part(key: str) -> Where:
        return (*where, key) if inside else where

    if field.as_ not in TYPES[kind]:
        message = f"`{name}`: {kind} are {listed(TYPES[kind])}, not {field.as_}"
        yield _fault(part("as"), message, "" if inside and field.as_ != "text" else f"add `as: {TYPES[kind][0]}`")
        return
    if (field.const is not None) == bool(sources):
        yield _fault(where, f"`{name}` needs either `from` or `const`")
    if field.required and field.default is not None:
        yield _fault(part("required"), f"`{name}` has a default, so it is never missing", "leave one of them out")
    if field.const is not None and (field.required or field.default is not None):
        yield _fault(part("const"), f"`{name}` is always this: `required` and `default` do nothing")
    if kind == "metrics":
        for key, given in (("lower", field.lower), ("pattern", field.pattern), ("max_length", field.max_length)):
            if given:
                yield _fault(part(key), f"`{name}`: a metric is a number, so `{key}` does nothing")
    if (field.cost or field.unit != "each") and field.as_ != "money":
        key = "cost" if field.cost else "unit"
        message = "only money is a cost" if field.cost else "only money has a unit"
        yield _fault(part(key), f"`{name}`: {message}")
    if field.pattern is not None and kind == "dimensions":
        try:
            compile_pattern(field.pattern)
        except ValueError as error:
            message = f"{quoted(field.pattern)} is no regular expression: {error}"
            yield _fault(part("pattern"), message, "as RE2 has them")
            return
    for key, text in (("const", field.const), ("default", field.default)):
        if text is not None and (not text or not text.isprintable()):
            yield _fault(part(key), "no printable text")
        elif text is not None and isinstance(fixed(field, text, 65_536, CONVERTS[kind]), Trouble):
            form = f" of the form `{field.pattern}`" if field.pattern else ""
            yield _fault(part(key), f"{quoted(text)} cannot be read as {field.as_}{form}")


def check_source(where: Where, source: str, parsed: Template, posts: bool) -> Iterator[Fault]:
    """One ``from``."""
    place, key = split_source(source)
    if place not in PLACES or not key:
        message = f"{quoted(source)} is no source: {listed(f'{each}.NAME' for each in PLACES)}, or body/POINTER"
        yield _fault(where, message, suggestion(place, PLACES))
    elif place == "path" and key not in parsed.names:
        yield no_parameter(where, key, parsed)
    elif place in ("header", "cookie") and not HEADER_NAME.fullmatch(key):
        yield _fault(where, f"{quoted(key)} is no {place} name")
    elif place == "header" and key.lower() in PERSONAL_HEADERS:
        hint = "a single cookie is `cookie.NAME`" if key.lower() == "cookie" else ""
        yield _fault(where, f"header {quoted(key)} holds a full address or a secret, which no event may have", hint)
    elif key.startswith("/") and (place != "body" or not _POINTER.fullmatch(key)):
        yield _fault(where, f"{quoted(source)} is no JSON Pointer into a body", "such as `body/cart/0/sku` (RFC 6901)")
    elif place != "path" and not _KEY.fullmatch(key):
        yield _fault(where, f"{quoted(source)} has no usable name")
    elif place == "body" and not posts:
        yield _fault(where, f"{quoted(source)}: the route takes no POST, so there is no body", "add `methods: [POST]`")


def check_amounts(where: Where, dimensions: Fields, metrics: Fields) -> Iterator[Fault]:
    """What several fields of a route may not say together."""
    money = {name: field for name, field in metrics.items() if isinstance(field, Field) and field.as_ == "money"}
    if len({field.currency for field in money.values()}) > 1:
        yield _fault((*where, "metrics"), "an event has one currency: `dimensions.currency`")
    if sum(field.cost for field in money.values()) > 1:
        yield _fault((*where, "metrics"), "an event has one cost: `metrics.cost_nanos`")
    if money and "currency" in dimensions:
        yield _fault(where, "dimension `currency` comes with the money fields: leave it to them")
    for name in metrics:
        if name == "cost_nanos" or (name.endswith("_micros") and name.removesuffix("_micros") in money):
            yield _fault((*where, "metrics"), f"`{name}` is made from a money field: name this one otherwise")


def no_parameter(where: Where, key: str, parsed: Template) -> Fault:
    """A path parameter that the template has not."""
    has = ", ".join(f"`{name}`" for name in parsed.names) or "none"
    return _fault(where, f"no parameter {quoted(key)} in {parsed.text} (it has {has})", suggestion(key, parsed.names))


def _fault(where: Where, message: str, hint: str = "") -> Fault:
    return Fault("routes", where, message, hint)
