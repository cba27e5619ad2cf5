"""The proxies of docs/howto/proxies.md, as it configures them: what they do with an address that a client invented."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "proxies.md").read_text("utf-8")
NGINX, HAPROXY = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin"), shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
FAKE, CLIENT, KEPT = "198.18.7.1", "127.9.8.7", "127.9.8.0"
HEADERS = {
    "X-Forwarded-For": FAKE, "X_Forwarded_For": FAKE, "Forwarded": f"for={FAKE}", "X-Real-IP": FAKE, "X-Device-IP": FAKE, "SCRIPT_NAME": "/imp",
    "X-Forwarded-Ssl": "off", "X-Forwarded-Proto": "https",
}  # fmt: skip


def example(language: str, number: int = 0) -> str:
    """A configuration out of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[number]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A process, from when it listens until the test is done with it."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            deadline = time.monotonic() + 10
            while True:
                said.seek(0)
                assert process.poll() is None, said.read().decode()
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(10)


def lie(port: int, path: str, count: int) -> list[int]:
    """Hits of one connection from ``CLIENT``, all with invented addresses; their statuses."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(CLIENT, 0))
    statuses = []
    for _ in range(count):
        connection.request("GET", path, headers=HEADERS)
        reply = connection.getresponse()
        reply.read()
        statuses.append(reply.status)
    connection.close()
    return statuses


def until_up(port: int) -> None:
    """HAProxy asks for readiness before it sends anybody."""
    deadline = time.monotonic() + 15
    while lie(port, "/-/healthz", 1) == [503] or lie(port, "/nothing", 1) == [503]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def tracked(serve: Callable[..., Any], folder: Path, clients: str) -> Any:
    config = folder / "tracker.yaml"
    config.write_text(
        f"version: 1\nclients: {clients}\nstatus_networks: [127.0.0.1]\ncollectors: {{log: {{type: log}}}}\n"
    )
    return serve("--config", str(config))


def ips(tracker: Any, count: int) -> list[str]:
    tracker.wait_logged(count)
    time.sleep(0.3)
    return [event["context"].get("ip", "") for event in tracker.logged()]


def test_behind_nginx_a_client_cannot_invent_its_address(serve: Callable[..., Any], tmp_path: Path) -> None:
    """Three hits of one connection, each with every header that might name an address; operators' pages stay inside."""
    if NGINX is None:
        pytest.skip("no nginx: apt-get install nginx")
    tracker, port = tracked(serve, tmp_path, "{trusted_proxies: [127.0.0.1]}"), free_port()
    text = example("nginx").replace("127.0.0.1:8000", tracker.address).replace("listen 80;", f"listen 127.0.0.1:{port};")
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}\nhttp {{ access_log off; underscores_in_headers on;\n"
        + "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + text + "}\n"
    )  # fmt: skip
    with running([NGINX, "-p", str(tmp_path), "-e", "stderr", "-c", str(tmp_path / "nginx.conf")], port):
        assert lie(port, "/imp/c1/cr1.gif", 3) == [200] * 3
        assert lie(port, "/-/metrics", 1) == [404]
    assert ips(tracker, 3) == [KEPT] * 3


@pytest.mark.parametrize(
    ("number", "change", "clients"),
    [
        (0, ("", ""), "{trusted_proxies: [127.0.0.1]}"),
        (0, ("http-request set-header X-Forwarded-For %[src]", "option forwardfor"), "{trusted_proxies: [127.0.0.1]}"),
        (1, ("", ""), "{trusted_proxies: [127.0.0.1], proxy_protocol: true}"),
        (1, ("send-proxy-v2", "send-proxy"), "{trusted_proxies: [127.0.0.1], proxy_protocol: true}"),
    ],
    ids=["overwritten", "appended", "PROXY version 2", "PROXY version 1"],
)  # fmt: skip
def test_behind_haproxy_a_client_cannot_invent_its_address(
    serve: Callable[..., Any], tmp_path: Path, number: int, change: tuple[str, str], clients: str
) -> None:
    """As an HTTP proxy, and over TCP with both versions of the PROXY protocol; its own health checks are answered."""
    if HAPROXY is None:
        pytest.skip("no HAProxy: apt-get install haproxy")
    tracker, port = tracked(serve, tmp_path, clients), free_port()
    text = example("text", number).replace("127.0.0.1:8000", tracker.address).replace("bind :80", f"bind 127.0.0.1:{port}")
    assert change[0] in text
    (tmp_path / "haproxy.cfg").write_text(
        "defaults\n    timeout connect 5s\n    timeout client 10s\n    timeout server 10s\n    timeout check 2s\n\n" + text.replace(*change)
    )
    with running([HAPROXY, "-db", "-f", str(tmp_path / "haproxy.cfg")], port):
        time.sleep(3)  # two health checks, which HAProxy would give up on
        until_up(port)
        assert lie(port, "/imp/c1/cr1.gif", 3) == [200] * 3
        assert lie(port, "/-/metrics", 1) == [404]
    assert ips(tracker, 3) == [KEPT] * 3
    assert "Traceback" not in tracker.output.read_text()
