"""Signatures of destinations: what is good, and everything that is not, through the endpoint as hits bring it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tracker.capture import routing, signing
from tracker.capture.endpoint import Answer, Endpoint
from tracker.capture.hit import Hit
from tracker.settings.model import Limits, Routes, Settings, Tracker

VECTORS: list[dict[str, str]] = json.loads((Path(__file__).parents[2] / "docs" / "howto" / "signatures.json").read_text("utf-8"))
NOW = 1_763_675_618_123
SOON = NOW // 1000 + 3600
FIRST, SECOND, FOREIGN = "the first of the ring's secrets", "the second of the ring's secrets", "the secret of another ring"
RINGS = {"clicks": {"2026b": FIRST, "2026a": SECOND}, "mails": {"2026b": FOREIGN, "m1": FOREIGN}}
TABLE = """
routes:
  click: {path: "/click/{campaign}", properties: all, methods: [GET, POST], dimensions: {campaign: path.campaign},
          reply: {redirect: {to: query.url, signed_by: clicks, add: {click_id: event.id}}}}
  listed: {path: "/listed/{campaign}", reply: {redirect: {to: query.url, signed_by: clicks, allow: [shop.example]}}}
  kind: {path: "/kind/{campaign}", dimensions: {campaign: path.campaign}, reply: {redirect: {to: query.url, signed_by: clicks, otherwise: "https://shop.example/{campaign}"}}}
  mail: {path: "/mail/{campaign}", reply: {redirect: {to: query.url, signed_by: mails}}}
  unsigned: {path: "/unsigned/{campaign}", properties: all, reply: {redirect: {to: query.url, allow: [shop.example]}}}
  form: {path: "/form", methods: [POST], properties: all, reply: {redirect: {to: body.url, signed_by: clicks}}}
"""
SHOP = "https://shop.example/"
ELSEWHERE = "https://elsewhere.example:8443/x?y=1#z"


def endpoint(rings: dict[str, dict[str, str]] = RINGS, table: str = TABLE) -> Endpoint:
    tracker = Tracker(signing_keys=rings, limits=Limits(max_bad_events_per_second=10**9, max_bad_bytes_per_second=10**12))
    routes = msgspec.convert(yaml.safe_load(table), Routes)
    assert list(routing.check(tracker, routes)) == []
    return Endpoint(Settings(tracker=tracker, routes=routes, version="0" * 12), lambda ms: "id-0")


DOOR = endpoint()


def get(path: str, query: str, door: Endpoint = DOOR, now_ms: int = NOW) -> tuple[str, str]:
    """Where a GET leads, and the reason if that is not where it wanted; every sign of a refusal is looked at."""
    return outcome(door.answer(Hit("GET", path, query, {}, b"", "203.0.113.7", now_ms)))


def outcome(answer: Answer) -> tuple[str, str]:
    (event,) = answer.events
    found = dict(answer.reply.extra)
    location = found.get("Location", "")
    assert answer.reply.fixed.status == (302 if location else 400)
    assert (event.lane, event.reason) == (("bad", event.reason) if event.reason else ("good", ""))
    if event.reason:
        assert event.properties["field"] == "url"
        assert "X-Tracker-Reason" not in found or found["X-Tracker-Reason"] == event.reason
    return location, event.reason


def signed(destination: str = ELSEWHERE, path: str = "/click/c1", kid: str = "2026b", secret: str = FIRST, expiry: int | None = SOON, **other: str | None) -> str:
    """A signed query; ``other`` replaces its parameters, None leaves one out."""
    parts: dict[str, str | None] = {"url": destination, "kid": kid, "exp": None if expiry is None else str(expiry), "sig": signing.sign(secret, kid, expiry, path, destination)}
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in (parts | other).items() if value is not None)


def by_hand(secret: str, *lines: str) -> str:
    """The formula as the documents have it, without the tracker's own code."""
    code = hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(code).decode().rstrip("=")


SIG = signing.sign(FIRST, "2026b", SOON, "/click/c1", ELSEWHERE)


def at(index: int, text: str) -> str:
    """The good signature with another character somewhere."""
    return SIG[:index] + text + SIG[index % 43 + 1 :]


def other_of(character: str) -> str:
    return "A" if character != "A" else "B"


