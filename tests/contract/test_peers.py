"""The peers do the tracker's work: their events and replies equal its own, field by field."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench.peers import equality, load, measure
from bench.peers.contender import Contender
from bench.peers.go.contender import GO
from bench.peers.nginx.contender import NGINX_LUA
from bench.peers.ours.contender import ours


def present(contender: Contender) -> Contender:
    """The contender, or a skip with the line that installs what it needs."""
    absent = contender.missing()
    if absent:
        pytest.skip(absent)
    return contender


@pytest.mark.parametrize("peer", [GO, NGINX_LUA], ids=lambda peer: peer.name)
def test_a_peers_events_and_replies_are_the_trackers(peer: Contender) -> None:
    """The same requests give the same events, statuses, bodies and headers; ids, positions and times are its own."""
    assert equality.differences(ours(), present(peer)) == []


def test_a_difference_is_found() -> None:
    """A peer that does less is not called equal: here the Go peer writes another environment."""
    present(GO)

    def elsewhere(folder: Path, port: int) -> list[str]:
        return [*GO.command(folder, port), "-environment", "elsewhere"]

    found = equality.differences(ours(), dataclasses.replace(GO, command=elsewhere))
    assert len(found) == len(equality.requests(GO))
    assert "event.environment: the tracker 'production', go 'elsewhere'" in found[0]


def test_a_peer_that_loses_events_is_marked(tmp_path: Path) -> None:
    """Answers without an event on disk are counted as lost, and the run is not clean."""
    present(GO)
    if load.missing():
        pytest.skip(load.missing())

    def nowhere(folder: Path, port: int) -> list[str]:
        (folder / "events.ndjson").touch()
        return [*GO.command(folder, port)[:-1], "/dev/null"]

    result = measure.run_once(dataclasses.replace(GO, command=nowhere), 0, 1, tmp_path / "run")
    assert result.lost == result.answered > 1000
    assert not result.clean


def test_a_run_is_reconciled(tmp_path: Path) -> None:
    """Under load every answered hit of the Go peer is an event on disk when it has stopped."""
    present(GO)
    if load.missing():
        pytest.skip(load.missing())
    result = measure.run_once(GO, 0, 1, tmp_path / "run")
    assert result.answered > 1000
    assert result.clean, result
    assert not (tmp_path / "run").exists()
