"""What people paste: each form becomes the requests that a browser, a player or curl would send."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from urllib.parse import quote, urlsplit

import falcon
import pytest
from falcon.testing import create_environ
from falcon.util.uri import parse_query_string
from gunicorn.util import unquote_to_wsgi_str
from hypothesis import given
from hypothesis import strategies as st

from tracker.explain import pasted
from tracker.explain.request import NotUnderstood, Request
from tracker.explain.request import as_hit as hit


def one(text: str) -> Request:
    """The only request in a text."""
    (request,) = pasted.requests(text)
    return request


def targets(text: str) -> list[tuple[str, str]]:
    """Source and target of each request in a text."""
    return [(request.source, request.target) for request in pasted.requests(text)]


# --- paths and URLs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "source", "method", "path", "query"), [
    ("/imp/c1/cr1.gif?price=2.50", "path", "GET", "/imp/c1/cr1.gif", "price=2.50"),
    ("  '/imp/c1/cr1.gif'\n", "path", "GET", "/imp/c1/cr1.gif", ""),
    ("https://T.example:8000/a?b=c?d", "URL", "GET", "/a", "b=c?d"),
    ("//t.example/a", "URL", "GET", "/a", ""),
    ("t.example/a?b=c", "URL", "GET", "/a", "b=c"),
    ("localhost:8000/a", "URL", "GET", "/a", ""),
    ("POST /hit/signup", "path", "POST", "/hit/signup", ""),
    ("HEAD https://t.example/a", "URL", "HEAD", "/a", ""),
    ("https://t.example", "URL", "GET", "/", ""),
    ("https://t.example?a=b", "URL", "GET", "/", "a=b"),
])  # fmt: skip
def test_a_path_or_url_is_a_request(text: str, source: str, method: str, path: str, query: str) -> None:
    """Whole, bare, with a method, with a host or without."""
    request = one(text)
    found = hit(request, "203.0.113.7", 1)
    assert (request.source, found.method, found.path, found.query) == (source, method, path, query)
    assert (found.headers, found.body, found.address, found.received_ms) == ({}, b"", "203.0.113.7", 1)


def test_several_lines_are_several_requests() -> None:
    """A list of URLs from a file; empty lines are none."""
    assert targets("/a\n\n  https://t.example/b\nPOST /c\n") == [("path", "/a"), ("URL", "https://t.example/b"), ("path", "/c")]


def test_what_is_changed_is_noted() -> None:
    """A fragment never travels, spaces are encoded, dots are somebody else's business."""
    request = one("/a/../b c?x=1 2#frag")
    found = hit(request, "", 0)
    assert (found.path, found.query) == ("/a/../b c", "x=1%202")
    assert [any(word in note for note in request.notes) for word in ("#", "%20", "..")] == [True] * 3


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp"), exclude_characters="#"), max_size=30))
def test_path_and_query_are_those_of_the_falcon_door(text: str) -> None:
    """As a browser sends it, through gunicorn's and Falcon's own code: the same path and the same query."""
    raw = "/p" + text
    found = hit(Request(source="path", target=raw), "", 0)
    url = urlsplit("http://h" + raw)
    sent = quote(url.path, safe="/!#$%&'()*+,:;=?@[]|^`{}\\<>\"~"), url.query.encode().decode("latin-1")
    environ = create_environ("/") | {"PATH_INFO": unquote_to_wsgi_str(sent[0]), "QUERY_STRING": sent[1]}
    request = falcon.Request(environ)
    assert (found.path, found.query) == (request.path, request.query_string)


