"""Tags: the requests that pages, players, apps and servers send to the built-in routes, and what each should become.

Rules
1. Here stands the built-in routing table as its users understand it, written down a second time and by hand: path,
   reply, fields, flags. ``Expected`` comes from here alone.
2. ``hit`` numbers the events, in the order in which it is called; everything else goes through it.
3. A query is a list of ready pieces, ``name=value`` percent-encoded: broken tags need to say exactly what they send.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from tracker.demo.market import Campaign, Creative, Person, Site
from tracker.demo.planned import Expected, Planned, event_id
from tracker.reasons import NEVER_BILLED, UNAUTHENTICATED

Headers = tuple[tuple[str, str], ...]

OTHERWISE = "https://example.com/"
"""Where the built-in click route sends a person whose destination is refused."""
STORED = "https://shop.example/spring"
"""Where ``/go/spring`` leads."""

JSON: Headers = (("Content-Type", "application/json"),)
BEACON: Headers = (("Content-Type", "text/plain;charset=UTF-8"),)
FORM: Headers = (("Content-Type", "application/x-www-form-urlencoded"),)


class Scene(NamedTuple):
    """Who sees which ad where."""

    person: Person
    site: Site
    campaign: Campaign
    creative: Creative


def pair(name: str, value: str) -> str:
    """One piece of a query."""
    return f"{name}={quote(value, safe='')}"


def decimal(micros: int) -> str:
    """Micros as the decimal text that a tag holds: 2,500,000 is ``2.50``."""
    return f"{micros // 1_000_000}.{micros % 1_000_000 // 10_000:02}"


def flagged(*groups: Iterable[str]) -> tuple[str, ...]:
    """Flags of all these, sorted, each once."""
    return tuple(sorted({flag for group in groups for flag in group}))


class Tags:
    """Writes one run's hits."""

    def __init__(self, run: str) -> None:
        """``run`` is in every event's id."""
        self._run = run
        self._number = 0

    def hit(
        self, person: Person, method: str, path: str, query: Sequence[str], expected: Expected, *,
        headers: Headers = (), body: bytes | dict[str, Any] = b"", location: str = "",
    ) -> Planned:  # fmt: skip
        """The next event's hit. It names its event in the query, or in the JSON object that is its body.

        ``path`` is percent-encoded where it must be; in ``location``, ``EVENT_ID`` stands for the event's id.
        """
        self._number += 1
        own = event_id(self._run, self._number)
        if isinstance(body, dict):
            body = json.dumps({"event_id": own, **body}, separators=(",", ":")).encode()
        else:
            query = (*query, f"event_id={own}")
        about = (("User-Agent", person.browser.agent), ("Accept-Language", person.language), *person.headers)
        return Planned(
            self._number, own, method, f"{path}?{'&'.join(query)}" if query else path, (*about, *headers), body,
            expected, location.replace("EVENT_ID", own),
        )  # fmt: skip

    def impression(
        self, scene: Scene, price_micros: int = 0, *, query: Sequence[str] | None = None, method: str = "GET",
        headers: Headers = (), flags: Sequence[str] = (), reason: str = "", status: int = 200,
    ) -> Planned:  # fmt: skip
        """An ad was rendered. ``query`` replaces the price and what follows it, for tags that get it wrong."""
        person, site, campaign, creative = scene
        marks = flagged(person.flags, flags)
        free = bool(reason or NEVER_BILLED.intersection(marks))
        said = [pair("price", decimal(price_micros))] if price_micros else []
        return self.hit(
            person, method, f"/imp/{campaign.name}/{creative.name}.gif",
            [*(said if query is None else query), *self._site(scene)],
            Expected(
                status, "bad" if reason else "good", "impression", "impression", reason, marks, campaign.name,
                creative.name, metric="price_micros" if price_micros and not reason else "",
                micros=0 if reason else price_micros, cost_nanos=0 if free else price_micros,
            ),
            headers=(("Referer", f"https://{site.host}/"), *headers) if not person.browser.in_app else headers,
        )  # fmt: skip

    def _site(self, scene: Scene) -> list[str]:
        """An app has no page: its tag names it."""
        return [pair("site", scene.site.host)] if scene.person.browser.in_app else []

    def click(
        self, scene: Scene, destination: str, *, arrives: str | None = None, flags: Sequence[str] = (),
        reason: str = "",
    ) -> Planned:  # fmt: skip
        """Somebody clicked. ``destination`` is percent-encoded already; ``arrives`` is where they should land."""
        person, site, campaign, creative = scene
        return self.hit(
            person, "GET", f"/click/{campaign.name}/{creative.name}", [f"url={destination}", pair("site", site.host)],
            Expected(
                302, "bad" if reason else "good", "click", "click", reason, flagged(person.flags, flags),
                campaign.name, creative.name,
            ),
            location=OTHERWISE if reason else f"{arrives}{'&' if '?' in (arrives or '') else '?'}click_id=EVENT_ID",
        )  # fmt: skip

    def stored_click(self, person: Person) -> Planned:
        """A link on paper or in a mail."""
        expected = Expected(302, "good", "spring", "click", flags=flagged(person.flags), campaign="spring")
        return self.hit(person, "GET", "/go/spring", [], expected, location=STORED)

    def conversion(
        self, person: Person, campaign: str, fields: dict[str, str], micros: int, *, headers: Headers = (),
        flags: Sequence[str] = (), reason: str = "",
    ) -> Planned:  # fmt: skip
        """An order came of it: as a pixel, or as a server's post with a body in the form that ``headers`` say.

        The built-in route reads the order from the query; a body beside it is read, checked, and no part of the event.
        """
        path = f"/conv/{campaign}.gif"
        expected = Expected(
            200, "bad" if reason else "good", "conversion", "conversion", reason, flagged(person.flags, flags),
            campaign, metric="" if reason else "value_micros", micros=0 if reason else micros, ack="power",
        )  # fmt: skip
        pieces = [pair(name, value) for name, value in fields.items()]
        if headers == JSON:
            return self.hit(person, "POST", path, pieces, expected, headers=headers, body={"basket": [{"sku": "s1"}]})
        if headers == FORM:
            return self.hit(person, "POST", path, pieces, expected, headers=headers, body=b"basket=s1&items=1")
        return self.hit(person, "GET", path, pieces, expected, headers=headers)

    def video(
        self, scene: Scene, action: str, watch_ms: int, *, spelled: str | None = None, reason: str = ""
    ) -> Planned:
        """The player reports; ``spelled``: as this player writes the action."""
        person, _, campaign, creative = scene
        return self.hit(
            person, "GET", f"/video/{campaign.name}/{creative.name}/{spelled or action}.gif",
            [f"watch_ms={watch_ms}", *self._site(scene)],
            Expected(
                200, "bad" if reason else "good", "video", "video", reason, flagged(person.flags), campaign.name,
                creative.name, action="" if reason else action,
            ),
            headers=(("Referer", f"https://{scene.site.host}/"),) if not person.browser.in_app else (),
        )  # fmt: skip

    def product(
        self, person: Person, event: str, properties: dict[str, Any], *, headers: Headers = JSON,
        flags: Sequence[str] = (),
    ) -> Planned:  # fmt: skip
        """The product's own event. Nobody proves who sends it, while no keys are configured."""
        expected = Expected(204, "good", "hit", event, flags=flagged(person.flags, flags, [UNAUTHENTICATED]))
        return self.hit(person, "POST", f"/hit/{event}", [], expected, headers=headers, body=properties)
