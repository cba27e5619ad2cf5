"""The presets: each is a table that the tracker takes as it is, and its hits become what its comments say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec
import pytest

from tracker.capture import routing
from tracker.capture.answer import Answer
from tracker.capture.endpoint import Endpoint
from tracker.capture.hit import Hit
from tracker.capture.reply import GIF
from tracker.capture.signing import sign
from tracker.event import Event, decode_line, encode_line
from tracker.settings.load import load
from tracker.settings.model import Settings

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "config" / "presets").glob("*.yaml"))
NAMES = [path.stem for path in PRESETS]
NOW = 1_763_675_618_123  # 2025-11-20T21:53:38.123Z
KEYS = {"CLICKS_K1": "7c1e0f9a53b84d6e2a90f417c8d35be6"}
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


class Case(NamedTuple):
    """One hit and everything that comes of it. ``flags`` in any order; ``reply`` is the status, or where it leads."""

    target: str
    event: str
    dimensions: dict[str, str]
    metrics: dict[str, int | float] = {}
    flags: tuple[str, ...] = ()
    reason: str = ""
    """Empty: the good lane."""
    reply: int | str = 200
    body: bytes | dict[str, Any] | None = None
    """A form's bytes or a JSON object; with it the hit is a POST."""
    headers: Mapping[str, str] = {}
    ack: str = "process"
    more: dict[str, Any] = {}
    """Other fields of the event."""


AD = {"campaign": "c1", "creative": "cr1"}
USD = {"currency": "USD"}
UNPROVEN = ("unauthenticated",)
MAILGUN = {
    "signature": {"timestamp": "1763675618", "token": "t", "signature": "s"},
    "event-data": {
        "event": "failed", "severity": "permanent", "timestamp": 1763675618.5, "id": "x", "recipient": "ann@example.com",
        "delivery-status": {"code": 550, "message": "5.1.1 no such user"}, "message": {"headers": {"message-id": "m-1@example.com"}},
        "user-variables": {"campaign": "c1", "recipient": "R7"},
    },
}  # fmt: skip
POSTMARK = {
    "RecordType": "Bounce", "ID": 42, "Type": "HardBounce", "TypeCode": 1, "Tag": "c1", "MessageID": "883953f4", "Email": "ann@example.com",
    "BouncedAt": "2025-11-20T17:53:38.2735393-04:00", "Metadata": {"recipient": "R7"},
}  # fmt: skip
ORDER = {"click_id": "c-1", "order": "A-100", "value": 49.9, "event_id": "A-100"}
ORDERED = {"click": "c-1", "order": "A-100", "status": "approved", "quoted_in": "USD"} | USD

