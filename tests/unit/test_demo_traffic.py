"""The demo's traffic: one seed is one row of hits, every planned kind is in it, and its figures are within bounds."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from click.testing import CliRunner, Result

from tracker import cli, reasons
from tracker.demo import market, oddities
from tracker.demo.planned import Expected, Planned, curl, event_id, number_of
from tracker.demo.tags import Tags, decimal
from tracker.demo.traffic import Traffic

SEEDS = (1, 7, 2**40)


@cache
def row(seed: int, count: int = 6000, campaigns: int = 8) -> tuple[Planned, ...]:
    """The first hits of a seed: a minute of default traffic."""
    return tuple(itertools.islice(Traffic(seed, "r", campaigns), count))


def fresh(hits: tuple[Planned, ...]) -> list[Planned]:
    """Without replays."""
    return list({hit.number: hit for hit in hits}.values())


def run(*arguments: str) -> Result:
    """A command in this process; its output is no terminal."""
    return CliRunner().invoke(cli.main, arguments, prog_name="tracker", catch_exceptions=False)


# --- one seed, one row -------------------------------------------------------------------------------------------


def test_one_seed_is_one_row() -> None:
    """Twice the same, whatever the run is called; a shorter row is the beginning of a longer one; seeds differ."""
    again = list(itertools.islice(Traffic(7, "other", 8), 2000))
    assert [hit.target.replace("demo-other-", "demo-r-") for hit in again] == [hit.target for hit in row(7)[:2000]]
    assert [hit.expected for hit in again] == [hit.expected for hit in row(7)[:2000]]
    assert [hit.target for hit in row(7)[:200]] != [hit.target for hit in row(1)[:200]]


def test_another_process_makes_the_same_row() -> None:
    """Neither the hash seed nor the locale nor the time has a say."""
    code = (
        "import hashlib, itertools; from tracker.demo.traffic import Traffic\n"
        "print(hashlib.sha256(repr(list(itertools.islice(Traffic(7, 'r', 8), 3000))).encode()).hexdigest())"
    )
    told = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
                       env={**os.environ, "PYTHONHASHSEED": hash_seed}).stdout.strip()
        for hash_seed in ("1", "2")
    }  # fmt: skip
    assert told == {hashlib.sha256(repr(list(row(7)[:3000])).encode()).hexdigest()}


@pytest.mark.parametrize("seed", SEEDS)
def test_events_are_numbered_without_a_gap_and_only_replays_come_again(seed: int) -> None:
    """Each number once, in order; what comes again is the same request with the same meaning."""
    seen: dict[int, Planned] = {}
    for hit in row(seed):
        if hit.number in seen:
            assert hit == seen[hit.number]
            continue
        assert hit.number == len(seen) + 1
        assert hit.event_id == event_id("r", hit.number)
        assert number_of(hit.event_id, "r") == hit.number
        seen[hit.number] = hit
    assert 10 < len(row(seed)) - len(seen) < 100


def test_an_id_is_only_its_own_runs() -> None:
    """A run's name that another one's begins with, and ids that are none."""
    for found in ("demo-r2-5", "demo-r-", "demo-r-x", "demo-r--5", "demo-r-5 ", "xdemo-r-5", "demo-r-²", "demo-r-" + "9" * 30):
        assert number_of(found, "r") == -1
    assert number_of("demo-r-5", "r") == 5


# --- every planned kind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_every_oddity_comes_within_fifteen_hundred_hits(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deck brings each; none is left to chance."""
    seen: set[str] = set()
    deck = oddities.deck

    def watched(chance: object) -> list[oddities.Oddity]:
        def told(odd: oddities.Oddity) -> oddities.Oddity:
            def draw(traffic: Traffic) -> Planned:
                seen.add(odd.__name__)
                return odd(traffic)

            return draw

        return [told(card) for card in deck(chance)]  # type: ignore[arg-type]

    monkeypatch.setattr(oddities, "deck", watched)
    list(itertools.islice(Traffic(seed, "r", 8), 1500))
    assert seen == {odd.__name__ for odd in oddities.ODDITIES}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_planned_meaning_comes_within_fifteen_hundred_hits(seed: int) -> None:
    """Good of each route, each flag, each reason of the bad lane that a tag can cause, each refusal."""
    hits = row(seed)[:1500]
    good = {hit.expected.route for hit in hits if hit.expected.outcome == "good"}
    assert good == {"impression", "click", "spring", "conversion", "video", "hit"}
    flags = {flag for hit in hits for flag in hit.expected.flags}
    assert flags == {"head", "prefetch", "gpc", "dnt", "bot", "audit", "unknown_value", "macro_unreplaced", "repeated_parameter",
                     "cleaned", "cut", "client_time_rejected", "unauthenticated"}  # fmt: skip
    bad = {(hit.expected.route, hit.expected.reason) for hit in hits if hit.expected.outcome == "bad"}
    assert bad == {("impression", "invalid_field"), ("conversion", "invalid_field"), ("video", "invalid_field"),
                   ("click", "bad_destination"), ("hit", "invalid_body"), ("hit", "invalid_event_name")}  # fmt: skip
    refused = {hit.expected.reason for hit in hits if hit.expected.outcome == "refused"}
    assert refused == {"no_route", "method_not_allowed", "too_many_parameters"}
    actions = {hit.expected.action for hit in hits if hit.expected.route == "video"}
    assert actions >= {"start", "firstQuartile", "midpoint", "thirdQuartile", "complete", "skip"}
    assert {"viewable", "page_view", "search"} <= {hit.expected.event for hit in hits if hit.expected.route == "hit"}


