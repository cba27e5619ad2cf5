"""Near misses: the routes that a path nearly fits, and what keeps it from fitting.

Rule: a guess says what differs, in the order of the path; nothing is tried or changed.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from tracker.capture.template import Segment, Template

SHOWN = 3
"""Most near misses that are told."""
_SAME, _CASE, _NEAR, _GAP, _OTHER = 0, 1, 2, 3, 7
_TAKEN = {"integer": "digits", "hex": "hexadecimal digits", "word": "letters, digits, `_` and `-`"}
_FAR = 6
"""A path that costs more than this is none of ours: so one that lacks a literal, or has another one in its place."""


class NearMiss(msgspec.Struct, frozen=True):
    """A route that a path nearly fits."""

    route: str
    path: str
    """The route's template."""
    differs: str
    """What would have to be different, in words."""


class _Step(NamedTuple):
    cost: int
    said: tuple[str, ...]


def near_misses(path: str, templates: Mapping[str, Template]) -> list[NearMiss]:
    """The nearest routes, the nearest first; none if the path is like none of them."""
    parts = path.removeprefix("/").split("/")
    if len(parts) > 32:
        return []
    found = []
    for name, template in templates.items():
        cost, said = _distance(parts, template.segments)
        if cost <= _FAR:
            found.append((cost, NearMiss(name, template.text, "; ".join(said))))
    found.sort(key=lambda each: each[0])
    return [miss for cost, miss in found[:SHOWN] if cost <= found[0][0] + _NEAR]


def _distance(parts: list[str], segments: tuple[Segment, ...]) -> _Step:
    """The cheapest way from the path's parts to the template's segments (Levenshtein, a segment at a time)."""
    row = [_Step(0, ())]
    for part in parts:
        row.append(_Step(row[-1].cost + _GAP, (*row[-1].said, _too_many(part))))
    for segment in segments:
        gap = _GAP if segment.name or not segment.prefix else _OTHER
        before, row = row, [_Step(row[0].cost + gap, (*row[0].said, _lacks(segment)))]
        for at, part in enumerate(parts):
            cost, said = _compare(part, segment)
            row.append(min(
                _Step(before[at].cost + cost, (*before[at].said, *said)),
                _Step(before[at + 1].cost + gap, (*before[at + 1].said, _lacks(segment))),
                _Step(row[at].cost + _GAP, (*row[at].said, _too_many(part))),
                key=lambda step: step.cost,
            ))  # fmt: skip
    return row[-1]


def _compare(part: str, segment: Segment) -> _Step:
    """What it costs to take a part of the path for a segment, and what to say about it."""
    if segment.takes(part):
        return _Step(_SAME, ())
    shown = f"`{part[:40]}`"
    if not segment.name:
        alike = difflib.SequenceMatcher(None, part[:64].lower(), segment.prefix[:64].lower()).ratio()
        if part.lower() == segment.prefix.lower():
            return _Step(_CASE, (f"{shown} is written `{segment.prefix}`: case counts",))
        return _Step(_NEAR if alike >= 0.6 else _OTHER, (f"{shown} stands where `{segment.prefix}` is due",))
    place = written(segment)
    if not part:
        return _Step(_NEAR, (f"{place} is empty",))
    if segment.suffix and not part.endswith(segment.suffix):
        return _Step(_NEAR, (f"{shown} does not end with `{segment.suffix}`, as {place} does",))
    if segment.prefix and not part.startswith(segment.prefix):
        return _Step(_NEAR + 1, (f"{shown} does not begin with `{segment.prefix}`, as {place} does",))
    value = part[len(segment.prefix) : len(part) - len(segment.suffix)]
    if not value or segment.type not in _TAKEN:
        return _Step(_NEAR, (f"{shown} leaves nothing for `{{{segment.name}}}` of {place}",))
    return _Step(_NEAR, (f"{shown} is not of {place}, which takes {_TAKEN[segment.type]} only",))


def written(segment: Segment) -> str:
    """A segment as its template writes it, in backticks."""
    if not segment.name:
        return f"`{segment.prefix}`"
    kind = f":{segment.type}" if segment.type else ""
    return f"`{segment.prefix}{{{segment.name}{kind}}}{segment.suffix}`"


def _lacks(segment: Segment) -> str:
    if segment == Segment("", "", ""):
        return "the path lacks a `/` at its end"
    return f"the path lacks a segment for {written(segment)}"


def _too_many(part: str) -> str:
    return f"the segment `{part[:40]}` is too many" if part else "a `/` is too many"
