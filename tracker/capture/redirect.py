"""Where a redirect may go: absolute http(s) URLs of listed hosts, and nothing that two parsers could read in two ways.

Rules
1. Accepted is what matches one narrow grammar: ``http(s)://host[:port][/path][?query][#fragment]``, at most 2,048
   characters when sent. No userinfo, no backslash, no control character or surrogate, nothing non-ASCII or
   percent-encoded before the path, no IPv6, no IPv4 but the plain four decimals, no trailing dot, nothing invisible.
2. The host (with its port, if that is not the scheme's own) is on the list: equal to an entry, or below the suffix of a
   ``*.suffix`` entry. The suffix itself is not below itself; an ``xn--`` label (IDNA) is only taken where an entry
   writes it out, since only a browser knows which of those are valid.
3. What is sent is the URL written anew from its parts, pure ASCII, always with a path: never the input.
4. A destination that was percent-encoded once too often (ad servers do it) is decoded once more, then judged alike.

The grammar is a part of WHATWG's URL Standard on which RFC 3986, curl and browsers agree about the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from falcon.util.uri import decode

from tracker.capture.text import REPLACEMENT

MAX_URL_CHARS = 2048
MAX_VERDICTS = 1024
"""Origins that an allow-list remembers; when there are more, it forgets them all."""

# RFC 1123 labels: an underscore is not for hosts.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}")
# WHATWG 3.5, "ends in a number": a browser takes a host with such a last label for an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# ASCII, or the long s (U+017F) would be an `s`.
_URL = re.compile(r"(https?)://([^/?#]+)([^?#]*)(\?[^#]*)?(#.*)?", re.IGNORECASE | re.ASCII)
_OVER_ENCODED = re.compile(r"https?%3a", re.IGNORECASE | re.ASCII)
_DEFAULT_PORT = {"http": 80, "https": 443}
# What WHATWG's percent-encode sets have in paths, queries and fragments, together; ``%`` stays as it is.
_UNSAFE = re.compile(r"[^!#$%&'()*+,\-./0-9:;=?@A-Z_a-z~\[\]]")


class Destination(NamedTuple):
    """A URL taken apart; ``host`` is lower-case ASCII, ``port`` 0 if it is the scheme's own."""

    scheme: str
    host: str
    port: int
    path: str
    query: str
    """With its ``?``, or empty."""
    fragment: str
    """With its ``#``, or empty."""
    origin: str
    """``https://shop.example``, with the port if it is not the scheme's own."""

    def location(self) -> str:
        """The URL as it is sent."""
        return f"{self.origin}{self.path}{self.query}{self.fragment}"


def read(text: str) -> Destination | None:
    """``parse``, after decoding once more what was percent-encoded once too often."""
    if ":" not in text[:6] and _OVER_ENCODED.match(text):
        text = decode(text, unquote_plus=False)
    return parse(text)


def parse(url: str) -> Destination | None:
    """The parts of an absolute http(s) URL by the rules above; None for anything else."""
    if len(url) > MAX_URL_CHARS or not url.isprintable() or "\\" in url or REPLACEMENT in url or url.endswith(" "):
        return None
    parts = _URL.fullmatch(url)
    if parts is None:
        return None
    scheme = parts[1].lower()
    authority, path, query, fragment = parts[2], parts[3], parts[4] or "", parts[5] or ""
    if not path:
        # `http://good#@evil/`: curl before 7.54 and others looked for the `@` first (Tsai, "A New Era of SSRF", 2017).
        if "@" in query or "@" in fragment:
            return None
        path = "/"
    host_port = _authority(authority, scheme)
    if host_port is None:
        return None
    if _UNSAFE.search(url, parts.end(2)):
        path, query, fragment = _encode(path), _encode(query), _encode(fragment)
    host, port = host_port
    origin = f"{scheme}://{host}:{port}" if port else f"{scheme}://{host}"
    if len(origin) + len(path) + len(query) + len(fragment) > MAX_URL_CHARS:
        return None
    return Destination(scheme, host, port, path, query, fragment, origin)


def _authority(text: str, scheme: str) -> tuple[str, int] | None:
    """Host and port (0 for the scheme's own)."""
    host, colon, digits = text.partition(":")
    if not host.isascii():  # before ``lower``, which makes ASCII of the Kelvin sign
        return None
    host = host.lower()
    if len(host) > 253 or not _HOST.fullmatch(host):
        return None
    if _is_number(host) and not _IPV4.fullmatch(host):
        return None
    if not colon:
        return host, 0
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and digits[0] != "0" and int(digits) < 65_536):
        return None
    port = int(digits)
    return host, 0 if port == _DEFAULT_PORT[scheme] else port


def _is_number(host: str) -> bool:
    label = host[host.rfind(".") + 1 :]
    return "0" <= label[0] <= "9" and _NUMBER.fullmatch(label) is not None


def _encode(text: str) -> str:
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)


class AllowList:
    """The hosts of a route: ``example.com``, ``*.shop.example``, each with ``:port`` if it is not the scheme's own."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Raises ``ValueError`` with the entry and what is wrong with it."""
        self._exact: set[tuple[str, int]] = set()
        self._below: set[tuple[str, int]] = set()
        self._verdicts: dict[str, bool] = {}
        for entry in entries:
            wild = entry.startswith("*.")
            found = _authority(entry[2:] if wild else entry, "http")
            if found is None or entry != entry.lower():
                raise ValueError(f"`{entry}` is no host: lower case, `*.` only in front, IDN as `xn--...`, no scheme")
            if wild and ("." not in found[0] or _is_number(found[0])):
                raise ValueError(f"`{entry}` would allow strangers' hosts: name the domain below which all is yours")
            port = int(entry.partition(":")[2] or 0)
            (self._below if wild else self._exact).add((found[0], port))

    def allows(self, origin: str) -> bool:
        """Whether a ``Destination.origin`` is of a host and port on the list."""
        verdict = self._verdicts.get(origin)
        if verdict is None:
            if len(self._verdicts) >= MAX_VERDICTS:
                self._verdicts.clear()
            verdict = self._verdicts[origin] = self._judge(origin)
        return verdict

    def _judge(self, origin: str) -> bool:
        scheme, _, site = origin.partition("://")
        host, _, digits = site.partition(":")
        port = int(digits or 0)
        for candidate in {port, port or _DEFAULT_PORT[scheme]}:  # `example.com:443` allows https, and no http
            if (host, candidate) in self._exact:
                return True
            label, _, suffix = host.partition(".")
            while suffix and not label.startswith("xn--"):
                if (suffix, candidate) in self._below:
                    return True
                label, _, suffix = suffix.partition(".")
        return False