def test_what_is_meant_speaks_the_closed_list() -> None:
    """Every reason and flag is one of ``tracker.reasons``, and of the right kind."""
    for hit in row(1):
        kinds = {"bad": "bad", "refused": "refused"}
        expected = hit.expected
        assert expected.outcome == "good" or reasons.BY_NAME[expected.reason].kind == kinds[expected.outcome]
        assert all(reasons.BY_NAME[flag].kind == "flag" for flag in expected.flags)
        assert expected.flags == tuple(sorted(set(expected.flags)))
        assert (expected.ack == "none") is (not expected.kept)


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_pays_for_what_nobody_saw(seed: int) -> None:
    """Robots, HEAD, prefetch, audits, bad tags and macros cost nothing; a price seen by a person costs itself."""
    for hit in row(seed):
        expected = hit.expected
        unpaid = expected.outcome != "good" or reasons.NEVER_BILLED.intersection(expected.flags)
        if unpaid or expected.route != "impression":
            assert expected.cost_nanos == 0
        else:
            assert expected.cost_nanos == expected.micros  # one CPM micro is one nano an impression
            assert bool(expected.micros) is ("price" in parse_qs(urlsplit(hit.target).query)
                                             and not {"macro_unreplaced", "unknown_value"}.intersection(expected.flags)) or (
                "macro_unreplaced" in expected.flags and "site=%%SITE%%" in hit.target)  # fmt: skip


# --- believable --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mix_is_that_of_a_network(seed: int) -> None:
    """Mostly impressions, views and video; few clicks, fewer orders; about every tenth hit is odd, few are wrong."""
    hits = row(seed)
    routes = Counter(hit.expected.route for hit in hits)
    assert 0.35 < routes["impression"] / len(hits) < 0.60
    assert 0.15 < routes["hit"] / len(hits) < 0.40
    assert 0.10 < routes["video"] / len(hits) < 0.30
    people = [hit for hit in hits if hit.expected.billed]
    clicks = [hit for hit in hits if hit.expected.route == "click" and hit.expected.said in ("good", "good: gpc", "good: dnt")]
    orders = [hit for hit in hits if hit.expected.route == "conversion" and "click_id=" in hit.target]
    assert 0.005 < len(clicks) / len(people) < 0.12
    assert 0.02 < len(orders) / len(clicks) < 0.6
    bad = sum(hit.expected.outcome == "bad" for hit in hits)
    assert 0.008 < bad / len(hits) < 0.03
    assert sum(hit.expected.outcome == "refused" for hit in hits) / len(hits) < 0.03
    assert 0.03 < sum("gpc" in hit.expected.flags for hit in hits) / len(hits) < 0.08


@pytest.mark.parametrize("seed", SEEDS)
def test_people_leave_before_the_end_of_a_video(seed: int) -> None:
    """Each quarter has fewer viewers than the one before, and never more than it began with."""
    seen = Counter(hit.expected.action for hit in row(seed) if "midPoint" not in hit.target)
    quarters = [seen[name] for name in ("start", "firstQuartile", "midpoint", "thirdQuartile", "complete")]
    assert quarters == sorted(quarters, reverse=True)
    assert 0.4 < quarters[-1] / quarters[0] < 0.75
    assert seen["skip"] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_an_order_follows_its_click_and_a_click_its_impression(seed: int) -> None:
    """The id that an order names is a click's, earlier in the row and of the same campaign."""
    clicks: dict[str, str] = {}
    views: set[tuple[str, str]] = set()
    orders = 0
    for hit in fresh(row(seed)):
        expected = hit.expected
        if expected.route == "impression":
            views.add((expected.campaign, expected.creative))
        elif expected.route == "click" and not hit.expected.reason:
            assert (expected.campaign, expected.creative) in views or "bot" in expected.flags or "step%253D2" in hit.target
            clicks[hit.event_id] = expected.campaign
        elif "click_id=" in hit.target:
            orders += 1
            assert clicks[parse_qs(urlsplit(hit.target).query)["click_id"][0]] == expected.campaign
    assert orders > 3


