"""Oddities: the hits that go wrong in the field, each as it is really sent, and what must come of it.

Rules
1. One function, one oddity. Its docstring says who sends such a thing; ``ODDITIES`` says how often it is in the deck.
2. What must come of it is what the documents promise: a reason or a flag of ``tracker.reasons``, and never a bill for
   what the person did not see.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import quote

from tracker import reasons
from tracker.demo.market import Browser, Person, pick
from tracker.demo.planned import Expected, Planned
from tracker.demo.tags import FORM, JSON, decimal, flagged, pair

if TYPE_CHECKING:
    from tracker.demo.traffic import Traffic

Oddity = Callable[["Traffic"], Planned]

CRAWLERS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
)
SCANNERS = (
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Twitterbot/1.0",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
)


def robot(agents: tuple[str, ...], chance: Random) -> Person:
    """A machine; it wishes nothing."""
    return Person("demo-robot", Browser(0, pick(chance, agents)), "en", (), (reasons.BOT,))


# --- machines and browsers that look without a person ---------------------------------------------------------------


def crawler(traffic: Traffic) -> Planned:
    """A crawler renders a page with an ad on it."""
    scene = traffic.scene(person=robot(CRAWLERS, traffic.chance))
    return traffic.tags.impression(scene, traffic.price(scene.campaign))


def scanner(traffic: Traffic) -> Planned:
    """A messenger or mail filter opens a click URL before a person does, for a preview."""
    scene = traffic.scene(person=robot(SCANNERS, traffic.chance))
    return traffic.tags.click(scene, quote(scene.campaign.landing, safe=""), arrives=scene.campaign.landing)


def head(traffic: Traffic) -> Planned:
    """A link checker asks for the headers only."""
    scene = traffic.scene()
    price = traffic.price(scene.campaign)
    return traffic.tags.impression(scene, price, method="HEAD", flags=[reasons.HEAD])


def prefetch(traffic: Traffic) -> Planned:
    """The browser loads a page ahead of the person, who may never come: Chrome, older ones, and Firefox."""
    ways = (("Sec-Purpose", "prefetch;prerender"), ("Purpose", "prefetch"), ("X-Moz", "prefetch"))
    scene = traffic.scene()
    price = traffic.price(scene.campaign)
    header = pick(traffic.chance, ways)
    return traffic.tags.impression(scene, price, headers=(header,), flags=[reasons.PREFETCH])


# --- macros that nobody replaced, and words for unknown --------------------------------------------------------------


def price_macro(traffic: Traffic) -> Planned:
    """The exchange did not fill in the price; browsers encode the braces, servers everything."""
    text = pick(traffic.chance, ("$%7BAUCTION_PRICE%7D", "%24%7BAUCTION_PRICE%7D", "${AUCTION_PRICE}"))
    return traffic.tags.impression(traffic.scene(), query=[f"price={text}"], flags=[reasons.MACRO_UNREPLACED])


def site_macro(traffic: Traffic) -> Planned:
    """The ad server did not fill in the site; the page that held the tag says it too."""
    scene = traffic.scene()
    price = traffic.price(scene.campaign)
    query = [pair("price", decimal(price))] if price else []
    return traffic.tags.impression(scene, price, query=["site=%%SITE%%", *query], flags=site_flags(scene.person))


def site_flags(person: Person) -> list[str]:
    """An app's tag names its site too, so that the parameter comes twice."""
    again = [reasons.REPEATED_PARAMETER] if person.browser.in_app else []
    return [reasons.MACRO_UNREPLACED, *again]


def cachebuster(traffic: Traffic) -> Planned:
    """No field reads the cache buster, so that it is nobody's loss that it was not replaced."""
    scene = traffic.scene()
    price = traffic.price(scene.campaign)
    query = [pair("price", decimal(price))] if price else []
    return traffic.tags.impression(scene, price, query=[*query, "cb=%%CACHEBUSTER%%"])


def unknown_price(traffic: Traffic) -> Planned:
    """VAST's words for "not known" and "not told", and nothing at all."""
    text = pick(traffic.chance, ("-1", "-2", ""))
    return traffic.tags.impression(traffic.scene(), query=[f"price={text}"], flags=[reasons.UNKNOWN_VALUE])


