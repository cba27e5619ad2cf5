"""The statistics of the comparison with other stacks: ratios, noise, verdicts, what is lost, and who comes when."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.peers import compare, figures, load, measure, ratio
from bench.peers.contender import Contender, needs
from bench.peers.go.contender import GO
from bench.peers.ours.contender import ours


def result(name: str, number: int, rate: float, **changed: Any) -> measure.Result:
    """A clean run at a rate."""
    made = measure.Result(
        contender=name, round=number, rate=rate, cpu_us_per_hit=1e6 / rate, core_used=1.0, core_taken=0.0, load_used=0.5,
        load_taken=0.0, p50_us=300, p99_us=900, answered=1000, events=1003, lost=0, surplus=0, refused=0, broken=0,
        exit_code=0,
    )  # fmt: skip
    return made._replace(**changed)


def rates(given: dict[str, float], control: list[tuple[float, float]] | None = None) -> Callable[..., measure.Result]:
    """A ``run_once`` that gives these rates instead of measuring; ``control`` those of the tracker and its double."""

    def run_once(contender: Contender, number: int, _seconds: float, _folder: Path) -> measure.Result:
        if control and contender.name.startswith("tracker-"):
            return result(contender.name, number, control[number % len(control)][contender.name.endswith("-again")])
        return result(contender.name, number, given[contender.name])

    return run_once


def test_a_ratio_is_taken_within_its_round() -> None:
    """A machine that is slow for a whole round changes no ratio."""
    assert figures.ratios([100, 50, 10], [50, 25, 5]) == [2, 2, 2]
    with pytest.raises(ValueError, match=r"shorter|longer"):
        figures.ratios([1, 2], [1])


def test_the_spread_tells_the_median_and_both_ends() -> None:
    """One bad round moves the ends and not the middle."""
    assert figures.spread([10, 11, 12, 13, 1]) == (11, 1, 13)


def test_noise_is_the_median_distance_from_one() -> None:
    """It counts whichever side the tracker's double is on; distances do not cancel each other."""
    assert figures.noise([1.0, 1.0, 1.0]) == 0
    assert figures.noise([0.9, 1.1, 0.9, 1.1]) == pytest.approx(0.1)
    assert figures.noise([1.0, 1.0, 1.5]) == 0


@pytest.mark.parametrize(
    ("found", "control", "verdict"),
    [
        ([1.2, 1.3, 1.25], [1.01, 0.99, 1.0], "passed"),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], "passed"),
        ([0.99, 0.98, 1.5], [1.0, 1.0, 1.0], "failed"),
        ([1.5, 1.5, 1.5], [1.1, 0.9, 1.1], "inconclusive"),
        ([0.5, 0.5, 0.5], [1.1, 0.9, 1.1], "inconclusive"),
    ],
)
def test_a_verdict_needs_a_quiet_machine(found: list[float], control: list[float], verdict: str) -> None:
    """Beyond the allowed noise there is neither pass nor fail."""
    assert figures.judge(found, control, 1.0, 0.05) == verdict


def test_lost_and_surplus_events_are_told_apart_from_hits_in_flight() -> None:
    """Fewer events than answers are lost; more are fine up to what was being answered when the load stopped."""
    assert (figures.lost(100, 99), figures.lost(100, 100), figures.lost(100, 132)) == (1, 0, 0)
    assert (figures.surplus(100, 132, 32), figures.surplus(100, 133, 32), figures.surplus(100, 90, 32)) == (0, 1, 0)


@pytest.mark.parametrize("spoilt", ["lost", "surplus", "refused", "broken", "exit_code"])
def test_a_run_with_anything_amiss_is_not_clean(spoilt: str) -> None:
    """And its line says what."""
    assert result("go", 0, 1.0).clean
    bad = result("go", 0, 1.0, **{spoilt: 3})
    assert not bad.clean
    assert "!!" in measure.told(bad) and "!!" not in measure.told(result("go", 0, 1.0))


