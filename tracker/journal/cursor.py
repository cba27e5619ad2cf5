"""Cursors: how far one collector has read each stream. One JSON file a collector, replaced whole.

Rules
1. Deliver first, then save: a cursor never stands before an event that was not delivered, set down as a dead letter
   or listed as a gap. It may stand too early; what comes twice is the collector's business (see ``delivery.plugin``).
2. ``DATA/cursors/<collector>.json`` is the old file or the new one, whole, whatever happens.
3. A file that is no cursor of this version is never an error: it counts as unknown, and ``problem`` says why. Whoever
   owns the cursor sets the file aside (``*.bad-1``, ``*.bad-2`` ...) before writing a new one.
4. Reading has no side effects: ``trace``, ``status`` and retention look at cursors that others own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from tracker import disk
from tracker.clock import now_text

FORMAT: Final = 1

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Stream = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class Position(NamedTuple):
    """A place in one stream: the beginning of the next line to deliver."""

    offset: _Count
    """Bytes from the beginning of the stream."""
    seq: _Count
    """``seq`` of the line before it; 0 if that is not known."""


class _Place(msgspec.Struct, frozen=True):
    offset: _Count
    seq: _Count = 0


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """The file's content."""

    format: Literal[1]
    collector: str
    saved_at: str
    streams: dict[_Stream, _Place]


class Cursor:
    """One collector's positions. It belongs to one thread; others may copy ``streams``."""

    __slots__ = ("collector", "known", "path", "problem", "streams")

    def __init__(self, path: Path, collector: str) -> None:
        """An empty one; ``load`` makes those with content."""
        self.path = path
        self.collector = collector
        self.streams: dict[str, Position] = {}
        """Positions by stream."""
        self.known = False
        """Whether positions were ever saved. If not, what a stream has lost so far was never asked for."""
        self.problem = ""
        """Why the file cannot be used, or empty."""

    def save(self) -> None:
        """Replace the file, synced. Raises ``OSError``; then the old one stands."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = _File(
            format=FORMAT,
            collector=self.collector,
            saved_at=now_text(),
            streams={stream: _Place(*place) for stream, place in sorted(self.streams.items())},
        )
        disk.replace(self.path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
        self.known = True

    def set_aside(self) -> Path:
        """Move a file that cannot be used out of the way; returns where it is now. Raises ``OSError``."""
        number = 1
        while os.path.lexists(target := self.path.with_name(f"{self.path.name}.bad-{number}")):
            number += 1
        os.rename(self.path, target)
        disk.sync_folder(self.path.parent)
        self.problem = ""
        return target


def cursor_path(data_dir: Path, collector: str) -> Path:
    """Where a collector's cursor is."""
    return data_dir / "cursors" / f"{collector}.json"


def load(data_dir: Path, collector: str) -> Cursor:
    """The collector's cursor, as it was last saved; empty if there is none (``known``) or none of ours (``problem``).

    Raises ``OSError`` if the file is there and the disk does not give it: that is no reason to begin anew.
    """
    cursor = Cursor(cursor_path(data_dir, collector), collector)
    try:
        content = cursor.path.read_bytes()
    except FileNotFoundError:
        return cursor
    except IsADirectoryError:
        cursor.problem = "it is a folder"
        return cursor
    try:
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        cursor.problem = f"not a cursor of format {FORMAT}: {type(error).__name__}: {error}"
        return cursor
    if file.collector != collector:
        cursor.problem = f"it belongs to the collector {file.collector!r}"
        return cursor
    cursor.known = True
    cursor.streams = {stream: Position(place.offset, place.seq) for stream, place in file.streams.items()}
    return cursor
