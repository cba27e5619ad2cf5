"""A YAML file as a tree that remembers where each value stands and how it was written.

Rules
1. Bytes in, tree and findings out: no file is opened here, and no bytes raise anything.
2. Less than YAML: one document, a mapping at the root, UTF-8, no tabs, no tags but ``!!str``, no merge keys, nothing
   deeper than 64, and aliases only as far as they stay small (a few lines can otherwise become gigabytes).
3. The scalars are YAML 1.1's (``on`` is true, ``0123`` is 83), but each keeps its text: whoever wanted text can say so.
4. ``${NAME}`` and ``${NAME:-default}`` in a value stand for a variable of the environment, ``$${`` for ``${`` itself.
   It happens after parsing: a variable's value is never read as YAML.
5. No finding tells a secret (see ``masked``).
6. The first finding that makes the rest unreadable ends the reading; all others are collected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from tracker.settings.masked import SHOWN, is_secret, told
from tracker.settings.problems import Enough, Findings, Mark, Path, quoted
from tracker.settings.tree import Broken, Dictionary, Entry, Node, Scalar, Sequence, construct, resolve, surprise

MAX_BYTES = 1_048_576
MAX_DEPTH = 64
MAX_ALIASES = 256
MAX_VALUES = 200_000
"""Most keys and values of a file; what stands there by alias is counted as often as it stands there."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same events; libyaml is some 20 times faster

_BOM = "\ufeff"
# YAML's own line breaks that no editor shows as such; were they let through, our line numbers would be wrong.
_ODD_BREAK = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
# A tab that is not in a comment. (One behind a `#` that is not a comment is YAML's business.)
_TAB = re.compile(r"^[^\t#\n]*\t", re.MULTILINE)
_VARIABLE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(:-([^{}]*))?\})?")

class Unreadable(Exception):
    """What follows cannot be read; the finding has been added."""


class Parsed(NamedTuple):
    """What a file holds."""

    root: Dictionary | None
    """None if there is no tree to speak of."""
    lines: list[str]
    values: int
    """How many keys and values, as ``MAX_VALUES`` counts."""


def parse(raw: bytes, environ: Mapping[str, str], findings: Findings, max_values: int = MAX_VALUES) -> Parsed:
    """The tree and the file's lines.

    Whatever is wrong is added to ``findings``, the reading goes on where it can. Raises nothing.
    """
    lines = [line.rstrip("\r") for line in raw[:MAX_BYTES].decode("utf-8", "replace").removeprefix(_BOM).split("\n")]
    try:
        text = _text(raw, findings)
        _check_characters(text, findings)
    except (Unreadable, Enough):
        return Parsed(None, lines, 0)
    composer = _Composer(text, lines, environ, findings, max_values)
    try:
        return Parsed(composer.compose(), lines, composer.values)
    except (Unreadable, Enough):
        return Parsed(None, lines, composer.values)


# --- characters --------------------------------------------------------------------------------------------------


def _text(raw: bytes, findings: Findings) -> str:
    if len(raw) > MAX_BYTES:
        findings.add(None, (), f"larger than {MAX_BYTES} bytes", "is this the right file?")
        raise Unreadable
    try:
        return raw.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8").removeprefix(_BOM)
        findings.add(
            Mark(before.count("\n") + 1, len(before) - before.rfind("\n")),
            (),
            f"not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start}",
            "save the file as UTF-8",
        )
        raise Unreadable from None


def _check_characters(text: str, findings: Findings) -> None:
    if found := _UNPRINTABLE.search(text):
        findings.add(_mark(text, found.start()), (), f"{_code(found[0])} does not belong into a settings file")
        raise Unreadable
    if found := _ODD_BREAK.search(text):
        findings.add(
            _mark(text, found.start()), (), f"{_code(found[0])} breaks lines invisibly", "end lines with a line feed"
        )
        raise Unreadable
    if found := _TAB.search(text):
        findings.add(
            _mark(text, found.end() - 1),
            (),
            "a tab; YAML wants spaces",
            'use spaces, or `\\t` in double quotes where the text needs a tab: "a\\tb"',
        )
        raise Unreadable


def _code(character: str) -> str:
    return f"character U+{ord(character):04X}"


