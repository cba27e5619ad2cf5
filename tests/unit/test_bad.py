"""`tracker bad`: the bad lane counted by reason and route, the newest hits, and what was counted and never kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tracker import cli
from tracker.cli_bad import moment_ms
from tracker.counters import REASON_INDEX, CounterFile, new_counts
from tracker.event import Context, Event
from tracker.journal import bad_lane, segment
from tracker.journal.bad_lane import BadLane, Group
from tracker.terminal.bad_report import report

Journal = Any  # the fixture's class


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and no TRACKER_ variable of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        monkeypatch.delenv(name)


def run(*arguments: str) -> Result:
    """A command in this process; its output is no terminal."""
    return CliRunner().invoke(cli.main, arguments, prog_name="tracker", catch_exceptions=False)


def spoiled(stream: Any, reason: str = "invalid_field", route: str = "impression", **more: Any) -> Event:
    """One bad event, durable."""
    fields = more.pop("fields", {"query.price": "x2.50", "query.site": "news.example"})
    properties = {"field": more.pop("field", "price"), "fields": fields}
    return stream.add(lane="bad", reason=reason, source=route, properties=properties, **more)  # type: ignore[no-any-return]


# --- counting ----------------------------------------------------------------------------------------------------


def test_bad_events_are_counted_by_reason_and_route(journal: Journal) -> None:
    """Over all streams, the most frequent first, with the newest time and what stood in the wrong field."""
    one, two = journal.stream(), journal.stream()
    for number in range(3):
        one.add()
        spoiled(one, fields={"query.site": "a.example", "query.price": f"x{number}"})
    last = spoiled(two, fields={"query.site": "b.example", "query.price": "cheap"})
    spoiled(two, "bad_destination", "click", field="url", fields={"query.url": "https://evil.example/"})
    spoiled(two, "invalid_field", "conversion", field="value", fields={})
    found = bad_lane.look(journal.data_dir)
    assert [(group.reason, group.route, group.events) for group in found.groups] == [
        ("invalid_field", "impression", 4), ("bad_destination", "click", 1), ("invalid_field", "conversion", 1),
    ]  # fmt: skip
    assert found.events == 6
    assert (found.groups[0].newest, found.groups[0].field, found.groups[0].example) == (
        last.received_at, "price", "query.price=cheap",
    )  # fmt: skip
    assert found.groups[0].oldest == one.events[1].received_at
    assert found.groups[2].example == ""
    assert found.searched_bytes == sum(len(line) for stream in (one, two) for line in stream.lines)


def test_good_events_that_speak_of_the_bad_lane_are_not_counted(journal: Journal) -> None:
    """A property of a good event may read `"lane":"bad"`; junk and absent properties harm nobody."""
    stream = journal.stream()
    stream.add(properties={"lane": "bad", "reason": "invalid_field"})
    stream.add(properties={"text": '"lane":"bad"'})
    stream.publish()
    stream.raw(b'{"lane":"bad" junk\n')
    stream.publish(lane="bad", reason="unencodable")
    stream.publish(lane="bad", reason="invalid_body", properties={"field": None, "fields": ["no", "object"]})
    stream.flush()
    found = bad_lane.look(journal.data_dir, count=5)
    assert {(group.reason, group.field, group.example) for group in found.groups} == {("unencodable", "", ""), ("invalid_body", "", "")}
    assert report(found, narrowed=False).plain


def test_only_what_is_asked_for_is_counted_and_shown(journal: Journal) -> None:
    """Reasons and routes narrow each other; several of one kind add up."""
    stream = journal.stream()
    for reason, route in [("invalid_field", "impression"), ("invalid_field", "click"), ("bad_destination", "click"), ("invalid_body", "hit")]:
        spoiled(stream, reason, route)

    def kinds(**asked: Any) -> list[tuple[str, str]]:
        found = bad_lane.look(journal.data_dir, count=9, **asked)
        assert found.events == len(found.newest)
        return sorted((group.reason, group.route) for group in found.groups)

    assert kinds(reasons=["invalid_field"]) == [("invalid_field", "click"), ("invalid_field", "impression")]
    assert kinds(reasons=["invalid_field", "invalid_body"], routes=["click", "hit"]) == [("invalid_body", "hit"), ("invalid_field", "click")]
    assert kinds(routes=["nobody"]) == []


def test_the_newest_come_oldest_first_over_all_streams(journal: Journal) -> None:
    """Two streams in turns: the last three of both together, by time, and no more is held."""
    streams = [journal.stream(), journal.stream()]
    made = [spoiled(streams[number % 2]).id for number in range(11)]
    assert [event.id for event in bad_lane.look(journal.data_dir, count=3).newest] == made[-3:]
    assert [event.id for event in bad_lane.look(journal.data_dir, count=100).newest] == made
    assert bad_lane.look(journal.data_dir).newest == []


@pytest.mark.parametrize("segment_bytes", [1 << 26, 2000])
def test_since_takes_exactly_the_events_from_then_on(journal: Journal, segment_bytes: int) -> None:
    """At every event's own time, in one segment and in many; older blocks are not read."""
    stream = journal.stream(segment_bytes=segment_bytes)
    start = journal.clock.ms + 1000
    made = [spoiled(stream, ms=start + number * 30_000, id=f"event-{number}") for number in range(12)]
    whole = bad_lane.look(journal.data_dir, count=99).searched_bytes
    for number, event in enumerate(made):
        found = bad_lane.look(journal.data_dir, count=99, since_ms=start + number * 30_000, since=event.received_at)
        assert [each.id for each in found.newest] == [each.id for each in made[number:]]
        assert found.events == len(made) - number
        assert (found.searched_bytes < whole) is (number > 3)


