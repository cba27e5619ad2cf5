"""Mixed traffic for locust: pixels, clicks, conversions, video and JSON, as visitors of a site cause them.

    locust -f bench/load/locustfile.py --host http://127.0.0.1:8000          # with its page on port 8089
    python bench/load/mixed.py --seconds 10                                  # headless, against a tracker of its own

A visitor waits between two hits and for each answer (a closed loop): this shows that a mixture works under load, and
what people would see of it. How fast the tracker is at a certain rate, ask the gate: ``tracker bench gate``.
Every answer is looked at: its status, its receipt, and for a click where it leads.
"""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from typing import Any

from locust import FastHttpUser, between, task

CAMPAIGNS = ("spring", "summer", "autumn", "winter")
CREATIVES = ("banner-300x250", "half-page", "native")
QUARTERS = ("start", "firstQuartile", "midpoint", "thirdQuartile", "complete")
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


class Visitor(FastHttpUser):
    """Somebody on a site with ads."""

    wait_time = between(0.02, 0.08)

    def on_start(self) -> None:
        """Where the visitor is, and what is shown there."""
        self.referer = f"https://{random.choice(('news', 'sport', 'cars'))}.example/article/{random.randrange(500)}"
        self.campaign, self.creative = random.choice(CAMPAIGNS), random.choice(CREATIVES)

    @task(70)
    def pixel(self) -> None:
        """An impression."""
        price = f"{random.uniform(0.3, 7):.2f}"
        with self._hit("pixel", "GET", f"/imp/{self.campaign}/{self.creative}.gif?price={price}") as answer:
            self._judge(answer, 200)

    @task(12)
    def video(self) -> None:
        """Quarter by quarter, until the viewer has had enough."""
        for quarter, action in enumerate(QUARTERS[: random.randint(1, len(QUARTERS))]):
            path = f"/video/{self.campaign}/{self.creative}/{action}.gif?watch_ms={quarter * 7500}"
            with self._hit("video", "GET", path) as answer:
                self._judge(answer, 200)

    @task(10)
    def product(self) -> None:
        """An event of the site's own, as JSON."""
        body = {"path": "/pricing", "width": random.choice((390, 1440, 1920)), "items": [1, 2, 3]}
        with self._hit("json", "POST", "/hit/page_view", json=body) as answer:
            self._judge(answer, 204)

    @task(7)
    def click(self) -> None:
        """And, one time in ten, an order after it."""
        path = f"/click/{self.campaign}/{self.creative}?url=https%3A%2F%2Fexample.com%2Flanding"
        with self._hit("click", "GET", path) as answer:
            leads = (answer.headers or {}).get("Location", "")
            self._judge(answer, 302, "" if leads.startswith("https://example.com/landing") else f"leads to {leads!r}")
        if random.random() < 0.1:
            order = f"order=o-{random.randrange(10**8)}&value={random.randrange(5, 300)}.99"
            with self._hit("conversion", "GET", f"/conv/{self.campaign}.gif?{order}") as answer:
                self._judge(answer, 200)

    def _hit(self, name: str, method: str, path: str, **more: Any) -> AbstractContextManager[Any]:
        headers = {"User-Agent": BROWSER, "Referer": self.referer}
        return self.client.request(method, path, name=name, headers=headers, allow_redirects=False,
                                   catch_response=True, **more)  # fmt: skip

    def _judge(self, answer: Any, status: int, wrong: str = "") -> None:
        if answer.status_code != status:
            answer.failure(f"status {answer.status_code}, meant {status}")
        elif not (answer.headers or {}).get("X-Event-Id"):
            answer.failure("no receipt")
        elif wrong:
            answer.failure(wrong)
        else:
            answer.success()
