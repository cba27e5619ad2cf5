"""Pasted: whatever a person pastes, as the requests it stands for.

Rules
1. What it is, is told from its beginning: ``<`` a tag (``tags``), ``curl`` a command (``curl``), ``{`` a HAR entry, a
   request line a recorded request (``recorded``); anything else is one path, URL, ``METHOD path`` or log line a line.
2. Nothing is guessed in silence: a guess is a note, and what cannot be told is ``NotUnderstood``, with how to write it.
3. Pure: no file, no clock, no network.
"""

from __future__ import annotations

import re

from tracker.explain import curl, recorded, tags
from tracker.explain.request import NotUnderstood, Request

FORMS = (
    "a path (/imp/c1/cr1.gif?price=2.50), a URL, an ad tag, a curl command, a recorded request, a log line"
    " or a HAR entry"
)
MAX_REQUESTS = 1000
"""Most requests that one paste may hold."""

_METHOD = re.compile(r"([A-Z]{3,10})\s+(\S.*)")
_HOST = re.compile(r"(?:localhost|[\w-]+(?:\.[\w-]+)+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/")


def requests(text: str) -> list[Request]:
    """The requests in the text, in order. Raises ``NotUnderstood``."""
    text = text.lstrip("\ufeff").strip()
    if not text:
        raise NotUnderstood(f"nothing was pasted; paste {FORMS}")
    if text[0] == "<":
        found = tags.vast(text) if tags.is_vast(text) else tags.html(text)
    elif re.match(r"(?:\$\s+)?curl(?:\.exe)?(?:\s|$)", text):
        found = curl.requests(text)
    elif text[0] == "{" and not _is_line_by_line(text):
        found = recorded.har(text)
    elif recorded.is_raw(text):
        found = [recorded.raw(text)]
    else:
        found = [request for line in text.splitlines() if line.strip() for request in _line(line.strip())]
    if len(found) > MAX_REQUESTS:
        raise NotUnderstood(f"there are {len(found):,} requests in it; at most {MAX_REQUESTS:,} are explained at once")
    return found


def _is_line_by_line(text: str) -> bool:
    """Several lines that are each a whole JSON object."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return len(lines) > 1 and all(line[0] == "{" and line[-1] == "}" for line in lines)


def _line(line: str) -> list[Request]:
    if line[0] == "{":
        return recorded.har(line)
    if line[0] == "<":
        return tags.html(line)
    if recorded.is_logged(line):
        return [recorded.logged(line)]
    if line.startswith("curl "):
        return curl.requests(line)
    method = "GET"
    named = _METHOD.fullmatch(line)
    if named is not None:
        method, line = named[1], named[2]
    line = line.strip("'\"")
    if line.startswith("/"):
        return [Request(source="URL" if line.startswith("//") else "path", method=method, target=line, notes=[])]
    if re.match(r"https?://[^/?#\s]", line, re.IGNORECASE):
        return [Request(source="URL", method=method, target=line, notes=[])]
    if _HOST.match(line):
        return [Request(source="URL", method=method, target=f"http://{line}", notes=["http:// was put in front"])]
    hint = f"write /{line}" if re.fullmatch(r"[\w{}\[\]$.~%-]+(?:/\S*)?(?:\?\S*)?", line) else f"write {FORMS}"
    raise NotUnderstood(f"`{line[:80]}` was not understood: {hint}")
