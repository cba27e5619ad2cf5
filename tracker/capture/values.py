"""Values: a text as the number, money, host or VAST event that it writes.

Rules
1. Text in, value or ``INVALID`` out; nothing here raises, whatever the text.
2. Money is exact and never a float: decimal text with at most six decimals (zeros behind them do no harm) becomes
   integer micros. A sign, NaN, infinity, separators, spaces, or more than 64 bits is ``INVALID``. ``1e-05`` is fine:
   JavaScript and Python write small numbers so.
3. A JSON number as money is exact up to 15 significant digits, and beyond them ``INVALID``, since its decoder may have
   rounded it; as text it is always exact.
4. Whole numbers fit into 64 bits with sign; other numbers are finite.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from tracker import reasons


class Trouble(NamedTuple):
    """Why a field has no value although it should."""

    reason: str


MISSING = Trouble(reasons.MISSING_FIELD)
INVALID = Trouble(reasons.INVALID_FIELD)

Value = str | int | float
Convert = Callable[[str], Value | Trouble]

MAX_INTEGER = 2**63 - 1
MIN_INTEGER = -(2**63)

_SCALE = (1_000_000, 100_000, 10_000, 1000, 100, 10, 1)
# PERF: prices below 1,000 with at most three decimals are two looks into dicts, half the time of the rest.
_UNITS: dict[str, int] = {str(n): n * 1_000_000 for n in range(1000)}
_DECIMALS: dict[str, int] = {"": 0} | {
    f"{n:0{places}}": n * _SCALE[places] for places in range(1, 4) for n in range(10**places)
}
_MONEY = re.compile(r"([0-9]{0,40})(?:\.([0-9]{0,40}))?(?:[eE]([+-]?[0-9]{1,2}))?")
_INTEGER = re.compile(r"(-?[0-9]{1,19})(?:\.0{1,6})?")
_NUMBER = re.compile(r"-?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?")
_PLAIN_HOST = re.compile(r"https?://([a-z0-9.-]{1,253})[/?#]").match
_HOST = re.compile(
    r"(?>(?:[A-Za-z][A-Za-z0-9+.-]*:(?=//))?)(?>(?://)?)"  # a scheme, if `//` follows; never taken for the host
    r"(?:[^/?#@\\]*@)?"  # userinfo
    r"(\w[\w.-]{0,252}|\[[0-9A-Fa-f.]{0,15}:[0-9A-Fa-f:.]{1,45}\])"
    r"(?::[0-9]{0,5})?(?:[/?#\\].*)?"
)

# VAST 4.3, 3.14, and the names of VAST 2 and 3, as VAST spells them.
VAST_EVENTS = (
    "loaded", "start", "firstQuartile", "midpoint", "thirdQuartile", "complete", "progress",
    "mute", "unmute", "pause", "resume", "rewind", "skip", "playerExpand", "playerCollapse", "closeLinear", "notUsed",
    "creativeView", "acceptInvitation", "adExpand", "adCollapse", "minimize", "close", "overlayViewDuration",
    "otherAdInteraction", "interactiveStart", "verificationNotExecuted",
    "fullscreen", "exitFullscreen", "expand", "collapse", "acceptInvitationLinear", "timeSpentViewing",
)  # fmt: skip
_VAST = {name.lower(): name for name in VAST_EVENTS}


def money(text: str) -> int | Trouble:
    """Decimal text as micros: ``2.50`` is 2,500,000."""
    whole, _, fraction = text.partition(".")
    units = _UNITS.get(whole)
    decimals = _DECIMALS.get(fraction)
    if units is not None and decimals is not None:
        return units + decimals
    digits = whole + fraction
    # Twelve digits cannot leave 64 bits: 10^12 * 10^6 < 2^63. ``isdigit`` alone takes other scripts' digits too.
    if len(digits) <= 12 and len(fraction) <= 6 and digits.isdigit() and digits.isascii():
        return int(digits) * _SCALE[len(fraction)]
    parts = _MONEY.fullmatch(text)
    if parts is None or not (parts[1] or parts[2]):
        return INVALID
    fraction = parts[2] or ""
    amount = int(parts[1] + fraction)
    power = 6 - len(fraction) + int(parts[3] or 0)
    if power < 0:
        amount, rest = divmod(amount, 10**-power)
        if rest:
            return INVALID
    else:
        amount *= 10**power
    return amount if amount <= MAX_INTEGER else INVALID


def integer(text: str) -> int | Trouble:
    """``-12``, or ``12.0`` as JSON may write it; 64 bits with sign."""
    parts = _INTEGER.fullmatch(text)
    if parts is None:
        return INVALID
    value = int(parts[1])
    return value if MIN_INTEGER <= value <= MAX_INTEGER else INVALID


def number(text: str) -> int | float | Trouble:
    """An integer if it is written as one and fits, else a finite float."""
    if "." not in text:
        whole = integer(text)
        if whole is not INVALID:
            return whole
    if not _NUMBER.fullmatch(text):
        return INVALID
    value = float(text)
    return value if math.isfinite(value) else INVALID


def host(text: str) -> str | Trouble:
    """The host of a URL, of ``host:port`` or of a bare host, in lower case; an IPv6 address keeps its brackets."""
    plain = _PLAIN_HOST(text)  # PERF: what a browser sends as referer; the rest is for people
    if plain is not None:
        return plain[1]
    parts = _HOST.fullmatch(text)
    return parts[1].lower() if parts is not None else INVALID


def vast_event(text: str) -> str | Trouble:
    """A VAST tracking event in VAST's own spelling, from any case (Prebid writes ``midPoint``)."""
    return _VAST.get(text.lower(), INVALID)


CONVERT: dict[str, Convert] = {
    "integer": integer, "number": number, "money": money, "host": host, "vast_event": vast_event,
}  # fmt: skip
"""By the name that a field's ``as`` has; ``text`` needs none."""


def written(value: Any, *, exact: bool) -> str | Trouble:
    """A JSON number or boolean as text; ``INVALID`` for an object or array, or if ``exact`` and perhaps rounded."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, float):
        return INVALID
    text = repr(value)
    # A double holds any 15 significant decimal digits (IEEE 754), so these are the digits that were sent.
    if exact and sum(map(str.isdigit, text.partition("e")[0].lstrip("-0."))) > 15:
        return INVALID
    return text
