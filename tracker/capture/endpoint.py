"""The endpoint: the whole way from a hit to its event and its reply, without I/O and without a framework.

Rules
1. ``answer`` is a straight line: sizes, route, query, body, client, fields, context, event, reply. It never raises.
2. Nothing here reads a clock, a file or a socket. Time is the hit's; ids come from the ``fresh_id`` given.
3. Whatever an event holds, ``encode_line`` writes it and ``decode_line`` reads it back. Every header value that is
   added here is printable ASCII.
4. A page gets its pixel and a person their redirect, whatever the tag got wrong; the event of such a hit goes to the
   bad lane. What only machines read (204, JSON) says 400.
5. The bad lane and the flags in ``reasons.NEVER_BILLED`` never cost anything: no ``cost_nanos``.
6. Threads may share an endpoint if they may share ``fresh_id``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from falcon.util.uri import parse_query_string

from tracker import reasons
from tracker.capture import body as bodies
from tracker.capture import limits
from tracker.capture.answer import Answer
from tracker.capture.bad_lane import BadLane
from tracker.capture.client import compile_clients
from tracker.capture.extract import Parts
from tracker.capture.headers import headers_read
from tracker.capture.hit import Hit
from tracker.capture.identity import CLIENT_WORDS, FreshIds, Stamps, take_client_words
from tracker.capture.memo import Memo
from tracker.capture.place import Place, locate
from tracker.capture.preprocess import Incoming, preprocess
from tracker.capture.properties import properties_of
from tracker.capture.refusal import NO_ACK, Refusals
from tracker.capture.reply import Header, Reply, verdict
from tracker.capture.robots import is_robot
from tracker.capture.routing import table
from tracker.capture.text import from_bytes_text, header_text, mark, shield_macros
from tracker.capture.values import MAX_INTEGER, Trouble
from tracker.event import Context, Event
from tracker.settings.model import Settings

_NOTHING: Mapping[str, Any] = {}
_AHEAD = ("prefetch", "prerender", "preview")


Watch = Callable[[Place, Parts, Event], None]
"""Sees a hit once its fields are read: where its path leads, what it brought, and the event so far."""


class Endpoint:
    """All routes, compiled."""

    def __init__(self, settings: Settings, fresh_id: Callable[[int], str]) -> None:
        """Settings that ``routing.check`` has passed; ``fresh_id(received_ms)`` makes an event's id."""
        self._limits = caps = settings.tracker.limits
        # PERF: a hit that is under these cannot be over a limit, whatever its characters take in UTF-8.
        self._short_path = caps.max_path_bytes // 4
        self._short_query = min(caps.max_query_bytes // 4, caps.max_query_parameters - 1)
        self._max_text = caps.max_text_chars
        tree = table(settings.routes, settings.tracker)
        self._places = Memo(lambda path: locate(tree, path))
        self._agents = Memo(self._agent)
        self._header_texts = Memo(self._header_text)
        self._locales = Memo(self._locale)
        self._who = compile_clients(settings.tracker.clients)
        self._environment = settings.tracker.environment
        # PERF: the bound method is called in two thirds of the time of an instance.
        self._fresh_id = fresh_id.__call__ if isinstance(fresh_id, FreshIds) else fresh_id
        self._stamp = Stamps().__call__
        self._refusals = Refusals()
        self._bad_lane = BadLane(caps, self._refusals)
        self.watch: Watch | None = None
        """For `tracker explain`; None where hits are served."""
        self.headers = headers_read(settings.routes, settings.tracker.clients)
        """Names of the headers that any route reads, in lower case; None: all, for a transform may ask for any."""

    def answer(self, hit: Hit) -> Answer:
        """The reply and the events (none or one) of a hit."""
        raw = hit.query
        if len(raw) > self._short_query or len(hit.path) > self._short_path or hit.body:
            excess = limits.excess(hit, self._limits)
            if excess:
                return self._refuse_at(self._places[hit.path], excess)
        place = self._places[hit.path]
        if place is None:
            return self._refuse_at(None, reasons.NO_ROUTE)
        plan = place.plan
        method = hit.method
        if method not in plan.methods:
            return Answer(Reply(plan.refused, (NO_ACK,)), (), "none", plan.name, reasons.METHOD_NOT_ALLOWED)

        flags = [*place.flags]
        trouble, field = place.trouble
        query: Mapping[str, Any] = _NOTHING
        if raw:
            if not raw.isascii():
                raw = from_bytes_text(raw)
            if "%%" in raw:
                raw = shield_macros(raw)
            query = parse_query_string(raw, True, False)
        header, address = hit.headers.get, hit.address
        for_device = False
        if self._who is not None:
            address, header, for_device = self._who(address, header)
            if for_device:
                mark(flags, reasons.SERVER_SIDE)
        body: Mapping[str, Any] = _NOTHING
        if hit.body and method == "POST":
            read = bodies.read(hit.body, header("content-type"), self._limits, flags)
            if not isinstance(read, str):
                body = read
            elif read == reasons.TOO_MANY_PARAMETERS:
                return self._refuse_at(place, read)
            else:
                trouble, field = read, "body"
        if plan.transforms is not None:
            incoming = Incoming(plan.name, method, dict(zip(plan.names, place.values, strict=True)),
                                dict(query), dict(body), header)  # fmt: skip
            failed = preprocess(plan.transforms, incoming, self._limits, flags)
            query, body = incoming.query, incoming.body
            if failed:
                trouble, field = trouble or failed, field or "body"

        if method == "HEAD":
            flags.append(reasons.HEAD)
        purpose = header("sec-purpose") or header("purpose") or header("x-moz")
        if purpose and any(word in purpose.lower() for word in _AHEAD):
            mark(flags, reasons.PREFETCH)
        anonymous = opted_out = False
        if header("sec-gpc") == "1":
            flags.append(reasons.GPC)
            opted_out, anonymous = True, plan.anonymous_with_gpc
        if header("dnt") == "1":
            flags.append(reasons.DNT)
            opted_out, anonymous = True, anonymous or plan.anonymous_with_dnt

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
                if value.reason and not trouble:
                    trouble, field = value.reason, name
                continue
            metrics[key] = value
            if currency:
                dimensions["currency"] = currency
            if nanos:
                cost = value * nanos
                if cost <= MAX_INTEGER:
                    metrics["cost_nanos"] = cost
                else:
                    trouble, field = (trouble, field) if trouble else (reasons.INVALID_FIELD, name)

        agent, agent_flags = self._agents[header("user-agent") or ""]
        referer, referer_flags = self._header_texts[header("referer") or ""]
        locale, locale_flags = self._locales[header("accept-language") or ""]
        if agent_flags or referer_flags or locale_flags:
            for flag in (*agent_flags, *referer_flags, *locale_flags):
                mark(flags, flag)
        if flags and "cost_nanos" in metrics and not reasons.NEVER_BILLED.isdisjoint(flags):
            del metrics["cost_nanos"]
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
                ip="" if anonymous else plan.keep_ip(address), user_agent=agent, referer=referer, locale=locale
            ),
            flags=flags,
        )
        if not CLIENT_WORDS.isdisjoint(query) or (body and not CLIENT_WORDS.isdisjoint(body)):
            take_client_words(event, query, body, self._max_text, self._stamp, received_ms, anonymous)
        if plan.keeps_properties:
            event.properties = properties_of(plan.properties, parts, plan.consumed_query, plan.consumed_body)
        if self.watch is not None:
            self.watch(place, parts, event)

        extra: tuple[Header, ...] = (("X-Event-Id", event.id), plan.ack_header)
        if plan.plain and not trouble:
            return Answer(Reply(plan.good, extra), (event,), plan.ack, plan.name, "", plan.reserve)
        if plan.cookie is not None and not opted_out and not for_device:
            ident = plan.cookie.read(header)
            if not ident:
                ident = self._fresh_id(received_ms)
                extra += (plan.cookie.line(ident),)
            if not getattr(event, plan.cookie.into):
                setattr(event, plan.cookie.into, ident)
        location = ""
        if plan.jump is not None:
            location, reason = plan.jump.land(hit.path, query, body, event.id, dimensions, received_ms)
            if reason:
                trouble, field = reason, plan.jump.key
            if location:
                extra += (("Location", location),)
        if trouble:
            served, shown = plan.serves or location != "", None if anonymous else parts
            return self._bad_lane.take(
                plan, event, trouble, field, extra, served=served, parts=shown, now_ms=received_ms
            )
        if plan.verdict:
            reply = verdict(plan.good, extra, {"id": event.id, "status": "ok"})
        else:
            reply = Reply(plan.good, extra)
        return Answer(reply, (event,), plan.ack, plan.name, "", plan.reserve)

    def refuse(self, answer: Answer, reason: str) -> Reply:
        """What to send instead of an answer whose events were not taken. A person is still sent on their way."""
        for header in answer.reply.extra:
            if header[0] == "Location":
                return self._refusals.reply(reason, (answer.reply.fixed, header[1]))
        return self._refusals.reply(reason)

    def refuse_body(self, hit: Hit, reason: str) -> Answer:
        """The answer to a hit whose body the door did not read: too large, late or not framed."""
        return self._refuse_at(self._places[hit.path], reason)

    def _refuse_at(self, place: Place | None, reason: str) -> Answer:
        """The answer to a hit of which nothing is kept; a route that redirects sends its people where it can."""
        if place is None:
            return Answer(self._refusals.reply(reason), (), "none", "", reason)
        jump = place.plan.jump
        elsewhere = (jump.fixed, jump.otherwise) if jump is not None and jump.otherwise else None
        return Answer(self._refusals.reply(reason, elsewhere), (), "none", place.plan.name, reason)

    def _agent(self, raw: str) -> tuple[str, Sequence[str]]:
        text, flags = self._header_text(raw)
        return (text, (*flags, reasons.BOT)) if is_robot(text) else (text, flags)

    def _header_text(self, raw: str) -> tuple[str, Sequence[str]]:
        if raw.isascii() and raw.isprintable() and len(raw) <= self._max_text:
            return raw, ()
        flags: list[str] = []
        return header_text(raw, self._max_text, flags), flags

    def _locale(self, raw: str) -> tuple[str, Sequence[str]]:
        return self._header_text(raw.partition(",")[0].partition(";")[0].strip())
