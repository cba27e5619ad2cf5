"""The settings that environment variables and flags can reach: one variable a setting, made from the model.

Rules
1. ``TRACKER_`` and the setting's path, upper case: ``limits.max_body_bytes`` is ``TRACKER_LIMITS_MAX_BODY_BYTES``.
   Only single values and lists of text have one; a list is separated by commas. What is named by people (collectors,
   routes) stands in files, and ``version`` describes a file.
2. A ``TRACKER_`` variable that is none of these is a mistake: a wrong letter must not go unnoticed. Kubernetes adds
   such variables to a pod for a service named ``tracker``; those are let pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

from msgspec import inspect

from tracker.settings.decode import type_of
from tracker.settings.model import Tracker
from tracker.settings.problems import Path

PREFIX = "TRACKER_"
CONFIG = "TRACKER_CONFIG"
ROUTES = "TRACKER_ROUTES"
RESERVED = frozenset({CONFIG, ROUTES, "TRACKER_BOOT_ID"})
"""Variables that are no settings: they name the files, and a test's boot id."""

# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE = re.compile(
    r"TRACKER_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


@cache
def variables() -> dict[str, tuple[str, ...]]:
    """Every variable and the path of its setting, in the model's order."""
    kind = type_of(Tracker)
    assert isinstance(kind, inspect.StructType)
    return {PREFIX + "_".join(path).upper(): path for path in _single(kind, ()) if path != ("version",)}


def given(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The environment's variables that are ours, known or not."""
    for name, value in environ.items():
        if name.startswith(PREFIX) and name not in RESERVED and (name in variables() or not _of_a_service(name, value)):
            yield name, value


def flag(path: Path) -> str:
    """A setting's flag: ``--data-dir``."""
    return "--" + ".".join(map(str, path)).replace("_", "-")


def _of_a_service(name: str, value: str) -> bool:
    return _SERVICE.fullmatch(name) is not None or (
        name.endswith("_PORT") and value.startswith(("tcp://", "udp://", "sctp://"))
    )


def _single(kind: inspect.StructType, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for field in kind.fields:
        here = (*path, field.encode_name)
        if isinstance(field.type, inspect.StructType):
            yield from _single(field.type, here)
        elif not isinstance(field.type, inspect.DictType):
            yield here
