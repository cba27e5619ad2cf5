"""Text from a hit: what may stand in an event, and what counts as nothing.

Rules
1. A text that leaves here encodes as UTF-8 and has no control character, no line or paragraph separator and no lone
   surrogate: each became U+FFFD, and the event is flagged ``cleaned``. U+FFFD from an earlier decoder is flagged too.
2. A text is at most as long as its limit; what is beyond is cut, and flagged ``cut``.
3. A text that is empty or one of its field's ``unknown`` texts counts as absent, and the event is flagged
   ``unknown_value``. So does an ad-server macro that nobody replaced (the whole text is one macro), flagged
   ``macro_unreplaced``.
4. Clean text costs two C calls: ``isascii`` and ``isprintable``.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

from falcon.util.uri import decode

from tracker import reasons

REPLACEMENT = "\ufffd"
MACRO_STARTS = "$[{%_"
"""First characters of a macro. The empty text is ``in`` it as well, which sends both to ``settle``."""

# C0, DEL, C1 (ANSI escapes begin there), the two separators that JavaScript and many log readers take for newlines,
# and halves of surrogate pairs, which no UTF-8 encoder takes.
_POISON = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# Of these a property may have what a person may have typed: tab, newline, carriage return.
_POISON_OF_PROPERTIES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# OpenRTB 2.6 4.4 `${AUCTION_PRICE:B64}`, VAST 4.3 6 `[CACHEBUSTING]`, Google `%%SITE%%`, Revive `{random}`, Meta
# `{{ad.id}}`, TikTok `__CAMPAIGN_ID__`.
_NAME = r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}"
_MACRO = re.compile(rf"\$\{{{_NAME}\}}|\[{_NAME}\]|%%{_NAME}%%|\{{{_NAME}\}}|\{{\{{{_NAME}\}}\}}|__[A-Z0-9_]{{1,64}}__")
# `%%CACHEBUSTER%%` in a URL has `%CA` in it, which decodes to junk.
_RAW_PERCENT_MACRO = re.compile(rf"(?<==)%%({_NAME})%%(?=&|$)")


def mark(flags: list[str], flag: str) -> None:
    """Add a flag, once."""
    if flag not in flags:
        flags.append(flag)


def settle(value: Any, limit: int, flags: list[str], unknown: Container[str] = ()) -> str | None:
    """A parameter's value (text, or a list where it came more than once) by the rules above; None counts as absent."""
    if isinstance(value, list):
        mark(flags, reasons.REPEATED_PARAMETER)
        value = value[0]
    text: str = value
    if not text or text in unknown:
        mark(flags, reasons.UNKNOWN_VALUE)
        return None
    if not (text.isascii() and text.isprintable()):
        text = clean(text, flags)
    if text[0] in MACRO_STARTS and is_macro(text):
        mark(flags, reasons.MACRO_UNREPLACED)
        return None
    return fit(text, limit, flags)


def fit(text: str, limit: int, flags: list[str]) -> str:
    """The text, cut at its limit."""
    if len(text) > limit:
        mark(flags, reasons.CUT)
        text = text[:limit]
    return text


def header_text(text: str, limit: int, flags: list[str]) -> str:
    """A header's value by rules 1 and 2; it is not the tag's, so a macro is as good as any text."""
    text = text if text.isascii() else from_bytes_text(text)
    return fit(clean(text, flags), limit, flags)


def clean(text: str, flags: list[str]) -> str:
    """The text with U+FFFD in the place of each character that no log can hold."""
    if not text.isprintable():  # false also for a no-break space, which may stay
        text = _POISON.sub(REPLACEMENT, text)
    if REPLACEMENT in text:
        mark(flags, reasons.CLEANED)
    return text


def clean_property(text: str, flags: list[str]) -> str:
    """Text for a property: as ``clean``, but tab, newline and carriage return may stay."""
    if text.isascii() and text.isprintable():
        return text
    text = _POISON_OF_PROPERTIES.sub(REPLACEMENT, text)
    if REPLACEMENT in text:
        mark(flags, reasons.CLEANED)
    return text


def is_macro(text: str) -> bool:
    """Whether the whole text is one unreplaced macro, as it is or percent-encoded once more."""
    if _MACRO.fullmatch(text):
        return True
    return text[0] == "%" and len(text) < 256 and _MACRO.fullmatch(decode(text, unquote_plus=False)) is not None


def from_bytes_text(text: str) -> str:
    """Text that holds bytes read as Latin-1 (a header, a raw query string) as the UTF-8 it was sent as."""
    try:
        return text.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:  # not bytes after all: somebody decoded it before
        return _POISON.sub(REPLACEMENT, text)


def shield_macros(query: str) -> str:
    """A raw query string whose ``%%NAME%%`` values survive percent-decoding."""
    return _RAW_PERCENT_MACRO.sub(r"%25%25\1%25%25", query)
