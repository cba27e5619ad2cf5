"""An event as one line for people: ``14:03:07.512  impression   campaign=c1  price=2.50 USD  …9f2c11aa03b4``.

Rules
1. Money is shown as decimals with its currency, exactly: no float on the way.
2. The bad lane is red and says why.
3. The end of the id stands last; ``tracker trace`` takes it as it stands there.
4. The line fits the width: dimensions and metrics give way, never the time, the name, the reason or the id.
"""

from __future__ import annotations

from decimal import Decimal

from rich.cells import cell_len
from rich.text import Text

from tracker.event import Event
from tracker.terminal.safe import safe

ID_CHARS = 12
"""How many characters of an id are shown: the random end of a UUID, 48 bits."""
VALUE_CHARS = 40
"""Longest text of one dimension."""

_MICROS, _NANOS = "_micros", "_nanos"
_DIMENSION, _METRIC = "cyan", "green"


def line(event: Event, width: int = 0) -> Text:
    """The event in at most ``width`` cells; 0 means as long as it gets."""
    bad = event.lane == "bad"
    head = Text(no_wrap=True, end="")
    # 2026-11-20T14:03:07.512Z: the date is for files, the time of day for people who watch.
    head.append(safe(event.received_at[11:23] or "--:--:--.---", 12), "dim")
    head.append("  ")
    head.append(safe(event.event or "(no name)", 48).ljust(11), "bold red" if bad else "bold")
    if bad:
        head.append("  bad: ", "red")
        head.append(safe(event.reason or "no reason", VALUE_CHARS), "red")
    tail = Text(no_wrap=True, end="")
    if event.flags:
        tail.append("  [" + " ".join(safe(flag, VALUE_CHARS) for flag in event.flags[:8]) + "]", "yellow")
    tail.append("  …", "dim")
    tail.append(safe(event.id[-ID_CHARS:]), "dim")
    middle = Text(no_wrap=True, end="")
    pairs = _pairs(event)
    kept = _fitting(pairs, width - head.cell_len - tail.cell_len - len("  +99")) if width else set(range(len(pairs)))
    for number, (name, value, style) in enumerate(pairs):
        if number in kept:
            middle.append(f"  {name}=", "dim")
            middle.append(value, style)
    if len(kept) < len(pairs):
        middle.append(f"  +{len(pairs) - len(kept)}", "dim")
    return Text.assemble(head, middle, tail, no_wrap=True, overflow="ellipsis")


def _fitting(pairs: list[tuple[str, str, str]], cells: int) -> set[int]:
    """Which pairs to show in so much room: the first dimension, the first metric, then the others in order."""
    metric = next((number for number, pair in enumerate(pairs) if pair[2] == _METRIC), 0)
    kept: set[int] = set()
    for number in sorted(range(len(pairs)), key=lambda number: (number not in (0, metric), number)):
        name, value, _ = pairs[number]
        cells -= cell_len(name) + cell_len(value) + len("  =")
        if cells < 0:
            break
        kept.add(number)
    return kept


def _pairs(event: Event) -> list[tuple[str, str, str]]:
    """Name, value and style of all dimensions and metrics, harmless; money in decimals, with its currency."""
    currency = event.dimensions.get("currency", "")
    paid = any(name.endswith((_MICROS, _NANOS)) for name in event.metrics)
    pairs = [
        (safe(name, VALUE_CHARS), safe(value, VALUE_CHARS), _DIMENSION)
        for name, value in event.dimensions.items() if not (paid and name == "currency")
    ]  # fmt: skip
    for name, number in event.metrics.items():
        amount = _money(name, number)
        if amount is not None:
            name, shown = name.rsplit("_", 1)[0], f"{amount} {currency}".rstrip()
        else:
            shown = str(number)
        pairs.append((safe(name, VALUE_CHARS), safe(shown, VALUE_CHARS), _METRIC))
    return pairs


def _money(name: str, number: int | float) -> str | None:
    """The decimal text of a sum in micros or nanos; None if the metric is no sum."""
    digits = 6 if name.endswith(_MICROS) else 9 if name.endswith(_NANOS) else 0
    if not digits or isinstance(number, float):
        return None
    whole, _, part = f"{Decimal(number).scaleb(-digits):f}".partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"


def unreadable(raw: bytes, width: int = 0) -> Text:
    """A line of the journal that is no event."""
    shown = safe(raw.decode("utf-8", "replace").rstrip("\n"), max(width - 40, 40))
    return Text.assemble(("not an event: ", "red"), shown, no_wrap=True, overflow="ellipsis")
