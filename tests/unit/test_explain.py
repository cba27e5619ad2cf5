"""Explanations: near misses, provenance, causes, and what is said about what is not the tracker's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tracker import reasons
from tracker.capture import routing
from tracker.capture.template import parse
from tracker.delivery import registry
from tracker.explain import pasted
from tracker.explain.explainer import Explainer
from tracker.explain.explanation import Explanation
from tracker.explain.near import near_misses
from tracker.settings.load import load
from tracker.settings.model import Routes, Settings, Tracker

ID = "01a1fb11-f386-7000-ab68-c36f9719a68a"
NOW_MS = 1_795_212_425_000

TABLE = """
routes:
  view:
    path: /view/{page}/{n:integer}.gif
    methods: [GET, HEAD, POST]
    reply: pixel
    dimensions:
      page: {from: path.page, max_length: 4, lower: true}
      site: {from: [query.site, header.referer, body.site], as: host}
      tier: {from: query.tier, pattern: "[a-z]+", default: free}
      who: {const: us}
      plan: {from: query.plan, required: true}
    metrics:
      price: {from: [query.price, body.price], as: money, unit: cpm, currency: EUR, cost: true}
    properties: all
    cookie: {}
  named:
    path: /e/{event}
    methods: [POST]
    event: path.event
    reply: json
  out:
    path: /out/{campaign}
    reply: {redirect: {to: query.url, allow: [shop.example], otherwise: "https://shop.example/"}}
  silent:
    path: /silent
    reply: no_content
    access: open
    properties: all