def test_popularity_falls_off_as_zipf_has_it() -> None:
    """The first site has about twice the second's visits, the first five more than the last thirty; all have some."""
    hosts = Counter(
        urlsplit(dict(hit.headers)["Referer"]).hostname for seed in SEEDS for hit in row(seed) if "Referer" in dict(hit.headers)
    )
    ranked = [host for host, _ in hosts.most_common()]
    assert ranked[0] == "daily-news.example"
    assert 1.6 < hosts["daily-news.example"] / hosts["weather.example"] < 2.9
    assert sum(hosts[host] for host in ranked[:5]) > sum(hosts[host] for host in ranked[10:])
    assert len(hosts) == 40


def test_browsers_have_their_shares() -> None:
    """Telephones have about six in ten, apps among them one in eight; each browser is seen."""
    agents = Counter(dict(hit.headers)["User-Agent"] for seed in SEEDS for hit in row(seed) if "bot" not in hit.expected.flags)
    total = sum(agents.values())
    assert sum(browser.share for browser in market.BROWSERS) == 100
    for browser in market.BROWSERS:
        assert abs(agents[browser.agent] / total - browser.share / 100) < 0.025, browser.agent
    assert set(agents) == {browser.agent for browser in market.BROWSERS}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_campaign_stops_when_its_budget_is_spent(seed: int) -> None:
    """Nobody overspends by more than one impression, somebody is stopped, and there is always something to show."""
    traffic = Traffic(seed, "r", 4)
    spent: Counter[str] = Counter()
    last: dict[str, int] = {}
    dear = max(hit.expected.cost_nanos for hit in row(seed))
    for at, hit in enumerate(itertools.islice(traffic, 40_000)):
        if hit.expected.cost_nanos and hit.event_id not in last:
            spent[hit.expected.campaign] += hit.expected.cost_nanos
            last[hit.expected.campaign] = at
    stopped = [each for each in traffic.market.campaigns if spent[each.name] >= each.budget_micros * 1000]
    assert stopped
    for campaign in traffic.market.campaigns:
        # A replay of an earlier impression costs once more, whenever it comes; there are few.
        assert spent[campaign.name] <= campaign.budget_micros * 1000 + 40 * dear
    assert last["house"] == 0 if "house" in last else spent["house"] == 0


def test_prices_are_whole_cents_and_near_their_campaigns() -> None:
    """Text and micros are the same sum, exactly."""
    assert [decimal(micros) for micros in (10_000, 2_500_000, 12_340_000, 1_000_000_000)] == ["0.01", "2.50", "12.34", "1000.00"]
    cpm = {campaign.name: campaign.cpm_micros for campaign in market.build(7, 8).campaigns}
    for hit in row(7):
        if hit.expected.billed and hit.expected.micros:
            text = parse_qs(urlsplit(hit.target).query)["price"][0]
            assert re.fullmatch(r"\d+\.\d\d", text)
            assert int(text.replace(".", "")) * 10_000 == hit.expected.micros
            assert 0.3 < hit.expected.micros / cpm[hit.expected.campaign] < 3


@pytest.mark.parametrize("campaigns", [1, 2, 3, 20, 45, market.MOST_CAMPAIGNS])
def test_any_number_of_campaigns_has_traffic(campaigns: int) -> None:
    """With different names; also where there is one, or none with video."""
    traffic = Traffic(3, "r", campaigns)
    names = {campaign.name for campaign in traffic.market.campaigns}
    assert len(names) == campaigns
    hits = list(itertools.islice(traffic, 1500))
    assert {hit.expected.campaign for hit in hits} <= names | {"", "house", "spring"}
    assert any(hit.expected.action == "complete" for hit in hits)


# --- nobody real, nothing that harms -----------------------------------------------------------------------------


