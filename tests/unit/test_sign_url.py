"""`tracker sign-url`: links that a hit takes, verdicts that a hit shares, and errors that say what to do."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from tracker import cli
from tracker.capture import routing, signing
from tracker.capture.endpoint import Endpoint
from tracker.capture.hit import Hit
from tracker.capture.link import LinkError, Signer, examine
from tracker.settings.load import load
from tracker.settings.model import Settings

FIRST, SECOND, FOREIGN = "the first secret of clicks", "the second secret of clicks", "the secret of the mails"
CONFIG = {"signing_keys": {"clicks": {"2026b": FIRST, "2026a": SECOND}, "mails": {"m1": FOREIGN}}, "collectors": {"log": {"type": "log"}}}
ROUTES = """
routes:
  click: {path: "/click/{campaign}/{creative}", reply: {redirect: {to: query.url, signed_by: clicks, allow: [shop.example], add: {click_id: event.id}}},
    dimensions: {campaign: path.campaign, site: query.site}}
  strict: {path: "/strict/{campaign}", reply: {redirect: {to: query.to, signed_by: clicks}}}
  mail: {path: /mail, reply: {redirect: {to: query.url, signed_by: mails}}}
  listed: {path: /listed, reply: {redirect: {to: query.url, allow: [shop.example]}}}
  stored: {path: /stored, reply: {redirect: {to: "https://shop.example/{x}"}}, dimensions: {x: query.x}}
  form: {path: /form, methods: [POST], reply: {redirect: {to: body.url, signed_by: clicks}}}
  pixel: {path: /pixel.gif, reply: pixel}
"""
NOW = 1_763_675_618_123
URL = "https://t.example/click/c1/cr1"
THERE = "https://anywhere.example:8443/{campaign}/x?click={click_id}&y=1#z"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sign-url")
    (folder / "tracker.yaml").write_text(json.dumps(CONFIG), "utf-8")
    (folder / "routes.yaml").write_text(ROUTES, "utf-8")
    return folder


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    return load(folder / "tracker.yaml", folder / "routes.yaml", {}, {}, [routing.check])


def run(folder: Path, *arguments: str, text: str | bytes | None = None) -> Result:
    """The command in this process; its output is no terminal."""
    files = ["--config", str(folder / "tracker.yaml"), "--routes", str(folder / "routes.yaml")]
    result = CliRunner().invoke(cli.main, ["sign-url", *files, *arguments], input=text, env={}, prog_name="tracker", catch_exceptions=False)
    assert not any(secret in result.stdout + result.stderr for secret in (FIRST, SECOND, FOREIGN))
    return result


def click(settings: Settings, link: str, now_ms: int = NOW) -> tuple[str, str]:
    """Where a hit of the link leads, and why not."""
    url = urlsplit(link)
    raw = url.query.encode().decode("latin-1")  # as a door has bytes that nobody percent-encoded
    answer = Endpoint(settings, lambda _: "EVENT_ID").answer(Hit("GET", unquote(url.path), raw, {}, b"", "203.0.113.7", now_ms))
    (event,) = answer.events
    return dict(answer.reply.extra).get("Location", ""), event.reason


# --- making ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [URL, "/click/c1/cr1", URL + "?site=news.example", URL + "?site=a%20b&x", "http://127.0.0.1:8000/click/c1/cr1", "https://t.example/click/%C3%BC/50%25", "https://t.example/click/\u00fc/a b", "/click/a%2Bb/c+d",
     "/click/c1/cr1?site=\u00fc"],
)  # fmt: skip
@pytest.mark.parametrize("destination", [THERE, "https://anywhere.example", "http://192.0.2.7/", "https%3A%2F%2Fanywhere.example%2F", "https://anywhere.example/\u00fc?a=b+c&d=%26"])
def test_a_hit_takes_what_was_signed(settings: Settings, url: str, destination: str) -> None:
    """Whatever has to be encoded in URL or destination; and so says `--check`."""
    link = Signer(settings, url).link(destination, NOW // 1000 + 60)
    assert link.isascii()
    assert re.fullmatch(r"[!-~]+", link)
    location, reason = click(settings, link)
    assert reason == ""
    assert location.startswith(("https://anywhere.example", "http://192.0.2.7/"))
    assert "signed with key `2026b` of ring `clicks`" in examine(settings, link, NOW)
    assert click(settings, link, NOW + 61_000)[1] == "signature_expired"


def test_the_command_prints_the_link_and_nothing_else(folder: Path, settings: Settings) -> None:
    """The URL's own parameters first; good for 30 days."""
    result = run(folder, URL + "?site=n", THERE)
    assert (result.exit_code, result.stderr) == (0, "")
    (link,) = result.stdout.splitlines()
    sent = parse_qs(urlsplit(link).query)
    assert list(sent) == ["site", "url", "kid", "exp", "sig"]
    assert (sent["url"], sent["kid"]) == ([THERE], ["2026b"])
    assert 0 <= int(sent["exp"][0]) - 30 * 86_400 - time.time() + 60 <= 60
    assert sent["sig"] == [signing.sign(FIRST, "2026b", int(sent["exp"][0]), "/click/c1/cr1", THERE)]
    assert click(settings, link, int(time.time() * 1000))[0] == "https://anywhere.example:8443/c1/x?click=EVENT_ID&y=1&click_id=EVENT_ID#z"


