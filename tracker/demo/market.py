"""The market: the campaigns, creatives, sites and people of a demo, all invented, all out of one seed.

Rules
1. One seed is one market, on every machine and at every start: nothing here reads a clock, and the only source of
   chance is the ``Random`` that is given.
2. Nobody real is in it. Hosts are RFC 2606's (``.example``), people are ``demo-user-17``, user agents are those of
   browsers and not of anyone.
3. Figures are believable, not measured: shares, prices and rates have the size and the spread of real ones. Only
   click-through and conversion rates are larger, so that a minute of traffic has some of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple, TypeVar

MOST_CAMPAIGNS = 500
ZIPF = 1.1
"""Popularity of the site of rank n is n to the minus this: what page views of news sites follow."""

CENT_MICROS = 10_000
"""Prices are whole cents a thousand, as exchanges quote them."""

T = TypeVar("T")


class Creative(NamedTuple):
    """One ad of a campaign."""

    name: str
    click_rate: float
    """Clicks an impression; no two creatives draw alike."""


class Campaign(NamedTuple):
    """What an advertiser bought."""

    name: str
    video: bool
    budget_micros: int
    """In USD millionths; the campaign stops when its impressions have cost so much. 0: no budget (the house's own)."""
    cpm_micros: int
    """Around which its prices lie, in USD millionths a thousand."""
    weight: float
    """Its share of the impressions, beside those of the others."""
    creatives: tuple[Creative, ...]
    conversion_rate: float
    """Conversions a click."""
    landing: str
    """Where its clicks lead; a host that the built-in table allows."""
    order_micros: int
    """Around which the values of its orders lie."""


class Site(NamedTuple):
    """A publisher."""

    host: str
    weight: float


class Browser(NamedTuple):
    """A user agent and its share of the page views, in percent."""

    share: float
    agent: str
    in_app: bool = False


class Person(NamedTuple):
    """Somebody who sees ads, as far as a hit shows it."""

    name: str
    browser: Browser
    language: str
    headers: tuple[tuple[str, str], ...]
    """What they ask for: ``Sec-GPC`` or ``DNT``, or nothing."""
    flags: tuple[str, ...]
    """What the tracker makes of it."""


class Market(NamedTuple):
    """Everything that the traffic draws from."""

    campaigns: tuple[Campaign, ...]
    house: Campaign
    """What is shown when every budget is spent; it costs nothing."""
    sites: tuple[Site, ...]


_MOBILE = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"

# Platform and browser shares as the public counters have them (StatCounter, 2025), rounded; one row a kind.
BROWSERS = (
    Browser(31, f"{_MOBILE} Chrome/142.0.0.0 Mobile Safari/537.36"),
    Browser(15, f"{_IPHONE} Version/26.0 Mobile/15E148 Safari/604.1"),
    Browser(3, f"{_MOBILE} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"),
    Browser(6, f"{_IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/530.0.0.0]", in_app=True),
    Browser(4, f"{_IPHONE} Mobile/15E148 Instagram 400.0.0.0 (iPhone16,1; iOS 18_7; en_US; scale=3.00)", in_app=True),
    Browser(3, "Mozilla/5.0 (Linux; Android 15; Pixel 8; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
               "Chrome/142.0.0.0 Mobile Safari/537.36", in_app=True),
    Browser(22, f"{_WINDOWS} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"),
    Browser(5, f"{_WINDOWS} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0"),
    Browser(3, f"{_WINDOWS[:-1]}; rv:145.0) Gecko/20100101 Firefox/145.0"),
    Browser(5, f"{_MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15"),
    Browser(2, f"{_MAC} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"),
    Browser(1, "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
)  # fmt: skip
LANGUAGES = ((55, "en-US,en;q=0.9"), (14, "de-DE,de;q=0.9,en;q=0.6"), (12, "fr-FR,fr;q=0.9"), (10, "es-ES,es;q=0.9"),
             (9, "ja-JP,ja;q=0.9,en;q=0.5"))  # fmt: skip
GPC_SHARE = 0.05
DNT_SHARE = 0.03

_GOODS = (
    "shoes", "bikes", "oat-milk", "headphones", "city-trips", "insurance", "sofas", "coffee", "phones", "skincare",
    "running-app", "e-bank", "pet-food", "streaming", "groceries", "watches", "tents", "cameras", "glasses", "energy",
)  # fmt: skip
_SEASONS = ("spring", "summer", "autumn", "winter", "launch", "clearance")
_SIZES = ("300x250", "728x90", "320x50", "160x600", "970x250")
_TOPICS = (
    "daily-news", "weather", "recipes", "football", "markets", "gardening", "games", "travel", "science", "music",
    "local", "motors", "health", "fashion", "films", "jobs", "homes", "chess", "trains", "birds",
)  # fmt: skip


def build(seed: int, campaigns: int) -> Market:
    """The market of a seed, with 1 to ``MOST_CAMPAIGNS`` campaigns."""
    chance = Random(f"market {seed}")
    topics = [f"{topic}{turn}" for turn in ("", "2") for topic in _TOPICS]
    sites = tuple(Site(f"{topic}.example", rank**-ZIPF) for rank, topic in enumerate(topics, 1))
    house = Campaign("house", False, 0, 0, 0.0, (Creative("house-300x250", 0.004),), 0.0, "https://example.com/", 0)
    return Market(tuple(_campaign(chance, number) for number in range(campaigns)), house, sites)


def _campaign(chance: Random, number: int) -> Campaign:
    goods = _GOODS[number % len(_GOODS)]
    turn = number // len(_GOODS)
    name = f"{pick(chance, _SEASONS)}-{goods}{f'-{turn + 1}' if turn else ''}"
    video = number % 4 == 2
    cpm = chance.lognormvariate(2.3 if video else 0.8, 0.4)  # around 10 USD for video, 2.2 for banners
    rate = chance.lognormvariate(-3.7, 0.5)  # around 2.5 %
    creatives = tuple(
        Creative(
            f"{name}-{'video-' if video else ''}{pick(chance, _SIZES)}-{'abc'[each]}",
            min(rate * chance.lognormvariate(0, 0.4), 0.3),
        )
        for each in range(1 + int(chance.random() * 3))
    )
    return Campaign(
        name=name,
        video=video,
        # The smallest are spent within a minute of default traffic, the largest never.
        budget_micros=round(0.35 * 2.5 ** (chance.random() * 6) * 100) * CENT_MICROS,
        cpm_micros=max(round(cpm * 100), 20) * CENT_MICROS,
        weight=chance.lognormvariate(0, 0.5),
        creatives=creatives,
        conversion_rate=0.05 + 0.25 * chance.random(),
        landing=f"https://{goods}.shop.example/{name}",
        order_micros=round(chance.lognormvariate(3.6, 0.7) * 100) * CENT_MICROS,
    )


def pick(chance: Random, choices: Sequence[T]) -> T:
    """One of them, each as likely."""
    return choices[int(chance.random() * len(choices))]


def draw(chance: Random, choices: Sequence[T], sums: Sequence[float]) -> T:
    """One of them by weight; ``sums`` are the weights, added up."""
    return chance.choices(choices, cum_weights=sums)[0]


def sums(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights, added up, as ``draw`` takes them."""
    return tuple(accumulate(weights))
