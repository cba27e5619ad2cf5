"""Redirects: a corpus of destinations that must be refused and of some that must pass, and what is sent then."""

from __future__ import annotations

import json
import random
import shutil
import subprocess

import pytest
from falcon.util.uri import parse_query_string

from tracker.capture.redirect import MAX_URL_CHARS, AllowList, Destination, Jump, judge, parse

ALLOWED = AllowList(
    ["example.com", "*.shop.example", "ports.example:8443", "xn--bcher-kva.example", "127.0.0.1:9000", "secure.example:443", "192.0.2.7"]
)

ACCEPTED = {
    "https://example.com": "https://example.com/",
    "https://example.com/": "https://example.com/",
    "http://example.com/a/b.html": "http://example.com/a/b.html",
    "HTTPS://EXAMPLE.COM/Path": "https://example.com/Path",
    "https://example.com?x=1": "https://example.com/?x=1",
    "https://example.com#top": "https://example.com/#top",
    "https://example.com/?q=a%20b&c=d#f": "https://example.com/?q=a%20b&c=d#f",
    "https://example.com/?q=a b": "https://example.com/?q=a%20b",
    "https://example.com/caf\u00e9?\u00fc=\u00df#\u00f6": "https://example.com/caf%C3%A9?%C3%BC=%C3%9F#%C3%B6",
    "https://example.com/\U0001f600": "https://example.com/%F0%9F%98%80",
    "https://example.com/<b>\"'`{|}^": "https://example.com/%3Cb%3E%22'%60%7B%7C%7D%5E",
    "https://example.com/%41%zz%": "https://example.com/%41%zz%",
    "https://example.com/a//b/../c/./d": "https://example.com/a//b/../c/./d",
    "https://example.com//evil.example/": "https://example.com//evil.example/",
    "https://example.com/@evil.example": "https://example.com/@evil.example",
    "https://example.com/?u=https://evil.example/": "https://example.com/?u=https://evil.example/",
    "https://example.com/?mail=a@b.example": "https://example.com/?mail=a@b.example",
    "https://example.com/#@evil.example": "https://example.com/#@evil.example",
    "https://example.com/a:b;c,d=e!f*(g)": "https://example.com/a:b;c,d=e!f*(g)",
    "https://example.com/?a[]=1": "https://example.com/?a[]=1",
    "https://example.com:443/": "https://example.com/",
    "http://example.com:80/x": "http://example.com/x",
    "https://a.shop.example/": "https://a.shop.example/",
    "https://a.b-c.d1.shop.example/x": "https://a.b-c.d1.shop.example/x",
    "https://1.2.3.4.shop.example/": "https://1.2.3.4.shop.example/",
    "https://ports.example:8443/x": "https://ports.example:8443/x",
    "http://ports.example:8443/x": "http://ports.example:8443/x",
    "https://secure.example/": "https://secure.example/",
    "https://secure.example:443/": "https://secure.example/",
    "https://xn--bcher-kva.example/": "https://xn--bcher-kva.example/",
    "https://XN--BCHER-KVA.example/": "https://xn--bcher-kva.example/",
    "http://127.0.0.1:9000/landing": "http://127.0.0.1:9000/landing",
    "http://192.0.2.7/": "http://192.0.2.7/",
    "https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc%26d%23e": "https://example.com/a?b=c&d#e",
    "HTTPS%3a%2f%2fexample.com": "https://example.com/",
    "https%3A//example.com/": "https://example.com/",
    "https://example.com/" + "x" * (MAX_URL_CHARS - 20): "https://example.com/" + "x" * (MAX_URL_CHARS - 20),
}