"""


def table(collectors: str = "{}", **tracker: Any) -> Settings:
    """The table above; collectors in YAML."""
    routes = msgspec.convert(yaml.safe_load(TABLE), Routes)
    settings = msgspec.convert({"collectors": yaml.safe_load(collectors), **tracker}, Tracker)
    assert [*routing.check(settings, routes), *registry.check(settings, routes)] == []
    return Settings(tracker=settings, routes=routes, version="0" * 12)


def explain(text: str, settings: Settings | None = None, address: str = "203.0.113.7") -> Explanation:
    """The only explanation of a paste."""
    (found,) = Explainer(settings or table(), lambda _: ID).explain_all(pasted.requests(text), address, NOW_MS)
    return found


def field(found: Explanation, name: str) -> Any:
    """One field of an explanation."""
    (wanted,) = [each for each in found.fields if each.name == name]
    return wanted


# --- fields ------------------------------------------------------------------------------------------------------


def test_every_source_is_told_in_order_with_what_it_gave() -> None:
    """A macro, then a header that names a host; the body is not asked any more."""
    found = explain("curl 'http://t/view/Home/1.gif?plan=a&site=[SITE]' -e https://News.example/x -d site=other.example")
    site = field(found, "site")
    told = [(each.source, each.state, each.held, each.value, each.flags, each.asked) for each in site.sources]
    assert told == [
        ("query.site", "macro", "[SITE]", None, (reasons.MACRO_UNREPLACED,), True),
        ("header.referer", "value", "https://News.example/x", "news.example", (), True),
        ("body.site", "value", "other.example", "other.example", (), False),
    ]
    assert (site.used, site.value, site.trouble, site.flags) == ("header.referer", "news.example", "", (reasons.MACRO_UNREPLACED,))


@pytest.mark.parametrize(("query", "name", "used", "value", "trouble", "state"), [
    ("", "tier", "default", "free", "", "absent"), ("tier=", "tier", "default", "free", "", "unknown"), ("tier=-1", "tier", "default", "free", "", "unknown"),
    ("tier=pro", "tier", "query.tier", "pro", "", "value"), ("tier=PRO", "tier", "query.tier", None, "invalid_field", "invalid"),
    ("", "plan", "", None, "missing_field", "absent"), ("price=2.50", "price", "query.price", 2_500_000, "", "value"),
    ("price=2,50", "price", "query.price", None, "invalid_field", "invalid"), ("price=AUDIT", "price", "query.price", None, "", "audit"),
    ("", "site", "", None, "", "absent"),
])  # fmt: skip
def test_a_field_says_what_was_taken_and_why_not(query: str, name: str, used: str, value: Any, trouble: str, state: str) -> None:
    """Default, required, pattern, type, unknown words, and a price that is withheld."""
    wanted = field(explain(f"/view/home/1.gif?{query}"), name)
    assert (wanted.used, wanted.value, wanted.trouble, wanted.sources[0].state) == (used, value, trouble, state)


def test_cut_cleaned_and_constant_fields_are_told() -> None:
    """The flag stands at the field that caused it."""
    found = explain("/view/LONGER%01/1.gif?plan=a")
    assert (field(found, "page").value, set(field(found, "page").flags)) == ("long", {reasons.CUT, reasons.CLEANED})
    assert (field(found, "who").used, field(found, "who").value, field(found, "who").sources) == ("const", "us", ())
    assert {each.name: each.because for each in found.flags} == {"cut": ("dimension page",), "cleaned": ("dimension page",)}


def test_a_price_is_told_as_people_and_as_ledgers_have_it() -> None:
    """A CPM of 2.50 is 0.0025 for one impression; nobody is billed for a HEAD or a bad event."""
    cost = explain("/view/home/1.gif?plan=a&price=2.50").cost
    assert cost is not None
    assert (cost.nanos, cost.amount, cost.currency, cost.because) == (2_500_000, "0.0025", "EUR", "2.50 EUR CPM")
    for text, word in (("HEAD /view/home/1.gif?plan=a&price=2.50", "flagged head"), ("/view/home/1.gif?price=2.50", "bad lane"), ("/view/home/1.gif?plan=a", "no price")):
        cost = explain(text).cost
        assert cost is not None
        assert cost.nanos == 0
        assert word in cost.because


def test_words_properties_and_the_cookie_are_told() -> None:
    """Each with its source; a word that is not taken keeps its text."""
    found = explain("curl 'http://t/view/home/1.gif?plan=a&event_id=bad%20id&timestamp=2026-11-20T22:00:00Z&x=1' --json '{\"x\": 2, \"y\": [1]}' -b __Host-tid=none")
    assert [(each.name, each.source, each.held, each.value) for each in found.words] == [
        ("event_id", "query.event_id", "bad id", ""), ("timestamp", "query.timestamp", "2026-11-20T22:00:00Z", "2026-11-20T22:00:00.000Z"),
        ("anonymous_id", "new cookie", None, ID),
    ]  # fmt: skip
    assert [(each.name, each.source, each.value) for each in found.properties] == [("x", "body", 2), ("y", "body", [1])]
    held = explain("curl 'http://t/view/home/1.gif?plan=a' -b __Host-tid=" + ID).words
    assert [(each.source, each.held, each.value) for each in held] == [("cookie", ID, ID)]
    assert explain("curl 'http://t/view/home/1.gif?plan=a' -H 'Sec-GPC: 1'").words == ()


def test_who_the_client_is_taken_for_is_told() -> None:
    """The connection, who it speaks for, what is kept of that, and why."""
    settings = table(clients={"trusted_proxies": ["203.0.113.0/24"]})
    client = explain("curl http://t/silent -H 'X-Forwarded-For: 1.2.3.4, 198.51.100.9'", settings).client
    assert client is not None
    assert (client.connection, client.address, client.kept) == ("203.0.113.7", "198.51.100.9", "198.51.100.0")
    client = explain("curl http://t/silent -H 'Sec-GPC: 1'").client
    assert client is not None
    assert client.kept == ""
    assert "Sec-GPC" in client.because
    found = explain('198.51.100.9 - - [x] "GET /silent HTTP/1.1" 204 0')
    assert found.client is not None
    assert found.client.connection == "198.51.100.9"


# --- outcome -----------------------------------------------------------------------------------------------------


def test_all_that_is_wrong_is_told_and_which_of_it_the_event_says() -> None:
    """Two fields are wrong: the event bears the first."""
    found = explain("/view/home/1.gif?price=x")
    assert (found.outcome, found.reason) == ("bad", "missing_field")
    assert [(each.reason, each.field, each.decides) for each in found.troubles] == [("missing_field", "plan", True), ("invalid_field", "price", False)]
    found = explain("curl http://t/view/home/1.gif?plan=a --json '{'")
    assert [(each.reason, each.field) for each in found.troubles] == [("invalid_body", "body")]
    found = explain("POST /e/no%20name")
    assert [(each.reason, each.field) for each in found.troubles] == [("invalid_event_name", "event")]


@pytest.mark.parametrize(("query", "taken", "location", "held"), [
    ("url=https://shop.example/x", True, "https://shop.example/x", "https://shop.example/x"),
    ("url=https://evil.example/", False, "https://shop.example/", "https://evil.example/"), ("", False, "https://shop.example/", None),
])  # fmt: skip
def test_where_a_person_is_sent_is_told(query: str, taken: bool, location: str, held: str | None) -> None:
    """The destination, or what is in its place, and what the hit asked for."""
    to = explain(f"/out/c1?{query}").destination
    assert to is not None
    assert (to.source, to.held, to.location, to.taken, to.allowed) == ("query.url", held, location, taken, ("shop.example",))


def test_a_hit_without_an_event_says_why() -> None:
    """No route, a method that the route does not take, too long a path: with the reply that each gets."""
    for text, reason, status, route in (("/nothing", "no_route", 404, None), ("GET /e/x", "method_not_allowed", 405, "named"), ("/view/" + "x" * 3000, "path_too_long", 414, None)):
        found = explain(text)
        assert (found.outcome, found.reason, found.reply.status, found.event) == ("refused", reason, status, None)
        assert found.help == reasons.BY_NAME[reason].help
        assert (found.route.name if found.route else None) == route


def test_who_would_take_the_event_is_told_with_the_reason() -> None:
    """By lane and by name; of what would not be kept, nobody."""
    collectors = "{all: {type: log, options: {file: a}}, bad: {type: log, lanes: [bad], options: {file: b}}, views: {type: log, events: [view, 'v*'], options: {file: c}}}"
    settings = table(collectors)
    told = {each.collector: (each.takes, each.because) for each in explain("/silent", settings).collectors}
    assert told == {"all": (True, "it takes *"), "bad": (False, "it takes the bad lane only"), "views": (False, "it takes view, v*, not silent")}
    assert [each.collector for each in explain("/view/home/1.gif", settings).collectors if each.takes] == ["bad"]
    lost = explain("/view/home/1.gif", table(collectors, limits={"max_bad_events_per_second": 0}))
    assert (lost.outcome, lost.kept, [each.takes for each in lost.collectors]) == ("bad", False, [False] * 3)


def test_many_bad_hits_are_explained_alike() -> None:
    """The bad lane's cap is about a second's traffic, not about a pasted list."""
    found = Explainer(table(limits={"max_bad_events_per_second": 1}), lambda _: ID).explain_all(pasted.requests("/view/home/1.gif\n" * 5), "", NOW_MS)
    assert [each.kept for each in found] == [True] * 5


def test_urls_of_a_tag_that_lead_elsewhere_are_no_mistake() -> None:
    """The picture of another host; but what has no route on the tracker's own host is one."""
    tag = "<img src='https://t.example/silent'><img src='https://cdn.example/a.png'><img src='https://t.example/silnt'>"
    found = Explainer(table(), lambda _: ID).explain_all(pasted.requests(tag), "", NOW_MS)
    assert [(each.outcome, each.elsewhere) for each in found] == [("good", False), ("refused", True), ("refused", False)]
    alone = Explainer(table(), lambda _: ID).explain_all(pasted.requests("<img src='https://cdn.example/a.png'>"), "", NOW_MS)
    assert [each.elsewhere for each in alone] == [False]


