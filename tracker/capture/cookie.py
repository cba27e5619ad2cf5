"""Cookies: reading one, and the tracker's own first-party id."""

from __future__ import annotations

from collections.abc import Callable

from tracker.settings import model

Header = Callable[[str], str | None]


def cookie_value(header: str | None, name: str) -> str | None:
    """The value of a cookie in a ``Cookie`` header; None if it is not there."""
    raise NotImplementedError


class IdCookie:
    """A route's id cookie."""

    def __init__(self, cookie: model.Cookie) -> None:
        """As the route has it."""
        self.into: str = cookie.into

    def read(self, header: Header) -> str:
        """The id that the client's cookie holds, or empty."""
        raise NotImplementedError

    def line(self, ident: str) -> tuple[str, str]:
        """The ``Set-Cookie`` header."""
        raise NotImplementedError