# --- good ones -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_vector_is_right_and_leads_where_it_says(vector: dict[str, str]) -> None:
    """The documented text, its signature by hand and by our code, and a hit of the finished link."""
    lines = ["tracker-redirect-1", vector["kid"], vector["exp"], vector["path"], vector["destination"]]
    assert vector["text"] == "\n".join(lines)
    assert vector["sig"] == by_hand(vector["secret"], *lines)
    assert vector["sig"] == signing.sign(vector["secret"], vector["kid"], int(vector["exp"]) if vector["exp"] else None, vector["path"], vector["destination"])
    table = '{routes: {click: {path: "/click/{campaign}/{creative}", reply: {redirect: {to: query.url, signed_by: clicks}}}}}'
    door = endpoint({"clicks": {"old": "x" * 16, vector["kid"]: vector["secret"]}}, table)
    path, _, query = vector["link"].partition("?")
    assert path.isascii() and query.isascii()
    assert unquote(path) == vector["path"]
    location, reason = get(unquote(path), query, door)
    assert reason == ""
    assert location.startswith(("https://shop.example/", "http://192.0.2.7:8080/"))


def test_there_are_vectors_for_what_other_languages_get_wrong() -> None:
    """Encoding of path, destination and secret, expiry, over-encoding: at least a dozen, no two alike."""
    assert len({vector["sig"] for vector in VECTORS}) == len(VECTORS) >= 12
    assert any(not vector[part].isascii() for part in ("path", "destination", "secret") for vector in VECTORS)


GOOD = {
    "with an expiry": signed(),
    "for ever": signed(expiry=None),
    "until far away": signed(expiry=signing.MAX_EXPIRY),
    "with the older key": signed(kid="2026a", secret=SECOND),
    "to a strange port": signed("http://elsewhere.example:81/"),
    "to an address": signed("http://10.1.2.3/"),
    "to an IDNA host": signed("https://xn--bcher-kva.example/"),
    "with macros": signed("https://elsewhere.example/{campaign}?{click_id}&{nope}"),
    "encoded once too often": signed("https%3A%2F%2Felsewhere.example%2F"),
    "with other parameters beside it": "x=1&" + signed() + "&y=2&z=3",
    "in another order": "&".join(reversed(signed().split("&"))),
    "percent-encoded needlessly": signed().replace("sig=", "%73ig=").replace("kid=2026b", "kid=%32026b"),
    "to the longest destination": signed("https://elsewhere.example/" + "x" * (2048 - 26)),
}


@pytest.mark.parametrize("query", GOOD.values(), ids=GOOD)
def test_a_good_signature_leads_anywhere(query: str) -> None:
    """Whatever http(s) host; the event is good."""
    location, reason = get("/click/c1", query)
    assert reason == ""
    assert location.startswith(("https://elsewhere.example", "http://elsewhere.example:81/", "http://10.1.2.3/", "https://xn--bcher-kva.example/"))
    assert location.partition("#")[0].endswith("click_id=id-0")


def test_macros_and_added_parameters_come_after_the_signature() -> None:
    """What is signed is the destination as it stands, so one link serves every click."""
    location, _ = get("/click/c1", signed("https://elsewhere.example/%7Bcampaign%7D?{click_id}"))
    assert location == "https://elsewhere.example/c1?id-0&click_id=id-0"


@pytest.mark.parametrize("path", ["/click/\u00fc", "/click/a b", "/click/50%", "/click/\U0001f600", "/click/..", "/click/\u00a0", "/click/a&b=c", "/click/a?b"])
def test_a_path_is_signed_as_it_is_decoded(path: str) -> None:
    """Whatever characters it has."""
    assert get(path, signed(path=path))[1] == ""
    assert get(path + "x", signed(path=path)) == ("", "bad_signature")


# --- bad ones --------------------------------------------------------------------------------------------------------

