"""Plans: each route compiled, so that a hit interprets no configuration.

Rules
1. A plan is made once, at start, from settings that ``routing.check`` has passed; it never changes.
2. Everything in it is ready for use: closures, tuples, frozen sets, and the parts of replies that no hit changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast
from urllib.parse import quote

import msgspec

from tracker import reasons
from tracker.capture import reply
from tracker.capture.extract import Read, ReadNumber, compile_field
from tracker.capture.identity import CLIENT_WORDS
from tracker.capture.privacy import keeper
from tracker.capture.redirect import AllowList, Jump, parse
from tracker.capture.template import Template
from tracker.settings.model import Field, Fields, FieldSet, LongReply, Redirect, Route, Routes

Metric = tuple[str, str, ReadNumber, int, str]
"""A metric's name, its key in the event (money is ``<name>_micros``), how it is read, what one unit of it costs in
nanos (0 if it is not the event's cost), and for money the currency. PERF: a plain tuple is unpacked fastest."""


class Plan(msgspec.Struct, frozen=True):
    """A route as the hit path knows it."""

    name: str
    event: str
    event_index: int
    """Which of the path's values names the event; -1: ``event`` does."""
    methods: frozenset[str]
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
    """What fields and ``CLIENT_WORDS`` have read is no property."""
    keep_ip: Callable[[str], str]
    anonymous_with_gpc: bool
    ack: str
    ack_header: reply.Header
    good: reply.Fixed
    refused: reply.Fixed
    """For a method that the route does not take."""
    pixel: bool
    """A pixel's page gets its pixel whatever is wrong."""
    jump: Jump | None


def fields_of(route: Route, routes: Routes, kind: Literal["dimensions", "metrics"]) -> Fields:
    """The fields of a route: those of its sets, in order, overridden by its own."""
    sets = [routes.field_sets[name] for name in route.use if name in routes.field_sets]
    owners: list[FieldSet | Route] = [*sets, route]
    found: Fields = {}
    for owner in owners:
        found |= owner.dimensions if kind == "dimensions" else owner.metrics
    return found


def sources_of(field: Field | str) -> tuple[str, ...]:
    """Where a field's text comes from: ``("query.site", "header.referer")``."""
    from_ = field if isinstance(field, str) else field.from_
    return (from_,) if isinstance(from_, str) else from_


def compile_plan(name: str, route: Route, routes: Routes, template: Template, max_text_chars: int) -> Plan:
    """The plan of one route."""
    defaults = routes.defaults
    dimensions = fields_of(route, routes, "dimensions")
    metrics = fields_of(route, routes, "metrics")
    sources = [source for field in (*dimensions.values(), *metrics.values()) for source in sources_of(field)]
    methods = frozenset(route.methods if route.methods is not None else defaults.methods)
    properties = route.properties if route.properties is not None else defaults.properties
    privacy = route.privacy or defaults.privacy
    ack = route.ack or defaults.ack
    event = route.event or name
    reads = [(key, compile_field(field, template.names, max_text_chars)) for key, field in dimensions.items()]
    redirect = route.reply.redirect if isinstance(route.reply, LongReply) else None
    jump = _jump(redirect) if redirect is not None else None
    return Plan(
        name=name,
        event=event if not event.startswith("path.") else name,
        event_index=template.names.index(event[5:]) if event.startswith("path.") else -1,
        methods=methods,
        path_dimensions=tuple(read for read in reads if _is_of_the_path(dimensions[read[0]])),
        dimensions=tuple(read for read in reads if not _is_of_the_path(dimensions[read[0]])),
        metrics=tuple(_metric(key, field, template.names) for key, field in metrics.items()),
        keeps_properties=properties not in ("none", ()),
        properties=None if properties == "all" else frozenset() if properties == "none" else frozenset(properties),
        consumed_query=CLIENT_WORDS | {source[6:] for source in sources if source.startswith("query.")},
        consumed_body=CLIENT_WORDS | {source[5:] for source in sources if source.startswith("body.")},
        keep_ip=keeper(privacy),
        anonymous_with_gpc=privacy.gpc == "anonymous",
        ack=ack,
        ack_header=("X-Tracker-Ack", ack),
        good=reply.FOUND if jump else reply.PIXEL if route.reply == "pixel" else reply.NO_CONTENT,
        refused=reply.problem(
            405, "Method Not Allowed", reasons.METHOD_NOT_ALLOWED, reasons.BY_NAME[reasons.METHOD_NOT_ALLOWED].help,
            extra=(("Allow", ", ".join(sorted(methods))), ("X-Tracker-Reason", reasons.METHOD_NOT_ALLOWED)),
        ),
        pixel=route.reply == "pixel",
        jump=jump,
    )  # fmt: skip


def _is_of_the_path(field: Field | str) -> bool:
    return all(source.startswith("path.") for source in sources_of(field))  # of a constant too: it has no source


def _metric(name: str, field: Field | str, names: tuple[str, ...]) -> Metric:
    read = cast(ReadNumber, compile_field(field, names, 0))
    if isinstance(field, str) or field.as_ != "money":
        return name, name, read, 0, ""
    # A CPM is the price of 1,000: one micro of it is one nano an impression.
    nanos = 0 if not field.cost else 1 if field.unit == "cpm" else 1000
    return name, f"{name}_micros", read, nanos, field.currency


def _jump(redirect: Redirect) -> Jump:
    place, _, key = redirect.to.partition(".")
    stored = parse(redirect.to)
    otherwise = parse(redirect.otherwise) if redirect.otherwise is not None else None
    return Jump(
        stored=stored,
        place=place,
        key=key,
        allowed=AllowList(redirect.allow),
        added=tuple(f"{quote(name, safe='')}=" for name in redirect.add),
        otherwise=otherwise.location() if otherwise is not None else "",
    )