def test_since_finds_what_a_clock_set_back_has_disordered(journal: Journal) -> None:
    """Within the slack nothing is missed: times 100, 130, 80 seconds, asked from 90 on."""
    stream = journal.stream()
    start = journal.clock.ms
    made = [spoiled(stream, ms=start + seconds * 1000, id=f"at-{seconds}") for seconds in (100, 130, 80, 95)]
    found = bad_lane.look(journal.data_dir, count=9, since_ms=start + 90_000, since=made[3].received_at.replace("35.", "30."))
    assert {event.id for event in found.newest} == {"at-100", "at-130", "at-95"}


def test_a_line_over_several_blocks_is_found_with_since(journal: Journal) -> None:
    """Its later blocks begin within a line; the search goes back to where it begins."""
    stream = journal.stream()
    start = journal.clock.ms
    stream.add(ms=start)
    event = spoiled(stream, ms=start + 300_000, fields={"query.price": "9" * 200_000})
    assert len(segment.Index(stream.folder, stream.name, 0).blocks) > 3
    found = bad_lane.look(journal.data_dir, count=1, since_ms=start + 300_000, since=event.received_at)
    assert [each.id for each in found.newest] == [event.id]
    assert len(found.groups[0].example) == bad_lane.EXAMPLE_CHARS


def test_only_what_is_durable_is_looked_at(journal: Journal) -> None:
    """An event in the ring is on its way, and not there yet."""
    stream = journal.stream()
    spoiled(stream)
    stream.publish(lane="bad", reason="invalid_field", source="impression")
    assert bad_lane.look(journal.data_dir).events == 1