def bad(path: str, target: str) -> dict[str, str]:
    """Queries that a hit of the path brings with the target, each with one thing wrong."""

    def sign(destination: str = target, path: str = path, **other: Any) -> str:
        return signed(destination, path, **other)

    good = signing.sign(FIRST, "2026b", SOON, path, target)
    code = base64.urlsafe_b64decode(good + "=")

    def at(index: int, text: str) -> str:
        return good[:index] + text + good[index % 43 + 1 :]

    return {
        # altered parts
        "another destination": sign(url="https://evil.example/"),
        "another path of the destination": sign(url=target.replace("/x", "/y")),
        "a longer destination": sign(url=target + "z"),
        "the destination in another case": sign(url=target.replace("https", "HTTPS")),
        "the destination encoded otherwise": sign(url=target.replace("/x", "/%78")),
        "the destination encoded once more": sign(url=quote(target, safe="")),
        "the destination decoded once more": sign("https%3A%2F%2Felsewhere.example%2F", url="https://elsewhere.example/"),
        "the destination as it is sent": sign("https://elsewhere.example", url="https://elsewhere.example/"),
        "a macro filled in": sign("https://elsewhere.example/{campaign}", url="https://elsewhere.example/c1"),
        "another campaign": sign(path="/click/c2"),
        "another route": sign(path="/mail/c1"),
        "a path with a slash behind": sign(path=path + "/"),
        "a path in another case": sign(path=path.title()),
        "a later expiry": sign(exp=str(SOON + 1)),
        "an earlier expiry": sign(exp=str(SOON - 1)),
        "an expiry where there was none": sign(expiry=None, exp=str(SOON)),
        "no expiry where there was one": sign(exp=None),
        "an empty expiry where there was none": sign(expiry=None, exp=""),
        "an expired expiry made future": sign(expiry=1, exp=str(SOON)),
        "another key id of the ring": sign().replace("kid=2026b", "kid=2026a"),
        # forms of the expiry
        "an expiry with a zero in front": sign(exp=f"0{SOON}", sig=by_hand(FIRST, "tracker-redirect-1", "2026b", f"0{SOON}", path, target)),
        "an expiry with a plus": sign(exp=f"+{SOON}", sig=by_hand(FIRST, "tracker-redirect-1", "2026b", f"+{SOON}", path, target)),
        "an expiry with a space": sign(exp=f" {SOON}", sig=by_hand(FIRST, "tracker-redirect-1", "2026b", f" {SOON}", path, target)),
        "a negative expiry": sign(exp="-1", sig=by_hand(FIRST, "tracker-redirect-1", "2026b", "-1", path, target)),
        "an expiry of zero": sign(exp="0", sig=by_hand(FIRST, "tracker-redirect-1", "2026b", "0", path, target)),
        "an expiry with decimals": sign(exp=f"{SOON}.5", sig=by_hand(FIRST, "tracker-redirect-1", "2026b", f"{SOON}.5", path, target)),
        "an expiry in powers": sign(exp="2e10", sig=by_hand(FIRST, "tracker-redirect-1", "2026b", "2e10", path, target)),
        "an expiry with underscores": sign(exp="2_000_000_000", sig=by_hand(FIRST, "tracker-redirect-1", "2026b", "2_000_000_000", path, target)),
        "an expiry in full-width digits": sign(exp="\uff12000000000", sig=by_hand(FIRST, "tracker-redirect-1", "2026b", "\uff12000000000", path, target)),
        "an expiry too long to be one": sign(exp="1" * 12, sig=by_hand(FIRST, "tracker-redirect-1", "2026b", "1" * 12, path, target)),
        "an expiry of five thousand digits": sign(exp="1" * 5000),
        "an expiry in letters": sign(exp="never", sig=by_hand(FIRST, "tracker-redirect-1", "2026b", "never", path, target)),
        "an expiry with a newline": sign(exp=f"{SOON}\n", sig=by_hand(FIRST, "tracker-redirect-1", "2026b", f"{SOON}\n", path, target)),
        # keys
        "another key's signature": sign(secret=SECOND),
        "the older key's id": sign(kid="2026a", secret=FIRST),
        "another ring's key of the same id": sign(secret=FOREIGN),
        "another ring's key id": sign(kid="m1", secret=FOREIGN),
        "an unknown key id": sign(kid="2025", secret=FIRST),
        "a key id in another case": sign(kid="2026B"),
        "an empty key id": sign(kid="2026b", sig=by_hand(FIRST, "tracker-redirect-1", "", str(SOON), path, target)).replace("kid=2026b", "kid="),
        "no key id": sign().replace("&kid=2026b", ""),
        "a key id with a space": sign().replace("kid=2026b", "kid=2026b%20"),
        "a key id beyond ASCII": sign().replace("kid=2026b", "kid=2026%D0%AC"),
        "a key id with the next line in it": sign(sig=by_hand(FIRST, "tracker-redirect-1", "2026b\n", str(SOON), path, target)).replace("kid=2026b", "kid=2026b%0A"),
        "a guessed key": sign(secret="0123456789abcdef"),
        "no key at all": sign(sig=by_hand("", "tracker-redirect-1", "2026b", str(SOON), path, target)),
        "a plain hash": sign(sig=base64.urlsafe_b64encode(hashlib.sha256((FIRST + target).encode()).digest()).decode().rstrip("=")),
        # forms of the signature
        "no signature": sign(sig=None),
        "an empty signature": sign(sig=""),
        "a signature of zeros": sign(sig="A" * 43),
        "the first character wrong": sign(sig=at(0, other_of(good[0]))),
        "the last character wrong": sign(sig=at(-1, other_of(good[-1]))),
        "a character in the middle wrong": sign(sig=at(20, other_of(good[20]))),
        "another text of the same bytes": sign(sig=at(-1, chr(ord(good[-1]) + 1))),
        "a character too few": sign(sig=good[:-1]),
        "a character too few in front": sign(sig=good[1:]),
        "a character too many": sign(sig=good + "A"),
        "padding": sign(sig=good + "="),
        "a dot behind": sign(sig=good + "."),
        "a space behind": sign(sig=good + " "),
        "a space for a character": sign(sig=good[:-1] + " "),
        "a space in front": sign(sig=" " + good),
        "a newline behind": sign(sig=good + "\n"),
        "a tab within": sign(sig=good[:20] + "\t" + good[20:]),
        "a NUL behind": sign(sig=good + "\x00"),
        "a NUL for a character": sign(sig=good[:-1] + "\x00"),
        "in capitals": sign(sig=good.upper()),
        "in small letters": sign(sig=good.lower()),
        "in the case of the other half": sign(sig=good.swapcase()),
        "in hexadecimal": sign(sig=code.hex()),
        "in base64 with padding": sign(sig=base64.b64encode(code).decode()),
        "in base32": sign(sig=base64.b32encode(code).decode()),
        "cut to half": sign(sig=base64.urlsafe_b64encode(code[:16]).decode().rstrip("=")),
        "by SHA-1": sign(sig=base64.urlsafe_b64encode(hmac.new(FIRST.encode(), b"x", "sha1").digest()).decode().rstrip("=")),
        "by SHA-512, cut": sign(sig=base64.urlsafe_b64encode(hmac.new(FIRST.encode(), f"tracker-redirect-1\n2026b\n{SOON}\n{path}\n{target}".encode(), "sha512").digest()[:32]).decode().rstrip("=")),
        "beyond ASCII": sign(sig="\u00fc" * 43),
        "one character beyond ASCII": sign(sig=at(5, "\u00e4")),
        "full-width letters": sign(sig="".join(chr(ord(c) + 0xFEE0) for c in good)),
        "an emoji": sign(sig="\U0001f600"),
        "bytes that are no UTF-8": sign(sig=None) + "&sig=" + "%ff" * 43,
        "very long": sign(sig="A" * 6000),
        "`none`": sign(sig="none"),
        # the text's lines moved
        "another version": sign(sig=by_hand(FIRST, "tracker-redirect-2", "2026b", str(SOON), path, target)),
        "no version": sign(sig=by_hand(FIRST, "2026b", str(SOON), path, target)),
        "only the destination": sign(sig=by_hand(FIRST, target)),
        "the lines in another order": sign(sig=by_hand(FIRST, "tracker-redirect-1", "2026b", str(SOON), target, path)),
        "a newline at the end": sign(sig=by_hand(FIRST, "tracker-redirect-1", "2026b", str(SOON), path, target, "")),
        "carriage returns": sign(sig=by_hand(FIRST, "tracker-redirect-1\r", "2026b\r", f"{SOON}\r", path + "\r", target)),
        "the path still encoded": sign(sig=by_hand(FIRST, "tracker-redirect-1", "2026b", str(SOON), path.replace("c1", "%631"), target)),
        "the destination still encoded": sign(sig=by_hand(FIRST, "tracker-redirect-1", "2026b", str(SOON), path, quote(target, safe=""))),
        # repeated
        "the signature twice": sign() + "&sig=" + good,
        "a wrong one and the signature": "sig=" + "A" * 43 + "&" + sign(),
        "the key id twice": sign() + "&kid=2026b",
        "the expiry twice": sign() + f"&exp={SOON}",
        "an empty signature behind": sign() + "&sig=",
        "a signature behind under an encoded name": sign() + "&%73ig=" + good,
        "parameters named in capitals": sign().replace("sig=", "SIG="),
    }


