"""A real browser keeps the tracker's id cookie and sends it back; one that opts out is given none."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ROUTES = """
version: 1
routes:
  view: {path: "/view/{n}.gif", reply: pixel, cookie: {}, dimensions: {n: path.n}}
"""
PAGE = b"<!doctype html><meta charset=utf-8><title>shop</title><h1>Shop</h1>"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Page(http.server.BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    """Where the page is."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def load(tab: Any, url: str) -> None:
    """A pixel, as a tag loads it; waits until the browser has its answer."""
    width = tab.evaluate(
        "url => new Promise(done => { const pixel = new Image(); pixel.onload = pixel.onerror = () => done(pixel.naturalWidth); pixel.src = url })",
        url,
    )
    assert width == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_browser_is_known_again_by_its_cookie_unless_it_opts_out(
    serve: Callable[..., Any], port: int, tmp_path: Path
) -> None:
    """On the tracker's own site the first hit sets it, the second sends it, and no script sees it. Another site's page does not
    send it, nor take the one that it is offered. With ``Sec-GPC: 1`` there is none, though one was set before."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install 'tracker[browser]'")
    if not CHROMIUM:
        assert not os.environ.get("CI"), "CI installs Chromium: see ci/services"
        pytest.skip("no Chromium: apt-get install chromium")
    routes = tmp_path / "routes.yaml"
    routes.write_text(ROUTES)
    tracker = serve("--routes", str(routes))
    # Chromium counts http://localhost as secure, and every port of it as one site; 127.0.0.1 is another site.
    at = tracker.base.replace("127.0.0.1", "localhost")

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[
            "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync",
        ])  # fmt: skip
        context = browser.new_context()
        tab = context.new_page()
        tab.goto(f"http://localhost:{port}/")
        load(tab, f"{at}/view/1.gif")
        load(tab, f"{at}/view/2.gif")
        (cookie,) = context.cookies(at)
        assert (cookie["name"], cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == ("__Host-tid", True, True, "Lax")
        assert tab.evaluate("document.cookie") == ""
        tab.goto(f"http://127.0.0.1:{port}/")
        load(tab, f"{at}/view/3.gif")
        load(tab, f"{at}/view/4.gif")
        tab.goto(f"http://localhost:{port}/")
        context.set_extra_http_headers({"Sec-GPC": "1"})
        load(tab, f"{at}/view/5.gif")
        context.set_extra_http_headers({})
        load(tab, f"{at}/view/6.gif")
        assert [kept["value"] for kept in context.cookies(at)] == [cookie["value"]]

        opted_out = browser.new_context(extra_http_headers={"Sec-GPC": "1"})
        tab = opted_out.new_page()
        tab.goto(f"http://localhost:{port}/")
        load(tab, f"{at}/view/7.gif")
        assert opted_out.cookies() == []
        events = {event["dimensions"]["n"]: event for event in tracker.wait_logged(7)}
        browser.close()

    ids = {n: event.get("anonymous_id", "") for n, event in events.items()}
    assert UUID.fullmatch(ids["1"])
    assert ids["1"] == ids["2"] == ids["6"] == cookie["value"], "one browser, one id"
    assert UUID.fullmatch(ids["3"]) and UUID.fullmatch(ids["4"])
    assert len({ids["1"], ids["3"], ids["4"]}) == 3, "a stranger each time"
    assert ids["5"] == ids["7"] == ""
    assert events["5"]["flags"] == events["7"]["flags"] == ["gpc"]
    assert "flags" not in events["1"], "HeadlessChrome is no robot"