def _mark(text: str, index: int) -> Mark:
    return Mark(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


# --- YAML --------------------------------------------------------------------------------------------------------


class _Open:
    """A list or mapping whose end has not come yet."""

    __slots__ = ("anchor", "broken", "key", "node", "size")

    def __init__(self, node: Sequence | Dictionary, anchor: str | None, broken: bool) -> None:
        self.node = node
        self.anchor = anchor
        self.broken = broken
        self.key: _Key | None = None
        self.size = 1


class _Key(NamedTuple):
    """A key that waits for its value; ``name`` is None if the key is broken, and the value goes with it."""

    name: str | None
    mark: Mark


class _Composer:
    """Puts libyaml's events together. No recursion: a file's depth is not the stack's."""

    def __init__(
        self, text: str, lines: list[str], environ: Mapping[str, str], findings: Findings, max_values: int
    ) -> None:
        self._text = text
        self._lines = lines
        self._environ = environ
        self._findings = findings
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int] | None] = {}  # None while the anchored value is open
        self._aliases = 0
        self.values = 0
        self._max_values = max_values
        self._root: Node | None = None

    def compose(self) -> Dictionary:
        documents = 0
        for event in self._events():
            mark = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise self._unreadable(mark, "a second document", "one file, one document: remove the `---`")
                case yaml.ScalarEvent():
                    self._scalar(event, mark)
                case yaml.SequenceStartEvent():
                    self._begin(event, mark, Sequence(mark, []))
                case yaml.MappingStartEvent():
                    self._begin(event, mark, Dictionary(mark, {}))
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    done = self._open.pop()
                    self._place(Broken(done.node.mark) if done.broken else done.node, done.size, done.anchor)
                case yaml.AliasEvent():
                    self._alias(event.anchor, mark)
        if self._root is None or (isinstance(self._root, Scalar) and not self._root.text and not self._root.quoted):
            raise self._unreadable(Mark(1, 1), "the file is empty", "the smallest file is `version: 1`")
        if not isinstance(self._root, Dictionary):
            raise self._unreadable(
                self._root.mark or Mark(1, 1), "not a mapping", "a settings file consists of `name: value` lines"
            )
        return self._root

    def _events(self) -> Iterator[Any]:
        try:
            yield from yaml.parse(self._text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            place = error.problem_mark or error.context_mark
            mark = Mark(place.line + 1, place.column + 1) if place else Mark(1, 1)
            raise self._syntax(error, mark) from None
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # the latter two: SafeLoader's chr() of an escape
            raise self._unreadable(Mark(1, 1), f"not YAML: {quoted(str(error))}") from None

    def _syntax(self, error: yaml.MarkedYAMLError, mark: Mark) -> Unreadable:
        message = error.problem or "cannot be read"
        hint = error.context or ""
        start = error.context_mark or error.problem_mark
        begin = Mark(start.line + 1, start.column + 1) if start else mark
        first, character = self._at(begin), self._at(mark)
        if first and first in "*&!%@`":
            mark = begin
            hint = f'text that begins with `{first}` must be quoted: "{first}..."'.replace("```", "a backtick")
        elif character and character in "{[":
            hint = "quote text that holds `{`, `}`, `[`, `]` or `,` inside of a list or mapping in brackets"
        elif "mapping values are not allowed" in message:
            hint = "indent it like its neighbours; quote text that holds `: `"
        elif start is not None and hint:
            hint = f"{hint} that begins in line {begin.line}"
        return self._unreadable(mark, f"not YAML: {message}", hint)

    def _at(self, mark: Mark) -> str:
        """The character at a place; empty at the end of a line."""
        return self._lines[mark.line - 1][mark.column - 1 : mark.column] if mark.line <= len(self._lines) else ""

    def _unreadable(self, mark: Mark, message: str, hint: str = "") -> Unreadable:
        # The end of the file is a place that nobody can look at: step back to the last line with something in it.
        line = min(mark.line, len(self._lines))
        while line > 1 and not self._lines[line - 1].strip():
            line -= 1
        if line < mark.line:
            mark = Mark(line, len(self._lines[line - 1].rstrip()) + 1)
        self._findings.add(mark, self._path(), message, hint)
        return Unreadable(message)

    def _path(self) -> Path:
        """Where the reading is."""
        path: list[str | int] = []
        for each in self._open:
            if isinstance(each.node, Sequence):
                path.append(len(each.node.items))
            elif each.key and each.key.name is not None:
                path.append(each.key.name)
        return tuple(path)

    def _told(self, text: str) -> str:
        """The text of the value that is being read, as a finding may tell it."""
        return told(text) if is_secret(self._path()) else text

    def _begin(self, event: Any, mark: Mark, node: Sequence | Dictionary) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise self._unreadable(mark, f"nested deeper than {MAX_DEPTH}")
        if event.tag is not None:
            self._tag(event.tag, mark)
        if event.anchor:
            self._anchors[event.anchor] = None
        # A list or mapping as key is refused by _place, when it is complete.
        self._open.append(_Open(node, event.anchor, event.tag is not None))

    def _tag(self, tag: str, mark: Mark) -> None:
        short = self._told(tag.replace("tag:yaml.org,2002:", "!!"))
        self._findings.add(mark, self._path(), f"unknown tag {quoted(short)}", "remove it: settings need no tags")

    def _alias(self, anchor: Any, mark: Mark) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise self._unreadable(mark, f"more than {MAX_ALIASES} aliases")
        known = self._anchors.get(anchor)
        if known is None:
            name = "*" + self._told(anchor)
            if anchor in self._anchors:
                message, hint = f"{quoted(name)} stands inside of what it names", "nothing can contain itself"
            else:
                message = f"unknown alias {quoted(name)}"
                hint = f'text that begins with `*` must be quoted: "{name[:41]}"'
            self._findings.add(mark, self._path(), message, hint)
            self._place(Broken(mark), 1, None)
        else:
            self._place(known[0], known[1], None, mark)

    def _scalar(self, event: Any, mark: Mark) -> None:
        plain = not event.style
        text: str = event.value
        node: Node
        if event.tag is not None and event.tag not in ("!", "tag:yaml.org,2002:str"):
            self._tag(event.tag, mark)
            node = Broken(mark)
        elif event.tag is not None or not plain:
            node = Scalar(mark, text, "str", text, quoted=True)
        else:
            node = self._resolved(text, mark)
        is_key = bool(self._open) and isinstance(self._open[-1].node, Dictionary) and self._open[-1].key is None
        if isinstance(node, Scalar) and node.word == "str" and not is_key and "${" in text:
            node = self._substituted(node)
        self._place(node, 1, event.anchor)

    def _resolved(self, text: str, mark: Mark) -> Scalar | Broken:
        word = resolve(text)
        try:
            return Scalar(mark, text, word, construct(text, word))
        except (ValueError, OverflowError):
            self._findings.add(mark, self._path(), f"{quoted(self._told(text))} is a number too large")
            return Broken(mark)

    def _substituted(self, node: Scalar) -> Scalar | Broken:
        """The scalar with its variables put in."""
        missing: list[str] = []
        put_in = False

        def value(match: re.Match[str]) -> str:
            nonlocal put_in
            whole, (name, has_default, default) = match[0], match.groups()
            if whole == "$${":
                return "${"
            put_in = True
            if name is None:
                missing.append("`${` is not followed by a variable's name and `}`")
                return ""
            found = self._environ.get(name)
            if has_default is not None:
                return found or default
            if found is None:
                missing.append(f"environment variable {quoted(name)} is not set")
                return ""
            return found

        text = _VARIABLE.sub(value, node.text)
        for message in missing:
            self._findings.add(
                self._first(node, "${"),
                self._path(),
                message,
                "set it, or give a default: `${NAME:-default}`; if text is meant, such as an ad macro, write `$${`",
            )
        if missing:
            return Broken(node.mark)
        return node._replace(value=text, substituted=put_in, typed=not put_in or node.quoted)

    def _first(self, node: Scalar, what: str) -> Mark | None:
        """Where ``what`` stands in the scalar, if it stands in its first line."""
        if node.mark is None:
            return None
        at = self._lines[node.mark.line - 1].find(what, node.mark.column - 1)
        return Mark(node.mark.line, at + 1) if at >= 0 else node.mark

    def _place(self, node: Node, size: int, anchor: str | None, alias: Mark | None = None) -> None:
        """Puts a complete value where it belongs: to be a key, a key's value, an item or the root."""
        if anchor:
            self._anchors[anchor] = (node, size)
        self.values += 1 if alias is None else size
        if self.values > self._max_values:
            whole = "" if self._max_values == MAX_VALUES else " in all files of the table"
            raise self._unreadable(alias or node.mark or Mark(1, 1), f"more than {MAX_VALUES} keys and values{whole}")
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        parent.size += size
        if isinstance(parent.node, Sequence):
            parent.node.items.append(node)
        elif parent.key is None:
            parent.key = self._key(node, parent.node, alias or node.mark or Mark(1, 1))
        else:
            name, mark = parent.key
            parent.key = None
            if name is not None:
                parent.node.entries[name] = Entry(mark, node)

    def _key(self, node: Node, parent: Dictionary, mark: Mark) -> _Key:
        name = None
        if not isinstance(node, Scalar):
            if not isinstance(node, Broken):
                self._findings.add(mark, self._path(), "a key that is no text", 'quote it if it is one: "{...}"')
        elif node.word != "str":
            shown = node._replace(text=SHOWN, value=SHOWN) if is_secret(self._path()) else node
            self._findings.add(mark, self._path(), f"YAML reads the key {surprise(shown)}", f'quote it: "{shown.text}"')
        elif node.text == "<<" and not node.quoted:
            self._findings.add(mark, self._path(), "merge keys are not read", "write the lines out")
        elif node.text in parent.entries:
            first = parent.entries[node.text].mark
            there = f"the first is in line {first.line}" if first else ""
            self._findings.add(mark, self._path(), f"{quoted(self._told(node.text))} a second time", there)
        else:
            name = node.text
        return _Key(name, mark)
