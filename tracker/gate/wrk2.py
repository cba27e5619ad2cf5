"""wrk2 in place of our own generator, where it is on the PATH: an open loop in C, for rates that Python cannot send.

Rules
1. It gets the same requests. A script (``wrk2.lua`` in a temporary folder) takes them in turn, counts the answers by
   status and writes down the receipts; latencies are wrk2's own, by its schedule, as ``--latency`` prints them.
2. wrk2 throws away what it measured in its first ten seconds (calibration). So it runs that much longer.
3. It does not measure its own lag, does not say which answer belongs to which request, and leaves when its time is up:
   answers that were under way then are not read. So there are no rows by sort, a status counts as right if any sort
   expects it, and as many events as there are connections may be there without a receipt.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tracker.gate.figures import Figures, Latency
from tracker.gate.mix import UNIQUE, Pool

if TYPE_CHECKING:
    from tracker.demo.connection import Target

CALIBRATION_S: Final = 10.0
CONNECT_S: Final = 0.005
"""Between two of its connections, and added to the calibration for each."""
GRACE_S: Final = 60.0

_SCRIPT: Final = """
local pool, number, salt = {}, 0, @SALT@
local receipts, counts = nil, {}

function init(args)
  local file = assert(io.open("@REQUESTS@", "rb"))
  while true do
    local pieces = file:read("*n")
    if not pieces then break end
    file:read(1)
    local request = {}
    for each = 1, pieces do
      local length = file:read("*n")
      file:read(1)
      request[each] = length > 0 and file:read(length) or ""
    end
    pool[#pool + 1] = #request > 1 and request or request[1]
  end
  file:close()
  receipts = assert(io.open("@RECEIPTS@", "wb"))
  receipts:setvbuf("full", 1048576)
end

function request()
  local each = pool[number % #pool + 1]
  number = number + 1
  if type(each) == "string" then return each end
  return table.concat(each, string.format("%05x%07x", salt, number % 268435456))
end

function response(status, headers, body)
  counts[status] = (counts[status] or 0) + 1
  local id, ack
  for name, value in pairs(headers) do
    name = name:lower()
    if name == "x-event-id" then id = value elseif name == "x-tracker-ack" then ack = value end
  end
  if id and ack ~= "none" then receipts:write(id, "\\n") end
  said = ""
  for code, count in pairs(counts) do said = said .. code .. " " .. count .. " " end
end

local threads = {}
function setup(thread) threads[#threads + 1] = thread end
function done(summary, latency, requests)
  for _, thread in ipairs(threads) do print("Statuses: " .. (thread:get("said") or "")) end
end
"""
_LINE: Final = re.compile(r"^ +([\d.]+) +([01]\.\d+) +\d+ +(?:[\d.]+|inf) *$", re.MULTILINE)
_MEAN: Final = re.compile(r"^ *#\[Mean *= *([\d.]+|-?nan)", re.MULTILINE)
_MAX: Final = re.compile(r"^ *#\[Max *= *([\d.]+)", re.MULTILINE)
_DONE: Final = re.compile(r"^ *(\d+) requests in ([\d.]+)(us|ms|s|m|h),", re.MULTILINE)
_ERRORS: Final = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_STATUSES: Final = re.compile(r"^Statuses: (.*)$", re.MULTILINE)
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Failed(Exception):
    """wrk2 did not do it; ``str()`` says what it said."""


class Loaded(NamedTuple):
    """A run of wrk2."""

    figures: Figures
    receipts: list[bytes]


def find() -> str | None:
    """wrk2's path; None where there is none, or something else has its name."""
    path = shutil.which("wrk2")
    if path is None:
        return None
    try:
        said = subprocess.run([path], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return path if re.search(r"-R, +--rate", said.stdout + said.stderr) else None


def run(path: str, where: Target, pool: Pool, *, rate: float, seconds: float, connections: int, salt: int) -> Loaded:
    """Load the tracker at ``where``. Raises ``Failed``."""
    calibration_s = CALIBRATION_S + connections * CONNECT_S
    with tempfile.TemporaryDirectory(prefix="tracker-wrk2-") as name:
        folder = Path(name)
        (folder / "requests").write_bytes(b"".join(_packed(pool)))
        script = _SCRIPT.replace("@SALT@", str(salt % (1 << 20)))
        for word, file in (("@REQUESTS@", "requests"), ("@RECEIPTS@", "receipts")):
            script = script.replace(word, str(folder / file))
        (folder / "wrk2.lua").write_text(script, "utf-8")
        url = f"http://[{where.address}]:{where.port}/" if ":" in where.address else f"http://{where.address}:{where.port}/"
        command = [path, "-t", "1", "-c", str(connections), "-d", f"{round(seconds + calibration_s + 0.5)}s",
                   "-R", str(round(rate)), "--latency", "-s", str(folder / "wrk2.lua"), url]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False,
                                  timeout=seconds + calibration_s + GRACE_S)  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"wrk2: {error}") from error
        if done.returncode:
            raise Failed(f"wrk2 has ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:].strip()}")
        try:
            receipts = (folder / "receipts").read_bytes().split(b"\n")[:-1]
        except OSError as error:
            raise Failed(f"wrk2 wrote no receipts: {error}") from error
    return Loaded(read(done.stdout, pool, rate), receipts)


def read(said: str, pool: Pool, rate: float) -> Figures:
    """The figures of what it printed. Raises ``Failed``."""
    total = _DONE.search(said)
    curve = [(round(float(percent) * 100, 4), float(ms)) for ms, percent in _LINE.findall(said)]
    mean, longest = _MEAN.search(said), _MAX.search(said)
    if total is None or mean is None or longest is None or not curve or "nan" in mean[1]:
        said = said[-2000:].strip()
        raise Failed(f"wrk2 printed no latencies; it needs {CALIBRATION_S:g} s before it measures:\n{said}")
    words = " ".join(_STATUSES.findall(said)).split()
    statuses: dict[str, int] = {}
    for status, count in zip(words[::2], words[1::2], strict=False):
        statuses[status] = statuses.get(status, 0) + int(count)
    broken = _ERRORS.search(said)
    kinds = ("connecting", "reading", "writing", "time-out")
    errors = {kind: int(many) for kind, many in zip(kinds, broken.groups(), strict=True) if int(many)} if broken else {}
    answered = sum(statuses.values())

    def at(percent: float) -> float:
        return next((ms for each, ms in curve if each >= percent), curve[-1][1])

    latency = Latency(mean=float(mean[1]), p50=at(50), p90=at(90), p99=at(99), p999=at(99.9), max=float(longest[1]))
    return Figures(
        generator="wrk2", rate=rate, seconds=float(total[2]) * _UNITS[total[3]], sent=answered + sum(errors.values()),
        answered=answered, statuses=dict(sorted(statuses.items())), errors=errors, lag_ms=None, curve=curve,
        right=sum(many for status, many in statuses.items() if _right(pool, int(status))),
        latency_ms=latency,
    )  # fmt: skip


def _right(pool: Pool, status: int) -> bool:
    return any(pool.right(sort, status) for sort in range(len(pool.names)))


def _packed(pool: Pool) -> Iterator[bytes]:
    """For Lua: the number of pieces, then each with its length; between two of them goes the unique number."""
    for request in pool.requests:
        pieces = request.raw.split(UNIQUE)
        yield b"%d\n" % len(pieces)
        for piece in pieces:
            yield b"%d\n%s" % (len(piece), piece)
