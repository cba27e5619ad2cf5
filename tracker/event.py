"""The event: the data contract between capture, the journal and every collector.

Rules
1. One event is one line of JSON: UTF-8, no newline inside, one ``\\n`` behind.
2. A field that is empty is left out of the line. The order of the fields is the order below.
3. Times are RFC 3339 in UTC with milliseconds. Money is integers, never a float.
4. ``(stream, seq)`` names a line for ever; within a stream ``seq`` starts at 1 and has no gap.
5. Nothing here knows a clock, a socket or a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec


class Context(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Where a hit came from, as far as it may be kept."""

    ip: str = ""
    """Truncated address (IPv4 /24, IPv6 /48); never a full one."""
    user_agent: str = ""
    """The ``User-Agent`` header."""
    referer: str = ""
    """The ``Referer`` header: for a pixel, the document that held the tag."""
    page: str = ""
    """The page as the tag itself names it (query parameter ``page``)."""
    locale: str = ""
    """The first language of ``Accept-Language``."""


class Event(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One event. ``gc=False`` is sound: an event never refers to itself."""

    id: str
    """The client's id if it is valid, else a UUIDv7 (RFC 9562)."""
    stream: str = ""
    """Stream of the ring that took the event: 32 hexadecimal digits."""
    seq: int = 0
    """Position in the stream: 1, 2, 3 ... without a gap."""
    event: str = ""
    """Name of the event, such as ``impression``."""
    lane: str = "good"
    """``good``, or ``bad`` for a hit that could not become a proper event. Omitted when good."""
    reason: str = ""
    """Bad lane only: why, from the closed list in ``tracker.reasons``."""
    timestamp: str = ""
    """When it happened: the client's word if sane, else ``received_at``."""
    received_at: str = ""
    """When the tracker had the hit."""
    environment: str = ""
    """The deployment, such as ``production``."""
    source: str = ""
    """Name of the route (or API source) that took the hit."""
    distinct_id: str = ""
    """The person, by the name that the client's own system has for them."""
    anonymous_id: str = ""
    """The person before anybody knows them."""
    device_id: str = ""
    """The device or browser."""
    session_id: str = ""
    """The visit."""
    profile_id: str = ""
    """The profile to which the ids above belong."""
    dimensions: dict[str, str] = {}
    """Text fields by name, such as ``campaign``."""
    metrics: dict[str, int | float] = {}
    """Number fields by name; money as ``<name>_micros`` and ``cost_nanos``."""
    properties: dict[str, Any] = {}
    """Any JSON the route lets through."""
    traits: dict[str, Any] = {}
    """What the client says about the person, as against about the event."""
    context: Context | None = None
    """Where the hit came from."""
    flags: list[str] = []
    """Names from ``tracker.reasons``, such as ``head`` or ``prefetch``."""
    schema: str = ""
    """Name and version of the schema that the event was checked against."""


def names_like(globs: Iterable[str]) -> re.Pattern[str]:
    """A pattern whose ``fullmatch`` takes the event names that any of the globs takes; only ``*`` is special."""
    return re.compile("|".join(".*".join(map(re.escape, glob.split("*"))) for glob in globs), re.DOTALL)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Event)


def encode_line(event: Event) -> bytes:
    """The event's line, newline included.

    Raises ``UnicodeEncodeError`` on a lone surrogate, which the endpoint has cleaned away before.
    """
    return _ENCODER.encode(event) + b"\n"


def encode_lines(events: Sequence[Event]) -> bytes:
    """The lines of several events. Raises ``UnicodeEncodeError``."""
    return _ENCODER.encode_lines(events)


def decode_line(line: bytes) -> Event:
    """The event of a journal line (with or without its newline or erasure padding).

    Raises ``ValueError`` for anything that is not one.
    """
    try:
        return _DECODER.decode(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