BAD = bad("/click/c1", ELSEWHERE)


@pytest.mark.parametrize("query", BAD.values(), ids=BAD)
def test_a_bad_signature_leads_nowhere(query: str) -> None:
    """400 and the bad lane."""
    assert get("/click/c1", query) == ("", "bad_signature")


@pytest.mark.parametrize("query", bad("/kind/c1", ELSEWHERE).values(), ids=BAD)
def test_who_brings_a_bad_signature_lands_at_otherwise(query: str) -> None:
    """With the campaign filled in."""
    assert get("/kind/c1", query) == ("https://shop.example/c1", "bad_signature")


@pytest.mark.parametrize("query", bad("/listed/c1", SHOP + "x?y=1#z").values(), ids=BAD)
def test_a_bad_signature_is_refused_even_where_it_was_not_needed(query: str) -> None:
    """A host on the list needs none; but what somebody altered is never taken."""
    assert get("/listed/c1", query) == ("", "bad_signature")


def test_there_are_many_ways_to_be_bad() -> None:
    """And no two cases are one."""
    assert len(set(BAD.values())) == len(BAD) >= 90


@pytest.mark.parametrize("index", range(43))
def test_each_character_of_a_signature_counts(index: int) -> None:
    """One changed, anywhere."""
    assert get("/click/c1", signed(sig=at(index, other_of(SIG[index])))) == ("", "bad_signature")


