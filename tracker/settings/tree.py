"""The tree of a settings file: what each value is, where it stands, and how it was written.

Rules
1. A node knows its place and its text: whoever refuses it can say where it is and what YAML made of it.
2. The scalars are YAML 1.1's (``on`` is true, ``0123`` is 83): this file has its rules, and words for its surprises.
3. A tree may also come from plain data or a variable; then it has no places.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import yaml

from tracker.settings.problems import Mark, Path, quoted

_RESOLVERS: Mapping[str, Any] = yaml.SafeLoader.yaml_implicit_resolvers
_CONSTRUCTOR = yaml.constructor.SafeConstructor()

Word = Literal["str", "int", "float", "bool", "null", "timestamp"]
"""What YAML takes a scalar for."""


class Scalar(NamedTuple):
    """One value that is no list and no mapping."""

    mark: Mark | None
    text: str
    """As it was written (without quotes), before variables were put in."""
    word: Word
    value: str | int | float | bool | None
    """A date stays text: no setting is one."""
    quoted: bool = False
    """Written in quotes or as a block: nobody can mistake it for anything but text."""
    typed: bool = True
    """False for what comes from a variable or flag: text that is to be read as whatever the setting is."""
    substituted: bool = False
    """A variable was put in: ``text`` is what may be shown, ``value`` may be a secret."""


class Sequence(NamedTuple):
    """A list."""

    mark: Mark | None
    items: list[Node]


class Entry(NamedTuple):
    """One line of a mapping: where its key stands, and its value."""

    mark: Mark | None
    node: Node


class Dictionary(NamedTuple):
    """A mapping: text to node."""

    mark: Mark | None
    entries: dict[str, Entry]


class Broken(NamedTuple):
    """A value about which a finding has been made already."""

    mark: Mark | None


Node = Scalar | Sequence | Dictionary | Broken


def locate(root: Dictionary, path: Path) -> Mark:
    """Where the value at ``path`` stands: a scalar itself, else its key; the nearest parent if it is not there."""
    node: Node = root
    mark = root.mark
    for step in path:
        if isinstance(node, Dictionary) and isinstance(step, str):
            # The model writes `from_` where the file says `from`.
            entry = node.entries.get(step) or node.entries.get(step.rstrip("_"))
            if entry is None:
                break
            node, mark = entry.node, entry.mark
        elif isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
            mark = node.mark
        else:
            break
    if isinstance(node, Scalar) and (node.text or node.quoted):
        mark = node.mark
    return mark or Mark(1, 1)


def node_of(value: object) -> Node:
    """The tree of plain data, such as a flag's value: without marks, and typed as it is."""
    match value:
        case bool():
            return Scalar(None, str(value).lower(), "bool", value)
        case int():
            return Scalar(None, digits(value), "int", value)
        case float():
            return Scalar(None, repr(value), "float", value)
        case None:
            return Scalar(None, "null", "null", None)
        case str():
            return Scalar(None, value, "str", value, quoted=True)
        case list() | tuple():
            return Sequence(None, [node_of(item) for item in value])
        case dict():
            return Dictionary(None, {str(key): Entry(None, node_of(item)) for key, item in value.items()})
        case _:
            return Scalar(None, str(value), "str", str(value), quoted=True)


def digits(number: int) -> str:
    return str(number) if abs(number) < 1 << 128 else hex(number)  # str() of a huge int raises


def resolve(text: str) -> Word:
    """What YAML 1.1 takes an unquoted scalar for."""
    for tag, pattern in _RESOLVERS.get(text[:1], ()):
        if pattern.match(text):
            match tag.rpartition(":")[2]:
                case "int":
                    return "int"
                case "float":
                    return "float"
                case "bool":
                    return "bool"
                case "null":
                    return "null"
                case "timestamp":
                    return "timestamp"
    return "str"


def construct(text: str, word: Word) -> str | int | float | bool | None:
    """YAML's value of an unquoted scalar. Raises ``ValueError`` or ``OverflowError`` for numbers too large."""
    if word in ("int", "float") and len(text) > 64:  # 1:2:3:4... takes time that grows with the square
        raise ValueError("too large")
    match word:
        case "int":
            number: int = _CONSTRUCTOR.construct_yaml_int(yaml.ScalarNode("", text))
            return number
        case "float":
            value: float = _CONSTRUCTOR.construct_yaml_float(yaml.ScalarNode("", text))
            return value
        case "bool":
            return text.lower() in ("yes", "true", "on")
        case "null":
            return None
    return text


def surprise(node: Scalar) -> str:
    """How YAML reads an unquoted scalar that its author may have meant as text: "`on` as true"."""
    shown = quoted(node.text)
    match node.word:
        case "bool":
            return f"{shown} as {str(node.value).lower()}"
        case "null":
            return f"{shown} as nothing"
        case "timestamp":
            return f"{shown} as a date"
        case "int" if isinstance(node.value, int) and digits(node.value) != node.text:
            return f"{shown} as the number {digits(node.value)[:40]}"
        case "float" if isinstance(node.value, float) and math.isfinite(node.value) and ":" in node.text:
            return f"{shown} as the number {node.value!r}"
        case "int" | "float":
            return f"{shown} as a number"
        case _:
            return f"{shown} as text"
