"""Routes: what must hold before they are compiled.

Rules
1. ``check`` finds every mistake that the types of ``settings.model`` cannot: it returns them all, and raises nothing.
2. Settings without a fault compile (``table``), and their hits never raise.
3. No two routes take the same path, whatever their methods: one path, one meaning (see ``template``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from tracker.capture import template
from tracker.capture.identity import CLIENT_WORDS
from tracker.capture.plan import Plan, compile_plan, fields_of, sources_of
from tracker.capture.privacy import PERSONAL_HEADERS
from tracker.capture.redirect import AllowList, parse
from tracker.capture.template import Template, Tree
from tracker.capture.values import CONVERT, Trouble
from tracker.settings.model import Field, LongReply, Redirect, Route, Routes, Tracker
from tracker.settings.problems import Fault, listed, quoted, suggestion

Kind = Literal["dimensions", "metrics"]
Where = tuple[str | int, ...]

TYPES: dict[Kind, tuple[str, ...]] = {
    "dimensions": ("text", "host", "vast_event"),
    "metrics": ("integer", "number", "money"),
}
valid_event_name = re.compile(r"[A-Za-z0-9_.$:-]{1,128}").fullmatch

_KEY = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


def table(routes: Routes, max_text_chars: int) -> Tree[Plan]:
    """The compiled routes, which ``check`` has passed. Raises ``ValueError`` if it would not have."""
    tree: Tree[Plan] = Tree()
    for name, route in routes.routes.items():
        parsed = template.parse(route.path)
        overlapped = tree.add(parsed, compile_plan(name, route, routes, parsed, max_text_chars))
        if overlapped is not None:
            raise ValueError(f"{name} overlaps {overlapped[1].name}")
    return tree


def check(tracker: Tracker, routes: Routes) -> Iterable[Fault]:
    """Every mistake in the routing table."""
    del tracker
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
        faults.extend(_route(where, route, routes, parsed))
    return faults


def _route(where: Where, route: Route, routes: Routes, parsed: Template) -> Iterator[Fault]:
    methods = route.methods if route.methods is not None else routes.defaults.methods
    if not methods:
        yield _fault((*where, "methods"), "a route takes at least one method")
    posts = "POST" in methods
    for at, used in enumerate(route.use):
        if used not in routes.field_sets:
            yield _fault((*where, "use", at), f"unknown field set {quoted(used)}", suggestion(used, routes.field_sets))
    if route.event is not None:
        if route.event.startswith("path."):
            if route.event[5:] not in parsed.names:
                yield _no_parameter((*where, "event"), route.event[5:], parsed)
        elif not valid_event_name(route.event):
            message = "an event name has 1 to 128 letters, digits and `_ . $ : -`"
            yield _fault((*where, "event"), message)
    kinds: tuple[Kind, ...] = ("dimensions", "metrics")
    consumed = set(CLIENT_WORDS)
    for kind in kinds:
        for field_name, field in fields_of(route, routes, kind).items():
            place = (*where, kind, field_name)
            if field_name not in getattr(route, kind):  # from a field set: the fault is where it is taken in
                taken = [at for at, used in enumerate(route.use)
                         if used in routes.field_sets and field_name in getattr(routes.field_sets[used], kind)]
                place = (*where, "use", taken[-1])
            yield from _field(place, kind, field_name, field, parsed, posts)
            consumed.update(source.partition(".")[2] for source in sources_of(field))
    yield from _amounts(where, route, routes)
    if isinstance(route.properties, tuple):
        for at, kept in enumerate(route.properties):
            if kept in consumed:
                message = f"{quoted(kept)} is a field of the event already"
                yield _fault((*where, "properties", at), message)
    if isinstance(route.reply, LongReply) and route.reply.redirect is not None:
        yield from _redirect((*where, "reply", "redirect"), route.reply.redirect, posts)


def _field(
    where: Where, kind: Kind, name: str, field: Field | str, parsed: Template, posts: bool
) -> Iterator[Fault]:
    """``where`` is the field; a fault in one of its parts is told there if the part is written out."""
    sources = sources_of(field)
    several = isinstance(field, Field) and not isinstance(field.from_, str)
    inside = isinstance(field, Field) and where[-2] == kind
    for at, source in enumerate(sources):
        place = (*where, "from", at) if inside and several else (*where, "from") if inside else where
        yield from _source(place, source, parsed, posts)
    if isinstance(field, str):
        field = Field(from_=field)
    if field.as_ not in TYPES[kind]:
        message = f"`{name}`: {kind} are {listed(TYPES[kind])}, not {field.as_}"
        yield _fault((*where, "as") if inside else where, message, f"add `as: {TYPES[kind][-2]}`")
    if (field.const is not None) == bool(sources):
        yield _fault(where, f"`{name}` needs either `from` or `const`")
    for key, text in (("const", field.const), ("default", field.default)):
        convert = CONVERT.get(field.as_)
        if text is not None and (not text or not text.isprintable()):
            yield _fault((*where, key) if inside else where, "no printable text")
        elif text is not None and convert is not None and isinstance(convert(text), Trouble):
            yield _fault((*where, key) if inside else where, f"{quoted(text)} cannot be read as {field.as_}")
    if field.cost and field.as_ != "money":
        yield _fault((*where, "cost") if inside else where, f"`{name}`: only money is a cost")


def _source(where: Where, source: str, parsed: Template, posts: bool) -> Iterator[Fault]:
    place, dot, key = source.partition(".")
    if place not in ("path", "query", "header", "body") or not dot:
        message = f"{quoted(source)} is no source: path.NAME, query.NAME, header.NAME or body.NAME"
        yield _fault(where, message, suggestion(place, ("path", "query", "header", "body")))
    elif place == "path" and key not in parsed.names:
        yield _no_parameter(where, key, parsed)
    elif place == "header" and not _HEADER.fullmatch(key):
        yield _fault(where, f"{quoted(key)} is no header name")
    elif place == "header" and key.lower() in PERSONAL_HEADERS:
        yield _fault(where, f"header {quoted(key)} holds a full address or a secret, which no event may have")
    elif place != "path" and not _KEY.fullmatch(key):
        yield _fault(where, f"{quoted(source)} has no usable name")
    elif place == "body" and not posts:
        yield _fault(where, f"{quoted(source)}: the route takes no POST, so there is no body", "add `methods: [POST]`")


def _amounts(where: Where, route: Route, routes: Routes) -> Iterator[Fault]:
    """What several fields of a route may not say together."""
    metrics = fields_of(route, routes, "metrics")
    money = {name: field for name, field in metrics.items() if isinstance(field, Field) and field.as_ == "money"}
    if len({field.currency for field in money.values()}) > 1:
        yield _fault((*where, "metrics"), "an event has one currency: `dimensions.currency`")
    if sum(field.cost for field in money.values()) > 1:
        yield _fault((*where, "metrics"), "an event has one cost: `metrics.cost_nanos`")
    if money and "currency" in fields_of(route, routes, "dimensions"):
        yield _fault(where, "dimension `currency` comes with the money fields: leave it to them")
    for name in metrics:
        if name == "cost_nanos" or (name.endswith("_micros") and name.removesuffix("_micros") in money):
            yield _fault((*where, "metrics"), f"`{name}` is made from a money field: name this one otherwise")


def _redirect(where: Where, redirect: Redirect, posts: bool) -> Iterator[Fault]:
    try:
        AllowList(redirect.allow)
    except ValueError as error:
        yield _fault((*where, "allow"), str(error))
    place, _, _key = redirect.to.partition(".")
    if place in ("query", "body") and "/" not in redirect.to:
        yield from _source((*where, "to"), redirect.to, Template("", (), ()), posts)
        if not redirect.allow:
            yield _fault((*where, "to"), "which hosts? The hit decides where the person lands", "list them in `allow`")
    elif parse(redirect.to) is None:
        message = f"{quoted(redirect.to)} is neither query.NAME nor a plain http(s) URL"
        yield _fault((*where, "to"), message)
    elif redirect.allow:
        yield _fault((*where, "allow"), "a stored destination needs no list of hosts")
    if redirect.otherwise is not None and parse(redirect.otherwise) is None:
        yield _fault((*where, "otherwise"), f"{quoted(redirect.otherwise)} is no plain http(s) URL")
    for name in redirect.add:
        if not _KEY.fullmatch(name) or not name.isascii():
            yield _fault((*where, "add"), f"{quoted(name)} is no parameter name")


def _no_parameter(where: Where, key: str, parsed: Template) -> Fault:
    has = ", ".join(f"`{name}`" for name in parsed.names) or "none"
    return _fault(where, f"no parameter {quoted(key)} in {parsed.text} (it has {has})", suggestion(key, parsed.names))


def _fault(where: Where, message: str, hint: str = "") -> Fault:
    return Fault("routes", where, message, hint)
