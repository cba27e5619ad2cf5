"""What is wrong with the settings, and where: every problem at once, read like a compiler's.

Rules
1. A problem names its place: ``file:line:column`` for what stands in a file, ``environment: TRACKER_BIND`` or
   ``flag: --bind`` for what does not. Lines and columns begin at 1; line 0 means the whole file.
2. Text out of a file is shown cut and with its control characters replaced: no settings file steers a terminal.
   A secret is not shown at all (see ``masked``).
3. Nothing here reads a file or knows YAML.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Path = tuple[str | int, ...]
"""Where a value stands in the settings: ``("routes", "click", "use", 0)``, with the names as the files write them."""

File = Literal["tracker", "routes"]
Severity = Literal["error", "warning"]
"""An error refuses the settings. A warning says what is allowed and probably not meant; it refuses nothing."""


class Mark(NamedTuple):
    """A place in a file; both begin at 1."""

    line: int
    column: int


class Fault(NamedTuple):
    """A mistake found by a semantic check, which knows the settings and no file. ``load`` adds the place."""

    file: File
    path: Path
    message: str
    hint: str = ""
    severity: Severity = "error"


class Finding(NamedTuple):
    """A mistake found while a file is read: ``mark`` is None for what stands in no file."""

    mark: Mark | None
    path: Path
    message: str
    hint: str = ""


class Enough(Exception):
    """So much is wrong that more of it helps nobody."""


class Findings:
    """Collects findings; raises ``Enough`` at the hundredth, so that no file makes the search for mistakes long."""

    LIMIT = 100

    def __init__(self) -> None:
        self.found: list[Finding] = []

    def add(self, mark: Mark | None, path: Path, message: str, hint: str = "") -> None:
        self.found.append(Finding(mark, path, message, hint))
        if len(self.found) >= self.LIMIT:
            raise Enough


class Problem(NamedTuple):
    """A mistake with its place, ready to be shown."""

    file: str
    """As the person named it; ``environment`` or ``flag`` for what stands in no file."""
    line: int
    column: int
    path: str
    """``routes.click.use[0]``; the name of a variable or flag for what stands in no file."""
    message: str
    hint: str = ""
    excerpt: str = ""
    """The line of the file, whole; secrets in it are masked already."""
    severity: Severity = "error"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        kind = "warning" if self.severity == "warning" else ""
        lines = [": ".join(part for part in (where, kind, self.path, self.message) if part)]
        if self.line and self.excerpt:
            text, before = _window(self.excerpt, self.column - 1)
            lines.append(f"{self.line:5d} | {text}")
            lines.append(f"      | {' ' * before}^ {self.hint}".rstrip())
        elif self.hint:
            lines.append(f"      = {self.hint}")
        return "\n".join(map(visible, lines))


class SettingsError(Exception):
    """The settings cannot be used. ``str()`` of it is what a person should read."""

    def __init__(self, problems: Sequence[Problem], *, more: bool = False) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)
        self.more = more
        """The search was given up: there may be more problems."""

    def __str__(self) -> str:
        count = len(self.problems)
        many = f"{count} problem{'' if count == 1 else 's'}{' or more' if self.more else ''}"
        return "\n".join([*map(str, self.problems), f"{many}; nothing was started."])


def dotted(path: Path) -> str:
    """``("routes", "click", "use", 0)`` as ``routes.click.use[0]``; odd names in quotes."""
    out = ""
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
        else:
            name = step if step.replace("_", "").replace("-", "").isalnum() else f'"{step}"'
            out += ("." if out else "") + _cut(visible(name))
    return out


def quoted(text: str) -> str:
    """Text out of a file, in backticks, cut and without control characters."""
    return f"`{_cut(visible(text))}`"


def visible(text: str) -> str:
    """The text with every character that could steer a terminal, or that cannot be encoded, replaced by U+FFFD."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c == "\t" else "\ufffd" for c in text)


def listed(words: Iterable[str], joint: str = "or") -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    *first, last = list(words)
    return f"{', '.join(first)} {joint} {last}" if first else last


def suggestion(name: str, known: Iterable[str]) -> str:
    """``did you mean `x`?`` if one of the known names is near, else the known names."""
    names = list(known)
    near = nearest(name, names)
    if near:
        return f"did you mean `{near}`?"
    if not names:
        return ""
    more = f" and {len(names) - 24} more" if len(names) > 24 else ""
    return f"known: {', '.join(visible(known_name) for known_name in names[:24])}{more}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or an empty text."""
    if len(name) > 64:  # difflib's time grows with the product of the lengths
        return ""
    plain: dict[str, str] = {}
    for each in list(known)[:1000]:
        plain.setdefault(each.lower().replace("-", "_"), each)
    close = difflib.get_close_matches(name.lower().replace("-", "_"), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else ""


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _window(line: str, index: int) -> tuple[str, int]:
    """At most 100 characters of the line around ``index``, and how many terminal cells stand before it."""
    start = 0 if index < 80 else index - 40
    shown = visible(line[start : start + 100])
    before = shown[: index - start]
    lead = "..." if start else ""
    tail = "..." if start + 100 < len(line) else ""
    return (lead + shown + tail).rstrip(), len(lead) + sum(_cells(c) for c in before)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
