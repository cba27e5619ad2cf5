"""Places: what a path means by itself, worked out once for all hits with that path.

Rules
1. A place depends on nothing but the path and the routes.
2. It is shared by hits and never changed: a hit copies the dimensions and flags before it adds its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tracker import reasons
from tracker.capture.event_name import valid_event_name
from tracker.capture.plan import Plan
from tracker.capture.template import Tree
from tracker.capture.values import Trouble

_NOTHING: Mapping[str, Any] = {}


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a path leads."""

    plan: Plan
    values: Sequence[str]
    """Of the path's parameters, from left to right."""
    event: str
    """The event's name; the route's, if the path names none that is valid."""
    dimensions: dict[str, str]
    """Those that the path gives."""
    flags: Sequence[str]
    """Those that every hit on this path bears."""
    trouble: tuple[str, str]
    """A reason and a field; or two empty texts."""


def locate(tree: Tree[Plan], path: str) -> Place | None:
    """The place of a path; None if no route has it."""
    found = tree.find(path)
    if found is None:
        return None
    plan, values = found
    flags: list[str] = [*plan.flags]
    trouble = ("", "")
    event = plan.event
    if plan.event_index >= 0:
        event = values[plan.event_index]
        if not valid_event_name(event):
            trouble, event = (reasons.INVALID_EVENT_NAME, "event"), plan.event
    dimensions: dict[str, str] = {}
    for name, read in plan.path_dimensions:
        text = read((values, _NOTHING, _NOTHING.get, _NOTHING, flags))
        if isinstance(text, str):
            dimensions[name] = text
        elif isinstance(text, Trouble) and not trouble[0]:
            trouble = (text.reason, name)
    return Place(plan, tuple(values), event, dimensions, tuple(flags), trouble)
