"""Links: tracking URLs with a signed destination, made and examined for people; no hit passes here.

Rules
1. ``Signer`` signs what a hit of its URL will bring: path and destination as the door decodes them.
2. ``examine`` asks the route's own ``Jump``, so it takes what a hit would take; then it says why.
3. Whatever is wrong is a ``LinkError`` in a sentence. No secret is ever part of one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from falcon.util.uri import decode, parse_query_string

from tracker import reasons
from tracker.capture import redirect, signing, template
from tracker.capture.jump import EVENT_IDS, compile_jump, macros
from tracker.capture.plan import dimension_names
from tracker.capture.template import Tree
from tracker.settings.model import LongReply, Redirect, Settings
from tracker.settings.problems import listed, quoted, suggestion

EVENT_ID = "EVENT_ID"
"""What stands for the event's id where there is no event; dimensions are shown by their name, in capitals."""

_HERE = "http://tracker.example"
_AS_IT_IS = "!$%&'()*+,-./:;=?@[]_~"
_NOT_PLAIN = (
    "no plain http(s) URL: without user name, backslash and control characters, its host in ASCII letters or four "
    f"decimals, at most {redirect.MAX_URL_CHARS} characters"
)


class LinkError(Exception):
    """A link that cannot be made, or is not good. ``str()`` of it is what a person should read."""


class _Found(NamedTuple):
    """A tracking URL and the redirect that it leads to."""

    route: str
    redirect: Redirect
    key: str
    """The destination's parameter."""
    dimensions: list[str]
    front: str
    """The URL before its query, as it is sent; without scheme and host if it came so."""
    path: str
    """Percent-decoded, as a hit has it."""
    raw_query: str
    query: dict[str, Any]


def _find(settings: Settings, url: str) -> _Found:
    path_only = url.startswith("/") and not url.startswith("//")
    front, _, raw_query = url.partition("?")
    if "#" in url:
        raise LinkError(f"{quoted(url)} has a fragment (`#...`), which no browser sends")
    parts = redirect.parse(_HERE + front if path_only else front)
    if parts is None or not raw_query.isprintable():
        raise LinkError(f"{quoted(url)} is neither a path of the tracker nor a plain http(s) URL of it")
    if any(segment.lower().replace("%2e", ".") in (".", "..") for segment in parts.path.split("/")):
        raise LinkError(f"{quoted(url)} has a segment `.` or `..`: browsers resolve it, so another path would arrive")
    path = decode(parts.path, unquote_plus=False)
    tree: Tree[str] = Tree()
    for name, route in settings.routes.routes.items():
        tree.add(template.parse(route.path), name)
    found = tree.find(path)
    if found is None:
        raise LinkError(f"no route has the path {quoted(path)}; see `tracker check`, or name your table with --routes")
    name = found[0]
    route = settings.routes.routes[name]
    to = route.reply.redirect if isinstance(route.reply, LongReply) else None
    if to is None:
        raise LinkError(f"route {quoted(name)} does not redirect")
    place, _, key = to.to.partition(".")
    if redirect.read(to.to) is not None:
        raise LinkError(f"route {quoted(name)} has a stored destination, which needs no signature: {to.to}")
    if place == "body":
        raise LinkError(f"route {quoted(name)} reads its destination from the body; this command makes and reads URLs")
    limits = settings.tracker.limits
    if len(parts.path) > limits.max_path_bytes:
        raise LinkError(f"the path is longer than `limits.max_path_bytes` ({limits.max_path_bytes})")
    raw_query = quote(raw_query, safe=_AS_IT_IS)
    return _Found(
        route=name,
        redirect=to,
        key=key,
        dimensions=dimension_names(route, settings.routes),
        front=("" if path_only else parts.origin) + parts.path,
        path=path,
        raw_query=raw_query,
        query=parse_query_string(raw_query, True, False),
    )


def _ring(settings: Settings, found: _Found) -> tuple[str, dict[str, str]]:
    name = found.redirect.signed_by
    if name is None:
        raise LinkError(f"route {quoted(found.route)} takes no signatures: it has no `signed_by`")
    return name, settings.tracker.signing_keys[name]


