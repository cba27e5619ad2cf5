"""Types and values in words, for messages.

Rules
1. A type is told with its constraints: "an integer between 1 and 64".
2. A value is told as it was written; one that came from a variable by the variable's name, as it may be a secret.
"""

from __future__ import annotations

from msgspec import inspect

from tracker.settings.problems import listed, quoted
from tracker.settings.tree import Dictionary, Node, Scalar, Sequence


def expected(kind: inspect.Type) -> str:
    """A type and its constraints in words: "an integer between 1 and 64"."""
    match kind:
        case inspect.Metadata():
            return expected(kind.type)
        case inspect.UnionType():
            # What is named (a Literal's values) before what is only described.
            literals = [each for each in kind.types if isinstance(each, inspect.LiteralType)]
            named = [f"`{value}`" for each in literals for value in each.values]
            rest = [each for each in kind.types if not isinstance(each, inspect.LiteralType | inspect.NoneType)]
            return listed([*named, *map(expected, rest)])
        case inspect.LiteralType(values=values):
            return listed(f"`{value}`" for value in values)
        case inspect.StrType():
            return "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            return ("an integer" if isinstance(kind, inspect.IntType) else "a number") + _range(kind)
        case inspect.NoneType():
            return "nothing"
        case inspect.VarTupleType() | inspect.ListType():
            return "a list"
        case inspect.StructType():
            names = [f"`{field.encode_name}`" for field in kind.fields if field.required]
            return "a mapping" + (f" with {listed(names, 'and')}" if names else "")
        case inspect.DictType():
            return "a mapping"
    return "something else"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" between {kind.ge} and {kind.le}"
    bounds = (("at least", kind.ge), ("more than", kind.gt), ("at most", kind.le), ("less than", kind.lt))
    words = [f"{word} {bound}" for word, bound in bounds if bound is not None]
    return f" of {listed(words, 'and')}" if words else ""


def found(node: Node) -> str:
    """A node in words: "the number 5", "text `x`". A variable's value is not shown: it may be a secret."""
    match node:
        case Sequence():
            return "a list"
        case Dictionary():
            return "a mapping"
        case Scalar(substituted=True):
            return f"the text of {quoted(node.text)}"
        case Scalar(word="null"):
            return "nothing"
        case Scalar(word="bool"):
            plain = node.text in ("true", "false")
            return quoted(node.text) if plain else f"{quoted(node.text)}, which is {str(node.value).lower()}"
        case Scalar(word="int" | "float"):
            return f"the number {quoted(node.text)}"
        case Scalar(word="timestamp"):
            return f"the date {quoted(node.text)}"
        case Scalar(typed=True):
            return f"text {quoted(str(node.value))}" if node.value else "empty text"
        case Scalar():
            return quoted(str(node.value)) if node.value else "empty text"
    return "nothing"