@pytest.mark.parametrize(("text", "hint"), [
    ("", "paste a path"), ("imp/c1/cr1.gif", "write /imp/c1/cr1.gif"), ("what is this?", "a curl command"),
    ("ftp://t.example/x", "a URL"), ("<b>no url</b>", "<img src="), ("<VAST></VAST>", "<Impression>"), ("curl", "names no URL"), ("curl -s", "names no URL"),
    ('{"a": 1}', "curl --json"), ('{"a": ', "curl --json"), ('{"request": {"url": 5}}', "curl --json"),
    ("curl 'http://t/a", "has no end"), ("curl http://t/a --frobnicate", "--frobnicate"), ("curl http://t/a -d", "needs a value"),
    ("curl http://t/a -d @file.json", "file.json"), ("curl ftp://t/a", "no http"), ("curl http://t/a -H Broken", "Name: value"),
    ("curl http://t/a -H @h", "write the headers out"), ("curl http://t/a --data-urlencode x@f", "name=content"),
    ('curl ^"http://t/a^"', "Copy as cURL (bash)"), ("curl http://t/a; rm -rf x", "`rm` is no curl command"),
    ("curl http://t/a --next -d a", "--next"), ("GET /a HTTP/1.1\nno header here\n\n", "no header"),
    ("<VAST><Impression>https://t/a?b=1&c=2</Impression></VAST>", "&amp;"), ("<!DOCTYPE VAST [<!ENTITY a 'b'>]><VAST/>", "leave it out"),
])  # fmt: skip
def test_what_is_not_understood_says_how_to_write_it(text: str, hint: str) -> None:
    """A sentence with what to paste instead, never a traceback."""
    with pytest.raises(NotUnderstood) as error:
        pasted.requests(text)
    assert hint in str(error.value)


@given(st.text(max_size=60) | st.lists(st.sampled_from(["curl ", "<", ">", "{", "}", "'", '"', "$'", "\\", "\n", "-H ", "-d ", "&", ";", "http://t/", "/a", "<VAST>", "<img src=", "GET ", " HTTP/1.1", "\r\n\r\n", ":", "=", "[", "]", "<![CDATA["])).map("".join))
def test_nothing_else_is_raised(text: str) -> None:
    """Whatever is pasted: requests that become hits, or ``NotUnderstood``."""
    try:
        found = pasted.requests(text)
    except NotUnderstood as error:
        assert str(error)
        return
    assert found
    for request in found:
        made = hit(request, "203.0.113.7", 1)
        assert all(name == name.lower() for name in made.headers)
        made.query.encode("latin-1")


def test_a_paste_has_an_end() -> None:
    """A log file is not a paste."""
    assert len(pasted.requests("/a\n" * 1000)) == 1000
    with pytest.raises(NotUnderstood, match="at most 1,000"):
        pasted.requests("/a\n" * 1001)


# --- tags --------------------------------------------------------------------------------------------------------


def test_an_html_tag_gives_what_a_browser_would_load_or_open() -> None:
    """Entities are undone, a macro in front is the ad server's, and what is no request is left out."""
    tag = """
    <a href="%%CLICK_URL_UNESC%%https://t.example/click/c1/cr1?url=https%3A%2F%2Fshop.example%2F&amp;x=1" target=_blank ping="/ping/1 /ping/2">
      <IMG SRC='https://t.example/imp/c1/cr1.gif?price=${AUCTION_PRICE}&amp;cb=%%CACHEBUSTER%%' srcset="/s1.gif 1x, https://t.example/s,2.gif 2x" width=1>
    </a><iframe src="//t.example/frame?a=1&b=2"></iframe><img src="data:image/gif;base64,R0lGOD"><a href="#top">x</a><img src=logo.png>
    <div style="background: url('https://t.example/open/1.gif')"></div>
    <script>new Image().src = "https:\\/\\/t.example\\/js?r=" + Math.random(); // "quoted"
    document.write('<img src="https://t.example/written.gif">');</script><body onload="fetch('https://t.example/load')">
    """
    assert targets(tag) == [
        ("<a href>", "https://t.example/click/c1/cr1?url=https%3A%2F%2Fshop.example%2F&x=1"),
        ("<a ping>", "/ping/1"), ("<a ping>", "/ping/2"),
        ("<img src>", "https://t.example/imp/c1/cr1.gif?price=${AUCTION_PRICE}&cb=%%CACHEBUSTER%%"),
        ("<img srcset>", "/s1.gif"), ("<img srcset>", "https://t.example/s,2.gif"),
        ("<iframe src>", "//t.example/frame?a=1&b=2"),
        ("<div style>", "https://t.example/open/1.gif"),
        ("<script>", "https://t.example/js?r="), ("<script>", "https://t.example/written.gif"),
        ("<body onload>", "https://t.example/load"),
    ]  # fmt: skip
    assert pasted.requests(tag)[0].notes == ["`%%CLICK_URL_UNESC%%` in front is for the ad server to replace"]
    assert pasted.requests(tag)[0].host() == "t.example"


