"""For any route and any hit, what `tracker explain` says and what the tracker stores agree, field by field."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from tracker import reasons
from tracker.capture import preprocess, routing
from tracker.capture.endpoint import Endpoint
from tracker.capture.hit import Hit
from tracker.capture.values import MAX_INTEGER
from tracker.delivery.choice import choice
from tracker.event import Event, encode_line
from tracker.explain import causes, explainer, fields
from tracker.explain import words as client_words
from tracker.explain.explainer import Explainer
from tracker.explain.explanation import Explanation
from tracker.settings.model import Clients, Collector, Limits, Routes, Settings, Tracker

ID = "01a1fb11-f386-7000-ab68-c36f9719a68a"
NOW_MS = 1_763_675_618_000


@pytest.fixture(autouse=True, scope="module")
def entry_points_once() -> Iterator[None]:
    """What is installed does not change; to look for it takes 10 ms each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preprocess, "entry_points", functools.cache(preprocess.entry_points))
        yield


# --- routing tables ----------------------------------------------------------------------------------------------

KEYS = ["a", "b", "q", "u", "event_id", "timestamp"]
SOURCES = [f"query.{key}" for key in KEYS] + [f"body.{key}" for key in KEYS] + [
    "body/q/0", "header.x-a", "header.referer", "cookie.c", "query.a", "query.b", "body.a",
]  # fmt: skip
PATHS = {"/p/{x}": ["x"], "/q/{x}/{y}.gif": ["x", "y"], "/t/{x:hex}": ["x"], "/w/{y:word}": ["y"], "/i/n{x:integer}.j": ["x"], "/s/plain": [], "/{x}/e/{y}": ["x", "y"]}
TEXTS = {
    "text": ["a", "Spring", "${MACRO}", "x" * 50], "macro": ["a%2Fb", "x"], "boolean": ["yes", "0"], "time": ["2025-11-20T21:53:38Z", "1763675618"],
    "host": ["Example.com", "https://a.example/x"], "url": ["https://example.com/x?y"], "language": ["de-ch", "en"], "vast_event": ["midPoint", "start"], "list": ["a,b,,c", "x"],
    "integer": ["0", "-12", "9223372036854775807"], "number": ["1.5", "-1"], "money": ["2.50", "0", "9223372036854.775807"],
}  # fmt: skip
DIMENSIONS = ["text", "macro", "boolean", "time", "host", "url", "language", "vast_event", "list"]
METRICS = ["integer", "number", "boolean", "money", "time"]
some_bool = st.sampled_from([False, False, True])


@st.composite
def field(draw: st.DrawFn, kinds: list[str], parameters: list[str], currency: str, *, costs: bool) -> dict[str, Any] | str:
    """One dimension or metric; the body is always allowed, since every route takes POST."""
    sources = st.sampled_from(SOURCES + [f"path.{name}" for name in parameters])
    if kinds is DIMENSIONS and draw(some_bool):
        return draw(sources)  # the short form
    kind = draw(st.sampled_from([*kinds, "money", "money", "money"] if costs else kinds))
    made: dict[str, Any] = {"as": kind}
    if draw(st.integers(0, 9)) == 0:
        return made | {"const": draw(st.sampled_from(TEXTS[kind]))}
    made["from"] = draw(st.lists(sources, min_size=1, max_size=4, unique=True))
    if draw(some_bool):
        made["default"] = draw(st.sampled_from(TEXTS[kind]))
    elif draw(some_bool):
        made["required"] = True
    if kinds is DIMENSIONS:
        if draw(some_bool):
            made["max_length"] = draw(st.sampled_from([1, 3, 8, 100]))
        if draw(some_bool):
            made["lower"] = True
        if draw(some_bool):
            made["pattern"] = draw(st.sampled_from(["[a-z0-9]+", ".*a.*", "[^x]*", "[A-Z].*"]))
    if draw(some_bool):
        made["unknown"] = draw(st.sampled_from([[], ["na", "0"], ["a"], ["2.50"]]))
    if kind == "money":
        made |= {"currency": currency, "unit": draw(st.sampled_from(["cpm", "each"])), "cost": costs}
    return made


