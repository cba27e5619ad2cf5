"""The check: what the journal says about a run against what was meant; and the command that shows it."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from tracker import cli
from tracker.demo import run as runs
from tracker.demo import witness as witnesses
from tracker.demo.connection import Target
from tracker.demo.ledger import Ledger, Reply
from tracker.demo.market import build
from tracker.demo.planned import Expected, Planned
from tracker.demo.sender import Sender
from tracker.demo.summary import Bill, Row, Summary, summarise
from tracker.demo.witness import Witness
from tracker.terminal.demo_report import report, usd

Journal = Any  # the fixture's class

PAID = Expected(200, "good", "impression", "impression", campaign="c1", creative="cr1", metric="price_micros", micros=2_500_000,
                cost_nanos=2_500_000)  # fmt: skip
BOT = PAID._replace(flags=("bot",), cost_nanos=0)
BAD = Expected(200, "bad", "impression", "impression", "invalid_field", campaign="c1", creative="cr1")
ORDER = Expected(200, "good", "conversion", "conversion", campaign="c1", metric="value_micros", micros=19_900_000, ack="power")
VIDEO = Expected(200, "good", "video", "video", campaign="c1", creative="cr1", action="midpoint")


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, an empty working folder, and no TRACKER_ variable of whoever runs the tests."""
    monkeypatch.setattr(witnesses, "PATIENCE_S", 0.4)
    monkeypatch.setattr(witnesses, "LINGER_S", 0.1)
    monkeypatch.setattr(witnesses, "POLL_S", 0.02)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        monkeypatch.delenv(name)


def run(*arguments: str) -> Result:
    """A command in this process; its output is no terminal."""
    return CliRunner().invoke(cli.main, arguments, prog_name="tracker", catch_exceptions=False)


