"""Jumps: stored destinations, macros, added parameters, where a refused person lands, and what each route reads."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tracker.capture import routing
from tracker.capture.endpoint import Answer, Endpoint
from tracker.capture.hit import Hit
from tracker.capture.jump import MAX_LOCATION_CHARS, Jump, compile_jump, macros
from tracker.settings.model import Limits, Redirect, Routes, Settings, Tracker

NOW = 1_763_675_618_123
KEYS = {"clicks": {"k1": "not-a-secret-but-long-enough"}}


def jump(to: str = "query.url", names: tuple[str, ...] = ("campaign", "creative"), **options: Any) -> Jump:
    """A jump that allows example.com unless it is told otherwise."""
    if to.startswith(("query.", "body.")):
        options.setdefault("allow", ("example.com",))
    return compile_jump(Redirect(to=to, **options), KEYS, names)


def land(compiled: Jump, url: Any = None, event_id: str = "e1", **dimensions: str) -> tuple[str, str]:
    query: Mapping[str, Any] = {} if url is None else {"url": url}
    return compiled.land("/click/c1", query, {}, event_id, dimensions, NOW)


def endpoint(routes: str) -> Endpoint:
    tracker = Tracker(signing_keys=KEYS, limits=Limits(max_bad_events_per_second=10**9, max_bad_bytes_per_second=10**12))
    table = msgspec.convert(yaml.safe_load(routes), Routes)
    assert list(routing.check(tracker, table)) == []
    return Endpoint(Settings(tracker=tracker, routes=table, version="0" * 12), lambda ms: "id-0")


def get(door: Endpoint, target: str) -> Answer:
    path, _, query = target.partition("?")
    return door.answer(Hit("GET", unquote(path), query, {}, b"", "203.0.113.7", NOW))


def headers(answer: Answer) -> dict[str, str]:
    return dict([*answer.reply.fixed.headers, *answer.reply.extra])


# --- macros ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("https://shop.example/", "https://shop.example/"),
        ("https://shop.example", "https://shop.example/"),
        ("https://shop.example/{campaign}?click={click_id}", "https://shop.example/spring%20sale?click=e1"),
        ("https://shop.example/%7Bcampaign%7D?click=%7bclick_id%7d", "https://shop.example/spring%20sale?click=e1"),
        ("https://shop.example/{event_id}", "https://shop.example/e1"),
        ("https://shop.example/{campaign}{creative}/{campaign}", "https://shop.example/spring%20salea%2Fb/spring%20sale"),
        ("https://shop.example/a-{campaign}.html", "https://shop.example/a-spring%20sale.html"),
        ("https://shop.example/?{campaign}={creative}&x", "https://shop.example/?spring%20sale=a%2Fb&x"),
        ("https://shop.example/#{campaign}", "https://shop.example/#spring%20sale"),
        ("https://shop.example?{creative}", "https://shop.example/?a%2Fb"),
        ("https://shop.example#{creative}", "https://shop.example/#a%2Fb"),
        ("HTTPS://Shop.Example:443/{campaign}", "https://shop.example/spring%20sale"),
        ("https://shop.example:8443/{campaign}", "https://shop.example:8443/spring%20sale"),
        ("https://shop.example/caf\u00e9/{campaign}", "https://shop.example/caf%C3%A9/spring%20sale"),
        ("https://shop.example/%7BCampaign%7D", "https://shop.example/%7BCampaign%7D"),
        ("https://shop.example/%7Bother%7D", "https://shop.example/%7Bother%7D"),
        ("https://shop.example/%257Bcampaign%257D", "https://shop.example/%257Bcampaign%257D"),
        ("https://shop.example/{{campaign}}", "https://shop.example/%7Bspring%20sale%7D"),
    ],
)
def test_macros_are_replaced_wherever_they_stand_behind_the_host(to: str, location: str) -> None:
    """Path, query and fragment, plain or percent-encoded; the same from the settings as from a hit."""
    values = {"campaign": "spring sale", "creative": "a/b"}
    assert land(jump(to), **values) == (location, "")
    from_hit = jump(allow=("shop.example", "shop.example:8443"))
    assert land(from_hit, to, **values) == (location, "")


@pytest.mark.parametrize("written", ["{gclid}", "{lpurl}", "{CAMPAIGN}", "{campaign2}", "{}", "{ campaign }", "{a-b}", "{campaign", "campaign}", "${campaign_id}", "{" + "a" * 65 + "}"])
def test_what_names_no_dimension_stays_as_it_is(written: str) -> None:
    """Percent-encoded: it is another system's macro, or none."""
    location = f"https://example.com/{written}/x".replace("{", "%7B").replace("}", "%7D").replace(" ", "%20")
    assert land(jump(), f"https://example.com/{written}/x", campaign="no") == (location, "")


