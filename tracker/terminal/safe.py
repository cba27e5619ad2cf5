"""Text from strangers, made harmless for a terminal.

Rules
1. Whatever an event, a file name or an error brings passes through ``safe`` before a person sees it.
2. What a terminal would obey instead of show (C0 and C1 controls, DEL, line separators, and the marks that reorder or
   hide text) is shown as its escape: ``\\x1b``, ``\\u202e``. Nothing is dropped, so two different texts stay different.
"""

from __future__ import annotations

import re

# SEC: C0, DEL, C1 | soft hyphen, Arabic letter mark, zero width and direction marks, line and paragraph separator,
# embeddings and overrides, invisible operators, isolates | byte order mark, interlinear marks | surrogates, tags.
_OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def safe(text: str, max_chars: int = 0) -> str:
    """``text`` with everything escaped that a terminal would obey; cut to ``max_chars`` with ``…`` unless 0."""
    if max_chars and len(text) > max_chars:
        text = text[: max_chars - 1] + "…"
    return _OBEYED.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if code <= 0xFF:
        return _SHORT.get(character) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
