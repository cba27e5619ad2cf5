"""Who the client is: the address and the headers of a hit that came through proxies, or from a server for a device.

Rules
1. A header is believed as far as the host that wrote it. ``X-Forwarded-For`` and ``Forwarded`` are read from the right,
   where the trusted proxy that is connected to us wrote; each hop that is a trusted proxy itself vouches for the next.
   The first that is not is the client. If all are, it is the left-most; without the header it is the connection's.
2. A hop that is no address (empty, ``unknown``, obfuscated, malformed) ends the walk: the client is then the last hop
   known, which is a proxy of ours. What stands further left may be the client's own invention.
3. From an address outside of ``trusted_proxies`` neither header means anything, nor does ``X-Device-*`` from one
   outside of ``ssai_networks``.
4. A server that names a device (``X-Device-IP`` or ``X-Device-User-Agent``) speaks for it: what describes a client
   (address, user agent, referer, language, client hints, cookies) and is not said of the device is absent, never the
   server's own. A hit without a device is the server's own.
5. Bounded work: at most ``MAX_HOPS`` hops of ``MAX_HOP_CHARS``. No regular expression here can backtrack.
6. Only connections' addresses of trusted proxies are remembered, no client's.

Sources: RFC 7239 (``Forwarded``), RFC 9110 5.6 (quoted strings), VAST 4.3 1.3.6 (``X-Device-*``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from tracker.settings import model

Header = Callable[[str], str | None]
"""``Headers.get``: by lower-case name, values as WSGI has them."""
Who = Callable[[str, Header], tuple[str, Header, bool]]
"""(the connection's address, headers) -> (the client's address, headers as the client would have sent them, whether a
listed server spoke for it). The address is normalised text, or empty if nobody knows it."""
Hop = tuple[int, int, str] | None
"""An address: version, number, and its normalised text; None for what is no address."""

MAX_HOPS = 16
MAX_HOP_CHARS = 512
_HOPS = range(MAX_HOPS)
_MAX_PROXIES = 1024

_number = int.from_bytes
_MAPPED = 0xFFFF << 32
_DEVICE = {
    "user-agent": "x-device-user-agent",
    "referer": "x-device-referer",
    "accept-language": "x-device-accept-language",
    "x-requested-with": "x-device-requested-with",
}
DEVICE_HEADERS = frozenset({"x-device-ip", *_DEVICE.values()})
"""What is asked of a server that speaks for devices."""

# One parameter of a forwarded-element. A token is taken widely: ports and brackets want quotes, and do not always get
# them.
_PARAMETER = re.compile(r'[ \t]*+([A-Za-z0-9_-]++)=(?:"((?:[^"\\]|\\.)*+)"|([^\s",;=\\]*+))[ \t]*+(?:;|\Z)')


class Networks:
    """A set of networks, compiled: an address costs a shift and a look into a set for each prefix length."""

    __slots__ = ("_ipv4", "_ipv6", "texts")

    def __init__(self, networks: Iterable[str]) -> None:
        """``10.0.0.0/8``, ``2001:db8::/32``, single addresses; raises ``ValueError`` for anything else. Networks of
        IPv4 addresses inside IPv6 (``::ffff:10.0.0.0/104``) count as IPv4."""
        ipv4: list[IPv4Network] = []
        ipv6: list[IPv6Network] = []
        for text in networks:
            network = ip_network(text, strict=False)
            if isinstance(network, IPv4Network):
                ipv4.append(network)
            elif network.prefixlen >= 96 and int(network.network_address) >> 32 == 0xFFFF:
                ipv4.append(IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96)))
            else:
                ipv6.append(network)
        ipv4, ipv6 = list(collapse_addresses(ipv4)), list(collapse_addresses(ipv6))
        self._ipv4 = _by_shift(ipv4)
        self._ipv6 = _by_shift(ipv6)
        # For who compares addresses of a dual-stack socket, where 10.0.0.1 is ::ffff:10.0.0.1.
        mapped = [IPv6Network((_MAPPED | int(network.network_address), network.prefixlen + 96)) for network in ipv4]
        self.texts = tuple(str(network) for network in (*ipv4, *mapped, *ipv6))
        """Its networks, also as IPv4 inside IPv6."""

    def __bool__(self) -> bool:
        return bool(self._ipv4 or self._ipv6)

    def hold(self, version: int, number: int) -> bool:
        """Whether an address is in one of them."""
        for shift, prefixes in self._ipv4 if version == 4 else self._ipv6:  # noqa: SIM110 (PERF: any() costs 0.3 us)
            if number >> shift in prefixes:
                return True
        return False


def _by_shift(networks: Iterable[IPv4Network | IPv6Network]) -> tuple[tuple[int, frozenset[int]], ...]:
    found: dict[int, set[int]] = {}
    for network in networks:
        shift = network.max_prefixlen - network.prefixlen
        found.setdefault(shift, set()).add(int(network.network_address) >> shift)
    return tuple((shift, frozenset(prefixes)) for shift, prefixes in found.items())


def read_hop(text: str) -> Hop:
    """An address as proxies write it: ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1``, ``[2001:db8::1]:80``, with or
    without a zone id. An IPv4 address inside an IPv6 one (``::ffff:192.0.2.1``) is that IPv4 address."""
    try:
        if ":" not in text:
            return 4, _number(inet_pton(AF_INET, text)), text
        if text.count(":") == 1:
            text, _, port = text.partition(":")
            return (4, _number(inet_pton(AF_INET, text)), text) if _is_port(port) else None
        if text[0] == "[":
            text, bracket, port = text[1:].partition("]")
            if not bracket or (port and not (port[0] == ":" and _is_port(port[1:]))):
                return None
        packed = inet_pton(AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):  # ValueError: NUL or a lone surrogate in it
        return None
    number = _number(packed)
    if number >> 32 == 0xFFFF:
        return 4, number & 0xFFFFFFFF, inet_ntop(AF_INET, packed[12:])
    return 6, number, inet_ntop(AF_INET6, packed)


def _is_port(text: str) -> bool:
    """RFC 7239 6.2 and 6.3 allow five digits, or an obfuscated port such as ``_Q``; nobody reads it."""
    return text.isdecimal() or text[:1] == "_"


def compile_clients(clients: model.Clients) -> Who | None:
    """None if nothing is configured: then the connection's address is the client's, and a hit pays nothing."""
    trusted = Networks(clients.trusted_proxies)
    servers = Networks(clients.ssai_networks)
    if not trusted and not servers:
        return None
    name: str = clients.proxy_header
    is_forwarded = name == "forwarded"
    proxies: dict[str, tuple[int, int, str]] = {}  # PERF: connections' addresses of trusted proxies

    def who(peer: str, header: Header) -> tuple[str, Header, bool]:
        hop: Hop = proxies.get(peer)
        proxied = hop is not None
        if hop is None:
            hop = read_hop(peer)
            if hop is None:  # a Unix socket, or a PROXY header that names nobody
                return "", header, False
            proxied = trusted.hold(hop[0], hop[1])
            if proxied and len(proxies) < _MAX_PROXIES:
                proxies[peer] = hop
        version, number, address = hop
        if proxied and (line := header(name)):
            # PERF: inline, for nearly every hit is here: one IPv4 address that a proxy of ours wrote.
            end = len(line)
            for _ in _HOPS:
                if is_forwarded:
                    end, node = _cut_forwarded(line, end)
                else:
                    comma = line.rfind(",", 0, end)
                    node, end = line[comma + 1 : end].strip(" \t"), comma
                if ":" in node:
                    hop = read_hop(node)
                    if hop is None:
                        break
                    version, number, address = hop
                else:
                    try:
                        number = _number(inet_pton(AF_INET, node))
                    except (OSError, ValueError):
                        break
                    version, address = 4, node
                if end < 0 or not trusted.hold(version, number):
                    break
        if servers and servers.hold(version, number):
            return _device(address, header)
        return address, header, False

    return who


def _cut_forwarded(line: str, end: int) -> tuple[int, str]:
    """Of the last element before ``end``: where the comma before it is (-1: there is none), and what its ``for`` says;
    empty if it is malformed or has none.

    SEC: from the right, as quoted strings too are read: a quotation mark that the client left open further left must
    not swallow what our proxy wrote.
    """
    low = max(0, end - MAX_HOP_CHARS)
    at = end
    while (quote := line.rfind('"', low, at)) > (comma := line.rfind(",", low, at)):
        at = line.rfind('"', low, quote)
        while at > low and _is_escaped(line, at):
            at = line.rfind('"', low, at)
        if at < 0:
            return -1, ""
    if comma < 0 < low:
        return -1, ""
    return comma, _node(line[comma + 1 : end].strip(" \t"))


def _is_escaped(line: str, at: int) -> bool:
    """Whether an odd number of backslashes stands before a character."""
    front = line[max(0, at - MAX_HOP_CHARS) : at]
    return bool((len(front) - len(front.rstrip("\\"))) % 2)


def _node(element: str) -> str:
    """The value of the one ``for`` in a forwarded-element; empty if there is none, or anything is malformed."""
    if '"' not in element:  # PERF: a third of the expression's time
        nodes = [pair[4:] for pair in element.split(";") if pair[:4].lower() == "for="]
        return nodes[0] if len(nodes) == 1 else ""
    found = ""
    at = 0
    while at < len(element):
        parameter = _PARAMETER.match(element, at)
        if parameter is None or (found and parameter[1].lower() == "for"):
            return ""
        if parameter[1].lower() == "for":
            found = parameter[2] or parameter[3] or ""
        at = parameter.end()
    return found


def _device(server: str, header: Header) -> tuple[str, Header, bool]:
    """What a listed server says of a device; if it names none, the hit is the server's own."""
    address = header("x-device-ip")
    if not address and not header("x-device-user-agent"):
        return server, header, False

    def spoken(name: str) -> str | None:
        if name == "cookie" or name.startswith("sec-ch-"):
            return None
        return header(_DEVICE.get(name, name))

    device = read_hop(address.strip(" \t")) if address else None
    return device[2] if device is not None else "", spoken, True
