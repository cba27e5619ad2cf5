"""Who runs on a data folder, and what they last said: the files of ``DATA/run``.

    supervisor.json         a supervisor's seat, locked by it as long as it lives
    settings.json           what its processes serve: a dump of the last good settings
    reload.json             its verdict on the last reload
    asks/0.TOKEN            somebody asks that supervisor to reload; it takes the file away
    workers/PID-xxxxxxxx.json  a capture worker and the version it serves, locked by it as long as it lives

Rules
1. Who lives holds a lock (flock) on a file of its own, and the kernel lets go of it at any death. So a leftover is
   never taken for somebody alive, and nobody is judged, let alone signalled, by a process id that a file names: ids are
   reused, and in another container they mean somebody else.
2. Asking is a file, not a signal, for the same reason; whoever may write to the folder may ask.
3. Several supervisors may share a folder. The first has the seat 0 and the names above, the next the seat 1 with
   ``supervisor.1.json``, ``settings.1.json``, ``reload.1.json``.
4. Readers see a whole file or none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import msgspec

from tracker import disk

SEATS = 64
"""Most supervisors on one data folder."""
_PROBE_PATIENCE = 5
"""Who only looks holds a lock for some microseconds; whoever wants it tries so many times, 10 ms apart."""
_REMEMBERED_ASKS = 32

Outcome = Literal["started", "unchanged", "taken", "refused"]
T = TypeVar("T")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the last reload."""

    outcome: Outcome
    version: str
    """Of the settings that are in force after it."""
    routes: int
    """How many routes they have."""
    workers: int
    """How many capture workers there should be."""
    restarts: tuple[str, ...] = ()
    """Which processes start anew for it: ``capture``, ``delivery``."""
    problems: tuple[str, ...] = ()
    """Why it was refused, each as a person should read it."""
    more: bool = False
    """The search was given up: there may be more problems."""
    warnings: tuple[str, ...] = ()
    """What is allowed and probably not meant."""
    answered: tuple[str, ...] = ()
    """The asks that have been answered: this verdict or an earlier one has read the files after each of them."""


class Running(NamedTuple):
    """A supervisor that lives, as others see it."""

    seat: int
    pid: int
    """For people; see rule 1."""
    bind: str


class _Seated(msgspec.Struct):
    pid: int
    bind: str


class _Serves(msgspec.Struct):
    pid: int
    settings: str
    """File name of the dump that it follows, or empty."""
    version: str


class Seat:
    """A supervisor's own place. It is free again when the process has ended, however that was."""

    def __init__(self, data_dir: Path, number: int, lock: int) -> None:
        """``lock`` is the locked descriptor. See ``take_seat``."""
        self.number = number
        self._folder = folder(data_dir)
        self._lock = lock
        self._answered: tuple[str, ...] = ()

    @property
    def dump(self) -> Path:
        """Where its settings stand for its processes."""
        return self._folder / _named("settings", self.number)

    def asked(self) -> bool:
        """Whether anybody has asked for a reload. The asks are taken away: read the files after this."""
        taken = []
        with contextlib.suppress(OSError), os.scandir(self._folder / "asks") as entries:
            for entry in entries:
                seat, _, token = entry.name.partition(".")
                if seat == str(self.number):
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)
                        taken.append(token)
        self._answered = (*self._answered, *taken)[-_REMEMBERED_ASKS:]
        return bool(taken)

    def tell(self, verdict: Verdict) -> None:
        """Publish the verdict; it answers all asks so far. Raises ``OSError``."""
        verdict = msgspec.structs.replace(verdict, answered=self._answered)
        path = self._folder / _named("reload", self.number)
        fresh = path.with_name(path.name + ".new")
        content = msgspec.json.format(msgspec.json.encode(verdict), indent=1) + b"\n"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            disk.write_at(fd, content, 0)
        finally:
            os.close(fd)
        os.rename(fresh, path)  # not synced: it means nothing to the next boot

    def leave(self) -> None:
        """Free the seat."""
        if self.number:  # the first one's files tell others what the folder was last served with
            self.dump.unlink(missing_ok=True)
        os.close(self._lock)


def folder(data_dir: Path) -> Path:
    """``DATA/run``."""
    return data_dir / "run"


