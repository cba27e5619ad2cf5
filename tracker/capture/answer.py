"""The answer: what comes of a hit, as the endpoint hands it to a door."""

from __future__ import annotations

import msgspec

from tracker.capture.reply import Reply
from tracker.event import Event


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What comes of a hit."""

    reply: Reply
    events: tuple[Event, ...]
    """To be appended before the reply is sent. If they are not taken, send what ``Endpoint.refuse`` gives instead."""
    ack: str
    """What the reply promises: ``process``, ``power``, or ``none``."""
    route: str
    """Name of the route; empty if there is none."""
    reason: str
    """Why there is no event, if there is none."""
    reserve: float = 0.0
    """The part of the ring that its events must leave free for routes of a higher priority."""
