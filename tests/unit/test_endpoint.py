"""The endpoint on the default routes and on some of its own: events, replies, lanes, flags, limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tracker import reasons
from tracker.capture import routing
from tracker.capture.endpoint import Answer, Endpoint
from tracker.capture.hit import Hit
from tracker.capture.reply import GIF
from tracker.event import Event, encode_line
from tracker.settings.model import Limits, Routes, Settings, Tracker

DEFAULTS = (Path(__file__).parents[2] / "config" / "routes.yaml").read_text("utf-8")
NOW = 1_763_675_618_123
UA = "Mozilla/5.0 (X11; Linux x86_64)"
FORM = "application/x-www-form-urlencoded"

Send = Callable[..., Answer]


def endpoint(routes: str = DEFAULTS, **limits: int) -> Endpoint:
    tracker = Tracker(limits=Limits(**limits))
    table = msgspec.convert(yaml.safe_load(routes), Routes)
    assert list(routing.check(tracker, table)) == []
    ids = iter(range(10**9))
    return Endpoint(Settings(tracker=tracker, routes=table, version="0" * 12), lambda ms: f"id-{next(ids)}")


def hit(target: str, method: str = "GET", body: bytes = b"", address: str = "203.0.113.77", ms: int = NOW, **headers: str) -> Hit:
    path, _, query = target.partition("?")
    return Hit(method, path, query, {name.replace("_", "-"): value for name, value in headers.items()}, body, address, ms)


def answer(target: str, routes: str = DEFAULTS, **options: Any) -> Answer:
    return endpoint(routes).answer(hit(target, **options))


def event_of(found: Answer) -> Event:
    (event,) = found.events
    return event


def headers_of(found: Answer) -> dict[str, str]:
    return dict([*found.reply.fixed.headers, *found.reply.extra])


def test_an_impression_becomes_an_event_and_a_pixel() -> None:
    """Everything about the plain case: the whole event, the whole reply."""
    found = answer(
        "/imp/c1/cr1.gif?price=2.50", user_agent=UA, referer="https://News.example/story?x=1", accept_language="de-CH;q=0.9, en"
    )
    event = event_of(found)
    assert json.loads(encode_line(event)) == {
        "id": "id-0", "event": "impression", "timestamp": "2025-11-20T21:53:38.123Z", "received_at": "2025-11-20T21:53:38.123Z",
        "environment": "production", "source": "impression",
        "dimensions": {"campaign": "c1", "creative": "cr1", "site": "news.example", "currency": "USD"},
        "metrics": {"price_micros": 2_500_000, "cost_nanos": 2_500_000},
        "context": {"ip": "203.0.113.0", "user_agent": UA, "referer": "https://News.example/story?x=1", "locale": "de-CH"},
    }  # fmt: skip
    assert (found.reply.fixed.status, found.reply.fixed.body) == (200, GIF)
    assert (found.ack, found.route, found.reason) == ("process", "impression", "")
    assert headers_of(found) == {
        "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "cross-origin", "Content-Type": "image/gif", "Content-Length": "43",
        "X-Event-Id": "id-0", "X-Tracker-Ack": "process",
    }  # fmt: skip


def test_a_click_goes_where_the_route_allows_with_its_id() -> None:
    """302, not cached, and the advertiser does not learn where the person came from."""
    found = answer("/click/c1/cr1?url=https%3A%2F%2Fa.shop.example%2Fx%3Fy%3D1%23z")
    headers = headers_of(found)
    assert found.reply.fixed.status == 302
    assert headers["Location"] == "https://a.shop.example/x?y=1&click_id=id-0#z"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Length"] == "0"
    assert "Access-Control-Allow-Origin" not in headers
    assert event_of(found).event == "click"
    assert event_of(found).lane == "good"


@pytest.mark.parametrize("target", ["", "url=", "url=//evil.example", "url=https://evil.example/", "url=https://example.com/&url=https://example.com/", "url=%ff", "url=${CLICK_URL}"])
def test_a_bad_destination_sends_the_person_to_otherwise(target: str) -> None:
    """The event is kept apart, with the parameter's name."""
    found = answer(f"/click/c1/cr1?{target}")
    event = event_of(found)
    assert found.reply.fixed.status == 302
    assert headers_of(found)["Location"] == "https://example.com/"
    assert headers_of(found)["X-Tracker-Reason"] == "bad_destination"
    assert (event.lane, event.reason, event.properties["field"]) == ("bad", "bad_destination", "url")
    assert event.dimensions["campaign"] == "c1"