def take_seat(data_dir: Path, bind: str) -> Seat:
    """The first free seat. Raises ``OSError``, also if there is none."""
    place = folder(data_dir)
    (place / "asks").mkdir(parents=True, exist_ok=True)
    for number in range(SEATS):
        path = place / _named("supervisor", number)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        if _try_lock(lock):
            content = msgspec.json.encode(_Seated(os.getpid(), bind)) + b"\n"
            os.pwrite(lock, content, 0)
            os.ftruncate(lock, len(content))
            return Seat(data_dir, number, lock)
        os.close(lock)
    raise OSError(f"{SEATS} trackers run on {data_dir} already")


def who_runs(data_dir: Path) -> list[Running]:
    """The supervisors that live, by their seats. Raises ``PermissionError`` if that cannot be known."""
    found = []
    for path in folder(data_dir).glob("supervisor*.json"):
        with _living(path) as content:
            if content is not None:
                number = path.name.split(".")[1]
                seated = _decoded(content, _Seated) or _Seated(0, "")
                found.append(Running(int(number) if number.isdecimal() else 0, seated.pid, seated.bind))
    return sorted(found)


def ask(data_dir: Path, seat: int) -> str:
    """Ask a supervisor to reload; the token that its verdict will bear in ``answered``. Raises ``OSError``."""
    token = secrets.token_hex(8)
    os.close(os.open(_ask(data_dir, seat, token), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
    return token


def withdraw(data_dir: Path, seat: int, token: str) -> None:
    """Ask no more."""
    with contextlib.suppress(OSError):
        _ask(data_dir, seat, token).unlink(missing_ok=True)


def verdict(data_dir: Path, seat: int) -> Verdict | None:
    """A supervisor's last verdict; None if there is none. Raises ``PermissionError``."""
    try:
        content = (folder(data_dir) / _named("reload", seat)).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _decoded(content, Verdict)


class Presence:
    """A worker's own file: it is there, and this is the version it serves."""

    def __init__(self, data_dir: Path, settings: str, version: str) -> None:
        """``settings`` is the file name of the dump that the worker follows, or empty. Sweeps leftovers.

        Raises ``OSError``.
        """
        self._settings = settings
        place = folder(data_dir) / "workers"
        place.mkdir(parents=True, exist_ok=True)
        for left in place.glob("*.json"):
            _sweep(left)
        while True:
            self._path = place / f"{os.getpid()}-{secrets.token_hex(4)}.json"
            self._lock = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if os.fstat(self._lock).st_nlink:
                break
            os.close(self._lock)  # swept by another one, before it was locked
        self.tell(version)

    def tell(self, version: str) -> None:
        """Say which version is served now. Raises ``OSError``."""
        # Written in place, for the lock belongs to this very file; all versions are of one length. A reader that meets
        # it half written finds no version that anybody waits for, and looks again.
        os.pwrite(self._lock, msgspec.json.encode(_Serves(os.getpid(), self._settings, version)) + b"\n", 0)

    def leave(self) -> None:
        """It is there no more."""
        self._path.unlink(missing_ok=True)
        os.close(self._lock)


def workers(data_dir: Path, seat: int) -> dict[str, str]:
    """Version by file name of each living worker of that supervisor."""
    return {name: each.version for name, each in _workers(data_dir) if each.settings == _named("settings", seat)}


def versions(data_dir: Path) -> list[str]:
    """The version that each living worker on this folder serves."""
    return [each.version for _, each in _workers(data_dir)]


def reload_failed(data_dir: Path) -> bool:
    """Whether a supervisor that lives has refused the settings it was last asked to take."""
    for each in who_runs(data_dir):
        last = verdict(data_dir, each.seat)
        if last is not None and last.outcome == "refused":
            return True
    return False


# --- how it is done --------------------------------------------------------------------------------------------------


def _named(what: str, seat: int) -> str:
    return f"{what}.{seat}.json" if seat else f"{what}.json"


def _ask(data_dir: Path, seat: int, token: str) -> Path:
    return folder(data_dir) / "asks" / f"{seat}.{token}"


def _workers(data_dir: Path) -> Iterator[tuple[str, _Serves]]:
    for path in (folder(data_dir) / "workers").glob("*.json"):
        with _living(path) as content:
            if content is not None and (serves := _decoded(content, _Serves)) is not None:
                yield path.name, serves


def _try_lock(fd: int) -> bool:
    for _ in range(_PROBE_PATIENCE):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01)
    return False


@contextlib.contextmanager
def _living(path: Path) -> Iterator[bytes | None]:
    """What the file holds if somebody who lives holds its lock, else None."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield None
        except BlockingIOError:
            yield os.pread(fd, 4096, 0)
    finally:
        os.close(fd)


def _sweep(path: Path) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        finally:
            os.close(fd)


def _decoded(content: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