REFUSED = [
    # nothing, and no absolute URL
    "", " ", "/", "/path", "path", "?x", "#x", "example.com", "example.com/", "www.example.com", "example.com:443", ":", "://example.com", "https", "https:",
    "https:/", "https://", "https:///", "https://?x", "https://#x", "https:// /", "*", "null", "undefined",
    # scheme-relative, and its disguises
    "//example.com", "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\/evil.example", "\\\\evil.example", "\\evil.example",
    "/\\/evil.example", "//evil.example/%2e%2e", "//example.com@evil.example", "/%2f/evil.example", "/%09/evil.example", "./evil.example", "/.evil.example",
    "//%65vil.example", "/\t/evil.example", "%2f%2fevil.example", "%5c%5cevil.example", "..//evil.example",
    # slashes missing or doubled after the scheme
    "https:example.com", "https:/example.com", "https:///example.com", "https:////example.com", "https:///evil.example", "https:evil.example",
    "https:/evil.example", "http:///////evil.example", "https:\\\\example.com", "https:\\example.com", "https:/\\example.com", "https:\\/example.com",
    "https://\\example.com", "https:/\t/example.com", "https:?//example.com", "https:#//example.com",
    # backslashes
    "https://example.com\\", "https://example.com\\@evil.example", "https://evil.example\\@example.com", "https://evil.example\\.example.com",
    "https://example.com\\.evil.example", "https://example.com/\\evil.example", "https://example.com/a\\b", "https://example.com?\\", "https://example.com#\\",
    # userinfo
    "https://good@example.com/", "https://good:pass@example.com/", "https://@example.com/", "https://:@example.com/", "https://example.com@evil.example/",
    "https://example.com:443@evil.example/", "https://example.com%40evil.example/", "https://example.com%2540evil.example/", "https://evil.example%40example.com/",
    "https://a@b@example.com/", "https://example.com&@evil.example/", "https://example.com;@evil.example/", "https://example.com,@evil.example/",
    "https://example.com?@evil.example/", "https://example.com#@evil.example/", "https://example.com?x#@evil.example", "https://\uff20example.com/",
    # look-alikes
    "https://evil.example/", "https://example.com.evil.example/", "https://evilexample.com/", "https://example.comevil.example/", "https://example.co/",
    "https://xample.com/", "https://www.example.com/", "https://shop.example/", "https://evilshop.example/", "https://shop.example.evil.example/",
    "https://a.shop.examples/", "https://.shop.example/", "https://a..shop.example/", "https://-.shop.example/", "https://-a.shop.example/", "https://a-.shop.example/",
    "https://_.shop.example/", "https://*.shop.example/", "https://example,com/", "https://example com/", "https://example.com;evil.example/",
    "https://example.com,evil.example/", "https://example.com&evil.example/", "https://example.com!/", "https://example.com'/", "https://example.com\"/",
    "https://example.com<x>/", "https://example.com^/", "https://example.com`/", "https://example.com{}/", "https://example.com|/", "https://example.com=/",
    "https://example.com$/", "https://example.com(/", "https://example.com~/", "https://example.com+/", "https://exam_ple.com/",
    "https://" + "a" * 64 + ".shop.example/", "https://" + "a." * 130 + "shop.example/",
    # trailing dots
    "https://example.com./", "https://example.com..", "https://example.com.:443/", "https://a.shop.example./", "https://.example.com/", "https://./", "https://../",
    # ports
    "https://example.com:80/", "http://example.com:443/", "https://example.com:8443/", "https://example.com:/", "https://example.com:0/", "https://example.com:00443/",
    "https://example.com:443a/", "https://example.com:443:443/", "https://example.com:65536/", "https://example.com:99999999999/", "https://example.com:-1/",
    "https://example.com:+443/", "https://example.com:4 43/", "https://example.com:\uff14\uff14\uff13/", "https://example.com:443evil.example/",
    "https://ports.example/", "https://ports.example:8444/", "http://secure.example/", "https://a.shop.example:8443/", "http://127.0.0.1/", "http://127.0.0.1:9001/",
    "https://example.com:0x1bb/", "https://example.com:\u06f4\u06f4\u06f3/",
    # IPv4 in every notation
    "http://0177.0.0.1:9000/", "http://0x7f.0.0.1:9000/", "http://0x7f000001:9000/", "http://2130706433:9000/", "http://017700000001:9000/", "http://127.1:9000/",
    "http://127.0.1:9000/", "http://127.0.0.01:9000/", "http://127.0.0.1.:9000/", "http://127.0.0.256:9000/", "http://127.0.0.0x1:9000/", "http://1.2.3.4.5:9000/",
    "http://10.0.0.1/", "http://169.254.169.254/", "http://0/", "http://0x/", "http://a.0x7f/", "http://1/", "http://shop.example.1/", "http://127.0.0.1.shop.example.0x1/",
    "http://\u2460\u2461\u2466.0.0.1:9000/", "http://127\u30020\u30020\u30021:9000/", "http://192.0.2.8/", "http://192.0.2.7.evil.example/",
    # IPv6
    "http://[::1]/", "http://[::ffff:127.0.0.1]:9000/", "http://[::ffff:7f00:1]:9000/", "http://[::]/", "http://[fe80::1%25eth0]/", "http://::1/", "http://[example.com]/",
    "http://[::1]@example.com/", "http://example.com[::1]/", "http://[v1.x]/", "http://[::1/",
    # IDN, full-width dots and letters, invisible characters
    "https://b\u00fccher.example/", "https://ex\u0430mple.com/", "https://example\uff0ecom/", "https://example\u3002com/", "https://example\uff61com/",
    "https://\uff45xample.com/", "https://\u24d4xample.com/", "https://exa\u00admple.com/", "https://exa\u200bmple.com/", "https://example.com\u200b/",
    "https://example.com\u2024evil.example/", "https://example.com\u2215evil.example/", "https://example.com\uff0fevil.example/", "https://example.com\u2044evil.example/",
    "https://\u202emoc.elpmaxe/", "https://example.com/\u202e", "https://example.com/\u200b", "https://\u212aexample.com/", "https://xn--exmple-4nf.com/",
    "https://xn--a.shop.example/", "https://xn--bcher-kva.shop.example/", "https://a.xn--p1ai.shop.example/", "https://xn--.shop.example/", "https://\U0001f600.shop.example/",
    # percent-encoded delimiters and letters in the authority
    "https://example.com%2f@evil.example/", "https://example.com%2fevil.example", "https://example.com%5cevil.example", "https://example.com%3f.evil.example",
    "https://example.com%23.evil.example", "https://example.com%00.evil.example", "https://example.com%00", "https://example.com%0d%0a", "https://example.com%09",
    "https://example.com%20", "https://example.com%3a443/", "https://%65xample.com/", "https://example%2ecom/", "https://example.com%2e/", "https://example.com%e3%80%82evil.example",
    "https:%2f%2fexample.com", "https:%2fexample.com", "https:/%2fexample.com", "https:%5c%5cexample.com", "https%3Aexample.com", "https%3A%2Fexample.com",
    # encoded twice too often, or hiding something below
    "https%253A%252F%252Fexample.com%252F", "https%25253A//example.com", "https%3A%2F%2Fevil.example%2F", "https%3A%2F%2Fexample.com%40evil.example",
    "https%3A%2F%2Fexample.com%5C%40evil.example", "https%3A%5C%5Cexample.com", "https%3A%2F%2Fexample.com%0d%0aX:1", "https%3A%2F%2Fexample.com%2500.evil.example",
    "https%3A%2F%2Fexample.com%00", "https%3A%2F%2F%65xample.com%252f@evil.example", "javascript%3Aalert(1)", "%68ttps://example.com", "https%3A%2F%2Fexample.com%FF",
    "https%3A%2F%2F%2Fexample.com", "https%3A%09//example.com",
    # control characters, white space, CR and LF
    "\thttps://example.com/", " https://example.com/", "https://example.com/ ", "\nhttps://example.com/", "https://example.com/\n", "h\tttps://example.com/",
    "ht\ntps://example.com/", "https\t://example.com/", "https:\n//example.com/", "https://exam\tple.com/", "https://example.com\r\nSet-Cookie: a=b", "https://example.com/\r\nX: y",
    "https://example.com/\x00", "\x00https://example.com/", "https://example.com\x00.evil.example", "https://example.com/\x1b[31m", "https://example.com/\x7f", "https://example.com/\x85",
    "https://example.com/\u2028", "https://example.com/\u2029x", "https://example.com/\u00a0", "\ufeffhttps://example.com/", "\x01https://example.com", "https://example.com/\x0b",
    # other schemes
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "javascript://example.com/%0aalert(1)", "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)", "file:///etc/passwd", "file://example.com/x", "ftp://example.com/", "ws://example.com/", "blob:https://example.com/x", "about:blank",
    "view-source:https://example.com/", "mailto:a@example.com", "tel:1", "intent://example.com#Intent;end", "httpss://example.com/", "http+https://example.com/",
    "htt\u017f://example.com/", "http\u017f://example.com/", "1https://example.com/", "url=https://example.com/", "URL:https://example.com", "<https://example.com/>",
    "https://example.com/\ud800", "feed:https://example.com/", "x-https://example.com/",
    # queries and fragments that hide a host
    "https://evil.example/?https://example.com/", "https://evil.example#example.com", "https://evil.example?example.com", "https://evil.example/example.com",
    "https://evil.example/.example.com", "https://evil.example;example.com/", "https://evil.example#.shop.example", "https://evil.example?.shop.example/",
    "https://evil.example/#https://example.com/", "https://evil.example:443#example.com", "https://evil.example;.shop.example",
    # over-long; invalid UTF-8 as the query parser leaves it
    "https://example.com/" + "x" * MAX_URL_CHARS, "https://example.com/" + "\u00fc" * 400, "https://" + "a" * 300 + ".shop.example/", "https://example.com/\ufffd", "https://exam\ufffdple.com/",
]  # fmt: skip


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    """And no target stands in it twice."""
    assert len(REFUSED) == len(set(REFUSED)) >= 150
    assert len(ACCEPTED) >= 28
    assert not set(ACCEPTED) & set(REFUSED)