CASES: dict[str, list[Case]] = {
    "dsp": [
        Case("/dsp/win/c1/cr1?price=1.25&auction=a-1&bid=b-1&imp=1&seat=s&ad=7&mbr=0.87", "win",
             AD | USD | {"auction": "a-1", "bid": "b-1", "imp": "1", "seat": "s", "ad": "7"}, {"price_micros": 1_250_000, "bid_ratio": 0.87}, reply=204),
        Case("/dsp/bill/c1/cr1?price=1.25&auction=a%252F1&currency=USD&multiplier=7.5", "bill", AD | USD | {"auction": "a/1", "quoted_in": "USD"},
             {"price_micros": 1_250_000, "cost_nanos": 1_250_000, "multiplier": 7.5}, reply=204, ack="power"),
        Case("/dsp/bill/c1/cr1?wp=0.000001", "bill", AD | USD, {"price_micros": 1, "cost_nanos": 1}, reply=204, ack="power"),
        # nobody filled the macros in: as they are written, and percent-encoded (Prebid.js #11387)
        Case("/dsp/bill/c1/cr1?price=${AUCTION_PRICE}&auction=%24%7BAUCTION_ID%7D", "bill", AD, flags=("macro_unreplaced",), reason="missing_field", reply=400, ack="power"),
        Case("/dsp/win/c1/cr1?price=%2524%257BAUCTION_PRICE%257D&auction=%2524%257BAUCTION_ID%257D", "win", AD, flags=("macro_unreplaced",), reply=204),
        Case("/dsp/bill/c1/cr1?price=YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCce_6msaw", "bill", AD, reason="invalid_field", reply=400, ack="power"),  # Google's, encrypted
        Case("/dsp/bill/c1/cr1?price=1.25&currency=EUR", "bill", AD | USD, {"price_micros": 1_250_000}, reason="invalid_field", reply=400, ack="power"),
        # a test render: AUDIT in the place of every value (OpenRTB 2.6, 4.4)
        Case("/dsp/win/c1/cr1?price=AUDIT&auction=AUDIT&mbr=AUDIT&currency=AUDIT", "win", AD | {"auction": "AUDIT"}, flags=("audit", "unknown_value"), reply=204),
        Case("/dsp/loss/c1/cr1?reason=102&price=&mtw=2.00&auction=a-1", "loss", AD | USD | {"auction": "a-1", "loss_reason": "102"},
             {"min_to_win_micros": 2_000_000}, flags=("unknown_value",), reply=204),
        Case("/dsp/imp/c1/cr1.gif?auction=a-1&imp=1", "impression", AD | {"auction": "a-1", "imp": "1", "site": "news.example"}, headers={"referer": "https://news.example/x"}),
        Case("/dsp/imp/c1/cr1.gif?auction=a-1&site=-1", "impression", AD | {"auction": "a-1"}, flags=("unknown_value", "bot"), headers={"user-agent": GOOGLEBOT},
             more={"context": {"user_agent": GOOGLEBOT, "ip": "203.0.113.0"}}),
    ],
    "pixel": [
        Case("/px/ad/c1/cr1.gif?placement=top&size=300X250&cb=71&price=2.50&lang=de_ch&utm_source=News", "impression",
             AD | USD | {"placement": "top", "size": "300x250", "language": "de-CH", "source": "news"}, {"price_micros": 2_500_000, "cost_nanos": 2_500_000}),
        Case("/px/ad/c1/cr1.gif?placement=a%252520b&price=-1&cb=%%CACHEBUSTER%%", "impression", AD | {"placement": "a b", "language": "fr", "site": "news.example"}, flags=("unknown_value",),
             headers={"referer": "https://News.example/", "accept-language": "fr;q=0.9, en"}),
        Case("/px/ad/c1/cr1.gif?placement=%%PATTERN:pos%%&site=%%SITE%%&price=1", "impression", AD | USD, {"price_micros": 1_000_000}, flags=("macro_unreplaced", "bot"), headers={"user-agent": GOOGLEBOT},
             more={"context": {"user_agent": GOOGLEBOT, "ip": "203.0.113.0"}}),
        Case("/px/ad/c1/cr1.gif?price=1,50", "impression", AD, reason="invalid_field"),
        Case("/px/page/shop.gif?page=/shoes&title=Shoes&new=Yes&load_ms=431&ref=about:blank", "page_view", {"section": "shop", "title": "Shoes", "first_visit": "true", "came_from": "about:blank"},
             {"load_ms": 431}, more={"context": {"page": "/shoes", "ip": "203.0.113.0"}}),
        Case("/px/step/signup.gif?plan=pro&plan=basic", "signup", {}, flags=("repeated_parameter",), more={"properties": {"plan": "pro"}}),
        Case("/px/step/sign%20up.gif", "pixel_step", {}, reason="invalid_event_name"),
    ],
    "click": [
        Case("/c/c1/cr1?url=https%3A%2F%2Fwww.shop.example%2Fshoes%3Fcolor%3Dred", "click", AD, reply="https://www.shop.example/shoes?color=red&click_id=id-0"),
        Case("/c/c1/cr1?url=https%253A%252F%252Fexample.com%252F%2523top&placement=top&price=0.30", "click", AD | USD | {"placement": "top"},
             {"price_micros": 300_000, "cost_nanos": 300_000_000}, reply="https://example.com/?click_id=id-0#top"),
        Case("/c/c1/cr1?url=https%3A%2F%2Fevil.example%2F", "click", AD, reason="bad_destination", reply="https://example.com/"),
        Case("/c/c1/cr1?url=${CLICK_URL}", "click", AD, reason="bad_destination", reply="https://example.com/"),
        Case("/c/c1/cr1?url=https://example.com/&price=0.30", "click", AD | USD, {"price_micros": 300_000}, flags=("bot",), reply="https://example.com/?click_id=id-0", headers={"user-agent": GOOGLEBOT},
             more={"context": {"user_agent": GOOGLEBOT, "ip": "203.0.113.0"}}),
        Case("/c/c1/cr1?url=https://example.com/&price=0.30", "click", AD | USD, {"price_micros": 300_000}, flags=("prefetch",), reply="https://example.com/?click_id=id-0", headers={"sec-purpose": "prefetch"}),
    ],
    "email": [
        Case("/e/open/c1/m1.gif?distinct_id=R7", "email_open", {"campaign": "c1", "message": "m1"}, more={"distinct_id": "R7", "context": None}),
        # Gmail asks for the image when the person opens the mail (scientiamobile.com/what-is-google-image-proxy): no robot
        Case("/e/open/c1/m1.gif?distinct_id=R7", "email_open", {"campaign": "c1", "message": "m1"}, headers={"user-agent": GMAIL}, more={"distinct_id": "R7", "context": {"user_agent": GMAIL}}),
        Case("/e/open/c1/m1.gif?distinct_id=R7", "email_open", {"campaign": "c1", "message": "m1"}, flags=("gpc",), headers={"sec-gpc": "1"}, more={"distinct_id": ""}),
        Case("/e/click/c1/m1?distinct_id=R7&link=2&url=https%3A%2F%2Fwww.shop.example%2F", "email_click", {"campaign": "c1", "message": "m1", "link": "2"},
             reply="https://www.shop.example/?click_id=id-0", more={"distinct_id": "R7"}),
        Case("/e/click/c1/m1?url=https%3A%2F%2Fphish.example%2F", "email_click", {"campaign": "c1", "message": "m1"}, reason="bad_destination", reply="https://example.com/"),
        Case("/e/unsubscribe/c1/R7", "email_unsubscribe", {"campaign": "c1", "recipient": "R7", "one_click": "One-Click"}, body=b"List-Unsubscribe=One-Click", ack="power"),
        Case("/e/unsubscribe/c1/R7", "email_unsubscribe", {"campaign": "c1", "recipient": "R7"}, body=b"", ack="power"),
        Case("/e/bounce", "email_bounce", {"kind": "failed", "severity": "permanent", "code": "550", "message": "m-1@example.com", "campaign": "c1", "recipient": "R7", "bounced_at": "2025-11-20T21:53:38.500Z"},
             flags=UNPROVEN, body=MAILGUN, reply=204, ack="power"),
        Case("/e/bounce", "email_bounce", {"kind": "bounce", "severity": "hardbounce", "code": "1", "message": "883953f4", "campaign": "c1", "recipient": "R7", "bounced_at": "2025-11-20T21:53:38.273Z"},
             flags=UNPROVEN, body=POSTMARK, reply=204, ack="power"),
        Case("/e/bounce", "email_bounce", {}, flags=UNPROVEN, body={"hello": 1}, reason="missing_field", reply=400, ack="power"),
    ],
    "qr": [
        Case("/Q/SPRING/BUS-STOP-7", "scan", {"campaign": "spring", "place": "bus-stop-7"}, reply="https://www.shop.example/spring?utm_source=qr&utm_medium=print&utm_content=bus-stop-7&click_id=id-0"),
        Case("/Q/T/12", "scan", {"campaign": "menu", "table": "12"}, reply="https://www.shop.example/menu/12?scan=id-0"),
        Case("/Q/T/12", "scan", {"campaign": "menu", "table": "12"}, flags=("prefetch",), reply="https://www.shop.example/menu/12?scan=id-0", headers={"x-moz": "prefetch"}),
    ],
    "s2s": [
        Case("/s2s/postback?click_id=c-1&order=A-100&value=49.90&currency=USD&event_id=A-100", "conversion", ORDERED, {"value_micros": 49_900_000}, flags=UNPROVEN, ack="power", more={"id": "A-100"}),
        Case("/s2s/postback?clickid=c%252D1&order_id=A-100&value=1e2&status=PENDING&skus=a,b%252Cc&items=2&new_customer=no&ordered_at=1763675618", "conversion",
             ORDERED | {"status": "pending", "skus": "a,b%2Cc", "new_customer": "false"}, {"value_micros": 100_000_000, "items": 2, "ordered_ms": 1_763_675_618_000}, flags=UNPROVEN, ack="power"),
        Case("/s2s/postback", "conversion", ORDERED | {"new_customer": "true"}, {"value_micros": 49_900_000}, flags=UNPROVEN, ack="power", body=b"click_id=c-1&order=A-100&value=49.90&new_customer=1"),
        Case("/s2s/postback?click_id={click_id}&order=A-100&value=49.90", "conversion", USD | {k: ORDERED[k] for k in ("order", "status", "quoted_in")}, {"value_micros": 49_900_000},
             flags=("unauthenticated", "macro_unreplaced"), reason="missing_field", reply=400, ack="power"),
        Case("/s2s/postback?click_id=c-1&order=A-100&value=49.90&currency=EUR", "conversion", USD | {k: ORDERED[k] for k in ("click", "order", "status")}, {"value_micros": 49_900_000},
             flags=UNPROVEN, reason="invalid_field", reply=400, ack="power"),
        Case("/s2s/conversion", "conversion", ORDERED | {"first_sku": "x1", "skus": "x1,y%2C2", "new_customer": "true"}, {"value_micros": 49_900_000}, flags=UNPROVEN, ack="power",
             body=ORDER | {"cart": [{"sku": "x1"}], "skus": ["x1", "y,2"], "new_customer": True, "note": "gift"}, more={"id": "A-100", "properties": {"cart": [{"sku": "x1"}], "note": "gift"}}),
        Case("/s2s/conversion", "conversion", {k: ORDERED[k] for k in ("click", "order", "status", "quoted_in")}, flags=UNPROVEN, reason="invalid_field", reply=400, ack="power", body=ORDER | {"value": "49,90"}),
    ],
    "video": [
        Case("/vast/impression/c1/cr1.gif?adid=s-1&page=https%3A%2F%2Fnews.example%2Fv&play=00:00:00.000&price=10", "impression",
             AD | USD | {"serving": "s-1", "site": "news.example", "playhead": "00:00:00.000"}, {"price_micros": 10_000_000, "cost_nanos": 10_000_000}, more={"context": {"page": "https://news.example/v", "ip": "203.0.113.0"}}),
        Case("/vast/impression/c1/cr1.gif?adid=[ADSERVINGID]&page=%5BPAGEURL%5D&play=-1&player=-2", "impression", AD, flags=("macro_unreplaced", "unknown_value")),
        Case("/vast/error/c1/cr1.gif?code=402&asset=https%253A%252F%252Fcdn.example%252Fa.mp4", "video_error", AD | {"code": "402", "asset": "https://cdn.example/a.mp4"}),
        Case("/vast/error/c1/cr1.gif?code=[ERRORCODE]", "video_error", AD | {"code": "900"}, flags=("macro_unreplaced",)),
        Case("/vast/event/c1/cr1/firstQuartile.gif?adid=s-1&timestamp=2025-11-20T16%3A53%3A30.127-05&player=muted,%20fullscreen", "video",
             AD | {"serving": "s-1", "action": "firstQuartile", "player": "muted,fullscreen"}, more={"timestamp": "2025-11-20T21:53:30.127Z"}),
        *[Case(f"/vast/event/c1/cr1/{action}.gif?watch_ms=7500", "video", AD | {"action": name}, {"watch_ms": 7500})
          for action, name in (("midPoint", "midpoint"), ("FIRST_QUARTILE", "firstQuartile"), ("3", "firstQuartile"), ("75%25", "thirdQuartile"), ("AdVideoComplete", "complete"))],
        Case("/vast/event/c1/cr1/half.gif", "video", AD, reason="invalid_field"),
        Case("/vast/click/c1/cr1.gif?pos=315%2C204&app=com.example.tv", "click", AD | {"position": "315,204", "app": "com.example.tv"}),
        Case("/vast/view/c1/cr1/notViewable.gif", "viewability", AD | {"state": "notviewable"}),
        # Prebid Server, endpoints/events/event.go
        Case("/event?t=vast&vtype=midPoint&b=bid-1&a=acc&bidder=rubicon&ts=1763675618123&f=b&x=1&int=pbjs_1", "prebid",
             {"type": "vast", "action": "midpoint", "bid": "bid-1", "account": "acc", "bidder": "rubicon", "integration": "pbjs_1"}, {"auction_ms": NOW}),
        Case("/event?t=win&b=bid-1&a=acc&f=i", "prebid", {"type": "win", "bid": "bid-1", "account": "acc"}),
        Case("/event?t=click&b=bid-1&a=acc", "prebid", {"bid": "bid-1", "account": "acc"}, reason="invalid_field"),
        # Revive Adserver, plugins_repo/openXVideoAds/.../commonDelivery.php, prepareTrackingParams
        Case("/delivery/fc.php?script=videoAds:vastEvent&bannerid=7&zoneid=0&source=cat1&event=firstquartile", "video",
             {"script": "videoAds:vastEvent", "creative": "7", "placement": "cat1", "action": "firstQuartile"}, flags=("unknown_value",)),
        Case("/delivery/fc.php?script=videoAds:vastEvent&bannerid=7&zoneid=2&event=replay", "video", {"script": "videoAds:vastEvent", "creative": "7", "zone": "2", "action": "replay"}),
    ],
}  # fmt: skip


