"""Plain: the request that nearly all are, read without a parser: one whole GET, without a body, in printable ASCII.

Rules
1. It says what a read holds, or nothing; then ``Wire`` gives the same bytes to llhttp, which decides. So it may refuse
   to understand whatever is odd, and must understand nothing otherwise than llhttp does
   (``tests/property/test_wire.py`` holds the two against each other).
2. Plain is: a first line in origin form without ``%`` or ``#``, CRLF everywhere, each header a token, a colon and a
   value, one Host, nothing that frames a body or changes the connection.
3. A page's second pixel differs from its first in the first line alone: a block of headers that the same connection has
   sent before says what it said then.

PERF: 3.2 us for a browser's ten headers where llhttp with its callbacks takes 6.6, and 0.9 for a known block.
"""

from __future__ import annotations

import re
from typing import Final

from tracker.capture.hit import Headers, Hit

FRAMES_A_BODY: Final = frozenset({"content-length", "transfer-encoding", "expect"})
ONCE: Final = FRAMES_A_BODY | {"host"}
"""Headers that two readers could read in two ways if they came twice."""
FRAMING: Final = ONCE | {"connection", "upgrade"}
"""Headers that say how to read a request, or what becomes of its connection."""

_PRINTABLE = bytes(range(0x20, 0x7F))
# What llhttp takes without a word about it, less `%` and `#`.
_LINE = re.compile(rb'GET (/[!"$&->@-~]*)(?:\?([!"$&-~]*))? HTTP/1\.1').fullmatch
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_UNUSUAL = FRAMES_A_BODY | {"upgrade"}
NO_NAME: Final = "\0"


class Names(dict[bytes, str]):
    """Header names as they came to lower-case text; "" for those that nobody asks for, ``NO_NAME`` for what is none."""

    def __init__(self, wanted: frozenset[str] | None) -> None:
        """None: all are wanted."""
        super().__init__()
        self._wanted = wanted if wanted is None else wanted | FRAMING

    def __missing__(self, raw: bytes) -> str:
        if _TOKEN(raw) is None:
            return NO_NAME
        name = raw.decode("ascii").lower()
        if self._wanted is not None and name not in self._wanted:
            name = ""
        if len(self) < 4096:  # of a flood of names each is worked out anew
            self[raw] = name
        return name


class Plain:
    """The reader of one connection."""

    def __init__(self, address: str, names: Names) -> None:
        self._address = address
        self._names = names
        self._block = b""
        self._known: Headers = {}

    def read(self, data: bytes) -> Hit | None:
        """The hit of a read that begins with ``GET `` and ends with an empty line; its connection may be kept."""
        end = data.find(b"\r\n")
        line = _LINE(data, 0, end)
        if line is None:
            return None
        block = data[end:]
        if block != self._block:
            headers = self._headers(block[2:-4])
            if headers is None:
                return None
            self._block, self._known = block, headers
        path, query = line.groups()
        return Hit("GET", path.decode(), query.decode() if query else "", self._known, b"", self._address, 0)

    def _headers(self, block: bytes) -> dict[str, str] | None:
        lines = block.split(b"\r\n")
        if len(block.translate(None, _PRINTABLE)) != 2 * len(lines) - 2:  # something besides those CRLFs
            return None
        names = self._names
        headers: dict[str, str] = {}
        for each in lines:
            raw, colon, value = each.partition(b":")
            name = names[raw]
            if name:
                if name in headers or name == NO_NAME:
                    return None
                headers[name] = value.strip(b" ").decode()
            if not colon:
                return None
        if "host" not in headers or not _UNUSUAL.isdisjoint(headers):
            return None
        if headers.get("connection", "keep-alive").lower() != "keep-alive":
            return None
        return headers
