"""The table: every route in one row, and which collectors take its events. Pure; made from settings alone.

Rules
1. Whether a collector takes an event is asked of delivery's own ``choice``.
2. A route whose hits name their event may give any valid name: a collector takes ``all`` or ``some`` of them.
3. A route whose good events nobody takes is marked: they stay in the journal until it forgets them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from tracker.capture.event_name import valid_event_name
from tracker.capture.template import Segment, parse
from tracker.delivery.choice import choice
from tracker.event import Event
from tracker.settings.filled import fill
from tracker.settings.model import Collector, LongReply, Route, Settings

Share = Literal["all", "some"]


class Taker(msgspec.Struct, frozen=True):
    """A collector that takes a route's events."""

    collector: str
    share: Share = "all"
    """``some``: only those of some names, where hits name their event."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One route, its defaults filled in."""

    name: str
    methods: tuple[str, ...]
    path: str
    event: str
    """The event's name, or ``path.NAME``."""
    reply: str
    """``pixel``, ``no_content``, ``json``, ``redirect`` or ``fixed``."""
    to: str
    """Of a redirect: where to, or which field says so."""
    ack: str
    access: str
    priority: str
    good: tuple[Taker, ...]
    bad: tuple[Taker, ...]


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """One collector and the routes whose events it takes."""

    name: str
    type: str
    events: tuple[str, ...]
    lanes: tuple[str, ...]
    good: tuple[str, ...]
    """Routes whose good events it takes, all or some."""
    bad: tuple[str, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The routing table and the collectors' map."""

    version: str
    """Of the settings, as ``/-/readyz`` shows it."""
    routes: tuple[Row, ...]
    collectors: tuple[Subscriber, ...]
    untaken: tuple[str, ...]
    """Routes whose good events no collector takes."""


def table(settings: Settings) -> Table:
    """The table of settings that every check has passed."""
    collectors = settings.tracker.collectors
    rows = tuple(
        _row(name, fill(route, settings.routes.defaults), collectors.items())
        for name, route in settings.routes.routes.items()
    )
    return Table(
        version=settings.version,
        routes=rows,
        collectors=tuple(
            Subscriber(
                name=name, type=each.type, events=each.events, lanes=each.lanes,
                good=tuple(row.name for row in rows if _has(row.good, name)),
                bad=tuple(row.name for row in rows if _has(row.bad, name)),
            )
            for name, each in collectors.items()
        ),
        untaken=tuple(row.name for row in rows if not row.good),
    )  # fmt: skip


def _row(name: str, route: Route, collectors: Iterable[tuple[str, Collector]]) -> Row:
    event = route.event or name
    place = _place(route.path, event)
    takers: dict[str, list[Taker]] = {"good": [], "bad": []}
    for collector, settings in collectors:
        takes = choice(settings)
        for lane, found in takers.items():
            # A name that is not valid makes a bad event of the route's own name.
            own = takes(Event(id="", event=event if place is None else name, lane=lane))
            if place is None:
                share: Share | None = "all" if own else None
            elif lane not in settings.lanes:
                share = None
            else:
                share = _share(settings.events, place)
                if lane == "bad":
                    share = "all" if share == "all" and own else "some" if share or own else None
            if share is not None:
                found.append(Taker(collector, share))
    reply, to = _reply(route)
    return Row(
        name=name, methods=tuple(route.methods or ()), path=route.path, event=event, reply=reply, to=to,
        ack=route.ack or "", access=route.access or "", priority=route.priority or "",
        good=tuple(takers["good"]), bad=tuple(takers["bad"]),
    )  # fmt: skip


def _place(path: str, event: str) -> Segment | None:
    """The place of the path that names the event, if it does."""
    if not event.startswith("path."):
        return None
    return next(segment for segment in parse(path).segments if segment.name == event[5:])


def _share(globs: Sequence[str], place: Segment) -> Share | None:
    """How many of the names that a path's place may give the globs take."""
    if any(glob and not glob.strip("*") for glob in globs):
        return "all"
    bare = place._replace(prefix="", suffix="")
    shortest = (glob.replace("*", "") for glob in globs)  # types are sets of characters: if any name, then this one
    return "some" if any(valid_event_name(name) and bare.takes(name) for name in shortest) else None


def _reply(route: Route) -> tuple[str, str]:
    if not isinstance(route.reply, LongReply):
        return route.reply, ""
    if route.reply.redirect is not None:
        return "redirect", route.reply.redirect.to
    return "fixed", ""


def _has(takers: Iterable[Taker], name: str) -> bool:
    return any(taker.collector == name for taker in takers)