def test_without_otherwise_a_bad_destination_is_a_400() -> None:
    """With a sentence for the one who wrote the tag."""
    routes = "routes: {c: {path: /c, reply: {redirect: {to: query.u, allow: [example.com]}}}}"
    found = answer("/c?u=//evil.example", routes)
    assert found.reply.fixed.status == 400
    assert json.loads(found.reply.fixed.body) == {
        "error": "bad_destination", "field": "u", "hint": reasons.BY_NAME["bad_destination"].help,
    }  # fmt: skip
    assert "Location" not in headers_of(found)
    assert event_of(found).lane == "bad"


def test_a_stored_destination_needs_nothing_from_the_hit() -> None:
    """And is called by the event's name that the route gives."""
    found = answer("/go/spring?url=https://evil.example/")
    assert headers_of(found)["Location"] == "https://shop.example/spring"
    assert (event_of(found).event, event_of(found).source, event_of(found).dimensions) == ("click", "spring", {"campaign": "spring"})


def test_a_redirect_with_a_bad_field_still_redirects() -> None:
    """The person did nothing wrong."""
    routes = "routes: {c: {path: /c, reply: {redirect: {to: query.u, allow: [example.com]}}, dimensions: {d: {from: query.d, required: true}}}}"
    found = answer("/c?u=https://example.com/x", routes)
    assert headers_of(found)["Location"] == "https://example.com/x"
    assert headers_of(found)["X-Tracker-Reason"] == "missing_field"
    assert (event_of(found).lane, event_of(found).properties) == ("bad", {"field": "d", "fields": {"query.u": "https://example.com/x"}})


@pytest.mark.parametrize("price", ["abc", "-3", "NaN", "1e400", "9223372036854.775808", "2,50"])
def test_a_pixel_with_a_bad_field_is_a_pixel_all_the_same(price: str) -> None:
    """The page is not disturbed; the event is in the bad lane, without a cost, and says which field."""
    found = answer(f"/imp/c1/cr1.gif?price={price}")
    event = event_of(found)
    assert (found.reply.fixed.status, found.reply.fixed.body) == (200, GIF)
    assert headers_of(found)["X-Tracker-Reason"] == "invalid_field"
    assert headers_of(found)["X-Event-Id"] == event.id
    assert (event.lane, event.reason, event.properties["field"], event.metrics) == ("bad", "invalid_field", "price", {})
    assert event.properties["fields"] == {"path.campaign": "c1", "path.creative": "cr1", "query.price": price}
    assert event.dimensions == {"campaign": "c1", "creative": "cr1"}


def test_a_bad_field_never_costs() -> None:
    """Not even if the price itself could be read; what could be read is kept."""
    routes = """
    routes:
      i:
        path: /i
        reply: pixel
        metrics:
          price: {from: query.price, as: money, cost: true}
          n: {from: query.n, as: integer}
    """
    event = event_of(answer("/i?price=1&n=x", routes))
    assert (event.lane, event.metrics) == ("bad", {"price_micros": 1_000_000})
    assert event_of(answer("/i?price=1&n=2", routes)).metrics == {"price_micros": 1_000_000, "cost_nanos": 1_000_000_000, "n": 2}
    event = event_of(answer("/i?price=9999999999", routes))
    assert (event.reason, event.properties["field"], event.metrics) == ("invalid_field", "price", {"price_micros": 9_999_999_999_000_000})