@pytest.mark.parametrize(("expires", "seconds"), [("12h", 43_200), ("90m", 5400), ("2w", 1_209_600), ("1d", 86_400), (" 5d ", 432_000)])
def test_an_expiry_may_be_a_span(folder: Path, expires: str, seconds: int) -> None:
    """From now on."""
    result = run(folder, "--expires", expires, URL, THERE)
    assert abs(int(parse_qs(urlsplit(result.stdout.strip()).query)["exp"][0]) - time.time() - seconds) < 30


@pytest.mark.parametrize(("expires", "exp"), [("2099-01-31T00:00:00Z", 4_073_500_800), ("2099-01-31T02:00:00+02:00", 4_073_500_800), ("2099-01-31 00:00:00.7Z", 4_073_500_800), ("never", None)])
def test_an_expiry_may_be_a_time_or_never(folder: Path, expires: str, exp: int | None) -> None:
    """RFC 3339; without an end there is no `exp`."""
    sent = parse_qs(urlsplit(run(folder, "--expires", expires, URL, THERE).stdout.strip()).query)
    assert sent.get("exp") == (None if exp is None else [str(exp)])
    assert sent["sig"] == [signing.sign(FIRST, "2026b", exp, "/click/c1/cr1", THERE)]


@pytest.mark.parametrize(
    ("expires", "says"),
    [("30", "write 12h, 30d, never"), ("", "write 12h"), ("0d", "write 12h"), ("-1d", "write 12h"), ("1y", "write 12h"), ("1.5h", "write 12h"), ("2026-02-30T00:00:00Z", "write 12h"), ("tomorrow", "write 12h"),
     ("2099-01-31T00:00:00", "has no time zone: write 2099-01-31T00:00:00Z"), ("2001-01-01T00:00:00Z", "has passed"), ("Never", "write 12h")],
)  # fmt: skip
def test_no_expiry_is_wrong_usage(folder: Path, expires: str, says: str) -> None:
    """Exit 2, and how it is written."""
    result = run(folder, "--expires", expires, URL, THERE)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_another_key_of_the_ring_can_sign(folder: Path, settings: Settings) -> None:
    """`--kid`."""
    result = run(folder, "--kid", "2026a", "--expires", "never", URL, THERE)
    assert parse_qs(urlsplit(result.stdout.strip()).query)["sig"] == [signing.sign(SECOND, "2026a", None, "/click/c1/cr1", THERE)]
    assert click(settings, result.stdout.strip())[1] == ""


