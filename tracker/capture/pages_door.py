"""Pages through the fast door: the Falcon app, called as the plain WSGI application that it is."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from tracker.capture.hit import Hit
from tracker.capture.reply import Fixed, Reply

_PER_CONNECTION = frozenset({"connection", "date", "server", "keep-alive", "transfer-encoding"})


class Pages:
    """``/-/`` pages. They are short, and asked for rarely: the loop waits for them."""

    def __init__(self, app: Callable[..., Any]) -> None:
        """A WSGI application that answers GET and HEAD."""
        self._app = app

    def answer(self, hit: Hit) -> Reply:
        """What the application says to this path."""
        said: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            said.append((status, headers))

        parts = self._app(_environ(hit), start_response)
        body = b"".join(parts)
        code, _, phrase = said[-1][0].partition(" ")
        headers = tuple((name, value) for name, value in said[-1][1] if name.lower() not in _PER_CONNECTION)
        if not any(name.lower() == "content-length" for name, _ in headers) and code != "204":
            headers += (("content-length", str(len(body))),)
        head = f"HTTP/1.1 {code} {phrase}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
        return Reply(Fixed(int(code), phrase, headers, body, head.encode("latin-1")))


def _environ(hit: Hit) -> dict[str, Any]:
    """PEP 3333, as far as the pages ask."""
    forwarded = {
        key: value for key, name in (("HTTP_X_FORWARDED_FOR", "x-forwarded-for"), ("HTTP_FORWARDED", "forwarded"))
        if (value := hit.headers.get(name))
    }  # fmt: skip
    return forwarded | {
        "REQUEST_METHOD": hit.method, "PATH_INFO": hit.path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": hit.query, "SCRIPT_NAME": "", "SERVER_NAME": "tracker", "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": hit.address, "HTTP_HOST": hit.headers.get("host") or "tracker",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(b""), "wsgi.errors": sys.stderr,
        "wsgi.multithread": False, "wsgi.multiprocess": True, "wsgi.run_once": False,
    }  # fmt: skip