@pytest.mark.parametrize(
    ("method", "headers", "flag"),
    [("HEAD", {}, "head"), ("GET", {"purpose": "prefetch"}, "prefetch"), ("GET", {"sec_purpose": "prefetch;prerender"}, "prefetch"), ("GET", {"x_moz": "Prefetch"}, "prefetch"), ("GET", {"purpose": "preview"}, "prefetch")],
)
def test_looking_without_loading_is_kept_and_never_costs(method: str, headers: dict[str, str], flag: str) -> None:
    """The price stays; the cost goes."""
    found = answer("/imp/c1/cr1.gif?price=2.50", method=method, **headers)
    assert found.reply.fixed.body == GIF
    assert event_of(found).flags == [flag]
    assert event_of(found).metrics == {"price_micros": 2_500_000}
    assert event_of(found).lane == "good"


def test_an_ordinary_purpose_is_no_prefetch() -> None:
    """A header alone says nothing."""
    assert event_of(answer("/imp/c1/cr1.gif", purpose="navigate")).flags == []


def test_who_asks_not_to_be_tracked_is_not() -> None:
    """Sec-GPC: 1 keeps neither address nor ids, and says so; the campaign is still counted."""
    target = "/hit/signup?distinct_id=d&session_id=s&event_id=e1&plan=pro"
    event = event_of(answer(target, method="POST", body=b'{"profile_id":"p","anonymous_id":"a","device_id":"v","n":1}', sec_gpc="1", content_type="text/plain"))
    assert event.flags == ["unauthenticated", "gpc"]
    assert event.context is not None
    assert event.context.ip == ""
    assert (event.distinct_id, event.anonymous_id, event.device_id, event.session_id, event.profile_id) == ("",) * 5
    assert (event.id, event.properties) == ("e1", {"plan": "pro", "n": 1})
    assert event_of(answer(target, method="POST", sec_gpc="0")).flags == ["unauthenticated"]


def test_a_route_may_ignore_gpc_and_drop_addresses() -> None:
    """Its own policy: ids stay, the flag says what was asked; no address at all."""
    routes = "routes: {i: {path: /i, reply: pixel, privacy: {gpc: ignore, ip: drop}}}"
    event = event_of(answer("/i?distinct_id=d", routes, sec_gpc="1"))
    assert (event.flags, event.distinct_id) == (["gpc"], "d")
    assert event.context is not None
    assert event.context.ip == ""