def test_the_parameter_is_the_routes(folder: Path, settings: Settings) -> None:
    """`to: query.to` makes `to=`."""
    result = run(folder, "/strict/c1", THERE)
    assert result.stdout.startswith(f"/strict/c1?to={quote(THERE, safe='')}&kid=2026b&exp=")
    assert click(settings, result.stdout.strip())[1] == ""


@pytest.mark.parametrize(
    ("url", "destination", "says"),
    [
        ("https://t.example/nowhere", THERE, "no route has the path `/nowhere`"),
        ("https://t.example/click/c1", THERE, "no route has the path `/click/c1`"),
        ("https://t.example", THERE, "no route has the path `/`"),
        ("/pixel.gif", THERE, "route `pixel` does not redirect"),
        ("/stored?x=1", THERE, "route `stored` has a stored destination, which needs no signature"),
        ("/form", THERE, "route `form` reads its destination from the body"),
        ("/listed", THERE, "route `listed` takes no signatures: it has no `signed_by`"),
        ("t.example/click/c1/cr1", THERE, "neither a path of the tracker nor a plain http(s) URL"),
        ("//t.example/click/c1/cr1", THERE, "neither a path of the tracker nor a plain http(s) URL"),
        ("ftp://t.example/click/c1/cr1", THERE, "neither a path of the tracker nor a plain http(s) URL"),
        ("", THERE, "neither a path of the tracker nor a plain http(s) URL"),
        ("/click/c1/cr1?a=\x1b[31m", THERE, "neither a path of the tracker nor a plain http(s) URL"),
        (URL + "#top", THERE, "has a fragment"),
        ("https://t.example/click/../click/c1/cr1", THERE, "browsers resolve it"),
        ("https://t.example/click/%2e%2E/cr1", THERE, "browsers resolve it"),
        ("https://t.example/click/c1/a%0Ab", THERE, "no control characters"),
        ("https://t.example/click/c1/%ff", THERE, "no control characters"),
        (URL + "?url=https://a.example", THERE, "has `url` already"),
        (URL + "?kid=1&sig=2", THERE, "has `kid` and `sig` already"),
        ("https://t.example/click/" + "c" * 2040 + "/cr1", THERE, "neither a path of the tracker"),
        (URL, "anywhere.example", "`anywhere.example` is no plain http(s) URL"),
        (URL, "javascript:alert(1)", "is no plain http(s) URL"),
        (URL, "https://u@anywhere.example/", "is no plain http(s) URL"),
        (URL, "https://b\u00fccher.example/", "is no plain http(s) URL"),
        (URL, "https://{campaign}.example/", "is no plain http(s) URL"),
        (URL, "https://anywhere.example/" + "x" * 2048, "is no plain http(s) URL"),
        (URL, "https://anywhere.example/\x1b[31m", "is no plain http(s) URL"),
        (URL, "", "is no plain http(s) URL"),
        (URL + "?x=" + "y" * 8100, THERE, "longer than `limits.max_query_bytes`"),
    ],
    ids=lambda text: ascii(text)[:50],
)  # fmt: skip
def test_what_cannot_be_signed_is_told_in_a_sentence(folder: Path, url: str, destination: str, says: str) -> None:
    """Exit 1, no link, and nothing that steers a terminal."""
    result = run(folder, url, destination)
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr
    assert result.stderr.replace("\n", "").isprintable()


