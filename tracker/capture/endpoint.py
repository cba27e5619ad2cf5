"""The endpoint: the whole way from a hit to its event and its reply, without I/O and without a framework.

Rules
1. ``answer`` is a straight line: sizes, route, query, body, fields, context, event, reply. It never raises.
2. Nothing here reads a clock, a file or a socket. Time is the hit's; ids come from the ``fresh_id`` given.
3. Whatever an event holds, ``encode_line`` writes it and ``decode_line`` reads it back. Every header value that is
   added here is printable ASCII.
4. A page gets its pixel and a person their redirect, whatever the tag got wrong; the event of such a hit goes to the
   bad lane. What only machines read (204) says 400.
5. The bad lane, HEAD and prefetch never cost anything: no ``cost_nanos``.
6. Threads may share an endpoint if they may share ``fresh_id``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from falcon.util.uri import parse_query_string

from tracker import reasons
from tracker.capture import body as bodies
from tracker.capture import limits
from tracker.capture.extract import properties
from tracker.capture.hit import Hit
from tracker.capture.identity import CLIENT_WORDS, FreshIds, Stamps, take_client_words
from tracker.capture.memo import Memo
from tracker.capture.place import locate
from tracker.capture.plan import Plan
from tracker.capture.reply import Fixed, Header, Reply, problem
from tracker.capture.routing import table
from tracker.capture.text import from_bytes_text, header_text, mark, shield_macros
from tracker.capture.values import MAX_INTEGER, Trouble
from tracker.event import Context, Event
from tracker.settings.model import Settings

_STATUS = {
    reasons.NO_ROUTE: (404, "Not Found"),
    reasons.PATH_TOO_LONG: (414, "URI Too Long"),
    reasons.QUERY_TOO_LONG: (414, "URI Too Long"),
    reasons.TOO_MANY_PARAMETERS: (400, "Bad Request"),
    reasons.BODY_TOO_LARGE: (413, "Content Too Large"),
    reasons.BODY_TIMEOUT: (408, "Request Timeout"),
    reasons.EVENT_TOO_LARGE: (413, "Content Too Large"),
} | {reason.name: (400, "Bad Request") for reason in reasons.REASONS if reason.kind == "bad"}
_NO_ACK: Header = ("X-Tracker-Ack", "none")
_NOTHING: Mapping[str, Any] = {}
_AHEAD = ("prefetch", "prerender", "preview")


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


def _refused(reason: str, field: str = "") -> Fixed:
    status, phrase = _STATUS.get(reason, (503, "Service Unavailable"))
    return problem(status, phrase, reason, reasons.BY_NAME[reason].help, field, (("X-Tracker-Reason", reason),))


class Endpoint:
    """All routes, compiled."""

    def __init__(self, settings: Settings, fresh_id: Callable[[int], str]) -> None:
        """Settings that ``routing.check`` has passed; ``fresh_id(received_ms)`` makes an event's id."""
        self._limits = caps = settings.tracker.limits
        # PERF: a hit that is under these cannot be over a limit, whatever its characters take in UTF-8.
        self._short_path = caps.max_path_bytes // 4
        self._short_query = min(caps.max_query_bytes // 4, caps.max_query_parameters - 1)
        self._max_text = caps.max_text_chars
        tree = table(settings.routes, caps.max_text_chars)
        self._places = Memo(lambda path: locate(tree, path))
        self._header_texts = Memo(self._header_text)
        self._locales = Memo(self._locale)
        self._environment = settings.tracker.environment
        # PERF: the bound method is called in two thirds of the time of an instance.
        self._fresh_id = fresh_id.__call__ if isinstance(fresh_id, FreshIds) else fresh_id
        self._stamp = Stamps().__call__
        self._bad_lane = limits.BadLane(caps.max_bad_events_per_second)
        self._refusals = {reason.name: _refused(reason.name) for reason in reasons.REASONS}
        self._problems: dict[tuple[str, str], Fixed] = {}  # by reason and field, both out of the settings

    def answer(self, hit: Hit) -> Answer:
        """The reply and the events (none or one) of a hit."""
        raw = hit.query
        if len(raw) > self._short_query or len(hit.path) > self._short_path or hit.body:
            excess = limits.excess(hit, self._limits)
            if excess:
                return self._refusal("", excess)
        place = self._places[hit.path]
        if place is None:
            return self._refusal("", reasons.NO_ROUTE)
        plan = place.plan
        method = hit.method
        if method not in plan.methods:
            return Answer(Reply(plan.refused, (_NO_ACK,)), (), "none", plan.name, reasons.METHOD_NOT_ALLOWED)

        flags = [*place.flags]
        trouble, field = place.trouble
        query: Mapping[str, Any] = _NOTHING
        if raw:
            if not raw.isascii():
                raw = from_bytes_text(raw)
            if "%%" in raw:
                raw = shield_macros(raw)
            query = parse_query_string(raw, True, False)
        header = hit.headers.get
        body: Mapping[str, Any] = _NOTHING
        if hit.body and method == "POST":
            read = bodies.read(hit.body, header("content-type"), self._limits, flags)
            if not isinstance(read, str):
                body = read
            elif read == reasons.TOO_MANY_PARAMETERS:
                return self._refusal(plan.name, read)
            else:
                trouble, field = read, "body"

        costs = True
        if method == "HEAD":
            flags.append(reasons.HEAD)
            costs = False
        purpose = header("sec-purpose") or header("purpose") or header("x-moz")
        if purpose and any(word in purpose.lower() for word in _AHEAD):
            flags.append(reasons.PREFETCH)
            costs = False
        anonymous = False
        if header("sec-gpc") == "1":
            flags.append(reasons.GPC)
            anonymous = plan.anonymous_with_gpc

        parts = (place.values, query, header, body, flags)
        dimensions = place.dimensions.copy()
        for name, take in plan.dimensions:
            text = take(parts)
            if isinstance(text, str):
                dimensions[name] = text
            elif isinstance(text, Trouble) and not trouble:
                trouble, field = text.reason, name
        metrics: dict[str, int | float] = {}
        for name, key, count, nanos, currency in plan.metrics:
            value = count(parts)
            if value is None:
                continue
            if isinstance(value, Trouble):
                trouble, field = trouble or value.reason, field or name
                continue
            metrics[key] = value
            if currency:
                dimensions["currency"] = currency
            if nanos and costs:
                cost = value * nanos
                if cost <= MAX_INTEGER:
                    metrics["cost_nanos"] = cost
                else:
                    trouble, field = trouble or reasons.INVALID_FIELD, field or name

        agent, agent_flags = self._header_texts[header("user-agent") or ""]
        referer, referer_flags = self._header_texts[header("referer") or ""]
        locale, locale_flags = self._locales[header("accept-language") or ""]
        if agent_flags or referer_flags or locale_flags:
            for flag in (*agent_flags, *referer_flags, *locale_flags):
                mark(flags, flag)
        received_ms = hit.received_ms
        received_at = self._stamp(received_ms)
        event = Event(
            id=self._fresh_id(received_ms),
            event=place.event,
            timestamp=received_at,
            received_at=received_at,
            environment=self._environment,
            source=plan.name,
            dimensions=dimensions,
            metrics=metrics,
            context=Context(
                ip="" if anonymous else plan.keep_ip(hit.address), user_agent=agent, referer=referer, locale=locale
            ),
            flags=flags,
        )
        if not CLIENT_WORDS.isdisjoint(query) or (body and not CLIENT_WORDS.isdisjoint(body)):
            take_client_words(event, query, body, self._max_text, self._stamp, received_ms, anonymous)
        if plan.keeps_properties:
            event.properties = properties(plan.properties, parts, plan.consumed_query, plan.consumed_body)

        extra: tuple[Header, ...] = (("X-Event-Id", event.id), plan.ack_header)
        jump = plan.jump
        if jump is not None:
            location = jump.location(query, body, event.id)
            if location is None:
                trouble, field, location = reasons.BAD_DESTINATION, jump.key, jump.otherwise
            if location:
                extra += (("Location", location),)
        if trouble:
            return self._bad(plan, event, trouble, field, extra, received_ms)
        return Answer(Reply(plan.good, extra), (event,), plan.ack, plan.name, "")

    def refuse(self, answer: Answer, reason: str) -> Reply:
        """What to send instead of an answer whose events were not taken. A person is still sent on their way."""
        location = tuple(header for header in answer.reply.extra if header[0] == "Location")
        if location:
            return Reply(answer.reply.fixed, (_NO_ACK, ("X-Tracker-Reason", reason), *location))
        fixed = self._refusals[reason]
        if fixed.status == 503:  # spread over some seconds, so that the clients do not come back all at once
            return Reply(fixed, (_NO_ACK, ("Retry-After", str(os.urandom(1)[0] % 5 + 1))))
        return Reply(fixed, (_NO_ACK,))

    def refuse_body(self, hit: Hit, reason: str) -> Answer:
        """The answer to a hit whose body the door did not read: too large, late or not framed."""
        place = self._places[hit.path]
        return self._refusal(place.plan.name if place is not None else "", reason)

    def _header_text(self, raw: str) -> tuple[str, Sequence[str]]:
        if raw.isascii() and raw.isprintable() and len(raw) <= self._max_text:
            return raw, ()
        flags: list[str] = []
        return header_text(raw, self._max_text, flags), flags

    def _locale(self, raw: str) -> tuple[str, Sequence[str]]:
        return self._header_text(raw.partition(",")[0].partition(";")[0].strip())

    def _refusal(self, route: str, reason: str) -> Answer:
        return Answer(Reply(self._refusals[reason], (_NO_ACK,)), (), "none", route, reason)

    def _bad(
        self, plan: Plan, event: Event, trouble: str, field: str, extra: tuple[Header, ...], received_ms: int
    ) -> Answer:
        """The event turned over to the bad lane, as far as that takes any."""
        event.lane = "bad"
        event.reason = trouble
        event.metrics.pop("cost_nanos", None)
        event.properties = {"field": field}
        served = plan.pixel or extra[-1][0] == "Location"
        fixed = plan.good if served else self._problems.get((trouble, field))
        if fixed is None:
            fixed = self._problems[trouble, field] = _refused(trouble, field)
        reason: tuple[Header, ...] = (("X-Tracker-Reason", trouble),) if served else ()
        if not self._bad_lane.takes(received_ms):
            extra = (_NO_ACK, *extra[2:], *reason)
            return Answer(Reply(fixed, extra), (), "none", plan.name, reasons.BAD_LANE_LIMIT)
        return Answer(Reply(fixed, extra + reason), (event,), plan.ack, plan.name, "")