def test_nothing_of_a_hit_keeps_an_explanation_from_being_json() -> None:
    """Halves of surrogate pairs, nested bodies, every type."""
    found = explain("curl 'http://t/view/%ED%A0%80/1.gif?plan=%ff&site=a&site=b' --json '{\"x\": {\"y\": [1.5, null, true]}}'")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Explanation) == found


# --- near misses -------------------------------------------------------------------------------------------------

DEFAULT = {name: parse(route.path) for name, route in load(None, None, {}, {}, ()).routes.routes.items()}


@pytest.mark.parametrize(("path", "route", "word"), [
    ("/imp/c1/cr1", "impression", "does not end with `.gif`"), ("/imp/c1/cr1.png", "impression", "does not end with `.gif`"),
    ("/imp/c1.gif", "impression", "lacks a segment for `{campaign}`"), ("/imp/a/b/c.gif", "impression", "`a` is too many"),
    ("/imp/c1/cr1.gif/", "impression", "`/` is too many"), ("/Imp/c1/cr1.gif", "impression", "case counts"), ("/imq/c1/cr1.gif", "impression", "`imp` is due"),
    ("/hit/", "hit", "`{event}` is empty"), ("/hit", "hit", "lacks a segment for `{event}`"), ("/go/sprung", "spring", "`spring` is due"),
])  # fmt: skip
def test_a_path_that_nearly_fits_is_told_the_route_and_the_difference(path: str, route: str, word: str) -> None:
    """The nearest route first."""
    found = near_misses(path, DEFAULT)
    assert found[0].route == route
    assert word in found[0].differs


def test_a_typed_parameter_says_what_it_takes() -> None:
    """Digits only."""
    (found,) = near_misses("/n/x12a", {"n": parse("/n/x{id:integer}")})
    assert "takes digits only" in found.differs


@pytest.mark.parametrize("path", ["/", "/favicon.ico", "/a/b/c/d/e", "/wp-admin/setup.php", "/" + "/x" * 100])
def test_a_path_of_somebody_else_is_near_nothing(path: str) -> None:
    """No guess is better than a bad one."""
    assert near_misses(path, DEFAULT) == []


def test_what_else_may_be_why_is_noted() -> None:
    """The tracker's own pages, and an encoded slash."""
    assert any("tracker's own" in note for note in explain("/-/healthz").notes)
    assert any("%2F" in note for note in explain("/out/a%2Fb").notes)
    assert explain("/out/a").notes == ()


def test_the_examples_of_the_default_table_are_all_good(tmp_path: Path) -> None:
    """One path of each default route, by the very settings that `serve` has."""
    settings = load(None, None, {}, {}, (routing.check, registry.check))
    for text in ("/imp/c1/cr1.gif?price=2.50", "/click/c1/cr1?url=https://example.com/", "/go/spring", "/conv/c1.gif?value=3", "/video/c1/cr1/midPoint.gif", "POST /hit/signup"):
        found = explain(text, settings)
        assert (found.outcome, [each.takes for each in found.collectors]) == ("good", [True, False]), text
