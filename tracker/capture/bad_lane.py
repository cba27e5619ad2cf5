"""The bad lane: what becomes of a hit that cannot be a proper event.

Rules
1. Its event keeps the reason, the field that was wrong, and what the hit had where the route's fields look, anonymised
   (``refusal.originals``). It costs nothing.
2. It is capped: so many events and so many bytes a second (``limits.Bucket``). Beyond that a hit is answered all the
   same and counted as ``bad_lane_limit``, and the answer is no receipt.
3. Who loads a pixel or follows a link gets what they came for; machines are told what is wrong.
"""

from __future__ import annotations

from tracker import reasons
from tracker.capture.answer import Answer
from tracker.capture.extract import Parts
from tracker.capture.limits import Bucket
from tracker.capture.plan import Plan
from tracker.capture.refusal import NO_ACK, Refusals, originals
from tracker.capture.reply import INVALID, Header, Reply, verdict
from tracker.event import Event, encode_line
from tracker.settings.model import Limits


class BadLane:
    """Turns events over to the bad lane."""

    def __init__(self, limits: Limits, refusals: Refusals) -> None:
        """Caps and refusals are the endpoint's."""
        self._bucket = Bucket(limits.max_bad_events_per_second, limits.max_bad_bytes_per_second)
        self._refusals = refusals

    def take(
        self, plan: Plan, event: Event, trouble: str, field: str, extra: tuple[Header, ...],
        *, served: bool, parts: Parts | None, now_ms: int,
    ) -> Answer:
        """The answer to a hit with trouble. ``extra`` begins with id and acknowledgement; ``served``: the client gets
        its pixel or redirect all the same; ``parts``: what came, unless nothing of it may be shown.
        """  # fmt: skip
        event.lane = "bad"
        event.reason = trouble
        event.metrics.pop("cost_nanos", None)
        event.properties = {"field": field}
        kept = self._bucket.has_room(now_ms)  # PERF: in a flood of bad hits the rest is not worked out
        if kept:
            if parts is not None:
                event.properties["fields"] = originals(plan.originals, parts)
            kept = self._bucket.takes(now_ms, len(encode_line(event)))
        if not kept:
            extra = (NO_ACK, *extra[2:])
        if served:
            reply = Reply(plan.good, (*extra, ("X-Tracker-Reason", trouble)))
        elif plan.verdict:
            error = {"path": field, "reason": trouble, "hint": reasons.BY_NAME[trouble].help}
            outcome = {"id": event.id, "status": "invalid", "errors": [error]}
            reply = verdict(INVALID, (*extra, ("X-Tracker-Reason", trouble)), outcome)
        else:
            reply = Reply(self._refusals.fixed(trouble, field), extra)
        if not kept:
            return Answer(reply, (), "none", plan.name, reasons.BAD_LANE_LIMIT)
        return Answer(reply, (event,), plan.ack, plan.name, "", plan.reserve)