@pytest.mark.parametrize(
    "query",
    [signed(url=None), signed() + "&url=" + quote(ELSEWHERE), signed() + "&url=", signed(url=""), "url=https://a.example/&" + signed("https://a.example/")],
    ids=["none", "twice", "an empty second one", "empty", "the signed one twice"],
)
def test_a_signature_helps_no_destination_that_is_not_one_text(query: str) -> None:
    """Absent, empty or repeated."""
    assert get("/click/c1", query) == ("", "bad_destination")


NO_URL = ["javascript:alert(1)", "//elsewhere.example/", "https://u@elsewhere.example/", "https:\\\\elsewhere.example", "http://[::1]/", "http://0x7f.1/", "https://b\u00fccher.example/", "ftp://elsewhere.example/",
          "https://{campaign}/", "https://elsewhere.example/.{campaign}", "elsewhere.example", "https://elsewhere.example./", "https://elsewhere.example/" + "x" * 2048, "https%253A%252F%252Felsewhere.example"]  # fmt: skip


@pytest.mark.parametrize("destination", NO_URL, ids=lambda text: ascii(text)[:50])
def test_a_signature_helps_no_destination_that_is_no_plain_url(destination: str) -> None:
    """Its owner may be wrong, and a parser may differ."""
    assert get("/click/c1", signed(destination)) == ("", "bad_destination")


def test_without_any_signature_a_destination_is_judged_by_its_host() -> None:
    """On the list or not; on a route without a list it never is."""
    assert get("/listed/c1", f"url={SHOP}x") == (f"{SHOP}x", "")
    assert get("/listed/c1", "url=https://elsewhere.example/") == ("", "bad_destination")
    assert get("/click/c1", f"url={SHOP}") == ("", "bad_destination")


def test_a_route_without_signatures_takes_their_parameters_for_any_others() -> None:
    """`sig` may mean something else there."""
    answer = DOOR.answer(Hit("GET", "/unsigned/c1", f"url={SHOP}&sig=x&kid=y&exp=z", {}, b"", "203.0.113.7", NOW))
    assert outcome(answer) == (SHOP, "")
    assert answer.events[0].properties == {"sig": "x", "kid": "y", "exp": "z"}


def test_the_parts_of_a_signature_are_no_properties() -> None:
    """They are the redirect's."""
    answer = DOOR.answer(Hit("GET", "/click/c1", signed() + "&x=1", {}, b"", "203.0.113.7", NOW))
    assert answer.events[0].properties == {"x": "1"}


