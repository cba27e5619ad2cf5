"""Folding: text into lines that fit a terminal, with nothing lost."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len

_JOINTS = "/&?,;:=-_."
"""A word too long for its line is cut behind one of these, if one is near the end."""


def fold(text: str, width: int, first: str = "", rest: str = "") -> Iterator[str]:
    """Lines of at most ``width`` cells (0: one line, as long as it gets); ``first`` and ``rest`` begin them.

    Spaces at which a line breaks are left out; every other character is in one of the lines.
    """
    if not width:
        yield first + text
        return
    line, empty = first, True
    for word in text.split(" "):
        if not empty and cell_len(line) + 1 + cell_len(word) <= width:
            line += f" {word}"
            continue
        if not empty:
            yield line
            line = rest
        line, empty = line + word, False
        while cell_len(line) > width:
            head = _head(line, width, max(cell_len(rest), cell_len(first)))
            yield head
            line = rest + line[len(head) :]
    yield line


def _head(line: str, width: int, lead: int) -> str:
    """As much of a line as fits, at least one character beyond its lead."""
    head = line
    while cell_len(head) > width and len(head) > lead + 1:
        head = head[:-1]
    for at in range(len(head) - 1, max(len(head) - 24, lead + 8), -1):
        if head[at] in _JOINTS:
            return head[: at + 1]
    return head