@st.composite
def field_set(draw: st.DrawFn, parameters: list[str], currency: str, prefix: str) -> dict[str, Any]:
    """Some dimensions and metrics; at most one is a cost."""
    dimensions = {f"{prefix}d{at}": draw(field(DIMENSIONS, parameters, currency, costs=False)) for at in range(draw(st.integers(0, 4)))}
    metrics = {f"{prefix}m{at}": draw(field(METRICS, parameters, currency, costs=at == 0 and prefix == "")) for at in range(draw(st.integers(0, 3)))}
    return {"dimensions": dimensions, "metrics": metrics}


REPLIES: list[Any] = [
    "pixel", "no_content", "json", {"fixed": {"status": 202, "body": "ok", "headers": {"X-Own": "own"}}},
    {"redirect": {"to": "query.u", "allow": ["example.com", "*.shop.example"], "add": {"e": "event.id"}}},
    {"redirect": {"to": "body.u", "allow": ["example.com"], "otherwise": "https://example.com/{click_id}"}},
    {"redirect": {"to": "query.u", "signed_by": "ring", "otherwise": "https://example.com/"}}, {"redirect": {"to": "https://example.com/go?id={click_id}"}},
]  # fmt: skip


@st.composite
def route(draw: st.DrawFn, path: str, sets: list[str]) -> dict[str, Any]:
    """One route, with everything that a route can say."""
    parameters = PATHS[path]
    made = draw(field_set(parameters, "EUR", "")) | {"path": path, "methods": draw(st.sampled_from([["GET", "HEAD", "POST"], ["POST"]])), "reply": draw(st.sampled_from(REPLIES))}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "use": st.lists(st.sampled_from(sets), unique=True), "event": st.sampled_from(["click", *(f"path.{name}" for name in parameters)]),
        "properties": st.sampled_from(["all", "none", ["q2", "m2"]]), "flags": st.sampled_from([["test"], ["bot", "unauthenticated"]]),
        "privacy": st.fixed_dictionaries({"ip": st.sampled_from(["truncate", "drop"]), "gpc": st.sampled_from(["anonymous", "ignore"]), "dnt": st.sampled_from(["anonymous", "ignore"])}),
        "cookie": st.sampled_from([{}, {"into": "device_id", "same_site": "none"}]), "preprocess": st.lists(st.sampled_from(["lower_names", "trim", "base64_json"]), unique=True),
        "access": st.sampled_from(["open", "key"]), "ack": st.sampled_from(["process", "power"]), "priority": st.sampled_from(["low", "high"]),
    }  # fmt: skip
    for name, strategy in optional.items():
        if draw(some_bool):
            made[name] = draw(strategy)
    return made


@st.composite
def tables(draw: st.DrawFn) -> Settings:
    """A routing table that `tracker check` accepts, and collectors for it."""
    sets = {f"set{at}": draw(field_set([], "EUR", f"s{at}")) for at in range(draw(st.integers(0, 2)))}
    paths = draw(st.lists(st.sampled_from(list(PATHS)), min_size=1, max_size=2, unique=True))
    routes = {f"route{at}": draw(route(path, list(sets) or [""])) for at, path in enumerate(paths)}
    for each in routes.values():
        each["use"] = [name for name in each.get("use", []) if name]
    table = msgspec.convert({"field_sets": sets, "routes": routes, "defaults": {"properties": draw(st.sampled_from(["none", "all"]))}}, Routes)
    globs = st.lists(st.sampled_from(["*", "click", "route0", "route*", "*1", "x"]), max_size=2).map(tuple)
    lanes = st.sampled_from([("good",), ("bad",), ("good", "bad")])
    tracker = Tracker(
        limits=Limits(max_text_chars=draw(st.sampled_from([10, 1024])), max_json_depth=6, max_json_values=30, max_query_parameters=20, max_bad_events_per_second=draw(st.sampled_from([0, 100, 100]))),
        signing_keys={"ring": {"a": "a secret of more than sixteen characters"}},
        clients=draw(st.sampled_from([Clients(), Clients(trusted_proxies=("203.0.113.0/24",), ssai_networks=("2001:db8::/32",))])),
        collectors={f"c{at}": Collector(type="log", events=draw(globs), lanes=draw(lanes)) for at in range(draw(st.integers(0, 3)))},
    )
    assume(list(routing.check(tracker, table)) == [])
    return Settings(tracker=tracker, routes=table, version="0" * 12)


