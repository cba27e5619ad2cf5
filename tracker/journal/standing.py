"""How far a collector is with one line of the journal: delivered, waiting, dead, lost, or not subscribed.

Rules
1. It is judged by position, as delivery does it: the cursor, then the dead letters, then the gaps.
2. Delivery's files are read, never changed; a line of them that cannot be read says nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from tracker.event import Event
from tracker.journal import cursor, segment
from tracker.journal.recovery import stream_dir
from tracker.journal.where import select
from tracker.settings.model import Collector

State = Literal["delivered", "waiting", "dead", "lost", "not_subscribed"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One collector and one occurrence."""

    collector: str
    """Its name in the settings."""
    state: State
    """``delivered``; ``waiting`` in the journal; ``dead``: refused for ever; ``lost``: in a range that this collector
    will never get, see its ``.gaps.ndjson``; ``not_subscribed``."""
    detail: str = ""
    """Why, in words."""
    bytes_behind: int = 0
    """``waiting``: how far the collector is from the event's end; 0 if unknown."""


def of(data_dir: Path, name: str, settings: Collector, event: Event, line: tuple[str, int, int]) -> Standing:
    """Where collector ``name`` is with this event; ``line`` is its stream, its offset there, and its size in bytes.

    Raises ``OSError`` if the cursor is there and the disk does not give it.
    """
    stream, offset, size = line
    if event.lane not in settings.lanes:
        lanes = " and ".join(settings.lanes)
        return Standing(collector=name, state="not_subscribed", detail=f"it takes the {lanes} lane only")
    takes = select(settings.events)
    if takes is None or not takes(event):
        detail = f"it takes {', '.join(settings.events) or 'no events'}, not {event.event}"
        return Standing(collector=name, state="not_subscribed", detail=detail)
    own = cursor.load(data_dir, name)
    reached = own.streams.get(stream)
    if reached is None:
        start = (segment.offsets(stream_dir(data_dir, stream)) or [0])[0]
        detail = "it has not begun with this stream" if own.known else own.problem or "it has never delivered anything"
        return Standing(collector=name, state="waiting", detail=detail, bytes_behind=offset + size - start)
    if reached.offset < offset + size:
        return Standing(collector=name, state="waiting", bytes_behind=offset + size - reached.offset)
    for letter in losses(data_dir, name, "dead"):
        if letter.stream == stream and letter.offset == offset:
            return Standing(collector=name, state="dead", detail=f"{letter.reason} ({letter.at})")
    for gap in losses(data_dir, name, "gaps"):
        if gap.stream == stream and gap.start <= offset < gap.end:
            detail = f"in a gap from {gap.start} to {gap.end} ({gap.at})"
            return Standing(collector=name, state="lost", detail=detail)
    return Standing(collector=name, state="delivered")


class Loss(msgspec.Struct):
    """What is read of a dead letter (``offset``, ``reason``) or a gap (``start``, ``end``)."""

    stream: str = ""
    offset: int = -1
    start: int = 0
    end: int = 0
    reason: str = ""
    at: str = ""


def losses(data_dir: Path, collector: str, kind: Literal["dead", "gaps"]) -> Iterator[Loss]:
    """The collector's dead letters or gaps, from the live file and the rotated ones; lines that are none are passed."""
    folder = data_dir / "delivery"
    name = re.compile(rf"{re.escape(collector)}\.{kind}(-\d{{8}}T\d{{6}}Z-\d+)?\.ndjson")
    decode = msgspec.json.Decoder(Loss).decode
    try:
        names = sorted(each for each in os.listdir(folder) if name.fullmatch(each))
    except FileNotFoundError:
        return
    for each in names:
        try:
            with (folder / each).open("rb") as file:
                for line in file:
                    try:
                        yield decode(line)
                    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                        continue
        except FileNotFoundError:
            continue
