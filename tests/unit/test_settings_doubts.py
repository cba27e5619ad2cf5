"""What is dangerous is refused; what is doubtful is said and refuses nothing; and no secret is ever told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker.delivery import registry
from tracker.settings.addresses import is_public
from tracker.settings.load import Examined, examine, load
from tracker.settings.masked import masked
from tracker.settings.model import Settings
from tracker.settings.problems import Problem

SECRET = "x7Gq2mWz9Lt4RbV8"
ROUTES = "routes:\n  view: {path: /v, reply: pixel}\n  lead: {path: /l, methods: [POST], reply: json, access: open, properties: all}\n"


def examined(folder: Path, tracker: str, routes: str = ROUTES, environ: dict[str, str] | None = None) -> Examined:
    """The two files, examined."""
    (folder / "tracker.yaml").write_text(tracker, "utf-8")
    (folder / "routes.yaml").write_text(routes, "utf-8")
    return examine(folder / "tracker.yaml", folder / "routes.yaml", environ or {}, {}, ())


def file(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "file.yaml"
    path.write_text(text, "utf-8")
    return path


def told(found: Examined) -> list[tuple[str, str]]:
    """Severity and path of each problem."""
    return [(each.severity, each.path) for each in found.problems]


LOG = "collectors: {log: {type: log}}\n"


# --- who may reach it ---


@pytest.mark.parametrize(
    ("bind", "public"),
    [
        ("127.0.0.1:80", False), ("127.8.9.1:80", False), ("[::1]:80", False), ("[::ffff:127.0.0.1]:80", False),
        ("localhost:80", False), ("LocalHost:80", False), ("0.0.0.0:80", True), ("[::]:80", True), ("192.168.1.5:80", True),
        ("[::ffff:10.0.0.1]:80", True), ("[fe80::1%eth0]:80", True), ("tracker.example:80", True), ("localhost.example:80", True),
        ("nonsense", False), ("[nonsense]:80", False),
    ],
)  # fmt: skip
def test_an_address_is_public_unless_it_is_plainly_loopback(bind: str, public: bool) -> None:
    """No name is looked up; what is no address is another check's."""
    assert is_public(bind) is public


def test_a_public_address_without_keys_is_refused_until_somebody_says_so(tmp_path: Path) -> None:
    """The routes are named; each way out works."""
    routes = ROUTES.replace(", access: open", "")
    found = examined(tmp_path, f"bind: 0.0.0.0:80\n{LOG}", routes)
    assert told(found) == [("error", "bind")]
    assert "`lead`" in found.problems[0].message
    assert "`view`" not in found.problems[0].message
    assert examined(tmp_path, f"bind: 0.0.0.0:80\n{LOG}", ROUTES).settings
    assert examined(tmp_path, f"bind: 0.0.0.0:80\npublic_without_keys: true\n{LOG}", routes).settings
    assert examined(tmp_path, f"bind: 0.0.0.0:80\n{LOG}", routes, {"TRACKER_PUBLIC_WITHOUT_KEYS": "true"}).settings
    assert examined(tmp_path, LOG, routes).settings


def test_the_origin_of_a_public_address_is_told() -> None:
    """A variable's or flag's, not that of the file's line which it hides."""
    (problem,) = examine(None, None, {"TRACKER_BIND": "0.0.0.0:80"}, {}, ()).problems
    assert (problem.file, problem.path) == ("environment", "TRACKER_BIND")
    (problem,) = examine(None, None, {}, {"bind": "0.0.0.0:80"}, ()).problems
    assert (problem.file, problem.path) == ("flag", "--bind")


def test_many_routes_are_named_as_five_and_a_number(tmp_path: Path) -> None:
    """A message stays one that people read."""
    routes = "routes:\n" + "".join(f"  r{n}: {{path: /{n}, reply: json}}\n" for n in range(40))
    (problem,) = examined(tmp_path, f"bind: 0.0.0.0:80\n{LOG}", routes).problems
    assert "`r4` and 35 more" in problem.message
    assert "`r5`" not in problem.message


# --- doubts ---


def test_warnings_refuse_nothing_and_do_not_change_the_version(tmp_path: Path) -> None:
    """They come as text, placed like errors, in the settings that are used."""
    found = examined(tmp_path, f"bind: 0.0.0.0:80\n{LOG}")
    assert found.settings is not None
    assert found.settings.warnings == (
        f"{tmp_path}/tracker.yaml:1:7: warning: bind: a public address without `clients.trusted_proxies`: behind a proxy all"
        " events would have its address\n"
        "    1 | bind: 0.0.0.0:80\n"
        "      |       ^ list the networks of your proxies there; without any, all is well",
    )
    assert isinstance(found.problems[0], Problem)
    plain = load(None, None, {}, {}, ())
    assert plain.warnings == ()
    config = tmp_path / "same.yaml"
    config.write_text("signing_keys: {a: {k: " + SECRET + "}}\n")
    doubtful = load(config, None, {}, {}, ())
    assert doubtful.warnings
    without = Settings(tracker=doubtful.tracker, routes=doubtful.routes, version=doubtful.version)
    assert without.version == load(config, None, {}, {}, ()).version