def audit(traffic: Traffic) -> Planned:
    """An exchange renders the ad to look at it (OpenRTB 2.6, 4.4)."""
    return traffic.tags.impression(traffic.scene(), query=["price=AUDIT"], flags=[reasons.AUDIT])


# --- tags that are wrong ---------------------------------------------------------------------------------------------


def repeated(traffic: Traffic) -> Planned:
    """Two layers of tags both add the price, or the site: the first counts."""
    scene = traffic.scene()
    price = traffic.price(scene.campaign)
    query = [pair("price", decimal(price)), "price=9.99"] if price else ["site=one.example", "site=two.example"]
    return traffic.tags.impression(scene, price, query=query, flags=[reasons.REPEATED_PARAMETER])


def bad_price(traffic: Traffic) -> Planned:
    """A price for people, with the wrong comma, or out of a broken calculation."""
    text = pick(traffic.chance, ("cheap", "2,50", "$2.50", "NaN", "1e999", "-3.20", "2.50 USD"))
    return traffic.tags.impression(traffic.scene(), query=[pair("price", text)], reason=reasons.INVALID_FIELD)


def bad_value(traffic: Traffic) -> Planned:
    """A shop that writes its sums as its country does."""
    fields = {**traffic.paper(0), "value": pick(traffic.chance, ("19,90", "1.299,00", "EUR 5"))}
    name = traffic.scene().campaign.name
    return traffic.tags.conversion(traffic.person(), name, fields, 0, reason=reasons.INVALID_FIELD)


def bad_action(traffic: Traffic) -> Planned:
    """A player with a vocabulary of its own."""
    scene = traffic.scene(video=True)
    spelled = pick(traffic.chance, ("halfway", "almost-done", "quartile-9"))
    return traffic.tags.video(scene, spelled, 1200, reason=reasons.INVALID_FIELD)


def prebid_midpoint(traffic: Traffic) -> Planned:
    """Prebid writes ``midPoint``, VAST ``midpoint``: one and the same."""
    return traffic.tags.video(traffic.scene(video=True), "midpoint", 7500, spelled="midPoint")


def own_clock(traffic: Traffic) -> Planned:
    """A set-top box whose clock was never set."""
    scene = traffic.scene()
    price = traffic.price(scene.campaign)
    query = ["timestamp=2001-01-01T00:00:00Z", *([pair("price", decimal(price))] if price else [])]
    return traffic.tags.impression(scene, price, query=query, flags=[reasons.CLIENT_TIME_REJECTED])


def long_order(traffic: Traffic) -> Planned:
    """A shop puts its whole basket into the order's number."""
    return _order(traffic, "sku-00000-" * 120, reasons.CUT)


def dirty_order(traffic: Traffic) -> Planned:
    """A line break and an escape sequence out of somebody's copy and paste."""
    return _order(traffic, "A17\n\x1b[31mred", reasons.CLEANED)


def _order(traffic: Traffic, order: str, flag: str) -> Planned:
    campaign = traffic.scene().campaign
    micros = traffic.worth(campaign)
    fields = {**traffic.paper(micros), "order": order}
    return traffic.tags.conversion(traffic.person(), campaign.name, fields, micros, flags=[flag])


def bad_destination(traffic: Traffic) -> Planned:
    """Somebody uses the click URL to send people elsewhere: the ways of phishing mails."""
    url = pick(traffic.chance, (
        "https://phish.example/login", "//phish.example/", "https://example.com.phish.example/",
        "https://example.com@phish.example/", "javascript:alert(1)", "https:\\\\phish.example", "data:text/html,hi",
    ))  # fmt: skip
    return traffic.tags.click(traffic.scene(), quote(url, safe=""), reason=reasons.BAD_DESTINATION)


def double_encoded(traffic: Traffic) -> Planned:
    """Two ad servers in a row both encode the destination."""
    scene = traffic.scene()
    landing = f"{scene.campaign.landing}?src=demo&step=2"
    return traffic.tags.click(scene, quote(quote(landing, safe=""), safe=""), arrives=landing)


