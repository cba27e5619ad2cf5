"""What a person sees first when the tracker starts: where it is, where events go, one line to try, how to stop."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlencode

from rich.text import Text

from tracker.settings.model import Field, Route, Routes, Settings
from tracker.terminal.safe import safe

_SAMPLES = {"campaign": "c1", "creative": "cr1", "action": "start", "event": "signup"}
"""Path parameters that have a value in every tutorial."""
_LOCAL = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


def banner(version: str, settings: Settings, port: int, targets: Mapping[str, str]) -> Text:
    """The start's few lines. ``port`` is the real one; ``targets`` says where each collector writes, if known."""
    tracker = settings.tracker
    base = address(tracker.bind, port)
    rows = [
        ("tracker", f"{version} on {base}"),
        ("data", tracker.data_dir),
        *zip(["events"] + [""] * len(tracker.collectors), _collectors(settings, targets), strict=False),
    ]
    sample = try_it(settings, base)
    if sample:
        rows.append(("try", sample))
    rows.append(("stop", "Ctrl-C"))
    text = Text()
    for name, value in rows:
        text.append(f"{name:<9}", "bold" if name == "tracker" else "dim")
        text.append(f"{safe(value)}\n", "cyan" if name == "try" else "")
    text.rstrip()
    return text


def address(bind: str, port: int) -> str:
    """``http://host:port`` as it can be opened from this machine."""
    host = bind.rpartition(":")[0]
    return f"http://{_LOCAL.get(host, host)}:{port}"


def try_it(settings: Settings, base: str) -> str:
    """A ``curl`` line that makes an event: the first pixel route with sample values; empty if no route is simple."""
    found = sorted(settings.routes.routes.values(), key=lambda route: route.reply != "pixel")
    for route in found:
        methods = route.methods or settings.routes.defaults.methods
        path = re.sub(r"\{(\w+)[^}]*\}", lambda match: _SAMPLES.get(match[1], f"{match[1]}1"), route.path)
        if "{" in path:
            continue
        query = urlencode(dict(_prices(settings.routes, route)))
        url = f"{base}{quote(path)}{'?' + query if query else ''}"
        return f"curl -i {'' if 'GET' in methods else '-X POST '}'{url}'"
    return ""


def _prices(routes: Routes, route: Route) -> Iterable[tuple[str, str]]:
    """A value for each sum of money that the route reads from the query: without one there is little to see."""
    metrics = {}
    for name in route.use:
        if name in routes.field_sets:
            metrics.update(routes.field_sets[name].metrics)
    metrics.update(route.metrics)
    for field in metrics.values():
        if isinstance(field, Field) and field.as_ == "money":
            for source in [field.from_] if isinstance(field.from_, str) else field.from_:
                if source.startswith("query."):
                    yield source.removeprefix("query."), "2.50"
                    break


def _collectors(settings: Settings, targets: Mapping[str, str]) -> list[str]:
    rows = []
    for name, collector in settings.tracker.collectors.items():
        what = " ".join("all events" if glob == "*" else glob for glob in collector.events)
        lanes = " and ".join(collector.lanes)
        rows.append(f"{name}: {what} of the {lanes} lane{'s' * (len(collector.lanes) > 1)} to "
                    f"{targets.get(name) or collector.type}")
    return rows or ["nowhere yet: no collector is configured; they stay in the journal"]
