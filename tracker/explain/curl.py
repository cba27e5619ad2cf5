"""curl: the requests that a pasted command line would send.

Rules
1. Words are split as a POSIX shell splits them, with ``$'...'`` (Chrome's "Copy as cURL" writes it) and ``\\`` at line
   ends. No variable, no command and no file name is expanded; ``;``, ``&&`` and a line end begin another command.
2. Options that change the request are read; those known to change only curl's own behaviour are passed over; any other
   is an error, since what it does to the request is unknown.
3. No file is read: ``-d @file`` is an error that says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote_plus

from tracker.explain.request import NotUnderstood, Request

AGENT: Final = "curl/8"
"""The user agent of a command that names none; the minor version is anybody's guess."""

_LONG: Final = {
    "--request": "-X", "--header": "-H", "--user-agent": "-A", "--referer": "-e", "--cookie": "-b", "--data": "-d",
    "--data-ascii": "-d", "--head": "-I", "--get": "-G", "--user": "-u", "--form": "-F", "--form-string": "-F",
}  # fmt: skip
_WITH_VALUE: Final = frozenset("XHAebduF")
_WITH_VALUE_LONG: Final = frozenset({
    "--data-raw", "--data-binary", "--data-urlencode", "--json", "--url", "--url-query",
})  # fmt: skip
_PLAIN: Final = frozenset("IG")
# What only curl itself sees: with a value, and without.
_OWN_WITH_VALUE: Final = frozenset("ocmwxDKPYyECTrtzQ")
_OWN_WITH_VALUE_LONG: Final = frozenset({
    "--output", "--output-dir", "--cookie-jar", "--max-time", "--connect-timeout", "--write-out", "--proxy", "--retry",
    "--retry-delay", "--retry-max-time", "--dump-header", "--resolve", "--connect-to", "--cacert", "--capath", "--cert",
    "--key", "--ciphers", "--tls-max", "--interface", "--limit-rate", "--max-redirs", "--stderr", "--trace",
    "--trace-ascii", "--unix-socket", "--rate", "--keepalive-time", "--dns-servers", "--noproxy",
})  # fmt: skip
_OWN: Final = frozenset("sSvikLfgN#0123O46aqRjnpZ")
_OWN_LONG: Final = frozenset({
    "--silent", "--show-error", "--verbose", "--include", "--insecure", "--location", "--fail", "--fail-with-body",
    "--compressed", "--globoff", "--no-buffer", "--http0.9", "--http1.0", "--http1.1", "--http2", "--http3",
    "--http2-prior-knowledge", "--remote-name", "--ipv4", "--ipv6", "--progress-bar", "--no-progress-meter",
    "--path-as-is", "--no-keepalive", "--keepalive", "--tcp-nodelay", "--tlsv1", "--tlsv1.2", "--tlsv1.3",
    "--parallel", "--disable",
    "--show-headers", "--fail-early", "--raw", "--styled-output", "--no-styled-output", "--location-trusted",
})  # fmt: skip

_ESCAPES: Final = dict(zip("ntrabeEfv", "\n\t\r\a\b\x1b\x1b\f\v", strict=True))
# Chrome writes \\u for UTF-16 units, so an emoji is two of them.
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # not U+DC80 to U+DCFF, which stand for single bytes
_CODE: Final = re.compile(r"x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})")


def requests(text: str) -> list[Request]:
    """What the commands in the text would send, in order. Raises ``NotUnderstood``."""
    if '^"' in text:
        raise NotUnderstood('this is a command for Windows\' cmd (`^"`): choose "Copy as cURL (bash)"')
    found: list[Request] = []
    for words, notes in commands(text):
        if words[0] not in ("curl", "curl.exe"):
            raise NotUnderstood(f"`{words[0][:40]}` is no curl command; paste the `curl ...` alone")
        found += _requests(words[1:], notes)
    return found