def bad_body(traffic: Traffic) -> Planned:
    """An app that was closed while it wrote, or that writes something else than it says."""
    person = traffic.person()
    expected = Expected(
        400, "bad", "hit", "app_closed", reasons.INVALID_BODY, flagged(person.flags, [reasons.UNAUTHENTICATED])
    )
    body = pick(traffic.chance, (b'{"screen":"home","items":[1,2', b"[1,2,3]", b"screen=home"))
    return traffic.tags.hit(person, "POST", "/hit/app_closed", [], expected, headers=JSON, body=body)


def bad_name(traffic: Traffic) -> Planned:
    """An event named by a person."""
    person = traffic.person()
    expected = Expected(
        400, "bad", "hit", "hit", reasons.INVALID_EVENT_NAME, flagged(person.flags, [reasons.UNAUTHENTICATED])
    )
    name = pick(traffic.chance, ("sign%20up", "caf%C3%A9", "buy!"))
    return traffic.tags.hit(person, "POST", f"/hit/{name}", [], expected, headers=FORM, body=b"a=1")


# --- what no route takes ---------------------------------------------------------------------------------------------


def no_route(traffic: Traffic) -> Planned:
    """A tag with a typing error, a browser's habits, and somebody who looks for holes."""
    path = pick(traffic.chance, (
        "/imp/c1/cr1.jpg", "/imp/c1.gif", "/IMP/c1/cr1.gif", "/video/c1/cr1.gif", "/favicon.ico", "/wp-login.php",
    ))  # fmt: skip
    expected = Expected(404, "refused", reason=reasons.NO_ROUTE, ack="none")
    return traffic.tags.hit(traffic.person(), "GET", path, [], expected)


def wrong_method(traffic: Traffic) -> Planned:
    """A link to a route for machines, and a form that posts to a pixel."""
    if traffic.chance.random() < 0.5:
        expected = Expected(405, "refused", "hit", reason=reasons.METHOD_NOT_ALLOWED, ack="none")
        return traffic.tags.hit(traffic.person(), "GET", "/hit/signup", [], expected)
    expected = Expected(405, "refused", "impression", reason=reasons.METHOD_NOT_ALLOWED, ack="none")
    return traffic.tags.hit(traffic.person(), "POST", "/imp/c1/cr1.gif", [], expected, headers=FORM, body=b"price=1")


def many_parameters(traffic: Traffic) -> Planned:
    """A template that adds a parameter for every key it knows."""
    expected = Expected(400, "refused", reason=reasons.TOO_MANY_PARAMETERS, ack="none")
    return traffic.tags.hit(traffic.person(), "GET", "/imp/c1/cr1.gif", [f"k{n}={n}" for n in range(140)], expected)


# --- the same in other clothes ---------------------------------------------------------------------------------------


def posted_order(traffic: Traffic) -> Planned:
    """A shop's server posts its orders, as a form or as JSON."""
    campaign = traffic.scene().campaign
    micros = traffic.worth(campaign)
    kind = FORM if traffic.chance.random() < 0.5 else JSON
    return traffic.tags.conversion(traffic.person(), campaign.name, traffic.paper(micros), micros, headers=kind)


def replay(traffic: Traffic) -> Planned:
    """A client that did not hear the answer sends it again: an event of its own, with the same id."""
    return pick(traffic.chance, traffic.recent) if traffic.recent else traffic.banner(traffic.scene())


ODDITIES: dict[Oddity, int] = {
    crawler: 8, scanner: 3, head: 2, prefetch: 3, price_macro: 3, site_macro: 2, cachebuster: 2, unknown_price: 3,
    audit: 1, repeated: 2, bad_price: 3, bad_value: 1, bad_action: 1, prebid_midpoint: 2, own_clock: 1, long_order: 1,
    dirty_order: 1, bad_destination: 3, double_encoded: 2, bad_body: 2, bad_name: 1, no_route: 4, wrong_method: 2,
    many_parameters: 1, posted_order: 3, replay: 4,
}  # fmt: skip
"""How often each is in the deck."""


def deck(chance: Random) -> list[Oddity]:
    """All of them, shuffled."""
    cards = [odd for odd, count in ODDITIES.items() for _ in range(count)]
    for at in range(len(cards) - 1, 0, -1):  # Fisher and Yates; ``Random.shuffle`` may change with Python's version
        other = int(chance.random() * (at + 1))
        cards[at], cards[other] = cards[other], cards[at]
    return cards
