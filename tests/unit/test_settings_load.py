"""Loading: which file, what wins, where a fault is located, and what child processes get."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from tracker.settings.addresses import split_bind
from tracker.settings.load import dump, load, restore, variables
from tracker.settings.model import Routes, Settings, Tracker
from tracker.settings.problems import Fault, SettingsError


def written(folder: Path, text: str | bytes, name: str = "tracker.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return path


def refusal(*args: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(*args)
    return str(caught.value)


def tracker(config: Path | None = None, environ: dict[str, str] | None = None, **flags: object) -> Tracker:
    return load(config, None, environ or {}, {key.replace("__", "."): value for key, value in flags.items()}, ()).tracker


# --- files ---


def test_without_files_the_built_in_ones_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker.yaml that happens to lie in the working folder is not picked up."""
    written(tmp_path, "bind: 127.0.0.1:1\n")
    monkeypatch.chdir(tmp_path)
    settings = load(None, None, {}, {}, ())
    assert settings.tracker.bind == "127.0.0.1:8000"
    assert set(settings.tracker.collectors) == {"log", "bad"}
    assert set(settings.routes.routes) == {"impression", "click", "spring", "conversion", "video", "hit"}


def test_variables_name_the_files_and_flags_win(tmp_path: Path) -> None:
    """TRACKER_CONFIG and TRACKER_ROUTES count only where no flag names the file; empty means not given."""
    one, two = written(tmp_path, "workers: 1\n", "1.yaml"), written(tmp_path, "workers: 2\n", "2.yaml")
    assert tracker(None, {"TRACKER_CONFIG": str(one)}).workers == 1
    assert tracker(two, {"TRACKER_CONFIG": str(one)}).workers == 2
    assert tracker(None, {"TRACKER_CONFIG": ""}).workers == 0
    routes = written(tmp_path, "routes: {a: {path: /a, reply: pixel}}", "r.yaml")
    assert list(load(None, None, {"TRACKER_ROUTES": str(routes)}, {}, ()).routes.routes) == ["a"]


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    """With its name, and with the variable if that named it; a folder and an impossible name too."""
    gone = tmp_path / "gone.yaml"
    assert refusal(gone, None, {}, {}, ()) == f"{gone}: no such file\n1 problem; nothing was started."
    assert "      = named by TRACKER_ROUTES\n" in refusal(None, None, {"TRACKER_ROUTES": str(gone)}, {}, ())
    assert refusal(tmp_path, None, {}, {}, ()).startswith(f"{tmp_path}: a folder, not a file\n")
    assert "not a path" in refusal(Path("a\0b"), None, {}, {}, ())
    assert "cannot be read" in refusal(Path("x" * 5000), None, {}, {}, ())


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "\ufeff"], ids=repr)
def test_an_empty_file_is_a_problem(tmp_path: Path, text: str) -> None:
    """It may be half written; who wants the defaults names no file."""
    assert "the file is empty" in refusal(written(tmp_path, text), None, {}, {}, ())


@pytest.mark.parametrize("text", ["[a]", "text", "- a: b", "5", "null", "~", '""'])
def test_a_root_that_is_no_mapping_is_a_problem(tmp_path: Path, text: str) -> None:
    """Lists and single values configure nothing."""
    assert ":1:1: not a mapping" in refusal(written(tmp_path, text), None, {}, {}, ())


def test_a_table_without_routes_is_a_problem(tmp_path: Path) -> None:
    """Nothing would be tracked: located at the key, or at the beginning if there is none."""
    assert f"{tmp_path}/r.yaml:2:1: routes: not one route" in refusal(
        None, written(tmp_path, "version: 1\nroutes: {}\n", "r.yaml"), {}, {}, ()
    )
    assert ":1:1: routes: not one route" in refusal(None, written(tmp_path, "version: 1\n", "r.yaml"), {}, {}, ())


def test_bytes_that_are_not_utf_8_are_located(tmp_path: Path) -> None:
    """Line and column of the first wrong byte."""
    text = refusal(written(tmp_path, b"version: 1\ndata_dir: \xc3\xa4\xff\n"), None, {}, {}, ())
    assert ":2:12: not UTF-8: byte 0xff at position 23\n" in text
    assert "not UTF-8" in refusal(written(tmp_path, "bind: x\n".encode("utf-16")), None, {}, {}, ())


