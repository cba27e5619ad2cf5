"""Outcome: what the client gets, where a person is sent, and what the event costs."""

from __future__ import annotations

from collections.abc import Iterable

from tracker import reasons
from tracker.capture.answer import Answer
from tracker.capture.extract import BODY, QUERY
from tracker.explain.causes import OF_THE_JUMP
from tracker.explain.explanation import Cost, Destination, ReplyShown
from tracker.explain.fields import FieldFound, decimals, shown
from tracker.explain.watched import Watched
from tracker.settings.model import Redirect


def reply_shown(answer: Answer, method: str) -> ReplyShown:
    """The reply as a door sends it."""
    fixed = answer.reply.fixed
    headers = (*fixed.headers, *answer.reply.extra)
    body = b"" if method == "HEAD" else answer.reply.body
    kind = next((value for name, value in headers if name == "Content-Type"), "")
    text = f"{len(body):,} bytes of {kind}" if body and kind.startswith("image/") else body.decode("utf-8", "replace")
    return ReplyShown(status=fixed.status, phrase=fixed.reason, headers=headers, body=text, body_bytes=len(body))


def destination(redirect: Redirect, seen: Watched, reply: ReplyShown) -> Destination:
    """Where a redirect's person is sent, and what they asked for."""
    place, _, key = redirect.to.partition(".")
    stored = place not in ("query", "body") or "/" in redirect.to
    held = None if stored else (seen.parts[QUERY] if place == "query" else seen.parts[BODY]).get(key)
    return Destination(
        source=redirect.to, held=shown(held), taken=seen.event.reason not in OF_THE_JUMP, allowed=redirect.allow,
        location=next((value for name, value in reply.headers if name == "Location"), ""),
        signed_by=redirect.signed_by or "",
    )  # fmt: skip


def cost(seen: Watched, fields: Iterable[FieldFound]) -> Cost | None:
    """What the event costs; None if its route has no field that says so."""
    field = next((field for field in fields if field.cost), None)
    if field is None:
        return None
    nanos = int(seen.event.metrics.get("cost_nanos", 0))
    why = f"no {field.name}"
    if isinstance(field.value, int):
        why = f"{decimals(field.value, 6)} {field.currency} {'CPM' if field.cost == 'cpm' else 'each'}"
        unbilled = [flag for flag in seen.event.flags if flag in reasons.NEVER_BILLED]
        if seen.event.lane == "bad":
            why += ", but the bad lane costs nothing"
        elif unbilled:
            why += f", but flagged {' and '.join(unbilled)}: never billed"
    return Cost(nanos=nanos, amount=decimals(nanos, 9), currency=field.currency, because=why)
