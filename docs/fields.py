"""Reading a msgspec Struct the way a person asks about it: which fields, of what kind, with what default, and why.

Rules
1. Type and default come from the running class, the help from the docstring below the field in its source.
2. Everything is text here, in Markdown; nothing is written to disk.
"""

from __future__ import annotations

import ast
import enum
import inspect
import textwrap
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect as types


class Row(NamedTuple):
    """One field of a Struct."""

    name: str
    """As it is written in YAML or JSON."""
    kind: str
    """What it takes, as a phrase: ``integer, at least 1``."""
    default: str
    """As it would be written, or ``required``."""
    help: str
    """Its docstring, or empty."""
    struct: type[msgspec.Struct] | None
    """The Struct it holds (alone, as a map's values, or as the long form of something), if any."""


def rows(struct: type[msgspec.Struct]) -> list[Row]:
    """The fields of a Struct, in its order."""
    information = types.type_info(struct)
    assert isinstance(information, types.StructType)
    help_of = docstrings(struct)
    found = []
    for field in information.fields:
        inner = nested(field.type)
        # A field that is nothing but a Struct may leave the word to that Struct's own docstring.
        text = help_of.get(field.name) or (summary(inner) if inner and isinstance(field.type, types.StructType) else "")
        found.append(Row(field.encode_name, kind(field.type), default(field), text, inner))
    return found


def undocumented(struct: type[msgspec.Struct]) -> list[str]:
    """Names of the fields without help, of this Struct and of all those inside it."""
    return [f"{each.__name__}.{row.name}" for each in family(struct) for row in rows(each) if not row.help]


def summary(of: type[Any]) -> str:
    """A class's own docstring, not a base's; empty if it has none."""
    return inspect.cleandoc(of.__dict__.get("__doc__") or "")


def docstrings(struct: type[Any]) -> dict[str, str]:
    """The docstring below each annotated field of a class and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        if base.__module__.partition(".")[0] in ("builtins", "msgspec", "typing"):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(tree, ast.ClassDef)
        found |= texts_below(tree.body)
    return found


def texts_below(body: list[ast.stmt]) -> dict[str, str]:
    """The docstring below each assignment to a plain name."""
    found = {}
    for statement, below in pairwise(body):
        match statement, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found


def kind(of: types.Type) -> str:
    """A type as a phrase."""
    match of:
        case types.Metadata(type=inner):
            return kind(inner)
        case types.IntType() | types.FloatType():
            bounds = []
            if of.ge is not None:
                bounds.append(f"at least {of.ge}")
            if of.gt is not None:
                bounds.append(f"more than {of.gt}")
            if of.le is not None:
                bounds.append(f"at most {of.le}")
            if of.lt is not None:
                bounds.append(f"less than {of.lt}")
            return ", ".join(["integer" if isinstance(of, types.IntType) else "number", *bounds])
        case types.StrType(pattern=pattern):
            return f"text matching `{pattern}`" if pattern else "text"
        case types.BytesType():
            return "bytes in base64"
        case types.BoolType():
            return "`true` or `false`"
        case types.NoneType():
            return "nothing"
        case types.LiteralType(values=values):
            return " or ".join(f"`{value}`" for value in values)
        case types.EnumType(cls=cls):
            return " or ".join(f"`{member.value}`" for member in cls)
        case types.VarTupleType(item_type=item) | types.ListType(item_type=item):
            each = kind(item)
            return f"list, each item: {each}" if " or " in each else f"list of {each}"
        case types.DictType(value_type=value):
            return f"map of name to {kind(value)}"
        case types.StructType(cls=cls):
            return f"[{cls.__name__}](#{anchor(cls)})"
        case types.UnionType(types=options):
            return " or ".join(kind(option) for option in options if not isinstance(option, types.NoneType))
        case types.AnyType() | types.RawType():
            return "anything"
    raise TypeError(f"no phrase for {of}: add one to docs/fields.py")


def default(field: types.Field) -> str:
    """A field's default as it would be written."""
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return written(value) + amount(field.name, value)


def written(value: Any) -> str:
    """A default value in the form of the YAML file, as code; a Struct, or nothing, is ``-``."""
    match value:
        case None | msgspec.Struct():
            return "-"
        case enum.Enum():
            return written(value.value)
        case bool():
            return "`true`" if value else "`false`"
        case int() | float():
            return f"`{value}`"
        case str():
            return f"`{value}`" if value else "empty"
        case tuple() | list() | frozenset() | set():
            return f"`[{', '.join(msgspec.json.encode(item).decode() for item in value)}]`"
        case dict():
            return f"`{msgspec.json.encode(value).decode()}`"
    return f"`{value}`"


def amount(name: str, value: Any) -> str:
    """A large default once more in a unit one can feel, such as `` (64 MiB)``; the field's name tells its unit."""
    units = next((units for ending, units in _UNITS.items() if ending in f"_{name}_"), ())
    for unit, size in units:
        if isinstance(value, int) and value >= size and value % size == 0:
            return f" ({value // size} {unit}{'s' if unit.islower() and value > size else ''})"
    return ""


_UNITS = {
    "_bytes_": (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)),
    "_s_": (("day", 86_400), ("hour", 3_600), ("minute", 60)),
}


def nested(of: types.Type) -> type[msgspec.Struct] | None:
    """The Struct inside a type: ``X``, ``X | None``, a list of them, or a map's values."""
    match of:
        case types.StructType(cls=cls):
            return cls
        case types.Metadata(type=inner):
            return nested(inner)
        case types.DictType(value_type=inner) | types.VarTupleType(item_type=inner) | types.ListType(item_type=inner):
            return nested(inner)
        case types.UnionType(types=options):
            return next((found for option in options if (found := nested(option))), None)
    return None


def family(struct: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """A Struct and all those inside it, each once, outermost first."""
    found: list[type[msgspec.Struct]] = []
    waiting = [struct]
    while waiting:
        current = waiting.pop(0)
        if current not in found:
            found.append(current)
            waiting += [row.struct for row in rows(current) if row.struct is not None]
    return found


def anchor(struct: type[Any]) -> str:
    """Where the page that describes a Struct has it."""
    return f"struct-{struct.__name__.lower()}"
