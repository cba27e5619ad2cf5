"""The explanation: all that can be said about one hit, as JSON has it and as the report shows it.

Rule: it is plain data. Names and texts of the hit are whole and unmasked; who shows them makes them harmless.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tracker.explain.fields import FieldFound
from tracker.explain.near import NearMiss
from tracker.explain.words import Word

Outcome = Literal["good", "bad", "refused"]
"""The lane of the event; or ``refused``: there is none."""


class RouteFound(msgspec.Struct, kw_only=True):
    """The route that the path belongs to."""

    name: str
    path: str
    methods: tuple[str, ...]
    reply: str
    """``pixel``, ``no_content``, ``json``, ``redirect`` or ``fixed``."""
    ack: str
    parameters: dict[str, str]
    """Of the path, by name."""


class Client(msgspec.Struct, kw_only=True):
    """Whose hit it is taken for."""

    connection: str
    """Address of the connection."""
    address: str
    """Address of the client; another one if a trusted proxy or a listed server says so."""
    kept: str
    """What of it the event has."""
    because: str
    """Why that and no more."""


class PropertyFound(msgspec.Struct, kw_only=True):
    """A property and where it came from."""

    name: str
    source: str
    """``query`` or ``body``."""
    value: Any


class FlagFound(msgspec.Struct, kw_only=True):
    """A flag of the event."""

    name: str
    help: str
    because: tuple[str, ...]
    """What set it: fields by name, headers, the method, the route."""


class TroubleFound(msgspec.Struct, kw_only=True):
    """Something that sends the hit to the bad lane."""

    reason: str
    field: str
    help: str
    decides: bool
    """Whether the event bears this reason; of several it bears one."""


class Destination(msgspec.Struct, kw_only=True):
    """Where a redirect's person is sent."""

    source: str
    """The field that names the destination, or the stored one."""
    held: str | None
    """What that field held."""
    location: str
    """Where the reply leads; empty: nowhere."""
    taken: bool
    """Whether that is the destination; else it is the route's ``otherwise``."""
    allowed: tuple[str, ...]
    signed_by: str


class Cost(msgspec.Struct, kw_only=True):
    """What the event costs."""

    nanos: int
    """``metrics.cost_nanos``; 0 if it costs nothing."""
    amount: str
    """The same in decimals."""
    currency: str
    because: str
    """``2.50 USD CPM``, or why it costs nothing."""


class ReplyShown(msgspec.Struct, kw_only=True):
    """What the client gets."""

    status: int
    phrase: str
    headers: tuple[tuple[str, str], ...]
    body: str
    """As text; of an image its size."""
    body_bytes: int
    """As sent: none for HEAD."""


class Choice(msgspec.Struct, kw_only=True):
    """A collector, and whether it would take the event."""

    collector: str
    takes: bool
    because: str


class Explanation(msgspec.Struct, kw_only=True):
    """One hit."""

    source: str
    """What it was read from: ``path``, ``curl``, ``<img src>``, ``Tracking event=start``."""
    method: str
    path: str
    """Percent-decoded, as the route has it."""
    query: str
    notes: tuple[str, ...]
    """What was guessed or left out when it was read."""
    elsewhere: bool = False
    """A URL of a tag that leads to another host than the tracker's: nothing is wrong with it."""
    outcome: Outcome
    reason: str
    """Of the bad lane or the refusal."""
    help: str
    """What that reason means."""
    route: RouteFound | None
    near: tuple[NearMiss, ...] = ()
    """Without a route: those that the path nearly fits."""
    event_name: str = ""
    fields: tuple[FieldFound, ...] = ()
    """Dimensions and metrics, in the route's order."""
    words: tuple[Word, ...] = ()
    properties: tuple[PropertyFound, ...] = ()
    client: Client | None = None
    flags: tuple[FlagFound, ...] = ()
    troubles: tuple[TroubleFound, ...] = ()
    destination: Destination | None = None
    cost: Cost | None = None
    reply: ReplyShown
    event: dict[str, Any] | None = None
    """The event as it would be stored, but for ``stream`` and ``seq``."""
    kept: bool = False
    """Whether the event would be stored: not beyond the bad lane's caps."""
    collectors: tuple[Choice, ...] = ()
