"""Path templates, and the tree that finds the one a path fits.

Rules
1. A template is literal segments and parameters: ``/imp/{campaign}/{creative}.gif``. A segment holds at most one
   parameter, with literal text before and behind it; a parameter takes at least one character and never a ``/``.
   A typed one (``{id:integer}``) takes only the characters of its type (``TYPES``).
2. Paths are compared as they are: a trailing slash, an empty segment, ``.`` and ``..`` mean only themselves.
3. No path fits two templates. A literal is no exception: ``/go/{name}`` and ``/go/spring`` overlap, so which one a hit
   belongs to can be read off the routes, whatever their order. Hence the first fit found is the only one.
4. ``/-/`` is the tracker's own: no template begins so, and a parameter never takes a first segment ``-``.
5. The time to find a route depends on the path and on the number of *shapes* (lengths of prefix and suffix) at a place,
   not on the number of routes: literals and patterns are looked up in dicts.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
Fits = Callable[[str], object]
"""Whether a type takes a parameter's text: a match, or None."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)

TYPES = {
    "integer": string.digits, "hex": string.hexdigits, "word": string.ascii_letters + string.digits + "_-",
}  # fmt: skip
"""Types of parameters: the characters that each takes."""
_FITS = {name: re.compile(f"[{re.escape(characters)}]+").fullmatch for name, characters in TYPES.items()}


class Segment(NamedTuple):
    """One place of a template: ``prefix{name:type}suffix``, or the literal ``prefix`` when ``name`` is empty."""

    prefix: str
    name: str
    suffix: str
    type: str = ""
    """One of ``TYPES``; empty: any character but ``/``."""

    def takes(self, text: str) -> bool:
        """Whether a path's segment is one of this place."""
        if not self.name:
            return text == self.prefix
        value = text[len(self.prefix) : len(text) - len(self.suffix)]
        if not value or f"{self.prefix}{value}{self.suffix}" != text:
            return False
        return not self.type or _FITS[self.type](value) is not None


class Template(NamedTuple):
    """A parsed template; ``names`` are its parameters from left to right."""

    text: str
    segments: tuple[Segment, ...]
    names: tuple[str, ...]


def parse(text: str) -> Template:
    """The template that ``text`` writes. Raises ``ValueError`` with what is wrong."""
    if not text.startswith("/"):
        raise ValueError("a path begins with `/`")
    if not text.isprintable() or " " in text or any(mark in text for mark in "?#%\\"):
        raise ValueError("a path has no spaces, control characters, `?`, `#`, `%` or `\\`")
    segments = tuple(_segment(part) for part in text[1:].split("/"))
    if segments[0] == Segment("-", "", ""):
        raise ValueError("`/-/` is the tracker's own")
    names = tuple(segment.name for segment in segments if segment.name)
    if len(set(names)) < len(names):
        raise ValueError("a parameter is named twice")
    return Template(text, segments, names)


def _segment(part: str) -> Segment:
    prefix, brace, rest = part.partition("{")
    if not brace:
        if "}" in part:
            raise ValueError("`}` without `{`")
        return Segment(part, "", "")
    name, brace, suffix = rest.partition("}")
    if not brace:
        raise ValueError("`{` without `}` in one segment")
    if "{" in suffix:
        raise ValueError("one segment holds at most one parameter")
    name, colon, kind = name.partition(":")
    if "}" in prefix + suffix or not _NAME.fullmatch(name):
        raise ValueError("a parameter is `{name}`: lower-case letters, digits and `_`")
    if colon and kind not in TYPES:
        raise ValueError(f"a parameter's type is {', '.join(TYPES)}, not `{kind}`")
    return Segment(prefix, name, suffix, kind)


def common(one: Segment, other: Segment) -> str:
    """A text that both places take; empty if there is none."""
    if not (one.name and other.name):
        text = other.prefix if one.name else one.prefix
        return text if one.takes(text) and other.takes(text) else ""
    before = max(one.prefix, other.prefix, key=len)
    behind = max(one.suffix, other.suffix, key=len)
    # What both parameters take is nothing more than prefix and suffix demand, or that with one character between: if a
    # longer text were taken by both, so would be the one without the rest of its middle.
    kinds = [set(TYPES[each.type]) for each in (one, other) if each.type]
    middles = ["", *sorted(set.intersection(*kinds))[:1]] if kinds else ["", one.name]
    overlaps = range(min(len(before), len(behind)), -1, -1)
    joined = [before + behind[k:] for k in overlaps if before.endswith(behind[:k])]
    for text in [*joined, *(before + middle + behind for middle in middles)]:
        if one.takes(text) and other.takes(text):
            return text
    return ""


# What a place of the tree holds. PERF: nearly every place of a real table is one of the first three.
_LITERALS, _WHOLE, _AFFIXED, _FORK = range(4)


