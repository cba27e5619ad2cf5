"""Which of very many ids came more than once, in bounded memory.

Rules
1. An id is kept as 63 bits of its hash (SipHash with this process's random key) and one bit of the caller's: eight
   bytes an id. Two of ten million different ids share a hash with a probability of 0.000005.
2. Beyond ``limit`` nothing is kept; ``left_out`` counts it, so that nobody takes silence for an all-clear.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

_SHARES: Final = 256
"""The hashes are sorted share by share, so that sorting needs little memory."""


class Fingerprints:
    """Collects ids, then tells the repeated ones."""

    __slots__ = ("_left", "_shares", "left_out")

    def __init__(self, limit: int) -> None:
        self._shares = [array("Q") for _ in range(_SHARES)]
        self._left = limit
        self.left_out = 0
        """Ids beyond the limit."""

    def add(self, text: str, own: bool) -> None:
        """Keep one; ``own`` is the caller's bit."""
        if self._left:
            self._left -= 1
            code = fingerprint(text)
            self._shares[code >> 56].append(code | own)
        else:
            self.left_out += 1

    def repeated(self) -> Iterator[tuple[int, int, int]]:
        """Fingerprint, how often it came, and how often with the bit set; for those that came more than once."""
        for share in self._shares:
            before, count, own = -1, 0, 0
            for code in sorted(share):
                if code >> 1 != before:
                    if count > 1:
                        yield before << 1, count, own
                    before, count, own = code >> 1, 0, 0
                count += 1
                own += code & 1
            if count > 1:
                yield before << 1, count, own


def fingerprint(text: str) -> int:
    """What ``repeated`` calls this id."""
    return hash(text) & 0xFFFF_FFFF_FFFF_FFFE
