"""Path templates, and the tree that finds the one a path fits.

Rules
1. A template is literal segments and parameters: ``/imp/{campaign}/{creative}.gif``. A segment holds at most one
   parameter, with literal text before and behind it; a parameter takes at least one character and never a ``/``.
2. Paths are compared as they are: a trailing slash, an empty segment, ``.`` and ``..`` mean only themselves.
3. No path fits two templates. A literal is no exception: ``/go/{name}`` and ``/go/spring`` overlap, so which one a hit
   belongs to can be read off the routes, whatever their order. Hence the first fit found is the only one.
4. ``/-/`` is the tracker's own: no template begins so, and a parameter never takes a first segment ``-``.
5. The time to find a route depends on the path and on the number of *shapes* (lengths of prefix and suffix) at a place,
   not on the number of routes: literals and patterns are looked up in dicts.
"""

from __future__ import annotations

import re
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class Segment(NamedTuple):
    """One place of a template: ``prefix{name}suffix``, or the literal ``prefix`` when ``name`` is empty."""

    prefix: str
    name: str
    suffix: str


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
    if "}" in prefix + suffix or not _NAME.fullmatch(name):
        raise ValueError("a parameter is `{name}`: lower-case letters, digits and `_`")
    return Segment(prefix, name, suffix)


# What a place of the tree holds. PERF: nearly every place of a real table is one of the first three.
_LITERALS, _WHOLE, _AFFIXED, _FORK = range(4)


class _Node(Generic[T]):
    """A place in the tree; ``shapes`` is ``patterns`` by the lengths of prefix and suffix."""

    __slots__ = ("after", "before", "child", "kind", "leaf", "literals", "patterns", "shapes", "start", "stop")

    def __init__(self, kind: int = _LITERALS) -> None:
        self.kind = kind
        self.literals: dict[str, _Node[T]] = {}
        self.patterns: dict[tuple[str, str], _Node[T]] = {}
        self.shapes: list[tuple[int, int, dict[tuple[str, str], _Node[T]]]] = []
        self.leaf: tuple[Template, T] | None = None
        self.child: _Node[T] = self
        """With one pattern and nothing else, the node behind it; ``before`` and ``after`` are its literal text."""
        self.before = self.after = ""
        self.start: int | None = None
        self.stop: int | None = None

    def branch(self, segment: Segment) -> _Node[T]:
        """The node behind the segment; made if it is not there."""
        if not segment.name:
            node = self.literals.setdefault(segment.prefix, _Node())
        else:
            node = self.patterns.setdefault((segment.prefix, segment.suffix), _Node())
            shapes: dict[tuple[int, int], dict[tuple[str, str], _Node[T]]] = {}
            for (prefix, suffix), child in self.patterns.items():
                shapes.setdefault((len(prefix), len(suffix)), {})[prefix, suffix] = child
            self.shapes = [(before, after, table) for (before, after), table in shapes.items()]
        if self.kind != _FORK and self.patterns:
            if self.literals or len(self.patterns) > 1:
                self.kind = _FORK
            else:
                self.child = node
                self.before, self.after = segment.prefix, segment.suffix
                self.start, self.stop = len(self.before) or None, -len(self.after) or None
                self.kind = _AFFIXED if segment.prefix or segment.suffix else _WHOLE
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
            if end > before and (child := table.get((segment[:before], segment[end:]))) is not None:
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
    before, name, behind = segment
    if not name:
        rivals = [node.literals[before]] if before in node.literals else []
        return rivals + [child for (p, s), child in node.patterns.items() if _takes(p, s, before)]
    return [child for text, child in node.literals.items() if _takes(before, behind, text)] + [
        child
        for (p, s), child in node.patterns.items()
        if (p.startswith(before) or before.startswith(p)) and (s.endswith(behind) or behind.endswith(s))
    ]


def _takes(prefix: str, suffix: str, text: str) -> bool:
    return len(text) > len(prefix) + len(suffix) and text.startswith(prefix) and text.endswith(suffix)


def example(one: Template, other: Template) -> str:
    """A path that fits both of two templates that overlap."""
    parts = []
    for a, b in zip(one.segments, other.segments, strict=True):
        if not (a.name and b.name):
            parts.append(b.prefix if a.name else a.prefix)
        else:
            parts.append(max(a.prefix, b.prefix, key=len) + a.name + max(a.suffix, b.suffix, key=len))
    return "/" + "/".join(parts)
