"""Preprocessing: transforms of what a hit brought, run before any field is read.

Rules
1. A transform is a function that an entry point of the group ``tracker.preprocess`` names; a route lists it under
   ``preprocess:``. The built-in ones below come in by the same door.
2. It gets an ``Incoming`` and changes its ``query`` and ``body`` in place. It runs inside the request: no file, no
   network, no clock, a few microseconds.
3. One that raises costs nobody else anything: the hit goes to the bad lane as ``preprocess_failed``, and the capture
   log says why, once for each transform and kind of error.
4. What it leaves behind is checked and cleaned like any body: text without control characters, numbers of 64 bits.
"""

from __future__ import annotations

import base64
import binascii
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import msgspec

from tracker import reasons
from tracker.capture.body import clean_fields
from tracker.settings.model import Limits

log = logging.getLogger("tracker.capture")

GROUP: Final = "tracker.preprocess"
"""The group of entry points."""


class Incoming(msgspec.Struct):
    """What a hit brought, decoded, before any field is read."""

    route: str
    """Name of the route."""
    method: str
    """``GET``, ``HEAD`` or ``POST``."""
    path: Mapping[str, str]
    """The path's parameters by name; not to be changed."""
    query: dict[str, Any]
    """Query parameters: text, or a list of texts where one came more than once."""
    body: dict[str, Any]
    """Fields of the form or JSON object; empty without a body."""
    header: Callable[[str], str | None]
    """A request header by its lower-case name."""


Transform = Callable[[Incoming], None]
"""Changes ``query`` and ``body`` of an ``Incoming``; whatever it returns is ignored."""


class UnusableTransform(Exception):
    """A transform that cannot be had; ``str()`` says why."""


@functools.cache
def _installed() -> dict[str, EntryPoint]:
    """By name. Once a process: it takes 10 ms."""
    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """What is installed; imports nothing."""
    return sorted(_installed())


def find(name: str) -> Transform:
    """The transform of a name. Raises ``UnusableTransform``."""
    point = _installed().get(name)
    if point is None:
        raise UnusableTransform(f"the transform `{name}` is not installed")
    try:
        found = point.load()
    except Exception as error:  # a stranger's module: it may raise anything
        message = f"the transform `{name}` cannot be loaded from {point.value}: {type(error).__name__}: {error}"
        raise UnusableTransform(message) from error
    if not callable(found):
        raise UnusableTransform(f"the transform `{name}`: {point.value} is no function")
    return found  # type: ignore[no-any-return]  # entry points are untyped


class Transforms:
    """The transforms of one route, in order."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises ``UnusableTransform``."""
        self._all = [(name, find(name)) for name in names]
        self._said: set[tuple[str, type[Exception]]] = set()

    def run(self, incoming: Incoming) -> bool:
        """Run them; False if one raised."""
        for name, transform in self._all:
            try:
                transform(incoming)
            except Exception as error:
                if (name, type(error)) not in self._said:
                    self._said.add((name, type(error)))
                    log.exception("preprocess %s raised on a hit of route %s", name, incoming.route)
                return False
        return True


def preprocess(transforms: Transforms, incoming: Incoming, limits: Limits, flags: list[str]) -> str:
    """Run them and clean what they leave; the reason why it cannot be read, or empty."""
    if not transforms.run(incoming):
        incoming.body = {}
        return reasons.PREPROCESS_FAILED
    cleaned = clean_fields(incoming.body, limits, flags)
    incoming.body = {} if isinstance(cleaned, str) else cleaned
    incoming.query = {name: value for name, value in incoming.query.items() if _is_text(name) and _is_query(value)}
    return cleaned if isinstance(cleaned, str) else ""


def lower_names(incoming: Incoming) -> None:
    """Names of parameters and top-level body fields in lower case, for tags that write ``Price`` or ``PRICE``."""
    incoming.query = _by_name(incoming.query, str.lower)
    incoming.body = _by_name(incoming.body, str.lower)


def trim(incoming: Incoming) -> None:
    """Texts without spaces around them."""
    for fields in (incoming.query, incoming.body):
        for name, value in fields.items():
            if isinstance(value, str):
                fields[name] = value.strip()


def base64_json(incoming: Incoming) -> None:
    """The parameter ``data``, a JSON object in base64 (plain or URL-safe), becomes the body: Segment's pixel."""
    value = incoming.query.get("data")
    if not isinstance(value, str):
        return
    text = value.strip().replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        decoded = msgspec.json.decode(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return  # it stays what it is: a parameter
    if isinstance(decoded, dict):
        del incoming.query["data"]
        incoming.body = decoded | incoming.body


def _by_name(fields: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for name, value in fields.items():  # of two that become one, the first stays
        renamed.setdefault(rename(name), value)
    return renamed


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_query(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and value != [] and all(map(_is_text, value)))
