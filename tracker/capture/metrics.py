"""The metrics page: counters of all workers summed, and gauges read from rings and delivery's own status files.

Rules
1. It costs the hit path nothing: workers publish plain counters once a second, this page reads files.
2. Names are ``tracker_<noun>_<unit>_total`` or ``tracker_<noun>_<unit>``; labels come from closed lists, from the
   collectors' names in the settings, and the versions of the settings that workers serve (one, but for a moment).
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tracker import running
from tracker.capture.ring import Positions, RingError
from tracker.counters import COUNTERS, read_counts
from tracker.journal.recovery import journal_dir
from tracker.journal.slot import slot_folders

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Gauge(NamedTuple):
    """One row of the list of gauges."""

    name: str
    help: str
    key: str = ""
    """Delivery gauges: the key in the collector's status file."""


RINGS = Gauge("tracker_rings", "Rings on this data folder.")
RING_CAPACITY = Gauge("tracker_ring_capacity_bytes", "Space of all rings.")
RING_USED = Gauge("tracker_ring_used_bytes", "Bytes in rings that are not durable yet: what a power cut would cost.")
DELIVERY = (
    Gauge("tracker_delivery_lag_bytes", "Bytes of the journal that a collector has yet to read.", "lag_bytes"),
    Gauge("tracker_delivery_lag_seconds", "Age of the oldest event that a collector has yet to deliver.",
          "lag_seconds"),
    Gauge("tracker_delivery_events", "Events a collector has taken since delivery started.", "delivered_events"),
    Gauge("tracker_delivery_rejected", "Events a collector has refused for ever since delivery started.", "rejected"),
    Gauge("tracker_delivery_retries", "Batches a collector could not take at once since delivery started.", "retries"),
)
CONFIG_WORKERS = Gauge("tracker_config_workers", "Capture workers by the version of the settings that they serve.")
RELOAD_FAILED = Gauge(
    "tracker_config_reload_failed",
    "1 from a reload whose settings were refused until the next good one: the last good settings serve meanwhile.",
)
GAUGES = (RINGS, RING_CAPACITY, RING_USED, CONFIG_WORKERS, RELOAD_FAILED, *DELIVERY)


class _Page:
    """One look at everything, as prometheus_client wants it."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def collect(self) -> Iterator[Metric]:
        slots = slot_folders(self._data_dir)
        counts = read_counts([journal_dir(self._data_dir) / "counters", *(slot / "counters" for slot in slots)])
        families: dict[str, CounterMetricFamily] = {}
        for counter, value in zip(COUNTERS, counts, strict=True):
            labels = [counter.label] if counter.label else []
            family = families.get(counter.name)
            if family is None:
                family = families[counter.name] = CounterMetricFamily(counter.name, counter.help, labels=labels)
            family.add_metric([counter.value] if labels else [], value)
        yield from families.values()
        yield from self._rings(slots)
        yield from self._config()
        yield from self._delivery()

    def _rings(self, slots: list[Path]) -> Iterator[Metric]:
        count = capacity = used = 0
        for slot in slots:
            try:
                ring = Positions(slot / "ring")
            except (OSError, RingError):
                continue
            count, capacity, used = count + 1, capacity + ring.capacity, used + ring.head - ring.durable
            ring.close()
        for gauge, value in ((RINGS, count), (RING_CAPACITY, capacity), (RING_USED, used)):
            yield GaugeMetricFamily(gauge.name, gauge.help, value=value)

    def _config(self) -> Iterator[Metric]:
        workers = GaugeMetricFamily(CONFIG_WORKERS.name, CONFIG_WORKERS.help, labels=["version"])
        with contextlib.suppress(OSError):
            for version, count in sorted(Counter(running.versions(self._data_dir)).items()):
                workers.add_metric([version], count)
        yield workers
        with contextlib.suppress(OSError):
            failed = int(running.reload_failed(self._data_dir))
            yield GaugeMetricFamily(RELOAD_FAILED.name, RELOAD_FAILED.help, value=failed)

    def _delivery(self) -> Iterator[Metric]:
        states = {}
        for path in sorted((self._data_dir / "delivery").glob("*.json")):
            try:
                state = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue
            if isinstance(state, dict):
                states[path.stem] = state
        for gauge in DELIVERY:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=["collector"])
            for collector, state in states.items():
                if isinstance(state.get(gauge.key), int | float):
                    family.add_metric([collector], state[gauge.key])
            yield family


def page(data_dir: Path) -> bytes:
    """The page's bytes."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(data_dir))
    return generate_latest(registry)