@cache
def settings_of(name: str) -> Settings:
    """A preset by itself, with every check that `serve` makes."""
    return load(None, ROOT / "config" / "presets" / f"{name}.yaml", {}, {}, (routing.check,))


def endpoint(settings: Settings) -> Endpoint:
    return Endpoint(settings, lambda ms: "id-0")


def send(settings: Settings, target: str, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    path, _, query = target.partition("?")
    decoded = re.sub("%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), path)  # as a door does; the cases are ASCII
    return endpoint(settings).answer(Hit(method, decoded, query, headers or {}, body, "203.0.113.77", NOW))


def test_there_is_a_preset_for_each_trade_and_cases_for_each_preset() -> None:
    """No file without hits that exercise it, and none without each of its routes."""
    assert NAMES == sorted(CASES) == ["click", "dsp", "email", "pixel", "qr", "s2s", "video"]
    for name, cases in CASES.items():
        reached = {send(settings_of(name), case.target, "GET" if case.body is None else "POST").route for case in cases}
        assert reached == set(settings_of(name).routes.routes)


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases], ids=lambda value: value.target[:70] if isinstance(value, Case) else None)
def test_a_hit_becomes_what_the_preset_says(name: str, case: Case) -> None:
    """The event's name, lane, dimensions, metrics and flags, all of them; status, destination and what the answer promises."""
    headers = dict(case.headers)
    body = b""
    if case.body is not None:
        body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
        headers["content-type"] = FORM if isinstance(case.body, bytes) else JSON
    answer = send(settings_of(name), case.target, "GET" if case.body is None else "POST", body, headers)
    (event,) = answer.events
    assert (event.event, event.lane, event.reason) == (case.event, "bad" if case.reason else "good", case.reason)
    assert event.dimensions == case.dimensions
    assert event.metrics == case.metrics
    assert sorted(event.flags) == sorted(case.flags)
    assert event.source.startswith(name)
    for field, value in case.more.items():
        found = getattr(event, field)
        assert (msgspec.to_builtins(found) or None if field == "context" else found) == value
    given = dict([*answer.reply.fixed.headers, *answer.reply.extra])
    assert answer.reply.fixed.status == (case.reply if isinstance(case.reply, int) else 302)
    assert given.get("Location") == (case.reply if isinstance(case.reply, str) else None)
    assert (answer.ack, given["X-Tracker-Ack"]) == (case.ack, case.ack)
    assert decode_line(encode_line(event)) == event
    if case.target.partition("?")[0].endswith(".gif"):
        assert answer.reply.body == GIF


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_a_preset_bills_a_robot_a_preview_or_a_head_request(name: str) -> None:
    """Every case again as each of them: flagged, answered alike, and no cost."""
    for case in CASES[name]:
        if case.body is not None or case.reason:
            continue
        for method, extra, flag in (("GET", {"user-agent": GOOGLEBOT}, "bot"), ("GET", {"sec-purpose": "prefetch;prerender"}, "prefetch"), ("HEAD", {}, "head")):
            if method not in (settings_of(name).routes.routes[send(settings_of(name), case.target).route].methods or ()):
                continue
            answer = send(settings_of(name), case.target, method, b"", {**case.headers, **extra})
            (event,) = answer.events
            assert flag in event.flags
            assert event.lane == "good"
            assert "cost_nanos" not in event.metrics
            assert event.dimensions == case.dimensions
            assert answer.reply.fixed.status == (case.reply if isinstance(case.reply, int) else 302)