def test_damage_and_disk_errors_are_said_and_the_rest_is_counted(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad block costs its own lines; a stream that cannot be read costs itself."""
    sick, well = journal.stream(), journal.stream()
    for stream in (sick, well):
        for _ in range(3):
            spoiled(stream)
    well.spoil(well.offset(1) + 10)
    found = bad_lane.look(journal.data_dir)
    assert (found.events, found.damaged_bytes) == (5, len(well.lines[1]))
    result = run("bad", "--data-dir", str(journal.data_dir))
    assert (result.exit_code, "damaged" in result.stderr) == (0, True)
    read = bad_lane.JournalReader.read

    def fails(self: Any, stream: str, offset: int, max_bytes: int = 1 << 20) -> Any:
        if stream == sick.name:
            raise OSError(5, "Input/output error")
        return read(self, stream, offset, max_bytes)

    monkeypatch.setattr(bad_lane.JournalReader, "read", fails)
    result = run("bad", "--data-dir", str(journal.data_dir))
    assert result.exit_code == 1
    assert result.stdout.startswith("2 bad events")
    assert f"stream {sick.name}: Input/output error" in result.stderr


def test_there_are_never_more_groups_than_the_bound(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal of somebody else's making: what is beyond is one group without a name."""
    monkeypatch.setattr(bad_lane, "MAX_GROUPS", 3)
    stream = journal.stream()
    for number in range(10):
        spoiled(stream, route=f"route{number}")
    found = bad_lane.look(journal.data_dir)
    assert (len(found.groups), found.events, sum(group.events for group in found.groups)) == (4, 10, 10)
    assert "others" in report(found, narrowed=False).plain


def test_what_was_never_kept_is_counted_from_the_counter_files(journal: Journal) -> None:
    """The sum of all slots, refusals and the bad lane's limit alike; reasons that keep an event are not among them."""
    for number, slot in enumerate([journal.stream().slot, journal.stream().slot], 1):
        file = CounterFile(slot / "counters")
        counts = new_counts()
        for name in ("bad_lane_limit", "no_route", "invalid_field", "head"):
            counts[REASON_INDEX[name]] = number * 10
        file.write(counts)
        file.close()
    assert bad_lane.look(journal.data_dir).not_kept == {"no_route": 30, "bad_lane_limit": 30}
    shown = run("bad", "--data-dir", str(journal.data_dir)).stdout
    assert shown.startswith("No bad events (")
    assert "30  bad_lane_limit  More bad events than `limits.max_bad_events_per_second`" in shown


# --- the report --------------------------------------------------------------------------------------------------


def test_the_report_says_what_to_do_and_where_it_happened(journal: Journal) -> None:
    """Count, reason with its help once, route, the parameters of the hit, and the page that held the tag."""
    stream = journal.stream()
    event = spoiled(stream, context=Context(referer="https://news.example/story"))
    spoiled(stream, route="conversion")
    result = run("bad", "--data-dir", str(journal.data_dir))
    shown = result.stdout
    assert result.stderr == ""  # a progress bar that was never shown leaves no empty line behind
    assert shown.startswith("2 bad events (")
    assert shown.count("A field cannot be read as its type") == 1
    second = event.received_at[:19].replace("T", " ")
    for part in (f"       1  impression      newest {second}  price  query.price=x2.50", event.id,
                 "    query.price  x2.50", "on the page https://news.example/story"):  # fmt: skip
        assert part in shown, shown


def test_an_empty_lane_says_so() -> None:
    """Nothing at all, and nothing of what was asked for, are two sentences."""
    assert report(BadLane(data_dir="x"), narrowed=False).plain == (
        "No bad events (0 bytes of journal searched).\nEach event that was kept is a proper one."
    )
    assert report(BadLane(data_dir="x", since="then"), narrowed=True).plain == (
        "No bad events since then of what was asked for (0 bytes of journal searched)."
    )


def test_nothing_that_a_hit_brings_steers_the_terminal(journal: Journal) -> None:
    """Escapes in parameters, names, routes, reasons and pages are shown, not obeyed; long values are cut."""
    evil = "\x1b]0;owned\x07\u202e"
    spoiled(journal.stream(), route=evil, field=evil, fields={evil: evil, "query.a": "v" * 5000},
            context=Context(page=evil))  # fmt: skip
    found = bad_lane.look(journal.data_dir, count=1)
    found.groups.append(Group(reason=evil, route=evil, events=1, newest=evil))
    plain = report(found, narrowed=False).plain
    assert plain.replace("\n", "").isprintable()
    assert max(map(len, plain.split("\n"))) < 300


def test_a_hit_with_very_many_parameters_is_shown_in_part() -> None:
    """The first dozen, and how many more there are."""
    event = Event(id="x", lane="bad", reason="invalid_field", properties={"field": "a", "fields": {f"query.p{n}": "1" for n in range(40)}})
    assert "and 28 more" in report(BadLane(data_dir="x", events=1, newest=[event]), narrowed=False).plain


# --- the command -------------------------------------------------------------------------------------------------


def test_json_has_everything(journal: Journal) -> None:
    """Groups, events as the journal has them, and with --counts no event."""
    event = spoiled(journal.stream())
    result = run("bad", "--json", "--data-dir", str(journal.data_dir))
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert set(shown) == set(BadLane.__struct_fields__)
    assert shown["newest"][0]["id"] == event.id
    assert shown["newest"][0]["properties"]["fields"]["query.price"] == "x2.50"
    assert json.loads(run("bad", "--json", "--counts", "--data-dir", str(journal.data_dir)).stdout)["newest"] == []


def test_a_time_is_read_as_people_write_it() -> None:
    """So long ago, or RFC 3339 with a zone; anything else is wrong usage with its repair."""
    now = time.time() * 1000
    for text, seconds in (("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 604_800), ("2 h", 7200)):
        assert abs(moment_ms(text) - (now - seconds * 1000)) < 5000
    assert moment_ms("2026-11-20T14:00:00Z") == moment_ms("2026-11-20T15:00:00.000+01:00") == 1_795_183_200_000
    for text, said in (("yesterday", "90s, 30m"), ("2026-11-20T14:00:00", "no time zone"), ("1w", "7d"), ("999999d", "range")):
        result = run("bad", "--since", text)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_a_reason_that_is_none_is_wrong_usage() -> None:
    """With the list of those there are; a flag is no reason for the bad lane."""
    for name in ("price", "head", "no_route"):
        result = run("bad", "--reason", name)
        assert result.exit_code == 2
        assert "'invalid_field'" in result.stderr


def test_no_journal_is_1() -> None:
    """In words, and nothing is made."""
    result = run("bad", "--data-dir", "nowhere")
    assert (result.exit_code, "there is no journal here" in result.stderr) == (1, True)
    assert not Path("nowhere").exists()


def test_it_changes_nothing(journal: Journal) -> None:
    """Every file has the same bytes and times after it."""
    stream = journal.stream()
    spoiled(stream)
    stream.publish()

    def state() -> dict[str, tuple[int, bytes]]:
        files = (path for path in journal.data_dir.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    assert run("bad", "--data-dir", str(journal.data_dir)).exit_code == 0
    assert state() == before


def test_memory_does_not_grow_with_the_journal(tmp_path: Path, journal: Journal, tracker_command: Callable[..., list[str]]) -> None:
    """40 MB of bad events: the process stays within 12 MB of what it takes for one."""
    stream = journal.stream()

    def peak() -> int:
        code = (
            "import resource, runpy, sys; sys.argv = ['tracker', 'bad', '--counts', '--data-dir', sys.argv[1]]\n"
            "try: runpy.run_module('tracker', run_name='__main__')\n"
            "except SystemExit as done: assert not done.code, done.code\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(journal.data_dir)], capture_output=True, text=True, timeout=60, check=True)
        return int(done.stdout.splitlines()[-1])

    spoiled(stream)
    small = peak()
    line = stream.lines[0]
    for _ in range(60):
        assert stream.ring.publish(line * (700_000 // len(line)))
        stream.flush()
    assert sum(path.stat().st_size for path in stream.segments()) > 40_000_000
    assert peak() - small < 12_000
