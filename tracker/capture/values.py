"""Values: a text as the number, money, time, host, URL, language, list or VAST event that it writes.

Rules
1. Text in, value or ``INVALID`` out; nothing here raises, whatever the text, and each takes time in proportion to it.
   Clean text (``text``, rule 1) stays clean. An empty one says that the sender did not know: it counts as absent.
2. Money is exact and never a float: decimal text with at most six decimals (zeros behind them do no harm) becomes
   integer micros. A sign, NaN, infinity, separators, spaces, or more than 64 bits is ``INVALID``. ``1e-05`` is fine:
   JavaScript and Python write small numbers so.
3. A JSON number as money is exact up to 15 significant digits, and beyond them ``INVALID``, since its decoder may have
   rounded it; as text it is always exact.
4. Whole numbers fit into 64 bits with sign; other numbers are finite.
5. Ad servers hand on what they got and encode it once more each time: a macro is percent-decoded at most twice again, a
   URL once, an item of a list once (VAST 4.3 encodes them one by one).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from falcon.util.uri import decode

from tracker import reasons
from tracker.capture import vast
from tracker.capture.instant import unix_ms, utc_text
from tracker.capture.redirect import parse
from tracker.capture.text import MACRO_STARTS, clean, is_macro


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

# A URL that `redirect.parse` would write anew as it is: lower case, no port, a path, a last label that begins with a
# letter.
_PLAIN_URL = re.compile(
    r"https?://(?=[a-z0-9.-]{1,253}/)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
    r"/[A-Za-z0-9!#$%&'()*+,\-./:;=?@_~\[\]]*"
).fullmatch
_ENCODED_URL = re.compile(r"https?%3a", re.IGNORECASE | re.ASCII).match
# RFC 5646, 2.1: language (no longer one is registered, so `null` is none), script, region, variants, extensions.
_LANGUAGE = re.compile(
    r"[a-z]{2,3}(?:-[a-z]{3}){0,3}(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-[a-wyz0-9](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?"
).fullmatch
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}").search
_BOOLEANS = {
    text: value
    for value, texts in ((1, "true 1 yes on t y"), (0, "false 0 no off f n"))
    for text in texts.split()
}
_UNKNOWN = frozenset({"", "-1", "-2"})
"""VAST 4.3, 6.1: not known, and not told. In a list they are no items."""

MAX_LANGUAGE_CHARS = 64
MAX_ITEMS = 100
"""Most items of a list; what comes behind them is dropped."""


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
    parts = _HOST.fullmatch(decode(text, unquote_plus=False) if _ENCODED_URL(text) else text)
    return parts[1].lower() if parts is not None else INVALID


def url(text: str) -> str | Trouble:
    """An absolute http(s) URL, written anew (``redirect``, rules 1 and 3); decoded if it was encoded once too often."""
    if len(text) < 2048 and _PLAIN_URL(text):  # PERF: nearly always
        return text
    found = parse(decode(text, unquote_plus=False) if _ENCODED_URL(text) else text)
    return found.location() if found is not None else INVALID


def macro(text: str) -> str:
    """Text that passed through ad servers, decoded while it is still percent-encoded: ``a%252Fb`` is ``a/b``."""
    if "%" not in text:
        return text
    for _ in range(2):
        if not _ESCAPE(text):
            break
        text = clean(decode(text, unquote_plus=False), [])
    return "" if text[0] in MACRO_STARTS and is_macro(text) else text


def items(text: str) -> str:
    """The items of a comma-separated list without spaces around them, joined by commas; unknown ones are left out.

    A comma within an item stays ``%2C``.
    """
    found = []
    for item in text.split(",", MAX_ITEMS)[:MAX_ITEMS]:
        if "%" in item:
            item = clean(decode(item, unquote_plus=False), []).replace(",", "%2C")
        item = item.strip()
        if item not in _UNKNOWN and not (item[0] in MACRO_STARTS and is_macro(item)):
            found.append(item)
    return ",".join(found)


def language(text: str) -> str | Trouble:
    """A BCP 47 tag, the first of an ``Accept-Language`` list, in RFC 5646's case: ``de-ch;q=0.9, en`` is ``de-CH``."""
    return _tag(text[: MAX_LANGUAGE_CHARS + 1])


@lru_cache(1024)  # PERF: there are few, and a known one takes a tenth of the time
def _tag(text: str) -> str | Trouble:
    tag = text.partition(",")[0].partition(";")[0].strip().replace("_", "-").lower()
    if len(tag) > MAX_LANGUAGE_CHARS or not text.isascii() or not _LANGUAGE(tag):  # the Kelvin sign lowers to `k`
        return INVALID
    if "-" not in tag:
        return tag
    # RFC 5646, 2.1.1: regions in capitals, scripts with one, neither behind a singleton.
    first, *parts = tag.split("-")
    for at, part in enumerate(parts):
        if len(part) == 1:
            break
        parts[at] = part.upper() if len(part) == 2 else part.title() if len(part) == 4 and part.isalpha() else part
    return "-".join((first, *parts))


def boolean_text(text: str) -> str | Trouble:
    """``true`` or ``false``, from what people and programs write for them."""
    value = _BOOLEANS.get(text[:6].lower())
    return INVALID if value is None else "true" if value else "false"


def boolean_number(text: str) -> int | Trouble:
    """The same as a number."""
    value = _BOOLEANS.get(text[:6].lower())
    return INVALID if value is None else value


def time_text(text: str) -> str | Trouble:
    """An instant (``instant``) as RFC 3339 in UTC with milliseconds."""
    return utc_text(text) or INVALID


def time_ms(text: str) -> int | Trouble:
    """An instant as Unix milliseconds."""
    ms = unix_ms(text)
    return ms if ms is not None else INVALID


def vast_event(text: str) -> str | Trouble:
    """A VAST tracking event in VAST's own spelling, from what players and ad servers call it (``vast``)."""
    return vast.spelled(text) or INVALID


def is_audit(text: str) -> bool:
    """Whether a price is OpenRTB's word for a test render (2.6, 4.4)."""
    return len(text) == 5 and text.lower() == "audit"


DIMENSION: dict[str, Convert] = {
    "macro": macro, "boolean": boolean_text, "time": time_text, "host": host, "url": url, "language": language,
    "vast_event": vast_event, "list": items,
}  # fmt: skip
"""Readers of dimensions, by what a field's ``as`` says; ``text`` needs none. All give text."""

METRIC: dict[str, Callable[[str], int | float | Trouble]] = {
    "integer": integer, "number": number, "boolean": boolean_number, "money": money, "time": time_ms,
}  # fmt: skip
"""Readers of metrics. All give numbers."""


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
