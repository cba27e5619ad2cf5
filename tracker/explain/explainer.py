"""The explainer: asks the endpoint that serves, and says how its answer came about.

Rules
1. Event and reply are those of ``Endpoint.answer``, made from the same settings; nothing of them is made a second time.
2. Where things came from is worked out beside it, from the parts that the endpoint read (``Endpoint.watch``) with the
   pieces that it reads by. A property test compares the two for any route and any hit.
3. Pure: ids come from the ``fresh_id`` given, time is the hit's. One explainer explains one hit at a time.
4. Several requests are explained as if they came a second apart, or the bad lane's caps would decide about some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from tracker import reasons
from tracker.capture.answer import Answer
from tracker.capture.client import compile_clients
from tracker.capture.endpoint import Endpoint
from tracker.capture.extract import BODY, FLAGS, HEADER, PATH, QUERY, Parts
from tracker.capture.hit import Hit
from tracker.capture.identity import Stamps
from tracker.capture.place import Place
from tracker.capture.properties import properties_of
from tracker.capture.template import parse
from tracker.delivery.choice import choice
from tracker.event import Event, encode_line
from tracker.explain import causes
from tracker.explain.explanation import Choice, Client, Explanation, PropertyFound, RouteFound
from tracker.explain.fields import Fields, whole
from tracker.explain.near import near_misses
from tracker.explain.outcome import cost, destination, reply_shown
from tracker.explain.request import Request, as_hit
from tracker.explain.watched import Watched
from tracker.explain.words import Word, said, words
from tracker.settings.filled import fill
from tracker.settings.model import LongReply, Settings


class Explainer:
    """Explains hits by one tracker's settings."""

    def __init__(self, settings: Settings, fresh_id: Callable[[int], str]) -> None:
        """Settings that every check has passed; ``fresh_id(received_ms)`` makes an event's id."""
        self._settings = settings
        self._endpoint = Endpoint(settings, fresh_id)
        self._endpoint.watch = self._watch
        self._watched: list[tuple[Place, Parts, Event, dict[str, Any]]] = []
        table = settings.routes
        self._routes = {name: fill(route, table.defaults) for name, route in table.routes.items()}
        self._templates = {name: parse(route.path) for name, route in table.routes.items()}
        self._fields: dict[str, Fields] = {}
        self._choices = {name: choice(each) for name, each in settings.tracker.collectors.items()}
        self._who = compile_clients(settings.tracker.clients)
        self._stamp = Stamps()

    def explain_all(self, requests: Sequence[Request], address: str, received_ms: int) -> list[Explanation]:
        """One explanation a request; ``address`` is the client's where a request names none."""
        found = []
        for number, request in enumerate(requests):
            explanation = self.explain(as_hit(request, address, received_ms + 1000 * number))
            explanation.source = request.source
            explanation.notes = (*request.notes, *_notes(request, explanation))
            found.append(explanation)
        ours = {request.host() for request, each in zip(requests, found, strict=True) if each.route is not None}
        for request, each in zip(requests, found, strict=True):
            each.elsewhere = bool(request.among and ours and each.route is None and request.host() not in ours)
        return found

    def explain(self, hit: Hit) -> Explanation:
        """What becomes of a hit, and why."""
        answer, seen = self._ask(hit)
        explanation = Explanation(
            source="hit", method=hit.method, path=whole(hit.path), query=whole(hit.query), notes=(), outcome="refused",
            reason=answer.reason, help=causes.help_of(answer.reason), reply=reply_shown(answer, hit.method),
            route=self._route(answer.route, seen) if answer.route else None,
        )  # fmt: skip
        if seen is not None:
            self._read(explanation, seen, answer)
        elif answer.reason == reasons.NO_ROUTE:
            explanation.near = tuple(near_misses(explanation.path, self._templates))
        return explanation

    def _watch(self, place: Place, parts: Parts, event: Event) -> None:
        self._watched.append((place, parts, event, event.properties))

    def _ask(self, hit: Hit) -> tuple[Answer, Watched | None]:
        self._watched.clear()
        answer = self._endpoint.answer(hit)
        if not self._watched:
            return answer, None
        place, parts, event, properties = self._watched[0]
        route = self._routes[answer.route]
        return answer, Watched(hit, route, place, parts, event, properties, self._settings.tracker.limits, self._who)

    def _route(self, name: str, seen: Watched | None) -> RouteFound:
        route = self._routes[name]
        reply = ("redirect" if route.reply.redirect else "fixed") if isinstance(route.reply, LongReply) else route.reply
        values = map(whole, seen.parts[PATH]) if seen is not None else ()
        return RouteFound(
            name=name, path=route.path, methods=route.methods or (), reply=reply, ack=route.ack or "",
            parameters=dict(zip(self._templates[name].names, values, strict=False)),
        )  # fmt: skip

    def _read(self, explanation: Explanation, seen: Watched, answer: Answer) -> None:
        """The rest of the explanation of a hit that has an event."""
        event = seen.event
        explanation.outcome = "bad" if event.lane == "bad" else "good"
        explanation.reason, explanation.help = event.reason, causes.help_of(event.reason)
        explanation.event_name = event.event
        explanation.fields = tuple(self._fields_of(answer.route)(seen.parts))
        explanation.words = tuple(self._words(seen))
        of_properties: list[str] = []
        explanation.properties = tuple(_properties(seen, of_properties))
        explanation.client = _client(seen)
        explanation.flags = tuple(causes.flags(seen, explanation.fields, explanation.words, of_properties))
        explanation.troubles = tuple(causes.troubles(seen, explanation.fields))
        reply = seen.route.reply
        if isinstance(reply, LongReply) and reply.redirect is not None:
            explanation.destination = destination(reply.redirect, seen, explanation.reply)
        explanation.cost = cost(seen, explanation.fields)
        explanation.kept = bool(answer.events)
        stored = msgspec.json.decode(encode_line(event))
        explanation.event = {name: value for name, value in stored.items() if name not in ("stream", "seq")}
        explanation.collectors = tuple(self._collectors(event, kept=explanation.kept))

    def _fields_of(self, name: str) -> Fields:
        if name not in self._fields:
            names, longest = self._templates[name].names, self._settings.tracker.limits.max_text_chars
            self._fields[name] = Fields(self._routes[name], self._settings.routes, names, longest)
        return self._fields[name]

    def _words(self, seen: Watched) -> Iterator[Word]:
        query, body = seen.parts[QUERY], seen.parts[BODY]
        found = list(words(query, body, seen.limits.max_text_chars, self._stamp, seen.hit.received_ms,
                           anonymous=bool(seen.anonymous())))  # fmt: skip
        cookie = seen.place.plan.cookie
        if cookie is not None and not any(word.name == cookie.into and word.value for word in found):
            value, held = said(seen.event, cookie.into), cookie.read(seen.parts[HEADER])
            if value:
                source = "cookie" if held else "new cookie"
                found.append(Word(name=cookie.into, source=source, held=held or None, value=value))
        yield from found

    def _collectors(self, event: Event, *, kept: bool) -> Iterator[Choice]:
        for name, settings in self._settings.tracker.collectors.items():
            takes = kept and self._choices[name](event)
            names = f"it takes {', '.join(settings.events) or 'no events'}"
            because = names if takes else f"{names}, not {event.event}"
            if event.lane not in settings.lanes:
                because = f"it takes the {' and '.join(settings.lanes) or 'no'} lane only"
            if not kept:
                because = "nothing is kept: the bad lane's limits forbid it"
            yield Choice(collector=name, takes=takes, because=because)


