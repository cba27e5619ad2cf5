"""Watched: one hit as the endpoint saw it while it answered, and what the route says about such hits."""

from __future__ import annotations

from typing import Any

import msgspec

from tracker.capture.client import Who
from tracker.capture.extract import HEADER, Parts
from tracker.capture.hit import Hit
from tracker.capture.place import Place
from tracker.event import Event
from tracker.settings.model import Limits, Privacy, Route


class Watched(msgspec.Struct, frozen=True):
    """A hit that has a place and an event."""

    hit: Hit
    route: Route
    """With its defaults filled in."""
    place: Place
    parts: Parts
    event: Event
    """As it is by now: the endpoint goes on with it after it was watched."""
    properties: dict[str, Any]
    """As they were then: a bad event has others."""
    limits: Limits
    who: Who | None

    def header(self, name: str) -> str | None:
        """A header of the client, who may be another than who sent it."""
        return self.parts[HEADER](name)

    def client(self) -> tuple[str, bool]:
        """The client's address in full, and whether a listed server spoke for it."""
        if self.who is None:
            return self.hit.address, False
        address, _, for_device = self.who(self.hit.address, self.hit.headers.get)
        return address, for_device

    def anonymous(self) -> str:
        """The header by which the person opted out, if the route heeds it."""
        privacy = self.route.privacy or Privacy()
        if self.header("sec-gpc") == "1" and privacy.gpc == "anonymous":
            return "Sec-GPC: 1"
        return "DNT: 1" if self.header("dnt") == "1" and privacy.dnt == "anonymous" else ""
