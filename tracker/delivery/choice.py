"""Choice: which events a collector takes. Delivery chooses by it, and `tracker explain` and `tracker routes` show it.

Rule: it depends on the event's lane and name alone, so that it can be told before there is an event.
"""

from __future__ import annotations

from collections.abc import Callable

from tracker.event import Event, names_like
from tracker.settings.model import Collector


def choice(settings: Collector) -> Callable[[Event], bool]:
    """Whether the collector wants an event."""
    lanes = frozenset(settings.lanes)
    names = names_like(settings.events)
    known: dict[str, bool] = {}

    def takes(event: Event) -> bool:
        if event.lane not in lanes:
            return False
        wanted = known.get(event.event)
        if wanted is None:
            if len(known) > 4096:  # names may come from clients
                known.clear()
            wanted = known[event.event] = names.fullmatch(event.event) is not None
        return wanted

    return takes