DOUBTS = {
    "no proxy": ("bind: 0.0.0.0:80\n" + LOG, ROUTES, "bind"),
    "open status pages": ("status_networks: [0.0.0.0/0]\n" + LOG, ROUTES, "status_networks"),
    "a folder in memory": ("data_dir: /dev/shm/tracker\n" + LOG, ROUTES, "data_dir"),
    "segments older than their limit": ("journal: {max_age_s: 60}\n" + LOG, ROUTES, "journal"),
    "more workers than rings": ("workers: 9\nring: {max_slots: 8}\n" + LOG, ROUTES, "workers"),
    "a key ring that nobody uses": (LOG + f"signing_keys: {{old: {{k: {SECRET}}}}}", ROUTES, "signing_keys.old"),
    "an event that nobody makes": ("collectors: {log: {type: log, events: [view, lead, led]}}", ROUTES, "collectors.log.events[2]"),
    "an event that nobody takes": ("collectors: {log: {type: log, events: [view]}}", ROUTES, "routes.lead"),
    "good events that nobody takes": ("collectors: {log: {type: log, lanes: [bad]}}", ROUTES, "collectors"),
    "no collector": ("version: 1", ROUTES, "collectors"),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_a_doubt_is_told_once_at_its_place(name: str, tmp_path: Path) -> None:
    """And the settings are used."""
    tracker, routes, path = DOUBTS[name]
    found = examined(tmp_path, tracker, routes)
    assert told(found) in ([("warning", path)], [("warning", f"{path}.segment_age_s")])
    assert found.settings is not None
    assert len(found.settings.warnings) == 1


@pytest.mark.parametrize(
    ("tracker", "routes"),
    [
        (LOG, ROUTES),
        ("bind: 0.0.0.0:80\nclients: {trusted_proxies: [10.0.0.0/8]}\n" + LOG, ROUTES),
        ("collectors: {a: {type: log, events: ['vi*']}, b: {type: log, events: [lead], lanes: [good, bad]}}", ROUTES),
        # A hit may name its event: then every name may come.
        ("collectors: {a: {type: log, events: [view, lead]}, b: {type: log, events: [signup]}}",
         ROUTES + "  any: {path: '/e/{name}', event: path.name, reply: pixel}\n"),
        (LOG + f"signing_keys: {{clicks: {{k: {SECRET}}}}}",
         "routes: {c: {path: /c, reply: {redirect: {to: query.url, signed_by: clicks}}}}"),
    ],
)  # fmt: skip
def test_there_is_no_doubt_where_all_is_well(tracker: str, routes: str, tmp_path: Path) -> None:
    """A warning that cries wolf is worse than none."""
    assert examined(tmp_path, tracker, routes).problems == ()


def test_the_built_in_settings_and_every_preset_are_beyond_doubt() -> None:
    """What we ship says nothing at its start."""
    presets = sorted((Path(__file__).parents[2] / "config" / "presets").glob("*.yaml"))
    assert presets
    for routes in (None, *presets):
        assert load(None, routes, {}, {}, ()).warnings == (), routes


def test_doubts_are_not_told_while_there_are_errors(tmp_path: Path) -> None:
    """First things first."""
    assert told(examined(tmp_path, "bind: 0.0.0.0\ncollectors: {}\n")) == [("error", "bind")]


def test_two_secrets_that_are_one_are_no_rotation(tmp_path: Path) -> None:
    """Told at the second key, without the secret."""
    routes = "routes: {c: {path: /c, reply: {redirect: {to: query.url, signed_by: clicks}}}}"
    found = examined(tmp_path, LOG + f"signing_keys: {{clicks: {{new: {SECRET}, old: {SECRET}}}}}", routes)
    assert told(found) == [("warning", "signing_keys.clicks.old")]
    assert "`new`" in found.problems[0].message
    assert SECRET not in str(found.problems[0])


# --- keys ---


@pytest.mark.parametrize(
    "secret",
    ["changeme12345678", "CHANGE-ME-CHANGE-ME", "replace_me_please", "secretsecretsecret", "my-secret-password", "yoursecretkeyhere",
     "placeholder-secret", "aaaaaaaaaaaaaaaaaaaa", "abababababababab", "0123456789abcdef", "1234567890123456", "example-secret-1234"],
)  # fmt: skip
def test_a_placeholder_is_no_secret(secret: str, tmp_path: Path) -> None:
    """What stands in examples, and what a cat could type."""
    found = examined(tmp_path, f"signing_keys:\n  a:\n    k: '{secret}'\n" + LOG)
    assert told(found) == [("error", "signing_keys.a.k")]
    assert secret not in str(found.problems[0])


def test_random_secrets_are_taken(tmp_path: Path) -> None:
    """Hexadecimal, base64, words: nothing random is taken for a placeholder."""
    import base64
    import random

    made = random.Random(5)
    secrets = [made.randbytes(16).hex() for _ in range(200)] + [base64.b64encode(made.randbytes(24)).decode() for _ in range(200)]
    ring = "".join(f"    k{n}: '{secret}'\n" for n, secret in enumerate([*secrets, "correct horse battery staple"]))
    assert [path for severity, path in told(examined(tmp_path, f"signing_keys:\n  a:\n{ring}{LOG}")) if severity == "error"] == []


WRITTEN = ["{0}", "'{0}", '"{0}', "@{0}", "*{0}", "&a {0} b: c", "!{0}", "[{0}", "[{0}, .nan]", "{{{0}: {0}", "{{{0}: {0}, {0}: {0}}}", "|\n      {0}\n    {0}",
           "${{{0}-", "'{0}\\'", "%{0}", ">-\n     {0}\n  bad: [", "\n      {0}\n      {0}", "\n          {0}: {0}", "'{0}\\x07'", '"{0}\\u0007"']  # fmt: skip
AROUND = ["signing_keys:\n  ring:\n    k1: {0}\n", "signing_keys: {{ring: {{k1: {0}}}}}\n", "{{version: 1, signing_keys: {{ring: {{k1: {0}\n", "signing_keys:\n  ring:\n    # k0: {0}\x07\n    k1: x\n",
          "# signing_keys: {0}\n\x07", "collectors:\n  c:\n    type: log\n    options:\n      password: {0}\n", "collectors: {{c: {{type: log, options: {{api_key: {0}, x: [}}}}\n"]  # fmt: skip


# Lines below a comment are no part of it.
BROKEN = [(around, written) for around in AROUND for written in WRITTEN if "# k0" not in around or "\n" not in written]


@pytest.mark.parametrize(("around", "written"), BROKEN, ids=repr)
def test_no_problem_tells_a_secret(around: str, written: str, tmp_path: Path) -> None:
    """However the file is broken around it: in no message, hint, path or excerpt, nor a part of it."""
    for secret in ("Zq7vKp2wXs9T", "748159263748159263", "9" * 80):
        text = around.format(written.format(secret)) + "bnid: 1\n"
        found = examine(file(tmp_path, text), None, {}, {}, (registry.check,))
        assert found.problems
        assert secret[:6] not in "\n".join(map(str, found.problems)) + repr(found.problems)


@pytest.mark.parametrize("around", ["{0}", "{{version: 1, {0}}}", "  {0}"])
def test_key_rings_in_the_wrong_file_are_masked_too(around: str, tmp_path: Path) -> None:
    """Unknown there, or misspelt; their secrets are not told either."""
    for rings in (f"signing_keys: {{ring: {{k: {SECRET}}}}}", f"signing_key: {{ring: {{k: {SECRET}}}}}"):
        (problem,) = examine(None, file(tmp_path, around.format(rings)), {}, {}, ()).problems
        assert "unknown field" in problem.message
        assert SECRET not in str(problem)


def test_options_with_a_secret_arrive_as_they_are(tmp_path: Path) -> None:
    """Masking is for messages alone."""
    config = file(tmp_path, "collectors: {c: {type: x, options: {password: 12345, token: on, secrets: [a, 1.5, {b: ~}]}}}")
    options = load(config, None, {}, {}, ()).tracker.collectors["c"].options
    assert options == {"password": 12345, "token": True, "secrets": ["a", 1.5, {"b": None}]}


def test_masking_keeps_columns_and_names_of_variables() -> None:
    """The caret stands where it should, and `${NAME}` tells nothing."""
    lines = ["version: 1", "signing_keys:", "  clicks:", "    k1: ${CLICKS_1}", "    k2: 'a b'", "bind: x"]
    shown = masked(lines, ["version", "bind", "signing_keys"])
    assert shown == ["version: 1", "signing_keys:", "  clicks:", "    k1: ${CLICKS_1}", "    k2: ** **", "bind: x"]
    plain = ["routes:", "  a: {dimensions: {token: query.token}}  # a comment"]
    assert masked(plain, ["version"]) == plain


@pytest.mark.parametrize(
    ("route", "doubted"),
    [
        ("reply: pixel, dimensions: {a: query.a}", True), ("reply: pixel, use: [ad]", True), ("reply: pixel, properties: []", True), ("reply: pixel, dimensions: {a: body.a}", False),
        ("reply: pixel, dimensions: {a: {from: [query.a, body/x/0]}}", False), ("reply: pixel, use: [posted]", False), ("reply: pixel, properties: [a]", False),
        ("reply: pixel, preprocess: [trim]", False), ("reply: {redirect: {to: body.u, allow: [a.example]}}", False), ("reply: pixel, methods: [GET]", False),
    ],
)  # fmt: skip
def test_a_route_that_takes_a_body_and_reads_none_is_doubted(route: str, doubted: bool, tmp_path: Path) -> None:
    """It would be answered with a receipt, and what was posted would be gone."""
    sets = "field_sets: {ad: {dimensions: {b: query.b}}, posted: {metrics: {n: {from: body.n, as: integer}}}}\n"
    table = f"{sets}defaults: {{methods: [GET, POST]}}\nroutes: {{r: {{path: /r, {route}}}}}\n"
    assert told(examined(tmp_path, LOG, table)) == ([("warning", "routes.r")] if doubted else [])
