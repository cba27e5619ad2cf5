"""Filled: a route with what its file's ``defaults`` say wherever it says nothing itself.

Rules
1. Filling a filled route changes nothing; so whoever needs a whole route fills it, without asking who did before.
2. Every default of a route that depends on another of its settings is decided here, and nowhere else.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tracker.settings.model import Access, Defaults, LongReply, Route, Routes

SHARED = ("methods", "ack", "properties", "privacy", "priority", "preprocess", "access")
"""The settings that a route has from ``defaults`` unless it says otherwise."""


def fill(route: Route, defaults: Defaults) -> Route:
    """The route with no setting left to its defaults."""
    missing: dict[str, Any] = {name: getattr(defaults, name) for name in SHARED if getattr(route, name) is None}
    if route.access is None:
        missing["access"] = defaults.access or _access(route)
    return msgspec.structs.replace(route, **missing) if missing else route


def fill_all(table: Routes) -> Routes:
    """The table with every route filled."""
    filled = {name: fill(route, table.defaults) for name, route in table.routes.items()}
    return msgspec.structs.replace(table, routes=filled)


def _access(route: Route) -> Access:
    # A tag or link cannot keep a key secret; a server, or an SDK with its write key, has one.
    return "open" if isinstance(route.reply, LongReply) or route.reply == "pixel" else "key"
