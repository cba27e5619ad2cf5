"""The portable door: a Falcon app for any WSGI server.

Rules
1. One sink takes every tracking path: what a path means is the routing table's business, not Falcon's.
2. Decode the request into a hit, ask the endpoint, append, answer. Yes is said after the append, never before.
3. With ``ack: power`` the yes waits until the events are durable. If that fails the outcome is unknown, and the
   connection is closed without a reply (``ConnectionResetError``, which WSGI servers answer by closing).
4. A hit is answered by one version of the settings from its first byte to its last: see ``current``.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import falcon

from tracker import reasons
from tracker.capture import pages
from tracker.capture.current import Current
from tracker.capture.hit import Hit
from tracker.capture.identity import FreshIds
from tracker.capture.rings import Rings
from tracker.capture.writer import POWER_S
from tracker.counters import REASON_INDEX, REPLIES_2XX
from tracker.settings import load
from tracker.settings.model import Settings


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


class ThreadIds(threading.local):
    """Fresh ids, each thread with a source of its own."""

    def __init__(self) -> None:
        self._fresh = FreshIds()

    def __call__(self, received_ms: int) -> str:
        return self._fresh(received_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Hits:
    """The tracking paths."""

    def __init__(self, current: Current, rings: Rings, now_ms: Callable[[], int]) -> None:
        """``now_ms`` is the clock (Unix ms)."""
        self._current = current
        self._rings = rings
        self._now_ms = now_ms

    def __call__(self, req: falcon.Request, resp: falcon.Response, **_: str) -> None:
        """Answer one hit."""
        now = self._current.now
        endpoint = now.endpoint
        body, refusal = _body(req, now.max_body_bytes)
        hit = Hit(
            req.method, req.path, req.query_string, WsgiHeaders(req.env), body, req.env.get("REMOTE_ADDR") or "",
            self._now_ms(),
        )
        writer = self._rings.writer()
        answer = endpoint.refuse_body(hit, refusal) if refusal else endpoint.answer(hit)
        reply = answer.reply
        refusal = answer.reason
        if answer.events:
            refusal = writer.append(answer.events, answer.reserve) if writer is not None else reasons.NO_SLOT
            if refusal:
                reply = endpoint.refuse(answer, refusal)
            elif answer.ack == "power" and writer is not None and not writer.wait_durable(POWER_S):
                writer.counts[REASON_INDEX[reasons.NOT_DURABLE]] += 1
                raise ConnectionResetError(errno.ECONNRESET, "the sync failed; whether the event is kept is unknown")
        if writer is not None:
            writer.counts[REPLIES_2XX + reply.fixed.status // 100 - 2] += 1
            if refusal:
                writer.counts[REASON_INDEX[refusal]] += 1
        resp.status = f"{reply.fixed.status} {reply.fixed.reason}"
        resp.set_headers(reply.fixed.headers)
        for name, value in reply.extra:
            (resp.append_header if name == "Set-Cookie" else resp.set_header)(name, value)  # as Falcon wants it
        if req.method != "HEAD":
            resp.data = reply.body


def _body(req: falcon.Request, max_bytes: int) -> tuple[bytes, str]:
    """The body and "", or nothing and the reason for its refusal. Never reads more than one byte too many."""
    length = req.env.get("CONTENT_LENGTH")
    if not length and "HTTP_TRANSFER_ENCODING" not in req.env:
        return b"", ""
    if length:
        if not (length.isascii() and length.isdecimal()):
            return b"", reasons.INVALID_BODY
        if int(length) > max_bytes:
            return b"", reasons.BODY_TOO_LARGE
    wanted = int(length) if length else max_bytes + 1
    stream = req.env["wsgi.input"]
    parts = []
    try:
        while wanted and (part := stream.read(wanted)):
            parts.append(part)
            wanted -= len(part)
    except Exception as error:  # each server has its own for malformed chunks, and for a client that has gone
        raise ConnectionResetError(errno.ECONNRESET, "the body cannot be read") from error
    body = b"".join(parts)
    if len(body) > max_bytes:
        return b"", reasons.BODY_TOO_LARGE
    if length and wanted:
        return b"", reasons.BODY_TIMEOUT
    return body, ""


def _unanswered(_req: falcon.Request, _resp: Any, error: Exception, _params: dict[str, Any]) -> None:
    raise error


def build(
    settings: Settings, rings: Rings, fresh_id: Callable[[int], str] | None = None, now_ms: Callable[[], int] = _now_ms
) -> falcon.App[Any, Any]:
    """The app. Claims nothing and starts nothing: that comes with the first hit, or with ``rings.prepare``.

    Tests bring an id source (ms -> id) and a clock (Unix ms) of their own.
    """
    return assemble(Current(settings, fresh_id or ThreadIds()), rings, now_ms)


def assemble(current: Current, rings: Rings, now_ms: Callable[[], int] = _now_ms) -> falcon.App[Any, Any]:
    """The same for who swaps the settings under it."""
    app = falcon.App()
    app.resp_options.default_media_type = falcon.MEDIA_TEXT  # of an empty redirect: WSGI wants some type
    app.add_error_handler(ConnectionResetError, _unanswered)
    app.add_route("/-/healthz", pages.Health())
    app.add_route("/-/readyz", pages.Ready(current, rings))
    app.add_route("/-/metrics", pages.Metrics(current, rings.data_dir))
    app.add_sink(Hits(current, rings, now_ms), "/")
    return app


def create(checks: Iterable[load.Check] = ()) -> falcon.App[Any, Any]:
    """The app for a server of your own: settings from the files and variables that ``tracker serve`` reads.

    Raises ``SettingsError``.
    """
    from tracker.capture import routing

    settings = load.load(None, None, os.environ, {}, [routing.check, *checks])
    return build(settings, Rings(settings.tracker))
