"""Redirects: what must hold before they are compiled.

Rules
1. ``check_redirect`` finds every mistake that the types of ``settings.model`` cannot, and raises nothing.
2. A redirect without a fault compiles (``jump``), and its hits never raise.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from tracker.capture import signing
from tracker.capture.jump import EVENT_IDS, take_apart
from tracker.capture.redirect import AllowList
from tracker.settings.model import Redirect
from tracker.settings.problems import Fault, listed, quoted, suggestion

Where = tuple[str | int, ...]

_KEY = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")
_WRITTEN_MACRO = re.compile(r"\{([^{}]*)\}")
_FROM_HIT = re.compile(r"(query|body)\.(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)


def check_redirect(
    where: Where,
    redirect: Redirect,
    dimensions: Collection[str],
    posts: bool,
    signing_keys: Mapping[str, Mapping[str, str]],
) -> Iterator[Fault]:
    """Every mistake in a redirect. ``dimensions`` are the names of its route's; ``posts``: the route takes POST."""
    yield from _allowed(where, redirect)
    found = _FROM_HIT.fullmatch(redirect.to)
    if found is not None and "/" not in redirect.to:
        yield from _from_hit(where, redirect, found[1], found[2], posts)
        if redirect.signed_by is not None:
            yield from _ring((*where, "signed_by"), redirect.signed_by, signing_keys)
    else:
        yield from _url((*where, "to"), redirect.to, dimensions, "neither query.NAME nor body.NAME nor a")
        for key in ("allow", "signed_by"):
            if getattr(redirect, key):
                yield _fault((*where, key), "a stored destination needs no list of hosts and no signature", "remove it")
    if redirect.otherwise is not None:
        yield from _url((*where, "otherwise"), redirect.otherwise, dimensions, "no")
    for name, source in redirect.add.items():
        yield from _added((*where, "add", name), name, source, dimensions)


def _allowed(where: Where, redirect: Redirect) -> Iterator[Fault]:
    for at, entry in enumerate(redirect.allow):
        place = (*where, "allow", at)
        if entry.strip("*. ") == "" and "*" in entry:
            message = f"{quoted(entry)} makes an open redirect: anybody could send people to any page in your name"
            yield _fault(place, message, "list the hosts, or take signed links only: `signed_by`")
            continue
        try:
            AllowList([entry])
        except ValueError as error:
            yield _fault(place, str(error))


def _from_hit(where: Where, redirect: Redirect, place: str, key: str, posts: bool) -> Iterator[Fault]:
    if not _KEY.fullmatch(key):
        yield _fault((*where, "to"), f"{quoted(redirect.to)} has no usable name", "such as `query.url`")
    elif place == "body" and not posts:
        message = f"{quoted(redirect.to)}: the route takes no POST, so there is no body"
        yield _fault((*where, "to"), message, "add `methods: [POST]`")
    elif redirect.signed_by is not None and key in signing.PARAMETERS:
        yield _fault((*where, "to"), f"`{key}` is a part of the signature", "name the parameter `url`")
    if not redirect.allow and redirect.signed_by is None:
        message = "which hosts? The hit decides where the person lands"
        yield _fault((*where, "to"), message, "list them in `allow`, or take signed links only: `signed_by`")


def _ring(where: Where, name: str, signing_keys: Mapping[str, Mapping[str, str]]) -> Iterator[Fault]:
    if name not in signing_keys:
        known = suggestion(name, signing_keys)
        yield _fault(where, f"no key ring {quoted(name)}", known or "add it to `signing_keys` in tracker.yaml")
    elif not signing_keys[name]:
        yield _fault(where, f"key ring {quoted(name)} has no key", "add one to `signing_keys` in tracker.yaml")


def _url(where: Where, text: str, dimensions: Collection[str], what: str) -> Iterator[Fault]:
    """A stored URL with macros."""
    authority = _AUTHORITY.match(text)
    if authority is not None and "{" in authority[1]:
        yield _fault(where, "a macro in the host: only the URL behind the host may depend on the hit")
        return
    if take_apart(text) is None:
        plain = _WRITTEN_MACRO.sub("x", text)
        if plain != text and take_apart(plain) is not None:
            message = "a path segment of dots and macros could become `..`"
            yield _fault(where, message, "write other text beside the macro")
        else:
            yield _fault(where, f"{quoted(text)} is {what} plain http(s) URL")
        return
    known = [*sorted(EVENT_IDS), *dimensions]
    for name in dict.fromkeys(_WRITTEN_MACRO.findall(text)):
        if name not in known:
            message = f"{quoted('{' + name + '}')} is no dimension of the route"
            yield _fault(where, message, suggestion(name, known))
        elif name in EVENT_IDS and name in dimensions:
            yield _fault(where, f"`{{{name}}}` is the event's id: name the dimension otherwise")


def _added(where: Where, name: str, source: str, dimensions: Collection[str]) -> Iterator[Fault]:
    if not _KEY.fullmatch(name) or not name.isascii():
        yield _fault(where, f"{quoted(name)} is no parameter name")
    kind, dot, key = source.partition(".")
    if source == "event.id":
        return
    if kind == "dimensions" and dot:
        if key not in dimensions:
            yield _fault(where, f"{quoted(key)} is no dimension of the route", suggestion(key, dimensions))
    else:
        known = ["event.id", *(f"dimensions.{each}" for each in dimensions)]
        message = f"{quoted(source)} is not {listed(('event.id', 'dimensions.NAME'))}"
        meant = f"dimensions.{source}" if source in dimensions else source
        yield _fault(where, message, suggestion(meant, known))


def _fault(where: Where, message: str, hint: str = "") -> Fault:
    return Fault("routes", where, message, hint)
