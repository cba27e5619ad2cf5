"""A run: where it goes, who may be asked, sending, and looking into the journal afterwards.

Rules
1. Nobody is sent a hit who is not a tracker: ``/-/readyz`` is asked first.
2. A name is resolved once, here; the address that was found to be of this machine is the one that gets the hits.
3. Ctrl-C ends the sending; what was sent is summed up and checked all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ipaddress
import json
import signal
import socket
import ssl
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from tracker.demo.connection import Target
from tracker.demo.ledger import Ledger
from tracker.demo.market import Market
from tracker.demo.sender import Sender, Watch, daily, even
from tracker.demo.summary import Summary, summarise
from tracker.demo.traffic import Traffic
from tracker.demo.witness import Progress, Witness

STRANGERS_RATE: Final = 200.0
"""Most hits a second to an address that is not of this machine."""
STRANGERS_HITS: Final = 100_000
"""Most hits in a run to such an address."""
ASK_TIMEOUT_S: Final = 5.0


class BadTarget(Exception):
    """There is no sending to this URL; ``str()`` says why, and what to do."""


def target(url: str) -> Target:
    """Where a URL leads: ``http://127.0.0.1:8000``, or ``https`` with a certificate that is trusted here.

    Raises ``BadTarget``. Of several addresses the first is taken; of those of this machine (``localhost`` has two) the
    first that takes connections.
    """
    try:
        parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise BadTarget(f"`{url}`: {error}") from error
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query or parts.username:
        raise BadTarget(f"`{url}` is no address of a tracker: write http://HOST:PORT")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise BadTarget(f"{host}: {getattr(error, 'strerror', None) or error}") from error
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    targets = [Target(str(each[4][0]), port, host, tls) for each in found]
    if len(targets) > 1 and all(map(is_local, targets)):
        for each in targets:
            with contextlib.suppress(OSError), socket.create_connection((each.address, port), ASK_TIMEOUT_S):
                return each
    return targets[0]


def is_local(where: Target) -> bool:
    """Whether an address is a loopback one."""
    return ipaddress.ip_address(where.address.partition("%")[0]).is_loopback


def ask(where: Target) -> dict[str, Any]:
    """What the tracker says about itself in ``/-/readyz``. Raises ``BadTarget`` if nobody answers, or no tracker."""
    shown = where.shown
    connection = http.client.HTTPConnection(where.address, where.port, timeout=ASK_TIMEOUT_S)
    try:
        connection.sock = socket.create_connection((where.address, where.port), ASK_TIMEOUT_S)
        if where.tls is not None:
            connection.sock = where.tls.wrap_socket(connection.sock, server_hostname=where.host)
        connection.request("GET", "/-/readyz", headers={"Host": shown})
        reply = connection.getresponse()
        status, body = reply.status, reply.read(65_536)
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BadTarget(f"{shown}: {why}\nStart one with `tracker serve`, or name another: tracker demo URL") from error
    finally:
        connection.close()
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if status not in (200, 503) or not isinstance(found, dict) or "ready" not in found:
        raise BadTarget(f"{shown}: something else than a tracker answers there (/-/readyz: status {status})")
    if not found["ready"]:
        raise BadTarget(f"{shown}: the tracker there takes no hits now: {found.get('checks')}")
    return found


class Sent(NamedTuple):
    """What a run leaves behind."""

    ledger: Ledger
    sender: Sender
    market: Market


def send(
    summary: Summary, where: Target, *, count: int, seconds: float, day: bool = False, watch: Watch | None = None
) -> Sent:
    """Send at most ``count`` hits within ``seconds`` (may be infinite).

    ``summary`` says run, seed, campaigns and rate. ``day``: the rate rises and falls once in ``seconds``.
    """
    traffic = Traffic(summary.seed, summary.run, summary.campaigns)
    ledger = Ledger()
    schedule = daily(summary.rate, seconds) if day else even(summary.rate)

    async def until_done() -> Sender:
        sender = Sender(where, ledger, watch)
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            summary.interrupted = True
            sender.stop()
            loop.remove_signal_handler(signal.SIGINT)  # a second one ends everything

        with contextlib.suppress(ValueError, RuntimeError):  # not the main thread: nobody presses Ctrl-C there
            loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            await sender.run(iter(traffic), schedule, hits_at_most=count, seconds=seconds)
        finally:
            with contextlib.suppress(ValueError, RuntimeError):
                loop.remove_signal_handler(signal.SIGINT)
        return sender

    return Sent(ledger, asyncio.run(until_done()), traffic.market)


def conclude(summary: Summary, sent: Sent, witness: Witness | None, progress: Progress | None = None) -> None:
    """Sum up, and have the journal looked into if there is a witness; fills in ``summary``."""
    testimony = None
    if witness is not None:
        try:
            testimony = witness.testify(summary.run, sent.ledger, progress)
        except KeyboardInterrupt:
            summary.interrupted, summary.unchecked = True, "interrupted while the journal was read"
        except OSError as error:
            summary.unchecked = f"{error.filename or 'the journal'}: {error.strerror or error}"
    summarise(summary, sent.ledger, sent.sender, sent.market, testimony)
    if witness is not None and testimony is None:
        summary.problems.append(f"not checked: {summary.unchecked}")