def commands(text: str) -> list[tuple[list[str], list[str]]]:
    """The words of each command and notes about them. Raises ``NotUnderstood`` for a quote without its end."""
    found: list[tuple[list[str], list[str]]] = [([], [])]
    word: str | None = None
    at = 0
    while at < len(text):
        mark = text[at]
        if mark == "\\":
            line_end = re.compile(r"\\\r?\n").match(text, at)
            if line_end is not None:
                at = line_end.end()
                continue
            word = (word or "") + text[at + 1 : at + 2]
            at += 2
        elif mark in "'\"" or (mark == "$" and text[at + 1 : at + 2] == "'"):
            inside, at = _quoted(text, at)
            word = (word or "") + inside
        elif mark.isspace() or mark == ";" or (mark == "&" and text[at + 1 : at + 2] in ("&", " ", "\n", "\r", "")):
            if word is not None:
                found[-1][0].append(word)
                word = None
            if mark in "\n;&" and found[-1][0]:
                found.append(([], []))
            at += 1
        else:
            if mark == "&" and not found[-1][1]:
                found[-1][1].append("without quotes a shell ends the command at `&`: put the URL in quotes")
            word = (word or "") + mark
            at += 1
    if word is not None:
        found[-1][0].append(word)
    return [(words[1:] if words[0] == "$" else words, notes) for words, notes in found if words and words != ["$"]]


def _quoted(text: str, at: int) -> tuple[str, int]:
    """What stands in the quotes that begin at ``at``, and where they end."""
    ansi = text[at] == "$"
    end = text[at + ansi]
    out = ""
    at += 1 + ansi
    while at < len(text) and text[at] != end:
        if text[at] != "\\" or (end == "'" and not ansi):
            out += text[at]
            at += 1
        elif ansi:
            code = _CODE.match(text, at + 1)
            if code is not None:
                digits = code[1] or code[2] or code[3]
                number = int(digits, 16) if digits else int(code[4], 8)
                # Two digits are a byte: what is beyond ASCII is put together from several.
                out += chr(number) if number < 128 or ((code[2] or code[3]) and number < 0x110000) else _byte(number)
                at = code.end()
            else:
                out += _ESCAPES.get(text[at + 1 : at + 2], text[at + 1 : at + 2])
                at += 2
        elif text[at + 1 : at + 2] == "\n":
            at += 2
        else:
            out += text[at + 1 : at + 2] if text[at + 1 : at + 2] in '"\\$`' else text[at : at + 2]
            at += 2
    if at >= len(text):
        raise NotUnderstood(f"a quote ({end}) has no end; paste the whole command")
    out = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), out)
    out = _HALF.sub("\ufffd", out)
    return out.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"), at + 1


def _byte(number: int) -> str:
    return bytes([number & 0xFF]).decode("utf-8", "surrogateescape")


