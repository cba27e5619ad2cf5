"""What the types of the settings cannot say: the form of addresses, networks and event patterns.

Rules
1. A check knows the settings alone: no file, no network, no name is looked up.
2. It yields every fault it finds, with the path of the value that is wrong.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from tracker.settings.model import Collector, Routes, Tracker
from tracker.settings.problems import Fault, Path, quoted

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_EVENTS = re.compile(r"[A-Za-z0-9_.$:*-]{1,128}")


def check(tracker: Tracker, routes: Routes) -> Iterable[Fault]:
    """The settings' own semantic check; those of routing and of the collectors are passed to ``load``."""
    try:
        split_bind(tracker.bind)
    except ValueError as error:
        hint = "such as `127.0.0.1:8000` or `[::1]:8000`; `0.0.0.0:8000` for every interface"
        yield Fault("tracker", ("bind",), str(error), hint)
    if not tracker.data_dir:
        yield Fault("tracker", ("data_dir",), "empty", "`.` is the folder where the tracker is started")
    for index, network in enumerate(tracker.status_networks):
        try:
            ipaddress.ip_network(network)
        except ValueError:
            message = f"{quoted(network)} is no network"
            yield Fault("tracker", ("status_networks", index), message, _network_hint(network))
    if tracker.journal.segment_bytes > tracker.journal.max_bytes:
        yield Fault("tracker", ("journal", "max_bytes"), "less than `segment_bytes`: not one segment would be kept")
    for name, collector in tracker.collectors.items():
        yield from _collector(("collectors", name), collector)
    if not routes.routes:
        yield Fault("routes", ("routes",), "not one route: nothing would be tracked")


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


def _network_hint(network: str) -> str:
    try:
        return f"did you mean `{ipaddress.ip_network(network, strict=False)}`?"
    except ValueError:
        return "such as `10.0.0.0/8` or `fd00::/8`"


def _collector(path: Path, collector: Collector) -> Iterable[Fault]:
    if not collector.events:
        yield Fault("tracker", (*path, "events"), "not one event", '`["*"]` stands for all')
    if not collector.lanes:
        yield Fault("tracker", (*path, "lanes"), "not one lane", "`[good]`, `[bad]` or both")
    for index, pattern in enumerate(collector.events):
        if not _EVENTS.fullmatch(pattern):
            yield Fault(
                "tracker",
                (*path, "events", index),
                f"{quoted(pattern)} can match no event",
                "event names have letters, digits and `_ . $ : -`; `*` stands for any run of characters",
            )
