"""The JSON Schemas of both settings files, for editors: made from the model and its docstrings by `make schemas`.

Rules
1. Types, defaults, patterns and descriptions come from ``tracker.settings.model``; nothing is said twice. What a type
   cannot say and an editor can is in ``RULES``.
2. Whatever the tracker accepts, the schema accepts. It may accept more: `tracker check` has the last word.
3. Where no text is due, a text with ``${NAME}`` will do, as the tracker puts the variable in.
4. The schemas stand in config/ and are committed; tests/docs turns red when they are not those of the model.
"""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import fields
import msgspec
from msgspec import inspect as types

from tracker.settings import model

CONFIG = Path(__file__).parents[1] / "config"

Schema = dict[str, Any]

RULES: dict[type[msgspec.Struct], Schema] = {
    model.LongReply: {"minProperties": 1, "maxProperties": 1},
    model.Field: {"oneOf": [{"required": ["from"]}, {"required": ["const"]}]},
}
"""What holds for a Struct as a whole."""

VARIABLE: Schema = {
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}",
    "description": "A value with a variable of the environment: ${NAME} or ${NAME:-default}.",
}


def schema(root: type[msgspec.Struct], title: str) -> Schema:
    """The schema of the file whose root the Struct is."""
    inner = [each for each in fields.family(root) if each is not root]
    options = collector_options() if model.Collector in inner else {}
    definitions = {each.__name__: struct(each) for each in inner}
    for name, each in options.items():
        definitions |= {below.__name__: struct(below) for below in fields.family(each)[1:]}
        definitions[f"{name}_options"] = struct(each)
    if options:
        definitions[model.Collector.__name__]["allOf"] = [
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": {"properties": {"options": {"$ref": f"#/$defs/{name}_options"}}},
            }
            for name in options
        ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **struct(root),
        "$defs": {**definitions, "variable": VARIABLE},
    }


def collector_options() -> dict[str, type[msgspec.Struct]]:
    """The options of the collectors that come with the tracker, by type; strangers' are theirs to describe."""
    points = sorted(entry_points(group="tracker.collectors"), key=lambda point: point.name)
    return {point.name: point.load().Options for point in points if point.module.startswith("tracker.")}


def struct(of: type[msgspec.Struct]) -> Schema:
    """A Struct as an object."""
    information = types.type_info(of)
    assert isinstance(information, types.StructType)
    properties = {}
    for field, row in zip(information.fields, fields.rows(of), strict=True):
        text = plain(row.help)
        default = {} if field.required else written(field)
        properties[field.encode_name] = shape(field.type) | ({"description": text} if text else {}) | default
    required = [field.encode_name for field in information.fields if field.required]
    return {
        "description": plain(fields.summary(of)),
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        **({"additionalProperties": False} if of.__struct_config__.forbid_unknown_fields else {}),
        **RULES.get(of, {}),
    }


def written(field: types.Field) -> Schema:
    """A field's default, where a reader learns something by it."""
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return {} if value is None or isinstance(value, msgspec.Struct) else {"default": msgspec.to_builtins(value)}


def shape(of: types.Type) -> Schema:
    """What a value of the type may be, a variable included."""
    options = alternatives(of)
    if not any(option.get("type") == "string" and len(option) == 1 for option in options) and not all(
        "$ref" in option or option.get("type") in ("object", "null") or not option for option in options
    ):
        options.append({"$ref": "#/$defs/variable"})
    return options[0] if len(options) == 1 else {"anyOf": options}


def alternatives(of: types.Type) -> list[Schema]:
    """The same as a list, without variables."""
    match of:
        case types.Metadata(type=inner, extra_json_schema=extra):
            told = (extra or {}).get("description")
            return [
                option | ({"patternErrorMessage": f"not {told}"} if told and "pattern" in option else {})
                for option in alternatives(inner)
            ]
        case types.UnionType(types=members):
            return [option for member in members for option in alternatives(member)]
        case types.LiteralType(values=values):
            return [{"enum": list(values)}]
        case types.EnumType(cls=cls):
            return [{"enum": [member.value for member in cls]}]
        case types.StrType():
            limits = {"pattern": of.pattern, "minLength": of.min_length, "maxLength": of.max_length}
            return [{"type": "string"} | present(limits)]
        case types.IntType() | types.FloatType():
            bounds = {"minimum": of.ge, "exclusiveMinimum": of.gt, "maximum": of.le, "exclusiveMaximum": of.lt}
            return [{"type": "integer" if isinstance(of, types.IntType) else "number"} | present(bounds)]
        case types.BoolType():
            return [{"type": "boolean"}]
        case types.NoneType():
            return [{"type": "null"}]
        case types.VarTupleType(item_type=item) | types.ListType(item_type=item):
            return [{"type": "array", "items": shape(item)}]
        case types.DictType(key_type=key, value_type=value):
            (name,) = alternatives(key)
            names = {} if name == {"type": "string"} else {"propertyNames": name}
            return [{"type": "object", **names, "additionalProperties": shape(value)}]
        case types.StructType(cls=cls):
            return [{"$ref": f"#/$defs/{cls.__name__}"}]
        case types.AnyType() | types.RawType():
            return [{}]
    raise TypeError(f"no schema for {of}: add one to docs/schemas.py")


def present(limits: Schema) -> Schema:
    """The limits that there are."""
    return {name: limit for name, limit in limits.items() if limit is not None}


def plain(text: str) -> str:
    """A docstring as one line with Markdown's code marks."""
    return " ".join(text.replace("``", "`").split())


def schemas() -> dict[str, str]:
    """Every file's text, by its name in config/."""
    made = {
        "tracker.schema.json": schema(model.Tracker, "tracker.yaml: the settings of the tracker"),
        "routes.schema.json": schema(model.Routes, "routes.yaml: the routing table of the tracker"),
    }
    return {name: json.dumps(each, indent=2, ensure_ascii=False) + "\n" for name, each in made.items()}


if __name__ == "__main__":
    for name, text in schemas().items():
        (CONFIG / name).write_text(text, "utf-8")