def test_each_round_begins_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody always runs behind the same one, and everybody runs once a round."""
    seen: list[str] = []
    monkeypatch.setattr(measure, "run_once", rates({"a": 1, "b": 1, "c": 1}))
    line = [dataclasses.replace(GO, name=name) for name in "abc"]
    monkeypatch.setattr(measure, "wait_calm", lambda _: None)
    results = measure.measure(line, 3, 1, 1, lambda run: seen.append(run.contender))
    assert "".join(seen) == "abcbcacab"
    assert [run.round for run in measure.of(results, "b")] == [0, 1, 2]


@pytest.mark.parametrize(
    ("taken", "made", "kept"),
    [([0.05], 1, 0), ([0.5, 0.0], 2, 1), ([0.5, 0.3, 0.4], 3, 1)],
    ids=["calm", "calm at the second try", "never calm"],
)
def test_a_disturbed_run_is_made_again(
    monkeypatch: pytest.MonkeyPatch, taken: list[float], made: int, kept: int
) -> None:
    """Until others leave both cores alone; if they never do, the calmest stays, whatever its rate, and is marked."""
    runs = [result("go", 0, 100.0 - n, load_taken=share) for n, share in enumerate(taken)]
    left = iter(runs)
    monkeypatch.setattr(measure, "wait_calm", lambda _: None)
    monkeypatch.setattr(measure, "run_once", lambda *_: next(left))
    found = measure.run_calm(GO, 0, 1, Path("never"), 3)
    assert found is runs[kept]
    assert len(list(left)) == len(runs) - made
    assert found.disturbed == (taken[kept] > 0.1) == ("disturbed" in measure.told(found))


def test_a_run_that_lost_events_is_not_tried_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work excuses slowness, never loss."""
    left = iter([result("go", 0, 1.0, load_taken=0.9, lost=1), result("go", 0, 1.0)])
    monkeypatch.setattr(measure, "wait_calm", lambda _: None)
    monkeypatch.setattr(measure, "run_once", lambda *_: next(left))
    assert measure.run_calm(GO, 0, 1, Path("never"), 3).lost == 1


def test_what_wrk_says_is_read() -> None:
    """Refusals are no answers; failures of any kind are added up."""
    line = json.dumps({
        "requests": 1000, "microseconds": 2_000_000, "connect": 1, "read": 2, "write": 3, "timeout": 4, "status": 100,
        "p50": 10, "p99": 20, "p999": 30, "max": 40,
    })  # fmt: skip
    found = load.read(f"Running 2s test\n\nJSON {line}\n")
    assert (found.answered, found.refused, found.broken, found.rate) == (900, 100, 10, 450)
    with pytest.raises(RuntimeError, match="no figures"):
        load.read("Running 2s test\n")


def test_what_is_missing_comes_with_the_line_that_repairs_it() -> None:
    """A tool that is not on the PATH is named with its install line."""
    assert needs("sh", "never") == ""
    assert needs("no-such-tool-anywhere", "apt-get install it") == "`no-such-tool-anywhere` is not on the PATH: apt-get install it"


def summary_of(given: list[measure.Result]) -> dict[str, Any]:
    made = compare.summary([ours(), ours(suffix="-again"), GO], {"rust": "install it"}, given)
    return made | {"at": "2026-11-21T00:00:00Z", "machine": "m", "rounds": 2, "seconds": 1, "connections": 32,
                   "load_average": [0.1, 0.2]}  # fmt: skip


def test_the_summary_holds_ratio_control_and_who_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours is the mean of both its runs of a round; by processor time the ratio is theirs over ours."""
    monkeypatch.delenv("TRACKER_DOOR", raising=False)
    name = ours().name
    runs = [result(name, n, 110) for n in (0, 1)] + [result(f"{name}-again", n, 90) for n in (0, 1)]
    said = summary_of([*runs, result("go", 0, 50), result("go", 1, 40, lost=7)])
    go = next(row for row in said["contenders"] if row["name"] == "go")
    assert go["ours_to_it"] == {"median": 2.25, "lowest": 2.0, "highest": 2.5}
    assert go["ours_to_it_by_cpu"]["lowest"] == pytest.approx(1e6 / 50 / ((1e6 / 110 + 1e6 / 90) / 2))
    assert said["control"]["noise"] == pytest.approx(110 / 90 - 1)
    text = compare.markdown(said)
    assert "| go | 45 (40-50) |" in text and "**7**" in text
    assert "noise 22.2%" in text and "Left out: rust: install it" in text


def gate(monkeypatch: pytest.MonkeyPatch, run_once: Callable[..., measure.Result], *arguments: str) -> int:
    """The gate's exit code with runs of known rates."""
    monkeypatch.setattr(measure, "run_once", run_once)
    monkeypatch.setattr(measure, "wait_calm", lambda _: None)
    monkeypatch.setattr(load, "missing", lambda: "")
    monkeypatch.setattr(ratio, "GO", dataclasses.replace(GO, missing=lambda: "", version=lambda: "go"))
    monkeypatch.setattr("sys.argv", ["ratio", "--door", "portable", "--rounds", "3", "--seconds", "1", *arguments])
    return ratio.main()


