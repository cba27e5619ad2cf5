"""Reloading a tracker that serves: real processes under load, good files, bad ones, half-written ones, kills and storms."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tracker import running
from tracker.settings import load

TESTS = Path(__file__).parents[1]
CONFIG = TESTS.parent / "config"
Served: Any = runpy.run_path(str(TESTS / "conftest.py"))["Served"]

SETTINGS = """\
version: 1
bind: {bind}
workers: 2
threads: 4
ring: {{bytes_per_worker: 4194304}}
collectors:
  log: {{type: log}}
"""
TABLE = """\
version: 1
routes:
  impression: {path: "/imp/{campaign}", reply: pixel, dimensions: {campaign: path.campaign}}
"""
MORE = '  more: {path: "/more", reply: no_content}\n'


class FromFiles(Served):
    """``tracker serve`` that takes everything from ``tracker.yaml`` and ``routes.yaml`` in its folder."""

    def __init__(
        self, folder: Path, settings: str = SETTINGS, table: str = TABLE, beside: FromFiles | None = None
    ) -> None:
        """``beside``: another one whose data folder it shares."""
        folder.mkdir()
        self.config, self.routes = folder / "tracker.yaml", folder / "routes.yaml"
        self.texts, self.beside, self.seat = (settings, table), beside, int(beside is not None)
        super().__init__(folder, ["--config", str(self.config), "--routes", str(self.routes)], {})

    def start(self) -> subprocess.Popen[bytes]:
        """As ever, without a flag or variable that would win over the files."""
        if "--bind" in self._arguments:
            at = self._arguments.index("--bind")
            del self._arguments[at : at + 2]
            settings, table = self.texts
            if self.beside is not None:
                self.data_dir = self.beside.data_dir
                settings += f"data_dir: {self.data_dir}\n"
            self.write(settings.format(bind=self.address), table)
        process: subprocess.Popen[bytes] = super().start()
        wait_for(lambda: len(running.workers(self.data_dir, self.seat)) == 2, self, 10)
        return process

    def write(self, settings: str | None = None, table: str | None = None) -> None:
        """Put files there that nobody has touched for a while, so that no reload waits for them to come to rest."""
        for path, text in ((self.config, settings), (self.routes, table)):
            if text is not None:
                path.write_bytes(text.encode())
                os.utime(path, (1e9, 1e9))

    def settings(self, **changed: str) -> str:
        """The text of tracker.yaml with some lines in place of those that begin so."""
        lines = self.texts[0].format(bind=self.address).splitlines()
        for name, line in changed.items():
            lines = [line if each.startswith(f"{name}:") else each for each in lines]
            if line not in lines:
                lines.append(line)
        return "\n".join(lines) + "\n"

    def reload(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``tracker reload``, as a person calls it."""
        return reload("--data-dir", str(self.data_dir), *arguments)

    def ask(self, timeout_s: float = 10) -> running.Verdict:
        """The same without the command's start-up time, and without waiting for the supervisor's next look."""
        token = running.ask(self.data_dir, self.seat)
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + timeout_s
        while True:
            verdict = running.verdict(self.data_dir, self.seat)
            if verdict is not None and token in verdict.answered:
                return verdict
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.01)

    def version(self) -> str:
        """Of the settings that some worker serves."""
        return str(json.loads(self.get("/-/readyz")[2])["settings_version"])

    def versions(self) -> set[str]:
        """Of the settings that the workers serve, as they say in their files."""
        return set(running.workers(self.data_dir, self.seat).values())

    def metric(self, name: str) -> str:
        """A metric's value, as text."""
        page = self.get("/-/metrics")[2].decode()
        return next(line.rpartition(" ")[2] for line in page.splitlines() if line.startswith(name))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., FromFiles]]:
    """Starts trackers from files. All are stopped when the test ends."""
    started: list[FromFiles] = []

    def begin(**options: Any) -> FromFiles:
        started.append(FromFiles(tmp_path / f"tracker{len(started)}", **options))
        return started[-1]

    yield begin
    for tracker in started:
        tracker.stop()