ADDRESSES = ["203.0.113.77", "::ffff:203.0.113.77", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", "fe80::aaaa:bbbb:cccc%eth0", "203.0.113.77, 10.0.0.1", "garbage-203.0.113.77"]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("target", ["/imp/c/x.gif?price=1", "/imp/c/x.gif?price=x", "/click/c/x?url=//evil", "/hit/e", "/hit/a b", "/conv/c.gif"])
def test_a_full_address_is_nowhere_in_an_event(address: str, target: str) -> None:
    """Swept through every default route and lane, also where a proxy names the address in headers that no field may read."""
    proxied = dict.fromkeys(("x_forwarded_for", "x_real_ip", "forwarded", "true_client_ip", "x_device_ip", "cf_connecting_ip"), address)
    method = "POST" if target.startswith("/hit") else "GET"
    line = encode_line(event_of(answer(target, method=method, address=address, **proxied)))
    for part in ("203.0.113.77", "cccc", "eeee", "eth0", "10.0.0.1", "garbage"):
        assert part not in line.decode()


@pytest.mark.parametrize(("target", "status", "reason"), [
    ("/", 404, "no_route"), ("/imp/c1/cr1.gif/", 404, "no_route"), ("/imp//cr1.gif", 404, "no_route"), ("//imp/c1/cr1.gif", 404, "no_route"),
    ("/-/healthz", 404, "no_route"), ("", 404, "no_route"), ("/hit/x", 405, "method_not_allowed"), ("/" + "x" * 2048, 414, "path_too_long"),
    ("/imp/c1/cr1.gif?" + "q" * 8193, 414, "query_too_long"), ("/imp/c1/cr1.gif?" + "&" * 128, 400, "too_many_parameters"),
])  # fmt: skip
def test_a_refusal_is_small_json_with_a_hint_and_no_event(target: str, status: int, reason: str) -> None:
    """404, 405, 414, 400: counted by its reason, nothing kept, nothing cached."""
    found = answer(target)
    assert (found.reply.fixed.status, found.reason, found.events, found.ack) == (status, reason, (), "none")
    assert json.loads(found.reply.fixed.body) == {"error": reason, "hint": reasons.BY_NAME[reason].help}
    headers = headers_of(found)
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Length"] == str(len(found.reply.fixed.body))
    assert (headers["X-Tracker-Ack"], headers["X-Tracker-Reason"], headers["Cache-Control"]) == ("none", reason, "no-store")
    assert "X-Event-Id" not in headers


@pytest.mark.parametrize(("method", "target", "allow"), [("POST", "/imp/c/x.gif", "GET, HEAD"), ("GET", "/hit/x", "POST"), ("OPTIONS", "/hit/x", "POST"), ("PUT", "/conv/c.gif", "GET, POST"), ("get", "/imp/c/x.gif", "GET, HEAD"), ("HEAD", "/conv/c.gif", "GET, POST")])
def test_a_method_that_the_route_does_not_take_is_told_which_ones_it_does(method: str, target: str, allow: str) -> None:
    """405 with Allow (RFC 9110, 15.5.6)."""
    found = answer(target, method=method)
    assert (found.reply.fixed.status, headers_of(found)["Allow"]) == (405, allow)
    assert (found.reason, found.events) == ("method_not_allowed", ())


def test_a_body_beyond_the_limit_is_a_413_before_anything_is_read() -> None:
    """From the endpoint, and from a door that did not read it."""
    small = endpoint(max_body_bytes=10)
    found = small.answer(hit("/hit/x", method="POST", body=b"x" * 11))
    assert (found.reply.fixed.status, found.reason, found.events) == (413, "body_too_large", ())
    for reason, status in (("body_too_large", 413), ("body_timeout", 408), ("invalid_body", 400)):
        found = small.refuse_body(hit("/hit/x", method="POST"), reason)
        assert (found.reply.fixed.status, found.reason, found.route, found.events) == (status, reason, "hit", ())
    assert small.refuse_body(hit("/nowhere", method="POST"), "body_timeout").route == ""


def test_a_posted_event_is_answered_with_204_and_all_its_properties() -> None:
    """The route's name is the source, the path's the event; what is a field of its own is no property."""
    body = b'{"plan":"pro","n":{"a":[1,2.5,null]},"event_id":"e1","timestamp":1763675618,"distinct_id":"d","page":"https://a.example/"}'
    found = answer("/hit/sign_up?ref=x&plan=free", method="POST", body=body, content_type="application/json")
    event = event_of(found)
    assert (found.reply.fixed.status, found.reply.fixed.body) == (204, b"")
    assert "Content-Length" not in headers_of(found)
    assert (event.event, event.source, event.id, event.distinct_id) == ("sign_up", "hit", "e1", "d")
    assert (event.timestamp, event.received_at) == ("2025-11-20T21:53:38.000Z", "2025-11-20T21:53:38.123Z")
    assert event.properties == {"ref": "x", "plan": "pro", "n": {"a": [1, 2.5, None]}}
    assert event.context is not None
    assert event.context.page == "https://a.example/"
    assert headers_of(found)["X-Event-Id"] == "e1"


@pytest.mark.parametrize(
    ("target", "body", "reason", "field"),
    [("/hit/a b", b"", "invalid_event_name", "event"), ("/hit/" + "x" * 129, b"", "invalid_event_name", "event"), ("/hit/caf\u00e9", b"", "invalid_event_name", "event"),
     ("/hit/x", b"[]", "invalid_body", "body"), ("/hit/x", b'{"a":1e999}', "body_too_complex", "body"), ("/hit/x", b"{" * 9, "invalid_body", "body")],
)  # fmt: skip
def test_what_only_machines_read_says_400_and_is_kept_apart(target: str, body: bytes, reason: str, field: str) -> None:
    """JSON with the reason; the bad event bears the route's name if its own is no name."""
    found = answer(target, method="POST", body=body, content_type="application/json")
    event = event_of(found)
    assert found.reply.fixed.status == 400
    assert json.loads(found.reply.fixed.body) == {"error": reason, "field": field, "hint": reasons.BY_NAME[reason].help}
    assert (event.lane, event.reason, event.properties) == ("bad", reason, {"field": field, "fields": {}})
    assert event.event == ("hit" if field == "event" else "x")
    assert headers_of(found)["X-Event-Id"] == event.id


def test_a_pixel_with_a_bad_body_is_a_pixel() -> None:
    """A conversion's beacon; what the URL says is still read."""
    found = answer("/conv/c1.gif?value=5&order=o1", method="POST", body=b"\xff", content_type="application/json")
    assert (found.reply.fixed.status, headers_of(found)["X-Tracker-Reason"], found.ack) == (200, "invalid_body", "power")
    assert event_of(found).dimensions == {"campaign": "c1", "order": "o1", "currency": "USD"}
    assert event_of(found).metrics == {"value_micros": 5_000_000}


def test_a_form_with_too_many_fields_is_refused() -> None:
    """Like a query string with too many."""
    found = answer("/hit/x", method="POST", body=b"&" * 128, content_type=FORM)
    assert (found.reply.fixed.status, found.reason, found.events) == (400, "too_many_parameters", ())


def test_the_body_of_a_get_is_nobodys_business() -> None:
    """It is neither read nor complained about."""
    event = event_of(answer("/conv/c1.gif?value=5", body=b"junk"))
    assert (event.lane, event.metrics) == ("good", {"value_micros": 5_000_000})


def test_video_events_have_vasts_spelling() -> None:
    """And what VAST does not name is a bad field."""
    assert event_of(answer("/video/c/x/midPoint.gif?watch_ms=15000")).dimensions["action"] == "midpoint"
    assert event_of(answer("/video/c/x/midPoint.gif?watch_ms=15000")).metrics == {"watch_ms": 15_000}
    assert event_of(answer("/video/c/x/halfway.gif")).reason == "invalid_field"


def test_an_unreplaced_price_is_absent_and_flagged() -> None:
    """No cost, no error: nobody knows the price."""
    event = event_of(answer("/imp/c1/cr1.gif?price=%24%7BAUCTION_PRICE%7D"))
    assert (event.lane, event.flags, event.metrics) == ("good", ["macro_unreplaced"], {})
    assert "currency" not in event.dimensions


def test_flags_tell_what_was_done_to_a_hit() -> None:
    """Cleaned in the path, cut in a header, repeated in the query: each once."""
    event = event_of(answer("/imp/a\x00b/cr1.gif?price=1&price=2&site=%00", user_agent="x" * 2000, referer="\x1b"))
    assert sorted(event.flags) == ["cleaned", "cut", "repeated_parameter"]
    assert event.dimensions["campaign"] == "a\ufffdb"
    assert event.metrics["price_micros"] == 1_000_000


def test_a_path_seen_before_gives_the_same_event_and_shares_nothing() -> None:
    """The memo's place is copied: what one hit adds, the next does not see."""
    door = endpoint()
    first = event_of(door.answer(hit("/imp/a\x1bb/cr1.gif?price=1&site=a.example", method="HEAD")))
    second = event_of(door.answer(hit("/imp/a\x1bb/cr1.gif")))
    assert second.dimensions == {"campaign": "a\ufffdb", "creative": "cr1"}
    assert second.flags == ["cleaned"]
    assert first.flags == ["cleaned", "head"]
    assert first.dimensions["site"] == "a.example"


def test_beyond_its_rate_a_bad_hit_is_answered_and_not_kept() -> None:
    """Pixel, redirect and JSON as before, with no promise; good hits are not concerned."""
    door = endpoint(max_bad_events_per_second=1)
    assert door.answer(hit("/imp/c/x.gif?price=x")).events
    for target, method, status in (("/imp/c/x.gif?price=x", "GET", 200), ("/click/c/x?url=//evil", "GET", 302), ("/hit/a b", "POST", 400)):
        found = door.answer(hit(target, method=method))
        headers = headers_of(found)
        assert (found.reply.fixed.status, found.events, found.reason, found.ack) == (status, (), "bad_lane_limit", "none")
        assert (headers["X-Tracker-Ack"], "X-Event-Id" in headers) == ("none", False)
        assert headers["X-Tracker-Reason"] in ("invalid_field", "bad_destination", "invalid_event_name")
        assert ("Location" in headers) == (status == 302)
    assert door.answer(hit("/imp/c/x.gif?price=1")).events
    assert door.answer(hit("/imp/c/x.gif?price=x", ms=NOW + 1000)).events


@pytest.mark.parametrize(("reason", "status"), [("ring_full", 503), ("journal_unwritable", 503), ("no_slot", 503), ("event_too_large", 413)])
def test_an_event_that_the_ring_did_not_take_is_no_yes(reason: str, status: int) -> None:
    """Pixel and JSON alike; Retry-After is between 1 and 5 seconds and not always the same."""
    door = endpoint()
    for target, method in (("/imp/c/x.gif", "GET"), ("/hit/x", "POST")):
        replies = [door.refuse(door.answer(hit(target, method=method)), reason) for _ in range(40)]
        assert {reply.fixed.status for reply in replies} == {status}
        assert json.loads(replies[0].fixed.body)["error"] == reason
        assert all(("X-Tracker-Ack", "none") in reply.extra for reply in replies)
        assert not any(name == "X-Event-Id" for reply in replies for name, _ in reply.extra)
        delays = {value for reply in replies for name, value in reply.extra if name == "Retry-After"}
        assert (delays <= {"1", "2", "3", "4", "5"}) and (len(delays) > 1) == (status == 503)


def test_a_person_is_sent_on_even_if_the_ring_did_not_take_the_click() -> None:
    """Without a promise and without an event's id."""
    door = endpoint()
    reply = door.refuse(door.answer(hit("/click/c/x?url=https://example.com/x")), "ring_full")
    assert reply.fixed.status == 302
    assert dict(reply.extra) == {"X-Tracker-Ack": "none", "X-Tracker-Reason": "ring_full", "Location": "https://example.com/x?click_id=id-0"}


def test_a_query_of_raw_utf_8_is_read_as_such() -> None:
    """Bytes that nobody percent-encoded, as WSGI shows them."""
    raw = "plan=" + "été".encode().decode("latin-1")
    assert event_of(answer(f"/hit/x?{raw}", method="POST")).properties == {"plan": "été"}
    event = event_of(answer("/hit/x?plan=\xff", method="POST"))
    assert (event.properties, event.flags) == ({"plan": "\ufffd"}, ["unauthenticated", "cleaned"])


def test_an_event_of_a_gif_whose_value_costs_each() -> None:
    """``unit: each``: one micro is a thousand nanos."""
    routes = "routes: {i: {path: /i, reply: pixel, metrics: {fee: {from: query.fee, as: money, currency: EUR, cost: true}}}}"
    event = event_of(answer("/i?fee=0.001", routes))
    assert (event.metrics, event.dimensions) == ({"fee_micros": 1000, "cost_nanos": 1_000_000}, {"currency": "EUR"})