def test_some_of_those_cases_would_have_cost() -> None:
    """The test above does not pass for want of prices: a person on Chrome pays for four presets' hits."""
    paying = {name for name, cases in CASES.items() for case in cases if "cost_nanos" in case.metrics}
    assert paying == {"click", "dsp", "pixel", "video"}
    for name in paying:
        case = next(case for case in CASES[name] if "cost_nanos" in case.metrics)
        (event,) = send(settings_of(name), case.target, headers={**case.headers, "user-agent": CHROME}).events
        assert event.metrics == case.metrics


# --- what the presets' comments say --------------------------------------------------------------------------------

MACROS = {
    "${AUCTION_PRICE}": "1.25", "${AUCTION_ID}": "a-1", "${AUCTION_BID_ID}": "b-1", "${AUCTION_IMP_ID}": "1", "${AUCTION_LOSS}": "102", "${AUCTION_MIN_TO_WIN}": "1.30",
    "[ADSERVINGID]": "s-1", "[PAGEURL]": "https://news.example/v", "[ADPLAYHEAD]": "00:00:07.500", "[ERRORCODE]": "402", "[ASSETURI]": "https://cdn.example/a.mp4",
    "[TIMESTAMP]": "2025-11-20T16:53:38.127-05", "[CLICKPOS]": "315,204", "{click_id}": "c-1", "{order_id}": "A-100", "{amount}": "49.90",
}  # fmt: skip
"""What an ad server, an exchange, a player or a network would fill in."""


