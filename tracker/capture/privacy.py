"""What is kept of a person's address.

Rules
1. A full address goes in and never comes out: IPv4 keeps /24, IPv6 /48. An IPv4 address inside an IPv6 one (mapped
   ``::ffff:0:0/96``, NAT64 ``64:ff9b::/96``, 6to4 ``2002::/16``) is truncated as IPv4.
2. What is not an address becomes nothing, as does a zone id.
3. With ``Sec-GPC: 1`` or ``DNT: 1`` a route whose policy is ``anonymous`` keeps no address and none of ``IDS``, and
   whatever its policy, it neither sets nor reads an id cookie.
4. What a bad event shows of its hit holds no e-mail address and no full IP address (``mask``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from tracker.capture.memo import Memo
from tracker.settings.model import Privacy

IDS = ("distinct_id", "anonymous_id", "device_id", "session_id", "profile_id")
"""Fields of an event that name a person, a device or a visit."""

PERSONAL_HEADERS = frozenset({
    "authorization", "cf-connecting-ip", "cookie", "fastly-client-ip", "forwarded", "proxy-authorization", "set-cookie",
    "true-client-ip", "x-api-key", "x-client-ip", "x-cluster-client-ip", "x-device-ip", "x-forwarded",
    "x-forwarded-for", "x-originating-ip", "x-real-ip", "x-remote-addr", "x-remote-ip",
})  # fmt: skip
"""Headers that no field may be read from: full addresses and secrets."""

_MAPPED = bytes(10) + b"\xff\xff"
_NAT64 = bytes.fromhex("0064ff9b") + bytes(8)
_SIX_TO_FOUR = bytes.fromhex("2002")


def truncate(address: str) -> str:
    """The network of an address, as text; empty for what is not an address."""
    # PERF: any last octet is as good as another, so the memo holds networks, not addresses.
    front, _, last = address.rpartition(".")
    return _NETWORKS[front] if last in _OCTETS else _truncate_ipv6(address)


def _truncate_ipv4(front: str) -> str:
    """``203.0.113`` as ``203.0.113.0``; or what stands before the last octet of an IPv4 address inside an IPv6 one."""
    address = front + ".0"
    try:
        inet_pton(AF_INET, address)
        return address
    except (OSError, ValueError):  # ValueError: NUL or a lone surrogate in it
        return _truncate_ipv6(address)


_OCTETS = frozenset(map(str, range(256)))
_NETWORKS = Memo(_truncate_ipv4)


def drop(_address: str) -> str:
    """Nothing."""
    return ""


def keeper(privacy: Privacy) -> Callable[[str], str]:
    """The function that a route's policy uses on addresses."""
    return truncate if privacy.ip == "truncate" else drop


def _truncate_ipv6(address: str) -> str:
    text = address.partition("%")[0]
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return ""
    if packed.startswith((_MAPPED, _NAT64)):
        return inet_ntop(AF_INET, packed[12:15] + b"\0")
    kept = 5 if packed.startswith(_SIX_TO_FOUR) else 6  # 6to4: bytes 2 to 5 are the IPv4 address
    return inet_ntop(AF_INET6, packed[:kept] + bytes(16 - kept))


_IPV4 = re.compile(r"(?<![0-9.])([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})\.[0-9]{1,3}(?![0-9.])")
_IPV6 = re.compile(r"(?<![0-9A-Fa-f:.])[0-9A-Fa-f:.]{2,45}:[0-9A-Fa-f:.]{0,45}(?![0-9A-Fa-f:.])")


def mask(text: str) -> str:
    """A short text with addresses taken out: ``ann@example.com`` is ``***@example.com``, IPs are truncated."""
    if "@" in text:
        text = "***@" + text.rpartition("@")[2]
    text = _IPV4.sub(r"\1.0", text)
    return _IPV6.sub(lambda found: _truncate_ipv6(found[0]) or found[0], text) if text.count(":") > 1 else text
