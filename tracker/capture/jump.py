"""Jumps: where a route's hits are sent, compiled so that a hit works out nothing twice.

Rules
1. A destination is stored, or it is what a parameter of the hit says: a plain http(s) URL (see ``redirect``) whose host
   the route allows, or which is signed (see ``signing``).
2. Signature parameters that are there must be right, whatever the host: a route that knows signatures never takes a
   link that somebody has altered. Without any of them the host must be allowed.
3. ``{click_id}`` and ``{event_id}`` are the event's id, ``{NAME}`` is a dimension of the route, empty if it is absent.
   They stand behind the host, plain or percent-encoded (``%7BNAME%7D``). Other names stay as they are, encoded.
4. No value changes the structure of a URL. All but ``A-Z a-z 0-9 - . _ ~`` is percent-encoded; ``.`` and ``..``, which
   browsers resolve in whatever form (WHATWG 4.1), count as absent; and no path segment is made of macros and dots only.
5. A ``Location`` has at most ``MAX_LOCATION_CHARS``; a longer one is refused.
6. A person who is refused lands at ``otherwise``. A stored destination without one is its own, with nothing filled in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
from falcon.util.uri import encode_value

from tracker.capture import reply, signing
from tracker.capture.memo import Memo
from tracker.capture.redirect import AllowList, read
from tracker.reasons import BAD_DESTINATION
from tracker.settings.model import Redirect

MAX_LOCATION_CHARS = 3072
"""With the other headers it fits into the 4 KiB that nginx by default takes for the headers of an upstream's reply."""

EVENT_IDS = frozenset({"click_id", "event_id"})
"""Macros that mean the event's id; no dimension is heard under these names."""

_MACRO = re.compile(r"%7B([a-z][a-z0-9_]{0,63})%7D", re.IGNORECASE | re.ASCII)


class Landing(NamedTuple):
    """A destination taken apart at its macros: literal text and names in turn, beginning and ending with a text."""

    origin: str
    """``https://shop.example``: what allow-lists judge."""
    front: tuple[str, ...]
    """Up to where parameters are added."""
    joint: str
    """What stands between the query and an added parameter: ``?``, ``&`` or nothing."""
    fragment: tuple[str, ...]


class Land(Protocol):
    """Where one hit goes."""

    def __call__(
        self, path: str, query: Mapping[str, Any], body: Mapping[str, Any], event_id: str,
        dimensions: Mapping[str, str], now_ms: int, /,
    ) -> tuple[str, str]:  # fmt: skip
        """The location, and "" if the destination was taken; else that of ``otherwise`` ("" if none) and the reason.

        ``path`` is percent-decoded as the hit has it; ``dimensions`` are the event's, cleaned. Never raises.
        """


class Jump(msgspec.Struct, frozen=True, gc=False):
    """The redirect of one route."""

    key: str
    """Name of the field that names the destination, for messages; empty for a stored one."""
    consumed_query: frozenset[str]
    """Query parameters that it reads: they are no properties."""
    consumed_body: frozenset[str]
    fixed: reply.Fixed
    """The 302."""
    otherwise: str
    """Where a refused person is sent who brought nothing that fields could be read from; empty: nowhere."""
    land: Land


def compile_jump(
    redirect: Redirect, signing_keys: Mapping[str, Mapping[str, str]], dimensions: Collection[str] = ()
) -> Jump:
    """The jump of a redirect that ``check_redirect`` has passed; ``dimensions`` are the names of the route's."""
    names = EVENT_IDS | frozenset(dimensions)
    write = _writer(redirect.add, names)
    stored = take_apart(redirect.to)
    fallback = take_apart(redirect.otherwise) if redirect.otherwise is not None else stored
    bare = _filled(fallback, names, "", {}) if fallback is not None else ""
    refuse = _refuser(fallback, names, bare)
    place, _, key = redirect.to.partition(".") if stored is None else ("", "", "")
    consumed = frozenset({key} | (signing.PARAMETERS if redirect.signed_by else set())) if key else frozenset()
    if stored is not None:
        land = _to_stored(stored, write, refuse)
    else:
        ring = signing_keys.get(redirect.signed_by, {}) if redirect.signed_by else None
        land = _from_hit(place, key, AllowList(redirect.allow), ring, write, refuse)
    return Jump(
        key=key,
        consumed_query=consumed if place == "query" else frozenset(),
        consumed_body=consumed if place == "body" else frozenset(),
        fixed=reply.fixed(302, "Found", extra=(("Referrer-Policy", redirect.referrer_policy),)),
        otherwise=bare,
        land=land,
    )


def macros(url: str) -> list[str]:
    """The names of a destination's macros, whether anybody knows them or not; none if it is no plain URL."""
    landing = take_apart(url)
    return [*landing.front[1::2], *landing.fragment[1::2]] if landing is not None else []