@pytest.mark.parametrize(("mine", "least", "code"), [(120, "1.0", 0), (99, "1.0", 1), (120, "1.3", 1), (130, "1.3", 0)])
def test_the_gate_passes_from_its_ratio_on(monkeypatch: pytest.MonkeyPatch, mine: float, least: str, code: int) -> None:
    """At a quiet machine the ratio alone decides."""
    assert gate(monkeypatch, rates({"go": 100}, [(mine, mine)]), "--least", least) == code


def test_the_gate_measures_once_more_and_then_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A noisy machine never passes it, however good the ratio looks."""
    assert gate(monkeypatch, rates({"go": 10}, [(100, 110)])) == 1
    out = capsys.readouterr().out
    assert out.count("inconclusive: ") == 2 and "too much noise, twice" in out


def test_the_gate_passes_if_the_second_attempt_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise is not a failure as long as it goes away."""
    calls: list[str] = []

    def run_once(contender: Contender, number: int, seconds: float, folder: Path) -> measure.Result:
        calls.append(contender.name)
        noisy = len(calls) <= 9
        return rates({"go": 10}, [(100, 120)] if noisy else [(100, 100)])(contender, number, seconds, folder)

    assert gate(monkeypatch, run_once) == 0
    assert calls[:6] == ["tracker-portable", "go", "tracker-portable-again", "tracker-portable-again", "go", "tracker-portable"]
    assert len(calls) == 18


def disturbed_in(rounds: set[int], go_then: float) -> Callable[..., measure.Result]:
    """Ours 100, Go 110; in these rounds the load's core is taken by others, and Go slower."""

    def run_once(contender: Contender, number: int, seconds: float, folder: Path) -> measure.Result:
        go = go_then if number in rounds else 110
        made = rates({"go": go}, [(100, 100)])(contender, number, seconds, folder)
        return made._replace(load_taken=0.5 if number in rounds and contender.name == "go" else 0.0)

    return run_once


def test_disturbed_rounds_do_not_let_the_gate_pass(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other work slows the peer; a ratio above 1 in such a round is not ours. Too few calm rounds are none."""
    assert gate(monkeypatch, disturbed_in({0}, go_then=50)) == 1
    out = capsys.readouterr().out
    assert "failed: 0.91 times Go" in out and "2 of 3 rounds calm" in out
    assert gate(monkeypatch, disturbed_in({0, 1}, go_then=50)) == 1
    assert capsys.readouterr().out.count("inconclusive: ") == 2


def test_a_lost_event_fails_the_gate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """However fast: a hit that was answered and not kept is no hit."""

    def run_once(contender: Contender, number: int, seconds: float, folder: Path) -> measure.Result:
        made = rates({"go": 10}, [(100, 100)])(contender, number, seconds, folder)
        return made._replace(lost=1) if number == 2 and contender.name == "tracker-portable" else made

    assert gate(monkeypatch, run_once) == 1
    assert "not clean: round 3  tracker-portable" in capsys.readouterr().out


def test_the_gate_fails_where_it_cannot_measure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing tool is a failure with the line that repairs it, not a pass."""
    monkeypatch.setattr(load, "missing", lambda: "`wrk` is not on the PATH: apt-get install wrk")
    monkeypatch.setattr("sys.argv", ["ratio"])
    assert ratio.main() == 1
    assert "apt-get install wrk" in capsys.readouterr().err