class _Node(Generic[T]):
    """A place in the tree; ``shapes`` is ``patterns`` by the lengths of prefix and suffix."""

    __slots__ = ("after", "before", "child", "fits", "kind", "leaf", "literals", "patterns", "shapes", "start", "stop")

    def __init__(self, kind: int = _LITERALS) -> None:
        self.kind = kind
        self.literals: dict[str, _Node[T]] = {}
        self.patterns: dict[Segment, _Node[T]] = {}
        """By the segment without its parameter's name."""
        self.shapes: list[tuple[int, int, dict[tuple[str, str], list[tuple[Fits | None, _Node[T]]]]]] = []
        self.leaf: tuple[Template, T] | None = None
        self.child: _Node[T] = self
        """With one pattern and nothing else, the node behind it; ``before`` and ``after`` are its literal text."""
        self.before = self.after = ""
        self.fits: Fits | None = None
        self.start: int | None = None
        self.stop: int | None = None

    def branch(self, segment: Segment) -> _Node[T]:
        """The node behind the segment; made if it is not there."""
        if not segment.name:
            node = self.literals.setdefault(segment.prefix, _Node())
        else:
            node = self.patterns.setdefault(segment._replace(name="*"), _Node())
            shapes: dict[tuple[int, int], dict[tuple[str, str], list[tuple[Fits | None, _Node[T]]]]] = {}
            for (prefix, _, suffix, kind), child in self.patterns.items():
                shape = shapes.setdefault((len(prefix), len(suffix)), {})
                shape.setdefault((prefix, suffix), []).append((_FITS.get(kind), child))
            self.shapes = [(before, after, table) for (before, after), table in shapes.items()]
        if self.kind != _FORK and self.patterns:
            if self.literals or len(self.patterns) > 1:
                self.kind = _FORK
            else:
                self.child = node
                self.before, self.after, self.fits = segment.prefix, segment.suffix, _FITS.get(segment.type)
                self.start, self.stop = len(self.before) or None, -len(self.after) or None
                self.kind = _AFFIXED if segment.prefix or segment.suffix or segment.type else _WHOLE
        return node


class Tree(Generic[T]):
    """Templates and what each stands for."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()  # takes the empty text before the first slash
        self._top = self._root.branch(Segment("", "", ""))

    def add(self, template: Template, target: T) -> tuple[Template, T] | None:
        """Add a template; or leave it out and return one that it overlaps with."""
        other = _overlap(self._top, template.segments, 0)
        if other is not None:
            return other
        node = self._top
        for segment in template.segments:
            node = node.branch(segment)
        node.leaf = template, target
        if self._top.patterns:
            self._top.kind = _FORK  # where ``-`` needs a look
        return None

    def find(self, path: str) -> tuple[T, list[str]] | None:
        """The target whose template the path fits, and the parameters' values from left to right."""
        segments = path.split("/")
        node = self._root
        values: list[str] = []
        for segment in segments:
            kind = node.kind
            if kind == _LITERALS:
                child = node.literals.get(segment)
                if child is None:
                    return None
                node = child
            elif kind == _WHOLE:
                if not segment:
                    return None
                values.append(segment)
                node = node.child
            elif kind == _AFFIXED:
                value = segment[node.start : node.stop]
                if not value or f"{node.before}{value}{node.after}" != segment:
                    return None
                if node.fits is not None and node.fits(value) is None:
                    return None
                values.append(value)
                node = node.child
            else:  # several may fit: try each, from the beginning
                return self._search(self._top, segments, 1, [])
        return (node.leaf[1], values) if node.leaf is not None else None

    def _search(
        self, node: _Node[T], segments: list[str], at: int, values: list[str]
    ) -> tuple[T, list[str]] | None:
        """As ``find``, where a place has several branches. It visits a node at most once."""
        if at == len(segments):
            return (node.leaf[1], values) if node.leaf is not None else None
        segment = segments[at]
        child = node.literals.get(segment)
        found = self._search(child, segments, at + 1, values) if child is not None else None
        if found is not None or (at == 1 and segment == "-"):
            return found
        for before, behind, table in node.shapes:
            end = len(segment) - behind
            for fits, child in table.get((segment[:before], segment[end:]), ()) if end > before else ():
                if fits is None or fits(segment[before:end]) is not None:
                    found = self._search(child, segments, at + 1, [*values, segment[before:end]])
                    if found is not None:
                        return found
        return None


def _overlap(node: _Node[T], segments: tuple[Segment, ...], at: int) -> tuple[Template, T] | None:
    """What stands in the tree for a path that the segments would take too."""
    if at == len(segments):
        return node.leaf
    for child in _rivals(node, segments[at]):
        found = _overlap(child, segments, at + 1)
        if found is not None:
            return found
    return None


def _rivals(node: _Node[T], segment: Segment) -> list[_Node[T]]:
    """The branches that can take a text which the segment takes as well."""
    if not segment.name:
        rivals = [node.literals[segment.prefix]] if segment.prefix in node.literals else []
    else:
        rivals = [child for text, child in node.literals.items() if segment.takes(text)]
    return rivals + [child for pattern, child in node.patterns.items() if common(segment, pattern)]


def example(one: Template, other: Template) -> str:
    """A path that fits both of two templates that overlap."""
    pairs = zip(one.segments, other.segments, strict=True)
    return "/" + "/".join(a.prefix if a == b and not a.name else common(a, b) for a, b in pairs)
