"""From tree to settings: a walk along the model's types that collects everything wrong on its way.

Rules
1. What the walk accepts, ``msgspec.convert`` accepts: the types and their constraints stand in the model alone.
2. The walk goes on behind a mistake, so that a person corrects a file once.
3. Text is text only if it was written as text: a name such as ``on`` or ``0123`` that YAML made something else of is
   refused with the advice to quote it, never guessed at.
4. No text holds control characters or what UTF-8 cannot encode.
5. No finding tells a secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from msgspec import inspect

from tracker.settings.masked import SHOWN, is_secret, told
from tracker.settings.problems import Findings, Mark, Path, nearest, quoted, suggestion
from tracker.settings.tree import Broken, Dictionary, Node, Scalar, Sequence, resolve, surprise
from tracker.settings.words import expected, found

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_LARGEST = (1 << 63) - 1


def decode(model: type[Any], node: Node, findings: Findings) -> Any:
    """The tree as plain data (dicts, lists, scalars) that fits ``model``, if nothing was added to ``findings``.

    Raises ``problems.Enough``.
    """
    return _decode(type_of(model), node, (), node.mark, findings)


def decode_at(model: type[Any], path: Path, node: Node, findings: Findings) -> Any:
    """The same for one setting of the model, such as ``("limits", "max_body_bytes")``, which must exist."""
    kind = type_of(model)
    for step in path:
        if isinstance(kind, inspect.StructType):
            kind = next(field.type for field in kind.fields if field.encode_name == step)
    return _decode(kind, node, path, None, findings)


type_of: Callable[[Any], inspect.Type] = cache(inspect.type_info)
"""What msgspec knows about a type; looked up once, as it takes a millisecond."""


def _decode(kind: inspect.Type, node: Node, path: Path, at: Mark | None, findings: Findings) -> Any:
    """``at``: where the value's key stands, or the value itself if it has none."""
    if isinstance(node, Scalar) and not isinstance(kind, inspect.AnyType) and is_secret(path):
        # No message can tell it: of a value that will be refused, there is not even the value.
        node = node._replace(text=told(node.text), substituted=True, value=node.value if node.word == "str" else SHOWN)
    return _shown(kind, node, path, at, findings)


def _shown(kind: inspect.Type, node: Node, path: Path, at: Mark | None, findings: Findings) -> Any:
    described = ""
    if isinstance(kind, inspect.Metadata):
        described = str((kind.extra_json_schema or {}).get("description", ""))
        kind = kind.type
    if isinstance(node, Broken):
        return None
    if isinstance(kind, inspect.UnionType):
        chosen = _choose(kind, node)
        if chosen is None:
            return _wrong(kind, node, path, at, findings)
        if isinstance(chosen, inspect.LiteralType):
            return _literal(chosen, kind, node, path, at, findings)
        return _shown(chosen, node, path, at, findings)
    match kind, node:
        case inspect.AnyType(), _:
            return _any(node, path, at, findings)
        case inspect.LiteralType(), Scalar():
            return _literal(kind, kind, node, path, at, findings)
        case inspect.StrType(), Scalar(word="str"):
            return _text(kind, described, node, path, findings)
        case inspect.BoolType(), Scalar(typed=False) if str(node.value).lower() in ("true", "false"):
            return str(node.value).lower() == "true"
        case inspect.BoolType(), Scalar(word="bool"):
            return node.value
        case inspect.IntType() | inspect.FloatType(), Scalar(word="int" | "float" | "str"):
            return _number(kind, node, path, at, findings)
        case inspect.NoneType(), Scalar(word="null"):
            return None
        case (inspect.VarTupleType() | inspect.ListType()), Sequence():
            return [
                _decode(kind.item_type, item, (*path, index), item.mark, findings)
                for index, item in enumerate(node.items)
            ]
        case (inspect.VarTupleType() | inspect.ListType()), Scalar(typed=False):
            return [
                _decode(kind.item_type, node._replace(value=part.strip()), (*path, index), at, findings)
                for index, part in enumerate(str(node.value).split(",") if node.value else [])
            ]
        case inspect.DictType(), Dictionary():
            return _dictionary(kind, node, path, findings)
        case inspect.StructType(), Dictionary():
            return _struct(kind, node, path, at, findings)
    return _wrong(kind, node, path, at, findings)


