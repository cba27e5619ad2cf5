"""The hit: one HTTP request at a tracking path, as a door received it.

Rules
1. A door fills it; the endpoint only reads it. It holds no socket and no framework object.
2. Everything in it is untrusted: nothing has been checked but the sizes that the door caps.
"""

from __future__ import annotations

from typing import Protocol


class Headers(Protocol):
    """Request headers by lower-case name, such as ``user-agent``; values as WSGI has them (bytes read as Latin-1)."""

    def get(self, name: str, /) -> str | None:
        """The value, or None."""


class Hit:
    """One request. ``path`` is percent-decoded once (so ``%2F`` separates); ``query`` is as received, without ``?``."""

    __slots__ = ("address", "body", "headers", "method", "path", "query", "received_ms")

    def __init__(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, address: str, received_ms: int
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.address = address
        """Client address in full, as text; it must not leave the endpoint."""
        self.received_ms = received_ms
        """Unix time in milliseconds."""
