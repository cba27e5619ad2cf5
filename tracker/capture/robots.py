"""Robots: user agents behind which there is no person."""

from __future__ import annotations


def is_robot(agent: str) -> bool:
    """Whether a user agent calls itself a robot, or is a known link scanner or preview."""
    raise NotImplementedError