def take_apart(text: str) -> Landing | None:
    """The landing that a destination's text names; None if it is no plain http(s) URL."""
    destination = read(text)
    if destination is None:
        return None
    origin, query, fragment = destination.origin, destination.query, destination.fragment
    front = f"{origin}{destination.path}{query}"
    joint = "" if query.endswith(("?", "&")) else "&" if query else "?"
    if "%7" not in front and "%7" not in fragment:  # PERF: no braces
        return Landing(origin, (front,), joint, (fragment,))
    for segment in destination.path.split("/"):
        literal, count = _MACRO.subn("", segment)
        if count and literal and not literal.upper().replace("%2E", "").strip("."):
            return None
    return Landing(origin, tuple(_MACRO.split(front)), joint, tuple(_MACRO.split(fragment)))


# PERF: destinations come again and again; this makes 3 us of 0.05. One for all routes: it depends on the text alone.
_landings: Memo[Landing | None] = Memo(take_apart)

Write = Callable[[Landing, str, Mapping[str, str]], str]
"""A landing, the event's id and dimensions -> the location; empty if that would be too long."""
Refuse = Callable[[str, str, Mapping[str, str]], tuple[str, str]]
"""A reason, the event's id and dimensions -> location and reason."""


def _fill(parts: tuple[str, ...], names: frozenset[str], event_id: str, dimensions: Mapping[str, str]) -> str:
    """The text of parts with something in the place of each name."""
    texts = list(parts)
    for at in range(1, len(parts), 2):
        name = parts[at]
        if name not in names:
            texts[at] = f"%7B{name}%7D"
            continue
        value = event_id if name in EVENT_IDS else dimensions.get(name, "")
        texts[at] = "" if value in (".", "..") else encode_value(value)
    return "".join(texts)


def _filled(landing: Landing, names: frozenset[str], event_id: str, dimensions: Mapping[str, str]) -> str:
    """The whole of a landing, with nothing added."""
    front, fragment = landing.front, landing.fragment
    before = front[0] if len(front) == 1 else _fill(front, names, event_id, dimensions)
    behind = fragment[0] if len(fragment) == 1 else _fill(fragment, names, event_id, dimensions)
    return before + behind


def _writer(add: Mapping[str, str], names: frozenset[str]) -> Write:
    """With the route's parameters added; one whose dimension is absent is left out."""
    sources = tuple(
        (f"{encode_value(name)}=", "" if source == "event.id" else source.removeprefix("dimensions."))
        for name, source in add.items()
    )

    def write(landing: Landing, event_id: str, dimensions: Mapping[str, str]) -> str:
        _, front, joint, fragment = landing
        before = front[0] if len(front) == 1 else _fill(front, names, event_id, dimensions)
        behind = fragment[0] if len(fragment) == 1 else _fill(fragment, names, event_id, dimensions)
        added = ""
        for name, source in sources:
            value = dimensions.get(source) if source else event_id
            if value is not None:
                added = f"{added}{joint}{name}{encode_value(value)}"
                joint = "&"
        location = before + added + behind
        return location if len(location) <= MAX_LOCATION_CHARS else ""

    return write


def _refuser(fallback: Landing | None, names: frozenset[str], bare: str) -> Refuse:
    if fallback is None or len(fallback.front) == len(fallback.fragment) == 1:
        return lambda reason, _id, _dimensions: (bare, reason)

    def refuse(reason: str, event_id: str, dimensions: Mapping[str, str]) -> tuple[str, str]:
        location = _filled(fallback, names, event_id, dimensions)
        return location if len(location) <= MAX_LOCATION_CHARS else bare, reason

    return refuse


def _to_stored(stored: Landing, write: Write, refuse: Refuse) -> Land:
    def land(
        _path: str, _query: Mapping[str, Any], _body: Mapping[str, Any], event_id: str,
        dimensions: Mapping[str, str], _now_ms: int, /,
    ) -> tuple[str, str]:  # fmt: skip
        location = write(stored, event_id, dimensions)
        return (location, "") if location else refuse(BAD_DESTINATION, event_id, dimensions)

    return land


def _from_hit(
    place: str, key: str, allowed: AllowList, ring: Mapping[str, str] | None, write: Write, refuse: Refuse
) -> Land:
    """``ring`` is None on a route without signatures."""
    in_query = place == "query"
    keys = {kid: signing.encoded(secret) for kid, secret in (ring or {}).items()}

    def land(
        path: str, query: Mapping[str, Any], body: Mapping[str, Any], event_id: str,
        dimensions: Mapping[str, str], now_ms: int, /,
    ) -> tuple[str, str]:  # fmt: skip
        given = query if in_query else body
        text = given.get(key)
        if not isinstance(text, str):  # absent, or a list where it came twice
            return refuse(BAD_DESTINATION, event_id, dimensions)
        landing = _landings[text]
        if landing is None:
            return refuse(BAD_DESTINATION, event_id, dimensions)
        if ring is not None and not signing.PARAMETERS.isdisjoint(given):
            reason = signing.verify(keys, given, path, text, now_ms)
            if reason:
                return refuse(reason, event_id, dimensions)
        elif not allowed.allows(landing.origin):
            return refuse(BAD_DESTINATION, event_id, dimensions)
        location = write(landing, event_id, dimensions)
        return (location, "") if location else refuse(BAD_DESTINATION, event_id, dimensions)

    return land