def tags(text: str) -> list[str]:
    """The tracker's URLs in a text, as they are pasted."""
    return [url.replace("&amp;", "&") for url in re.findall(r"https://t\.example(/[^\s\"'<>`|]+)", text, re.IGNORECASE)]


def filled(url: str, values: Mapping[str, str] = MACROS) -> str:
    for macro, value in values.items():
        url = url.replace(macro, quote(value, safe=""))
    return url


@pytest.mark.parametrize("path", PRESETS, ids=NAMES)
def test_the_tags_in_a_presets_comment_lead_to_its_routes(path: Path) -> None:
    """One for each route, or nearly; filled in as an ad server would, they are good events."""
    comment = "\n".join(line for line in path.read_text("utf-8").splitlines() if line.startswith("#"))
    found = tags(comment)
    assert found
    settings = settings_of(path.stem)
    for url in found:
        if "/s2s/conversion" in url or "/e/unsubscribe" in url or url == "/e/bounce":
            body, kind = (b"", FORM) if "unsubscribe" in url else (json.dumps(ORDER if "s2s" in url else MAILGUN).encode(), JSON)
            answer = send(settings, url, "POST", body, {"content-type": kind})
        else:
            answer = send(settings, filled(url))
        assert answer.events, url
        assert (answer.events[0].lane, answer.events[0].reason) == ("good", ""), url
        assert "macro_unreplaced" not in answer.events[0].flags, url
        assert "$" not in filled(url) and "[" not in filled(url), url