def reload(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """``tracker reload`` without settings from the environment."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    return subprocess.run(
        [sys.executable, "-m", "tracker", "reload", *arguments], cwd=cwd, env=environ, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=30,
    )


class Load:
    """Clients that hit one path all the time, half of them on kept connections; whatever is no 200 is a failure."""

    def __init__(self, address: str, path: str = "/imp/c1") -> None:
        self.answered: list[str] = []
        self.failures: list[str] = []
        self._address, self._path = address, path
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, args=(keep,), daemon=True) for keep in (True, True, False, False)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join(15)

    def _run(self, keep: bool) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=10)
        while not self._stopping:
            try:
                connection.request("GET", self._path, headers={} if keep else {"Connection": "close"})
                reply = connection.getresponse()
                reply.read()
                if reply.status == 200:
                    self.answered.append(reply.headers["X-Event-Id"])
                else:
                    self.failures.append(f"{reply.status} {reply.headers['X-Tracker-Reason']}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{'kept' if keep else 'new'} connection: {error!r}")
                connection.close()
            if not keep:
                connection.close()
            time.sleep(0.005)  # the machine has other work too
        connection.close()


def wait_for(what: Callable[[], bool], tracker: FromFiles, timeout_s: float) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, tracker.output.read_text()
        time.sleep(0.02)


def test_a_good_table_is_swapped_under_load(start: Callable[..., FromFiles]) -> None:
    """No request fails, no process restarts, and within three seconds every worker answers the new route."""
    tracker = start()
    before, was = tracker.children(), tracker.version()
    with Load(tracker.address) as clients:
        time.sleep(0.5)
        tracker.write(table=TABLE + MORE)
        began = time.monotonic()
        done = tracker.reload()
        version = tracker.version()
        assert (done.returncode, done.stdout) == (0, f"Reloaded: version {version}, 2 routes; nothing restarted\n"), done
        new: set[int] = set()
        while new != set(before["worker"]):
            assert time.monotonic() < began + 3, f"only {new} of {before} answer the new route"
            connection = http.client.HTTPConnection(tracker.address, timeout=5)
            connection.request("GET", "/-/readyz")
            pid = json.loads(connection.getresponse().read())["pid"]
            connection.request("GET", "/more")
            if connection.getresponse().status == 204:  # on the same connection, so from the same process
                new.add(pid)
            connection.close()
        again = tracker.reload()
        time.sleep(0.3)
    assert (again.returncode, again.stdout) == (0, f"Nothing has changed: version {version}, 2 routes\n")
    assert version != was and tracker.versions() == {version}
    assert tracker.children() == before
    assert clients.failures == [] and len(clients.answered) > 100
    assert tracker.metric(f'tracker_config_workers{{version="{version}"}}') == "2.0"


def test_no_mistake_in_the_files_disturbs_what_serves(start: Callable[..., FromFiles]) -> None:
    """Each of the many files with one mistake is refused, naming key and line; nothing else happens."""
    module = runpy.run_path(str(TESTS / "unit" / "test_settings_mistakes.py"))
    mistakes = module["MISTAKES"]
    assert len(mistakes) >= 60
    good = (CONFIG / "routes.yaml").read_text("utf-8")
    tracker = start(table=good)
    before, version = tracker.children(), tracker.version()
    with Load(tracker.address, "/imp/c1/cr1.gif?price=1") as clients:
        for title, files in module["mutated"]():
            mistake = mistakes[title]
            for name, text in files.items():
                path = tracker.folder / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(text.encode("utf-8"))
                os.utime(path, (1e9, 1e9))
            verdict = tracker.ask()
            said = "\n".join(verdict.problems)
            assert (verdict.outcome, verdict.version) == ("refused", version), f"{title}: {verdict}"
            assert mistake.message in said and mistake.path in said, f"{title}: {said}"
            assert re.search(r"(?m)^\S+\.yaml:\d+:\d+: ", said), f"{title}: {said}"
        tracker.write(tracker.settings(), good)
        assert tracker.metric("tracker_config_reload_failed") == "1.0"
        tracker.write(table=good.replace("/go/spring", "»"))
        done = tracker.reload()
    assert clients.failures == [] and len(clients.answered) > 100
    assert (tracker.version(), tracker.versions(), tracker.children()) == (version, {version}, before)
    assert done.returncode == 78 and done.stdout == ""
    *_, place, excerpt, _caret, end = done.stderr.splitlines()
    assert place.startswith(f"{tracker.routes}:") and ": routes.spring.path: " in place
    assert "»" in excerpt and end == f"1 problem; the last good settings (version {version}) stay."
    assert "Traceback" not in tracker.output.read_text()
    tracker.write(table=good)
    assert tracker.ask().outcome == "unchanged"
    assert tracker.metric("tracker_config_reload_failed") == "0.0"


def test_changed_collectors_restart_delivery_alone(start: Callable[..., FromFiles]) -> None:
    """Delivery comes back with the new collector, capture stays; each answered event is in each log once."""
    tracker = start()
    before = tracker.children()
    with Load(tracker.address) as clients:
        time.sleep(0.5)
        second = "collectors: {log: {type: log}, second: {type: log, options: {file: second.ndjson}}}"
        text = tracker.settings().replace("collectors:\n  log: {type: log}\n", second + "\n")
        tracker.write(text)
        done = tracker.reload()
        assert (done.returncode, done.stdout.partition("; ")[2]) == (0, "delivery restarted\n"), done
        wait_for(lambda: len(tracker.logged("second.ndjson")) > 10, tracker, 10)
    after = tracker.children()
    assert after["delivery"] != before["delivery"] and len(after["delivery"]) == 1
    assert {**after, "delivery": []} == {**before, "delivery": []}
    assert clients.failures == []
    assert "delivery has died" not in tracker.output.read_text(), "it was asked to go"
    for name in ("events.ndjson", "second.ndjson"):
        events = tracker.wait_logged(len(clients.answered), name, timeout_s=10)
        assert Counter(event["id"] for event in events) == Counter(clients.answered), name


def test_what_workers_have_from_their_start_on_replaces_them(start: Callable[..., FromFiles]) -> None:
    """Two workers become three others; no request on a connection of its own fails, and the arbiter stays."""
    tracker = start()
    before = tracker.children()
    with Load(tracker.address) as clients:
        time.sleep(0.3)
        tracker.write(tracker.settings(workers="workers: 3"))
        done = tracker.reload()
        assert (done.returncode, done.stdout.partition("; ")[2]) == (0, "capture restarted\n"), done
        assert len(running.workers(tracker.data_dir, tracker.seat)) == 3
    wait_for(lambda: not set(before["worker"]) & set(tracker.children()["worker"]), tracker, 10)
    after = tracker.children()
    assert len(after["worker"]) == 3
    assert {**after, "worker": []} == {**before, "worker": []}
    # gunicorn closes kept connections when a worker leaves, and a client may write into that: benoitc/gunicorn#3394.
    assert [each for each in clients.failures if not each.startswith("kept")] == []


def test_a_killed_worker_comes_back_with_the_newest_good_settings(start: Callable[..., FromFiles]) -> None:
    """Neither the file that was broken since nor what the arbiter was started with: what its siblings serve."""
    tracker = start()
    tracker.write(table=TABLE + MORE)
    tracker.process.send_signal(signal.SIGHUP)
    os.kill(tracker.children()["worker"][0], signal.SIGKILL)  # while the others swap
    began = time.monotonic()
    assert tracker.reload().returncode == 0
    assert time.monotonic() - began < 10
    version = tracker.version()
    tracker.write("version: 1\nbnid: x\n", "half a tab")
    assert tracker.ask().outcome == "refused"
    for victim in ("worker", "arbiter"):
        old = tracker.children()[victim]
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda old=old, victim=victim: not set(old) & set(tracker.children()[victim]), tracker, 10)
        tracker.wait_ready()
        wait_for(lambda: len(running.workers(tracker.data_dir, tracker.seat)) == 2, tracker, 10)
        assert (tracker.version(), tracker.versions()) == (version, {version})
        assert tracker.get("/more")[0] == 204
    assert tracker.metric("tracker_config_reload_failed") == "1.0"


def test_a_supervisor_that_dies_while_old_workers_are_waited_for_is_back_in_time(start: Callable[..., FromFiles]) -> None:
    """Slow clients hold the old workers; the port is free within seconds all the same, and nothing is in the way."""
    tracker = start(table=TABLE + '  hit: {path: "/hit", methods: [POST], reply: no_content, access: open}\n')
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            slow = stack.enter_context(socket.create_connection(tracker.address.split(":"), timeout=5))
            slow.sendall(b"POST /hit HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab")
        time.sleep(0.3)
        tracker.write(tracker.settings(threads="threads: 5"))
        assert tracker.ask().restarts == ("capture",)
        time.sleep(1)
        tracker.process.kill()
        tracker.process.wait()
        took = tracker.restart()
    assert took < 6, f"back after {took:.1f} s; a stop within a reload's wait took 11 s before"
    assert tracker.get("/imp/c1")[0] == 200


def test_a_dump_that_somebody_removes_is_written_again(start: Callable[..., FromFiles]) -> None:
    """A clean-up of the data folder keeps no child from coming back, and no worker from serving."""
    tracker = start()
    version = tracker.version()
    (tracker.data_dir / "run" / "settings.json").unlink()
    (arbiter,) = tracker.children()["arbiter"]
    os.kill(arbiter, signal.SIGKILL)
    wait_for(lambda: tracker.children()["arbiter"] not in ([], [arbiter]), tracker, 10)
    tracker.wait_ready()
    assert tracker.version() == version


def test_half_a_file_is_never_served(start: Callable[..., FromFiles]) -> None:
    """Files are written in halves and by rename while SIGHUPs come: each version seen is that of a whole file.

    Half of this table is right YAML and would make a table: only patience tells it from a whole one.
    """
    tracker = start()
    whole = [TABLE + "".join(f'  {name}{n}: {{path: "/{name}{n}", reply: pixel}}\n' for n in range(40)) for name in "ab"]
    halves = [text[: text.index("  a20:" if "a20:" in text else "  b20:")] for text in whole]

    def version_of(text: str) -> str:
        path = tracker.folder / "other.d" / "table"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return load.load(tracker.config, path, {}, {}, ()).version

    good, bad = {version_of(text) for text in whole} | {tracker.version()}, {version_of(text) for text in halves}
    assert len(good) == 3 and len(bad) == 2 and not good & bad
    stop = time.monotonic() + 5

    def write() -> None:
        turn = 0
        while time.monotonic() < stop:
            turn += 1
            text = whole[turn % 2]
            if turn % 3:
                with tracker.routes.open("w") as file:  # as an editor that writes in place
                    file.write(halves[turn % 2])
                    file.flush()
                    time.sleep(0.03)
                    file.write(text.removeprefix(halves[turn % 2]))
            else:
                fresh = tracker.folder / "routes.yaml.new"
                fresh.write_text(text)
                fresh.rename(tracker.routes)
            time.sleep(0.6 if turn % 4 == 0 else 0.01)

    seen: Counter[str] = Counter()
    writer = threading.Thread(target=write)
    writer.start()
    while time.monotonic() < stop:
        tracker.process.send_signal(signal.SIGHUP)
        seen[tracker.version()] += 1
        time.sleep(0.03)
    writer.join()
    assert set(seen) <= good, f"half a file was served: {seen}, whole ones are {good}"
    assert len(seen) > 1, "not one reload got through, so nothing was shown"
    done = tracker.reload()
    assert done.returncode == 0, done
    assert tracker.versions() == {version_of(tracker.routes.read_text())}


def test_a_storm_of_signals_is_survived(start: Callable[..., FromFiles]) -> None:
    """50 SIGHUPs in 5 s, the table new at each and the workers at every tenth; and those that other servers know.

    Requests on connections of their own all succeed; at the end there are the right workers with the right version.
    """
    tracker = start()
    supervisor = tracker.process.pid
    with Load(tracker.address) as clients:
        for turn in range(50):
            tracker.write(tracker.settings(threads=f"threads: {4 + turn // 10 % 2}"), TABLE + MORE.replace("more", f"more{turn}"))
            tracker.process.send_signal(signal.SIGHUP)
            if turn % 10 == 5:
                for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU):
                    tracker.process.send_signal(number)
            time.sleep(0.1)
        done = tracker.reload()
    assert done.returncode == 0, done
    assert tracker.get("/more49")[0] == 204
    assert tracker.process.poll() is None and tracker.children()["supervisor"] == [supervisor]
    wait_for(lambda: len(tracker.children()["worker"]) == 2, tracker, 15)
    assert [each for each in clients.failures if not each.startswith("kept")] == []
    events = tracker.wait_logged(len(clients.answered), timeout_s=10)
    assert not set(clients.answered) - {event["id"] for event in events}
    assert "Traceback" not in tracker.output.read_text()


def test_bind_and_data_folder_take_a_restart(start: Callable[..., FromFiles]) -> None:
    """They stay as they are, which is said; what else has changed is taken."""
    tracker = start()
    text = tracker.settings(bind="bind: 127.0.0.1:1", data_dir="data_dir: elsewhere", environment="environment: new")
    tracker.write(text)
    done = tracker.reload()
    assert done.returncode == 0 and "; nothing restarted" in done.stdout
    assert "`bind: 127.0.0.1:1` takes a restart" in done.stderr
    assert "`data_dir: elsewhere` takes a restart" in done.stderr
    tracker.get("/imp/c1")
    wait_for(lambda: [event["environment"] for event in tracker.logged()] == ["new"], tracker, 5)
    assert not (tracker.folder / "elsewhere").exists()


def test_without_a_tracker_there_is_nothing_to_reload(start: Callable[..., FromFiles], tmp_path: Path) -> None:
    """75 and a way out; what a dead tracker left behind is not taken for one that lives, whatever its process id says."""
    nobody = reload(cwd=tmp_path)
    assert nobody.returncode == 75 and nobody.stdout == ""
    assert f"No tracker is running on {tmp_path / 'var'}" in nobody.stderr and "--data-dir" in nobody.stderr

    tracker, other = start(), start()
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert bystander.stdin is not None
    tracker.process.kill()
    tracker.process.wait()
    left = tracker.data_dir / "run" / "supervisor.json"
    left.write_text(json.dumps({"pid": bystander.pid, "bind": "127.0.0.1:1"}))
    assert tracker.reload().returncode == 75
    assert bystander.poll() is None
    bystander.communicate(b"\n")
    assert bystander.returncode == 0

    done = other.reload()  # another folder, another tracker
    assert (done.returncode, done.stdout.partition(":")[0]) == (0, "Nothing has changed")
    found = reload("--config", str(other.config), cwd=other.folder)
    assert found.returncode == 0, found


def test_two_trackers_on_one_folder_keep_their_own_settings(start: Callable[..., FromFiles]) -> None:
    """Each has its own files and its own dump; one command asks both."""
    first = start()
    second = start(table=TABLE.replace("/imp/", "/second/"), beside=first)
    assert (first.get("/second/c1")[0], second.get("/imp/c1")[0]) == (404, 404)
    first.write(table=TABLE + MORE)
    second.write(table=TABLE.replace("/imp/", "/2nd/"))
    done = first.reload()
    assert done.returncode == 0, done
    assert sorted(line.split(" Reloaded")[0] for line in done.stdout.splitlines()) == sorted(
        [f"{first.address}:", f"{second.address}:"]
    )
    time.sleep(1.2)  # two looks of every worker
    assert (first.get("/more")[0], first.get("/2nd/c1")[0]) == (204, 404)
    assert (second.get("/more")[0], second.get("/2nd/c1")[0]) == (404, 200)
    first.stop()
    second.write(table=TABLE)
    done = first.reload()
    assert (done.returncode, second.get("/imp/c1")[0]) == (0, 200)


def test_capture_alone_takes_good_settings_at_sighup_and_stays_with_bad_ones(tmp_path: Path) -> None:
    """Without a supervisor new workers take over; with bad settings not even the workers change."""
    with contextlib.ExitStack() as stack:
        table = tmp_path / "routes.yaml"
        table.write_text(TABLE)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        output = stack.enter_context((tmp_path / "output").open("wb"))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "tracker", "capture", "--bind", address, "--workers", "1", "--routes", str(table)],
            cwd=tmp_path, env=environ | {"TRACKER_RING_BYTES_PER_WORKER": "4194304"}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output,
        )
        stack.callback(process.wait, 15)
        stack.callback(process.terminate)

        def status(path: str) -> int:
            connection = http.client.HTTPConnection(address, timeout=5)
            with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", path)
                return connection.getresponse().status
            return 0

        def until(what: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 15
            while not what():
                assert time.monotonic() < deadline, (tmp_path / "output").read_text()
                time.sleep(0.05)

        until(lambda: status("/imp/c1") == 200)
        (worker,) = (tmp_path / "var" / "run" / "workers").iterdir()
        table.write_text("version: 1\nroutes: {x: {}}\n")
        process.send_signal(signal.SIGHUP)
        until(lambda: "routes.x: no `path`" in (tmp_path / "output").read_text())
        assert status("/imp/c1") == 200 and worker.exists()
        table.write_text(TABLE + MORE)
        process.send_signal(signal.SIGHUP)
        until(lambda: status("/more") == 204)
        until(lambda: not worker.exists())
