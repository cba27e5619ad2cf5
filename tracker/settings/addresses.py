"""Addresses and networks in the settings: what they are made of, and whom they let in.

Rules
1. No name is looked up: a host that is not plainly this machine's loopback counts as public.
2. A list of networks that together are the whole internet trusts everybody, however it is written.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from tracker.settings.problems import quoted

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")


def split_bind(bind: str) -> tuple[str, int]:
    """Host and port of ``host:port``; an IPv6 address stands in brackets, which are taken off.

    Raises ``ValueError``, whose text says what is wrong.
    """
    host, colon, port = bind.rpartition(":")
    if not colon:
        raise ValueError(f"{quoted(bind)} is not `host:port`")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"{quoted(port)} is no port: 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise ValueError(f"{quoted(host)} is no IPv6 address") from None
        return host[1:-1], int(port)
    if ":" in host:
        raise ValueError(f"{quoted(bind)}: an IPv6 address stands in brackets")
    if not host:
        raise ValueError(f"{quoted(bind)} names no host")
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError(f"{quoted(host)} is no IPv4 address") from None
    elif not _HOST.fullmatch(host):
        raise ValueError(f"{quoted(host)} is no host")
    return host, int(port)


def is_public(bind: str) -> bool:
    """Whether anybody beyond this machine may reach ``bind``; False for what is no address at all."""
    try:
        host, _ = split_bind(bind)
    except ValueError:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() != "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return not (mapped or address).is_loopback


def network(text: str) -> Network:
    """A network such as ``10.0.0.0/8``. Raises ``ValueError``."""
    return ipaddress.ip_network(text)


def network_hint(text: str) -> str:
    """What was probably meant by a text that is no network."""
    try:
        return f"did you mean `{ipaddress.ip_network(text, strict=False)}`?"
    except ValueError:
        return "such as `10.0.0.0/8` or `fd00::/8`"


def everybody(networks: Iterable[Network]) -> bool:
    """Whether the networks together hold all of IPv4, or all IPv6 addresses that are routed on the internet."""
    parts = list(networks)
    four = ipaddress.collapse_addresses(each for each in parts if isinstance(each, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(each for each in parts if isinstance(each, ipaddress.IPv6Network))
    return any(each.prefixlen == 0 for each in four) or any(
        each.supernet_of(_GLOBAL) or each.supernet_of(_MAPPED) for each in six
    )


_GLOBAL = ipaddress.IPv6Network("2000::/3")
"""All global unicast addresses (RFC 4291, 2.4)."""
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""All of IPv4 once more (RFC 4291, 2.5.5.2), as a socket for both families reports it."""