class _Command:
    """What a command's options add up to."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.method = ""
        self.headers: list[tuple[str, str]] = []
        self.left_out: set[str] = set()
        """Headers of curl's own that ``-H 'Name:'`` leaves out."""
        self.data: list[str] = []
        self.query: list[str] = []
        self.kind = "application/x-www-form-urlencoded"
        self.head = self.get = self.form = False
        self.notes: list[str] = []

    def take(self, option: str, value: str) -> None:
        """One option that changes the request."""
        match option:
            case "-X":
                self.method = value
            case "-H":
                self._header(value)
            case "-A" if not value:
                self.left_out.add("user-agent")
            case "-A":
                self.headers.append(("User-Agent", value))
            case "-e":
                self.headers.append(("Referer", value.removesuffix(";auto")))
            case "-b" if "=" in value:
                self.headers.append(("Cookie", value))
            case "-b":
                self.notes.append(f"cookies are not read from a file ({value}): write -b 'name=value'")
            case "-d" | "--data-raw" | "--data-binary":
                self.data.append(_inline(value) if option != "--data-raw" else value)
            case "--data-urlencode":
                self.data.append(_encoded(value))
            case "--json":
                self.data.append(_inline(value))
                self.kind = "application/json"
            case "--url":
                self.urls.append(value)
            case "--url-query":
                self.query.append(value[1:] if value.startswith("+") else _encoded(value))
            case "-u":
                self.notes.append("-u (user and password) is not used: no route asks for them")
            case "-F":
                self.form = True
            case "-I":
                self.head = True
            case "-G":
                self.get = True

    def _header(self, text: str) -> None:
        name, colon, value = text.partition(":")
        if text.startswith("@"):
            raise NotUnderstood(f"-H {text}: no file is read here; write the headers out")
        if colon and not value.strip():
            self.left_out.add(name.lower())
        elif colon:
            self.headers.append((name, value.strip()))
        elif name.endswith(";"):
            self.headers.append((name[:-1], ""))
        else:
            raise NotUnderstood(f"-H {text!r} is no header; write -H 'Name: value'")

    def requests(self) -> list[Request]:
        """One for each URL."""
        if not self.urls:
            raise NotUnderstood("the curl command names no URL; paste the whole command")
        headers = list(self.headers)
        named = {name.lower() for name, _ in self.headers} | self.left_out
        if "user-agent" not in named:
            headers.append(("User-Agent", AGENT))
        body = b""
        query = list(self.query)
        if self.form:
            headers.append(("Content-Type", "multipart/form-data; boundary=-"))
            body = b"-----\r\n"
            self.notes.append("-F sends multipart/form-data, which no route reads; send -d or --json")
        elif self.data and self.get:
            query += self.data
        elif self.data:
            body = ("" if self.kind == "application/json" else "&").join(self.data).encode("utf-8", "surrogateescape")
            if "content-type" not in named:
                headers.append(("Content-Type", self.kind))
        sends = bool(self.data or self.form) and not self.get
        method = self.method or ("HEAD" if self.head else "POST" if sends else "GET")
        found = []
        for url in self.urls:
            target, hash_, fragment = url.partition("#")
            if query:
                target += ("&" if "?" in target else "?") + "&".join(query)
            if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", target):
                target = "http://" + target  # as curl guesses
            elif not target.lower().startswith(("http://", "https://")):
                raise NotUnderstood(f"`{url[:80]}` is no http(s) URL")
            found.append(Request(
                source="curl", method=method, target=target + hash_ + fragment, headers=headers, body=body,
                notes=list(self.notes),
            ))  # fmt: skip
        return found


def _requests(words: list[str], notes: list[str]) -> list[Request]:
    command = _Command()
    command.notes += notes
    left = iter(words)

    def value(option: str) -> str:
        found = next(left, None)
        if found is None:
            raise NotUnderstood(f"curl's {option} needs a value")
        return found

    for word in left:
        if not word.startswith("-") or word == "-":
            command.urls.append(word)
        elif word.startswith("--"):
            option = _LONG.get(word, word)
            if option in _WITH_VALUE_LONG or (len(option) == 2 and option[1] in _WITH_VALUE):
                command.take(option, value(word))
            elif len(option) == 2:
                command.take(option, "")
            elif word in _OWN_WITH_VALUE_LONG:
                value(word)
            elif word not in _OWN_LONG:
                raise _unknown(word)
        else:
            _short(command, word, value)
    return command.requests()


def _short(command: _Command, word: str, value: Callable[[str], str]) -> None:
    """``-sSi``, ``-XPOST``, ``-d 'a=1'``: letters without a value, and at most one with."""
    for at, letter in enumerate(word[1:], 1):
        if letter in _WITH_VALUE or letter in _OWN_WITH_VALUE:
            rest = word[at + 1 :] or value(f"-{letter}")
            if letter in _WITH_VALUE:
                command.take(f"-{letter}", rest)
            return
        if letter in _PLAIN:
            command.take(f"-{letter}", "")
        elif letter not in _OWN:
            raise _unknown(f"-{letter}")


def _unknown(option: str) -> NotUnderstood:
    return NotUnderstood(f"curl's option {option} is not known here, nor what it does to the request: leave it out")


def _inline(value: str) -> str:
    if value.startswith("@"):
        raise NotUnderstood(f"no file is read here: put the content of {value[1:]} in the place of {value}")
    return value


def _encoded(value: str) -> str:
    """``content``, ``=content`` or ``name=content``, as ``--data-urlencode`` has them."""
    name, equals, content = value.partition("=")
    if not equals:
        if "@" in value:
            raise NotUnderstood(f"no file is read here: write --data-urlencode 'name=content', not {value}")
        name, content = "", value
    encoded = quote_plus(content.encode("utf-8", "surrogateescape"), safe="").replace("+", "%20")
    return f"{name}={encoded}" if name else encoded
