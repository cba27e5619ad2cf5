"""Refusals: what a hit gets that becomes no event, or no good one.

Rules
1. A refusal says its reason, by the closed list, in ``X-Tracker-Reason`` and for machines as JSON with a hint.
2. 503 comes with a ``Retry-After`` that is spread over some seconds, or all clients would come back at once.
3. A person is sent on: to the destination if it was good, else to the route's ``otherwise``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from tracker import reasons
from tracker.capture.extract import Get, Parts
from tracker.capture.privacy import mask
from tracker.capture.reply import Fixed, Header, Reply, problem
from tracker.capture.text import clean
from tracker.capture.values import written

NO_ACK: Header = ("X-Tracker-Ack", "none")
_LONGEST_ORIGINAL = 200

_STATUS = {
    reasons.NO_ROUTE: (404, "Not Found"),
    reasons.PATH_TOO_LONG: (414, "URI Too Long"),
    reasons.QUERY_TOO_LONG: (414, "URI Too Long"),
    reasons.TOO_MANY_PARAMETERS: (400, "Bad Request"),
    reasons.BODY_TOO_LARGE: (413, "Content Too Large"),
    reasons.BODY_TIMEOUT: (408, "Request Timeout"),
    reasons.EVENT_TOO_LARGE: (413, "Content Too Large"),
} | {reason.name: (400, "Bad Request") for reason in reasons.REASONS if reason.kind == "bad"}


class Refusals:
    """Refusals by reason and field, each made once; the fields are out of the settings, so they are bounded."""

    def __init__(self) -> None:
        """Make those that name no field."""
        self._made = {(reason.name, ""): _refused(reason.name) for reason in reasons.REASONS}

    def fixed(self, reason: str, field: str = "") -> Fixed:
        """The refusal with its JSON body."""
        found = self._made.get((reason, field))
        if found is None:
            found = self._made[reason, field] = _refused(reason, field)
        return found

    def reply(self, reason: str, elsewhere: tuple[Fixed, str] | None = None) -> Reply:
        """The reply to a hit of which nothing is kept; ``elsewhere`` is a redirect and its ``Location``."""
        if elsewhere is not None:
            return Reply(elsewhere[0], (NO_ACK, ("X-Tracker-Reason", reason), ("Location", elsewhere[1])))
        fixed = self._made[reason, ""]
        if fixed.status == 503:
            return Reply(fixed, (NO_ACK, ("Retry-After", str(os.urandom(1)[0] % 5 + 1))))
        return Reply(fixed, (NO_ACK,))


def originals(sources: Iterable[tuple[str, Get]], parts: Parts) -> dict[str, str]:
    """What the hit had where the route's fields look: ``{"query.price": "2,50"}``, short, clean and anonymised."""
    found: dict[str, str] = {}
    for source, get in sources:
        raw = get(parts)
        if isinstance(raw, list):
            raw = next((item for item in raw if isinstance(item, str)), None)
        text = raw if isinstance(raw, str) or raw is None else written(raw, exact=False)
        if isinstance(text, str):
            text = clean(text[:_LONGEST_ORIGINAL], [])
            if source.startswith("header."):  # a page's own parameters are not the tag's
                text = text.partition("?")[0]
            found[source] = mask(text)
    return found


def _refused(reason: str, field: str = "") -> Fixed:
    status, phrase = _STATUS.get(reason, (503, "Service Unavailable"))
    return problem(status, phrase, reason, reasons.BY_NAME[reason].help, field, (("X-Tracker-Reason", reason),))