def test_a_byte_order_mark_and_windows_lines_are_fine(tmp_path: Path) -> None:
    """As some editors write them; columns are not moved."""
    assert tracker(written(tmp_path, b"\xef\xbb\xbfversion: 1\r\nworkers: 3\r\n")).workers == 3
    text = refusal(written(tmp_path, b"\xef\xbb\xbfbnid: 1\r\nworkers: 3\r\n"), None, {}, {}, ())
    assert ":1:1: unknown field `bnid`\n    1 | bnid: 1\n" in text


def test_a_file_over_a_mebibyte_is_refused(tmp_path: Path) -> None:
    """And one of exactly that size is read."""
    head = "version: 1\n#"
    assert tracker(written(tmp_path, head + "x" * (1_048_576 - len(head)))).version == 1
    assert "larger than 1048576 bytes" in refusal(written(tmp_path, head + "x" * (1_048_577 - len(head))), None, {}, {}, ())


# --- YAML's dangers ---


def test_anchors_are_for_small_things(tmp_path: Path) -> None:
    """An alias gives the value again; a mistake in it is told where it is written."""
    config = written(tmp_path, "collectors:\n  a: &log {type: log, lanes: [good]}\n  b: *log\n")
    assert tracker(config).collectors["b"].lanes == ("good",)
    config = written(tmp_path, "collectors:\n  a: &log {type: log, lanes: &x [gut]}\n  b: {type: log, lanes: *x}\n")
    assert refusal(config, None, {}, {}, ()).count(":2:34: ") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]\n", "stands inside of what it names"),
        ("&a a: *a\nb: &b {c: *b}\n", "stands inside of what it names"),
        ("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20)), "more than 200000 keys and values"),
        ("a: &a x\nb: [" + "*a, " * 300 + "]\n", "more than 256 aliases"),
        ("a: " + "[" * 500_000, "nested deeper than 64"),
        ("a: " + "{a: " * 200_000, "nested deeper than 64"),
        ("- " * 500_000, "nested deeper than 64"),
        ("".join(" " * n + "a:\n" for n in range(1000)), "nested deeper than 64"),
        ("".join(f"k{n}: 1\n" for n in range(80_000)), "100 problems or more; nothing was started."),
        ("a: 1\n" * 150_000, "100 problems or more"),
        ("a: " + "1:" * 300_000 + "1\n", "a number too large"),
        ("a: " + "9" * 1_000_000 + "\n", "a number too large"),
        ("? " + "x" * 1_000_000 + "\n: 1\n", "unknown field"),
        ("data_dir: '" + "${A}" * 200_000 + "'\n", "`A` is not set"),
        ("data_dir: " + "${" * 300_000 + "\n", "is not followed by"),
        ("bind: " + "a." * 400_000 + ":1\n", "is no host"),
        ("bind: " + "a-" * 400_000 + ":1\n", "is no host"),
        ("signing_keys:\n" + "".join(f" {' ' * (n % 50)}k{n}: token {n}\n" for n in range(50_000)) + "bnid: 1", "problem"),
        ("signing_keys: {" + "sign_keys password: " * 45_000, "not YAML"),
        ("collectors: {log: {type: log, options: {a: " + "0" * 900_000 + "x}}}\nb: 1", "unknown field `b`"),
    ],
    ids=lambda value: value[:24] if len(value) > 100 else value,
)  # fmt: skip
def test_a_malicious_file_is_refused_at_once(tmp_path: Path, text: str, message: str) -> None:
    """No recursion, no explosion, no quadratic time: even the largest is done within seconds on a busy machine."""
    begun = time.process_time()
    assert message in refusal(written(tmp_path, text), None, {}, {}, ())
    assert time.process_time() - begun < 3


def test_quotes_make_text_of_anything(tmp_path: Path) -> None:
    """The advice of the error messages works; so does the tag !!str."""
    config = written(tmp_path, 'data_dir: "0123"\nenvironment: !!str 2024\n')
    assert (tracker(config).data_dir, tracker(config).environment) == ("0123", "2024")


