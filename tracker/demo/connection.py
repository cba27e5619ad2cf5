"""A connection: one HTTP/1.1 request after the other to one address, and nothing else.

Rules
1. An answer is read to its end (RFC 9112, 6.3), so that the connection serves the next hit. What cannot be read so is a
   ``Broken`` connection, and the hit's outcome is unknown: it is never sent a second time by itself.
2. No redirect is followed, no cookie kept, no name resolved: the address is given.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, NamedTuple

from tracker.demo.ledger import Reply
from tracker.demo.planned import Planned

MOST_HEAD_BYTES: Final = 32_768
MOST_BODY_BYTES: Final = 1_048_576
"""Nothing that a tracker answers to a hit comes near these."""


class Target(NamedTuple):
    """Where hits go. Names are resolved before: the address that was checked is the one that is used."""

    address: str
    port: int
    host: str
    """As in the URL."""
    tls: ssl.SSLContext | None = None

    @property
    def shown(self) -> str:
        """``host:port``, as the ``Host`` header has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Broken(Exception):
    """No whole answer came; ``str()`` says why."""


class Connection:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: bytes) -> None:
        """Made by ``connect``; ``host`` is the ``Host`` header's value."""
        self._reader, self._writer, self._host = reader, writer, host
        self.usable = True
        """Whether another request may follow."""
        self.idle_since = 0.0
        """For whoever keeps it."""

    async def ask(self, hit: Planned, timeout_s: float) -> Reply:
        """Send a hit and read its answer. Raises ``Broken``."""
        self.usable = False
        try:
            async with asyncio.timeout(timeout_s):
                self._writer.write(self._request(hit))
                return await self._reply(hit.method)
        except TimeoutError:
            raise Broken(f"no answer within {timeout_s:g} s") from None
        except asyncio.IncompleteReadError as error:
            raise Broken("closed within an answer" if error.partial else "closed without an answer") from None
        except asyncio.LimitOverrunError:
            raise Broken("the answer's headers never end") from None
        except (OSError, ValueError) as error:
            raise Broken(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Let go of it."""
        self.usable = False
        self._writer.close()

    def _request(self, hit: Planned) -> bytes:
        lines = [f"{hit.method} {hit.target} HTTP/1.1".encode("ascii"), b"Host: " + self._host]
        lines += [f"{name}: {value}".encode("latin-1") for name, value in hit.headers]
        if hit.body or hit.method == "POST":
            lines.append(b"Content-Length: %d" % len(hit.body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + hit.body

    async def _reply(self, method: str) -> Reply:
        status, version = 100, ""
        headers: dict[str, str] = {}
        while status == 100:  # RFC 9110, 15.2: a client must be able to read it, asked for or not
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            version, digits = head[0].split(" ", 2)[:2]
            status = int(digits)
            headers.clear()
            for line in head[1:-2]:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
        words = headers.get("connection", "").lower()
        stays = "close" not in words if version == "HTTP/1.1" else "keep-alive" in words
        length = headers.get("content-length")
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            body = await self._chunks()
        elif length is not None:
            if int(length) > MOST_BODY_BYTES:
                raise ValueError(f"an answer of {length} bytes")
            body = await self._reader.readexactly(int(length))
        else:
            body = await self._reader.read(MOST_BODY_BYTES)
            stays = False
        self.usable = stays
        return Reply(status, headers, body)

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        left = MOST_BODY_BYTES
        while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            left -= size
            if left < 0 or size < 0:
                raise ValueError("an answer that never ends")
            parts.append((await self._reader.readexactly(size + 2))[:-2])
        while await self._reader.readuntil(b"\r\n") != b"\r\n":  # trailers
            pass
        return b"".join(parts)


async def connect(target: Target, timeout_s: float) -> Connection:
    """A new connection. Raises ``Broken``."""
    name = target.host if target.tls is not None else None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(
                target.address, target.port, ssl=target.tls, server_hostname=name, limit=MOST_HEAD_BYTES
            )
    except TimeoutError:
        raise Broken(f"no connection within {timeout_s:g} s") from None
    except OSError as error:
        raise Broken(error.strerror or str(error)) from error
    return Connection(reader, writer, target.shown.encode("ascii"))
