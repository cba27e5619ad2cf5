"""What the types of the settings cannot say: the form of addresses, networks, keys and event patterns; and what is
well-formed and dangerous.

Rules
1. A check knows the settings alone: no file, no network, no name is looked up.
2. It yields every fault it finds, with the path of the value that is wrong. What is only doubtful is in ``doubts``.
3. No message holds a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tracker.settings.addresses import Network, everybody, is_public, network, network_hint, split_bind
from tracker.settings.filled import fill
from tracker.settings.model import Clients, Collector, Routes, Tracker
from tracker.settings.problems import Fault, Path, listed, quoted

_EVENTS = re.compile(r"[A-Za-z0-9_.$:*-]{1,128}")
_PLACEHOLDER = re.compile(
    r"(change|replace)me|(my|your|the|a|some|this)*(secret|password|key|token)+(here|goeshere|secret)*[0-9]*$|secret(secret|key)|"
    r"placeholder|example|sample|dummy|default|insert|(x|test)+$|0123456789|1234567890|abcdefghij|qwertyuiop"
)


def check(tracker: Tracker, routes: Routes) -> Iterable[Fault]:
    """The settings' own semantic check; those of routing and of the collectors are passed to ``load``."""
    try:
        split_bind(tracker.bind)
    except ValueError as error:
        hint = "such as `127.0.0.1:8000` or `[::1]:8000`; `0.0.0.0:8000` for every interface"
        yield Fault("tracker", ("bind",), str(error), hint)
    if not tracker.data_dir:
        yield Fault("tracker", ("data_dir",), "empty", "`.` is the folder where the tracker is started")
    yield from _networks(("status_networks",), tracker.status_networks, [])
    yield from _clients(tracker.clients)
    for name, ring in tracker.signing_keys.items():
        yield from _key_ring(("signing_keys", name), ring)
    if tracker.journal.segment_bytes > tracker.journal.max_bytes:
        yield Fault("tracker", ("journal", "max_bytes"), "less than `segment_bytes`: not one segment would be kept")
    for name, collector in tracker.collectors.items():
        yield from _collector(("collectors", name), collector)
    if not routes.routes:
        yield Fault("routes", ("routes",), "not one route: nothing would be tracked")
    yield from _public(tracker, routes)


def _public(tracker: Tracker, routes: Routes) -> Iterable[Fault]:
    """SEC: there are no API keys yet, so ``access: key`` lets everybody in. On loopback that is for trying out."""
    if tracker.public_without_keys or not is_public(tracker.bind):
        return
    names = [name for name, route in routes.routes.items() if fill(route, routes.defaults).access == "key"]
    if names:
        others = [f"{len(names) - 5} more"] if len(names) > 5 else []
        shown = listed([*map(quoted, names[:5]), *others], "and")
        message = f"a public address, and no key guards {shown}: there are no API keys yet, anybody could send events"
        hint = (
            "say so: `access: open` on a route that is for everybody; or `public_without_keys: true` (environment: "
            "TRACKER_PUBLIC_WITHOUT_KEYS=true), which flags the events `unauthenticated`"
        )
        yield Fault("tracker", ("bind",), message, hint)


def _networks(path: Path, texts: Iterable[str], valid: list[Network]) -> Iterable[Fault]:
    """``valid`` gets those that are networks."""
    for index, text in enumerate(texts):
        try:
            valid.append(network(text))
        except ValueError:
            yield Fault("tracker", (*path, index), f"{quoted(text)} is no network", network_hint(text))


def _clients(clients: Clients) -> Iterable[Fault]:
    for name, texts in (("trusted_proxies", clients.trusted_proxies), ("ssai_networks", clients.ssai_networks)):
        valid: list[Network] = []
        yield from _networks(("clients", name), texts, valid)
        if everybody(valid):
            # SEC: whoever may name the client's address may invent it: fraud filters and country rules are gone.
            message = "the whole internet: who trusts everybody about addresses lets everybody invent them"
            whole = [at for at, text in enumerate(texts) if text.endswith("/0")]
            path: Path = ("clients", name, *whole[:1])
            yield Fault("tracker", path, message, "list your own proxies' networks, such as `10.0.0.0/8`")
    if clients.proxy_protocol and not clients.trusted_proxies:
        message = "nobody may send a PROXY header: `clients.trusted_proxies` is empty"
        yield Fault("tracker", ("clients", "proxy_protocol"), message, "list your balancer's networks there")


def _key_ring(path: Path, ring: Mapping[str, str]) -> Iterable[Fault]:
    if not ring:
        yield Fault("tracker", path, "a key ring without a key", "add one: a key id and a secret, or remove the ring")
    for key, secret in ring.items():
        plain = re.sub(r"[^a-z0-9]", "", secret.lower())
        if _PLACEHOLDER.match(plain[:64]) or len(set(secret)) < 5:
            hint = "make one: `openssl rand -hex 32`; keep it in the environment: `${CLICKS_KEY}`"
            yield Fault("tracker", (*path, key), "a placeholder, which everybody can guess", hint)


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
