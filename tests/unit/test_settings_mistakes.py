"""One mistake at a time in the built-in files: refused, with file, line, column, the setting's name and a way out."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tracker.settings.load import load
from tracker.settings.problems import Problem, SettingsError

CONFIG = Path(__file__).parents[2] / "config"


class Mistake(NamedTuple):
    """``old`` becomes ``new`` in a built-in file; ``new`` holds ``»`` where the problem must be located."""

    file: str
    old: str
    new: str
    path: str
    message: str
    hint: str = ""


MISTAKES = {
    # names
    "unknown field at the root": Mistake("tracker", "bind:", "»bnid:", "", "unknown field `bnid`", "did you mean `bind`?"),
    "dash for underscore": Mistake("tracker", "data_dir:", "»data-dir:", "", "unknown field `data-dir`", "`data_dir`"),
    "capital letter": Mistake("tracker", "bind:", "»Bind:", "", "unknown field `Bind`", "did you mean `bind`?"),
    "a name like no other": Mistake("tracker", "bind:", "»zzz:", "", "unknown field `zzz`", "known: version, bind, data_dir"),
    "a limit at the root": Mistake(
        "tracker", "data_dir: var", "»max_body_bytes: 5", "", "unknown field `max_body_bytes`", "it belongs under `limits:`"
    ),
    "unknown field of a collector": Mistake(
        "tracker", "lanes: [bad]", "»lane: [bad]", "collectors.bad", "unknown field `lane`", "did you mean `lanes`?"
    ),
    "unknown field of a reply": Mistake(
        "routes", "      redirect:\n        to: query.url", "      »redirct:\n        to: query.url",
        "routes.click.reply", "unknown field `redirct`", "did you mean `redirect`?",
    ),
    "unknown field in a flow mapping": Mistake(
        "routes", "as: vast_event", "»ass: vast_event", "routes.video.dimensions.action", "unknown field `ass`", "`as`"
    ),
    "routes as a list would be": Mistake(
        "routes", "use: [ad]\n    reply: pixel\n    metrics:\n      price", "»uses: [ad]\n    reply: pixel\n    metrics:\n      price",
        "routes.impression", "unknown field `uses`", "did you mean `use`?",
    ),
    "no path": Mistake("routes", "  hit:\n    path: /hit/{event}\n", "  »hit:\n", "routes.hit", "no `path`", "add `path:` and text"),
    "no type": Mistake("tracker", "  bad:                        # hits", "  »empty: {}\n  bad: # hits", "collectors.empty", "no `type`"),
    "route name with a capital": Mistake("routes", "  spring:", "  »Spring:", "routes.Spring", "is not a name: lower-case"),
    "route name with a dash": Mistake("routes", "  spring:", "  »spring-sale:", "routes.spring-sale", "is not a name: lower-case"),
    "the same key twice": Mistake(
        "tracker", "data_dir: var", "data_dir: var\n»bind: 127.0.0.1:9000", "", "`bind` a second time", "the first is in line 4"
    ),
    "the same route twice": Mistake("routes", "  hit:\n", "  »click:\n", "routes", "`click` a second time"),
    # types
    "a number for text": Mistake("tracker", "127.0.0.1:8000", "»8000", "bind", "expected text; YAML reads `8000` as a number", '"8000"'),
    "base sixty": Mistake("tracker", "127.0.0.1:8000", "»1:30", "bind", "YAML reads `1:30` as the number 90", 'quote it: "1:30"'),
    "octal": Mistake("tracker", "data_dir: var", "data_dir: »0123", "data_dir", "YAML reads `0123` as the number 83", '"0123"'),
    "on": Mistake("tracker", "data_dir: var", "data_dir: »on", "data_dir", "YAML reads `on` as true", 'quote it: "on"'),
    "no": Mistake("tracker", "data_dir: var", "environment: »no", "environment", "YAML reads `no` as false", 'quote it: "no"'),
    "a tilde": Mistake("tracker", "data_dir: var", "data_dir: »~", "data_dir", "YAML reads `~` as nothing", 'quote it: "~"'),
    "a float": Mistake("tracker", "data_dir: var", "data_dir: »1.5", "data_dir", "YAML reads `1.5` as a number"),
    "a date": Mistake("routes", "{const: spring}", "{const: »2024-05-01}", "routes.spring.dimensions.campaign.const", "as a date", '"2024-05-01"'),
    "a year": Mistake("routes", "{const: spring}", "{const: »2024}", "routes.spring.dimensions.campaign.const", "as a number", '"2024"'),
    "a year as field": Mistake("routes", "order: query.order", "order: »2024", "routes.conversion.dimensions.order", "expected text or a mapping; YAML"),
    "on as key": Mistake("routes", "order: query.order", "»on: query.order", "routes.conversion.dimensions", "YAML reads the key `on` as true", '"on"'),
    "a number as key": Mistake("routes", "order: query.order", "»1: query.order", "routes.conversion.dimensions", "the key `1` as a number"),
    "no event": Mistake("routes", "    event: path.event", "    event: »no", "routes.hit.event", "YAML reads `no` as false"),
    "text for a list": Mistake("routes", "[GET, POST]", "»POST", "routes.conversion.methods", "expected a list, got text `POST`", "write [POST]"),
    "text for a number": Mistake("tracker", "data_dir: var", "workers: »many", "workers", "expected an integer of at least 0, got text `many`"),
    "a quoted number": Mistake("tracker", "data_dir: var", 'workers: »"4"', "workers", "got text `4`", "without the quotes"),
    "a broken number": Mistake("tracker", "data_dir: var", "workers: »1.5", "workers", "expected an integer of at least 0, got the number `1.5`"),
    "an octal number": Mistake("tracker", "data_dir: var", "workers: »010", "workers", "YAML reads `010` as the number 8", "write 8"),
    "a duration": Mistake("tracker", "data_dir: var", "graceful_timeout_s: »1:30", "graceful_timeout_s", "as the number 90", "write 90"),
    "true for a number": Mistake("tracker", "data_dir: var", "workers: »true", "workers", "got `true`"),
    "a mapping for text": Mistake("tracker", "data_dir: var", "»data_dir: {a: b}", "data_dir", "expected text, got a mapping"),
    "a list for a mapping": Mistake("tracker", "data_dir: var", "limits: »[]", "limits", "expected a mapping, got a list"),
    "a section without its settings": Mistake("tracker", "data_dir: var", "»limits:", "limits", "expected a mapping, got nothing", "leave it out"),
    "maybe": Mistake("routes", "cost: true", "cost: »maybe", "routes.impression.metrics.price.cost", "expected true or false, got text `maybe`"),
    "a list in a list": Mistake("routes", "[query.site, header.referer]", "[»[query.site], header.referer]", "field_sets.ad.dimensions.site.from[0]", "expected text, got a list"),
    # values
    "a version of the future": Mistake("tracker", "version: 1", "version: »2", "version", "expected `1`, got the number `2`"),
    "a wrong word": Mistake("routes", "ack: power", "ack: »powr", "routes.conversion.ack", "expected `power` or `process`, got text `powr`", "did you mean `power`?"),
    "a word for a mapping": Mistake("routes", "reply: no_content", "reply: »nocontent", "routes.hit.reply", "expected `json`, `no_content`, `pixel` or a mapping", "did you mean `no_content`?"),
    "a word for a list": Mistake("routes", "properties: all", "properties: »al", "routes.hit.properties", "expected `all`, `none` or a list", "did you mean `all`?"),
    "off": Mistake("routes", "ip: truncate", "ip: »off", "defaults.privacy.ip", "YAML reads `off` as false", 'quote it: "off"'),
    "a small method": Mistake("routes", "[GET, POST]", "[GET, »post]", "routes.conversion.methods[1]", "got text `post`", "did you mean `POST`?"),
    "a wrong lane": Mistake("tracker", "lanes: [bad]", "lanes: [»baad]", "collectors.bad.lanes[0]", "expected `bad` or `good`", "did you mean `bad`?"),
    "too small": Mistake("tracker", "data_dir: var", "threads: »0", "threads", "expected an integer between 1 and 64, got the number `0`"),
    "too large": Mistake("tracker", "data_dir: var", "threads: »65", "threads", "expected an integer between 1 and 64"),
    "negative": Mistake("tracker", "data_dir: var", "workers: »-1", "workers", "expected an integer of at least 0, got the number `-1`"),
    "beyond 64 bit": Mistake("tracker", "data_dir: var", "workers: »9223372036854775808", "workers", "is too large"),
    "beyond all bits": Mistake("tracker", "data_dir: var", f"workers: »{'9' * 5000}", "workers", "is a number too large"),
    "a currency": Mistake("routes", "unit: cpm, currency: USD", "unit: cpm, currency: »usd", "routes.impression.metrics.price.currency", "`usd` is not three capital letters"),
    "an environment": Mistake("tracker", "data_dir: var", "environment: »my prod", "environment", "`my prod` is not 1 to 64 letters"),
    "a line break at the end": Mistake("tracker", "data_dir: var", "data_dir: »|\n  var", "data_dir", "holds a control character", "write it in one line"),
    "a control character": Mistake("tracker", "data_dir: var", 'data_dir: »"v\\0r"', "data_dir", "holds a control character"),
    # sense
    "no port": Mistake("tracker", "127.0.0.1:8000", "»127.0.0.1", "bind", "`127.0.0.1` is not `host:port`", "such as `127.0.0.1:8000`"),
    "a port too large": Mistake("tracker", "127.0.0.1:8000", "»127.0.0.1:65536", "bind", "`65536` is no port: 0 to 65535"),
    "no host": Mistake("tracker", "127.0.0.1:8000", '»":8000"', "bind", "names no host", "`0.0.0.0:8000` for every interface"),
    "a star for a host": Mistake("tracker", "127.0.0.1:8000", '»"*:8000"', "bind", "`*` is no host"),
    "an address of three": Mistake("tracker", "127.0.0.1:8000", "»127.0.1:8000", "bind", "`127.0.1` is no IPv4 address"),
    "IPv6 without brackets": Mistake("tracker", "127.0.0.1:8000", '»"::1:8000"', "bind", "stands in brackets"),
    "an URL": Mistake("tracker", "127.0.0.1:8000", "»http://localhost:8000", "bind", "an IPv6 address stands in brackets"),
    "no folder": Mistake("tracker", "data_dir: var", 'data_dir: »""', "data_dir", "empty"),
    "host bits": Mistake("tracker", "data_dir: var", "status_networks: [»10.1.2.3/8]", "status_networks[0]", "is no network", "did you mean `10.0.0.0/8`?"),
    "a name for a network": Mistake("tracker", "data_dir: var", "status_networks: [10.0.0.0/8, »localhost]", "status_networks[1]", "is no network", "such as"),
    "a journal smaller than a segment": Mistake("tracker", "data_dir: var", "journal: {max_bytes: »100000}", "journal.max_bytes", "less than `segment_bytes`"),
    "a pattern for shells": Mistake("tracker", 'events: ["*"]', 'events: ["*", »"video?"]', "collectors.log.events[1]", "can match no event"),
    "no pattern": Mistake("tracker", 'events: ["*"]', "»events: []", "collectors.log.events", "not one event"),
    "no lane": Mistake("tracker", "lanes: [bad]", "»lanes: []", "collectors.bad.lanes", "not one lane"),
    # YAML
    "a tab": Mistake("tracker", "  log: ", "»\tlog: ", "", "a tab; YAML wants spaces"),
    "a star without quotes": Mistake("tracker", '["*"]', "[»*]", "collectors.log.events[0]", "not YAML", 'must be quoted: "*..."'),
    "a domain's star without quotes": Mistake("routes", '"*.shop.example"', "»*.shop.example", "routes.click.reply.redirect.allow[1]", "not YAML", "must be quoted"),
    "a name's star without quotes": Mistake("tracker", '["*"]', "[»*click]", "collectors.log.events[0]", "unknown alias `*click`", 'must be quoted: "*click"'),
    "an at sign": Mistake("tracker", "data_dir: var", "data_dir: »@var", "data_dir", "not YAML", "must be quoted"),
    "a template in a flow mapping": Mistake("routes", "/hit/{event}\n", "/hit/{event}\n    privacy: {ip: /x/»{event}}\n", "routes.hit.privacy", "not YAML", "quote text that holds"),
    "a colon in text": Mistake("tracker", "data_dir: var", "data_dir: a»: b", "", "not YAML: mapping values", "quote text that holds `: `"),
    "a bracket left open": Mistake("routes", "use: [ad]\n    reply: pixel\n    metrics:\n      price", "use: [ad\n    reply»: pixel\n    metrics:\n      price", "", "not YAML", ""),
    "a tag": Mistake("tracker", "data_dir: var", "data_dir: »!!python/object/apply:os.system [id]", "data_dir", "unknown tag `!!python/object/apply:os.system`"),
    "a tag of one's own": Mistake("tracker", "data_dir: var", "data_dir: »!env HOME", "data_dir", "unknown tag `!env`", "remove it"),
    "a merge": Mistake("tracker", "data_dir: var", "»<<: {workers: 1}", "", "merge keys are not read"),
    "a second document": Mistake("tracker", "data_dir: var", "»---\ndata_dir: var", "", "a second document"),
    "a missing variable": Mistake("tracker", "data_dir: var", "data_dir: /srv/»${NO_SUCH}/x", "data_dir", "environment variable `NO_SUCH` is not set", "${NAME:-default}"),
    "an ad macro": Mistake("routes", "to: query.url", "to: https://x.example/?p=»${AUCTION_PRICE}", "routes.click.reply.redirect.to", "`AUCTION_PRICE` is not set", "write `$${`"),
    "half a variable": Mistake("tracker", "data_dir: var", "data_dir: x»${HOME", "data_dir", "`${` is not followed by a variable's name"),
    "a line separator": Mistake("tracker", "data_dir: var", "data_dir: va»\u2028r", "", "U+2028 breaks lines invisibly"),
    "a bell": Mistake("tracker", "data_dir: var", "data_dir: va»\x07r", "", "U+0007 does not belong"),
}


def only_problem(mistake: Mistake, folder: Path) -> tuple[Problem, str, str]:
    """What ``load`` says about the one mistake, the place that was marked, and the whole text."""
    text = (CONFIG / f"{mistake.file}.yaml").read_text("utf-8")
    assert text.count(mistake.old) == 1, f"the built-in file has changed: {mistake.old!r}"
    text = text.replace(mistake.old, mistake.new)
    before, mark, after = text.partition("»")
    assert mark
    path = folder / f"{mistake.file}.yaml"
    path.write_bytes((before + after).encode("utf-8"))
    config, routes = (path, None) if mistake.file == "tracker" else (None, path)
    with pytest.raises(SettingsError) as caught:
        load(config, routes, {}, {}, ())
    assert len(caught.value.problems) == 1, str(caught.value)
    place = f"{path}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    return caught.value.problems[0], place, str(caught.value)


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_refused_at_its_place(mistake: Mistake, tmp_path: Path) -> None:
    """One problem, at the line and column of the mistake, naming the setting, saying what is wrong and how to repair it."""
    problem, place, text = only_problem(mistake, tmp_path)
    assert f"{problem.file}:{problem.line}:{problem.column}" == place
    if mistake.path or not problem.message.startswith("not YAML"):
        assert problem.path == mistake.path
    assert mistake.message in problem.message
    assert mistake.hint in problem.hint
    first, excerpt, caret, count = text.split("\n")
    assert first.startswith(f"{place}: {problem.path}"[:200])
    assert excerpt.startswith(f"{problem.line:5d} | ")
    assert caret.index("^") - len("      | ") <= 100
    assert count == "1 problem; nothing was started."


def test_there_are_many_mistakes() -> None:
    """The list above is the promise: at least 60 files with one mistake each."""
    assert len(MISTAKES) >= 60


def test_a_problem_reads_like_a_compilers(tmp_path: Path) -> None:
    """Place, path, message; the line with its number; a caret below the column, and the hint behind it."""
    path = tmp_path / "routes.yaml"
    path.write_text("routes:\n  click:\n    path: /c\n    reply:\n      redirct: https://shop.example/\n", "utf-8")
    with pytest.raises(SettingsError) as caught:
        load(None, path, {}, {}, ())
    assert str(caught.value) == (
        f"{path}:5:7: routes.click.reply: unknown field `redirct`\n"
        "    5 |       redirct: https://shop.example/\n"
        "      |       ^ did you mean `redirect`?\n"
        "1 problem; nothing was started."
    )


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Those of both files, the environment and the flags, in this order and by line."""
    config, routes = tmp_path / "t.yaml", tmp_path / "r.yaml"
    config.write_text("version: 1\nthreads: 0\nbnid: x\ncollectors: {log: {type: log, lanes: [god, bad]}}\n", "utf-8")
    routes.write_text("routes:\n  a: {path: /a, reply: pixl}\n  b: {reply: pixel, use: ad}\n", "utf-8")
    with pytest.raises(SettingsError) as caught:
        load(config, routes, {"TRACKER_WORKERS": "x"}, {"threads": "y"}, ())
    places = [(each.file, each.line, each.column, each.path) for each in caught.value.problems]
    assert places == [
        (str(config), 2, 10, "threads"),
        (str(config), 3, 1, ""),
        (str(config), 4, 39, "collectors.log.lanes[0]"),
        (str(routes), 2, 24, "routes.a.reply"),
        (str(routes), 3, 3, "routes.b"),
        (str(routes), 3, 26, "routes.b.use"),
        ("environment", 0, 0, "TRACKER_WORKERS"),
        ("flag", 0, 0, "--threads"),
    ]
    assert str(caught.value).endswith("\n8 problems; nothing was started.")


def test_a_caret_stands_below_its_column_whatever_stands_before(tmp_path: Path) -> None:
    """Wide characters take two cells, a tab in a comment above moves nothing, and a long line is cut around its mistake."""
    config = tmp_path / "t.yaml"
    long = "x" * 300
    config.write_text(f'#\tnote\nenvironment: "広告"\ndata_dir: {{"ä{long}": 5}}\nlimits: {{"{long}": 5, workers: 6}}\n', "utf-8")
    with pytest.raises(SettingsError) as caught:
        load(config, None, {}, {}, ())
    lines = str(caught.value).split("\n")
    assert lines[1] == '    2 | environment: "広告"'
    assert lines[2] == "      |              ^"
    last = [line for line in lines if "workers" in line][-1]
    caret = lines[lines.index(last) + 1]
    assert last[caret.index("^") :].startswith("workers: 6}")
    assert all(len(line) < 300 for line in lines[1:])
