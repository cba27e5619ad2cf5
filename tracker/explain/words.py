"""The client's own words: id, time, page and identities, where each came from and what became of it.

Rule: each word is taken by the endpoint's own ``take_client_words``, alone, so that its flags are its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from tracker.capture.identity import take_client_words
from tracker.capture.privacy import IDS
from tracker.event import Context, Event
from tracker.explain.fields import shown

WORDS = ("event_id", "timestamp", "page", *IDS)


class Word(msgspec.Struct, kw_only=True):
    """One word that the client may say about the event."""

    name: str
    """``event_id``, ``timestamp``, ``page`` or an identity."""
    source: str
    """``query.event_id``, ``body.event_id``; of an identity also ``cookie`` (the client's) or ``new cookie``."""
    held: str | None
    """What the hit held there."""
    value: str
    """As in the event; empty if it was not taken."""
    flags: tuple[str, ...] = ()
    """Flags that reading it sets."""


def words(
    query: Mapping[str, Any], body: Mapping[str, Any], max_chars: int, stamp: Callable[[int], str], received_ms: int,
    *, anonymous: bool,
) -> Iterator[Word]:  # fmt: skip
    """Those that the hit holds."""
    for name in WORDS:
        place = "query" if query.get(name) or (name in query and name not in body) else "body"
        holder = query if place == "query" else body
        if name not in holder:
            continue
        event = Event(id="", context=Context())
        alone = {name: holder[name]}
        given = (alone, {}) if place == "query" else ({}, alone)
        take_client_words(event, *given, max_chars, stamp, received_ms, anonymous)
        yield Word(
            name=name, source=f"{place}.{name}", held=shown(holder[name]), value=said(event, name),
            flags=tuple(event.flags),
        )  # fmt: skip


def said(event: Event, name: str) -> str:
    """What the event has for a word."""
    if name == "page":
        return event.context.page if event.context is not None else ""
    return str(getattr(event, "id" if name == "event_id" else name))