@pytest.mark.parametrize("target", REFUSED, ids=ascii)
def test_a_bad_destination_is_refused(target: str) -> None:
    """Whatever class of trick it is."""
    assert judge(target, ALLOWED) is None


@pytest.mark.parametrize(("target", "location"), ACCEPTED.items(), ids=[text[:60].encode("ascii", "backslashreplace").decode() for text in ACCEPTED])
def test_a_good_destination_is_written_anew(target: str, location: str) -> None:
    """Pure ASCII, with a path, host in lower case, the scheme's own port left out; and writing it again changes nothing."""
    destination = judge(target, ALLOWED)
    assert destination is not None
    assert destination.location() == location
    assert location.isascii()
    assert location.isprintable()
    assert judge(location, ALLOWED) == destination


@pytest.mark.parametrize("value", [None, ["https://example.com/", "https://example.com/"], ["https://example.com/"], 7, True, {"u": "https://example.com/"}])
def test_what_is_not_one_text_is_refused(value: object) -> None:
    """Absent, repeated, or no text at all in a JSON body."""
    assert judge(value, ALLOWED) is None


@pytest.mark.parametrize("query", ["url=https://example.com/&url=https://evil.example/", "url=https://example.com/&%75rl=https://example.com/", "url=https://example.com/&url="])
def test_a_repeated_parameter_is_refused_however_it_is_written(query: str) -> None:
    """Percent-encoded names are the same names; a blank value counts."""
    assert judge(parse_query_string(query, True, False)["url"], ALLOWED) is None


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://example.com", "https://example.com/?click_id=e1"), ("https://example.com/a?b=c", "https://example.com/a?b=c&click_id=e1"),
        ("https://example.com/a?", "https://example.com/a?click_id=e1"), ("https://example.com/a?b&", "https://example.com/a?b&click_id=e1"),
        ("https://example.com/a?b#c?d", "https://example.com/a?b&click_id=e1#c?d"), ("https://example.com/#c", "https://example.com/?click_id=e1#c"),
        ("https://example.com/?click_id=mine", "https://example.com/?click_id=mine&click_id=e1"),
    ],
)  # fmt: skip
def test_added_parameters_stand_at_the_end_of_the_query(url: str, location: str) -> None:
    """Before the fragment, whatever the destination brings."""
    jump = Jump(None, "query", "url", ALLOWED, ("click_id=",), "")
    assert jump.location({"url": url}, {}, "e1") == location
    stored = Jump(parse(url), "", "", AllowList([]), ("click_id=",), "")
    assert stored.location({}, {}, "e1") == location


