"""Headers: which of a request's headers anybody will ask for.

PERF: a browser sends a dozen or more; a door that decodes only those that are read saves half a microsecond a hit.
"""

from __future__ import annotations

from tracker.capture.client import DEVICE_HEADERS
from tracker.capture.plan import fields_of
from tracker.capture.source import sources_of, split_source
from tracker.settings.filled import fill
from tracker.settings.model import Clients, Routes

ALWAYS = frozenset({
    "user-agent", "referer", "accept-language", "content-type", "sec-gpc", "dnt", "sec-purpose", "purpose", "x-moz",
    "x-forwarded-for", "forwarded",
})  # fmt: skip
"""What every hit or page is asked for."""


def headers_read(routes: Routes, clients: Clients) -> frozenset[str] | None:
    """Their names in lower case; None if a transform may ask for any."""
    names = set(ALWAYS)
    if clients.trusted_proxies:
        names.add(clients.proxy_header)
    if clients.ssai_networks:
        names |= DEVICE_HEADERS
    for each in routes.routes.values():
        route = fill(each, routes.defaults)
        if route.preprocess:
            return None
        if route.cookie is not None:
            names.add("cookie")
        for fields in (fields_of(route, routes, "dimensions"), fields_of(route, routes, "metrics")):
            for field in fields.values():
                for place, key in map(split_source, sources_of(field)):
                    if place in ("header", "cookie"):
                        names.add(key.lower() if place == "header" else "cookie")
    return frozenset(names)