def test_no_text_steers_the_terminal(tmp_path: Path) -> None:
    """Escape sequences from a file reach the message only as replacement characters."""
    text = refusal(written(tmp_path, '"\\e[31m\\u202e": 1\ndata_dir: "\\e]0;x\\a"\n'), None, {}, {}, ())
    assert all(character.isprintable() or character == "\n" for character in text)


# --- variables inside of files ---


def test_variables_in_a_file_are_put_in(tmp_path: Path) -> None:
    """${NAME}, ${NAME:-default} where it is unset or empty, and $${ for the text itself."""
    config = written(tmp_path, "data_dir: /srv/${WHO}/${SUB:-x}${EMPTY:-y}\nenvironment: '${E:-}${WHO}'\n")
    assert tracker(config, {"WHO": "me", "EMPTY": ""}).data_dir == "/srv/me/xy"
    assert tracker(config, {"WHO": "me", "EMPTY": ""}).environment == "me"
    assert tracker(written(tmp_path, "data_dir: $${A}$$${A}$A$$\n"), {}).data_dir == "${A}$${A}$A$$"


def test_a_variable_is_read_as_what_its_setting_is(tmp_path: Path) -> None:
    """A number where a number is due, a list where a list is; text stays text, whatever YAML would make of it."""
    config = written(
        tmp_path,
        "workers: ${N}\ndata_dir: ${D}\nstatus_networks: ${S}\n"
        'collectors: {c: {type: log, options: {a: "${N}"}}, d: {type: log, options:\n {b: "x",\n c: [1.5, 2]}}}\n',
    )
    found = tracker(config, {"N": "4", "D": "on", "S": "10.0.0.0/8, ::1/128"})
    assert (found.workers, found.data_dir) == (4, "on")
    assert found.status_networks == ("10.0.0.0/8", "::1/128")
    assert found.collectors["c"].options == {"a": "4"}
    block = written(tmp_path, "collectors:\n  c:\n    type: log\n    options:\n      a: ${N}\n      b: ${B}\n      c: ${T}\n      d: ${F}\n")
    assert tracker(block, {"N": "4", "B": "true", "T": "on", "F": "1.5"}).collectors["c"].options == {
        "a": 4, "b": True, "c": "on", "d": 1.5,
    }  # fmt: skip


def test_a_variable_cannot_bring_yaml_or_a_secret_into_a_message(tmp_path: Path) -> None:
    """Its value is never parsed as YAML, and never shown by what reads the file."""
    config = written(tmp_path, "data_dir: ${X}\n")
    assert tracker(config, {"X": "{a: b} # \"'"}).data_dir == "{a: b} # \"'"
    text = refusal(written(tmp_path, "workers: ${X}\nenvironment: a ${X}\n"), None, {"X": "hunter2!"}, {}, ())
    assert "hunter2" not in text
    assert "got the text of `${X}`" in text
    assert "the text of `a ${X}` is not 1 to 64" in text
    assert "holds a control character" in refusal(config, None, {"X": "a\nb"}, {}, ())
    assert "not UTF-8" in refusal(config, None, {"X": os.fsdecode(b"a\xff")}, {}, ())


# --- layers ---


def test_file_then_environment_then_flags(tmp_path: Path) -> None:
    """Later wins, setting by setting; a flag that was not given (None) wins nothing."""
    config = written(tmp_path, "workers: 1\nthreads: 1\nlimits: {max_body_bytes: 1, max_json_depth: 1}\n")
    found = tracker(config, {"TRACKER_WORKERS": "2", "TRACKER_LIMITS_MAX_BODY_BYTES": "2"}, workers=3, threads=None)
    assert (found.workers, found.threads) == (3, 1)
    assert (found.limits.max_body_bytes, found.limits.max_json_depth) == (2, 1)
    found = tracker(config, {"TRACKER_THREADS": "5"}, threads="7", limits__max_json_depth=9)
    assert (found.threads, found.limits.max_json_depth) == (7, 9)


