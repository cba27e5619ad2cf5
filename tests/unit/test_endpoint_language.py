"""The endpoint on what a routing table can say: replies, flags, cookies, transforms, priorities, and the bad lane's memory."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import yaml

from tracker import reasons
from tracker.capture import preprocess, routing
from tracker.capture.answer import Answer
from tracker.capture.endpoint import Endpoint
from tracker.capture.hit import Hit
from tracker.capture.privacy import mask
from tracker.event import Event
from tracker.settings.model import Clients, Limits, Routes, Settings, Tracker

NOW = 1_763_675_618_123
SECRET = "a secret of more than sixteen characters"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


def endpoint(route: str, *, clients: Clients | None = None, **limits: int) -> Endpoint:
    """One route, named r, at /r/{x}."""
    tracker = Tracker(limits=Limits(**limits), clients=clients or Clients(), signing_keys={"k": {"a": SECRET}})
    table = msgspec.convert(yaml.safe_load(f"routes: {{r: {{path: '/r/{{x}}', {route}}}}}"), Routes)
    assert list(routing.check(tracker, table)) == []
    ids = iter(range(10**9))
    return Endpoint(Settings(tracker=tracker, routes=table, version="0" * 12), lambda ms: f"id-{next(ids)}")


def hit(target: str = "/r/1", method: str = "GET", body: bytes = b"", address: str = "203.0.113.77", ms: int = NOW, **headers: str) -> Hit:
    path, _, query = target.partition("?")
    return Hit(method, path, query, {name.replace("_", "-"): value for name, value in headers.items()}, body, address, ms)


def event_of(found: Answer) -> Event:
    (event,) = found.events
    return event


def headers_of(found: Answer) -> dict[str, str]:
    pairs = [*found.reply.fixed.headers, *found.reply.extra]
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_a_json_reply_is_a_verdict_about_the_event() -> None:
    """200 and ok with the id; or 400 with the field, the reason and what to do; the length is that of this one body."""
    door = endpoint("reply: json, methods: [POST], metrics: {n: {from: body.n, as: integer, required: true}}")
    good = door.answer(hit(method="POST", body=b'{"n": 5, "event_id": "mine"}'))
    assert (good.reply.fixed.status, json.loads(good.reply.body)) == (200, {"events": [{"id": "mine", "status": "ok"}]})
    assert headers_of(good)["Content-Length"] == str(len(good.reply.body))
    assert headers_of(good)["Content-Type"] == "application/json"
    bad = door.answer(hit(method="POST", body=b'{"n": "five"}'))
    error = {"path": "n", "reason": "invalid_field", "hint": reasons.BY_NAME["invalid_field"].help}
    assert bad.reply.fixed.status == 400
    assert json.loads(bad.reply.body) == {"events": [{"id": "id-1", "status": "invalid", "errors": [error]}]}
    assert (headers_of(bad)["Content-Length"], headers_of(bad)["X-Tracker-Reason"]) == (str(len(bad.reply.body)), "invalid_field")
    assert event_of(bad).lane == "bad"


def test_a_fixed_reply_is_sent_whatever_the_hit_holds() -> None:
    """Status, type, headers and body of the table's own; also to a hit of the bad lane."""
    reply = "{fixed: {status: 202, content_type: text/html, body: '<b>é</b>', headers: {X-Own: a b}}}"
    door = endpoint(f"reply: {reply}, dimensions: {{d: {{from: query.d, required: true}}}}")
    for target, lane in (("/r/1?d=x", "good"), ("/r/1", "bad")):
        found = door.answer(hit(target))
        assert (found.reply.fixed.status, found.reply.fixed.reason, found.reply.body) == (202, "Accepted", "<b>é</b>".encode())
        assert headers_of(found)["Content-Type"] == "text/html"
        assert (headers_of(found)["X-Own"], headers_of(found)["Content-Length"]) == ("a b", "9")
        assert event_of(found).lane == lane
    assert dict(endpoint("reply: {fixed: {status: 204}}").answer(hit()).reply.fixed.headers).keys() == {"Cache-Control", "Cross-Origin-Resource-Policy"}


