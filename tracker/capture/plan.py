"""Plans: each route compiled, so that a hit interprets no configuration.

Rules
1. A plan is made once, at start, from settings that ``routing.check`` has passed; it never changes.
2. Everything in it is ready for use: closures, tuples, frozen sets, and the parts of replies that no hit changes.
3. What a route does not use is None or empty, and costs its hits one look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, cast

import msgspec

from tracker import reasons
from tracker.capture import reply
from tracker.capture.cookie import IdCookie
from tracker.capture.extract import Get, Read, ReadNumber, compile_field, getter
from tracker.capture.identity import CLIENT_WORDS
from tracker.capture.jump import Jump, compile_jump
from tracker.capture.preprocess import Transforms
from tracker.capture.privacy import keeper
from tracker.capture.source import sources_of, split_source
from tracker.capture.template import Template
from tracker.capture.values import DIMENSION, METRIC
from tracker.settings.filled import fill
from tracker.settings.model import Field, Fields, FieldSet, LongReply, Route, Routes, Tracker

Metric = tuple[str, str, ReadNumber, int, str]
"""A metric's name, its key in the event (money is ``<name>_micros``), how it is read, what one unit of it costs in
nanos (0 if it is not the event's cost), and for money the currency. PERF: a plain tuple is unpacked fastest."""

RESERVES: Mapping[str, float] = {"low": 1 / 4, "normal": 1 / 8, "high": 0.0}
"""By priority: the part of the ring that is left to routes of a higher one."""


class Plan(msgspec.Struct, frozen=True):
    """A route as the hit path knows it."""

    name: str
    path: str
    """The template, as the route writes it."""
    names: tuple[str, ...]
    """Of the path's parameters, from left to right."""
    event: str
    event_index: int
    """Which of the path's values names the event; -1: ``event`` does."""
    methods: frozenset[str]
    flags: tuple[str, ...]
    """What every event of the route is flagged."""
    path_dimensions: tuple[tuple[str, Read], ...]
    """Those that depend on nothing but the path."""
    dimensions: tuple[tuple[str, Read], ...]
    """The others."""
    metrics: tuple[Metric, ...]
    keeps_properties: bool
    properties: frozenset[str] | None
    """Names of fields that become properties; None: all."""
    consumed_query: frozenset[str]
    consumed_body: frozenset[str]
    """What fields, ``CLIENT_WORDS`` and the redirect have read is no property."""
    originals: tuple[tuple[str, Get], ...]
    """Every source that a field reads, as the route writes it: what a bad event shows of its hit."""
    transforms: Transforms | None
    keep_ip: Callable[[str], str]
    anonymous_with_gpc: bool
    anonymous_with_dnt: bool
    cookie: IdCookie | None
    ack: str
    ack_header: reply.Header
    reserve: float
    """The part of the ring that must stay free for others."""
    good: reply.Fixed
    refused: reply.Fixed
    """For a method that the route does not take."""
    serves: bool
    """Who loads a pixel or a page gets it, whatever is wrong with the hit."""
    verdict: bool
    """The reply says in JSON what became of the event."""
    jump: Jump | None
    plain: bool
    """A good hit's reply is ``good`` and nothing more. PERF: one look instead of three."""


def fields_of(route: Route, routes: Routes, kind: Literal["dimensions", "metrics"]) -> Fields:
    """The fields of a route: those of its sets, in order, overridden by its own."""
    sets = [routes.field_sets[name] for name in route.use if name in routes.field_sets]
    owners: list[FieldSet | Route] = [*sets, route]
    found: Fields = {}
    for owner in owners:
        found |= owner.dimensions if kind == "dimensions" else owner.metrics
    return found


def dimension_names(route: Route, routes: Routes) -> list[str]:
    """The dimensions that an event of the route may have; ``currency`` comes with money."""
    metrics = fields_of(route, routes, "metrics").values()
    money = any(isinstance(field, Field) and field.as_ == "money" for field in metrics)
    return [*fields_of(route, routes, "dimensions"), *(["currency"] if money else [])]


def compile_plan(name: str, route: Route, routes: Routes, template: Template, tracker: Tracker) -> Plan:
    """The plan of one route."""
    route = fill(route, routes.defaults)
    assert route.methods is not None and route.privacy is not None and route.priority is not None and route.ack
    longest = tracker.limits.max_text_chars
    dimensions = fields_of(route, routes, "dimensions")
    metrics = fields_of(route, routes, "metrics")
    event = route.event or name
    named = event.startswith("path.")
    reads = [(key, compile_field(field, template.names, longest, DIMENSION)) for key, field in dimensions.items()]
    answer = route.reply if isinstance(route.reply, LongReply) else LongReply()
    jump = None
    if answer.redirect is not None:
        jump = compile_jump(answer.redirect, tracker.signing_keys, dimension_names(route, routes))
    read_from = [source for field in (*dimensions.values(), *metrics.values()) for source in sources_of(field)]
    if answer.redirect is not None and jump is not None and jump.key:
        read_from.append(answer.redirect.to)
    consumed = [split_source(source) for source in read_from]
    return Plan(
        name=name,
        path=template.text,
        names=template.names,
        event=name if named else event,
        event_index=template.names.index(event[5:]) if named else -1,
        methods=frozenset(route.methods),
        flags=route.flags if route.access == "open" else tuple(dict.fromkeys((*route.flags, reasons.UNAUTHENTICATED))),
        path_dimensions=tuple(read for read in reads if _is_of_the_path(dimensions[read[0]])),
        dimensions=tuple(read for read in reads if not _is_of_the_path(dimensions[read[0]])),
        metrics=tuple(_metric(key, field, template.names) for key, field in metrics.items()),
        keeps_properties=route.properties not in ("none", ()),
        properties=None if route.properties == "all" else frozenset(route.properties or ()),
        consumed_query=CLIENT_WORDS.union(
            (key for place, key in consumed if place == "query"), jump.consumed_query if jump is not None else ()
        ),
        consumed_body=CLIENT_WORDS.union(
            (key for place, key in consumed if place == "body"), jump.consumed_body if jump is not None else ()
        ),
        originals=tuple((source, getter(source, template.names)) for source in dict.fromkeys(read_from)),
        transforms=Transforms(route.preprocess) if route.preprocess else None,
        keep_ip=keeper(route.privacy),
        anonymous_with_gpc=route.privacy.gpc == "anonymous",
        anonymous_with_dnt=route.privacy.dnt == "anonymous",
        cookie=IdCookie(route.cookie) if route.cookie is not None else None,
        ack=route.ack,
        ack_header=("X-Tracker-Ack", route.ack),
        reserve=RESERVES[route.priority],
        good=jump.fixed if jump is not None else _good(route.reply),
        refused=reply.method_not_allowed(route.methods),
        serves=route.reply == "pixel" or answer.fixed is not None,
        verdict=route.reply == "json",
        jump=jump,
        plain=jump is None and route.cookie is None and route.reply != "json",
    )


def _good(answer: str | LongReply) -> reply.Fixed:
    if isinstance(answer, LongReply):
        assert answer.fixed is not None
        return reply.own(answer.fixed)
    return {"pixel": reply.PIXEL, "no_content": reply.NO_CONTENT, "json": reply.VERDICT}[answer]


def _is_of_the_path(field: Field | str) -> bool:
    return all(source.startswith("path.") for source in sources_of(field))  # of a constant too: it has no source


def _metric(name: str, field: Field | str, names: tuple[str, ...]) -> Metric:
    read = cast(ReadNumber, compile_field(field, names, 0, METRIC))
    if isinstance(field, str) or field.as_ != "money":
        return name, name, read, 0, ""
    # A CPM is the price of 1,000: one micro of it is one nano an impression.
    nanos = 0 if not field.cost else 1 if field.unit == "cpm" else 1000
    return name, f"{name}_micros", read, nanos, field.currency
