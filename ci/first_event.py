"""From an empty folder to the first event, as a stranger does it: start, one pixel, its event, stop.

    python ci/first_event.py PATH/TO/tracker

Only the standard library, and nothing of the checkout: the tracker is whatever the command says it is.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

START_S = 20
EVENT_S = 2  # what the README promises
STOP_S = 15


def main(tracker: str) -> None:
    with tempfile.TemporaryDirectory(prefix="first-event-") as folder:
        walk(Path(tracker).absolute(), Path(folder))


def walk(tracker: Path, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        base = f"http://127.0.0.1:{probe.getsockname()[1]}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "PYTHON"))}
    log = folder / "stdout"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [str(tracker), "serve", "--bind", base.removeprefix("http://")],
            cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        wait_until_ready(server, base, log)
        with urllib.request.urlopen(f"{base}/imp/c1/cr1.gif?price=2.50", timeout=5) as reply:
            body = reply.read()
            check(reply.status == 200 and reply.headers["Content-Type"] == "image/gif", f"no pixel: {reply.headers}")
            check(35 <= len(body) <= 43 and body.startswith(b"GIF89a"), f"not a 1x1 GIF: {body!r}")
            ident = reply.headers["X-Event-Id"]
        event = wait_for_event(folder / "var" / "log" / "events.ndjson", ident)
        check(event["event"] == "impression", str(event))
        check(event["dimensions"]["campaign"] == "c1", str(event))
        check(event["metrics"]["price_micros"] == 2_500_000, str(event))
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            status = server.wait(STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
            raise SystemExit(f"did not stop within {STOP_S} s\n{log.read_text()}") from None
    check(status == 0, f"ended with {status}\n{log.read_text()}")
    telling = [path for path in (folder / "var").rglob("*") if path.is_file() and b'"127.0.0.1"' in path.read_bytes()]
    check(not telling, f"a full address on the disk: {telling}")
    print(f"pixel, event {ident}, clean stop; output was:\n{log.read_text()}")


def wait_until_ready(server: "subprocess.Popen[bytes]", base: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        check(server.poll() is None, f"ended at its start\n{log.read_text()}")
        try:
            urllib.request.urlopen(f"{base}/-/readyz", timeout=1).close()
            return
        except (urllib.error.URLError, OSError) as error:
            check(time.monotonic() < deadline, f"not ready within {START_S} s: {error}\n{log.read_text()}")
        time.sleep(0.05)


def wait_for_event(path: Path, ident: str) -> dict[str, Any]:
    deadline = time.monotonic() + EVENT_S
    while True:
        lines = path.read_bytes().splitlines() if path.exists() else []
        for line in lines:
            event: dict[str, Any] = json.loads(line)
            if event["id"] == ident:
                return event
        check(time.monotonic() < deadline, f"no event {ident} in {path} within {EVENT_S} s: {lines}")
        time.sleep(0.05)


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(otherwise)


if __name__ == "__main__":
    main(sys.argv[1])
