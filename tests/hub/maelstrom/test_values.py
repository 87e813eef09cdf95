"""The temperature of a chamber is found in what controllers say, in both forms, and nothing else is taken for one."""

import json

import pytest

from kegnet_client.hub.maelstrom.values import read_value

OLD = {
    "controllers": [
        {"id": 1, "chambers": [{"id": 3, "variables": {"sp": 1.0, "pv": 99.0}}]},
        {"id": 2, "chambers": [{"id": 3, "variables": {"sp": 1.0, "pv": 56.2}}, {"id": 4, "variables": {"pv": 57}}]},
    ]
}


@pytest.mark.parametrize(
    ("payload", "chamber", "expected"),
    [
        ({"controllerId": 2, "beer": "65.1"}, None, 65.1),
        ({"controllerId": "2", "beer": 65.1}, 1, 65.1),
        ({"controllerId": 2, "beer": "0.0"}, None, None),
        ({"controllerId": 1, "beer": "65.1"}, None, None),
        ({"controllerId": True, "beer": "65.1"}, None, None),
        ({"controllerId": 2, "beer": "--.-"}, None, None),
        ({"controllerId": 2, "beer": "nan"}, None, None),
        ({"controllerId": 2}, None, None),
        (OLD, 3, 56.2),
        (OLD, 4, 57.0),
        (OLD, None, 56.2),
        (OLD, 5, None),
        ({**OLD, "controllerId": 2, "beer": "65.1"}, 1, 65.1),
        ({"controllers": [{"id": 2}]}, 3, None),
        ({"controllers": 5}, 3, None),
        ([], None, None),
        (None, None, None),
    ],
)
def test_it_is_found_in_both_forms(payload: object, chamber: int | None, expected: float | None) -> None:
    assert read_value(json.dumps({"channel": "data", "payload": payload}), 2, chamber) == expected


@pytest.mark.parametrize("data", ["", "[", "5", "null", "[" * 100_000])
def test_what_is_no_message_has_none(data: str) -> None:
    assert read_value(data, 2, None) is None
