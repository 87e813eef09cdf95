"""Documents made of files: what is in them, and that none is signed that a device would refuse."""

import json
from pathlib import Path

import pytest

from kegnet_client.core.errors import DocumentError, UsageError
from kegnet_client.runner.compose import Address, compose_command, compose_program, sign_document
from kegnet_client.runner.statement import read_statement

from ..support.operators import MAC_ID, Operator, program

NOW_MS = 1_800_000_000_000
ALL = Address(None, None, ["all"], None, {})


def test_a_directory_is_a_program_of_its_modules(tmp_path: Path) -> None:
    (tmp_path / "tap").mkdir()
    (tmp_path / "tap/main.py").write_text("import other")
    (tmp_path / "tap/other.py").write_text("x = 1")
    document = compose_program(tmp_path / "tap", ALL, NOW_MS)
    assert document == {
        "_id": "tap",
        "name": "tap",
        "type": "module",
        "targets": "all",
        "sequence": NOW_MS // 1000,
        "modules": {"main": "import other", "other": "x = 1"},
    }


def test_a_file_is_a_program_and_takes_what_the_operator_says(tmp_path: Path) -> None:
    (tmp_path / "tap.py").write_text("x = 1")
    asked = Address("front", 7, [str(MAC_ID), "3F2B"], NOW_MS, {"spool": True})
    document = compose_program(tmp_path / "tap.py", asked, NOW_MS)
    assert (document["name"], document["sequence"], document["targets"]) == ("front", 7, [MAC_ID, "3F2B"])
    assert (document["expires"], document["permissions"]) == ("2027-01-15T08:00:00Z", {"spool": True})


def test_a_document_of_himbeerecouch_keeps_what_it_says(tmp_path: Path, operator: Operator) -> None:
    old = {
        "_id": "a1",
        "_rev": "3-x",
        "type": MAC_ID,
        "name": "tap",
        "code": "x",
        "timestamp": "then",
        "signature": "old",
    }
    (tmp_path / "old.json").write_text(json.dumps(old))
    signed = sign_document(compose_program(tmp_path / "old.json", Address(None, 4, [], None, {}), NOW_MS), operator.key)
    statement = read_statement(signed)
    assert (statement.name, statement.sequence) == ("tap", 4)
    assert statement.targets == {str(MAC_ID)}


def test_two_equal_commands_of_two_moments_are_two() -> None:
    asked = Address(None, None, ["all"], NOW_MS, {})
    one, other = (compose_command(["uptime"], asked, now_ms) for now_ms in (NOW_MS, NOW_MS + 1))
    assert one["_id"] != other["_id"]


@pytest.mark.parametrize(("name", "data"), [("x.json", b"[1]"), ("x.json", b"{"), ("x.py", b"\xff"), ("none.py", b"")])
def test_what_cannot_be_read_is_a_fault_of_the_call(name: str, data: bytes, tmp_path: Path) -> None:
    if data:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match="cannot be read"):
        compose_program(tmp_path / name, ALL, NOW_MS)


def test_nothing_is_signed_that_would_be_refused(operator: Operator) -> None:
    with pytest.raises(DocumentError, match="would be refused: its name"):
        sign_document(program(name="a/b"), operator.key)
