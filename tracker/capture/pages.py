"""The pages for operators, under ``/-/``: health, readiness, metrics.

Rules
1. Health and readiness answer to everybody who reaches the port; they say nothing about hits. The others answer only to
   ``status_networks``.
2. Nothing here is on the way of a hit.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import falcon
import msgspec

from tracker import reasons
from tracker.capture import metrics
from tracker.capture.current import Current
from tracker.capture.rings import Rings


class Health:
    """``/-/healthz``: the process answers."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """200 as long as anything works at all."""
        resp.data = b'{"status":"ok"}\n'
        resp.content_type = falcon.MEDIA_JSON
        resp.cache_control = ["no-store"]


class Ready:
    """``/-/readyz``: hits are taken: ring and journal writable, flusher alive, and the settings' version."""

    def __init__(self, current: Current, rings: Rings) -> None:
        """What it looks at."""
        self._current = current
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
            {"ready": ready, "checks": checks, "settings_version": self._current.now.version, "pid": os.getpid()}
        ) + b"\n"
        resp.content_type = falcon.MEDIA_JSON
        resp.cache_control = ["no-store"]


class Metrics:
    """``/-/metrics``: all workers summed, in Prometheus' text format."""

    def __init__(self, current: Current, data_dir: Path) -> None:
        """Reads under the data folder."""
        self._current = current
        self._data_dir = data_dir

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """404 to anybody outside the listed networks: they need not know that it is there."""
        if not self._listed(self._client(req)):
            raise falcon.HTTPNotFound
        resp.data = metrics.page(self._data_dir)
        resp.content_type = metrics.CONTENT_TYPE
        resp.cache_control = ["no-store"]

    def _client(self, req: falcon.Request) -> str:
        """Who asks; behind a proxy that nobody has listed, "unknown": its own address is no leave for everybody."""
        address = req.env.get("REMOTE_ADDR") or ""
        who = self._current.now.who
        if who is not None and address:
            return who(address, req.get_header)[0] or "unknown"
        return "unknown" if req.get_header("x-forwarded-for") or req.get_header("forwarded") else address

    def _listed(self, address: str) -> bool:
        if not address:  # a Unix socket
            return True
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._current.now.status_networks)
