"""The pages about macros and presets are true: their tags lead somewhere, and their tables say what happens."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from tracker.capture import routing
from tracker.capture.answer import Answer
from tracker.capture.endpoint import Endpoint
from tracker.capture.hit import Hit
from tracker.settings.load import load
from tracker.settings.model import Settings

ROOT = Path(__file__).parents[2]
MACROS = (ROOT / "docs" / "howto" / "macros.md").read_text("utf-8")
PRESETS = (ROOT / "docs" / "howto" / "presets.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", MACROS, re.MULTILINE))
CELL = r" *`?([^|`]*?)`? *"


def filled_in(section: str) -> dict[str, str]:
    """Macro to what its ad server puts in, by the section's table. The longest first: one may begin another."""
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| `([^`]+)` \| [^|]+ \|$", SECTIONS[section], re.MULTILINE)
    return dict(sorted(rows, key=lambda row: -len(row[0])))


def tags(section: str) -> list[str]:
    """The tracker's URLs in a section's code, from the host on; of one that an ad server unwraps, what is inside."""
    blocks = "\n".join(re.findall(r"^```(?:html|xml|text)\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL))
    plain = re.findall(r"https://t\.example(/[^\s\"<>]+?)(?:\]\]>|[\s\"<>]|$)", blocks)
    return plain + [f"encoded:{url}" for url in re.findall(r"https%3A%2F%2Ft\.example([^\s\"<>]+)", blocks)]


SERVERS = [name for name, text in SECTIONS.items() if "Filled in, for example" in text]
TAGS = [(section, url) for section in SERVERS for url in tags(section)]


@cache
def everything(folder: Path) -> Settings:
    """The built-in table and all presets."""
    names = ", ".join(f"presets/{path.name}" for path in sorted((ROOT / "config" / "presets").glob("*.yaml")))
    table = folder / "routes.yaml"
    table.write_text(f"include: [{names}]\n{(ROOT / 'config' / 'routes.yaml').read_text('utf-8')}", "utf-8")
    return load(None, table, {}, {}, (routing.check,))


def send(settings: Settings, url: str) -> Answer:
    path, _, query = url.partition("?")
    hit = Hit("GET", unquote(path), query, {}, b"", "127.0.0.1", 1_763_675_618_123)
    return Endpoint(settings, lambda _: "id-0").answer(hit)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return everything(tmp_path_factory.mktemp("table"))


def test_every_ad_server_has_macros_and_a_tag() -> None:
    """The tests below do not pass for want of tables and tags."""
    assert SERVERS == [
        "OpenRTB exchanges", "VAST players", "Google Ad Manager", "Display & Video 360", "Microsoft Monetize and Invest (Xandr)", "The Trade Desk", "Revive Adserver",
    ]  # fmt: skip
    for section in SERVERS:
        assert len(filled_in(section)) >= 5
        assert tags(section)
    assert len(TAGS) >= 19


@pytest.mark.parametrize("section", SERVERS)
def test_every_macro_of_a_table_is_in_one_of_its_tags(section: str) -> None:
    """Nothing is explained that is not shown, and each tag has nothing that is not explained."""
    text = "\n".join(re.findall(r"^```.*?^```", SECTIONS[section], re.MULTILINE | re.DOTALL))
    for macro in filled_in(section):
        assert macro in text
        text = text.replace(macro, "")
    assert not re.search(r"\$\{|%%|(?<!CDATA)\[[A-Z]{3,}\]|\{[a-z]+\}", text)


@pytest.mark.parametrize(("section", "url"), TAGS, ids=[f"{section[:12]} {url[:60]}" for section, url in TAGS])
def test_a_tag_becomes_a_good_event_once_it_is_filled_in(section: str, url: str, settings: Settings) -> None:
    """As the ad server does it, to the letter: the good lane, no flag, and each value where the table says."""
    for macro, value in filled_in(section).items():
        url = url.replace(macro, value)
    if url.startswith("encoded:"):
        url = unquote(url.removeprefix("encoded:"))
    answer = send(settings, url)
    assert answer.route, "404"
    (event,) = answer.events
    assert (event.lane, event.reason, event.flags) == ("good", "", [])
    if event.event == "click" and answer.reply.fixed.status == 302:
        assert dict(answer.reply.extra)["Location"] == "https://www.shop.example/shoes?click_id=id-0"
    if "site=" in url or "page=" in url or "domain=" in url:
        assert event.dimensions["site"] == "news.example"
    if "price=" in url:
        assert event.metrics["price_micros"] == 1_250_000
    if "timestamp=" in url:
        assert event.timestamp != event.received_at


@pytest.mark.parametrize(("section", "url"), TAGS, ids=[f"{section[:12]} {url[:60]}" for section, url in TAGS])
def test_of_a_tag_that_nobody_filled_in_no_macro_becomes_a_value(section: str, url: str, settings: Settings) -> None:
    """Whatever it is: no dimension holds a macro, nothing is billed, and what was read of them is flagged."""
    if url.startswith("encoded:"):
        return  # without the ad server it is no link at all
    answer = send(settings, url)
    (event,) = answer.events
    assert not [text for text in event.dimensions.values() if re.search(r"[$%\[\]{}\ufffd]", text)]
    assert "cost_nanos" not in event.metrics
    if any(macro in url for macro in filled_in(section) if "CACHE" not in macro):
        assert "macro_unreplaced" in event.flags


def test_the_table_of_prices_says_what_happens(settings: Settings) -> None:
    """Each row: the price, the flag and the lane."""
    rows = re.findall(rf"^\| `(.+?)` \|{CELL}\|{CELL}\|{CELL}(?:: `(\w+)`)? \|$", SECTIONS["What arrives when nobody filled it in"], re.MULTILINE)
    assert len(rows) == 15
    for value, price, flag, lane, reason in rows[1:]:  # the first is the head
        (event,) = send(settings, f"/imp/CAMPAIGN/CREATIVE.gif?price={value.strip()}").events
        assert (event.lane, event.reason) == (lane.strip(": "), reason), value
        assert event.flags == ([flag] if flag else []), value
        assert event.metrics.get("price_micros") == (None if price == "none" else round(float(price) * 1_000_000)), value
        assert ("cost_nanos" in event.metrics) == (price != "none"), value


def test_the_table_of_presets_is_their_routes() -> None:
    """Every route of every preset, with its path and its event, in its preset's row; each file is shown whole."""
    rows = re.findall(r"^\| (?:\[(\w+)\]\(#\w+\))? ?\| `(\w+)` \| `([^`]+)` \| `([^`]+)` \|$", PRESETS, re.MULTILINE)
    told: dict[str, dict[str, tuple[str, str]]] = {}
    name = ""
    for preset, route, path, event in rows:
        name = preset or name
        told.setdefault(name, {})[route] = (path, event)
    real = {}
    for file in (ROOT / "config" / "presets").glob("*.yaml"):
        routes = load(None, file, {}, {}, (routing.check,)).routes.routes
        real[file.stem] = {route: (row.path, row.event or route) for route, row in routes.items()}
        assert f"```{{literalinclude}} ../../config/presets/{file.name}\n" in PRESETS
        assert f"\n## {file.stem}\n" in PRESETS
    assert told == real
