"""A mix: which requests a run sends, how often each, and what stands in for their placeholders.

Rules
1. Everything about a request is decided before the run: the generator takes bytes that are ready, one after the other.
2. One file and one seed make the same requests. ``{unique}`` alone is filled in when a request leaves: twelve
   hexadecimal digits that no other request of the run has.
3. A value goes into path, header or body as it is written; who needs it percent-encoded writes it so.
4. A mistake in the file is told like one in the settings, with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final, Literal, NamedTuple, cast

import msgspec

from tracker.settings.file import BUILT_IN, File, Unopened, read
from tracker.settings.problems import Problem, SettingsError, suggestion

POOL: Final = 8192
"""Requests that are made before a run; a longer one goes through them again, each time with other ``{unique}`` ones."""
UNIQUE: Final = b"\x00unique-hex!"
"""Stands where the digits will be; as long as they are, and nothing that a request may hold."""

_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)(?::(\d{1,15})-(\d{1,15}))?\}")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET: Final = re.compile(r"/[!-~]*")
_OURS: Final = frozenset({"host", "content-length", "connection", "transfer-encoding", "expect"})
"""Headers that the generator writes, or that would change how an answer is read."""

Status = Annotated[int, msgspec.Meta(ge=200, le=599)]
Words = Annotated[list[str], msgspec.Meta(min_length=1)]


class Sort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sort of request."""

    path: str
    """Path and query, with placeholders."""
    weight: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] = 1.0
    """How often it comes, beside the others' weights."""
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] = "GET"
    headers: dict[str, str] = {}
    """Beside those of the whole mix; the same name replaces one of them."""
    body: str = ""
    expect: tuple[Status, ...] = ()
    """Statuses that are right; none named: any from 200 to 399."""


class Mix(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mix file."""

    version: Literal[1]
    requests: Annotated[dict[str, Sort], msgspec.Meta(min_length=1, max_length=200)]
    """By name; reports use it."""
    values: dict[str, Words] = {}
    """What a placeholder may be, by its name; one that should come more often is named more often."""
    headers: dict[str, str] = {}
    """Of every request."""
    seed: int = 1
    """Another one: other requests."""


class Request(NamedTuple):
    """One request, ready for the wire."""

    sort: int
    """Place of its sort in ``Pool.names``."""
    raw: bytes
    bodiless: bool
    """HEAD: the answer has no body, whatever its headers say."""
    unique: bool
    """``UNIQUE`` stands in it."""


class Pool(NamedTuple):
    """A mix as bytes."""

    names: tuple[str, ...]
    expect: tuple[frozenset[int], ...]
    """By sort: the statuses that are right; empty: 200 to 399."""
    requests: tuple[Request, ...]

    def right(self, sort: int, status: int) -> bool:
        """Whether an answer is one that was hoped for."""
        expect = self.expect[sort]
        return status in expect if expect else 200 <= status < 400


def load(path: Path | None) -> Mix:
    """The mix of a file; None: the built-in one. Raises ``SettingsError``."""
    path = path or BUILT_IN / "mix.yaml"
    try:
        file = File(path, str(path), read(path), {})
    except Unopened as error:
        raise SettingsError([Problem(str(path), 0, 0, "", str(error))]) from None
    mix = cast("Mix | None", file.settings(cast(Any, Mix), None))
    if mix is not None:
        for where, message, hint in _mistakes(mix):
            file.add(where, message, hint)
    if mix is None or file.problems:
        raise SettingsError(file.problems, more=file.more)
    return mix


def _mistakes(mix: Mix) -> Iterator[tuple[tuple[str, ...], str, str]]:
    for at, headers in [(("headers",), mix.headers)] + [
        (("requests", name, "headers"), sort.headers) for name, sort in mix.requests.items()
    ]:
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name) or not value.isprintable() or not value.isascii():
                yield (*at, name), "no header: a name of letters, digits and -, a value of printable ASCII", ""
            elif name.lower() in _OURS:
                yield (*at, name), f"`{name}` is written by the generator", ""
    for values, choices in mix.values.items():
        if not all(choice.isprintable() for choice in choices):
            yield ("values", values), "a line break or another control character", ""
        if not _PLACEHOLDER.fullmatch("{" + values + "}") or values in ("number", "unique"):
            yield ("values", values), "no name for it: small letters, digits and _; `number` and `unique` are taken", ""
    for name, sort in mix.requests.items():
        texts = [("path", sort.path), ("body", sort.body), *(("headers", value) for value in sort.headers.values())]
        texts += [("headers", value) for value in mix.headers.values()]
        for setting, text in texts:
            for found in _PLACEHOLDER.finditer(text):
                word = found[1]
                if word == "number" and not (found[2] and int(found[2]) <= int(found[3])):
                    yield ("requests", name, setting), f"`{found[0]}`: write {{number:1-100}}, the smaller first", ""
                elif word != "number" and found[2]:
                    yield ("requests", name, setting), f"`{found[0]}`: only `number` has a range", ""
                elif word not in ("number", "unique") and word not in mix.values:
                    known = (*mix.values, "number", "unique")
                    yield (("requests", name, setting), f"`{{{word}}}` has no `values`", suggestion(word, known))


def build(mix: Mix, host: str) -> Pool:
    """The requests of a mix for a server; ``host`` is the ``Host`` header's value. Raises ``SettingsError``."""
    chance = Random(mix.seed)
    names = tuple(mix.requests)
    sorts = tuple(mix.requests.values())
    requests = []
    for number in chance.choices(range(len(sorts)), [sort.weight for sort in sorts], k=POOL):
        sort = sorts[number]
        target = _fill(sort.path, mix, chance)
        if not _TARGET.fullmatch(target.replace(UNIQUE.decode(), "0")):
            said = "no path that a request can have: it begins with /, and is ASCII without blanks (%20 is one)"
            raise SettingsError([Problem("the mix", 0, 0, f"requests.{names[number]}.path", said)])
        lines = [f"{sort.method} {target} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {_fill(text, mix, chance)}" for name, text in _headers(mix, sort).items()]
        body = _fill(sort.body, mix, chance).encode()
        if body or sort.method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        raw = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        requests.append(Request(number, raw, sort.method == "HEAD", UNIQUE in raw))
    return Pool(names, tuple(frozenset(sort.expect) for sort in sorts), tuple(requests))


def _headers(mix: Mix, sort: Sort) -> dict[str, str]:
    own = {name.lower() for name in sort.headers}
    return {name: text for name, text in mix.headers.items() if name.lower() not in own} | sort.headers


def _fill(text: str, mix: Mix, chance: Random) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] == "unique":
            return UNIQUE.decode()
        if found[1] == "number":
            return str(chance.randint(int(found[2]), int(found[3])))
        return chance.choice(mix.values[found[1]])

    return _PLACEHOLDER.sub(value, text)
