"""Redirects: a corpus of destinations that must be refused and of some that must pass, and what is sent then.

All of it goes through the endpoint, as a hit would bring it.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import string
import subprocess
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

import msgspec
import pytest
import yaml

from tracker.capture import routing, signing
from tracker.capture.endpoint import Answer, Endpoint
from tracker.capture.hit import Hit
from tracker.capture.jump import take_apart
from tracker.capture.redirect import MAX_URL_CHARS, AllowList, parse, read
from tracker.settings.model import Limits, Routes, Settings, Tracker

NOW = 1_763_675_618_123
SECRET = "not-a-secret-but-long-enough"
ROUTES = """
routes:
  plain: {path: /plain, reply: {redirect: {to: query.url, allow: &hosts [example.com, "*.shop.example", "ports.example:8443", xn--bcher-kva.example,
    "127.0.0.1:9000", "secure.example:443", 192.0.2.7]}}}
  fallback: {path: /fallback, reply: {redirect: {to: query.url, allow: *hosts, otherwise: https://example.com/sorry}}}
  body: {path: /body, methods: [POST], reply: {redirect: {to: body.url, allow: *hosts}}}
  signed: {path: /signed, reply: {redirect: {to: query.url, signed_by: clicks}}}
  macros: {path: /macros, reply: {redirect: {to: query.url, signed_by: clicks}}, dimensions: {a: query.a, b: query.b}}
"""


def made() -> Endpoint:
    endless = Limits(max_bad_events_per_second=10**9, max_bad_bytes_per_second=10**12)
    tracker = Tracker(signing_keys={"clicks": {"k1": SECRET}}, limits=endless)
    table = msgspec.convert(yaml.safe_load(ROUTES), Routes)
    assert list(routing.check(tracker, table)) == []
    return Endpoint(Settings(tracker=tracker, routes=table, version="0" * 12), lambda ms: "id-0")


ENDPOINT = made()


def click(query: str, path: str = "/plain") -> Answer:
    """The answer to a GET."""
    return ENDPOINT.answer(Hit("GET", path, query, {}, b"", "203.0.113.7", NOW))


def url(text: str) -> str:
    """A destination as a parameter. Halves of surrogate pairs go as the bytes that they would be."""
    return "url=" + quote(text.encode("utf-8", "surrogatepass"), safe="")


def location_of(answer: Answer) -> str:
    """Where it leads; empty if nowhere."""
    return dict(answer.reply.extra).get("Location", "")


def goes_to(target: str, path: str = "/plain") -> str:
    """Where a destination leads; empty if it is refused, of which every sign is looked at."""
    answer = click(url(target), path)
    location = location_of(answer)
    (event,) = answer.events
    assert (answer.reply.fixed.status, event.lane, event.reason) == ((302, "good", "") if location else (400, "bad", "bad_destination"))
    return location


def shortened(target: str) -> str:
    """A target as the name of a test."""
    return ascii(target)[1:61]


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
    "http%3A%2F%2Fexample.com%3A80%2F": "http://example.com/",
    "https%3a%2f%2fexample.com%2F%252e%252e": "https://example.com/%252e%252e".replace("%25", "%"),
    "https://example.com/%2e%2e/%2E/..": "https://example.com/%2e%2e/%2E/..",
    "https://example.com/%0d%0aSet-Cookie:a=b": "https://example.com/%0d%0aSet-Cookie:a=b",
    "https://example.com/%00": "https://example.com/%00",
    "https://example.com/%5c%5cevil.example": "https://example.com/%5c%5cevil.example",
    "https://example.com/%2f%2fevil.example": "https://example.com/%2f%2fevil.example",
    "https://example.com///evil.example": "https://example.com///evil.example",
    "https://example.com/?next=//evil.example": "https://example.com/?next=//evil.example",
    "https://example.com/javascript:alert(1)": "https://example.com/javascript:alert(1)",
    "https://example.com/#javascript:alert(1)": "https://example.com/#javascript:alert(1)",
    "https://example.com/?a=b#c#d": "https://example.com/?a=b#c#d",
    "https://example.com/?a?b??c": "https://example.com/?a?b??c",
    "https://example.com/?": "https://example.com/?",
    "https://example.com/#": "https://example.com/#",
    "https://example.com?": "https://example.com/?",
    "https://example.com/;jsessionid=1?a=1;b=2": "https://example.com/;jsessionid=1?a=1;b=2",
    "https://example.com/a+b?c+d": "https://example.com/a+b?c+d",
    "https://example.com/\u6771\u4eac?\u5e83=\u544a": "https://example.com/%E6%9D%B1%E4%BA%AC?%E5%BA%83=%E5%91%8A",
    "https://example.com/{gclid}?x={lpurl}": "https://example.com/%7Bgclid%7D?x=%7Blpurl%7D",
    "https://example.com/{click_id}?x=%7Bevent_id%7D#%7bclick_id%7d": "https://example.com/id-0?x=id-0#id-0",
    "https://example.com/${AUCTION_PRICE}/%%SITE%%/[CACHEBUSTER]": "https://example.com/$%7BAUCTION_PRICE%7D/%%SITE%%/[CACHEBUSTER]",
    "https://shop.example.shop.example/": "https://shop.example.shop.example/",
    "https://" + "a" * 63 + ".shop.example/": "https://" + "a" * 63 + ".shop.example/",
    "https://0x7f.shop.example/": "https://0x7f.shop.example/",
    "https://127.0.0.1.shop.example/": "https://127.0.0.1.shop.example/",
    "https://a--b.shop.example/": "https://a--b.shop.example/",
    "https://A.SHOP.EXAMPLE:443/A": "https://a.shop.example/A",
    "http://192.0.2.7:80/": "http://192.0.2.7/",
    "https://192.0.2.7/": "https://192.0.2.7/",
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
    # what published lists of tricks hold besides (OWASP, PortSwigger, WPT's urltestdata)
    "//google.com/%2f..", "///google.com/%2f%2e%2e", "/https:/%5cblackfan.ru/", "//%5cexample.com", "/%5cexample.com", "/%68ttp://example.com", "/.example.com", "///\\;@example.com",
    "////\\;@example.com/", "https:///example.com/%2e%2e", "https:///example.com/%2f%2e%2e", "/http://example.com", "/http:/example.com", "/https:/%5cexample.com/", "//example.com/..;/css",
    "https://%09/example.com", "https://%5cexample.com", "/%5cexample.com/%2f%2e%2e", "/%09/example.com", "%19Jav%09asc%09ript:https%20://example.com/%250Aconfirm%25281%2529", "//localdomain%E3%80%82pw",
    "/\u3002example.com", "https://example.com%E3%80%82evil.example", "〱example.com", "〵example.com", "ゝexample.com", "ーexample.com", "ｰexample.com", "/〱example.com", "//;@example.com", "https://;@example.com",
    "https://:80#@example.com/", "https://:80?@example.com/", "https://3H6k7lIAiqjfNeN@example.com", "https://3H6k7lIAiqjfNeN@example.com+@evil.example/", "https://XY>.7d8T\\205pZM@example.com",
    "https://www.example.com+example.com/", "https://example.com.mx", "https://www.example.com%20.evil.example", "https://www.example.com%0A.evil.example", "https://www.example.com\xa0.evil.example",
    "https://www.evil.example\u2044example.com", "https://example.com\u29f8@evil.example", "https://example.com\u2571evil.example", "https://example.com\uff1a443@evil.example/", "https://example.com\ufe55443/",
    "http://0xd8.0x3a.0xd6.0xce", "http://0330.072.0326.0316", "http://3627734734", "http://[::216.58.214.206]", "http://0xd83ad6ce", "http://033016553316", "http://00330.00072.0000326.00000316",
    "http://216.0x3a.00000000326.0xce", "http://[::ffff:216.58.214.206]", "http://127.127.127.127:9000/", "http://127.0.0.1.nip.io:9000/", "http://①②⑦.⓪.⓪.①:9000/",
    "javascript:alert(1);//https://example.com/", "javascript:https://example.com/%0aalert(1)", "javascript://https://example.com/?z=%0Aalert(1)", "\x00javascript:alert(1)", "java%0d%0ascript%0d%0a:alert(0)",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==", "data:,https://example.com/", "jAvAsCrIpT&colon;alert(1)", "vbscript:https://example.com/", "jar:https://example.com!/", "ms-its:https://example.com/",
    "https:example.com@evil.example", "https:/example.com@evil.example", "https:\u2215\u2215example.com/", "https:\uff0f\uff0fexample.com/", "https\uff1a//example.com/", "https\u02d0//example.com/", "https://example.com:443:@evil.example/",
    "https://[example.com]@evil.example", "https://example.com]/", "https://[example.com/", "https://exam[ple].com/", "https://example.com:[443]/", "https://{a}/", "https://{a}.shop.example/", "https://example.com{a}/",
    "https://%7Ba%7D.shop.example/", "{scheme}://example.com/", "https:{a}//example.com/", "https://example.com:{a}/", "https://${host}/", "https://example.com/.{click_id}/", "https://example.com/%2e%7Bevent_id%7D",
    "https://example.com/" + "x" * MAX_URL_CHARS, "https://example.com/" + "\u00fc" * 400, "https://" + "a" * 300 + ".shop.example/", "https://example.com/\ufffd", "https://exam\ufffdple.com/",
]  # fmt: skip


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    """And no target stands in it twice."""
    assert len(REFUSED) == len(set(REFUSED)) >= 400
    assert len(ACCEPTED) >= 50
    assert not set(ACCEPTED) & set(REFUSED)


@pytest.mark.parametrize("target", REFUSED, ids=shortened)
def test_a_bad_destination_is_refused(target: str) -> None:
    """Whatever class of trick it is: 400 without a Location; the event is in the bad lane."""
    assert goes_to(target) == ""


@pytest.mark.parametrize("target", REFUSED, ids=shortened)
def test_whoever_brings_a_bad_destination_lands_at_otherwise(target: str) -> None:
    """A person always lands somewhere, and never where the trick wanted."""
    answer = click(url(target), "/fallback")
    assert (answer.reply.fixed.status, location_of(answer)) == (302, "https://example.com/sorry")
    assert [event.reason for event in answer.events] == ["bad_destination"]


@pytest.mark.parametrize(("target", "location"), ACCEPTED.items(), ids=map(shortened, ACCEPTED))
def test_a_good_destination_is_written_anew(target: str, location: str) -> None:
    """Pure ASCII, with a path, host in lower case, the scheme's own port left out; and writing it again changes nothing."""
    assert goes_to(target) == location
    assert location.isascii()
    assert location.isprintable()
    assert goes_to(location) == location
    assert goes_to(target, "/fallback") == location


def test_a_destination_that_was_not_percent_encoded_is_read_as_well() -> None:
    """Tags forget it; what the query's own syntax leaves of it is what counts."""
    assert location_of(click("url=https://example.com/a/b?c=d")) == "https://example.com/a/b?c=d"
    assert location_of(click("url=https://example.com/?a=1&b=2")) == "https://example.com/?a=1"
    assert location_of(click("url=https://example.com/a+b")) == "https://example.com/a%20b"


@pytest.mark.parametrize("query", ["", "url", "url=", "URL=https://example.com/", "url[]=https://example.com/", "x=1"])
def test_no_destination_is_a_bad_one(query: str) -> None:
    """Absent, empty, or under another name."""
    answer = click(query)
    assert (answer.reply.fixed.status, location_of(answer)) == (400, "")


@pytest.mark.parametrize(
    "body", [b"{}", b'{"url": null}', b'{"url": 7}', b'{"url": true}', b'{"url": ["https://example.com/"]}', b'{"url": {"u": "https://example.com/"}}',
             b'{"url": "https://evil.example/"}', b"url=", b"url=https://evil.example/", b'["https://example.com/"]', b'{"url": "https://example.com/\\ud83d"}'],
)  # fmt: skip
def test_what_is_no_text_in_a_body_is_refused(body: bytes) -> None:
    """Absent, or of another type."""
    answer = ENDPOINT.answer(Hit("POST", "/body", url("https://example.com/"), {}, body, "203.0.113.7", NOW))
    assert (answer.reply.fixed.status, location_of(answer)) == (400, "")


@pytest.mark.parametrize("body", [b'{"url": "https://example.com/x"}', b"url=https%3A%2F%2Fexample.com%2Fx"])
def test_a_destination_may_come_in_the_body(body: bytes) -> None:
    """JSON or form; and then from nowhere else."""
    answer = ENDPOINT.answer(Hit("POST", "/body", url("https://example.com/query"), {}, body, "203.0.113.7", NOW))
    assert location_of(answer) == "https://example.com/x"


@pytest.mark.parametrize(
    "query",
    ["url=https://example.com/&url=https://evil.example/", "url=https://example.com/&%75rl=https://example.com/", "url=https://example.com/&url=", "url=&url=https://example.com/",
     "url=https://example.com/&x=1&url=https://example.com/", "url=https://example.com/&url", "url=https://example.com/&u%72l=https://evil.example/"],
)  # fmt: skip
def test_a_repeated_parameter_is_refused_however_it_is_written(query: str) -> None:
    """Percent-encoded names are the same names; a blank value counts."""
    answer = click(query)
    assert (answer.reply.fixed.status, location_of(answer)) == (400, "")


# --- whole classes, made rather than written -------------------------------------------------------------------------

PLACES = ("{}https://example.com/", "ht{}tps://example.com/", "https{}://example.com/", "https:{}//example.com/", "https:/{}/example.com/", "https://{}example.com/",
          "https://exam{}ple.com/", "https://example.com{}/", "https://example.com{}evil.example/", "https://example.com/{}", "https://example.com/a{}b", "https://example.com/?{}a",
          "https://example.com/#{}")  # fmt: skip
IN_AUTHORITY = PLACES[5:9]
INVISIBLE = [chr(code) for code in range(0x11_0000) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp")]


def in_places(characters: list[str], places: tuple[str, ...]) -> Iterator[str]:
    return (place.format(character) for character in characters for place in places)


def becomes_ascii() -> list[str]:
    """Characters that normalisation makes plain ASCII of: full-width, circled, mathematical, Kelvin, ligatures."""
    every = (chr(code) for code in range(0x80, 0x11_0000) if not 0xD800 <= code < 0xE000)
    return [c for c in every if unicodedata.normalize("NFKC", c).isascii() or c.lower().isascii() or c.upper().isascii() or c.casefold().isascii()]


def addresses() -> Iterator[str]:
    """127.0.0.1 in every notation but its own."""
    first = ["127", "0177", "0x7f", "00177", "0X7F", "0x07f"]
    zero = ["0", "00", "0x0", "0x", "000"]
    last = ["1", "01", "0x1", "0001"]
    for parts in itertools.product(first, zero, zero, last):
        if parts != ("127", "0", "0", "1"):
            yield ".".join(parts)
    for a, b in itertools.product(first, last):
        yield f"{a}.{b}"
    for a, b, c in itertools.product(first, zero, last):
        yield f"{a}.{b}.{c}"
    yield from ("2130706433", "0x7f000001", "017700000001", "0x7F000001", "4425673729", "127.0.0.1.", "127.0.0.1..", "127.0.0.1.0", "127.0.0.1.1", "127.00.0.1", "127.0.0.256", "127.0.0.-1")


SCHEMES = """about acap acct afp blob bitcoin callto cap chrome chrome-extension cid content cvs data dav dict dns facetime feed file filesystem finger fish ftp ftps geo git go gopher h323
hcp help httpx httpss https+x http2 iax icap imap info intent ipp irc jabber jar javascript jdbc ldap ldaps livescript magnet mailto market mid mms mocha moz-extension ms-settings msnim
news nfs nntp oid opaque pkcs11 pop pres res resource rsync rtmp rtsp sftp shell sip sips skype smb sms snmp spotify ssh steam stun svn tel telnet tftp tip tv udp urn vbscript
view-source vnc wais webcal ws wss wyciwyg xmpp x s h t p htt ttp ttps hhttps https1 1http"""

CLASSES = {
    "control and format characters": (list(in_places(INVISIBLE, PLACES)), 2500),
    "white space": (list(in_places([c for c in map(chr, range(0x11_0000)) if c.isspace() and c != " "], PLACES)), 300),
    "a space anywhere before the path": (list(in_places([" ", "%20", "+ ", "\t "], PLACES[:9])), 36),
    "characters that become ASCII, in the host": (list(in_places(becomes_ascii(), IN_AUTHORITY)), 4000),
    "any other letter in the host": (list(in_places([chr(code) for code in range(0xA1, 0x3000)], IN_AUTHORITY[:3])), 10_000),
    "percent-encoded bytes in the host": (list(in_places([f"%{byte:02x}" for byte in range(256)], IN_AUTHORITY)), 1024),
    "percent-encoded bytes in scheme and slashes": (list(in_places([f"%{byte:02X}" for byte in range(256)], PLACES[:5])), 1280),
    "punctuation in the host": (list(in_places([c for c in string.punctuation if c not in "/?#"], IN_AUTHORITY)), 100),
    "slashes of every number and kind": (
        [f"{scheme}{''.join(slashes)}{host}/" for scheme in ("https:", "http:", "HTTPS:", "", ":") for count in range(6) for slashes in itertools.product("/\\", repeat=count)
         for host in ("example.com", "evil.example") if not (scheme.lower() in ("https:", "http:") and slashes == ("/", "/") and host == "example.com")], 500,
    ),
    "other schemes": ([f"{scheme}:{slashes}example.com/" for scheme in SCHEMES.split() for slashes in ("//", "/", "", "///")], 400),
    "other schemes with code": ([f"{scheme}:{code}" for scheme in ("javascript", "JavaScript", "data", "vbscript", "java\tscript", "java\nscript", "\x01javascript", "javascript&colon;", "feed:javascript")
                                 for code in ("alert(1)", "//example.com/%0aalert(1)", "//https://example.com/\nalert(1)", "text/html,<script>alert(1)</script>", "https://example.com/")], 40),
    "addresses in other notations": ([f"http://{address}:9000/" for address in addresses()], 700),
    "addresses that are not listed": ([f"http://{address}/" for address in ("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.0.0.2", "169.254.169.254", "172.16.0.1", "192.0.2.6", "192.0.2.70",
                                       "192.168.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.7.nip.io", "7.2.0.192", "1.192.0.2.7")], 15),
    "IPv6": ([f"http://{host}{port}/" for host in ("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1%25lo]",
              "[fe80::1%lo]", "[v1.fe]", "[::1", "::1]", "::1", "[127.0.0.1]", "[example.com]", "[]", "example.com[::1]", "[::1]example.com", "[::1].shop.example") for port in ("", ":9000", ":80")], 60),
    "ports": ([f"https://{host}:{port}/" for host in ("example.com", "a.shop.example", "ports.example", "xn--bcher-kva.example") for port in
               ("0", "1", "22", "25", "80", "444", "8080", "65535", "65536", "99999", "443443", "0443", "00443", "+443", "-443", "443.", "443 ", " 443", "4_43", "0x1bb", "443a", "a", "443:443", "443@evil.example",
                "", "\u0664\u0664\u0663", "\uff14\uff14\uff13", "\u2074\u2074\u00b3", "8442", "18443", "84430")], 120),
    "userinfo": ([f"https://{user}{at}{host}/" for user in ("good", "good:pass", "", ":", "example.com", "example.com:443", "https://example.com", "example.com%2f", "example.com\\", "a@b", "\u2028")
                  for at in ("@", "%40", "%2540", "\uff20", "\ufe6b") for host in ("example.com", "evil.example", "example.com:443")], 150),
    "look-alikes": ([f"https://{host}/" for listed in ("example.com", "xn--bcher-kva.example", "secure.example") for host in
                     (f"{listed}.evil.example", f"evil{listed}", f"evil-{listed}", f"{listed}evil.example", f"{listed}-evil.example", f"www.{listed}", f"a.b.{listed}", f"{listed}.", f"{listed}..", f".{listed}",
                      f"{listed}.com", f"{listed[1:]}", f"{listed[:-1]}", f"{listed}{listed}", f"{listed}.{listed}", f"_{listed}", f"*.{listed}", f"{listed}m", listed.replace("e", "3"), listed.replace(".", ".."),
                      listed.replace(".", "-"), listed.replace(".", ""), listed.replace(".", ","), listed.replace("m", "rn"), f"{listed}%00", f"{listed}%00.evil.example", f"evil.example%00.{listed}")], 75),
    "look-alikes of a suffix": ([f"https://{host}/" for host in ("shop.example", "ashop.example", "a-shop.example", "shop.example.evil.example", "a.shop.example.evil.example", "a.shop.example.", "a.shop.example..",
                                 "a..shop.example", ".a.shop.example", "a.shop.examplee", "a.shop.exampl", "a.shop-example", "a.shop.example-evil.example", "a_b.shop.example", "-a.shop.example", "a-.shop.example",
                                 "%61.shop.example", "a.shop%2eexample", "*.shop.example", "xn--a.shop.example", "xn--a.b.shop.example", "b.xn--a.shop.example", "a" * 64 + ".shop.example", "a." * 121 + "shop.example")], 24),
}  # fmt: skip


@pytest.mark.parametrize(("targets", "least"), CLASSES.values(), ids=CLASSES)
def test_a_whole_class_is_refused(targets: list[str], least: int) -> None:
    """Every character, byte, notation or scheme of the class, in every place where it could matter."""
    assert len(set(targets)) >= least
    assert [target for target in targets if location_of(click(url(target)))] == []


def test_what_the_classes_vary_is_taken_without_it() -> None:
    """Were their pattern wrong in itself, they would prove nothing."""
    assert [place for place in PLACES if not location_of(click(url(place.format("")))) and "evil" not in place] == []


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.", "*.com", "*.*.example", "a.*.example", "*example.com", "https://example.com", "example.com/", "Example.com", "b\u00fccher.example",
     "example.com.", ".example.com", "example.com:0", "example.com:x", "example.com:", "*.127.0.0.1", "127.1", "0x7f.1", "[::1]", "a b", "u@example.com", "-a.example"],
)  # fmt: skip
def test_an_allow_list_says_what_is_wrong_with_an_entry(entry: str) -> None:
    """Nothing too wide, nothing that could never match."""
    with pytest.raises(ValueError, match=r"`.*`"):
        AllowList([entry])


BASES = [
    *ACCEPTED, "https://evil.example/", "https://a.shop.example/x?y=https://example.com#z", "https://good@example.com:443/", "http://127.0.0.1:9000/",
    "https://shop.example/{a}/x?y={click_id}#{b}", "https://example.com/{a}{b}/..?{a}&{b}={zz}", "https://a.shop.example/%7Ba%7D.html?%7bevent_id%7d", "https%3A%2F%2Fexample.com%2F%7Ba%7D",
]  # fmt: skip
PIECES = [
    "", "/", "//", "\\", "@", ":", "?", "#", ".", "%", "%2f", "%40", "%5c", "%00", "\t", "\n", "\r", " ", "\x00", "\u3002", "\uff0e", "\uff20", "\u200b", "\u00ad",
    "example.com", "evil.example", ".shop.example", "https:", "http://", "javascript:", "[", "]", "::1", "0x7f", "xn--", "-", "_", "*", ",", ";", "&", "=", "\u00fc",
    "\ufffd", ":443", ":80", ":9000", "1", "127.0.0.1", "\U0001f600", "\u212a", "\u017f", "{a}", "{b}", "%7Ba%7D", "{click_id}", "{zz}", "{", "}", "..", "%2e", "/../", "$", "^", "|", "<", "'",
]  # fmt: skip
VALUES = ["", "x", ".", "..", "%2e%2e", "/", "//evil.example", "\\", "?", "#", "&", "=", "%", "%2f", "@", ":", "../..", "a b", "\u00fc", "\U0001f600", "\uff0f", "\u3002", "{b}", "%7Bb%7D", "+", ";", "'", "\u2028", "\r\nX: y"]
MANY = int(os.environ.get("REDIRECT_URLS", "40000"))
"""How many mutated URLs the differential test reads; a million take some minutes."""


def mutated(many: int, seed: int) -> Iterator[str]:
    chooser = random.Random(seed)
    for _ in range(many):
        text = chooser.choice(BASES)[:80]
        for _ in range(chooser.randint(1, 3)):
            at = chooser.randint(0, min(len(text), 40))
            cut = chooser.choice((0, 0, 0, 1, 1, 3))
            text = text[:at] + chooser.choice(PIECES) + text[at + cut :]
        yield text


NODE = """
const host = text => { try { return new URL(text).host } catch { return null } };
// The parser of Node 20 leaves `..` in a path that begins with `//.a`, against WHATWG 4.4; so it is resolved here.
const segments = path => {
  const kept = [];
  path.split("/").forEach((each, at, all) => {
    const up = /^(\\.|%2e){2}$/i.test(each), here = /^(\\.|%2e)$/i.test(each);
    if (up && kept.length > 1) kept.pop();
    if (!up && !here) kept.push(each);
    else if (at === all.length - 1) kept.push("");
  });
  return kept.length;
};
const shape = text => {
  const url = new URL(text);
  return [url.origin, segments(url.pathname), url.search.split("&").length, url.href.split("#")[0].includes("?"), url.href.includes("#"), url.username + url.password];
};
require("readline").createInterface({input: process.stdin, crlfDelay: Infinity}).on("line", line => {
  const [input, location, odd, plain] = JSON.parse(line);
  let same = null;
  try { same = JSON.stringify(shape(odd)) === JSON.stringify(shape(plain)) } catch {}
  console.log(JSON.stringify([host(input), host(location), same]));
});
"""


def browsers_word(lines: list[list[str]], folder: str) -> Iterator[tuple[str | None, str | None, bool | None]]:
    """Of each line: the host of the input, that of the location, and whether odd values leave a URL its shape."""
    with open(f"{folder}/urls", "w", encoding="ascii") as given, open(f"{folder}/hosts", "w+", encoding="utf-8") as found:
        given.writelines(json.dumps(line) + "\n" for line in lines)
        given.flush()
        with open(f"{folder}/urls", encoding="ascii") as source:
            subprocess.run(["node", "-e", NODE], stdin=source, stdout=found, timeout=600, check=True)
        found.seek(0)
        for line in found:
            theirs, sent, same = json.loads(line)
            yield theirs, sent, same


@pytest.mark.skipif(shutil.which("node") is None, reason="node has the WHATWG parser that browsers have: apt-get install nodejs")
def test_a_browsers_parser_reads_the_same_host_in_input_and_location(tmp_path: object) -> None:
    """Of many mutated URLs, each that passes has one host for us, for WHATWG in what came, and for WHATWG in what is sent.

    Each goes to a route with a list of hosts, and signed and with odd values for its macros to one that takes any host. There the values must
    leave the URL its origin and its numbers of path segments and parameters. Only of a signed `xn--` host WHATWG may say that it is none.
    """
    chooser = random.Random(3)
    lines: list[list[str]] = []
    hosts: list[str] = []
    listed = 0
    for text in itertools.chain(ACCEPTED, mutated(MANY, 1)):
        location = location_of(click(url(text)))
        destination = read(text)
        if location:
            assert destination is not None
            listed += 1
            lines.append([text, location, location, location])
            hosts.append(destination.origin.partition("://")[2])
        a, b = chooser.choice(VALUES), chooser.choice(VALUES)
        signature = signing.sign(SECRET, "k1", None, "/macros", text) if takes(text) else "x" * 43
        sent = [
            location_of(click(f"{url(text)}&kid=k1&sig={signature}&a={quote(one, safe='')}&b={quote(other, safe='')}", "/macros")) for one, other in ((a, b), ("x", "x"))
        ]
        assert bool(sent[0]) == bool(sent[1]) == (takes(text) and take_apart(text) is not None), (text, a, b)
        if sent[0]:
            assert destination is not None
            lines.append([text, sent[0], *sent])
            hosts.append(destination.origin.partition("://")[2])
    unknown = 0
    for (text, _, *odd), host, (theirs, sent_to, same) in zip(lines, hosts, browsers_word(lines, str(tmp_path)), strict=True):
        if sent_to is None and "xn--" in host:
            unknown += 1
            continue
        assert sent_to == host, text
        assert same is True, (text, odd)
        if not text.lower().startswith(("https%3a", "http%3a")):
            assert theirs == host, text
    print(f"{MANY} mutated: {listed} passed a list of hosts, {len(lines) - listed} were signed, {unknown} of those no host for WHATWG")
    assert listed > MANY / 40
    assert len(lines) - listed > MANY / 10
    assert unknown < len(lines) / 100


def takes(text: str) -> bool:
    """Whether a text can be signed at all."""
    try:
        return bool(signing.sign(SECRET, "k1", None, "/macros", text))
    except ValueError:
        return False


def test_no_mutation_passes_with_a_host_that_is_not_listed() -> None:
    """Read naively, the other way round: between `//` and the next slash of the Location stands a listed host, whole."""
    listed = {"example.com", "ports.example:8443", "xn--bcher-kva.example", "127.0.0.1:9000", "secure.example", "192.0.2.7"}
    count = 0
    for text in mutated(20_000, 2):
        location = location_of(click(url(text)))
        if location:
            count += 1
            assert location.isascii()
            assert location.isprintable()
            assert " " not in location
            scheme, _, rest = location.partition("://")
            host = rest.split("/", 1)[0]
            assert scheme in ("http", "https")
            assert host in listed or host.removesuffix(".shop.example").replace(".", "").replace("-", "").isalnum()
            assert host in listed or host.endswith(".shop.example")
    assert count > 500


def test_an_allow_list_forgets_what_strangers_made_it_remember() -> None:
    """Whatever number of hosts came, the listed ones are allowed and the others are not."""
    allowed = AllowList(["example.com", "*.shop.example"])
    for number in range(3000):
        assert allowed.allows(f"https://a{number}.shop.example")
        assert not allowed.allows(f"https://a{number}.example")
        assert allowed.allows("https://example.com")


def test_a_destination_at_the_longest_passes_and_one_character_more_does_not() -> None:
    """The limit is that of what is sent, after encoding."""
    start = "https://example.com/"
    assert parse(start + "x" * (MAX_URL_CHARS - len(start))) is not None
    assert parse(start + "x" * (MAX_URL_CHARS - len(start) + 1)) is None
    assert parse(start + "\u00fc" * ((MAX_URL_CHARS - len(start)) // 6)) is not None
    assert parse(start + "\u00fc" * ((MAX_URL_CHARS - len(start)) // 6 + 1)) is None