def test_every_single_setting_has_exactly_one_variable() -> None:
    """Made from the model: none forgotten, no name twice; what people name (collectors) and a file's version have none."""
    def leaves(value: object, path: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
        assert isinstance(value, msgspec.Struct)
        for name in value.__struct_fields__:
            inner = getattr(value, name)
            if isinstance(inner, msgspec.Struct):
                yield from leaves(inner, (*path, name))
            elif not isinstance(inner, dict):
                yield (*path, name)

    expected = [path for path in leaves(Tracker(), ()) if path != ("version",)]
    assert list(variables().values()) == expected
    assert list(variables()) == ["TRACKER_" + "_".join(path).upper() for path in expected]
    assert {"TRACKER_BIND", "TRACKER_JOURNAL_SYNC_INTERVAL_MS", "TRACKER_LIMITS_MAX_BODY_BYTES"} <= set(variables())


ANOTHER = {
    "TRACKER_BIND": "[::1]:9", "TRACKER_DATA_DIR": "/srv/tracker", "TRACKER_ENVIRONMENT": "staging",
    "TRACKER_DOOR": "portable", "TRACKER_CLIENTS_PROXY_HEADER": "forwarded",
}  # fmt: skip
"""For each variable of text, a value that is not the default."""


@pytest.mark.parametrize("name", variables())
def test_every_variable_reaches_its_setting(name: str) -> None:
    """Another value than the default arrives, and arrives alone."""
    path = variables()[name]
    before: Any = Tracker()
    for step in path:
        before = getattr(before, step)
    value: Any = ANOTHER.get(name)
    match before:
        case bool():
            value = not before
        case int():
            value = before + 1
        case tuple():
            value = ("10.0.0.0/8", "fd00::/8")
    text = ",".join(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)
    # A PROXY header needs somebody who may send it.
    more = {"TRACKER_CLIENTS_TRUSTED_PROXIES": "10.0.0.0/8"} if name == "TRACKER_CLIENTS_PROXY_PROTOCOL" else {}
    found, base = tracker(None, {name: text} | more), tracker(None, more)
    after: Any = found
    for step in path:
        after = getattr(after, step)
    assert after == value
    changed = [other for other in variables().values() if other != path and _at(found, other) != _at(base, other)]
    assert changed == []


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        value = getattr(value, step)
    return value


def test_a_list_in_a_variable_is_separated_by_commas() -> None:
    """Blanks around the items do not count; an empty text is an empty list."""
    assert tracker(None, {"TRACKER_STATUS_NETWORKS": " ::1/128 ,10.0.0.0/8"}).status_networks == ("::1/128", "10.0.0.0/8")
    assert tracker(None, {"TRACKER_STATUS_NETWORKS": ""}).status_networks == ()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRACKER_BNID", "x", "environment: TRACKER_BNID: unknown variable\n      = did you mean `TRACKER_BIND`?"),
        ("TRACKER_QQQQQQ", "x", "unknown variable\n      = a variable is TRACKER_ and a setting's path"),
        ("TRACKER_WORKERS", "4 ", "environment: TRACKER_WORKERS: expected an integer of at least 0, got `4 `"),
        ("TRACKER_WORKERS", "", "environment: TRACKER_WORKERS: expected an integer of at least 0, got empty text"),
        ("TRACKER_WORKERS", "-1", "environment: TRACKER_WORKERS: expected an integer of at least 0"),
        ("TRACKER_WORKERS", "9" * 70, "environment: TRACKER_WORKERS: expected an integer"),
        ("TRACKER_WORKERS", "9" * 30, "is too large"),
        ("TRACKER_WORKERS", "1_", ""),
        ("TRACKER_THREADS", "0x10", "expected an integer between 1 and 64, got `0x10`"),
        ("TRACKER_ENVIRONMENT", "a b", "environment: TRACKER_ENVIRONMENT: `a b` is not 1 to 64 letters"),
        ("TRACKER_ENVIRONMENT", "prod\n", "holds a control character"),
        ("TRACKER_DATA_DIR", os.fsdecode(b"\xff"), "holds bytes that are not UTF-8"),
        ("TRACKER_DATA_DIR", "", "environment: TRACKER_DATA_DIR: empty"),
        ("TRACKER_BIND", "8000", "environment: TRACKER_BIND: `8000` is not `host:port`\n      = such as"),
        ("TRACKER_STATUS_NETWORKS", "::1/128,x", "environment: TRACKER_STATUS_NETWORKS: `x` is no network"),
        ("TRACKER_COLLECTORS_LOG_TYPE", "x", "unknown variable"),
        ("TRACKER_VERSION", "1", "unknown variable"),
    ],
)
def test_a_wrong_variable_is_a_problem(name: str, value: str, message: str) -> None:
    """Located at the environment, whatever the file says; a harmless underscore is none."""
    if not message:
        assert tracker(None, {name: value}).workers == 1
        return
    text = refusal(None, None, {name: value}, {}, ())
    assert message in text
    assert text.endswith("\n1 problem; nothing was started.")


