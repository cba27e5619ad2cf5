"""Closed-loop load by wrk: how many hits a second a server takes when 32 connections ask as fast as they are answered.

It says nothing about latency at a given rate: a closed loop waits for the server and so flatters its tail. For that
there is an open loop (``bench/load``).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from bench.peers.contender import needs

SCRIPT = Path(__file__).parent / "browser.lua"
INSTALL = "apt-get install wrk"


class Load(NamedTuple):
    """What wrk counted."""

    answered: int
    """Whole replies with a status below 400."""
    refused: int
    """Whole replies with another status."""
    broken: int
    """Failures to connect, read or write, and time-outs."""
    seconds: float
    p50_us: int
    p99_us: int
    p999_us: int

    @property
    def rate(self) -> float:
        """Answered hits a second."""
        return self.answered / self.seconds


def missing() -> str:
    """Empty, or what to install."""
    return needs("wrk", INSTALL) or needs("taskset", "apt-get install util-linux")


def press(port: int, seconds: float, *, connections: int, core: int | None) -> Load:
    """Load a port of the loopback; raises ``RuntimeError`` if wrk fails."""
    command = ["wrk", "--threads", "2", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s",
               "--timeout", "5s", "--latency", "--script", str(SCRIPT), f"http://127.0.0.1:{port}/"]  # fmt: skip
    if core is not None:
        command = ["taskset", "--cpu-list", str(core), *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"wrk failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return read(done.stdout)


def read(output: str) -> Load:
    """What wrk said, out of the line that ``browser.lua`` adds; raises ``RuntimeError`` without it."""
    line = next((line for line in output.splitlines() if line.startswith("JSON ")), None)
    if line is None:
        raise RuntimeError(f"wrk gave no figures:\n{output}")
    said = json.loads(line[5:])
    return Load(
        answered=said["requests"] - said["status"],
        refused=said["status"],
        broken=said["connect"] + said["read"] + said["write"] + said["timeout"],
        seconds=said["microseconds"] / 1e6,
        p50_us=said["p50"],
        p99_us=said["p99"],
        p999_us=said["p999"],
    )
