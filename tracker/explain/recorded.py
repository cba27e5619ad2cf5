"""Recorded: requests as servers, browsers and logs write them down.

Rules
1. A raw request is read as a server reads it: the body is as long as ``Content-Length`` says. Without one it is taken
   whole, with a note, since an editor's last newline is nobody's intention.
2. A line of a log in the common or combined format has the client's address, the request line, the referer and the
   user agent; nothing else was recorded, and a note says so.
3. Of a HAR file the entries' ``request`` is read, and nothing else.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tracker.explain.request import NotUnderstood, Request

_REQUEST_LINE = re.compile(r"([A-Za-z]+) (\S+) HTTP/\d(?:\.\d)?")
_LOG_LINE = re.compile(
    r'(\S+) \S+ \S+ \[[^\]]*\] "([A-Z]+) (\S+) HTTP/[\d.]+" \d{3} (?:\d+|-)'
    r'(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?.*'
)
_INSTEAD = "to send JSON to a path write `curl --json '{...}' URL`"


def is_raw(text: str) -> bool:
    """Whether the text begins with a request line."""
    return _REQUEST_LINE.fullmatch(text.partition("\n")[0].rstrip("\r")) is not None


def raw(text: str) -> Request:
    """A request as it travels: request line, headers, empty line, body. Raises ``NotUnderstood``."""
    head, _, body = re.sub(r"\r\n", "\n", text).partition("\n\n")
    line, *rest = head.strip("\n").split("\n")
    parts = _REQUEST_LINE.fullmatch(line)
    assert parts is not None, "is_raw was asked"
    request = Request(source="recorded request", method=parts[1], target=parts[2], headers=[], notes=[])
    for each in rest:
        name, colon, value = each.partition(":")
        if each[:1] in (" ", "\t") and request.headers:  # a folded header, as old software wrote them
            folded, before = request.headers[-1]
            request.headers[-1] = (folded, f"{before} {each.strip()}")
        elif not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise NotUnderstood(f"`{each[:60]}` is no header (`Name: value`); an empty line ends the headers")
        else:
            request.headers.append((name, value.strip()))
    request.body = body.encode("utf-8", "surrogateescape")
    _fit_body(request)
    return request


def _fit_body(request: Request) -> None:
    """The body as long as the headers say."""
    named = {name.lower(): value for name, value in request.headers}
    length = named.get("content-length", "")
    if "chunked" in named.get("transfer-encoding", "").lower():
        request.notes.append("Transfer-Encoding is not undone: the body is taken as it stands")
    elif length.isascii() and length.isdigit() and int(length) <= len(request.body):
        request.body = request.body[: int(length)]
    elif length:
        # Lines that ended in CR LF were two bytes longer each.
        request.body = request.body.rstrip(b"\n")
        if length != str(len(request.body)):
            request.notes.append(f"Content-Length is {length}, and the pasted body has {len(request.body)} bytes")
    elif request.body.strip():
        request.body = request.body.rstrip(b"\n")
        request.notes.append("without Content-Length a server reads no body; this one was read all the same")
    else:
        request.body = b""


def is_logged(line: str) -> bool:
    """Whether it is a line of a log in the common or combined format."""
    return _LOG_LINE.fullmatch(line) is not None


def logged(line: str) -> Request:
    """The request of such a line."""
    parts = _LOG_LINE.fullmatch(line)
    assert parts is not None, "is_logged was asked"
    headers = [
        (name, value) for name, value in (("Referer", parts[4]), ("User-Agent", parts[5])) if value and value != "-"
    ]
    notes = ["a log line has neither body nor other headers; they count as absent"]
    address = parts[1] if parts[1] != "-" else ""
    return Request(source="log line", method=parts[2], target=parts[3], headers=headers, address=address, notes=notes)


class _Pair(msgspec.Struct):
    name: str
    value: str = ""


class _PostData(msgspec.Struct):
    text: str = ""
    mimeType: str = ""


class _HarRequest(msgspec.Struct):
    url: str
    method: str = "GET"
    headers: list[_Pair] = []
    postData: _PostData | None = None


def har(text: str) -> list[Request]:
    """The requests of a HAR file, of one of its entries, or of the ``request`` in it. Raises ``NotUnderstood``."""
    try:
        decoded = msgspec.json.decode(text)
        requests = msgspec.convert(list(_requests_in(decoded)), list[_HarRequest])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise NotUnderstood(f"the JSON is no HAR entry ({error}); {_INSTEAD}") from error
    if not requests:
        raise NotUnderstood(f"the JSON has no `request` with a `url`, as a HAR entry has; {_INSTEAD}")
    return [
        Request(
            source="HAR entry", method=each.method, target=each.url, among=len(requests) > 1, notes=[],
            headers=[(pair.name, pair.value) for pair in each.headers if not pair.name.startswith(":")],
            body=each.postData.text.encode("utf-8", "surrogatepass") if each.postData is not None else b"",
        )
        for each in requests
    ]  # fmt: skip


def _requests_in(decoded: Any) -> list[Any]:
    if not isinstance(decoded, dict):
        return []
    if isinstance(decoded.get("log"), dict):
        entries = decoded["log"].get("entries")
        return [each.get("request") for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
    if "request" in decoded:
        return [decoded["request"]]
    return [decoded] if "url" in decoded else []