def test_every_host_is_reserved_or_allowed_by_the_built_in_table() -> None:
    """Referers and destinations: ``.example`` and example.com (RFC 2606) and no other."""
    found: set[str] = set()
    for hit in row(1):
        text = unquote(unquote(hit.target)) + hit.location + "".join(value for name, value in hit.headers if name == "Referer")
        found |= set(re.findall(r"//+([A-Za-z0-9.-]+)", text))
    assert found
    assert all(host.endswith(".example") or host == "example.com" for host in found), found


def test_a_request_is_ready_for_the_wire() -> None:
    """ASCII targets without a space, header values without a line break, nothing over the built-in limits."""
    for hit in row(7):
        assert re.fullmatch(r"/[!-~]*", hit.target)
        assert len(hit.target) < 8000
        assert all(re.fullmatch(r"[ -~]+", value) for _, value in hit.headers)
        assert hit.method in ("GET", "HEAD", "POST")
        if dict(hit.headers).get("Content-Type", "").startswith(("application/json", "text/plain")) and not hit.expected.reason:
            assert json.loads(hit.body)


def test_every_hit_says_its_event_id_once() -> None:
    """In the query or in the body, never in both: a repeated parameter would be an oddity that nobody planned."""
    for hit in row(7):
        said = hit.target.count(f"event_id={hit.event_id}&") + hit.target.endswith(f"event_id={hit.event_id}")
        assert said + hit.body.count(f'"event_id":"{hit.event_id}"'.encode()) == 1


def test_no_personal_data_is_in_it() -> None:
    """No address of a machine, of a mail box or of a telephone anywhere in a request."""
    for hit in row(7)[:2000]:
        text = unquote(f"{hit.target} {hit.body!r} {[value for name, value in hit.headers if name != 'User-Agent']}")
        assert not re.search(r"\d+\.\d+\.\d+\.\d+|[\w.]+@[\w.]+\.(?!example)|\+\d{6}", text), text


# --- as curl lines -----------------------------------------------------------------------------------------------


def test_a_dry_run_prints_the_hits_and_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as asked, by number or by rate and time; the same for the same seed; the address as given."""
    monkeypatch.chdir(tmp_path)
    result = run("demo", "http://127.0.0.1:1", "--seed", "7", "--run", "r", "--count", "25", "--dry-run")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines == [curl(hit, "http://127.0.0.1:1") for hit in row(7)[:25]]
    assert len(run("demo", "--for", "2s", "--rate", "7.5", "--dry-run").stdout.splitlines()) == 15
    assert "'http://127.0.0.1:8000/" in run("demo", "--count", "1", "--seed", "1", "--dry-run").stdout
    assert not list(tmp_path.iterdir())


def test_a_curl_line_is_the_hit() -> None:
    """A shell takes it apart into the same method, headers, body and URL."""
    for hit in row(7)[:600]:
        words = shlex.split(curl(hit, "http://127.0.0.1:8000"))
        assert words[-1] == "http://127.0.0.1:8000" + hit.target
        headers = [words[at + 1] for at, word in enumerate(words) if word == "-H"]
        assert headers == [f"{name}: {value}" for name, value in hit.headers]
        bodies = [words[at + 1] for at, word in enumerate(words) if word == "--data-binary"]
        assert bodies == ([hit.body.decode()] if hit.body else [])
        assert ("-I" in words) is (hit.method == "HEAD")


def test_curl_itself_sends_the_same_bytes(tmp_path: Path) -> None:
    """Braces, brackets, percent signs and bodies arrive as planned: one of each kind of request, through curl."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl on the PATH: apt-get install curl")
    import socket
    import threading

    wanted = {(hit.method, hit.expected.route, hit.expected.said, bool(hit.body)): hit for hit in row(7)}
    got: list[bytes] = []

    def serve() -> None:
        for _ in wanted:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65_536)
                head, _, body = request.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
                while length and len(body) < int(length[1]):
                    body += connection.recv(65_536)
                got.append(head.split(b"\r\n")[0] + b"\n" + body)
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for hit in wanted.values():
            subprocess.run(["sh", "-c", curl(hit, base)], check=True, timeout=20, stdout=subprocess.DEVNULL)
        thread.join(10)
    assert got == [f"{hit.method} {hit.target} HTTP/1.1\n".encode() + hit.body for hit in wanted.values()]


def test_what_is_meant_is_written_by_hand() -> None:
    """The demo knows nothing of capture: expectations that the endpoint computed would prove nothing."""
    folder = Path(oddities.__file__).parent
    for path in folder.glob("*.py"):
        assert "tracker.capture" not in path.read_text("utf-8"), path.name
    assert Tags("r").stored_click(Traffic(1, "r", 1).person()).expected.outcome == "good"
    assert Expected(200, "good").said == "good"
