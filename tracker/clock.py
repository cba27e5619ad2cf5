"""The time as files for people have it. The hit path has its own way: ``capture.identity.Stamps``."""

from __future__ import annotations

from datetime import UTC, datetime


def now_text() -> str:
    """The present: RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
