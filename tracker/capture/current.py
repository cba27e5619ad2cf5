"""What is served now: everything of the doors that follows the settings, compiled, and swapped whole.

Rules
1. Who answers a request takes ``now`` once and goes on with it to the end: a request sees one version, never two.
2. Whatever does not compile raises before anything is swapped.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tracker.capture.client import Networks, Who, compile_clients
from tracker.capture.endpoint import Endpoint
from tracker.settings.model import Settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Compiled(NamedTuple):
    """One version of the settings, as the doors use it."""

    version: str
    endpoint: Endpoint
    max_body_bytes: int
    max_bad_requests: int
    status_networks: Sequence[Network]
    """Who may read the ``/-/`` pages beside health and readiness."""
    who: Who | None
    """Who asks, where there are proxies; see ``client``."""
    is_proxy: Callable[[str], bool]
    """Whether an address is one of ``clients.trusted_proxies``."""


class Current:
    """Holds the version that is served."""

    __slots__ = ("_fresh_id", "now")

    def __init__(self, settings: Settings, fresh_id: Callable[[int], str]) -> None:
        """``fresh_id`` is the id source (ms -> id) of all versions. Raises whatever compiling raises."""
        self._fresh_id = fresh_id
        self.now = self._compile(settings)
        """What is served; requests in flight keep what they have."""

    def take(self, settings: Settings) -> None:
        """Compile, then swap. May be called in any thread; if it raises, nothing has changed."""
        self.now = self._compile(settings)

    def _compile(self, settings: Settings) -> Compiled:
        tracker = settings.tracker
        networks = [ipaddress.ip_network(text) for text in tracker.status_networks]
        return Compiled(
            settings.version, Endpoint(settings, self._fresh_id), tracker.limits.max_body_bytes,
            tracker.limits.max_bad_requests, networks,
            compile_clients(tracker.clients), _member(tracker.clients.trusted_proxies),
        )  # fmt: skip


def _member(networks: Sequence[str]) -> Callable[[str], bool]:
    """Whether an address, as text, is in one of the networks."""
    known = Networks(networks)

    def holds(address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return known.hold(ip.version, int(ip))

    return holds