# --- hits --------------------------------------------------------------------------------------------------------

NASTY = [
    "", "\x00", "\x1b[31m", "\r\nX: y", "\u2028", "\ud800", "\ufffd", "\x85", "${AUCTION_PRICE}", "%%CACHEBUSTER%%", "[X]", "{x}", "2.50", "-1", "-2", "1e400", "NaN", "9" * 400,
    "9223372036854775807", "9223372036854.775807", "1e-05", "https://example.com/x", "https%3A%2F%2Fexample.com", "//evil", "a" * 300, "\u00fc", "\U0001f600", "AUDIT", "na", "yes", "0", "de-CH",
    "a,b%2Cc", "{click_id}", "eyJhIjoiYiJ9", "midPoint", "2025-11-20T21:53:38Z", "1763675618", "%", "%ff", "&", "=", "+", "id-1", ".", "-", "Spring", "12", "abc", "about:blank", "Mozilla/5.0",
]  # fmt: skip
words = st.sampled_from(NASTY) | st.sampled_from(NASTY) | st.text(st.characters(), max_size=12)
plain = st.sampled_from(["2.50", "7", "yes", "https://a.example/x", "de-ch", "start", "2025-11-20T21:53:38Z", "x,y", "Spring", "[X]", "na"])
names = st.sampled_from([*KEYS, *KEYS, *KEYS, "q2", "m2", "page", "distinct_id", "kid", "sig", "data", "anonymous_id", "device_id", "A"]) | words
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | words, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
pairs = st.lists(st.tuples(names, plain | words), min_size=2, max_size=7)
queries = pairs.map(lambda found: "&".join(f"{name}={value}" for name, value in found)) | pairs.map(lambda found: "&".join(f"{name}={quote(value, safe='', errors='replace')}" for name, value in found))
objects = st.dictionaries(names, plain | json_values, max_size=6)
known = [*KEYS, "q2", "m2", "page", "distinct_id", "device_id"]
aimed_queries = st.fixed_dictionaries({}, optional=dict.fromkeys(known, plain | words)).map(lambda found: "&".join(f"{name}={quote(value, safe='', errors='replace')}" for name, value in found.items()))
aimed_objects = st.fixed_dictionaries({}, optional=dict.fromkeys(known, plain | json_values))
bodies = st.just(b"") | objects.map(lambda value: json.dumps(value).encode()) | queries.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=20)
HEADERS = {
    "user-agent": ["Mozilla/5.0", "Googlebot/2.1"], "referer": ["https://a.example/x", "about:blank"], "accept-language": ["en-US,en;q=0.9", "x" * 2000], "sec-gpc": ["1", "0"], "dnt": ["1"],
    "purpose": ["prefetch"], "sec-purpose": ["prefetch;prerender"], "x-moz": ["prefetch"], "x-a": ["7", "${X}"], "cookie": ["c=1; __Host-tid=id-1", "c=na"], "x-forwarded-for": ["198.51.100.9"],
    "x-device-ip": ["198.51.100.9"], "x-device-user-agent": ["TV/1"], "content-type": ["application/json", "application/x-www-form-urlencoded", "text/plain"],
}  # fmt: skip
some_headers = st.lists(st.sampled_from(list(HEADERS)), max_size=5, unique=True)
headers = some_headers.flatmap(lambda found: st.fixed_dictionaries({name: st.sampled_from(HEADERS[name]) | words for name in found}))
addresses = st.sampled_from(["203.0.113.77", "2001:db8:1:2:3:4:5:6", "198.51.100.9", ""]) | words