def test_the_curl_line_of_the_server_preset_is_an_order() -> None:
    """Its JSON, as it stands in the comment."""
    text = (ROOT / "config" / "presets" / "s2s.yaml").read_text("utf-8")
    body = re.search(r"-d '(\{.*?\})' https://t\.example/s2s/conversion", text)
    assert body
    (event,) = send(settings_of("s2s"), "/s2s/conversion", "POST", body[1].encode(), {"content-type": JSON}).events
    assert (event.lane, event.id, event.metrics) == ("good", "A-100", {"value_micros": 49_900_000})


@pytest.mark.parametrize("path", PRESETS, ids=NAMES)
def test_a_preset_begins_with_its_schema_and_what_it_is_for(path: Path) -> None:
    """Editors check it while one types; the comment comes before the settings and fits on a screen with them."""
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "# yaml-language-server: $schema=../routes.schema.json"
    assert lines[1].startswith("# ")
    assert "version: 1" in lines[5:20]
    assert len(lines) <= 110
    assert max(map(len, lines)) <= 160


def test_all_presets_and_the_built_in_table_are_one_table(tmp_path: Path) -> None:
    """No name and no path twice: `include` takes them all, and each hit still becomes the same event."""
    table = tmp_path / "routes.yaml"
    built_in = (ROOT / "config" / "routes.yaml").read_text("utf-8")
    included = ", ".join(f"presets/{name}.yaml" for name in NAMES)
    table.write_text(f"include: [{included}]\n{built_in}", "utf-8")
    together = load(None, table, {}, {}, (routing.check,))
    alone = load(None, None, {}, {}, (routing.check,))
    assert set(together.routes.routes) == set(alone.routes.routes).union(*(settings_of(name).routes.routes for name in NAMES))
    for name, cases in CASES.items():
        for case in cases:
            if case.body is None:
                assert stripped(send(together, case.target, headers=case.headers)) == stripped(send(settings_of(name), case.target, headers=case.headers))


