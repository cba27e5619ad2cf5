"""Cookies: reading one out of a ``Cookie`` header, and the tracker's own first-party id.

Rules
1. Reading follows RFC 6265bis: pairs are divided by ``;``, names compared exactly, the first of a name wins (5.8.3: the
   one of the longest path). Quotation marks are part of the value (4.1.1); nothing is percent-decoded.
2. The tracker's id cookie holds a UUIDv7 as ``FreshIds`` writes it, and nothing else is read from it: no page, script
   or person can plant a name, an e-mail address or an id that names somebody.
3. ``Set-Cookie`` is ``__Host-``, ``Secure``, ``HttpOnly``, ``Path=/``, without ``Domain``. Never ``Partitioned``: that
   gives each embedding site a jar of its own (CHIPS), and ``same_site: none`` is there for one id across sites, which
   the click, a page of its own, shares. (Browsers that block third parties' cookies send a partitioned one alone.)
4. Whoever asks leaves persons alone who opted out: this module knows neither ``Sec-GPC`` nor ``DNT``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from tracker.settings import model

Header = Callable[[str], str | None]
"""``Headers.get``: by lower-case name, values as WSGI has them."""

_SITE = {"lax": "Lax", "none": "None"}

is_own_id = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch
"""Whether a text is an id as ``identity.FreshIds`` writes them."""


@lru_cache(256)
def _finder(name: str) -> Callable[[str], re.Match[str] | None]:
    """Finds ``; name=value``; the names come from the settings, so there are few."""
    return re.compile(rf"(?:^|;)[ \t]*+{re.escape(name)}[ \t]*+=([^;]*+)").search


def cookie_value(header: str | None, name: str) -> str | None:
    """One cookie's value; empty if it is there and empty, None if it is not there."""
    if not header or name not in header:
        return None
    found = _finder(name)(header)
    return found[1].strip(" \t") if found is not None else None


class IdCookie:
    """A route's id cookie."""

    __slots__ = ("_name", "_tail", "into")

    def __init__(self, cookie: model.Cookie) -> None:
        """As the route has it."""
        self.into: str = cookie.into
        """Which id of the event it becomes."""
        self._name = cookie.name
        site = _SITE[cookie.same_site]
        self._tail = f"; Path=/; Max-Age={cookie.max_age_days * 86_400}; Secure; HttpOnly; SameSite={site}"

    def read(self, header: Header) -> str:
        """The id that this browser was given; empty if it has none, or none of ours."""
        value = cookie_value(header("cookie"), self._name)
        return value if value and is_own_id(value) else ""

    def line(self, ident: str) -> tuple[str, str]:
        """The header that gives a browser this id."""
        return "Set-Cookie", f"{self._name}={ident}{self._tail}"
