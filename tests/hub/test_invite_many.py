"""Fifty cards at once: their invitations as a table, listed and cancelled."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.core.errors import UsageError
from kegnet_client.core.wire.enrolment import parse_code
from kegnet_client.hub.app import wall_ms
from kegnet_client.hub.store.records import Store

from .test_cli import run_hub


@pytest.fixture
def hub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """``hub("invite")`` is what that command prints, on a hub of this test's own."""

    def run(*words: str) -> str:
        capsys.readouterr()
        assert run_hub(*words, "--dir", str(tmp_path / "hub")) == 0
        return capsys.readouterr().out

    run("init", "--host", "bar.example")
    return run


def names_file(tmp_path: Path, *names: str) -> str:
    file = tmp_path / "names"
    file.write_text("".join(f"{name}\n" for name in names))
    return str(file)


def test_fifty_invitations_are_a_table_each_with_its_name_and_a_code_of_its_own(
    hub: Callable[..., str], tmp_path: Path
) -> None:
    names = [f"tap {number}" for number in range(50)]
    out = hub("invite", "--count", "50", "--names", names_file(tmp_path, *names), "--csv", "--valid-minutes", "10080")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["name"] for row in rows] == names
    assert len({parse_code(row["code"]).secret for row in rows}) == 50
    assert all(row["command"] == f"sudo kegnet-client enroll {row['url']} {row['code']}" for row in rows)
    assert {one["name"] for one in json.loads(hub("invitations", "--json"))} == set(names)


def test_without_names_they_are_lines_to_paste(hub: Callable[..., str]) -> None:
    assert len(set(hub("invite", "--count", "3").splitlines())) == 3


@pytest.mark.parametrize(
    ("names", "words", "said"),
    [
        (["a", "b", "a"], [], "stands there twice"),
        (["a", "b"], ["--count", "3"], "has 2 names, expected 3"),
        ([], [], "has 0 names"),
        (["a", "taken"], [], "is the name of"),
    ],
)
def test_names_that_could_not_be_are_told_and_no_invitation_is_made(
    hub: Callable[..., str],
    tmp_path: Path,
    device_key: rsa.RSAPrivateKey,
    names: list[str],
    words: list[str],
    said: str,
) -> None:
    store = Store(tmp_path / "hub" / "hub.db")
    store.add_device("00000000-0000-4000-8000-000000000000", device_key.public_key(), "taken", wall_ms())
    store.close()
    with pytest.raises(UsageError, match=said):
        hub("invite", "--names", names_file(tmp_path, *names), *words)
    assert hub("invitations") == ""


def test_invitations_are_listed_without_their_codes_and_cancelled_by_name_by_number_or_all(
    hub: Callable[..., str],
) -> None:
    code = hub("invite", "--name", "left").split()[-1]
    for name in ("middle", "right", "outside"):
        hub("invite", "--name", name)
    listed = hub("invitations")
    assert code not in listed
    assert parse_code(code).secret not in listed
    hub("invitations", "cancel", "left")
    number = hub("invitations").split()[0]
    hub("invitations", "cancel", number)
    assert len(hub("invitations").splitlines()) == 2
    with pytest.raises(UsageError, match="left"):
        hub("invitations", "cancel", "left")
    assert hub("invitations", "cancel", "--all") == "2 are cancelled.\n"
    assert hub("invitations") == ""