VAST = """<?xml version="1.0" encoding="UTF-8"?>
<VAST version="4.2" xmlns:xs="http://www.w3.org/2001/XMLSchema"><Ad id="1"><InLine>
  <AdTitle>no URL</AdTitle>
  <Impression id="t"><![CDATA[ https://t.example/imp/c1/cr1.gif?cb=[CACHEBUSTING]&price=1 ]]></Impression>
  <Creatives><Creative><Linear><TrackingEvents>
    <Tracking event="start">https://t.example/video/c1/cr1/start.gif?a=1&amp;b=2</Tracking>
    <Tracking event="midpoint"><![CDATA[https://t.example/video/c1/cr1/midpoint.gif]]></Tracking>
    <Tracking event="midpoint"><![CDATA[https://t.example/video/c1/cr1/midpoint.gif]]></Tracking>
  </TrackingEvents><VideoClicks><ClickThrough><![CDATA[https://t.example/click/c1/cr1?url=x]]></ClickThrough></VideoClicks>
  <MediaFiles><MediaFile type="video/mp4"><![CDATA[https://cdn.example/ad.mp4]]></MediaFile></MediaFiles>
  </Linear></Creative></Creatives></InLine></Ad></VAST>"""


def test_a_vast_document_gives_each_url_with_its_element_and_event() -> None:
    """CDATA or escaped; a URL that stands there twice is one."""
    expected = [
        ("Impression", "https://t.example/imp/c1/cr1.gif?cb=[CACHEBUSTING]&price=1"),
        ("Tracking event=start", "https://t.example/video/c1/cr1/start.gif?a=1&b=2"),
        ("Tracking event=midpoint", "https://t.example/video/c1/cr1/midpoint.gif"),
        ("ClickThrough", "https://t.example/click/c1/cr1?url=x"),
        ("MediaFile", "https://cdn.example/ad.mp4"),
    ]
    assert targets(VAST) == expected
    fragment = VAST[VAST.index("<Impression") : VAST.index("<Creatives>")] + VAST[VAST.index("<TrackingEvents>") : VAST.index("<VideoClicks>")]
    assert targets(fragment) == expected[:3]


def test_no_entity_of_the_text_is_expanded() -> None:
    """A document type is refused, wherever it stands; a billion laughs are none."""
    entities = "<!DOCTYPE VAST [<!ENTITY a 'https://t.example/'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 9)) + "]>"
    for text in (entities + "<VAST><Impression>&a8;</Impression></VAST>", f"<?xml version='1.0'?>\n<!-- x -->{entities}<VAST><Impression>&a8;</Impression></VAST>"):
        with pytest.raises(NotUnderstood):
            pasted.requests(text)


# --- curl --------------------------------------------------------------------------------------------------------

CURLS = [
    "curl 'http://HOST/imp/c1/cr1.gif?price=2.50&x=%20'",
    "curl -sSi -XPUT http://HOST/a",
    "curl -I http://HOST/a",
    "curl -G -d a=1 --data-urlencode 'b=ü &' http://HOST/a?z=0",
    "curl http://HOST/a -d a=1 -d 'b=2&c=3'",
    "curl http://HOST/a --data-raw '@x' -H 'Content-Type: text/plain'",
    "curl http://HOST/a --json '{\"a\": \"ü\"}'",
    "curl -A 'Agent/1 (x; y)' -e http://page.example/ -b 'a=1; b=2' http://HOST/a",
    "curl -A '' -H 'X-One: 1' -H 'x-one: 2' -H 'Accept:' http://HOST/a",
    "curl http://HOST/a -H 'User-Agent:' -H 'X-Empty;'",
    "curl --compressed -L --max-time 5 -o /dev/null http://HOST/a",
    "curl HOST/a",
    "curl \"http://HOST/a?x=\\\"q\\\"&y=\\$1\" \\\n  -H \"X-A: b\\\\c\"",
    "curl http://HOST/hit/x --data-binary $'{\"a\":\"it\\'s \\u00e9\\n\\x41\\101\"}' -H 'content-type: application/json'",
    "curl http://HOST/a -d a=1 -X GET",
]