def _choose(kind: inspect.UnionType, node: Node) -> inspect.Type | None:
    """The member that this node is meant to be, judged by its outer form alone: or every message would be double."""
    members = [member.type if isinstance(member, inspect.Metadata) else member for member in kind.types]
    wanted: tuple[type[inspect.Type], ...]
    match node:
        case Dictionary():
            wanted = (inspect.StructType, inspect.DictType)
        case Sequence():
            wanted = (inspect.VarTupleType, inspect.ListType)
        case Scalar(word="null"):
            wanted = (inspect.NoneType,)
        case Scalar(word="bool"):
            wanted = (inspect.BoolType,)
        case Scalar(word="int" | "float"):
            wanted = (inspect.IntType, inspect.FloatType)
        case _:
            wanted = (inspect.StrType,)
    # A scalar that is none of the plain types is a Literal; what is not one of its values shall be told so.
    literals: tuple[type[inspect.Type], ...] = ()
    if isinstance(node, Scalar) and node.word != "null":
        literals = (inspect.LiteralType,)
    if isinstance(node, Scalar) and not node.typed:
        wanted = (inspect.StrType, inspect.BoolType, inspect.IntType, inspect.FloatType)
        literals = (inspect.LiteralType, inspect.VarTupleType)
    for each in (wanted, literals, (inspect.AnyType,)):
        for original, member in zip(kind.types, members, strict=True):
            if isinstance(member, each):
                return original
    return None


def _struct(kind: inspect.StructType, node: Dictionary, path: Path, at: Mark | None, findings: Findings) -> Any:
    known = {field.encode_name: field for field in kind.fields}
    out = {}
    meant = set()
    for name, (mark, value) in node.entries.items():
        field = known.get(name)
        if field is None:
            meant.add(nearest(name, known))
            findings.add(mark, path, f"unknown field {quoted(name)}", _hint(name, kind))
        else:
            out[name] = _decode(field.type, value, (*path, name), mark, findings)
    for name, field in known.items():
        if field.required and name not in node.entries and name not in meant:
            findings.add(at, path, f"no `{name}`", f"add `{name}:` and {expected(field.type)}")
    return out


def _hint(name: str, kind: inspect.StructType) -> str:
    names = [field.encode_name for field in kind.fields]
    if not nearest(name, names):
        for field in kind.fields:
            inner = field.type
            if isinstance(inner, inspect.StructType) and name in [each.encode_name for each in inner.fields]:
                return f"it belongs under `{field.encode_name}:`"
    return suggestion(name, names)


def _dictionary(kind: inspect.DictType, node: Dictionary, path: Path, findings: Findings) -> Any:
    out = {}
    for name, (mark, value) in node.entries.items():
        # A key is checked like any text, but at its own place.
        _shown(kind.key_type, Scalar(mark, name, "str", name, quoted=True), (*path, name), mark, findings)
        out[name] = _decode(kind.value_type, value, (*path, name), mark, findings)
    return out


def _literal(
    kind: inspect.LiteralType, whole: inspect.Type, node: Node, path: Path, at: Mark | None, findings: Findings
) -> Any:
    """``whole``: the union that the Literal is part of, for the words; or the Literal itself."""
    assert isinstance(node, Scalar)
    for value in kind.values:
        if type(value) is type(node.value) and value == node.value:
            return value
        if not node.typed and str(value) == node.value:
            return value
    texts = [value for value in kind.values if isinstance(value, str)]
    if node.word != "str" or not texts:
        return _wrong(whole, node, path, at, findings)
    near = nearest(str(node.value), texts)
    hint = f"did you mean `{near}`?" if near else ""
    findings.add(_place(node, at), path, f"expected {expected(whole)}, got {found(node)}", hint)
    return None


def _text(kind: inspect.StrType, described: str, node: Scalar, path: Path, findings: Findings) -> Any:
    text = str(node.value)
    if not _encodable(text):
        findings.add(node.mark, path, f"{found(node)} holds bytes that are not UTF-8", "")
    elif not all(character >= " " and not "\x7f" <= character <= "\x9f" for character in text):
        hint = "a block (`|` or `>`) ends with a line break: write it in one line" if "\n" in text else ""
        findings.add(node.mark, path, f"{found(node)} holds a control character", hint)
    elif kind.pattern is not None and not re.search(kind.pattern, text):
        findings.add(node.mark, path, f"{found(node)} is not {described or f'of the form `{kind.pattern}`'}")
    elif (kind.min_length or 0) > len(text):
        findings.add(node.mark, path, f"{found(node)} is shorter than {kind.min_length} characters")
    elif kind.max_length is not None and len(text) > kind.max_length:
        findings.add(node.mark, path, f"{found(node)} is longer than {kind.max_length} characters")
    return text


