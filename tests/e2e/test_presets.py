"""All presets at once behind `tracker serve`: real requests, real workers, events in the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRESETS = sorted(path.name for path in (Path(__file__).parents[2] / "config" / "presets").glob("*.yaml"))
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
ORDER = json.dumps({"click_id": "c-1", "order": "A-100", "value": 49.9, "event_id": "A-100", "cart": [{"sku": "x1"}]}).encode()
BOUNCE = json.dumps({"RecordType": "Bounce", "Type": "HardBounce", "MessageID": "883953f4", "BouncedAt": "2025-11-20T17:53:38-04:00"}).encode()

# method, target, body, headers; status, acknowledgement; the event's route, lane and one more thing that it must say
HITS: list[tuple[str, str, bytes | None, dict[str, str], int, str, str, str, dict[str, Any]]] = [
    ("GET", "/dsp/win/c1/cr1?price=1.25&auction=a-1", None, {}, 204, "process", "dsp_win", "good", {"price_micros": 1_250_000}),
    ("GET", "/dsp/bill/c1/cr1?price=1.25&auction=a%252F1", None, {}, 204, "power", "dsp_bill", "good", {"auction": "a/1", "cost_nanos": 1_250_000}),
    ("GET", "/dsp/bill/c1/cr1?price=${AUCTION_PRICE}&auction=${AUCTION_ID}", None, {}, 400, "power", "dsp_bill", "bad", {"reason": "missing_field"}),
    ("GET", "/dsp/loss/c1/cr1?reason=102&mtw=2", None, {}, 204, "process", "dsp_loss", "good", {"loss_reason": "102"}),
    ("GET", "/px/ad/c1/cr1.gif?placement=[POS]&site=%%SITE%%&cb={random}&price=2.5", None, {}, 200, "process", "pixel_ad", "good", {"cost_nanos": 2_500_000, "flags": ["macro_unreplaced"]}),
    ("GET", "/px/step/signup.gif?plan=pro", None, {}, 200, "process", "pixel_step", "good", {"event": "signup"}),
    ("GET", "/c/c1/cr1?url=https%253A%252F%252Fa.shop.example%252F", None, {}, 302, "process", "click_out", "good", {"location": "https://a.shop.example/?click_id="}),
    ("GET", "/c/c1/cr1?url=https://evil.example/", None, {}, 302, "process", "click_out", "bad", {"location": "https://example.com/"}),
    ("GET", "/e/open/c1/m1.gif?distinct_id=R7", None, {}, 200, "process", "email_open", "good", {"distinct_id": "R7"}),
    ("POST", "/e/unsubscribe/c1/R7", b"List-Unsubscribe=One-Click", FORM, 200, "power", "email_unsubscribe", "good", {"one_click": "One-Click"}),
    ("POST", "/e/bounce", BOUNCE, JSON, 204, "power", "email_bounce", "good", {"bounced_at": "2025-11-20T21:53:38.000Z"}),
    ("GET", "/Q/SPRING/BUS-7", None, {}, 302, "process", "qr_spring", "good", {"location": "utm_content=bus-7&click_id="}),
    ("HEAD", "/Q/T/12", None, {}, 302, "process", "qr_table", "good", {"flags": ["head"]}),
    ("GET", "/vast/event/c1/cr1/midPoint.gif?adid=[ADSERVINGID]&play=-1", None, {}, 200, "process", "video_event", "good", {"action": "midpoint"}),
    ("GET", "/vast/event/c1/cr1/[EVENT].gif", None, {}, 200, "process", "video_event", "good", {"flags": ["macro_unreplaced"]}),
    ("GET", "/event?t=imp&b=b1&a=acc&f=i", None, {}, 200, "process", "video_prebid", "good", {"type": "imp"}),
    ("GET", "/delivery/fc.php?script=videoAds:vastEvent&bannerid=7&zoneid=2&event=thirdquartile", None, {}, 200, "process", "video_revive", "good", {"action": "thirdQuartile"}),
    ("GET", "/s2s/postback?click_id=c-1&order=A-1&value=5&event_id=A-1", None, {}, 200, "power", "s2s_postback", "good", {"id": "A-1", "value_micros": 5_000_000}),
    ("POST", "/s2s/conversion", ORDER, JSON, 200, "power", "s2s_conversion", "good", {"id": "A-100", "first_sku": "x1"}),
    ("POST", "/s2s/conversion", b'{"order":"A-2"}', JSON, 400, "power", "s2s_conversion", "bad", {"reason": "missing_field"}),
    ("GET", "/imp/c1/cr1.gif?price=AUDIT", None, {}, 200, "process", "impression", "good", {"flags": ["audit"]}),
]  # fmt: skip


def test_every_preset_serves(serve: Callable[..., Any], tmp_path: Path) -> None:
    """One table of all of them and the built-in one; each hit's reply, and its event where its lane is logged."""
    built_in = Path(__file__).parents[2] / "config" / "routes.yaml"
    table = tmp_path / "all.yaml"
    table.write_text(f"include: [{', '.join(f'presets/{name}' for name in PRESETS)}]\n{built_in.read_text('utf-8')}", "utf-8")
    tracker = serve("--routes", str(table))
    replies = []
    for method, target, body, headers, status, ack, *_ in HITS:
        found, given, _content = tracker.request(method, target, body, headers)
        assert (found, given["X-Tracker-Ack"]) == (status, ack), target
        replies.append(given)
    logged = {lane: tracker.wait_logged(sum(hit[7] == lane for hit in HITS), file) for lane, file in (("good", "events.ndjson"), ("bad", "bad.ndjson"))}
    by_id = {event["id"]: event for events in logged.values() for event in events}
    assert len(by_id) == len(HITS)
    for given, (_, target, _, _, _, _, route, lane, more) in zip(replies, HITS, strict=True):
        event = by_id[given["X-Event-Id"]]
        assert (event["source"], event.get("lane", "good")) == (route, lane), target
        for name, value in more.items():
            if name == "location":
                assert value in given["Location"]
            else:
                assert {**event, **event.get("dimensions", {}), **event.get("metrics", {})}[name] == value, target
    paid = [event["source"] for event in logged["good"] if "cost_nanos" in event.get("metrics", {})]
    assert sorted(paid) == ["dsp_bill", "pixel_ad"]