def test_an_unknown_key_names_the_known_ones(folder: Path) -> None:
    """Their ids are no secret."""
    result = run(folder, "--kid", "zzz", URL, THERE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no key `zzz` in ring `clicks`: known: 2026b, 2026a" in result.stderr


def test_macros_that_the_route_does_not_know_are_mentioned(folder: Path) -> None:
    """They may be somebody else's, so the link is made."""
    result = run(folder, URL, "https://anywhere.example/{campain}/{site}/{gclid}?{gclid}")
    assert result.exit_code == 0
    assert re.findall(r"note: (\S+) is no dimension", result.stderr) == ["{campain}", "{gclid}"]


# --- many ------------------------------------------------------------------------------------------------------------


def test_many_destinations_come_from_standard_input(folder: Path, settings: Settings) -> None:
    """One a line, whatever ends it; empty lines are none. The links come in that order."""
    places = [f"https://anywhere.example/{number}?\u00fc" for number in range(300)]
    for arguments in ((URL,), (URL, "-")):
        result = run(folder, *arguments, text="\r\n".join(places[:100]) + "\n\n  \n" + "\n".join(places[100:]))
        assert (result.exit_code, result.stderr) == (0, "")
        links = result.stdout.splitlines()
        assert [parse_qs(urlsplit(link).query)["url"][0] for link in links] == places
    assert click(settings, links[77], int(time.time() * 1000)) == ("https://anywhere.example/77?%C3%BC&click_id=EVENT_ID", "")


def test_one_bad_line_makes_no_link_at_all(folder: Path) -> None:
    """Each is told with its number."""
    result = run(folder, URL, text=b"https://anywhere.example/\n\nnowhere\nhttps://anywhere.example/\xff\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[0].startswith("line 3: `nowhere` is no plain http(s) URL")
    assert result.stderr.splitlines()[1].startswith("line 4: ")
    assert result.stderr.splitlines()[-1] == "2 of 3 destinations refused; no link was made."


def test_of_many_bad_lines_some_are_told(folder: Path) -> None:
    """A file of something else fills no terminal."""
    result = run(folder, URL, text="x\n" * 1000)
    assert len(result.stderr.splitlines()) == 21
    assert result.stderr.splitlines()[-1] == "1000 of 1000 destinations refused; no link was made."


def test_no_destination_at_all_makes_no_link(folder: Path) -> None:
    """An empty file is as good as any."""
    result = run(folder, URL, text="")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


# --- examining -------------------------------------------------------------------------------------------------------


def good(settings: Settings, url: str = URL, destination: str = THERE, expiry: int | None = NOW // 1000 + 60, kid: str | None = None) -> str:
    return Signer(settings, url, kid).link(destination, expiry)


def test_a_good_link_is_described(folder: Path, settings: Settings) -> None:
    """Route, key, end, and where it leads; dimensions by their names."""
    text = examine(settings, good(settings), NOW)
    until = datetime.fromtimestamp(NOW // 1000 + 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert text == (
        f"route `click`, signed with key `2026b` of ring `clicks`, until {until}; "
        "it leads to https://anywhere.example:8443/CAMPAIGN/x?click=EVENT_ID&y=1&click_id=EVENT_ID#z"
    )
    assert "for ever" in examine(settings, good(settings, expiry=None), NOW)
    assert "key `2026a`" in examine(settings, good(settings, kid="2026a"), NOW)
    result = run(folder, "--check", good(settings, expiry=None))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("OK: route `click`, signed with key `2026b`")


def test_a_link_that_needs_no_signature_is_said_to(settings: Settings) -> None:
    """With and without `signed_by`."""
    for url in ("/listed?url=https://shop.example/", "/click/c1/cr1?url=https://shop.example/"):
        assert "its host is allowed without a signature" in examine(settings, url, NOW)


FAULTS = {
    "signature_expired: it was good until 2023-11-14T22:13:20Z": lambda s: good(s, expiry=1_700_000_000),
    "bad_signature: it is not that of this path": lambda s: good(s).replace("/c1/", "/c2/"),
    "bad_signature: it is not that of this path, destination": lambda s: good(s).replace("anywhere", "evil"),
    "bad_signature: it is not that of this path, destination, expiry": lambda s: good(s).replace("exp=1", "exp=2"),
    "bad_signature: it is not that of this path, destination, expiry and key": lambda s: good(s).replace("kid=2026b", "kid=2026a"),
    "bad_signature: no key `2025` in ring `clicks`, which has `2026b` and `2026a`": lambda s: good(s).replace("kid=2026b", "kid=2025"),
    "bad_signature: no key `m1` in ring `clicks`": lambda s: good(s, "/mail").replace("/mail", "/strict/c1").replace("url=", "to="),
    "bad_signature: `sig` is no 43 characters of base64url: the link was cut": lambda s: good(s)[:-5],
    "bad_signature: `sig` is no 43 characters of base64url": lambda s: good(s) + "=",
    "bad_signature: there is no parameter `sig`: the link was cut": lambda s: good(s).partition("&sig=")[0],
    "bad_signature: there is no parameter `kid`": lambda s: good(s).replace("kid=2026b&", ""),
    "bad_signature: `sig` came more than once": lambda s: good(s) + "&sig=x",
    "bad_signature: `exp` came more than once": lambda s: good(s) + "&exp=1",
    "bad_destination: the host of `https://anywhere.example/` is not in `allow`, and there is no signature": lambda s: URL + "?url=https://anywhere.example/",
    "bad_destination: the host of `https://anywhere.example/` is not in `allow`": lambda s: "/listed?url=https://anywhere.example/",
    "bad_destination: there is no parameter `url`": lambda s: URL,
    "bad_destination: `url` came more than once": lambda s: good(s) + "&url=x",
    "bad_destination: `javascript:alert(1)` is no plain http(s) URL": lambda s: URL + "?url=javascript:alert(1)",
}


@pytest.mark.parametrize("says", FAULTS)
def test_a_bad_link_is_told_with_its_reason(settings: Settings, says: str) -> None:
    """The reason that a hit of it gets, and what is wrong."""
    link = FAULTS[says](settings)
    with pytest.raises(LinkError) as caught:
        examine(settings, link, NOW)
    assert str(caught.value).startswith(says)
    assert click(settings, link)[1] == says.partition(":")[0]


def test_a_bad_link_is_exit_code_one(folder: Path, settings: Settings) -> None:
    """The reason on standard error, and no OK."""
    result = run(folder, "--check", good(settings)[:-1])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("bad_signature: ")


def test_examining_takes_no_destination(folder: Path) -> None:
    """Wrong usage is exit 2."""
    assert run(folder, "--check", URL, THERE).exit_code == 2


def test_a_link_as_long_as_the_limits_allow_can_be_examined(settings: Settings) -> None:
    """Longer than a destination may be: it holds one, percent-encoded."""
    link = good(settings, destination="https://anywhere.example/?" + "&" * 2000)
    assert len(link) > 6000
    assert click(settings, link)[1] == ""
    assert "it leads to https://anywhere.example/" in examine(settings, link, NOW)


changes = st.one_of(
    st.tuples(st.just("cut"), st.integers(1, 200), st.just("")),
    st.tuples(st.just("put"), st.integers(0, 250), st.sampled_from([*"&=%?/.aA0-_+", "&sig=", "&kid=2026a", "&exp=1", "&url=x", "%00", "%2e", "ü"])),
)


@given(changes)
def test_the_command_and_a_hit_agree_about_every_link(settings: Settings, change: tuple[str, int, str]) -> None:
    """Cut or altered anywhere: the same reason; or no URL of such a route at all."""
    link = good(settings)
    kind, at, text = change
    link = link[:-at] if kind == "cut" else link[:at] + text + link[at:]
    try:
        verdict = examine(settings, link, NOW)
    except LinkError as error:
        reason = re.match(r"(bad_destination|bad_signature|signature_expired): ", str(error))
        if reason is None:
            return
        assert click(settings, link)[1] == reason[1]
    else:
        assert verdict.startswith("route `click`")
        assert click(settings, link)[1] == ""