def test_variables_of_a_kubernetes_service_and_strangers_are_let_pass() -> None:
    """A service named `tracker` adds such variables to each pod of its namespace."""
    tracker(None, {
        "TRACKER_SERVICE_HOST": "10.0.0.1", "TRACKER_SERVICE_PORT": "8000", "TRACKER_SERVICE_PORT_HTTP": "8000",
        "TRACKER_PORT": "tcp://10.0.0.1:8000", "TRACKER_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "TRACKER_PORT_8000_TCP_ADDR": "10.0.0.1", "TRACKER_PORT_8000_TCP_PROTO": "tcp",
        "TRACKER_CONSOLE_SERVICE_HOST": "10.0.0.2", "PATH": "/bin", "TRACKERS": "x", "TRACKER_BOOT_ID": "x",
    })  # fmt: skip
    assert "unknown variable" in refusal(None, None, {"TRACKER_PORT": "8000"}, {}, ())


def test_a_wrong_flag_is_a_problem() -> None:
    """Located at the flag as people type it."""
    assert refusal(None, None, {}, {"bind": "9"}, ()).startswith("flag: --bind: `9` is not `host:port`\n")
    assert refusal(None, None, {}, {"data_dir": 5}, ()).startswith("flag: --data-dir: expected text, got the number `5`\n")
    assert "flag: --worker: unknown setting\n      = did you mean `--workers`?" in refusal(None, None, {}, {"worker": 5}, ())


def test_a_mistake_in_the_file_is_told_even_if_a_flag_hides_it(tmp_path: Path) -> None:
    """Or it would come back on the day somebody forgets the flag."""
    assert ":1:10: workers: expected" in refusal(written(tmp_path, "workers: x\n"), None, {}, {"workers": 4}, ())


# --- checks ---


def test_the_fault_of_a_check_gets_its_place(tmp_path: Path) -> None:
    """A single value's own, else its key's, else the nearest parent's; its origin's if it came from elsewhere."""
    config = written(tmp_path, "limits:\n  max_json_depth: 5\ncollectors:\n  c:\n    type: log\n    events: [a, b]\n")
    routes = written(tmp_path, "routes:\n  a:\n    path: /a\n    reply: pixel\n    dimensions: {x: {from: [query.a]}}\n", "r.yaml")
    paths: list[tuple[Literal["tracker", "routes"], tuple[str | int, ...], tuple[str, int, int]]] = [
        ("tracker", ("limits", "max_json_depth"), ("tracker.yaml", 2, 19)),
        ("tracker", ("limits",), ("tracker.yaml", 1, 1)),
        ("tracker", ("limits", "max_body_bytes"), ("tracker.yaml", 1, 1)),
        ("tracker", ("journal", "max_bytes"), ("tracker.yaml", 1, 1)),
        ("tracker", ("collectors", "c", "events"), ("tracker.yaml", 6, 5)),
        ("tracker", ("collectors", "c", "events", 1), ("tracker.yaml", 6, 17)),
        ("tracker", ("collectors", "c", "events", 9), ("tracker.yaml", 6, 5)),
        ("tracker", ("collectors", "c", "options", "x"), ("tracker.yaml", 4, 3)),
        ("routes", ("routes", "a", "path"), ("r.yaml", 3, 11)),
        ("routes", ("routes", "a", "path", 0), ("r.yaml", 3, 11)),
        ("routes", ("routes", "a", "dimensions", "x", "from_", 0), ("r.yaml", 5, 29)),
        ("routes", ("workers",), ("r.yaml", 1, 1)),
        ("tracker", ("workers",), ("environment", 0, 0)),
        ("tracker", ("status_networks", 1), ("flag", 0, 0)),
    ]
    environ = {"TRACKER_WORKERS": "2", "TRACKER_STATUS_NETWORKS": "::1/128"}
    for file, path, expected in paths:
        with pytest.raises(SettingsError) as caught:
            load(config, routes, environ, {"status_networks": "::1/128"}, [lambda *_, f=file, p=path: [Fault(f, p, "no", "yes")]])
        (problem,) = caught.value.problems
        assert (problem.file.rpartition("/")[2], problem.line, problem.column) == expected, path
        assert (problem.message, problem.hint) == ("no", "yes")