def _number(
    kind: inspect.IntType | inspect.FloatType, node: Scalar, path: Path, at: Mark | None, findings: Findings
) -> Any:
    value = node.value
    if not node.typed:
        value = _typed(str(value))
    whole = isinstance(kind, inspect.IntType)
    if isinstance(value, str) or (whole and not isinstance(value, int)):
        hint = ""
        if node.quoted and node.typed and isinstance(_typed(str(value)), int | float):
            hint = "without the quotes it is a number"
        return _wrong(kind, node, path, at, findings, hint)
    assert isinstance(value, int | float)
    if isinstance(value, int) and node.typed and node.mark and not _INTEGER.fullmatch(node.text):
        # 0755 and 1:30 are YAML's; nobody who writes them into a settings file means 493 and 90.
        hint = f"write {value}" if abs(value) <= _LARGEST else ""
        findings.add(node.mark, path, f"YAML reads {surprise(node)}", hint)
        return None
    if not math.isfinite(value) if isinstance(value, float) else abs(value) > _LARGEST:
        findings.add(node.mark, path, f"{found(node)} is too large")
        return None
    if (
        (kind.ge is not None and value < kind.ge)
        or (kind.gt is not None and value <= kind.gt)
        or (kind.le is not None and value > kind.le)
        or (kind.lt is not None and value >= kind.lt)
    ):
        return _wrong(kind, node, path, at, findings)
    return value


def _any(node: Node, path: Path, at: Mark | None, findings: Findings) -> Any:
    """Plain data of any shape that JSON can hold exactly."""
    if isinstance(node, Scalar) and is_secret(path):
        node = node._replace(text=told(node.text), substituted=True)
    match node:
        case Dictionary():
            for name, (mark, _) in node.entries.items():
                _any(Scalar(mark, name, "str", name, quoted=True), (*path, name), mark, findings)
            return {name: _any(value, (*path, name), mark, findings) for name, (mark, value) in node.entries.items()}
        case Sequence():
            return [_any(item, (*path, index), item.mark, findings) for index, item in enumerate(node.items)]
        case Broken():
            return None
    value = node.value if node.typed else _typed(str(node.value))
    if isinstance(value, str) and not _encodable(value):
        findings.add(_place(node, at), path, f"{found(node)} holds bytes that are not UTF-8")
    elif isinstance(value, float) and not math.isfinite(value):
        findings.add(_place(node, at), path, f"expected a number, got {quoted(node.text)}", "quote it if it is text")
    elif isinstance(value, int) and abs(value) > _LARGEST:
        findings.add(_place(node, at), path, f"{found(node)} is too large", "quote it if it is text")
    return value


def _typed(text: str) -> str | int | float | bool:
    """What a variable's text is: a decimal number, true or false, or else text."""
    if text in ("true", "false"):
        return text == "true"
    if len(text) <= 64 and _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if resolve(text) == "float" and re.fullmatch(r"[-+0-9.eE]{1,64}", text):
        return float(text)
    return text


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _place(node: Node, at: Mark | None) -> Mark | None:
    """The value itself; its key if there is nothing of it to see."""
    unseen = isinstance(node, Scalar) and not node.text and not node.quoted
    return at if unseen or node.mark is None or isinstance(node, Dictionary) else node.mark


def _wrong(kind: inspect.Type, node: Node, path: Path, at: Mark | None, findings: Findings, hint: str = "") -> None:
    """Adds "expected this, got that"."""
    wants_text = _wants_text(kind)
    wants_list = _wants_list(kind)
    message = f"expected {expected(kind)}, got {found(node)}"
    if isinstance(node, Scalar):
        unquoted = node.mark is not None and not node.quoted and node.typed
        if node.word != "str" and unquoted and node.text and wants_text:
            message = f"expected {expected(kind)}; YAML reads {surprise(node)}"
            hint = f'quote it: "{node.text[:40]}"'
        elif node.word == "null":
            hint = hint or _nothing_hint(kind)
        elif wants_list and node.mark is not None and not node.substituted:
            hint = hint or f"write [{node.text[:40]}]"
    findings.add(_place(node, at), path, message, hint)


def _nothing_hint(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.DictType):
        return "write `{}` for none, or leave it out"
    if isinstance(kind, inspect.VarTupleType | inspect.ListType):
        return "write `[]` for none, or leave it out"
    return "leave it out for the default"


def _members(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _wants_text(kind: inspect.Type) -> bool:
    return any(
        isinstance(member, inspect.StrType)
        or (isinstance(member, inspect.Metadata) and isinstance(member.type, inspect.StrType))
        or (isinstance(member, inspect.LiteralType) and any(isinstance(value, str) for value in member.values))
        for member in _members(kind)
    )


def _wants_list(kind: inspect.Type) -> bool:
    members = [member for member in _members(kind) if not isinstance(member, inspect.NoneType)]
    return all(isinstance(member, inspect.VarTupleType | inspect.ListType) for member in members)
