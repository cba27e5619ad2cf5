"""What an audit of the journal found, as plain values. ``tracker verify --json`` prints it as it is here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final, Literal

import msgspec

MAX_LISTED: Final = 1000
"""Findings of one kind that are listed; beyond it they are counted."""

Kind = Literal[
    "seq_gap", "seq_unreadable", "seq_repeated", "id_repeated", "bad_block", "no_record", "hole", "unparsable",
    "foreign", "bad_index", "bad_seal", "recorded_gap", "bad_ring", "stray", "unreadable",
]  # fmt: skip
KINDS: Final[dict[str, str]] = {
    "seq_gap": "numbers of a stream are missing, and nothing says why: events were lost",
    "seq_unreadable": "events are in bytes that cannot be read; another finding says what is wrong with these",
    "seq_repeated": "a number of a stream comes twice or goes back",
    "id_repeated": "an id that the tracker itself made stands in more than one line: an event was written twice",
    "bad_block": "bytes do not fit their checksum; no collector gets them",
    "no_record": "bytes that no index record vouches for; no collector gets them",
    "hole": "bytes that were durable are not there: a segment is missing or cut",
    "unparsable": "a line that is no event",
    "foreign": "a line that names another stream",
    "bad_index": "an index file that is missing, foreign or torn",
    "bad_seal": "a seal that cannot be read, or that the stream contradicts",
    "recorded_gap": "a seal records a loss: the tracker knew of it and went on",
    "bad_ring": "a ring file that cannot be used; the next claim sets it aside",
    "stray": "a file or folder that does not belong into a journal",
    "unreadable": "the disk did not give a file",
}
"""What each kind of finding means."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong."""

    kind: Kind
    message: str
    """In words, with numbers."""
    stream: str = ""
    offset: int = -1
    """Where in the stream; -1 if it is not about a place."""
    path: str = ""
    """The file, relative to the data folder."""


class Report(msgspec.Struct, kw_only=True):
    """What an audit found."""

    data_dir: str
    streams: int = 0
    sealed: int = 0
    segments: int = 0
    bytes: int = 0
    """Bytes that were looked at."""
    events: int = 0
    bad_lane: int = 0
    """Of these."""
    oldest: str = ""
    newest: str = ""
    """``received_at`` of the oldest and the newest event."""
    clean: bool = True
    """Whether nothing was found."""
    counts: dict[str, int] = {}
    """Findings by kind, also those beyond ``MAX_LISTED``."""
    findings: list[Finding] = []
    notes: list[str] = []
    unchecked: list[str] = []


class Findings:
    """Collects findings for a report: all are counted, the first ``MAX_LISTED`` of a kind are listed."""

    def __init__(self, data_dir: Path) -> None:
        self.report = Report(data_dir=str(data_dir))
        self._root = data_dir
        self._counts: Counter[str] = Counter()

    def add(self, kind: Kind, message: str, stream: str = "", offset: int = -1, path: Path | None = None) -> None:
        """Write a finding down."""
        self._counts[kind] += 1
        self.report.clean = False
        self.report.counts = dict(sorted(self._counts.items()))
        if self._counts[kind] <= MAX_LISTED:
            name = str(path.relative_to(self._root)) if path is not None else ""
            self.report.findings.append(Finding(kind=kind, message=message, stream=stream, offset=offset, path=name))

    def note(self, text: str) -> None:
        """A fact that breaks no promise."""
        self.report.notes.append(text)

    def unchecked(self, text: str) -> None:
        """Something that was not looked at."""
        self.report.unchecked.append(text)