class Signer:
    """Makes links for one tracking URL."""

    def __init__(self, settings: Settings, url: str, kid: str | None = None) -> None:
        """``url``: of the tracker, whole or from its path on, without a destination. ``kid``: not the ring's first key.

        Raises ``LinkError``.
        """
        self._found = found = _find(settings, url)
        ring, keys = _ring(settings, found)
        taken = [name for name in (found.key, *sorted(signing.PARAMETERS)) if name in found.query]
        if taken:
            raise LinkError(f"the URL has {listed(map(quoted, taken), 'and')} already: leave that to this command")
        self._kid = next(iter(keys)) if kid is None else kid
        if self._kid not in keys:
            raise LinkError(f"no key {quoted(self._kid)} in ring {quoted(ring)}: {suggestion(self._kid, keys)}")
        self._secret = keys[self._kid]
        self._max_query = settings.tracker.limits.max_query_bytes

    def link(self, destination: str, expiry: int | None) -> str:
        """The finished URL. ``expiry``: Unix seconds; None never. Raises ``LinkError``."""
        found = self._found
        if redirect.read(destination) is None:
            raise LinkError(f"{quoted(destination)} is {_NOT_PLAIN}")
        try:
            signature = signing.sign(self._secret, self._kid, expiry, found.path, destination)
        except ValueError as error:
            raise LinkError(str(error)) from None
        parameters = [(found.key, destination), (signing.KID, self._kid)]
        if expiry is not None:
            parameters.append((signing.EXPIRY, str(expiry)))
        parameters.append((signing.SIGNATURE, signature))
        query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters)
        if found.raw_query:
            query = f"{found.raw_query}&{query}"
        if len(query) > self._max_query:
            raise LinkError(f"the query would be longer than `limits.max_query_bytes` ({self._max_query})")
        return f"{found.front}?{query}"

    def unknown_macros(self, destination: str) -> list[str]:
        """Names in braces that the route does not know, so that they will stay as they are."""
        known = EVENT_IDS.union(self._found.dimensions)
        return [name for name in dict.fromkeys(macros(destination)) if name not in known]


def examine(settings: Settings, url: str, now_ms: int) -> str:
    """Why the link is good, and where it leads. Raises ``LinkError`` with the reason if it is not."""
    found = _find(settings, url)
    query = found.query
    jump = compile_jump(found.redirect, settings.tracker.signing_keys, found.dimensions)
    shown = {name: name.upper() for name in found.dimensions}
    location, reason = jump.land(found.path, query, {}, EVENT_ID, shown, now_ms)
    signed = found.redirect.signed_by is not None and not signing.PARAMETERS.isdisjoint(query)
    if reason == reasons.BAD_DESTINATION:
        raise LinkError(f"{reason}: {_bad_destination(found)}")
    if reason == reasons.SIGNATURE_EXPIRED:
        raise LinkError(f"{reason}: it was good until {_instant(query[signing.EXPIRY])}")
    if reason:
        raise LinkError(f"{reason}: {_bad_signature(found, *_ring(settings, found))}")
    why = "its host is allowed without a signature"
    if signed:
        until = f"until {_instant(query[signing.EXPIRY])}" if signing.EXPIRY in query else "for ever"
        why = f"signed with key {quoted(query[signing.KID])} of ring {quoted(found.redirect.signed_by or '')}, {until}"
    return f"route {quoted(found.route)}, {why}; it leads to {location}"


def _bad_destination(found: _Found) -> str:
    value = found.query.get(found.key)
    if value is None:
        return f"there is no parameter {quoted(found.key)}"
    if not isinstance(value, str):
        return f"{quoted(found.key)} came more than once"
    if redirect.read(value) is None:
        return f"{quoted(value)} is {_NOT_PLAIN}"
    if found.redirect.signed_by is None:
        return f"the host of {quoted(value)} is not in `allow`"
    return f"the host of {quoted(value)} is not in `allow`, and there is no signature"


def _bad_signature(found: _Found, ring: str, keys: dict[str, str]) -> str:
    for name in (signing.KID, signing.EXPIRY, signing.SIGNATURE):
        value = found.query.get(name)
        if isinstance(value, list):
            return f"{quoted(name)} came more than once"
        if value is None and name != signing.EXPIRY:
            return f"there is no parameter {quoted(name)}: the link was cut"
    kid = found.query[signing.KID]
    if kid not in keys:
        return f"no key {quoted(kid)} in ring {quoted(ring)}, which has {listed(map(quoted, keys), 'and')}"
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", found.query[signing.SIGNATURE]):
        return "`sig` is no 43 characters of base64url: the link was cut or altered"
    return "it is not that of this path, destination, expiry and key: one of them was altered, or the secret is another"


def _instant(expiry: str) -> str:
    try:
        return datetime.fromtimestamp(int(expiry), UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return f"Unix second {expiry}"