@pytest.mark.skipif(shutil.which("curl") is None, reason="apt-get install curl")
@pytest.mark.skipif(shutil.which("bash") is None, reason="apt-get install bash")
@pytest.mark.parametrize("command", CURLS)
def test_a_curl_command_is_what_curl_sends(command: str) -> None:
    """Bash and curl themselves run the command against a socket: same method, target, body, and headers but curl's version."""
    got = b""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"

        def take() -> None:
            nonlocal got
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                while b"\r\n\r\n" not in got:
                    got += connection.recv(65_536)
                head, _, body = got.partition(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
                while len(body) < length:
                    body += connection.recv(65_536)
                got = head + b"\r\n\r\n" + body
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=take)
        thread.start()
        # -q: no .curlrc; --noproxy: the tests' machine may have one
        real = command.replace("HOST", host).replace("curl ", "curl -q --noproxy '*' ", 1)
        subprocess.run(["bash", "-c", real], capture_output=True, timeout=20, check=True, env={"PATH": "/usr/bin:/bin:/usr/local/bin", "LC_ALL": "C.UTF-8"})
        thread.join(10)
    sent = pasted.requests(got.decode())[0]
    read = one(command.replace("HOST", host))
    theirs, ours = hit(sent, "", 0), hit(read, "", 0)
    # Versions of curl differ in `+` or `%20`, and in the case of `%C3`.
    queries = [parse_query_string(each.query, keep_blank=True) for each in (ours, theirs)]
    assert queries[0] == queries[1]
    assert (ours.method, ours.path, ours.body) == (theirs.method, theirs.path, theirs.body)
    noise = {"host", "accept", "accept-encoding", "content-length"}
    their_headers = {name: value for name, value in theirs.headers.items() if name not in noise}
    if their_headers.get("user-agent", "").startswith("curl/"):
        their_headers["user-agent"] = "curl/8"
    assert {name: value for name, value in ours.headers.items() if name not in noise} == their_headers


def test_chromes_copy_as_curl_is_understood() -> None:
    """Line continuations, ``$'...'`` with UTF-16 pairs, and a copy of several requests at once."""
    text = """curl 'https://t.example/imp/c1/cr1.gif?price=2.50' \\
  -H 'accept: image/avif,image/webp' \\
  -H 'user-agent: Mozilla/5.0 (X11; Linux x86_64)' \\
  -H 'referer: https://news.example/' ;
curl 'https://t.example/hit/signup' \\
  -X 'POST' -H 'content-type: application/json' \\
  --data-raw $'{"name":"O\\'Neil \\ud83d\\ude00"}' \\
  --insecure"""
    first, second = pasted.requests(text)
    assert hit(first, "", 0).headers == {
        "accept": "image/avif,image/webp", "user-agent": "Mozilla/5.0 (X11; Linux x86_64)", "referer": "https://news.example/",
    }  # fmt: skip
    assert json.loads(second.body) == {"name": "O'Neil \U0001f600"}
    assert second.method == "POST"


def test_an_ampersand_without_quotes_is_noted() -> None:
    """A shell would have cut the URL there; it is read whole."""
    request = one("curl http://t.example/a?b=1&c=2")
    assert request.target == "http://t.example/a?b=1&c=2"
    assert any("quotes" in note for note in request.notes)
    assert one("curl 'http://t.example/a?b=1&c=2'").notes == []
    assert one('curl.exe "http://t.example/a?b=1&c=2"').notes == []


def test_what_curl_would_send_and_nobody_reads_is_noted() -> None:
    """Passwords, cookie files and multipart forms."""
    request = one("curl -u me:secret -b jar.txt -F a=b http://t.example/a")
    assert request.method == "POST"
    assert dict(request.headers)["Content-Type"].startswith("multipart/form-data")
    assert len(request.notes) == 3
    assert "secret" not in "".join(request.notes)


