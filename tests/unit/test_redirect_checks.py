"""Redirects in the settings: each mistake is told at its place; what has none compiles and never raises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.capture import routing
from tracker.capture.jump import compile_jump
from tracker.capture.redirect_checks import check_redirect
from tracker.settings.load import load
from tracker.settings.model import Redirect
from tracker.settings.problems import Fault, SettingsError

KEYS: dict[str, dict[str, str]] = {"clicks": {"k1": "not-a-secret-but-long-enough"}, "empty": {}}
NAMES = ("campaign", "creative")


def faults(posts: bool = False, names: tuple[str, ...] = NAMES, **fields: Any) -> list[Fault]:
    return list(check_redirect(("here",), msgspec.convert(fields, Redirect), names, posts, KEYS))


GOOD: dict[str, dict[str, Any]] = {
    "a list": {"to": "query.url", "allow": ["example.com", "*.shop.example", "a.example:8443", "192.0.2.7", "xn--bcher-kva.example"]},
    "signatures": {"to": "query.url", "signed_by": "clicks"},
    "both": {"to": "query.url", "signed_by": "clicks", "allow": ["example.com"]},
    "a stored destination": {"to": "https://shop.example"},
    "macros": {"to": "https://shop.example/{campaign}/a-{creative}?x={click_id}#{event_id}", "otherwise": "https://shop.example/{campaign}"},
    "encoded braces": {"to": "https://shop.example/%7Bgclid%7D"},
    "added": {"to": "query.url", "allow": ["example.com"], "add": {"click_id": "event.id", "c": "dimensions.campaign"}},
    "an odd name": {"to": "query.u.r[l]", "allow": ["example.com"]},
}


@pytest.mark.parametrize("fields", GOOD.values(), ids=GOOD)
def test_a_good_redirect_has_no_fault_and_lands(fields: dict[str, Any]) -> None:
    """Checked, compiled, tried."""
    assert faults(**fields) == []
    compiled = compile_jump(msgspec.convert(fields, Redirect), KEYS, NAMES)
    location, reason = compiled.land("/c", {"url": "https://example.com/", "u.r[l]": "https://example.com/"}, {}, "e1", {"campaign": "c"}, 0)
    assert (location != "") == (reason == "") == ("signed_by" not in fields or "allow" in fields)


@pytest.mark.parametrize(
    ("fields", "path", "says", "hint"),
    [
        # where to
        ({"to": "query.url"}, ("to",), "which hosts?", "list them in `allow`, or take signed links only: `signed_by`"),
        ({"to": "query.", "allow": ["a.example"]}, ("to",), "no usable name", "such as `query.url`"),
        ({"to": "query.a b", "allow": ["a.example"]}, ("to",), "no usable name", ""),
        ({"to": "body.url", "allow": ["a.example"]}, ("to",), "takes no POST", "add `methods: [POST]`"),
        ({"to": "path.url", "allow": []}, ("to",), "neither query.NAME nor body.NAME nor a plain http(s) URL", ""),
        ({"to": "body/url"}, ("to",), "neither query.NAME nor body.NAME", ""),
        ({"to": "shop.example"}, ("to",), "neither query.NAME nor body.NAME", ""),
        ({"to": "//shop.example/"}, ("to",), "neither query.NAME nor body.NAME", ""),
        ({"to": "https://u@shop.example/"}, ("to",), "a plain http(s) URL", ""),
        ({"to": "javascript:alert(1)"}, ("to",), "a plain http(s) URL", ""),
        ({"to": "https://shop.example/" + "x" * 2048}, ("to",), "a plain http(s) URL", ""),
        ({"to": "https://shop.example/", "allow": ["a.example"]}, ("allow",), "needs no list of hosts", "remove it"),
        ({"to": "https://shop.example/", "signed_by": "clicks"}, ("signed_by",), "no signature", "remove it"),
        ({"to": "query.sig", "signed_by": "clicks"}, ("to",), "`sig` is a part of the signature", "name the parameter `url`"),
        ({"to": "query.exp", "signed_by": "clicks", "allow": ["a.example"]}, ("to",), "`exp` is a part of the signature", ""),
        # which hosts
        ({"to": "query.url", "allow": ["*"]}, ("allow", 0), "`*` makes an open redirect", "list the hosts, or take signed links only: `signed_by`"),
        ({"to": "query.url", "allow": ["a.example", "*"]}, ("allow", 1), "`*` makes an open redirect", "list the hosts"),
        ({"to": "query.url", "allow": ["*."]}, ("allow", 0), "`*.` makes an open redirect", ""),
        ({"to": "query.url", "allow": ["*.*"]}, ("allow", 0), "`*.*` makes an open redirect", ""),
        ({"to": "query.url", "signed_by": "clicks", "allow": ["*"]}, ("allow", 0), "`*` makes an open redirect", ""),
        ({"to": "query.url", "allow": ["*.com"]}, ("allow", 0), "would allow strangers' hosts", ""),
        ({"to": "query.url", "allow": ["https://a.example"]}, ("allow", 0), "is no host", ""),
        ({"to": "query.url", "allow": ["a.example/x"]}, ("allow", 0), "is no host", ""),
        ({"to": "query.url", "allow": ["A.example"]}, ("allow", 0), "lower case", ""),
        ({"to": "query.url", "allow": ["b\u00fccher.example"]}, ("allow", 0), "IDN as `xn--...`", ""),
        # keys
        ({"to": "query.url", "signed_by": "click"}, ("signed_by",), "no key ring `click`", "did you mean `clicks`?"),
        ({"to": "query.url", "signed_by": "other", "allow": ["a.example"]}, ("signed_by",), "no key ring `other`", "known: clicks, empty"),
        ({"to": "query.url", "signed_by": "empty"}, ("signed_by",), "key ring `empty` has no key", "add one to `signing_keys` in tracker.yaml"),
        # macros
        ({"to": "https://{campaign}.example/"}, ("to",), "a macro in the host", ""),
        ({"to": "https://shop.example{campaign}"}, ("to",), "a macro in the host", ""),
        ({"to": "https://shop.example:{campaign}/"}, ("to",), "a macro in the host", ""),
        ({"to": "https://shop.example/{campain}"}, ("to",), "`{campain}` is no dimension of the route", "did you mean `campaign`?"),
        ({"to": "https://shop.example/?{clickid}"}, ("to",), "`{clickid}` is no dimension of the route", "did you mean `click_id`?"),
        ({"to": "https://shop.example/#{Campaign}"}, ("to",), "`{Campaign}` is no dimension", "did you mean `campaign`?"),
        ({"to": "https://shop.example/{}"}, ("to",), "`{}` is no dimension", ""),
        ({"to": "https://shop.example/.{campaign}"}, ("to",), "a path segment of dots and macros could become `..`", "write other text"),
        ({"to": "https://shop.example/{campaign}.{creative}/"}, ("to",), "a path segment of dots and macros", ""),
        ({"to": "https://shop.example/", "otherwise": "shop.example"}, ("otherwise",), "`shop.example` is no plain http(s) URL", ""),
        ({"to": "https://shop.example/", "otherwise": "https://shop.example/{x}"}, ("otherwise",), "`{x}` is no dimension", ""),
        ({"to": "https://shop.example/", "otherwise": "https://{campaign}/"}, ("otherwise",), "a macro in the host", ""),
        ({"to": "https://shop.example/", "otherwise": "query.other"}, ("otherwise",), "no plain http(s) URL", ""),
        # what is added
        ({"to": "https://shop.example/", "add": {"a b": "event.id"}}, ("add", "a b"), "no parameter name", ""),
        ({"to": "https://shop.example/", "add": {"": "event.id"}}, ("add", ""), "no parameter name", ""),
        ({"to": "https://shop.example/", "add": {"\u00fc": "event.id"}}, ("add", "\u00fc"), "no parameter name", ""),
        ({"to": "https://shop.example/", "add": {"id": "event"}}, ("add", "id"), "`event` is not event.id or dimensions.NAME", "did you mean `event.id`?"),
        ({"to": "https://shop.example/", "add": {"id": "event.ids"}}, ("add", "id"), "not event.id or dimensions.NAME", "did you mean `event.id`?"),
        ({"to": "https://shop.example/", "add": {"c": "campaign"}}, ("add", "c"), "`campaign` is not event.id or dimensions.NAME", "did you mean `dimensions.campaign`?"),
        ({"to": "https://shop.example/", "add": {"c": "dimensions.campain"}}, ("add", "c"), "`campain` is no dimension of the route", "did you mean `campaign`?"),
        ({"to": "https://shop.example/", "add": {"c": "dimensions."}}, ("add", "c"), "`` is no dimension of the route", "known: campaign, creative"),
        ({"to": "https://shop.example/", "add": {"c": "query.c"}}, ("add", "c"), "not event.id or dimensions.NAME", ""),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_is_told_where_it_stands(fields: dict[str, Any], path: tuple[str | int, ...], says: str, hint: str) -> None:
    """One fault, at the right place, in words that name the way out."""
    (fault,) = faults(**fields)
    assert (fault.file, fault.path) == ("routes", ("here", *path))
    assert says in fault.message
    assert hint in fault.hint


def test_all_mistakes_are_told_at_once() -> None:
    """Those of each part, in the order of the language."""
    found = faults(to="query.url", allow=["*", "*.com"], signed_by="nobody", otherwise="x", add={"c": "y"})
    assert [fault.path[1] for fault in found] == ["allow", "allow", "signed_by", "otherwise", "add"]


def test_a_dimension_cannot_be_called_like_the_events_id_where_a_macro_means_it() -> None:
    """Who wrote `{click_id}` could mean either."""
    (fault,) = faults(names=("click_id",), to="https://shop.example/{click_id}")
    assert "name the dimension otherwise" in fault.message
    assert faults(names=("click_id",), to="https://shop.example/") == []


def test_a_destination_in_the_body_needs_a_route_that_takes_one() -> None:
    """With POST it is fine."""
    assert faults(posts=True, to="body.url", allow=["a.example"]) == []


def test_an_open_redirect_reads_like_this(tmp_path: Path) -> None:
    """Plainly what it would be, and what to do instead, at its line and column."""
    path = tmp_path / "routes.yaml"
    path.write_text('routes:\n  click:\n    path: /c\n    reply:\n      redirect:\n        to: query.url\n        allow: ["*"]\n', "utf-8")
    with pytest.raises(SettingsError) as caught:
        load(None, path, {}, {}, [routing.check])
    assert str(caught.value) == (
        f"{path}:7:17: routes.click.reply.redirect.allow[0]: `*` makes an open redirect: anybody could send people to any page in your name\n"
        '    7 |         allow: ["*"]\n'
        "      |                 ^ list the hosts, or take signed links only: `signed_by`\n"
        "1 problem; nothing was started."
    )


pieces = st.lists(
    st.sampled_from(["query.url", "body.url", "https://", "http://", "shop.example", "a.example", "/", "?", "#", "{campaign}", "{click_id}", "{x}", "%7Bcampaign%7D", ".", "..", "%2e", "@", ":", "8443", "*.", "*",
                     "x", " ", "\u00fc", "\n", "{", "}", "&", "="]), max_size=7,
).map("".join)  # fmt: skip


@given(
    st.builds(
        Redirect, to=pieces, allow=st.lists(pieces, max_size=2).map(tuple), signed_by=st.sampled_from([None, "clicks", "nobody", "empty"]),
        add=st.dictionaries(pieces, st.one_of(pieces, st.sampled_from(["event.id", "dimensions.campaign", "dimensions.x"])), max_size=2), otherwise=st.one_of(st.none(), pieces),
    ),
    st.one_of(pieces, st.none(), st.integers()), st.text(st.characters(codec="utf-8"), max_size=20),
)  # fmt: skip
def test_what_has_no_fault_compiles_and_never_raises(redirect: Redirect, url: Any, value: str) -> None:
    """Whatever the settings say and the hit brings; what is sent is printable ASCII without spaces."""
    if list(check_redirect((), redirect, NAMES, True, KEYS)):
        return
    jump = compile_jump(redirect, KEYS, NAMES)
    sent = {"url": url, "kid": "k1", "sig": "A" * 43} if value else {"url": url}
    location, reason = jump.land("/c", sent, sent, "e1", {"campaign": value}, 0)
    assert reason in ("", "bad_destination", "bad_signature")
    for text in (location, jump.otherwise):
        assert not text or text.startswith(("http://", "https://"))
        assert text.isascii()
        assert text.isprintable()
        assert " " not in text
