"""The hit: one HTTP request at a tracking path, as a door received it.

Rules
1. A door fills it; the endpoint only reads it. It holds no socket and no framework object.
2. Everything in it is untrusted: nothing has been checked but the sizes that the door caps.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Headers(Protocol):
    """Request headers by lower-case name, such as ``user-agent``; values as WSGI has them (bytes read as Latin-1)."""

    def get(self, name: str, /) -> str | None:
        """The value, or None."""


class Hit(msgspec.Struct, gc=False):
    """One request. (PERF: a Struct is made in a third of a class's time.)"""

    method: str
    path: str
    """Percent-decoded once, so ``%2F`` separates."""
    query: str
    """As received, without ``?``."""
    headers: Headers
    body: bytes
    address: str
    """Client address in full, as text; it must not leave the endpoint."""
    received_ms: int
    """Unix time in milliseconds."""