def test_a_destination_may_come_in_the_body() -> None:
    """From where the route says, and from nowhere else."""
    jump = Jump(None, "body", "u", ALLOWED, (), "")
    assert jump.location({"u": "https://example.com/q"}, {"u": "https://example.com/b"}, "e1") == "https://example.com/b"
    assert jump.location({"u": "https://example.com/q"}, {}, "e1") is None


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.", "*.com", "*.*.example", "a.*.example", "*example.com", "https://example.com", "example.com/", "Example.com", "b\u00fccher.example",
     "example.com.", ".example.com", "example.com:0", "example.com:x", "example.com:", "*.127.0.0.1", "127.1", "0x7f.1", "[::1]", "a b", "u@example.com", "-a.example"],
)  # fmt: skip
def test_an_allow_list_says_what_is_wrong_with_an_entry(entry: str) -> None:
    """Nothing too wide, nothing that could never match."""
    with pytest.raises(ValueError, match=r"`.*`"):
        AllowList([entry])


BASES = [*ACCEPTED, "https://evil.example/", "https://a.shop.example/x?y=https://example.com#z", "https://good@example.com:443/", "http://127.0.0.1:9000/"]
PIECES = [
    "", "/", "//", "\\", "@", ":", "?", "#", ".", "%", "%2f", "%40", "%5c", "%00", "\t", "\n", "\r", " ", "\x00", "\u3002", "\uff0e", "\uff20", "\u200b", "\u00ad",
    "example.com", "evil.example", ".shop.example", "https:", "http://", "javascript:", "[", "]", "::1", "0x7f", "xn--", "-", "_", "*", ",", ";", "&", "=", "\u00fc",
    "\ufffd", ":443", ":80", ":9000", "1", "127.0.0.1", "\U0001f600", "\u212a", "\u017f",
]  # fmt: skip