def test_an_absent_dimension_is_empty() -> None:
    """In every part of the URL."""
    compiled = jump("https://shop.example/{campaign}/{creative}?{campaign}&c={creative}#{campaign}")
    assert land(compiled, creative="x") == ("https://shop.example//x?&c=x#", "")
    assert land(compiled) == ("https://shop.example//?&c=#", "")


def test_the_events_id_is_heard_before_a_dimension_of_its_name() -> None:
    """`{click_id}` means the same on every route."""
    compiled = jump(names=("click_id", "event_id"))
    assert land(compiled, "https://example.com/{click_id}/{event_id}", click_id="no", event_id="e1") == ("https://example.com/e1/e1", "")


def test_a_value_is_never_read_as_a_macro() -> None:
    """Neither plain nor percent-encoded."""
    compiled = jump("https://shop.example/{campaign}/{creative}")
    assert land(compiled, campaign="{creative}", creative="%7Bcampaign%7D") == ("https://shop.example/%7Bcreative%7D/%257Bcampaign%257D", "")


HOSTILE = [
    "/", "//", "//evil.example", "\\", "\\\\evil.example", "?", "#", "&", "=", ";", "%", "%2f", "%2F..%2F", "%00", "@", "@evil.example", ":", ":80", "../", "../..", "/..", "..;/", "\t", "\r\n", "\r\nSet-Cookie: a=b",
    "\x00", " ", "+", "\u00fc", "\U0001f600", "\uff0f", "\uff0e\uff0e", "\u2028", "\ufffd", "'", '"', "<script>", "`", "|", "^", "~", "!", "*", "(", ")", ",", "[", "]", "{", "}", "%2e%2e", "%252e", ".%2e", "...", ". ", ".\u200b",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
@pytest.mark.parametrize("to", ["https://shop.example/a/{campaign}/b?x={campaign}&y=1#{campaign}", "https://shop.example/{campaign}", "https://shop.example/a/{campaign}{creative}.html?{campaign}"])
def test_no_value_changes_the_structure_of_a_url(value: str, to: str) -> None:
    """What was encoded is the value, whole, and decodes to it; the rest of the URL is as with a harmless value."""
    location, reason = land(jump(to), campaign=value, creative="c")
    assert reason == ""
    encoded = quote(value, safe="")
    plain, _ = land(jump(to), campaign="x" * 40, creative="c")
    assert location == plain.replace("x" * 40, encoded)
    assert unquote(encoded) == value
    assert urlsplit(location)[:2] == ("https", "shop.example")
    assert location.isascii()
    assert location.isprintable()


@pytest.mark.parametrize("value", [".", ".."])
@pytest.mark.parametrize("name", ["campaign", "click_id"])
def test_a_value_that_browsers_would_climb_by_counts_as_absent(value: str, name: str) -> None:
    """`.` and `..` have no encoding that a browser takes for a name."""
    compiled = jump(f"https://shop.example/a/{{{name}}}/b?{{{name}}}")
    expected = ("https://shop.example/a//b?", "")
    assert compiled.land("/", {}, {}, value if name == "click_id" else "e1", {"campaign": value}, NOW) == expected


def test_dots_of_several_values_do_not_add_up() -> None:
    """Whatever stands side by side in a segment."""
    compiled = jump("https://shop.example/a/{campaign}{creative}/b")
    for one, other in itertools.product(["", ".", ".."], repeat=2):
        assert land(compiled, campaign=one, creative=other) == ("https://shop.example/a//b", "")


@pytest.mark.parametrize("segment", [".{campaign}", "{campaign}.", "..{campaign}", "%2e{campaign}", "{campaign}%2E", ".{campaign}.", ".{campaign}{creative}", "{campaign}.{creative}", "%2E%7Bcampaign%7D", ".{unknown}"])
def test_a_segment_of_macros_and_dots_is_refused(segment: str) -> None:
    """Without values it would be `.` or `..`."""
    for path in (f"/{segment}", f"/a/{segment}/b", f"/a/{segment}?x"):
        assert land(jump(), f"https://example.com{path}") == ("", "bad_destination")
    assert land(jump(), f"https://example.com/?{segment}#{segment}")[1] == ""


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_any_value_can_be_got_back(one: str, other: str) -> None:
    """By splitting where the literal text is, and decoding."""
    location, reason = land(jump("https://shop.example/a/{campaign}/b?c={creative}&d#e"), campaign=one, creative=other)
    if len(quote(one, safe="") + quote(other, safe="")) > 2900:
        return
    assert reason == ""
    parts = urlsplit(location)
    path, query = parts.path.split("/"), parts.query.split("&")
    assert (len(path), len(query), parts.fragment) == (4, 2, "e")
    assert unquote(path[2]) == ("" if one in (".", "..") else one)
    assert unquote(query[0].removeprefix("c=")) == ("" if other in (".", "..") else other)


def test_macros_of_a_url_can_be_listed() -> None:
    """Known or not, in order; a text that is no URL has none."""
    assert macros("https://shop.example/{b}/x{a}?{b}#%7Bc%7D") == ["b", "a", "b", "c"]
    assert macros("{a}") == []


# --- what is added ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://example.com", "https://example.com/?click_id=e1"), ("https://example.com/a?b=c", "https://example.com/a?b=c&click_id=e1"),
        ("https://example.com/a?", "https://example.com/a?click_id=e1"), ("https://example.com/a?b&", "https://example.com/a?b&click_id=e1"),
        ("https://example.com/a?b#c?d", "https://example.com/a?b&click_id=e1#c?d"), ("https://example.com/#c", "https://example.com/?click_id=e1#c"),
        ("https://example.com/?click_id=mine", "https://example.com/?click_id=mine&click_id=e1"), ("https://example.com/?{campaign}#{campaign}", "https://example.com/?c1&click_id=e1#c1"),
        ("https://example.com/{campaign}", "https://example.com/c1?click_id=e1"),
    ],
)  # fmt: skip
def test_added_parameters_stand_at_the_end_of_the_query(url: str, location: str) -> None:
    """Before the fragment, whatever the destination brings; in stored destinations as in those from hits."""
    add = {"click_id": "event.id"}
    assert land(jump(add=add), url, campaign="c1") == (location, "")
    assert land(jump(url, add=add), campaign="c1") == (location, "")


