"""Text from strangers, made harmless for a terminal.

Rules
1. Whatever an event, a file name or an error brings passes through ``safe`` before a person sees it.
2. What a terminal would obey instead of show (controls, line separators, marks that reorder or hide text) and what
   has no picture is shown as its escape: ``\\x1b``, ``\\u202e``. Nothing is dropped: different texts look different.
"""

from __future__ import annotations

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def safe(text: str, max_chars: int = 0) -> str:
    """``text`` with every character escaped that is not printable; cut to ``max_chars`` with ``…`` unless 0."""
    if max_chars and len(text) > max_chars:
        text = text[: max_chars - 1] + "…"
    if text.isprintable():
        return text
    # SEC: str.isprintable is false for the Unicode categories Cc, Cf, Cs, Co, Cn, Zl, Zp, and Zs but the space.
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return _SHORT.get(character) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
