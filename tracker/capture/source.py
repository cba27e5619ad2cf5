"""Sources: where a field's value comes from, as the table writes it."""

from __future__ import annotations

from typing import Final

from tracker.settings.model import Field

PLACES: Final = ("path", "query", "header", "cookie", "body")


def split_source(source: str) -> tuple[str, str]:
    """``query.site`` is query and ``site``; ``body/cart/0`` is body and the pointer ``/cart/0``."""
    place, dot, key = source.partition(".")
    if place.startswith("body/") or (not dot and "/" in place):
        place, key = source[: source.index("/")], source[source.index("/") :]
    return place, key


def sources_of(field: Field | str) -> tuple[str, ...]:
    """Where a field's text comes from: ``("query.site", "header.referer")``."""
    from_ = field if isinstance(field, str) else field.from_
    return (from_,) if isinstance(from_, str) else from_