class Case:
    """A ledger and the journal beside it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.stream = journal.stream()
        self.stream.add(id="demo-r-1")  # of an earlier run with the same name: before the witness came
        self.ledger = Ledger()
        self.witness = Witness(journal.data_dir)

    def told(self, number: int, expected: Expected, answer: str = "kept") -> None:
        """A hit was sent, and answered so."""
        hit = Planned(number, f"demo-r-{number}", "GET", "/", (), b"", expected)
        self.ledger.open(hit)
        if answer == "unknown":
            self.ledger.close(hit, None)
        else:
            headers = {"x-tracker-ack": expected.ack if answer == "kept" else "none", "x-event-id": hit.event_id, "x-tracker-reason": expected.reason}
            self.ledger.close(hit, Reply(expected.status, headers, b""))

    def stored(self, number: int, expected: Expected, stream: Any = None, **changed: Any) -> None:
        """Its event, as it was meant but for ``changed``."""
        metrics = {expected.metric: expected.micros} if expected.metric else {}
        if expected.cost_nanos:
            metrics["cost_nanos"] = expected.cost_nanos
        texts = {"campaign": expected.campaign, "creative": expected.creative, "action": expected.action, "site": "a.example"}
        fields = {
            "id": f"demo-r-{number}", "event": expected.event, "source": expected.route, "lane": expected.outcome, "reason": expected.reason,
            "flags": list(expected.flags), "dimensions": {key: text for key, text in texts.items() if text}, "metrics": metrics, **changed,
        }  # fmt: skip
        (stream or self.stream).publish(**fields)

    def both(self, number: int, expected: Expected) -> None:
        self.told(number, expected)
        self.stored(number, expected)

    def testify(self) -> witnesses.Testimony:
        for stream in self.journal.streams:
            stream.flush()
        return self.witness.testify("r", self.ledger)


@pytest.fixture
def case(journal: Journal) -> Case:
    return Case(journal)


# --- the witness -------------------------------------------------------------------------------------------------


def test_a_run_that_is_all_there_is_so_said(case: Case) -> None:
    """Over several streams, one of them new; events of others, of other runs and of earlier times are passed over."""
    late = case.journal.stream()
    for number, expected in enumerate((PAID, BOT, BAD, ORDER, VIDEO, PAID), 1):
        case.told(number, expected)
        case.stored(number, expected, stream=late if number % 2 else None)
    case.stream.publish()
    case.stream.publish(id="demo-r2-3")
    found = case.testify()
    assert (found.counts, found.differences) == ({}, [])
    assert (found.events, found.answered) == (6, 6)
    assert found.rows == {"impression, good": 2, "impression, good: bot": 1, "impression, bad: invalid_field": 1, "conversion, good": 1, "video, good": 1}
    assert found.campaigns["c1"] == witnesses.Campaign(impressions=2, conversions=1, cost_nanos=5_000_000)


def test_what_becomes_durable_late_is_waited_for(case: Case) -> None:
    """An event of the ring comes within the patience, not at once."""
    case.both(1, PAID)
    case.stored(2, PAID)
    case.told(2, PAID)
    timer = threading.Timer(0.2, case.stream.flush)
    timer.start()
    found = case.witness.testify("r", case.ledger)
    timer.join()
    assert (found.counts, found.events) == ({}, 2)


def test_an_answered_event_that_is_not_there_is_lost(case: Case) -> None:
    """Named by its id; a replay that is there once is lost once."""
    case.both(1, PAID)
    case.told(2, PAID)
    case.told(1, PAID)
    found = case.testify()
    assert found.counts == {"lost": 2}
    assert any("demo-r-2: answered 1 times, stands there 0 times" in each for each in found.differences)


@pytest.mark.parametrize(("expected", "changed", "said"), [
    (PAID, {"metrics": {"price_micros": 2_500_001, "cost_nanos": 2_500_000}}, "money is"),
    (PAID, {"metrics": {"price_micros": 2_500_000}}, "cost_nanos is 0, meant 2500000"),
    (PAID, {"metrics": {"price_micros": 2_500_000, "cost_nanos": 2_499_999}}, "cost_nanos is 2499999"),
    (BOT, {"flags": []}, "flags is (), meant ('bot',)"),
    (PAID, {"flags": ["cut"]}, "flags is ('cut',), meant ()"),
    (BAD, {"lane": "good", "reason": ""}, "lane is 'good', meant 'bad'"),
    (BAD, {"reason": "missing_field"}, "reason is 'missing_field'"),
    (PAID, {"event": "click"}, "event is 'click'"),
    (PAID, {"source": "click"}, "route is 'click'"),
    (PAID, {"dimensions": {"campaign": "c2", "creative": "cr1"}}, "campaign is 'c2'"),
    (PAID, {"dimensions": {"campaign": "c1"}}, "creative is ''"),
    (VIDEO, {"dimensions": {"campaign": "c1", "creative": "cr1", "action": "midPoint"}}, "action is 'midPoint'"),
    (ORDER, {"metrics": {}}, "money is {}"),
])  # fmt: skip
def test_an_event_that_is_otherwise_than_meant_is_different(case: Case, expected: Expected, changed: dict[str, Any], said: str) -> None:
    """Whatever part of it; the others are right."""
    case.both(1, PAID)
    case.told(2, expected)
    case.stored(2, expected, **changed)
    found = case.testify()
    assert list(found.counts) == ["different"]
    assert any(said in each and "demo-r-2" in each for each in found.differences), found.differences


def test_what_was_answered_as_not_kept_must_not_be_there(case: Case) -> None:
    """A refusal that leaked into the journal."""
    case.told(1, PAID, "not_kept")
    case.told(2, BAD, "not_kept")
    case.stored(2, BAD)
    assert case.testify().counts == {"leaked": 1}


def test_an_event_that_stands_there_too_often_is_repeated(case: Case) -> None:
    """Answered once, written twice."""
    case.both(1, PAID)
    case.stored(1, PAID)
    assert case.testify().counts == {"repeated": 1}


def test_an_event_that_nobody_sent_is_foreign(case: Case) -> None:
    """A number beyond the last, and a line of the run that is no event."""
    case.both(1, PAID)
    case.stored(7, PAID)
    case.stream.raw(b'{"id":"demo-r-1","seq":"x"}\n')
    assert case.testify().counts == {"foreign": 2}


def test_an_event_without_an_answer_may_be_there_or_not(case: Case) -> None:
    """Neither is a difference; those that are there are counted."""
    case.told(1, PAID, "unknown")
    case.told(2, PAID, "unknown")
    case.stored(2, PAID)
    found = case.testify()
    assert (found.counts, found.unanswered_found) == ({}, 1)


def test_a_damaged_block_is_a_loss_and_is_said(case: Case) -> None:
    """One byte on the disk is another one."""
    for number in range(1, 6):
        case.both(number, PAID)
        case.stream.flush()
    case.stream.spoil(case.stream.offset(3) + 30)
    found = case.testify()
    assert found.counts == {"lost": 1}
    assert found.damaged_bytes == len(case.stream.lines[3])


def test_many_differences_are_counted_and_some_are_told(case: Case) -> None:
    """The number is exact, the list is short."""
    for number in range(1, 61):
        case.told(number, PAID)
    found = case.testify()
    assert found.counts == {"lost": 60}
    assert len(found.differences) == witnesses.MOST_LISTED


def test_an_empty_run_is_soon_over(case: Case) -> None:
    """Nothing was kept, nothing is waited for."""
    case.told(1, PAID, "not_kept")
    assert case.testify().events == 0


# --- the summary -------------------------------------------------------------------------------------------------


def summed(case: Case, testimony: witnesses.Testimony | None) -> Summary:
    summary = Summary(run="r", url="http://127.0.0.1:8000", seed=7, campaigns=1, rate=100)
    sender = Sender(Target("127.0.0.1", 1, "x"), case.ledger)
    sender.progress.sent, sender.progress.elapsed_s = sum(case.ledger.sent.values()), 2.0
    return summarise(summary, case.ledger, sender, build(7, 1), testimony)


def test_the_bill_is_what_an_owner_would_write(case: Case) -> None:
    """Impressions that a person saw, each with its own price; robots and bad hits are free; both columns agree."""
    for number, expected in enumerate((PAID, PAID, BOT, BAD, ORDER), 1):
        case.both(number, expected)
    summary = summed(case, case.testify())
    assert summary.problems == []
    (bill,) = [bill for bill in summary.bills if bill.campaign == "c1"]
    assert (bill.impressions, bill.conversions, bill.cost_nanos) == (2, 1, 5_000_000)
    assert (bill.stored_impressions, bill.stored_conversions, bill.stored_cost_nanos) == (2, 1, 5_000_000)
    assert [(row.said, row.sent, row.kept, row.stored) for row in summary.rows if row.route == "impression"] == [
        ("good", 2, 2, 2), ("good: bot", 1, 1, 1), ("bad: invalid_field", 1, 1, 1),
    ]  # fmt: skip


def test_totals_that_differ_are_a_problem_even_if_every_event_is_right(case: Case) -> None:
    """The sums of the journal are added up apart: a campaign's or a row's that are otherwise are said."""
    case.both(1, PAID)
    testimony = case.testify()
    testimony.campaigns["c1"].cost_nanos += 1
    testimony.campaigns["c9"] = witnesses.Campaign(impressions=1)
    testimony.rows["impression, good"] = 2
    testimony.rows["other, bad: unencodable"] = 1
    problems = summed(case, testimony).problems
    assert len(problems) == 4
    assert any("campaign c1" in each and "2500001" in each for each in problems)
    assert any("campaign c9" in each for each in problems)
    assert "impression, good: 1 kept, 2 stored" in problems
    assert "other, bad: unencodable: 0 kept, 1 stored" in problems


def test_an_unkept_bad_hit_is_no_problem_and_an_overloaded_tracker_is_one(case: Case) -> None:
    """The bad lane's limit is announced; a 503 is not what was meant."""
    case.told(1, BAD, "not_kept")
    summary = summed(case, case.testify())
    assert (summary.refused, summary.problems) == ({"bad_lane_limit": 1}, [])
    hit = Planned(2, "demo-r-2", "GET", "/", (), b"", PAID)
    case.ledger.open(hit)
    case.ledger.close(hit, Reply(503, {}, b'{"error":"ring_full"}'))
    assert summed(case, None).problems == ["1 hit turned away: ring_full; none of them had a receipt"]