# --- recordings --------------------------------------------------------------------------------------------------


def test_a_recorded_request_is_read_with_its_body() -> None:
    """CR LF or LF; the body is as long as it says."""
    text = "POST /hit/a?b=1 HTTP/1.1\r\nHost: T.example\r\nContent-Type: application/json\r\nContent-Length: 7\r\nX-A: 1\r\nX-A: 2\r\nX_B: 3\r\n\r\n{\"a\":1}\r\n"
    for each in (text, text.replace("\r\n", "\n")):
        request = one(each)
        found = hit(request, "", 0)
        assert (found.method, found.path, found.query, found.body) == ("POST", "/hit/a", "b=1", b'{"a":1}')
        assert found.headers == {"host": "T.example", "content-type": "application/json", "content-length": "7", "x-a": "1,2"}
        assert request.host() == "t.example"
        assert request.notes == ["header X_B is not read: the server drops names with an underscore"]


@pytest.mark.parametrize(("headers", "body", "read", "noted"), [
    ("Content-Length: 3", "a=1&b=2", b"a=1", 0), ("Content-Length: 99", "a=1\n", b"a=1", 1), ("", "a=1\n", b"a=1", 1), ("", "\n", b"", 0),
    ("Transfer-Encoding: chunked", "3\na=1\n0\n", b"3\na=1\n0\n", 1),
])  # fmt: skip
def test_a_body_that_does_not_fit_its_headers_is_noted(headers: str, body: str, read: bytes, noted: int) -> None:
    """Too long is cut, too short is said, and without a length a server would read none."""
    request = one(f"POST /a HTTP/1.1\nHost: t\n{headers}{chr(10) if headers else ''}\n{body}x"[:-1] if body != "\n" else f"POST /a HTTP/1.1\nHost: t\n\n{body}")
    assert request.body == read.rstrip(b"\n") if noted else request.body == read
    assert len(request.notes) == noted


def test_a_proxys_request_line_and_an_old_header_are_read() -> None:
    """An absolute URL as the target; a header folded over two lines."""
    request = one("GET http://t.example/a?b=c HTTP/1.1\nX-Long: one\n  two\n\n")
    found = hit(request, "", 0)
    assert (found.path, found.query, found.headers) == ("/a", "b=c", {"x-long": "one two"})
    assert request.host() == "t.example"


def test_a_log_line_gives_what_was_logged() -> None:
    """Combined and common format: request line, client, referer and user agent; the rest counts as absent, and is said."""
    line = '198.51.100.9 - - [20/Nov/2026:14:03:07 +0000] "GET /imp/c1/cr1.gif?price=2.50 HTTP/1.1" 200 43 "https://news.example/" "Mozilla/5.0"'
    found = hit(one(line), "203.0.113.7", 0)
    assert (found.method, found.path, found.query, found.address) == ("GET", "/imp/c1/cr1.gif", "price=2.50", "198.51.100.9")
    assert found.headers == {"referer": "https://news.example/", "user-agent": "Mozilla/5.0"}
    assert hit(one(line.partition(' "https')[0]), "203.0.113.7", 0).headers == {}
    assert len(one(line).notes) == 1


def test_har_entries_are_read() -> None:
    """A whole file, one entry, or entries line by line."""
    entry = {"request": {"method": "POST", "url": "https://t.example/hit/a?b=1", "headers": [{"name": ":authority", "value": "x"}, {"name": "Content-Type", "value": "application/json"}],
                         "postData": {"mimeType": "application/json", "text": '{"a":1}'}}, "response": {}}  # fmt: skip
    for text, count in ((json.dumps(entry), 1), (json.dumps({"log": {"entries": [entry, entry]}}, indent=1), 2), (json.dumps(entry) + "\n" + json.dumps(entry), 2)):
        found = pasted.requests(text)
        assert len(found) == count
        for request in found:
            made = hit(request, "", 0)
            assert (made.method, made.path, made.query, made.headers, made.body) == ("POST", "/hit/a", "b=1", {"content-type": "application/json"}, b'{"a":1}')
