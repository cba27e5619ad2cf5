"""The committed JSON Schemas are those of the model."""

from __future__ import annotations

from pathlib import Path

import fields
import msgspec
import pytest
import schemas

from tracker.settings import model

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("name", schemas.schemas())
def test_a_schema_is_made_anew_after_a_change_of_the_model(name: str) -> None:
    """What stands in config/ is what `make schemas` would write."""
    assert (CONFIG / name).read_text("utf-8") == schemas.schemas()[name], "run `make schemas` and commit what it writes"


@pytest.mark.parametrize("root", [model.Tracker, model.Routes], ids=["tracker", "routes"])
def test_a_schema_has_every_setting_with_its_help(root: type[msgspec.Struct]) -> None:
    """Each field of each Struct, described; unknown ones are refused; the required ones are required."""
    made = schemas.schema(root, "title")
    for struct in fields.family(root):
        own = made if struct is root else made["$defs"][struct.__name__]
        rows = fields.rows(struct)
        assert list(own["properties"]) == [row.name for row in rows]
        assert own["additionalProperties"] is False
        assert own.get("required", []) == [row.name for row in rows if row.default == "required"]
        assert all(own["properties"][row.name]["description"] for row in rows)


def test_the_options_of_the_built_in_collectors_are_in_it() -> None:
    """An editor completes `options:` below `type: log`."""
    made = schemas.schema(model.Tracker, "title")
    assert {"if": {"properties": {"type": {"const": "log"}}, "required": ["type"]},
            "then": {"properties": {"options": {"$ref": "#/$defs/log_options"}}}} in made["$defs"]["Collector"]["allOf"]  # fmt: skip
    assert "file" in made["$defs"]["log_options"]["properties"]


def test_a_type_without_a_schema_is_not_passed_over() -> None:
    """A new kind of setting turns CI red here, and not into a schema that takes anything."""

    class Odd(msgspec.Struct):
        what: bytes = b""

    with pytest.raises(TypeError, match=r"no schema for .*: add one"):
        schemas.struct(Odd)