def _notes(request: Request, explanation: Explanation) -> Iterator[str]:
    """What else may be why a path has no route."""
    if explanation.reason == reasons.NO_ROUTE:
        if explanation.path.startswith("/-/"):
            yield "`/-/` is the tracker's own: no route begins so"
        if "%2f" in request.target.partition("?")[0].lower():
            yield "a %2F in the path separates segments: it is decoded before the route is looked for"


def _properties(seen: Watched, flags: list[str]) -> Iterator[PropertyFound]:
    plan, parts = seen.place.plan, seen.parts
    if plan.keeps_properties:
        consumed = plan.consumed_query, plan.consumed_body
        of_body = properties_of(plan.properties, (parts[PATH], {}, parts[HEADER], parts[BODY], []), *consumed)
        for name, value in properties_of(plan.properties, (*parts[:FLAGS], flags), *consumed).items():
            yield PropertyFound(name=name, source="body" if name in of_body else "query", value=value)


def _client(seen: Watched) -> Client:
    kept = seen.event.context.ip if seen.event.context is not None else ""
    because = "truncated: IPv4 keeps /24, IPv6 /48" if kept else "that is no address"
    if seen.anonymous():
        because = f"{seen.anonymous()}: the route keeps no address and no ids"
    elif seen.route.privacy is not None and seen.route.privacy.ip == "drop":
        because = "the route's privacy is `ip: drop`"
    return Client(
        connection=whole(seen.hit.address), address=whole(seen.client()[0]), kept=kept, because=because
    )  # fmt: skip