def test_the_report_shows_the_verdict_and_every_part(case: Case) -> None:
    """Rows with their flags, the bill, answers, where to find the events."""
    for number, expected in enumerate((PAID, BOT, BAD, ORDER), 1):
        case.both(number, expected)
    plain = report(summed(case, case.testify())).plain
    for part in ("Demo r: 4 hits to http://127.0.0.1:8000 in 2.0 s (2.0 a second), seed 7", "of these bot", "bad: invalid_field",
                 "tracker tail --where 'id~^demo-r-'", "0.0025 $", "200 4", "4 answers bore their event's id"):  # fmt: skip
        assert part in plain, plain
    assert plain.endswith(f"All 4 events found in {case.journal.data_dir}, each as meant; totals equal.")


def test_the_report_lists_what_is_wrong(case: Case) -> None:
    """A loss, and where it may come from if nothing at all is there."""
    case.told(1, PAID)
    plain = report(summed(case, case.testify())).plain
    assert "lost: demo-r-1: answered 1 times, stands there 0 times" in plain
    assert "is it the folder of the tracker" in plain
    assert plain.endswith("Not everything is as meant.")


def test_an_unchecked_run_claims_no_more_than_its_answers(case: Case) -> None:
    """And says why nobody looked."""
    case.told(1, PAID)
    summary = summed(case, None)
    summary.unchecked = "--no-check"
    summary.behind, summary.latest_s, summary.interrupted = True, 3.2, True
    plain = report(summary).plain
    assert plain.endswith("Every answer was as meant; the journal was not looked at (--no-check).")
    assert "stored" not in plain
    assert "seed 7, interrupted" in plain
    assert "did not keep up with 100 a second: the latest hit left 3.2 s late" in plain


