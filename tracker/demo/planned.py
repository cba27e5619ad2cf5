"""A planned hit: the request, and what the demo means to come of it.

Rules
1. ``Expected`` is what the demo meant when it wrote the request. It is never asked of the tracker's code: a demo that
   computed its expectations with the endpoint would find every mistake of the endpoint right.
2. A request is ready for the wire: the target is ASCII and percent-encoded, header values have no line break.
3. An ``Expected`` is hashable and shared by all hits that mean the same: prices have whole cents, so there are few.
"""

from __future__ import annotations

import shlex
from typing import Literal, NamedTuple

from tracker.reasons import NEVER_BILLED

Outcome = Literal["good", "bad", "refused"]

class Expected(NamedTuple):
    """What should be answered, and what should stand in the journal."""

    status: int
    outcome: Outcome
    route: str = ""
    """Name of the route in the built-in table; empty where there is none."""
    event: str = ""
    reason: str = ""
    """Of the bad lane, or of the refusal."""
    flags: tuple[str, ...] = ()
    """Sorted."""
    campaign: str = ""
    creative: str = ""
    action: str = ""
    """What the video did, in VAST's spelling."""
    metric: str = ""
    """The sum of money that the event holds, such as ``price_micros``; empty: none."""
    micros: int = 0
    """That sum."""
    cost_nanos: int = 0
    """What the event costs."""
    ack: str = "process"

    @property
    def kept(self) -> bool:
        """Whether it stands in the journal."""
        return self.outcome != "refused"

    @property
    def billed(self) -> bool:
        """Whether it is an impression that somebody pays for."""
        return self.outcome == "good" and self.route == "impression" and not NEVER_BILLED.intersection(self.flags)

    @property
    def said(self) -> str:
        """``good``, ``good: bot``, ``bad: invalid_field``, ``refused: no_route``."""
        words = " ".join(self.flags) if self.outcome == "good" else self.reason
        return f"{self.outcome}: {words}" if words else self.outcome


class Planned(NamedTuple):
    """One hit to send."""

    number: int
    """Of its event; a replay has that of the hit which it repeats."""
    event_id: str
    method: str
    target: str
    """Path and query."""
    headers: tuple[tuple[str, str], ...]
    body: bytes
    expected: Expected
    location: str = ""
    """Where the answer should lead; empty: nowhere."""


def event_id(run: str, number: int) -> str:
    """``demo-<run>-<number>``: what the client of a demo calls its event."""
    return f"demo-{run}-{number}"


def number_of(found: str, run: str) -> int:
    """The number in an event's id; -1 if it is none of this run's."""
    prefix = f"demo-{run}-"
    digits = found.removeprefix(prefix)
    return int(digits) if digits != found and digits.isdecimal() and len(digits) < 12 else -1


def curl(hit: Planned, base: str) -> str:
    """The hit as a line for a shell; ``base`` is the tracker's address, such as ``http://127.0.0.1:8000``."""
    words = ["curl", "-s", "-i"]
    if hit.method == "HEAD":
        words.append("-I")
    elif hit.method != ("POST" if hit.body else "GET"):
        words += ["-X", hit.method]
    for name, value in hit.headers:
        words += ["-H", f"{name}: {value}"]
    if hit.body:
        words += ["--data-binary", hit.body.decode()]
    # -g: else curl takes [ ] { } for lists of URLs. Path as it is: it must arrive as it stands here.
    words += ["-g", "--path-as-is", base + hit.target]
    return shlex.join(words)
