"""The request: one HTTP request as a person pasted it, and the hit that the doors would make of it.

Rules
1. Text is sent as browsers send it: in UTF-8, percent-encoded in the path, without the fragment. The path is
   percent-decoded once, as WSGI servers and Falcon do it; the query stays as it is.
2. Header names are lower case. What comes twice is joined with a comma, and a name with an underscore is dropped, as
   gunicorn does both.
3. Whatever was guessed or left out is a note: a person sees it beside the answer.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import msgspec

from tracker.capture.hit import Hit

_ABSOLUTE = re.compile(r"(https?:)?//([^/?#\\]*)", re.IGNORECASE)
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)


class NotUnderstood(ValueError):
    """The text is no request. ``str()`` says what was not understood and how to write it."""


class Request(msgspec.Struct, kw_only=True):
    """One request, as it would be sent."""

    source: str
    """What it was read from: ``path``, ``URL``, ``curl``, ``<img src>``, ``Tracking event=start``."""
    method: str = "GET"
    target: str
    """The URL or path as it was written."""
    headers: list[tuple[str, str]] = []
    """In order, as they were written."""
    body: bytes = b""
    among: bool = False
    """One of those that a page, a tag or a recording holds, which may not all be the tracker's."""
    address: str = ""
    """The client's address, where the recording has it."""
    notes: list[str] = []
    """What was guessed, changed or left out."""

    def host(self) -> str:
        """Host and port of the URL in lower case; of a path, what the ``Host`` header says, or nothing."""
        found = _ABSOLUTE.match(self.target)
        if found is not None:
            return found[2].lower()
        return next((value.strip().lower() for name, value in self.headers if name.lower() == "host"), "")


def as_hit(request: Request, address: str, received_ms: int) -> Hit:
    """The hit that the doors make of it; ``address`` is the client's unless the recording has one."""
    path, query = split(request)
    headers: dict[str, str] = {}
    for written, text in request.headers:
        name = written.strip().lower()
        if "_" in name:
            request.notes.append(f"header {written.strip()} is not read: the server drops names with an underscore")
            continue
        value = _bytes_text(text.strip())
        apart = name in ("content-type", "content-length")
        headers[name] = f"{headers[name]},{value}" if name in headers and not apart else value
    return Hit(request.method, path, query, headers, request.body, request.address or address, received_ms)


def split(request: Request) -> tuple[str, str]:
    """Path (decoded) and query (as sent, in bytes read as Latin-1) of the target; notes what was changed."""
    target = request.target
    found = _ABSOLUTE.match(target)
    if found is not None:
        target = target[found.end() :]
    target, hash_, _ = target.partition("#")
    if hash_:
        request.notes.append("what stands behind `#` is never sent; a `#` in a value is written %23")
    if " " in target:
        request.notes.append("spaces were taken as %20; curl would refuse them")
        target = target.replace(" ", "%20")
    path, _, query = target.partition("?")
    if not path.isascii():
        request.notes.append("letters beyond ASCII were taken percent-encoded, as browsers send them")
    if _DOTS.search(path):
        request.notes.append("browsers and curl resolve `.` and `..` before they send; this is what is written")
    raw = unquote_to_bytes(path.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "replace") or "/", _bytes_text(query)


def _bytes_text(text: str) -> str:
    """Text as WSGI has it: its UTF-8 bytes read as Latin-1."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")