def test_nothing_in_a_report_steers_the_terminal() -> None:
    """Reasons and ids come from answers and journals: strangers' text."""
    evil = "\x1b]0;owned\x07"
    summary = Summary(
        run="r", url=evil, seed=1, campaigns=1, rate=1, problems=[evil], unchecked=evil, refused={evil: 1},
        rows=[Row(route=evil, outcome=evil, reason=evil)], bills=[Bill(campaign=evil)],
        check=witnesses.Testimony(data_dir=evil, differences=[evil], unanswered_found=1, damaged_bytes=1),
    )  # fmt: skip
    assert report(summary).plain.replace("\n", "").isprintable()
    summary.problems, summary.check = [], None
    assert report(summary).plain.replace("\n", "").isprintable()


@pytest.mark.parametrize(("nanos", "shown"), [(0, "0.0000 $"), (2_500_000, "0.0025 $"), (1_234_567_891_234, "1,234.5679 $")])
def test_money_is_shown_as_decimals(nanos: int, shown: str) -> None:
    """To a hundredth of a cent."""
    assert usd(nanos) == shown


def test_the_help_names_every_key_of_the_json() -> None:
    """What `--json` prints is what the help promises."""
    help_text = run("demo", "--help").stdout
    for struct in (Summary, Row):
        for name in msgspec.structs.fields(struct):
            assert f'"{name.name}"' in help_text, name.name


