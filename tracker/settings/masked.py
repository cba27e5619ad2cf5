"""Secrets in a settings file: where they stand, so that no problem shows one.

Rules
1. A secret is a value under ``signing_keys``, or an option of a collector whose name says so (``password``, ``token``).
   ``is_secret`` knows it by its path; a message about it says ``***``.
2. The line that a problem shows is masked by the file's text alone: where the file cannot be read as YAML there is no
   path, and half a secret with a quote too many is a secret still. So more may be masked than need be, never less.
3. Masking keeps the length of a line: the caret stands where it should.
4. ``${NAME}`` is a name and no secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from tracker.settings.problems import Path

SHOWN = "***"
"""What a message shows in place of a secret."""

_WORD = re.compile(r"passw|secret|token|credential|(?:private|api|access)[_-]?key", re.IGNORECASE)
_RINGS = re.compile(r"\bsign\w{0,32}[_-]?keys?[\"']?[ ]*:", re.IGNORECASE)
_COLLECTORS = re.compile(r"\bcollectors[\"']?[ ]*:")
_NAMED = re.compile(rf"(?:{_WORD.pattern})[\w-]{{0,64}}[\"']?[ ]*:", re.IGNORECASE)
_KEY = re.compile(r"[ ]*(?:- )?[\"']?[\w.-]{1,64}[\"']?[ ]*:(?=[ ]|$)")
_KEPT = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|[ ]+")


def is_secret(path: Path) -> bool:
    """Whether the value that stands at ``path`` in ``tracker.yaml`` is not to be shown."""
    if path[:1] == ("signing_keys",):
        return len(path) > 2
    return (
        len(path) > 3
        and path[0] == "collectors"
        and path[2] == "options"
        and any(isinstance(step, str) and _WORD.search(step) for step in path[3:])
    )


def above(path: Path) -> Path:
    """The path no further down than to a secret: what stands below it may be one itself."""
    return next((path[:length] for length in range(len(path)) if is_secret(path[:length])), path)


def told(text: str) -> str:
    """What a message may tell of a secret that is written so: at most the name of its variable."""
    return text if _KEPT.fullmatch(text) else SHOWN


def masked(lines: list[str], roots: Iterable[str]) -> list[str]:
    """The lines with stars for what may be a secret; ``roots`` are the names of the settings at the file's root."""
    if not any(map(_RINGS.search, lines)) and not any(map(_COLLECTORS.search, lines)):
        return lines
    another = re.compile(rf"[ ]*[\"']?(?:{'|'.join(map(re.escape, roots))})[\"']?[ ]*:")
    out: list[str] = []
    rings: float = -1  # in key rings: how far their key is indented; no line is indented less than -1
    value: float = -1  # the same for a single secret, whose text may go on in the lines below
    levels: list[int] = []  # how far the lines above, that this one belongs to, are indented in the rings
    collectors = False
    for line in lines:
        indent = len(line) - len(line.lstrip(" "))
        if line[indent : indent + 1] in ("", "#"):  # somebody's old key, commented out
            out.append(_stars(line, 0))
            continue
        key = _KEY.match(line)
        if indent <= rings and another.match(line):
            rings = -1
        if indent <= value and key:
            value = -1
        if rings >= 0:
            while levels and indent <= levels[-1]:
                levels.pop()
            levels.append(indent)
            # Names of rings and of keys may be seen; what stands deeper is not what we think it is.
            out.append(_stars(line, key.end() if key and len(levels) <= 2 and rings < math.inf else 0))
        elif value >= 0:
            out.append(_stars(line, 0))
        elif found := _RINGS.search(line):
            block = key is not None and found.end() == key.end()
            rings = indent if block else math.inf  # in braces: until the end of the file
            levels = [] if line[found.end() :].partition("#")[0].strip() == "" else [-1, -1]
            out.append(_stars(line, found.end()))
        elif (collectors := collectors or _COLLECTORS.search(line) is not None) and (found := _NAMED.search(line)):
            value = indent
            out.append(_stars(line, found.end()))
        else:
            out.append(line)
    return out


def _stars(line: str, start: int) -> str:
    """The line with a star for each character from ``start`` on that is no blank and in no ``${NAME}``."""
    shown, at = line[:start], start
    for kept in _KEPT.finditer(line, start):
        shown += "*" * (kept.start() - at) + kept[0]
        at = kept.end()
    return shown + "*" * (len(line) - at)