# --- time and keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now_ms", "reason"),
    [(SOON * 1000 - 3_600_000, ""), (SOON * 1000 - 1, ""), (SOON * 1000, "signature_expired"), (SOON * 1000 + 1, "signature_expired"), (2 * SOON * 1000, "signature_expired")],
)
def test_a_signature_is_good_until_its_second_begins(now_ms: int, reason: str) -> None:
    """As in RFC 7519, 4.1.4: not on it, nor after."""
    assert get("/click/c1", signed(), now_ms=now_ms)[1] == reason
    assert get("/listed/c1", signed(SHOP, path="/listed/c1"), now_ms=now_ms) == (("", reason) if reason else (SHOP, ""))


def test_who_comes_late_lands_at_otherwise() -> None:
    """With the campaign."""
    assert get("/kind/c1", signed(path="/kind/c1"), now_ms=SOON * 1000) == ("https://shop.example/c1", "signature_expired")


def test_only_what_was_ours_can_expire() -> None:
    """A forged link with an old expiry is a forged link."""
    assert get("/click/c1", signed(expiry=1, sig="A" * 43)) == ("", "bad_signature")


def test_keys_rotate_without_breaking_a_link() -> None:
    """A new one in front: the old links stay good. The old one gone: they are not."""
    old = signed(kid="2026a", secret=SECOND)
    before = endpoint({"clicks": {"2026a": SECOND}, "mails": RINGS["mails"]})
    after = endpoint({"clicks": {"2027a": "the secret of next year", "2026b": FIRST}, "mails": RINGS["mails"]})
    assert [get("/click/c1", old, door)[1] for door in (before, DOOR, after)] == ["", "", "bad_signature"]
    new = signed(kid="2027a", secret="the secret of next year")
    assert [get("/click/c1", new, door)[1] for door in (before, DOOR, after)] == ["bad_signature", "bad_signature", ""]


def test_rings_are_apart() -> None:
    """A link of one ring is nothing to a route of another."""
    mail = signed(path="/mail/c1", kid="m1", secret=FOREIGN)
    assert get("/mail/c1", mail)[1] == ""
    assert get("/click/c1", mail) == ("", "bad_signature")
    assert get("/mail/c1", signed(path="/mail/c1")) == ("", "bad_signature")


@pytest.mark.parametrize("path", ["/click/a\nb", "/click/a\x00b", "/click/\x7f", "/click/\x85", "/click/\ufffd", "/click/\ud800"], ids=ascii)
def test_a_path_with_control_characters_has_no_signature(path: str) -> None:
    """A newline in it could stand for the next line."""
    with pytest.raises(ValueError, match="control characters"):
        signing.sign(FIRST, "2026b", SOON, path, ELSEWHERE)
    text = f"tracker-redirect-1\n2026b\n{SOON}\n{path}\n{ELSEWHERE}".encode("utf-8", "surrogatepass")
    forged = base64.urlsafe_b64encode(hmac.new(FIRST.encode(), text, "sha256").digest()).decode().rstrip("=")
    assert signing.verify({"2026b": FIRST.encode()}, {"kid": "2026b", "exp": str(SOON), "sig": forged}, path, ELSEWHERE, NOW) == "bad_signature"


def test_a_newline_cannot_move_text_from_one_line_to_the_next() -> None:
    """`/click/c1` + `\\nhttps://a` and `/click/c1\\nhttps://a` would be one text."""
    split = signing.sign(FIRST, "2026b", None, "/click/c1", "https://a.example/")
    query = f"url=https://a.example/&kid=2026b&sig={split}"
    assert get("/click/c1", query)[1] == ""
    assert get("/click/c1\nhttps:", query)[1] == "bad_signature"


@pytest.mark.parametrize(
    ("part", "wrong"),
    [("kid", ""), ("kid", "a b"), ("kid", "a" * 33), ("kid", "\u00fc"), ("expiry", 0), ("expiry", -1), ("expiry", signing.MAX_EXPIRY + 1), ("path", "click"), ("path", ""), ("destination", "https://a.example/\n"),
     ("destination", "\x00"), ("destination", "\ud800")],
)  # fmt: skip
def test_what_no_hit_could_bring_is_not_signed(part: str, wrong: Any) -> None:
    """With a sentence that says why."""
    parts: dict[str, Any] = {"secret": FIRST, "kid": "2026b", "expiry": SOON, "path": "/click/c1", "destination": SHOP} | {part: wrong}
    with pytest.raises(ValueError, match=r"key id|expiry|path|destination"):
        signing.sign(**parts)