def mutated(many: int, seed: int) -> list[str]:
    chooser = random.Random(seed)
    found = []
    for _ in range(many):
        text = chooser.choice(BASES)[:80]
        for _ in range(chooser.randint(1, 3)):
            at = chooser.randint(0, min(len(text), 40))
            cut = chooser.choice((0, 0, 0, 1, 1, 3))
            text = text[:at] + chooser.choice(PIECES) + text[at + cut :]
        found.append(text)
    return found


def host_of(destination: Destination) -> str:
    return f"{destination.host}:{destination.port}" if destination.port else destination.host


NODE = """
const lines = require("fs").readFileSync(0, "utf8").split("\\n").filter(Boolean);
for (const line of lines) {
  const [input, location] = JSON.parse(line);
  const host = text => { try { return new URL(text).host } catch { return null } };
  console.log(JSON.stringify([host(input), host(location), new URL(location).origin + "/"]));
}
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node has the WHATWG parser that browsers have; it is not needed otherwise")
def test_a_browsers_parser_reads_the_same_host_in_input_and_location() -> None:
    """Of 40,000 mutated URLs, each that passes has one host for us, for WHATWG in what came, and for WHATWG in what is sent."""
    passed = [(text, found) for text in [*ACCEPTED, *mutated(40_000, 1)] if (found := judge(text, ALLOWED)) is not None]
    assert len(passed) > 1000
    lines = "\n".join(json.dumps([text, found.location()]) for text, found in passed)
    run = subprocess.run(["node", "-e", NODE], input=lines, capture_output=True, text=True, timeout=60, check=True)
    for (text, found), line in zip(passed, run.stdout.splitlines(), strict=True):
        theirs, sent, _ = json.loads(line)
        assert sent == host_of(found), text
        if not text.lower().startswith(("https%3a", "http%3a")):
            assert theirs == host_of(found), text


def test_no_mutation_passes_with_a_host_that_is_not_listed() -> None:
    """Read naively, the other way round: between `//` and the next slash of the Location stands a listed host, whole."""
    listed = {"example.com", "ports.example:8443", "xn--bcher-kva.example", "127.0.0.1:9000", "secure.example", "192.0.2.7"}
    count = 0
    for text in mutated(20_000, 2):
        found = judge(text, ALLOWED)
        if found is not None:
            count += 1
            location = found.location()
            assert location.isascii()
            assert location.isprintable()
            assert " " not in location
            scheme, _, rest = location.partition("://")
            host = rest.split("/", 1)[0]
            assert scheme in ("http", "https")
            assert host in listed or host.removesuffix(".shop.example").replace(".", "").replace("-", "").isalnum()
            assert host in listed or host.endswith(".shop.example")
    assert count > 500
