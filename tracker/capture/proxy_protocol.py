"""The PROXY protocol: a TCP balancer in front says in a connection's first bytes whose connection it is.

Rules
1. Only networks of ``clients.trusted_proxies`` may send the header; from anybody else it is a 403, and no event. A
   listed host may leave it out (health checks): then the connection is its own.
2. What a header says holds for the whole connection, for each of its requests.
3. ``LOCAL`` is the balancer's own connection (a health check), and so the address is the balancer's. A header that
   names nobody (v1's ``UNKNOWN``, an unspecified family) makes the address ``NOBODY``: that is in no network, so what
   the connection's requests say of addresses is not believed either.
4. What is no PROXY header though it begins as one is a 400.
5. Nothing but ``clients`` makes a proxy trusted: gunicorn's own trust in loopback is off, and a header with an
   underscore (``X_Forwarded_For``) is dropped, for in WSGI it would pass for the one with a hyphen.

Source: haproxy.org/download/3.0/doc/proxy-protocol.txt. gunicorn 27 reads both versions, but its threaded worker
forgets the header after a connection's first request (github.com/benoitc/gunicorn/issues/899 is mended for other
workers only), fails with 500 on a malformed version 2, and refuses headers that name nobody, which the protocol wants
accepted.
"""

from __future__ import annotations

from typing import Any

from gunicorn.http.errors import InvalidProxyHeader, InvalidProxyLine
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import TConn, ThreadWorker

from tracker.capture.client import Networks
from tracker.settings.model import Clients

NOBODY = "unknown"
"""``REMOTE_ADDR`` of a connection whose client the balancer does not name."""

_MAX_LINE = 107
"""Bytes of the longest version 1 header, CRLF included."""
_FIXED = 16
"""Bytes that each version 2 header has."""
_FAMILY = 13
"""Where among them the address family and the protocol are."""


def gunicorn_settings(clients: Clients) -> dict[str, Any]:
    """gunicorn's settings about who stands in front of it."""
    return {
        "proxy_protocol": "auto" if clients.proxy_protocol else "off",
        "proxy_allow_ips": ",".join(Networks(clients.trusted_proxies).texts),
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "header_map": "drop",
    }


class _Request(Request):
    """A request, perhaps the first of its connection, that may begin with a PROXY header."""

    def _handle_proxy_protocol(self, unreader: Any, buf: bytearray, mode: str) -> bytearray:
        try:
            rest: bytearray = super()._handle_proxy_protocol(unreader, buf, mode)  # type: ignore[misc]
        except (InvalidProxyHeader, ValueError) as error:
            raise InvalidProxyLine(str(error)) from None
        return rest

    def _parse_proxy_protocol_v1(self, unreader: Any, buf: bytearray) -> bytearray:
        while (end := buf.find(b"\r\n", 0, _MAX_LINE)) < 0:
            if len(buf) >= _MAX_LINE:
                raise InvalidProxyLine("too long")
            self.read_into(unreader, buf)
        if buf.startswith(b"PROXY UNKNOWN"):
            self.proxy_protocol_info = _nobody()
            return buf[end + 2 :]
        rest: bytearray = super()._parse_proxy_protocol_v1(unreader, buf)  # type: ignore[misc]
        return rest

    def _parse_proxy_protocol_v2(self, unreader: Any, buf: bytearray) -> bytearray:
        while len(buf) < _FIXED:
            self.read_into(unreader, buf)
        if buf[_FAMILY] == 0:  # wholly unspecified, as HAProxy writes it; gunicorn wants "over TCP" to be specified
            buf[_FAMILY] = 1
        rest: bytearray = super()._parse_proxy_protocol_v2(unreader, buf)  # type: ignore[misc]
        return rest


def _nobody() -> Any:
    names = ("proxy_protocol", "client_addr", "client_port", "proxy_addr", "proxy_port")
    return dict.fromkeys(names, NOBODY)


class _Parser(RequestParser):
    """The requests of one connection."""

    mesg_class = _Request
    _info: Any = None

    def __next__(self) -> Any:
        request: Any = super().__next__()
        if self.req_count == 1:
            info = request.proxy_protocol_info
            if info is not None and info["client_addr"] is None:
                info = None if info["proxy_protocol"] == "LOCAL" else _nobody()
            self._info = info
        request.proxy_protocol_info = self._info
        return request


class ProxiedWorker(ThreadWorker):
    """gunicorn's gthread worker, for connections that begin with a PROXY header if ``proxy_protocol`` is on."""

    def handle(self, conn: TConn) -> Any:
        """As ever; a connection that has a parser is given no other."""
        if conn.parser is None and self.cfg.proxy_protocol != "off":
            conn.parser = _Parser(self.cfg, conn.sock, conn.client)
        return super().handle(conn)
