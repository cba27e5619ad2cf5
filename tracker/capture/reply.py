"""The reply: what the client gets, built ahead wherever it does not depend on the hit.

Rules
1. A ``Fixed`` part (status, headers, body) is made once; a hit adds only its own few headers.
2. No header value may hold CR, LF or anything beyond printable ASCII: whoever adds one answers for that.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

import msgspec

# The transparent 1x1 GIF that Snowplow's collector sends: 43 bytes, known to every ad server.
GIF = base64.b64decode("R0lGODlhAQABAPAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")

Header = tuple[str, str]


class Fixed(NamedTuple):
    """The part of a reply that is the same for every hit."""

    status: int
    reason: str
    headers: tuple[Header, ...]
    body: bytes


class Reply(msgspec.Struct, frozen=True, gc=False):
    """A fixed part and the headers of this one hit. (PERF: a Struct is made in a third of a NamedTuple's time.)"""

    fixed: Fixed
    extra: tuple[Header, ...] = ()


# no-store: a cached pixel is an impression never counted. CORP: the page that holds the tag is on another origin.
_COMMON: tuple[Header, ...] = (
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
)


def fixed(status: int, reason: str, content_type: str = "", body: bytes = b"", extra: tuple[Header, ...] = ()) -> Fixed:
    """A fixed part with the headers that every tracking reply has."""
    headers = _COMMON + extra + ((("Content-Type", content_type),) if content_type else ())
    if status != 204:  # RFC 9110 8.6: a 204 has no Content-Length
        headers += (("Content-Length", str(len(body))),)
    return Fixed(status, reason, headers, body)


PIXEL = fixed(200, "OK", "image/gif", GIF)
NO_CONTENT = fixed(204, "No Content")
# no-referrer: where the person came from is not the advertiser's to know.
FOUND = fixed(302, "Found", extra=(("Referrer-Policy", "no-referrer"),))


def problem(status: int, reason: str, name: str, hint: str, field: str = "", extra: tuple[Header, ...] = ()) -> Fixed:
    """A refusal as JSON: ``{"error": name, "field": field, "hint": hint}``; ``name`` is one of ``tracker.reasons``."""
    parts = {"error": name, "field": field, "hint": hint}
    body = msgspec.json.encode({key: text for key, text in parts.items() if text}) + b"\n"
    return fixed(status, reason, "application/json", body, extra)