def test_dimensions_can_be_added_and_are_left_out_where_they_are_absent() -> None:
    """In the order of the settings, name and value percent-encoded."""
    compiled = jump(add={"c": "dimensions.campaign", "id": "event.id", "a&b=": "dimensions.creative"})
    assert land(compiled, "https://example.com/", campaign="a&b#c d", creative="..") == ("https://example.com/?c=a%26b%23c%20d&id=e1&a%26b%3D=..", "")
    assert land(compiled, "https://example.com/", creative="\u00fc") == ("https://example.com/?id=e1&a%26b%3D=%C3%BC", "")
    only = jump(add={"c": "dimensions.campaign"})
    assert land(only, "https://example.com/") == ("https://example.com/", "")
    assert land(only, "https://example.com/?x", campaign="") == ("https://example.com/?x&c=", "")


def test_an_id_from_the_client_is_encoded_too() -> None:
    """Its characters are few, but `:` is one of them."""
    assert land(jump(add={"id": "event.id"}), "https://example.com/{click_id}", event_id="a:b") == ("https://example.com/a%3Ab?id=a%3Ab", "")


# --- where a person lands --------------------------------------------------------------------------------------------


def test_who_is_refused_lands_at_otherwise_with_its_macros_and_nothing_added() -> None:
    """Before any field could be read: with nothing filled in."""
    compiled = jump(otherwise="https://example.com/{campaign}?x={click_id}&y=%7Bzz%7D", add={"click_id": "event.id"})
    assert land(compiled, "https://evil.example/", campaign="c 1") == ("https://example.com/c%201?x=e1&y=%7Bzz%7D", "bad_destination")
    assert compiled.otherwise == "https://example.com/?x=&y=%7Bzz%7D"


