"""A real browser loads a page with ad tags on another origin: each event arrives once, the click lands."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

PAGE = """<!doctype html>
<meta charset="utf-8"><title>news</title>
<h1>News with advertising</h1>
<a id="ad" href="TRACKER/click/summer/banner1?url=LANDING&page=PAGE">
  <img id="pixel" width="1" height="1" alt="" src="TRACKER/imp/summer/banner1.gif?price=2.50&page=PAGE">ad
</a>
<script>
  // What a video player's tag does: one pixel for each VAST event, in the order of playback.
  const actions = ["start", "firstQuartile", "midpoint", "thirdQuartile", "complete"];
  const fire = (i) => {
    if (i === actions.length) { document.title = "played"; return; }
    const pixel = new Image();
    pixel.onload = pixel.onerror = () => fire(i + 1);
    pixel.src = `TRACKER/video/summer/film/${actions[i]}.gif?watch_ms=${i * 1500}&page=PAGE`;
  };
  fire(0);
</script>
"""
LANDING = """<!doctype html>
<meta charset="utf-8"><title>shop</title>
<h1>Thank you for your order</h1>
<script>
  const click = new URLSearchParams(location.search).get("click_id");
  navigator.sendBeacon(`TRACKER/conv/summer.gif?order=o-1&value=49.90&click_id=${click}&page=PAGE`);
</script>
"""


class Site:
    """The publisher's and the shop's pages, on an origin that is not the tracker's."""

    def __init__(self) -> None:
        site = self

        class Pages(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = site.pages.get(self.path.partition("?")[0], "").encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.pages: dict[str, str] = {}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.origin = f"http://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_page_with_tags_gives_each_event_once_and_the_click_lands(
    serve: Callable[..., Any], site: Site, tmp_path: Path
) -> None:
    """Impression, click with redirect, five video pixels and a conversion beacon, with page, referer and user agent."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install 'tracker[browser]'")
    if not CHROMIUM:
        assert not os.environ.get("CI"), "CI installs Chromium: see ci/services"
        pytest.skip("no Chromium: apt-get install chromium")
    routes = tmp_path / "routes.yaml"
    default = (files("tracker") / "config" / "routes.yaml").read_text()
    host = site.origin.removeprefix("http://")
    routes.write_text(default.replace('allow: [example.com, "*.shop.example"]', f'allow: ["{host}"]'))
    assert host in routes.read_text()
    tracker = serve("--routes", str(routes))
    page_url, landing_url = f"{site.origin}/news?id=7", f"{site.origin}/landing"
    for path, text, own in (("/news", PAGE, page_url), ("/landing", LANDING, landing_url)):
        site.pages[path] = (
            text.replace("TRACKER", tracker.base).replace("LANDING", quote(landing_url, safe="")).replace(
                "PAGE", quote(own, safe=""))
        )

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[
            "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync",
        ])
        context = browser.new_context(locale="de-DE")
        tab = context.new_page()
        tab.goto(page_url)
        tab.wait_for_function("document.title === 'played'")
        assert tab.evaluate("document.getElementById('pixel').naturalWidth") == 1, "the browser has decoded the GIF"
        agent = tab.evaluate("navigator.userAgent")
        tab.click("#ad")
        tab.wait_for_url(f"{landing_url}?click_id=*")
        assert tab.inner_text("h1") == "Thank you for your order"
        landed = tab.url
        tracker.wait_logged(8)
        browser.close()
    time.sleep(0.6)  # whatever came twice would be here by now

    events = tracker.logged()
    assert sorted(event["event"] for event in events) == ["click", "conversion", "impression"] + ["video"] * 5
    assert not tracker.logged("bad.ndjson")
    assert len({event["id"] for event in events}) == 8
    for event in events:
        own = landing_url if event["event"] == "conversion" else page_url
        assert event["context"] == {
            "ip": "127.0.0.0", "user_agent": agent, "referer": f"{site.origin}/", "page": own, "locale": "de-DE",
        }
        assert "flags" not in event
    one = {event["event"]: event for event in events}
    assert one["impression"]["dimensions"] == {
        "campaign": "summer", "creative": "banner1", "site": "localhost", "currency": "USD"
    }
    assert one["impression"]["metrics"] == {"price_micros": 2_500_000, "cost_nanos": 2_500_000}
    assert landed == f"{landing_url}?click_id={one['click']['id']}"
    assert one["conversion"]["dimensions"]["click"] == one["click"]["id"]
    assert one["conversion"]["metrics"] == {"value_micros": 49_900_000}
    played = [event["dimensions"]["action"] for event in sorted(events, key=lambda event: event["timestamp"])
              if event["event"] == "video"]
    assert played == ["start", "firstQuartile", "midpoint", "thirdQuartile", "complete"]