# --- the command -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def answering(say: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server of one's own; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            say(self)

        do_POST = do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def whole(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def liar(handler: http.server.BaseHTTPRequestHandler) -> None:
    """A tracker that says yes to everything and keeps nothing."""
    if handler.path == "/-/readyz":
        whole(handler, 200, b'{"ready":true,"settings_version":"x"}')
    else:
        own = handler.path.partition("event_id=")[2]
        whole(handler, 200, X_Tracker_Ack="process", X_Event_Id=own)


def test_a_tracker_that_says_yes_and_keeps_nothing_is_found_out(journal: Journal) -> None:
    """Exit 1: what it answered is not in the journal that was named."""
    journal.stream().add()
    with answering(liar) as url:
        result = run("demo", url, "--count", "40", "--rate", "400", "--seed", "7", "--check", "--data-dir", str(journal.data_dir), "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["check"]["counts"]["lost"] > 30
    assert any(each.startswith("lost: ") for each in summary["problems"])
    assert set(summary) == set(Summary.__struct_fields__)


def test_without_a_look_into_the_journal_the_answers_are_judged(journal: Journal) -> None:
    """The liar answers 200 where 204 was meant: exit 1, and each kind of surprise once, with its number."""
    with answering(liar) as url:
        result = run("demo", url, "--count", "60", "--rate", "600", "--seed", "7", "--no-check")
    assert result.exit_code == 1
    assert "hit, good: unauthenticated: answered 200, meant 204" in result.stdout
    assert "Not everything is as meant." in result.stdout


def test_who_is_no_tracker_gets_no_hit() -> None:
    """A web server of somebody else's, one that speaks no HTTP, one that is not ready, and nobody."""
    asked: list[str] = []

    def other(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        whole(handler, 404, b"<h1>not found</h1>")

    with answering(other) as url:
        result = run("demo", url, "--count", "5")
    assert (result.exit_code, "something else than a tracker" in result.stderr) == (1, True)
    assert asked == ["/-/readyz"]
    with answering(lambda handler: whole(handler, 503, b'{"ready":false,"checks":{"ring":"no_slot"}}')) as url:
        result = run("demo", url, "--count", "5")
    assert (result.exit_code, "takes no hits now" in result.stderr) == (1, True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = run("demo", f"127.0.0.1:{port}", "--count", "5")
    assert result.exit_code == 1
    assert "`tracker serve`" in result.stderr
    assert result.stdout == ""


def test_another_machine_is_sent_nothing_unless_somebody_answers_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """2, before anybody is asked; with --i-own-it rate and number are bounded."""
    monkeypatch.setattr(runs, "ask", lambda where: pytest.fail("was asked"))
    for arguments, said in (
        ((), "--i-own-it"),
        (("--i-own-it", "--rate", "201"), "200 hits a second"),
        (("--i-own-it", "--count", "100001"), "100,000 in all"),
        (("--i-own-it", "--for", "2h"), "100,000 in all"),
    ):
        result = run("demo", "http://192.0.2.1:8000", *arguments)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize(("url", "local"), [
    ("http://127.0.0.1:8000", True), ("127.0.0.1:8000", True), ("http://localhost:8000/", True), ("http://[::1]:8000", True),
    ("http://127.9.9.9", True), ("https://192.0.2.1", False), ("http://0.0.0.0:8000", False), ("http://[2001:db8::1]:1", False),
])  # fmt: skip
def test_only_loopback_is_this_machine(url: str, local: bool) -> None:
    """By the address that is used, not by the name."""
    assert runs.is_local(runs.target(url)) is local


def test_of_two_addresses_of_this_machine_the_one_that_listens_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` may be ::1 first, where a tracker that is bound to 127.0.0.1 does not listen."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)), (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: found if host == "localhost" else found[:1] if host == "::1" else found[1:])
        assert runs.target(f"http://localhost:{port}").address == "127.0.0.1"
    assert runs.target(f"http://localhost:{port}").address == "::1"
    assert runs.target("http://[::1]:80").shown == "[::1]:80"


@pytest.mark.parametrize("url", [
    "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999", "http://127.0.0.1/imp", "http://127.0.0.1/?a=1", "http://me@127.0.0.1/",
    "http://no-such-host.invalid", "http://[::1", "http://a..b/",
])  # fmt: skip
def test_what_is_no_address_of_a_tracker_is_said(url: str) -> None:
    """1, with the repair or the resolver's words; no traceback."""
    result = run("demo", url)
    assert result.exit_code == 1
    assert result.stderr


def test_wrong_usage_is_2() -> None:
    """Rates, times and names that are none."""
    for arguments in (["--rate", "0"], ["--for", "soon"], ["--for", "0s"], ["--count", "0"], ["--run", "a-b"], ["--campaigns", "501"], ["--seed", "-1"]):
        assert run("demo", "--dry-run", *arguments).exit_code == 2, arguments


def test_a_folder_without_a_journal_is_1_if_a_check_was_asked_for() -> None:
    """Said before the first hit."""
    asked: list[str] = []

    def counted(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        liar(handler)

    with answering(counted) as url:
        result = run("demo", url, "--check", "--data-dir", "nowhere", "--count", "5")
        assert (result.exit_code, "there is no journal here" in result.stderr, asked) == (1, True, ["/-/readyz"])


def test_a_folder_that_is_not_this_trackers_is_not_looked_into_by_itself(journal: Journal) -> None:
    """No journal there, or served with other settings: said, with the option that names the right one."""
    with answering(liar) as url:
        said = json.loads(run("demo", url, "--data-dir", "nowhere", "--count", "3", "--json").stdout)
        assert (said["check"], "no journal" in said["unchecked"]) == (None, True)
        journal.stream()
        said = json.loads(run("demo", url, "--data-dir", str(journal.data_dir), "--count", "3", "--json").stdout)
        assert (said["check"], "other settings" in said["unchecked"]) == (None, True)
