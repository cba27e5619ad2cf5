"""Who the client is: the address and the headers of a hit that came through proxies."""

from __future__ import annotations

from collections.abc import Callable

from tracker.settings import model

Header = Callable[[str], str | None]
"""``Headers.get``: by lower-case name, values as WSGI has them."""
Who = Callable[[str, Header], tuple[str, Header, bool]]
"""(the connection's address, headers) -> (the client's address, headers as the client would have sent them, whether a
listed server spoke for it)."""


def compile_clients(clients: model.Clients) -> Who | None:
    """None if nothing is configured: then the connection's address is the client's, and a hit pays nothing."""
    if not clients.trusted_proxies and not clients.ssai_networks:
        return None
    raise NotImplementedError
