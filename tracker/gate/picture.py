"""A picture of a run, as SVG: latency over time, and latency by percentile. No library, no font, no script.

Rules
1. Latencies have a logarithmic scale: half a millisecond and half a second can be read in one picture.
2. A limit is a dashed line in the panel it belongs to. Colours are told apart without colour, too: each line has its
   name at its end.
3. Every number in it is in the JSON as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape

from tracker.gate.verdict import Judgement

WIDTH: Final = 1000
HEIGHT: Final = 430
_TOP: Final = 92
_BOTTOM: Final = 372
_LEFT: Final = (64, 560)
_SPAN: Final = 360
_COLOURS: Final = {"p50": "#2a78d6", "p99": "#b4540a", "max": "#8a8a86", "curve": "#2a78d6", "limit": "#c0262d"}
_INK, _DIM, _RULE = "#1c1c1a", "#5f5f5a", "#e4e4df"
_VERDICTS: Final = {"passed": ("passed", "#1a7f4b"), "failed": ("FAILED", "#c0262d"), "invalid": ("INVALID", "#b4540a")}
_NINES: Final = (("50 %", 50.0), ("90 %", 90.0), ("99 %", 99.0), ("99.9 %", 99.9), ("99.99 %", 99.99))
_TOP_PERCENT: Final = 99.999
"""Where 100 % is drawn."""

Scale = Callable[[float], float]
Points = Sequence[tuple[float, float]]


def picture(judgement: Judgement) -> str:
    """The SVG."""
    figures, limits = judgement.figures, judgement.limits
    values = [each.p50 for each in figures.by_second] + [each.max for each in figures.by_second]
    values += [ms for _, ms in figures.curve] + [limits.mean_ms]
    if limits.p99_ms is not None:
        values.append(limits.p99_ms)
    low, high, height = _vertical([value for value in values if value > 0] or [1.0])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{_INK}" role="img">',
        f"<title>{escape(_title(judgement))}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *_head(judgement),
    ]
    for left, name in zip(_LEFT, ("ms, by the second in which requests were due", "ms, by percentile"), strict=True):
        parts += _grid(left, name, low, high, height)
    parts += _over_time(judgement, height)
    parts += _by_percentile(judgement, height)
    parts.append("</svg>\n")
    return "\n".join(parts)


def _title(judgement: Judgement) -> str:
    limits = judgement.limits
    return f"Gate {judgement.outcome}: {limits.rps:,.0f} requests/s for {limits.duration_s:g} s"


def _head(judgement: Judgement) -> Iterable[str]:
    limits, latency = judgement.limits, judgement.figures.latency_ms
    word, colour = _VERDICTS[judgement.outcome]
    yield (f'<text x="24" y="32" font-size="17" font-weight="600"><tspan fill="{colour}">Gate {word}</tspan>: '
           f"{limits.rps:,.0f} requests/s for {limits.duration_s:g} s</text>")  # fmt: skip
    allowed = f"limits: mean {limits.mean_ms:g} ms" + (f", p99 {limits.p99_ms:g} ms" if limits.p99_ms else "")
    said = (f"mean {latency.mean:.2f} ms   p50 {latency.p50:.2f}   p99 {latency.p99:.2f}   p99.9 {latency.p999:.2f}   "
            f"max {latency.max:.1f}   ({allowed})")  # fmt: skip
    yield f'<text x="24" y="54" fill="{_DIM}" xml:space="preserve">{escape(said)}</text>'


def _vertical(values: Sequence[float]) -> tuple[float, float, Scale]:
    """The decades that hold all values, and milliseconds to height."""
    low = math.floor(math.log10(max(min(values), 0.01)))
    high = max(math.ceil(math.log10(max(values))), low + 1)

    def height(ms: float) -> float:
        share = (math.log10(max(ms, 10.0**low)) - low) / (high - low)
        return _BOTTOM - min(share, 1.0) * (_BOTTOM - _TOP)

    return low, high, height


def _grid(left: int, name: str, low: float, high: float, height: Scale) -> Iterable[str]:
    yield _text(left, _TOP - 14, name, weight="600")
    for decade in range(int(low), int(high) + 1):
        y = height(10.0**decade)
        yield _line(left, y, left + _SPAN, y, _RULE)
        yield _text(left - 8, y + 4, f"{10.0**decade:g}", _DIM, "end")


def _over_time(judgement: Judgement, height: Scale) -> Iterable[str]:
    left, seconds = _LEFT[0], judgement.figures.by_second
    last = max((each.second for each in seconds), default=0) + 1
    step = max(1, 10 ** math.floor(math.log10(last)) // (2 if last < 5 * 10 ** math.floor(math.log10(last)) else 1))

    def across(second: float) -> float:
        return left + second / last * _SPAN

    for second in range(0, last + 1, step):
        yield _text(across(second), _BOTTOM + 20, f"{second} s", _DIM, "middle")
    yield from _limit(left, judgement.limits.p99_ms, "p99 limit", height)
    ends: list[tuple[float, str]] = []
    for name in ("max", "p99", "p50"):
        points = [(across(each.second + 0.5), height(getattr(each, name))) for each in seconds]
        yield _path(points, _COLOURS[name], 1.5 if name == "max" else 2)
        if points:
            ends.append((points[-1][1], name))
    yield from _names(left + _SPAN + 4, ends)


def _by_percentile(judgement: Judgement, height: Scale) -> Iterable[str]:
    left = _LEFT[1]
    most = -math.log10(1 - _TOP_PERCENT / 100)

    def across(percent: float) -> float:
        return left + -math.log10(1 - min(percent, _TOP_PERCENT) / 100) / most * _SPAN

    for label, percent in _NINES:
        yield _line(across(percent), _BOTTOM, across(percent), _BOTTOM + 5, _DIM)
        yield _text(across(percent), _BOTTOM + 20, label, _DIM, "middle")
    yield _text(across(100), _BOTTOM + 20, "max", _DIM, "middle")
    if judgement.limits.p99_ms is not None:
        yield from _limit(left, judgement.limits.p99_ms, "p99 limit", height, until=across(99))
    yield _path([(across(percent), height(ms)) for percent, ms in judgement.figures.curve], _COLOURS["curve"], 2)
    for percent, ms in judgement.figures.curve:
        if percent in (50.0, 90.0, 99.0, 99.9, 100.0):
            x, y = across(percent), height(ms)
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_COLOURS["curve"]}"/>'
            yield _text(x, y - 8, f"{ms:.3g}", _INK, "middle")


def _limit(left: int, ms: float | None, name: str, height: Scale, until: float | None = None) -> Iterable[str]:
    if ms is not None:
        y, right = height(ms), until or left + _SPAN
        yield _line(left, y, right, y, _COLOURS["limit"], "6 4")
        yield _text(left + 4, y - 5, f"{name} {ms:g} ms", _COLOURS["limit"])


def _names(x: float, ends: Sequence[tuple[float, str]]) -> Iterable[str]:
    """Each line's name at its end, none upon another."""
    below = -math.inf
    for y, name in sorted(ends):
        below = max(y, below + 13)
        yield _text(x, below + 4, name, _COLOURS[name])


def _path(points: Points, colour: str, width: float) -> str:
    if not points:
        return ""
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'


def _text(x: float, y: float, text: str, colour: str = _INK, anchor: str = "start", *, weight: str = "400") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{escape(text)}</text>")  # fmt: skip
