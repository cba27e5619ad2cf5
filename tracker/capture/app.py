"""The portable door: a Falcon app for any WSGI server.

Rules
1. One sink takes every tracking path: what a path means is the routing table's business, not Falcon's.
2. Decode the request into a hit, ask the endpoint, append, answer. Yes is said after the append, never before.
3. With ``ack: power`` the yes waits until the events are durable. If that fails the outcome is unknown, and the
   connection is closed without a reply (``ConnectionResetError``, which WSGI servers answer by closing).
4. ``/-/`` pages are for operators; beside health and readiness they answer only to ``status_networks``.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import falcon
import msgspec

from tracker import reasons
from tracker.capture import metrics
from tracker.capture.endpoint import Endpoint
from tracker.capture.hit import Hit
from tracker.capture.identity import FreshIds
from tracker.capture.rings import Rings
from tracker.counters import REASON_INDEX, REPLIES_2XX
from tracker.settings import load
from tracker.settings.model import Settings

POWER_TIMEOUT_S = 10.0
"""Longest wait for ``durable``; after it nobody knows."""


class _HeaderKeys(dict[str, str]):
    """``user-agent`` -> ``HTTP_USER_AGENT``, worked out once a name."""

    def __missing__(self, name: str) -> str:
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        if len(self) < 1000:
            self[name] = key
        return key


_KEYS = _HeaderKeys()


class WsgiHeaders:
    """Request headers of a WSGI environ by lower-case name."""

    __slots__ = ("_environ",)

    def __init__(self, environ: dict[str, Any]) -> None:
        """Look into this environ."""
        self._environ = environ

    def get(self, name: str, /) -> str | None:
        """The value as WSGI has it, or None."""
        return self._environ.get(_KEYS[name])


class _ThreadIds(threading.local):
    """Fresh ids, each thread with a source of its own."""

    def __init__(self) -> None:
        self._fresh = FreshIds()

    def __call__(self, received_ms: int) -> str:
        return self._fresh(received_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Hits:
    """The tracking paths."""

    def __init__(
        self, settings: Settings, rings: Rings, fresh_id: Callable[[int], str], now_ms: Callable[[], int]
    ) -> None:
        """``fresh_id`` and ``now_ms`` are the id source and the clock (Unix ms)."""
        self._max_body_bytes = settings.tracker.limits.max_body_bytes
        self._endpoint = Endpoint(settings, fresh_id)
        self._rings = rings
        self._now_ms = now_ms

    def __call__(self, req: falcon.Request, resp: falcon.Response, **_: str) -> None:
        """Answer one hit."""
        body, refusal = self._body(req)
        hit = Hit(
            req.method, req.path, req.query_string, WsgiHeaders(req.env), body, req.env.get("REMOTE_ADDR") or "",
            self._now_ms(),
        )
        writer = self._rings.writer()
        answer = self._endpoint.refuse_body(hit, refusal) if refusal else self._endpoint.answer(hit)
        reply = answer.reply
        refusal = answer.reason
        if answer.events:
            refusal = writer.append(answer.events) if writer is not None else reasons.NO_SLOT
            if refusal:
                reply = self._endpoint.refuse(answer, refusal)
            elif answer.ack == "power" and writer is not None and not writer.wait_durable(POWER_TIMEOUT_S):
                writer.counts[REASON_INDEX[reasons.NOT_DURABLE]] += 1
                raise ConnectionResetError(errno.ECONNRESET, "the sync failed; whether the event is kept is unknown")
        if writer is not None:
            writer.counts[REPLIES_2XX + reply.fixed.status // 100 - 2] += 1
            if refusal:
                writer.counts[REASON_INDEX[refusal]] += 1
        resp.status = f"{reply.fixed.status} {reply.fixed.reason}"
        resp.set_headers(reply.fixed.headers)
        resp.set_headers(reply.extra)
        if req.method != "HEAD":
            resp.data = reply.fixed.body

    def _body(self, req: falcon.Request) -> tuple[bytes, str]:
        """The body and "", or nothing and the reason for its refusal. Never reads more than one byte too many."""
        length = req.env.get("CONTENT_LENGTH")
        if not length and "HTTP_TRANSFER_ENCODING" not in req.env:
            return b"", ""
        if length:
            if not (length.isascii() and length.isdecimal()):
                return b"", reasons.INVALID_BODY
            if int(length) > self._max_body_bytes:
                return b"", reasons.BODY_TOO_LARGE
        wanted = int(length) if length else self._max_body_bytes + 1
        stream = req.env["wsgi.input"]
        parts = []
        while wanted and (part := stream.read(wanted)):
            parts.append(part)
            wanted -= len(part)
        body = b"".join(parts)
        if len(body) > self._max_body_bytes:
            return b"", reasons.BODY_TOO_LARGE
        if length and wanted:
            return b"", reasons.BODY_TIMEOUT
        return body, ""


class Health:
    """``/-/healthz``: the process answers."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """200 as long as anything works at all."""
        resp.data = b'{"status":"ok"}\n'
        resp.content_type = falcon.MEDIA_JSON
        resp.cache_control = ["no-store"]


class Ready:
    """``/-/readyz``: hits are taken: ring and journal writable, flusher alive, and the settings' version."""

    def __init__(self, settings: Settings, rings: Rings) -> None:
        """What it looks at."""
        self._version = settings.version
        self._rings = rings

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """200 or 503, with each check by name."""
        writer = self._rings.writer()
        flusher = self._rings.flusher
        refusing = sorted({slot.refusing for slot in flusher.slots} - {""})
        checks = {
            "ring": "ok" if writer is not None else self._rings.problem or reasons.NO_SLOT,
            "journal": ", ".join(refusing) or "ok",
            "flusher": "ok" if flusher.alive() else "not running",
        }
        if writer is not None and not flusher.alive():
            flusher.start()
        ready = all(state == "ok" for state in checks.values())
        resp.status = falcon.HTTP_200 if ready else falcon.HTTP_503
        resp.data = msgspec.json.encode(
            {"ready": ready, "checks": checks, "settings_version": self._version, "pid": os.getpid()}
        ) + b"\n"
        resp.content_type = falcon.MEDIA_JSON
        resp.cache_control = ["no-store"]