@st.composite
def hits(draw: st.DrawFn, table: Settings) -> Hit:
    """A hit on a path of the table, nearly always."""
    template = draw(st.sampled_from([each.path for each in table.routes.routes.values()] * 4 + ["/other/{x}"]))
    path = template
    for place in ("{x}", "{y}", "{x:hex}", "{y:word}", "{x:integer}"):
        good = {"{x:hex}": ["ab12", "0"], "{y:word}": ["a-b", "Spring"], "{x:integer}": ["12", "0"]}.get(place)
        if place in path:
            path = path.replace(place, draw(words if good is None else st.sampled_from(good)))
    sent = draw(headers)
    kind = draw(st.sampled_from(["tag", "json", "any"]))
    if kind == "tag":
        return Hit("GET", path, draw(aimed_queries), sent, b"", draw(addresses), NOW_MS)
    if kind == "json":
        sent["content-type"] = "application/json"
        return Hit("POST", path, draw(aimed_queries), sent, json.dumps(draw(aimed_objects)).encode(), draw(addresses), NOW_MS)
    return Hit(draw(st.sampled_from(["POST", "GET", "HEAD", "PUT"])), path, draw(queries), sent, draw(bodies), draw(addresses), NOW_MS)


cases = tables().flatmap(lambda table: st.tuples(st.just(table), st.lists(hits(table), min_size=3, max_size=3)))


# --- the property ------------------------------------------------------------------------------------------------


def agree(table: Settings, each: list[Hit]) -> None:
    """Explain each hit, and serve it by an endpoint that nobody watches."""
    explaining, served = Explainer(table, lambda _: ID), Endpoint(table, lambda _: ID)
    for hit in each:
        answer = served.answer(hit)
        events: list[Event] = list(answer.events)
        if answer.reason == reasons.BAD_LANE_LIMIT:  # the event was made, and not kept
            again = Endpoint(table, lambda _: ID)
            again.watch = lambda _place, _parts, event, made=events: made.append(event)
            again.answer(hit)
        found = explaining.explain(hit)
        check_reply(found, answer.reply, hit.method)
        assert found.kept == bool(answer.events)
        assert (found.route.name if found.route else "") == answer.route
        if not events:
            assert (found.outcome, found.reason, found.event, found.fields, found.collectors) == ("refused", answer.reason, None, (), ())
            continue
        check_event(found, events[0])
        for name, collector in table.tracker.collectors.items():
            (told,) = [each.takes for each in found.collectors if each.collector == name]
            assert told == (bool(answer.events) and choice(collector)(events[0]))
        msgspec.json.encode(found)


def check_reply(found: Explanation, reply: Any, method: str) -> None:
    """Status, headers in their order, and body."""
    assert (found.reply.status, found.reply.headers) == (reply.fixed.status, (*reply.fixed.headers, *reply.extra))
    body = b"" if method == "HEAD" else reply.body
    assert found.reply.body_bytes == len(body)
    assert found.reply.body == (f"{len(body)} bytes of image/gif" if body.startswith(b"GIF") else body.decode())


