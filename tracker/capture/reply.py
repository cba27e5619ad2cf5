"""The reply: what the client gets, built ahead wherever it does not depend on the hit.

Rules
1. A ``Fixed`` part (status, headers, body) is made once; a hit adds only its own few headers.
2. No header value may hold CR, LF or anything beyond printable ASCII: whoever adds one answers for that.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from tracker import reasons
from tracker.settings import model

# The transparent 1x1 GIF that Snowplow's collector sends: 43 bytes, known to every ad server.
GIF = base64.b64decode("R0lGODlhAQABAPAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")

Header = tuple[str, str]
_KNOWN = frozenset(HTTPStatus)


class Fixed(NamedTuple):
    """The part of a reply that is the same for every hit."""

    status: int
    reason: str
    headers: tuple[Header, ...]
    body: bytes
    head: bytes
    """Status line and headers as HTTP/1.1 has them, each with its CRLF."""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """A fixed part and the headers of this one hit. (PERF: a Struct is made in a third of a NamedTuple's time.)"""

    fixed: Fixed
    extra: tuple[Header, ...] = ()
    own_body: bytes | None = None
    """A body of this one hit instead of the fixed one; then ``extra`` has its ``Content-Length``, ``fixed`` none."""

    @property
    def body(self) -> bytes:
        """What to send."""
        return self.fixed.body if self.own_body is None else self.own_body


# no-store: a cached pixel is an impression never counted. CORP: the page that holds the tag is on another origin.
_COMMON: tuple[Header, ...] = (
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
)


def fixed(
    status: int, reason: str, content_type: str = "", body: bytes | None = b"", extra: tuple[Header, ...] = ()
) -> Fixed:
    """A fixed part with the headers that every tracking reply has. ``body`` None: each hit brings its own."""
    headers = _COMMON + extra + ((("Content-Type", content_type),) if content_type else ())
    if body is not None and status != 204:  # RFC 9110 8.6: a 204 has no Content-Length
        headers += (("Content-Length", str(len(body))),)
    head = f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
    return Fixed(status, reason, headers, body or b"", head.encode("ascii"))


PIXEL = fixed(200, "OK", "image/gif", GIF)
NO_CONTENT = fixed(204, "No Content")
VERDICT = fixed(200, "OK", "application/json", None)
INVALID = fixed(400, "Bad Request", "application/json", None)


def found(referrer_policy: str) -> Fixed:
    """A 302; what the landing page may learn of the page before is for the route to say."""
    return fixed(302, "Found", extra=(("Referrer-Policy", referrer_policy),))


def own(answer: model.Fixed) -> Fixed:
    """A reply that a route writes itself."""
    body = answer.body.encode()
    phrase = HTTPStatus(answer.status).phrase if answer.status in _KNOWN else "OK"
    return fixed(answer.status, phrase, answer.content_type if body else "", body, tuple(answer.headers.items()))


def verdict(fixed: Fixed, extra: tuple[Header, ...], outcome: Mapping[str, object]) -> Reply:
    """A reply that says what became of the one event: ``{"events":[{"id","status","errors"}]}``."""
    body = msgspec.json.encode({"events": [outcome]}) + b"\n"
    return Reply(fixed, (*extra, ("Content-Length", str(len(body)))), body)


def method_not_allowed(methods: Iterable[str]) -> Fixed:
    """A 405 that says which methods the route takes."""
    name = reasons.METHOD_NOT_ALLOWED
    extra = (("Allow", ", ".join(sorted(methods))), ("X-Tracker-Reason", name))
    return problem(405, "Method Not Allowed", name, reasons.BY_NAME[name].help, extra=extra)


def problem(status: int, reason: str, name: str, hint: str, field: str = "", extra: tuple[Header, ...] = ()) -> Fixed:
    """A refusal as JSON: ``{"error": name, "field": field, "hint": hint}``; ``name`` is one of ``tracker.reasons``."""
    parts = {"error": name, "field": field, "hint": hint}
    body = msgspec.json.encode({key: text for key, text in parts.items() if text}) + b"\n"
    return fixed(status, reason, "application/json", body, extra)