def test_checks_see_settings_whose_structure_is_right(tmp_path: Path) -> None:
    """None is called while a field is wrong; all are called, and each of their faults told once, in the files' order, if not."""
    seen: list[tuple[Tracker, Routes]] = []

    def check(found: Tracker, routes: Routes) -> Iterable[Fault]:
        seen.append((found, routes))
        yield Fault("routes", ("routes", "click"), "second")
        yield Fault("tracker", ("bind",), "first")

    assert "second" not in refusal(written(tmp_path, "worker: 1"), None, {}, {}, [check])
    assert seen == []
    text = refusal(None, None, {}, {}, [check, check])
    assert len(seen) == 2
    assert text.index("first") < text.index("second")
    assert text.endswith("2 problems; nothing was started.")
    assert text.startswith("built-in tracker.yaml:5:7: bind: first\n    5 | bind: 127.0.0.1:8000\n      |       ^\n")


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)), ("0.0.0.0:65535", ("0.0.0.0", 65535)), ("[::1]:80", ("::1", 80)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)), ("localhost:8000", ("localhost", 8000)), ("a-b.c_d:1", ("a-b.c_d", 1)),
    ],
)  # fmt: skip
def test_an_address_is_split(bind: str, expected: tuple[str, int]) -> None:
    """Host and port, the brackets taken off."""
    assert split_bind(bind) == expected


@pytest.mark.parametrize(
    "bind", ["", ":", "8000", ":80", "a:", "a:b", "a:-1", "a:65536", "a:٣", "[::1:80", "::1:80", "[x]:80", "a b:80", "-a:80", "1.2:3", "a..b:1", "a:1 ", "[::1]"]
)
def test_an_address_that_is_none_is_refused(bind: str) -> None:
    """With a ValueError that says why."""
    with pytest.raises(ValueError, match=r".+"):
        split_bind(bind)


# --- for child processes ---


def test_a_dump_is_restored_exactly(tmp_path: Path) -> None:
    """The built-in settings, and a collector's options of every JSON type."""
    assert restore(dump(load(None, None, {}, {}, ()))) == load(None, None, {}, {}, ())
    config = written(tmp_path, "collectors: {c: {type: x, options: {a: [1, 1.0, 1.5e+300, true, null, 'ü\U0001f600', -0.0], b: {c: {}}, d: 2024-01-01}}}")
    settings = load(config, None, {}, {}, ())
    again = restore(dump(settings))
    assert again == settings
    assert repr(again) == repr(settings)
    assert again.tracker.collectors["c"].options["d"] == "2024-01-01"


@pytest.mark.parametrize("raw", [b"", b"{}", b"null", b"\xff", b'{"tracker":{},"routes":{}}', b"[" * 100_000])
def test_what_is_no_dump_is_refused(raw: bytes) -> None:
    """With a ValueError."""
    with pytest.raises(ValueError, match=r"dump|utf-8"):
        restore(raw)


def test_the_version_changes_with_the_settings_and_with_nothing_else(tmp_path: Path) -> None:
    """Order of lines, comments, and defaults written out do not change it; any value does."""
    def version(text: str, **flags: object) -> str:
        return load(written(tmp_path, text), None, {}, flags, ()).version

    one = version("workers: 2\nbind: 127.0.0.1:1\ncollectors: {a: {type: log}, b: {type: log}}\n")
    assert len(one) == 12
    assert set(one) <= set("0123456789abcdef")
    assert one == version("# x\ncollectors: {b: {type: log}, a: {type: log, lanes: [good]}}\nbind: 127.0.0.1:1\nworkers: 2\nthreads: 4\n")
    assert one != version("workers: 2\nbind: 127.0.0.1:1\ncollectors: {a: {type: log}, c: {type: log}}\n")
    assert one != version("workers: 2\nbind: 127.0.0.1:1\ncollectors: {a: {type: log}, b: {type: log}}\n", workers=3)
    assert isinstance(load(None, None, {}, {}, ()), Settings)