def check_event(found: Explanation, event: Event) -> None:
    """Every field of the event is explained as it is, and nothing is explained that it has not."""
    assert found.event == json.loads(encode_line(event))
    assert (found.outcome, found.reason, found.event_name) == (event.lane, event.reason, event.event)
    # Dimensions and metrics: the same names, and the same values.
    explained: dict[str, dict[str, Any]] = {"dimensions": {}, "metrics": {}}
    for each in found.fields:
        assert (each.value is None) or not each.trouble
        if each.value is not None:
            explained[each.kind][each.key] = each.value
            if each.currency:
                explained["dimensions"]["currency"] = each.currency
            (used,) = [source for source in each.sources if source.source == each.used] or [None]
            assert used is None or (used.asked and used.state == "value" and used.value == each.value)
            assert used is not None or each.used in ("default", "const")
    if found.cost is not None and found.cost.nanos:
        explained["metrics"]["cost_nanos"] = found.cost.nanos
    billed = {"cost_nanos": 0} if event.metrics.get("cost_nanos") == 0 else {}
    assert explained["dimensions"] == event.dimensions
    assert explained["metrics"] | billed == event.metrics
    assert all(type(value) is type(event.metrics[key]) for key, value in explained["metrics"].items())
    # Trouble: a bad event's reason is that of a field that is explained as wrong, or of something that is no field.
    deciding = [(each.reason, each.field) for each in found.troubles if each.decides]
    if event.lane == "bad":
        assert deciding == [(event.reason, event.properties["field"])]
        if event.reason in (reasons.MISSING_FIELD, reasons.INVALID_FIELD):
            (wrong,) = [each for each in found.fields if each.name == event.properties["field"]]
            overflows = isinstance(wrong.value, int) and wrong.value * causes.NANOS[wrong.cost or "cpm"] > MAX_INTEGER
            assert wrong.trouble == event.reason or (overflows and wrong.cost)
    else:
        assert found.troubles == ()
        assert {each.name: each.value for each in found.properties} == event.properties
    # Flags: those of the event, each with a cause, and none of a field is missing.
    assert [each.name for each in found.flags] == event.flags
    assert all(each.because for each in found.flags), found.flags
    assert {flag for each in (*found.fields, *found.words) for flag in each.flags} <= set(event.flags)
    # The client's words and who it is.
    told = {word.name: word.value for word in found.words if word.value}
    assert told.pop("event_id", ID) == event.id
    assert told.pop("timestamp", event.received_at) == event.timestamp
    assert event.context is not None
    assert found.client is not None
    assert (told.pop("page", ""), found.client.kept) == (event.context.page, event.context.ip)
    assert told == {name: getattr(event, name) for name in client_words.WORDS if name not in ("event_id", "timestamp", "page") and getattr(event, name)}


PROPERTY = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large])


@given(cases)
@PROPERTY
def test_explanation_and_event_agree(case: tuple[Settings, list[Hit]]) -> None:
    """Random tables, nasty hits: fields, reason, flags, words, properties, reply and collectors, each as stored and sent."""
    agree(*case)


# --- the property is not blind -----------------------------------------------------------------------------------


def reversed_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last source present wins."""
    real = fields.sources_of
    monkeypatch.setattr(fields, "sources_of", lambda written: tuple(reversed(real(written))))


def forgotten_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """`default` is read without its type."""
    monkeypatch.setattr(fields, "fixed", lambda _field, text, _limit, _converts: text)


def flags_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources behind the winner set their flags, too."""
    real = fields._field

    def twisted(compiled: Any, parts: Any) -> Any:
        found = real(compiled, parts)
        found.flags = tuple({flag for source in found.sources for flag in source.flags})
        return found

    monkeypatch.setattr(fields, "_field", twisted)


def body_before_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """The body's word goes before the query's."""
    real = explainer.words


    def twisted(query: Any, body: Any, *more: Any, **others: Any) -> Any:
        return real({name: value for name, value in query.items() if name not in body}, body, *more, **others)

    monkeypatch.setattr(explainer, "words", twisted)


def silent_robots(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag has no cause."""
    monkeypatch.setattr(causes, "is_robot", lambda _agent: False)


def generous_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPM is taken for the price of one."""
    real = explainer.cost

    def twisted(seen: Any, found: Any) -> Any:
        told = real(seen, found)
        if told is not None:
            told.nanos *= 1000
        return told

    monkeypatch.setattr(explainer, "cost", twisted)


TWISTS = [reversed_sources, forgotten_default, flags_of_all, body_before_query, silent_robots, generous_cost]


@pytest.mark.parametrize("twist", TWISTS, ids=lambda twist: twist.__name__)
def test_a_wrong_explanation_is_caught(twist: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same search finds each of these mistakes, made on purpose."""
    twist(monkeypatch)
    search = settings(PROPERTY, phases=[Phase.generate], max_examples=3000, derandomize=True)(given(cases)(lambda case: agree(*case)))
    with pytest.raises(AssertionError):
        search()