@pytest.mark.parametrize(
    ("route", "target", "headers", "flag"),
    [
        ("", "/r/1?p=5", {"user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}, "bot"),
        ("", "/r/1?p=AUDIT", {}, "audit"),
        (", flags: [test]", "/r/1?p=5", {}, "test"),
        ("", "/r/1?p=5", {"sec_purpose": "prefetch;prerender"}, "prefetch"),
        (", flags: [prefetch]", "/r/1?p=5", {"purpose": "prefetch"}, "prefetch"),
    ],
)
def test_what_nobody_saw_is_never_billed(route: str, target: str, headers: dict[str, str], flag: str) -> None:
    """Kept in the good lane, flagged once, without a cost; the same hit of a person costs."""
    price = "reply: pixel, metrics: {price: {from: query.p, as: money, unit: cpm, cost: true}}"
    event = event_of(endpoint(price + route).answer(hit(target, **headers)))
    assert (event.lane, event.flags) == ("good", [flag])
    assert "cost_nanos" not in event.metrics
    person = event_of(endpoint(price).answer(hit("/r/1?p=5", user_agent=BROWSER)))
    assert (person.flags, person.metrics) == ([], {"price_micros": 5_000_000, "cost_nanos": 5_000_000})


def test_an_audit_price_that_is_required_is_not_missing() -> None:
    """A test render is a good event without a price, whatever the route demands; an exchange's test gets its yes."""
    door = endpoint("reply: no_content, access: open, metrics: {price: {from: query.p, as: money, required: true, cost: true}}")
    found = door.answer(hit("/r/1?p=audit"))
    assert (found.reply.fixed.status, event_of(found).lane, event_of(found).flags, event_of(found).metrics) == (204, "good", ["audit"], {})
    assert event_of(door.answer(hit("/r/1"))).reason == "missing_field"


def test_a_route_that_wants_a_key_says_that_nobody_proved_anything() -> None:
    """Until there are keys: JSON and 204 by default, the rest by choice; ``access: open`` ends it."""
    assert event_of(endpoint("reply: no_content").answer(hit())).flags == ["unauthenticated"]
    assert event_of(endpoint("reply: json").answer(hit())).flags == ["unauthenticated"]
    assert event_of(endpoint("reply: pixel").answer(hit())).flags == []
    assert event_of(endpoint("reply: pixel, access: key").answer(hit())).flags == ["unauthenticated"]
    assert event_of(endpoint("reply: no_content, access: open").answer(hit())).flags == []


@pytest.mark.parametrize(("header", "flag"), [("sec_gpc", "gpc"), ("dnt", "dnt")])
def test_a_person_who_opts_out_leaves_no_address_no_id_and_no_cookie(header: str, flag: str) -> None:
    """By either header; the policy ``ignore`` keeps address and ids, but never sets or reads a cookie."""
    send: dict[str, str] = {header: "1"}
    target = "/r/1?distinct_id=d"
    seen = endpoint("reply: pixel, cookie: {}").answer(hit(target, **send))
    event = event_of(seen)
    assert event.context is not None
    assert (event.flags, event.context.ip, event.distinct_id, event.anonymous_id) == ([flag], "", "", "")
    assert "Set-Cookie" not in headers_of(seen)
    seen = endpoint(f"reply: pixel, cookie: {{}}, privacy: {{{flag}: ignore}}").answer(hit(target, **send))
    event = event_of(seen)
    assert event.context is not None
    assert (event.flags, event.context.ip, event.distinct_id, event.anonymous_id) == ([flag], "203.0.113.0", "d", "")
    assert "Set-Cookie" not in headers_of(seen)
    assert "Set-Cookie" in headers_of(endpoint("reply: pixel, cookie: {}").answer(hit(target, **{header: "0"})))


def test_an_id_cookie_comes_back_as_the_events_id() -> None:
    """Set once, read from then on; the client's own id goes before it."""
    door = endpoint("reply: pixel, cookie: {into: device_id}")
    ids = iter(f"0198f3c2-9b1e-7000-8000-{n:012x}" for n in range(1000))
    door._fresh_id = lambda _: next(ids)  # of the real form, as cookies have them
    first = door.answer(hit())
    match = re.match(r"__Host-tid=([^;]+); ", headers_of(first)["Set-Cookie"])
    assert match
    assert event_of(first).device_id == match[1] != event_of(first).id
    again = door.answer(hit(cookie=f"a=b; __Host-tid={match[1]}"))
    assert event_of(again).device_id == match[1]
    assert "Set-Cookie" not in headers_of(again)
    own = door.answer(hit("/r/1?device_id=mine", cookie=f"__Host-tid={match[1]}"))
    assert event_of(own).device_id == "mine"
    planted = door.answer(hit(cookie="__Host-tid=ann@example.com"))
    assert event_of(planted).device_id not in ("", "ann@example.com")
    assert "Set-Cookie" in headers_of(planted)


def test_a_listed_server_speaks_for_the_device() -> None:
    """Address, user agent, referer and language are the device's; from anybody else nothing changes."""
    device = {
        "x_device_ip": "198.51.100.9", "x_device_user_agent": BROWSER, "x_device_referer": "https://tv.example/", "x_device_accept_language": "de",
        "user_agent": "ssai/1", "referer": "https://ssai.example/",
    }  # fmt: skip
    door = endpoint("reply: pixel", clients=Clients(ssai_networks=("203.0.113.0/24",)))
    event = event_of(door.answer(hit(**device)))
    assert event.context is not None
    assert event.flags == ["server_side"]
    assert (event.context.ip, event.context.user_agent, event.context.referer, event.context.locale) == ("198.51.100.0", BROWSER, "https://tv.example/", "de")
    other = event_of(door.answer(hit(address="192.0.2.1", **device)))
    assert other.context is not None
    assert (other.flags, other.context.ip, other.context.user_agent) == ([], "192.0.2.0", "ssai/1")


def test_transforms_run_before_any_field_is_read() -> None:
    """In their order; what the query and body became is what fields and properties see."""
    table = "reply: no_content, access: open, methods: [POST], preprocess: [lower_names, trim, base64_json], properties: all, dimensions: {a: query.a, b: body.b}"
    door = endpoint(table)
    data = base64.b64encode(b'{"b": "bee", "extra": [1]}').decode()
    event = event_of(door.answer(hit(f"/r/1?A=%20x%20&data={data}", method="POST", body=b'{"B": "own"}')))
    assert (event.dimensions, event.properties) == ({"a": "x", "b": "own"}, {"extra": [1]})
    event = event_of(door.answer(hit("/r/1?data=no-json", method="POST")))
    assert (event.lane, event.properties) == ("good", {"data": "no-json"})


def _broken(_: preprocess.Incoming) -> None:
    raise LookupError("transform")


def _dirty(incoming: preprocess.Incoming) -> None:
    incoming.body = {"a": "\x1b[31m", "big": 2**70} if incoming.query.get("big") else {"a": "\x1b[31m"}
    incoming.query["object"] = object()


@pytest.mark.parametrize(
    ("transform", "target", "lane", "reason", "said"),
    [
        (_broken, "/r/1", "bad", "preprocess_failed", 1), (_dirty, "/r/1", "good", "", 0), (_dirty, "/r/1?big=1", "bad", "body_too_complex", 0),
        (lambda incoming: setattr(incoming, "body", None), "/r/1", "bad", "invalid_body", 0), (lambda incoming: setattr(incoming, "body", {"a": {1: object()}}), "/r/1", "bad", "invalid_body", 0),
        (lambda incoming: setattr(incoming, "body", {"a": float("nan")}), "/r/1", "bad", "invalid_body", 0), (lambda incoming: incoming.query.clear(), "/r/1?x=1", "good", "", 0),
    ],
)  # fmt: skip
def test_a_strangers_transform_costs_only_its_own_hit(
    transform: Callable[[preprocess.Incoming], None], target: str, lane: str, reason: str, said: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It raises, leaves dirt, or things that no JSON holds: the bad lane, a clean event, and one line in the log."""
    monkeypatch.setattr(preprocess, "find", lambda _: transform)
    door = endpoint("reply: pixel, methods: [GET, POST], preprocess: [x], properties: all")
    with caplog.at_level(logging.ERROR, "tracker.capture"):
        for _ in range(3):
            event = event_of(door.answer(hit(target)))
            assert (event.lane, event.reason) == (lane, reason)
            assert lane == "bad" or event.properties.get("a", "\ufffd[31m") == "\ufffd[31m"
    assert len(caplog.records) == said


@pytest.mark.parametrize(("priority", "reserve"), [("low", 1 / 4), ("normal", 1 / 8), ("high", 0.0)])
def test_a_priority_is_room_left_for_others(priority: str, reserve: float) -> None:
    """The answer carries it to the writer; the bad lane's events too."""
    door = endpoint(f"reply: pixel, priority: {priority}, metrics: {{n: {{from: query.n, as: integer}}}}")
    assert [door.answer(hit(target)).reserve for target in ("/r/1", "/r/1?n=x")] == [reserve, reserve]


@pytest.mark.parametrize(
    ("target", "method", "body", "reason"),
    [("/r/1?" + "a" * 9000, "GET", b"", "query_too_long"), ("/r/1?" + "&" * 500, "GET", b"", "too_many_parameters"), ("/r/1", "POST", b"a=1" * 500_000, "body_too_large"),
     ("/r/1", "POST", b"&" * 500, "too_many_parameters")],
)  # fmt: skip
def test_a_person_whose_link_is_refused_whole_still_lands_somewhere(target: str, method: str, body: bytes, reason: str) -> None:
    """At ``otherwise``, with the reason and without a receipt; without ``otherwise`` the refusal stands."""
    link = "reply: {redirect: {to: query.u, allow: [a.example]%s}}, methods: [GET, POST]"
    found = endpoint(link % ", otherwise: 'https://a.example/sorry'").answer(hit(target, method, body))
    assert (found.reply.fixed.status, found.events, found.reason) == (302, (), reason)
    assert headers_of(found).items() >= {"Location": "https://a.example/sorry", "X-Tracker-Reason": reason, "X-Tracker-Ack": "none"}.items()
    refused = endpoint(link % "").answer(hit(target, method, body))
    assert (refused.reply.fixed.status // 100, refused.reason) == (4, reason)


def test_a_bad_event_shows_what_came_but_nobodys_address() -> None:
    """Every source that the route reads, short, without e-mail addresses, full IPs and a page's own parameters."""
    door = endpoint(
        "reply: pixel, dimensions: {a: query.a, b: {from: [query.b, header.referer]}, c: cookie.c, p: path.x}, metrics: {n: {from: query.n, as: integer}}"
    )
    target = "/r/1?n=x%1b&a=ann@example.com&b=" + "b" * 300
    event = event_of(door.answer(hit(target, referer="https://site.example/page?email=ann", cookie="c=10.1.2.3")))
    assert event.properties == {"field": "n", "fields": {
        "query.a": "***@example.com", "query.b": "b" * 200, "header.referer": "https://site.example/page", "cookie.c": "10.1.2.0", "path.x": "1", "query.n": "x\ufffd",
    }}  # fmt: skip
    assert event_of(door.answer(hit(target, sec_gpc="1"))).properties == {"field": "n"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"), ("ann@example.com", "***@example.com"), ("x=ann@a.example,bob@b.example", "***@b.example"), ("10.20.30.40", "10.20.30.0"), ("at 10.20.30.40:80!", "at 10.20.30.0:80!"),
        ("1.2.3", "1.2.3"), ("1.2.3.4.5", "1.2.3.4.5"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"), ("[2001:db8::1]", "[2001:db8::]"), ("12:30:59", "12:30:59"), ("::ffff:10.20.30.40", "10.20.30.0"),
        ("a::b::c", "a::b::c"), ("", ""),
    ],
)  # fmt: skip
def test_addresses_are_taken_out_of_a_text(text: str, shown: str) -> None:
    """E-mail addresses lose the person, IP addresses the host; times and versions are neither."""
    assert mask(text) == shown


def test_the_bad_lane_is_capped_in_bytes_as_well() -> None:
    """Beyond the cap the hit is answered, counted, and gets no receipt."""
    door = endpoint("reply: pixel, metrics: {n: {from: query.n, as: integer}}", max_bad_bytes_per_second=1000)
    kept = [bool(door.answer(hit("/r/1?n=x")).events) for _ in range(20)]
    assert 1 <= sum(kept) <= 4
    assert kept == sorted(kept, reverse=True)
    found = door.answer(hit("/r/1?n=x"))
    assert (found.reason, found.ack, headers_of(found)["X-Tracker-Ack"], "X-Event-Id" in headers_of(found)) == ("bad_lane_limit", "none", "none", False)


def test_every_setting_of_a_field_reaches_the_event() -> None:
    """One of each ``as``, from one hit."""
    route = """reply: pixel, methods: [GET, POST], dimensions: {
        text: {from: query.text, lower: true, pattern: "[a-z ]+", max_length: 4}, macro: {from: query.macro, as: macro}, agreed: {from: query.yes, as: boolean},
        at: {from: query.at, as: time}, host: {from: header.referer, as: host}, url: {from: query.url, as: url}, tongue: {from: header.accept-language, as: language},
        video: {from: query.video, as: vast_event}, list: {from: query.list, as: list}, deep: body/a/0/b, none: {from: query.none, default: some}, odd: {from: query.odd, unknown: [na]}},
      metrics: {n: {from: query.n, as: integer}, x: {from: query.x, as: number}, ok: {from: query.yes, as: boolean}, when: {from: query.at, as: time}, value: {from: query.value, as: money}}"""
    query = (
        "text=AB%20Cdef&macro=a%252Fb&yes=Yes&at=1763675618123&url=HTTPS%3A%2F%2Fa.example&video=midPoint&list=a,b&list=c&n=7&x=0.5&value=1.25&odd=na"
    )
    event = event_of(endpoint(route).answer(hit(f"/r/1?{query}", method="POST", body=b'{"a":[{"b":"c"}]}', referer="https://n.example/x", accept_language="de-ch,en;q=0.5")))
    assert event.dimensions == {
        "text": "ab c", "macro": "a/b", "agreed": "true", "at": "2025-11-20T21:53:38.123Z", "host": "n.example", "url": "https://a.example/", "tongue": "de-CH",
        "video": "midpoint", "list": "a,b,c", "deep": "c", "none": "some", "currency": "USD",
    }  # fmt: skip
    assert event.metrics == {"n": 7, "x": 0.5, "ok": 1, "when": 1_763_675_618_123, "value_micros": 1_250_000}
    assert sorted(event.flags) == ["cut", "unknown_value"]


def test_a_watch_sees_what_the_endpoint_read() -> None:
    """For `explain`: once for each hit that has a route, with the parts as the fields saw them."""
    door = endpoint("reply: pixel, preprocess: [lower_names]")
    seen: list[Any] = []
    door.watch = lambda place, parts, event: seen.append((place.plan.name, parts[1], event.id))
    door.answer(hit("/r/1?A=b"))
    door.answer(hit("/nowhere"))
    assert seen == [("r", {"a": "b"}, "id-0")]