class Metrics:
    """``/-/metrics``: all workers summed, in Prometheus' text format."""

    def __init__(self, settings: Settings) -> None:
        """Reads under the data folder."""
        self._data_dir = Path(settings.tracker.data_dir)
        self._networks = [ipaddress.ip_network(text) for text in settings.tracker.status_networks]

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """404 to anybody outside the listed networks: they need not know that it is there."""
        if not self._listed(req.env.get("REMOTE_ADDR") or ""):
            raise falcon.HTTPNotFound
        resp.data = metrics.page(self._data_dir)
        resp.content_type = metrics.CONTENT_TYPE
        resp.cache_control = ["no-store"]

    def _listed(self, address: str) -> bool:
        if not address:  # a Unix socket
            return True
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._networks)


def _unanswered(_req: falcon.Request, _resp: Any, error: Exception, _params: dict[str, Any]) -> None:
    raise error


def build(
    settings: Settings, rings: Rings, fresh_id: Callable[[int], str] | None = None, now_ms: Callable[[], int] = _now_ms
) -> falcon.App[Any, Any]:
    """The app. Claims nothing and starts nothing: that comes with the first hit, or with ``rings.prepare``.

    Tests bring an id source (ms -> id) and a clock (Unix ms) of their own.
    """
    app = falcon.App()
    app.resp_options.default_media_type = falcon.MEDIA_TEXT  # of an empty redirect: WSGI wants some type
    app.add_error_handler(ConnectionResetError, _unanswered)
    app.add_route("/-/healthz", Health())
    app.add_route("/-/readyz", Ready(settings, rings))
    app.add_route("/-/metrics", Metrics(settings))
    app.add_sink(Hits(settings, rings, fresh_id or _ThreadIds(), now_ms), "/")
    return app


def create(checks: Iterable[load.Check] = ()) -> falcon.App[Any, Any]:
    """The app for a server of your own: settings from the files and variables that ``tracker serve`` reads.

    Raises ``SettingsError``.
    """
    from tracker.capture import routing

    settings = load.load(None, None, os.environ, {}, [routing.check, *checks])
    return build(settings, Rings(settings.tracker))
