"""Doubts: what is allowed and probably not meant. A warning is said at the start, and refuses nothing.

Rules
1. It sees settings that have passed every check.
2. A warning is worth a person's time: it is yielded only where somebody would thank for it, once for each cause.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracker.event import names_like
from tracker.settings.addresses import everybody, is_public, network
from tracker.settings.model import FieldSet, LongReply, Route, Routes, Tracker
from tracker.settings.problems import Fault, Path, listed, nearest, quoted

_FORGETFUL = ("/dev/shm", "/run", "/var/run")
"""Folders that Linux keeps in memory."""


def check(tracker: Tracker, routes: Routes) -> Iterable[Fault]:
    """Every doubt about settings that are right."""
    if is_public(tracker.bind) and not tracker.clients.trusted_proxies:
        message = "a public address without `clients.trusted_proxies`: behind a proxy all events would have its address"
        yield _doubt(("bind",), message, "list the networks of your proxies there; without any, all is well")
    if everybody(map(network, tracker.status_networks)):
        message = "the whole internet may read /-/metrics and the other status pages"
        yield _doubt(("status_networks",), message, "name the network of who collects them")
    if tracker.data_dir.startswith(tuple(f"{folder}/" for folder in _FORGETFUL)) or tracker.data_dir in _FORGETFUL:
        yield _doubt(("data_dir",), "this folder is in memory: a restart of the machine takes the journal with it")
    if tracker.journal.segment_age_s > tracker.journal.max_age_s:
        message = "longer than `max_age_s`: segments would grow older than what may be kept"
        yield _doubt(("journal", "segment_age_s"), message)
    if tracker.workers > tracker.ring.max_slots:
        yield _doubt(("workers",), f"more than `ring.max_slots` ({tracker.ring.max_slots}): some would find no ring")
    yield from _keys(tracker, routes)
    yield from _subscriptions(tracker, routes)
    yield from _unread_bodies(routes)


def _unread_bodies(routes: Routes) -> Iterable[Fault]:
    """A body that nobody reads would be answered with a receipt, and be gone."""
    for name, route in routes.routes.items():
        posts = "POST" in (route.methods or routes.defaults.methods)
        kept = (route.properties if route.properties is not None else routes.defaults.properties) not in ("none", ())
        if not posts or kept or route.preprocess:
            continue
        owners: list[Route | FieldSet] = [route]
        owners += [routes.field_sets[used] for used in route.use if used in routes.field_sets]
        fields = [field for owner in owners for field in (*owner.dimensions.values(), *owner.metrics.values())]
        places = [field if isinstance(field, str) else field.from_ for field in fields]
        if isinstance(route.reply, LongReply) and route.reply.redirect is not None:
            places.append(route.reply.redirect.to)
        sources = [source for place in places for source in ((place,) if isinstance(place, str) else place)]
        if not any(source.startswith(("body.", "body/")) for source in sources):
            hint = "read fields `from: body.NAME`, or keep them as `properties`"
            yield Fault("routes", ("routes", name), "takes POST and reads nothing of the body", hint, "warning")


def _keys(tracker: Tracker, routes: Routes) -> Iterable[Fault]:
    signed = {
        route.reply.redirect.signed_by
        for route in routes.routes.values()
        if isinstance(route.reply, LongReply) and route.reply.redirect is not None
    }
    for name, ring in tracker.signing_keys.items():
        if name not in signed:
            yield _doubt(("signing_keys", name), "no route's redirect is `signed_by` this key ring")
        first: dict[str, str] = {}
        for key, secret in ring.items():
            if first.setdefault(secret, key) != key:
                yield _doubt(("signing_keys", name, key), f"the same secret as {quoted(first[secret])}: no rotation")


def _subscriptions(tracker: Tracker, routes: Routes) -> Iterable[Fault]:
    """Collectors that wait for what nobody makes, and events that nobody takes."""
    named: dict[str, str] = {}
    """Event to the first of its routes; without those whose hits name the event."""
    for name, route in routes.routes.items():
        if not _from_the_hit(route):
            named.setdefault(route.event or name, name)
    if not any(map(_from_the_hit, routes.routes.values())):
        for name, collector in tracker.collectors.items():
            for index, pattern in enumerate(collector.events):
                if not any(map(names_like([pattern]).fullmatch, named)):
                    near = nearest(pattern, named)
                    hint = f"did you mean `{near}`?" if near else f"the routes make {listed(list(named)[:12], 'and')}"
                    message = f"no route makes an event {quoted(pattern)}"
                    yield _doubt(("collectors", name, "events", index), message, hint)
    good = [collector for collector in tracker.collectors.values() if "good" in collector.lanes]
    if not good:
        message = "no collector takes good events: they stay in the journal until it expires"
        yield _doubt(("collectors",), message, "add one, such as `log: {type: log}`")
        return
    taken = names_like(pattern for collector in good for pattern in collector.events)
    for event, name in named.items():
        if not taken.fullmatch(event):
            message = f"no collector takes the event {quoted(event)}: it stays in the journal until that expires"
            yield Fault("routes", ("routes", name), message, "add it to a collector's `events`", "warning")


def _from_the_hit(route: Route) -> bool:
    return route.event is not None and route.event.startswith("path.")


def _doubt(path: Path, message: str, hint: str = "") -> Fault:
    return Fault("tracker", path, message, hint, "warning")
