"""The port of collectors: three methods, and two ways to say no.

Rules
1. ``open`` once, then ``deliver`` batch after batch, then ``close``; always from one thread.
2. ``deliver`` returns only when every event of the batch is safe at the destination or named in its rejections.
3. Delivery is at least once, in order within a stream. Be idempotent by event id, or by ``(stream, seq)``.
4. A collector knows no journal, no cursor and no other collector. One that counts each event exactly once remembers
   the highest ``seq`` of each stream in its own transaction, and skips what is not above it.
5. It may have an attribute ``target``, a text that says what it writes to: two with the same target are refused.
6. Its options may refuse what their types cannot: a ``ValueError`` in ``__post_init__``, ``name: what is wrong``.

``tracker.delivery.testing`` has doubles for tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec

from tracker.event import Event


class Item(NamedTuple):
    """One event on its way out."""

    event: Event
    """Decoded."""
    line: bytes
    """The journal's own bytes, newline included: what to write where JSON lines are wanted."""


class Rejection(NamedTuple):
    """An event that the destination refuses for ever."""

    id: str
    reason: str


class RetryLater(Exception):
    """Raised by ``deliver`` or ``open``: the destination cannot take it now; the same batch will come again."""


class Place(NamedTuple):
    """Where a collector may keep files of its own, and where its output belongs."""

    name: str
    """The collector's name in the settings."""
    data_dir: Path
    """The tracker's data folder."""
    state_dir: Path
    """A folder for this collector alone; it exists."""


class Collector(Protocol):
    """A destination of events."""

    Options: ClassVar[type[msgspec.Struct]]
    """Its options: a frozen Struct with defaults, unknown fields forbidden, a docstring below each field."""

    def __init__(self, options: Any, place: Place) -> None:
        """Keep the two; touch nothing yet. ``options`` is an instance of ``Options``."""

    def open(self) -> None:
        """Get ready. Raises ``RetryLater`` if the destination is away."""

    def deliver(self, batch: Sequence[Item]) -> Sequence[Rejection]:
        """Hand a batch over. Raises ``RetryLater`` to get it again."""

    def close(self) -> None:
        """Finish and release. Called once, also after an error."""
