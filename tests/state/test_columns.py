"""No column is forgotten: each is a field of the state, or named as left out, with its reason."""

from typing import Any

import pytest
from sqlmodel import SQLModel

from scheduler.state import items
from scheduler.state.items import MAINTENANCE, Kind
from schemas.management.state import KINDS, StateDocument
from schemas.management_tables import MaintenanceRow


@pytest.mark.parametrize("kind", Kind)
def test_every_column_is_a_field_or_left_out_for_a_reason(kind: Kind) -> None:
    table = items.TABLES[kind]
    columns = set(SQLModel.metadata.tables[str(table.row.__tablename__)].columns.keys())
    beside = {MAINTENANCE, "own_secret"}
    held = {table.column(name) for name in table.model.model_fields if name not in beside}
    assert held | set(table.left_out) == columns
    assert not held & set(table.left_out)
    assert all(table.left_out.values())


def test_every_column_of_a_window_is_in_the_state() -> None:
    columns = set(SQLModel.metadata.tables["maintenance"].columns.keys())
    assert columns == {*items.BESIDE[MAINTENANCE], "id", "node_id", "created_ms"}
    assert MaintenanceRow.__tablename__ == MAINTENANCE


@pytest.mark.parametrize("kind", Kind)
def test_a_field_that_is_left_out_has_the_default_of_its_column(kind: Kind) -> None:
    table = items.TABLES[kind]
    for name in table.fields:
        info = table.model.model_fields[name]
        column = table.row.model_fields[table.column(name)]
        assert info.is_required() == column.is_required(), name
        if not info.is_required():
            stored = column.get_default()
            assert items.defaults(kind)[name] == items.read(table.form(name), stored), name


@pytest.mark.parametrize("kind", Kind)
def test_what_a_column_holds_is_read_as_it_was_stored(kind: Kind) -> None:
    values: dict[items.Form, list[Any]] = {
        items.Form.SAME: ["x", 5, None, True],
        items.Form.COMMAS: [[], ["a"], ["a", "b"]],
        items.Form.BLANKS: [[], ["*"], ["a", "b"]],
        items.Form.JSON: [{}, {"en": {"notFound": "ä"}}],
        items.Form.LINES: ["", "create block x\njoin block y"],
    }
    for name in items.TABLES[kind].fields:
        form = items.TABLES[kind].form(name)
        for value in values[form]:
            assert items.read(form, items.stored(form, value)) == value


def test_the_sections_are_the_kinds() -> None:
    assert tuple(kind.section for kind in Kind) == KINDS
    assert set(StateDocument.model_fields) == {"seatkeep", "encryption", *KINDS}
