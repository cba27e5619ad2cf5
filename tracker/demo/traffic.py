"""The traffic: an endless row of hits, as people, players and machines send them.

Rules
1. One seed is one row. Of a shorter run it is the beginning, and the rate at which it is sent changes nothing: what
   follows something else follows it after so many *hits*. At 100 hits a second a click comes about a second after its
   impression, and an order some seconds after the click, where the world has hours.
2. What is due goes first; else a new visit begins. So the rate is constant, whatever the visits are.
3. A campaign stops when what was sent has spent its budget. What it has begun goes on: clicks, videos, orders.
4. One visit in ``ODD_EVERY`` is an odd one. Those are drawn from a shuffled deck, so that each kind comes once in every
   ``len(deck)`` of them.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from urllib.parse import quote

from tracker.demo import market, oddities
from tracker.demo.market import CENT_MICROS, Campaign, Person, draw, pick, sums
from tracker.demo.planned import Planned
from tracker.demo.tags import BEACON, Scene, Tags, decimal
from tracker.reasons import DNT, GPC

ODD_EVERY = 6
"""Of the visits that begin, one in so many is odd: about every tenth hit."""
VIDEO_STEP = 0.88
"""How many viewers stay for the next quarter."""
VIEWABLE = 0.62
"""How many banners are half in view for a second (MRC)."""

Make = Callable[[], Planned]

_BROWSER_SUMS = sums([browser.share for browser in market.BROWSERS])
_LANGUAGE_SUMS = sums([share for share, _ in market.LANGUAGES])
_QUARTERS = ("start", "firstQuartile", "midpoint", "thirdQuartile", "complete")


class Traffic:
    """The hits of one run. Iterating it goes on where it is; two iterators would share them."""

    def __init__(self, seed: int, run: str, campaigns: int) -> None:
        """``run`` names the events; it changes nothing else."""
        self.market = market.build(seed, campaigns)
        self.tags = Tags(run)
        self.chance = Random(f"traffic {seed}")
        self.recent: deque[Planned] = deque(maxlen=64)
        """Hits that may come a second time."""
        self._later: list[tuple[int, int, Make]] = []
        self._sent = self._ordered = 0
        self._spent: dict[str, int] = {}
        self._deck: list[oddities.Oddity] = []
        self._sites = self.market.sites
        self._site_sums = sums([site.weight for site in self._sites])
        self._live: list[Campaign] = []
        self._live_sums: tuple[float, ...] = ()
        self._keep_live(self.market.campaigns)

    def __iter__(self) -> Iterator[Planned]:
        while True:
            if self._later and self._later[0][0] <= self._sent:
                make = heapq.heappop(self._later)[2]
            else:
                make = self._visit()
            self._sent += 1
            hit = make()
            if hit.expected.cost_nanos:
                self.spend(hit)
            yield hit

    # --- who, where, what

    def person(self) -> Person:
        """Somebody."""
        chance = self.chance
        headers: tuple[tuple[str, str], ...] = ()
        flags: tuple[str, ...] = ()
        wish = chance.random()
        if wish < market.GPC_SHARE:
            headers, flags = (("Sec-GPC", "1"),), (GPC,)
        elif wish < market.GPC_SHARE + market.DNT_SHARE:
            headers, flags = (("DNT", "1"),), (DNT,)
        return Person(
            f"demo-user-{int(chance.random() * 5000)}", draw(chance, market.BROWSERS, _BROWSER_SUMS),
            draw(chance, market.LANGUAGES, _LANGUAGE_SUMS)[1], headers, flags,
        )  # fmt: skip

    def scene(self, *, video: bool = False, person: Person | None = None) -> Scene:
        """Somebody somewhere sees an ad whose campaign still has money."""
        chance = self.chance
        site = draw(chance, self._sites, self._site_sums)
        campaign = draw(chance, self._live, self._live_sums) if self._live else self.market.house
        if video and not campaign.video:
            films = [each for each in self._live if each.video]
            campaign = pick(chance, films) if films else campaign
        return Scene(person or self.person(), site, campaign, pick(chance, campaign.creatives))

    def price(self, campaign: Campaign) -> int:
        """What this impression cost, in micros a thousand, whole cents; 0 for the house."""
        if not campaign.cpm_micros:
            return 0
        return max(round(campaign.cpm_micros * self.chance.lognormvariate(0, 0.25) / CENT_MICROS), 1) * CENT_MICROS

    def spend(self, hit: Planned) -> None:
        """An impression that costs something is sent; its campaign may have to stop."""
        name = hit.expected.campaign
        spent = self._spent[name] = self._spent.get(name, 0) + hit.expected.cost_nanos
        for campaign in self._live:
            if campaign.name == name and spent >= campaign.budget_micros * 1000:
                self._keep_live([each for each in self._live if each.name != name])
                return

    def _keep_live(self, campaigns: list[Campaign] | tuple[Campaign, ...]) -> None:
        self._live = list(campaigns)
        self._live_sums = sums([campaign.weight for campaign in self._live])

    def after(self, hits: float, make: Make) -> None:
        """``make`` is called so many hits from now."""
        self._ordered += 1
        heapq.heappush(self._later, (self._sent + max(1, round(hits)), self._ordered, make))

    # --- visits

    def _visit(self) -> Make:
        chance = self.chance
        if chance.random() * ODD_EVERY < 1:
            return self._odd()
        kind = chance.random()
        if kind < 0.72:
            return lambda: self.banner(self.scene())
        if kind < 0.84:
            return lambda: self._film(self.scene(video=True))
        if kind < 0.96:
            return lambda: self._product(self.person())
        return lambda: self.tags.stored_click(self.person())

    def _odd(self) -> Make:
        if not self._deck:
            self._deck = oddities.deck(self.chance)
        odd = self._deck.pop()
        return partial(odd, self)

    def banner(self, scene: Scene) -> Planned:
        """An impression, and what may come of it."""
        chance, campaign = self.chance, scene.campaign
        hit = self.tags.impression(scene, self.price(campaign))
        self.recent.append(hit)
        if chance.random() < VIEWABLE:
            seen = {
                "campaign": campaign.name, "creative": scene.creative.name, "impression": hit.event_id,
                "in_view_ms": 1000 + int(chance.expovariate(1 / 4000)), "percent": 50 + int(chance.random() * 51),
            }  # fmt: skip
            viewable = partial(self.tags.product, scene.person, "viewable", seen, headers=BEACON)
            self.after(20 + 40 * chance.random(), viewable)
        if chance.random() < scene.creative.click_rate:
            self.after(chance.lognormvariate(4.4, 0.7), partial(self._click, scene))
        return hit

    def _click(self, scene: Scene) -> Planned:
        chance, campaign = self.chance, scene.campaign
        landing = f"{campaign.landing}?src=demo"
        hit = self.tags.click(scene, quote(landing, safe=""), arrives=landing)
        if chance.random() < campaign.conversion_rate:
            self.after(chance.expovariate(1 / 250), partial(self.order, scene.person, campaign, hit.event_id))
        return hit

    def order(self, person: Person, campaign: Campaign, click: str) -> Planned:
        """Somebody who clicked buys."""
        micros = self.worth(campaign)
        hit = self.tags.conversion(person, campaign.name, self.paper(micros, click), micros)
        self.recent.append(hit)
        return hit

    def worth(self, campaign: Campaign) -> int:
        """The value of an order, in micros, whole cents: there are a dozen goods."""
        quarters = 1 + int(self.chance.random() * 12)
        return max(round(campaign.order_micros * quarters / 4 / CENT_MICROS), 1) * CENT_MICROS

    def paper(self, micros: int, click: str = "") -> dict[str, str]:
        """The fields of an order."""
        fields = {"order": f"o-{int(self.chance.random() * 10**8):08}", "value": decimal(micros)}
        return {**fields, "click_id": click} if click else fields

    def _film(self, scene: Scene) -> Planned:
        chance = self.chance
        hit = self.tags.impression(scene, self.price(scene.campaign))
        quarter_ms = 3750 if chance.random() < 0.6 else 7500
        if chance.random() < 0.95:
            self.after(3 + 4 * chance.random(), partial(self._quarter, scene, 0, quarter_ms))
        if chance.random() < scene.creative.click_rate:
            self.after(chance.lognormvariate(4.6, 0.5), partial(self._click, scene))
        return hit

    def _quarter(self, scene: Scene, number: int, quarter_ms: int) -> Planned:
        if number < len(_QUARTERS) - 1:
            later = 25 * (0.9 + 0.2 * self.chance.random())
            if self.chance.random() < VIDEO_STEP:
                self.after(later, partial(self._quarter, scene, number + 1, quarter_ms))
            else:
                watched = int(quarter_ms * (number + self.chance.random()))
                self.after(later / 2, partial(self.tags.video, scene, "skip", watched))
        return self.tags.video(scene, _QUARTERS[number], number * quarter_ms)

    def _product(self, person: Person) -> Planned:
        chance = self.chance
        visit = f"demo-visit-{int(chance.random() * 10**8):08}"
        who = {"session_id": visit, "anonymous_id": person.name}
        at = 0.0
        for event, share in (("search", 0.5), ("add_to_cart", 0.35), ("signup", 0.3), ("checkout", 0.5)):
            if chance.random() >= share:
                break
            at += 10 + chance.expovariate(1 / 30)
            more = {**who, "step": event, "items": 1 + int(chance.random() * 4)}
            self.after(at, partial(self.tags.product, person, event, more))
        page = pick(chance, ("/", "/pricing", "/docs", "/blog/welcome"))
        return self.tags.product(person, "page_view", {**who, "path": page, "width": pick(chance, (390, 1440, 1920))})