def stripped(answer: Answer) -> tuple[Event, int, object]:
    return answer.events[0], answer.reply.fixed.status, answer.reply.extra


def test_the_click_preset_takes_signed_links_once_its_line_is_uncommented(tmp_path: Path) -> None:
    """With the keys that its comment shows: any destination that is signed, and none that is not or was changed."""
    text = (ROOT / "config" / "presets" / "click.yaml").read_text("utf-8")
    routes, config = tmp_path / "routes.yaml", tmp_path / "tracker.yaml"
    routes.write_text(text.replace("# signed_by:", "signed_by:"), "utf-8")
    keys = re.search(r"#   (signing_keys: .*)", text)
    assert keys
    config.write_text(f"version: 1\n{keys[1]}\n", "utf-8")
    settings = load(config, routes, KEYS, {}, (routing.check,))
    link = "kid=k1&sig=" + sign(KEYS["CLICKS_K1"], "k1", None, "/c/c1/cr1", "https://anywhere.example/x")
    good = send(settings, f"/c/c1/cr1?url={quote('https://anywhere.example/x', safe='')}&{link}")
    assert dict(good.reply.extra)["Location"] == "https://anywhere.example/x?click_id=id-0"
    bad = send(settings, f"/c/c1/cr1?url={quote('https://anywhere.example/y', safe='')}&{link}")
    assert bad.events[0].reason == "bad_signature"
    assert dict(bad.reply.extra)["Location"] == "https://example.com/"
    assert send(settings, "/c/c1/cr1?url=https://anywhere.example/x").events[0].reason == "bad_destination"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_mail_filter_that_follows_the_unsubscribe_link_unsubscribes_nobody(method: str) -> None:
    """RFC 8058, 1: filters fetch URLs; only a POST counts."""
    answer = send(settings_of("email"), "/e/unsubscribe/c1/R7", method)
    assert (answer.reply.fixed.status, answer.events) == (405, ())


def test_what_a_bad_bounce_shows_has_no_address_of_the_recipient() -> None:
    """Neither in a good event nor in the bad lane."""
    for body in (MAILGUN, POSTMARK, {**POSTMARK, "BouncedAt": "ann@example.com"}):
        (event,) = send(settings_of("email"), "/e/bounce", "POST", json.dumps(body).encode(), {"content-type": JSON}).events
        assert b"ann@" not in encode_line(event)


def test_prints_lead_nowhere_that_was_not_printed() -> None:
    """A QR path with another type of parameter is no route: 404, and no open redirect."""
    for target in ("/Q/T/x", "/Q/T/1/2", "/Q/SPRING/a%2Fb", "/Q/SPRING/", "/q/spring/a"):
        assert send(settings_of("qr"), target).reply.fixed.status == 404
    for target in ("/Q/T/1?url=https://evil.example/", "/Q/SPRING/x?click_id=1"):
        location = dict(send(settings_of("qr"), target).reply.extra)["Location"]
        assert urlsplit(location).hostname == "www.shop.example"
