"""What is typed of a profile is saved as it is meant, and only when it is complete."""

import pytest

from kegnet_client.hub.dashboard.draft import Draft, EventRow, IncompleteError, PointRow
from kegnet_client.hub.store import bodies

BODY = {
    "name": "Pils",
    "type": "Fermentation",
    "unit": "C",
    "temperatures": [{"days": 0.0, "temperature": 18.0}, {"days": 21.0, "temperature": 2.0}],
    "events": [{"days": 3.0, "text": "Dry hop"}],
    "ended_ms": None,
}


def test_a_draft_says_what_it_was_made_of_and_knows_what_was_typed() -> None:
    draft = Draft.of(BODY)
    assert not draft.is_changed
    assert bodies.Profile.model_validate(draft.to_body()) == bodies.Profile.model_validate(BODY)
    draft.points[1].temperature = 3.0
    assert draft.is_changed
    draft.points[1].temperature = 2.0
    assert not draft.is_changed
    draft.name = "Bock"
    assert draft.is_changed


def test_rows_are_saved_in_the_order_of_days_and_a_step_in_the_order_of_its_rows() -> None:
    draft = Draft.of(BODY)
    draft.points[0].days = 30.0
    draft.points += [PointRow(21.0, 9.0), PointRow(0.0, 18.0)]
    assert draft.whole_points() == [(0.0, 18.0), (21.0, 2.0), (21.0, 9.0), (30.0, 18.0)]


@pytest.mark.parametrize("row", [PointRow(None, 4.0), PointRow(4.0, None), EventRow(None, "Rack"), EventRow(4.0, "  ")])
def test_a_row_that_is_not_complete_is_not_saved(row: PointRow | EventRow) -> None:
    draft = Draft.of(BODY)
    (draft.points if isinstance(row, PointRow) else draft.events).append(row)  # type: ignore[arg-type]  # each its own
    with pytest.raises(IncompleteError):
        draft.to_body()


def test_a_row_is_inserted_between_its_neighbours_and_the_last_one_after_them() -> None:
    draft = Draft.of(BODY)
    draft.insert_point(1)
    draft.insert_point(3)
    assert draft.points[1:] == [PointRow(10.5, 10.0), PointRow(21.0, 2.0), PointRow(22.0, 2.0)]
    mash = Draft.of({**BODY, "type": "Mash", "temperatures": []})
    mash.insert_point(0)
    assert mash.points == [PointRow(0.0, None)]
    mash.insert_point(1)
    assert mash.points[1] == PointRow(1 / 24, None)
