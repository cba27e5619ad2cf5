"""Causes: what set each flag of an event, and everything that is wrong with a bad one.

Rule: a flag is told by the piece of the endpoint that sets it, asked again alone. What no piece claims is the work of
a ``preprocess`` transform, which alone cannot be asked again; without one it has no cause, and a property test is red.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tracker import reasons
from tracker.capture import body as bodies
from tracker.capture.robots import is_robot
from tracker.capture.text import header_text
from tracker.capture.values import MAX_INTEGER
from tracker.explain.explanation import FlagFound, TroubleFound
from tracker.explain.fields import FieldFound
from tracker.explain.watched import Watched
from tracker.explain.words import Word

NANOS = {"cpm": 1, "each": 1000}
"""What a micro of a price costs the event."""
OF_THE_JUMP = frozenset({reasons.BAD_DESTINATION, reasons.BAD_SIGNATURE, reasons.SIGNATURE_EXPIRED})
"""Reasons that a redirect gives."""


def help_of(reason: str) -> str:
    """What a reason or flag means; of none, nothing."""
    return reasons.BY_NAME[reason].help if reason else ""


def flags(
    seen: Watched, fields: Iterable[FieldFound], words: Iterable[Word], of_properties: Sequence[str]
) -> Iterator[FlagFound]:
    """The event's flags in its order; ``of_properties`` are those that reading the properties sets."""
    causes: dict[str, list[str]] = {}
    for cause, set_by_it in _causes(seen, fields, words, of_properties):
        for flag in set_by_it:
            causes.setdefault(flag, []).append(cause)
    if seen.place.plan.transforms is not None:
        for flag in seen.event.flags:
            causes.setdefault(flag, [f"preprocess: {', '.join(seen.route.preprocess or ())}"])
    for flag in seen.event.flags:
        yield FlagFound(name=flag, help=help_of(flag), because=tuple(causes.get(flag, ())))


def _causes(
    seen: Watched, fields: Iterable[FieldFound], words: Iterable[Word], of_properties: Sequence[str]
) -> Iterator[tuple[str, Iterable[str]]]:
    hit = seen.hit
    yield "the route's `flags`", seen.route.flags
    if seen.route.access == "key":
        yield "access is `key`, and no keys are configured", [reasons.UNAUTHENTICATED]
    of_body: list[str] = []
    if hit.body and hit.method == "POST":
        bodies.read(hit.body, seen.header("content-type"), seen.limits, of_body)
    yield "the body", of_body
    if seen.client()[1]:
        yield "a listed server speaks for a device", [reasons.SERVER_SIDE]
    if hit.method == "HEAD":
        yield "the method", [reasons.HEAD]
    ahead = next((name for name in ("Sec-Purpose", "Purpose", "X-Moz") if seen.header(name.lower())), "")
    if ahead:
        yield f"header {ahead}", [reasons.PREFETCH]
    if seen.header("sec-gpc") == "1":
        yield "header Sec-GPC", [reasons.GPC]
    if seen.header("dnt") == "1":
        yield "header DNT", [reasons.DNT]
    for field in fields:
        yield f"{field.kind[:-1]} {field.name}", field.flags
    for name in ("User-Agent", "Referer", "Accept-Language"):
        raw = seen.header(name.lower()) or ""
        if name == "Accept-Language":
            raw = raw.partition(",")[0].partition(";")[0].strip()
        of_header: list[str] = []
        text = header_text(raw, seen.limits.max_text_chars, of_header)
        if name == "User-Agent" and is_robot(text):
            of_header.append(reasons.BOT)
        yield f"header {name}", of_header
    for word in words:
        yield word.source, word.flags
    yield "properties", of_properties


def troubles(seen: Watched, fields: Iterable[FieldFound]) -> Iterator[TroubleFound]:
    """What is wrong, the reason that the event bears first."""
    reason = seen.event.reason
    field = str(seen.event.properties.get("field", "")) if reason else ""
    found = [(reason, field)] if reason else []
    found += _mistakes(seen, fields)
    for name, where in dict.fromkeys(found):
        yield TroubleFound(reason=name, field=where, help=help_of(name), decides=(name, where) == (reason, field))


def _mistakes(seen: Watched, fields: Iterable[FieldFound]) -> Iterator[tuple[str, str]]:
    """Reason and field of each mistake that can be found again; the others only show as the event's reason."""
    hit = seen.hit
    if hit.body and hit.method == "POST":
        read = bodies.read(hit.body, seen.header("content-type"), seen.limits, [])
        if isinstance(read, str):
            yield read, "body"
    if seen.place.trouble[0] == reasons.INVALID_EVENT_NAME:
        yield reasons.INVALID_EVENT_NAME, "event"
    for each in fields:
        if each.trouble:
            yield each.trouble, each.name
        elif each.cost and isinstance(each.value, int) and each.value * NANOS[each.cost] > MAX_INTEGER:
            yield reasons.INVALID_FIELD, each.name