def test_without_otherwise_there_is_no_location() -> None:
    """The endpoint then says 400."""
    compiled = jump()
    assert land(compiled, "https://evil.example/") == ("", "bad_destination")
    assert compiled.otherwise == ""


@pytest.mark.parametrize("value", [None, ["https://example.com/", "https://example.com/"], ["https://example.com/"], 7, True, b"https://example.com/", {"u": "https://example.com/"}])
def test_what_is_not_one_text_is_refused(value: object) -> None:
    """Absent, repeated, or no text at all in a JSON body."""
    assert land(jump(), value) == ("", "bad_destination")
    assert jump("body.url").land("/", {"url": "https://example.com/"}, {"url": value}, "e1", {}, NOW) == ("", "bad_destination")


def test_a_stored_destination_is_its_own_otherwise() -> None:
    """A person is sent there in any case; what does not fit is left out."""
    compiled = jump("https://shop.example/{campaign}?c={creative}")
    assert compiled.otherwise == "https://shop.example/?c="
    assert land(compiled, campaign="c1", creative="\u00fc" * 600) == ("https://shop.example/?c=", "bad_destination")
    added = jump("https://shop.example/{campaign}", add={"x": "dimensions.creative"})
    assert land(added, campaign="c1", creative="\u00fc" * 600) == ("https://shop.example/c1", "bad_destination")


def test_a_location_is_never_longer_than_it_may_be() -> None:
    """One character more and the destination is refused; `otherwise` too falls back to itself without values."""
    start = "https://shop.example/"
    compiled = jump(start + "{campaign}", otherwise="https://shop.example/sorry/{campaign}")
    fits = MAX_LOCATION_CHARS - len(start)
    assert land(compiled, campaign="x" * fits) == (start + "x" * fits, "")
    assert land(compiled, campaign="x" * (fits + 1)) == ("https://shop.example/sorry/", "bad_destination")
    assert land(jump(start, add={"c": "dimensions.campaign"}), campaign="x" * fits) == (start, "bad_destination")
    from_hit = jump(otherwise="https://example.com/o/{creative}")
    assert land(from_hit, "https://example.com/{campaign}", campaign="\u00fc" * 600, creative="y") == ("https://example.com/o/y", "bad_destination")


def test_what_a_jump_reads_is_no_property() -> None:
    """The destination's parameter, and those of a signature where the route takes one."""
    assert (jump().consumed_query, jump().consumed_body, jump().key) == ({"url"}, frozenset(), "url")
    signed = jump("body.to", signed_by="clicks")
    assert (signed.consumed_query, signed.consumed_body, signed.key) == (frozenset(), {"to", "kid", "exp", "sig"}, "to")
    stored = jump("https://shop.example/")
    assert (stored.consumed_query, stored.consumed_body, stored.key) == (frozenset(), frozenset(), "")


# --- through the endpoint --------------------------------------------------------------------------------------------

