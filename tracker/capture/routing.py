"""Routes: what must hold before they are compiled.

Rules
1. ``check`` finds every mistake that the types of ``settings.model`` cannot: it returns them all, and raises nothing.
2. Settings without a fault compile (``table``), and their hits never raise.
3. No two routes take the same path, whatever their methods: one path, one meaning (see ``template``). A path that no
   client can send is a mistake too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tracker.capture import preprocess, template
from tracker.capture.event_name import valid_event_name
from tracker.capture.field_checks import HEADER_NAME, Kind, Where, check_amounts, check_field, no_parameter
from tracker.capture.identity import CLIENT_WORDS
from tracker.capture.plan import Plan, compile_plan, dimension_names, fields_of
from tracker.capture.redirect_checks import check_redirect
from tracker.capture.source import sources_of, split_source
from tracker.capture.template import Template, Tree
from tracker.settings.filled import fill
from tracker.settings.model import Fixed, LongReply, Route, Routes, Tracker
from tracker.settings.problems import Fault, quoted, suggestion

_OURS = frozenset({
    "connection", "content-length", "content-type", "date", "keep-alive", "location", "retry-after", "server",
    "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "x-event-id",
})  # fmt: skip
_CACHING = frozenset({"cache-control", "expires", "etag", "last-modified"})


def table(routes: Routes, tracker: Tracker) -> Tree[Plan]:
    """The compiled routes, which ``check`` has passed. Raises ``ValueError`` if it would not have."""
    tree: Tree[Plan] = Tree()
    for name, route in routes.routes.items():
        parsed = template.parse(route.path)
        overlapped = tree.add(parsed, compile_plan(name, route, routes, parsed, tracker))
        if overlapped is not None:
            raise ValueError(f"{name} overlaps {overlapped[1].name}")
    return tree


def check(tracker: Tracker, routes: Routes) -> Iterable[Fault]:
    """Every mistake in the routing table."""
    tree: Tree[str] = Tree()
    faults: list[Fault] = []
    for name, route in routes.routes.items():
        where: Where = ("routes", name)
        try:
            parsed = template.parse(route.path)
        except ValueError as error:
            faults.append(_fault((*where, "path"), str(error), "such as `/imp/{campaign}/{creative}.gif`"))
            continue
        overlapped = tree.add(parsed, name)
        if overlapped is not None:
            path = template.example(parsed, overlapped[0])
            message = f"overlaps route {quoted(overlapped[1])} ({overlapped[0].text}): both would take `{path}`"
            faults.append(_fault((*where, "path"), message))
        faults.extend(_reachable((*where, "path"), parsed, tracker.limits.max_path_bytes))
        faults.extend(_route(where, fill(route, routes.defaults), route, routes, parsed, tracker))
    return faults


def _reachable(where: Where, parsed: Template, max_path_bytes: int) -> Iterator[Fault]:
    """Browsers and proxies resolve dot segments before they send (WHATWG URL 4.4; RFC 3986 5.2.4)."""
    for segment in parsed.segments:
        if not segment.name and segment.prefix in (".", ".."):
            message = f"no client sends `{segment.prefix}` in a path: it is resolved before"
            yield _fault(where, message, "write the path that results")
    shortest = sum(len((part.prefix + part.suffix).encode()) + 1 + bool(part.name) for part in parsed.segments)
    if shortest > max_path_bytes:
        yield _fault(where, f"no hit can reach it: longer than `limits.max_path_bytes` ({max_path_bytes})")


def _route(
    where: Where, route: Route, own: Route, routes: Routes, parsed: Template, tracker: Tracker
) -> Iterator[Fault]:
    """``route`` is filled; ``own`` is as its file has it, so that a fault is told where the setting stands."""

    def place(name: str) -> Where:
        return (*where, name) if getattr(own, name) is not None else where

    if not route.methods:
        yield _fault(place("methods"), "a route takes at least one method")
    posts = "POST" in (route.methods or ())
    for at, used in enumerate(route.use):
        if used not in routes.field_sets:
            yield _fault((*where, "use", at), f"unknown field set {quoted(used)}", suggestion(used, routes.field_sets))
    if route.event is not None:
        if route.event.startswith("path."):
            if route.event[5:] not in parsed.names:
                yield no_parameter((*where, "event"), route.event[5:], parsed)
        elif not valid_event_name(route.event):
            yield _fault((*where, "event"), "an event name has 1 to 128 letters, digits and `_ . $ : -`")
    for at, wanted in enumerate(route.preprocess or ()):
        try:
            preprocess.find(wanted)
        except preprocess.UnusableTransform as error:
            at_place = (*where, "preprocess", at) if own.preprocess is not None else where
            yield _fault(at_place, str(error), suggestion(wanted, preprocess.names()))
    yield from _fields(where, route, routes, parsed, posts)
    if isinstance(route.reply, LongReply):
        if (route.reply.redirect is None) == (route.reply.fixed is None):
            yield _fault((*where, "reply"), "a reply is either `redirect` or `fixed`")
        elif route.reply.redirect is not None:
            known = dimension_names(route, routes)
            place_of = (*where, "reply", "redirect")
            yield from check_redirect(place_of, route.reply.redirect, known, posts, tracker.signing_keys)
        elif route.reply.fixed is not None:
            yield from _fixed((*where, "reply", "fixed"), route.reply.fixed)


def _fields(where: Where, route: Route, routes: Routes, parsed: Template, posts: bool) -> Iterator[Fault]:
    kinds: tuple[Kind, ...] = ("dimensions", "metrics")
    consumed = set(CLIENT_WORDS)
    for kind in kinds:
        for field_name, field in fields_of(route, routes, kind).items():
            place = (*where, kind, field_name)
            if field_name not in getattr(route, kind):  # from a field set: the fault is where it is taken in
                sets = routes.field_sets
                known = [(at, sets[used]) for at, used in enumerate(route.use) if used in sets]
                taken = [at for at, each in known if field_name in getattr(each, kind)]
                place = (*where, "use", taken[-1])
            yield from check_field(place, kind, field_name, field, parsed, posts)
            consumed.update(split_source(source)[1] for source in sources_of(field))
    yield from check_amounts(where, fields_of(route, routes, "dimensions"), fields_of(route, routes, "metrics"))
    if isinstance(route.properties, tuple):
        for at, kept in enumerate(route.properties):
            if kept in consumed:
                yield _fault((*where, "properties", at), f"{quoted(kept)} is a field of the event already")


def _fixed(where: Where, answer: Fixed) -> Iterator[Fault]:
    if answer.status in (204, 205) and answer.body:
        yield _fault((*where, "body"), f"a {answer.status} has no body (RFC 9110, 15.3)")
    if not re.fullmatch(r"[ -~]+", answer.content_type):
        yield _fault((*where, "content_type"), "a content type is printable ASCII, such as `text/html; charset=utf-8`")
    for name, value in answer.headers.items():
        if not HEADER_NAME.fullmatch(name):
            yield _fault((*where, "headers"), f"{quoted(name)} is no header name")
        elif name.lower() in _OURS or name.lower().startswith("x-tracker-"):
            yield _fault((*where, "headers", name), f"{quoted(name)} is for the tracker to write")
        elif name.lower() in _CACHING:
            yield _fault((*where, "headers", name), f"{quoted(name)}: a cached reply is a hit never counted")
        elif not re.fullmatch(r"[!-~]([ -~]*[!-~])?", value):
            yield _fault((*where, "headers", name), f"the value of {quoted(name)} is not printable ASCII")


def _fault(where: Where, message: str, hint: str = "") -> Fault:
    return Fault("routes", where, message, hint)