@pytest.mark.parametrize("sent", [{"url": ELSEWHERE, "kid": "2026b", "exp": str(SOON)}, {"url": ELSEWHERE, "kid": "2026b"}])
def test_a_signed_destination_may_come_in_the_body(sent: dict[str, str]) -> None:
    """As a form or JSON, all of it from there; a number for `exp` is no text."""
    sig = signing.sign(FIRST, "2026b", int(sent["exp"]) if "exp" in sent else None, "/form", ELSEWHERE)
    for body in (json.dumps(sent | {"sig": sig}).encode(), "&".join(f"{name}={quote(value, safe='')}" for name, value in (sent | {"sig": sig}).items()).encode()):
        answer = DOOR.answer(Hit("POST", "/form", "", {}, body, "203.0.113.7", NOW))
        assert outcome(answer) == (ELSEWHERE, "")
        assert answer.events[0].properties == {}
    for body in (json.dumps(sent).encode(), json.dumps(sent | {"sig": sig, "exp": SOON}).encode(), json.dumps(sent | {"sig": [sig]}).encode(), json.dumps(sent | {"sig": None}).encode()):
        assert outcome(DOOR.answer(Hit("POST", "/form", f"sig={sig}", {}, body, "203.0.113.7", NOW)))[0] == ""


def test_texts_are_compared_in_a_time_that_does_not_tell_where_they_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong at the first character or at the last, `compare_digest` gets both texts whole, as bytes; nothing else decides."""
    seen: list[tuple[object, object]] = []
    compare = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        seen.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(signing.hmac, "compare_digest", watched)
    for sig in (at(0, other_of(SIG[0])), at(-1, other_of(SIG[-1])), SIG):
        get("/click/c1", signed(sig=sig))
    assert [(type(one), type(other), len(one), len(other)) for one, other in seen if isinstance(one, bytes) and isinstance(other, bytes)] == [(bytes, bytes, 43, 43)] * 3
    monkeypatch.setattr(signing.hmac, "compare_digest", lambda one, other: True)
    assert get("/click/c1", signed(sig="A" * 43))[1] == ""


parts_of = st.tuples(
    st.sampled_from(["2026a", "2026b", "a", "-_"]), st.one_of(st.none(), st.integers(1, signing.MAX_EXPIRY)),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffd"), max_size=8).map("/".__add__),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffd"), max_size=8),
)  # fmt: skip


@given(parts_of, parts_of)
def test_no_two_sets_of_parts_have_one_signature(one: tuple[str, int | None, str, str], other: tuple[str, int | None, str, str]) -> None:
    """And each verifies its own, before its end."""
    signature, another = (signing.sign(FIRST, *parts) for parts in (one, other))
    assert (signature == another) == (one == other)
    kid, expiry, path, destination = one
    keys = {kid: FIRST.encode()}
    sent = {"kid": kid, "sig": signature} | ({} if expiry is None else {"exp": str(expiry)})
    assert signing.verify(keys, sent, path, destination, 0) == ""
    assert signing.verify(keys, sent | {"sig": another}, path, destination, 0) == ("" if one == other else "bad_signature")


@given(st.dictionaries(st.sampled_from(["kid", "exp", "sig", "url"]), st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text()), st.binary())), st.text(), st.text(), st.integers(0, 2**53))
def test_verify_never_raises(sent: dict[str, Any], path: str, destination: str, now_ms: int) -> None:
    """Whatever a hit brings, it is no signature."""
    assert signing.verify({"a": b"secret"}, sent, path, destination, now_ms) == "bad_signature"


def test_a_secret_may_be_any_text_that_the_environment_holds() -> None:
    """Also bytes that are no UTF-8, as Python has them."""
    odd = "sixteen characters\udcff"
    sig = signing.sign(odd, "k", None, "/p", SHOP)
    assert signing.verify({"k": signing.encoded(odd)}, {"kid": "k", "sig": sig}, "/p", SHOP, NOW) == ""