TABLE = """
field_sets: {ad: {dimensions: {campaign: path.campaign, site: query.site}}}
routes:
  click: {path: "/click/{campaign}", use: [ad], properties: all, methods: [GET, HEAD, POST],
    metrics: {price: {from: query.price, as: money, currency: EUR}},
    reply: {redirect: {to: query.url, allow: [example.com], add: {click_id: event.id, c: dimensions.campaign, s: dimensions.site},
                       otherwise: "https://example.com/{campaign}?why", referrer_policy: origin}}}
  strict: {path: "/strict/{campaign}", use: [ad], dimensions: {must: {from: query.must, required: true}}, reply: {redirect: {to: query.url, allow: [example.com]}}}
  spring: {path: "/go/{campaign}", use: [ad], reply: {redirect: {to: "https://shop.example/{campaign}/{site}?click={click_id}"}}}
"""
DOOR = endpoint(TABLE)


def test_a_click_brings_its_dimensions_along() -> None:
    """Macros and added parameters are those of the event; its currency is one of them."""
    answer = get(DOOR, "/click/a%20b?site=n&price=2&x=1&url=https://example.com/%7Bcampaign%7D/%7Bcurrency%7D/%7Bzz%7D?%7Bclick_id%7D")
    assert answer.reply.fixed.status == 302
    assert headers(answer)["Location"] == "https://example.com/a%20b/EUR/%7Bzz%7D?id-0&click_id=id-0&c=a%20b&s=n"
    assert headers(answer)["Referrer-Policy"] == "origin"
    assert headers(answer)["Cache-Control"] == "no-store"
    (event,) = answer.events
    assert (event.lane, event.properties) == ("good", {"x": "1"})


def test_a_refused_click_lands_at_otherwise_with_its_campaign() -> None:
    """302, the reason in a header, the event in the bad lane."""
    answer = get(DOOR, "/click/c1?url=https://evil.example/")
    assert (answer.reply.fixed.status, headers(answer)["Location"]) == (302, "https://example.com/c1?why")
    assert headers(answer)["X-Tracker-Reason"] == "bad_destination"
    (event,) = answer.events
    assert (event.lane, event.reason, event.properties["field"]) == ("bad", "bad_destination", "url")


def test_a_person_is_sent_on_even_when_nothing_can_be_read() -> None:
    """A query too long to look at: `otherwise`, or the stored destination, with nothing filled in."""
    for path, location in (("/click/c1", "https://example.com/?why"), ("/go/c1", "https://shop.example//?click=")):
        answer = get(DOOR, f"{path}?x={'y' * 9000}")
        assert (answer.reply.fixed.status, headers(answer)["Location"], answer.events) == (302, location, ())
        assert headers(answer)["X-Tracker-Reason"] == "query_too_long"


def test_a_click_with_a_missing_field_still_goes_where_it_should() -> None:
    """Reports lose it, the person does not."""
    answer = get(DOOR, "/strict/c1?url=https://example.com/x")
    assert (answer.reply.fixed.status, headers(answer)["Location"]) == (302, "https://example.com/x")
    assert [event.reason for event in answer.events] == ["missing_field"]


@pytest.mark.parametrize(("policy", "header"), [(None, "no-referrer"), ("origin", "origin"), ("strict-origin", "strict-origin"), ("unsafe-url", "unsafe-url")])
def test_the_referrer_policy_is_the_routes(policy: str | None, header: str) -> None:
    """By default the landing page learns nothing."""
    compiled = jump("https://shop.example/", **({"referrer_policy": policy} if policy else {}))
    assert [value for name, value in compiled.fixed.headers if name == "Referrer-Policy"] == [header]
    assert compiled.fixed.status == 302


def test_the_memo_of_destinations_changes_nothing() -> None:
    """The first, second and third time a destination comes it is answered alike, on every route alike."""
    for url in ("https://example.com/{campaign}?a", "https://evil.example/", "https%3A%2F%2Fexample.com/", "nonsense", "https://example.com/" + "x" * 600):
        one, other = jump(), jump(names=(), allow=("evil.example",))
        answers = [(land(one, url, campaign="c"), land(other, url, campaign="c")) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert answers[0][0] != answers[0][1] or answers[0] == (("", "bad_destination"),) * 2
