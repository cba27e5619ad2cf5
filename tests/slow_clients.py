"""Slow connections of five kinds, from many addresses of the loopback, until standard input ends; then what became of them.

    python tests/slow_clients.py HOST:PORT COUNT

A process of its own, so that its work does not hold up the good clients of a test. It prints one line of JSON: ``most``
(connections at once), ``ended`` (by the other side, by kind) and ``refused`` (could not be made).
"""

from __future__ import annotations

import contextlib
import json
import resource
import select
import socket
import sys
import threading
from collections import Counter

KINDS = ("no byte", "head drips", "body drips", "slow reader", "lazy closer")
REQUEST = b"GET /imp/slow/x.gif HTTP/1.1\r\nHost: t\r\nX-Pad: %s\r\n" % (b"p" * 400)
POST = b"POST /hit/slow HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"


class Slow(threading.Thread):
    """Holds so many slow connections of each kind, and makes a new one for each that the door ends."""

    def __init__(self, address: str, count: int) -> None:
        super().__init__(daemon=True)
        host, _, port = address.partition(":")
        self._address = (host, int(port))
        self._count = count
        self._stopping = threading.Event()
        self._made = 0
        self.ended: Counter[str] = Counter()
        """Connections that the door ended, by kind."""
        self.refused = 0
        """Connections that could not be made."""
        self.most = 0
        """Connections that were there at once."""

    def stop(self) -> None:
        """Close all."""
        self._stopping.set()
        self.join(20)
        assert not self.is_alive()

    def run(self) -> None:
        """One loop: a tenth of the connections is moved by one byte in each turn of 50 ms."""
        poll = select.epoll()
        held: dict[int, tuple[socket.socket, str, list[int]]] = {}
        turn = 0
        while not self._stopping.is_set():
            turn += 1
            for _ in range(min(200, self._count - len(held))):
                kind = KINDS[self._made % len(KINDS)]
                connection = self._connect(kind)
                if connection is None:
                    self.refused += 1
                    break
                held[connection.fileno()] = (connection, kind, [0])
                poll.register(connection, select.EPOLLIN)
            self.most = max(self.most, len(held))
            for fd, _ in poll.poll(0):
                connection, kind, _at = held[fd]
                end = True
                with contextlib.suppress(OSError):
                    if kind == "slow reader":
                        end = turn % 20 == fd % 20 and connection.recv(16) == b""
                        if not end:
                            continue
                    else:
                        end = connection.recv(4096) == b""
                if kind == "lazy closer" and end:
                    with contextlib.suppress(OSError):
                        poll.modify(fd, 0)  # it has the reply and the end, and does not close
                    continue
                if end:
                    self.ended[kind] += 1
                    poll.unregister(fd)
                    connection.close()
                    del held[fd]
            for fd, (connection, kind, at) in list(held.items()):
                if fd % 10 != turn % 10:
                    continue
                with contextlib.suppress(OSError):
                    if kind == "head drips":
                        connection.send(REQUEST[at[0] : at[0] + 1])  # it never comes to its end
                    elif kind == "body drips":
                        connection.send(b"x")
                    elif kind == "lazy closer" and at[0] > 30:
                        at[0] = 0
                        poll.unregister(fd)
                        connection.close()
                        del held[fd]
                at[0] += 1
            self._stopping.wait(0.05)
        for connection, _, _ in held.values():
            connection.close()

    def _connect(self, kind: str) -> socket.socket | None:
        self._made += 1
        connection = socket.socket()
        try:
            if kind == "slow reader":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            connection.bind((f"127.0.{self._made % 250 + 1}.{self._made // 250 % 250 + 1}", 0))  # of many addresses
            connection.settimeout(3)
            connection.connect(self._address)
            connection.setblocking(False)
            if kind == "body drips":
                connection.send(POST)
            elif kind == "slow reader":
                with contextlib.suppress(BlockingIOError):
                    connection.send((REQUEST + b"\r\n") * 40)
            elif kind == "lazy closer":
                connection.send(REQUEST + b"Connection: close\r\n\r\n")
        except OSError:
            connection.close()
            return None
        return connection


def main(address: str, count: int) -> None:
    """Hold them until nobody wants them any more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    slow = Slow(address, count)
    slow.start()
    sys.stdin.read()
    slow.stop()
    print(json.dumps({"most": slow.most, "ended": slow.ended, "refused": slow.refused}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
