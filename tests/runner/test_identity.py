"""Who a device is for its database: a password of its own, which the runner can read whoever asked first."""

import json
import os
from pathlib import Path

import pytest

from kegnet_client.core.errors import ConfigError
from kegnet_client.runner import identity
from kegnet_client.runner.identity import find_mac_id, load_password, make_directory

NOBODY = 65534


def test_the_password_is_made_once_and_is_the_devices_own(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = load_password(tmp_path)
    assert load_password(tmp_path) == first
    assert load_password(tmp_path / "other") != first
    assert len(first) >= 32
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root: it gives files away")
def test_what_root_makes_is_the_runners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "USER", "nobody")
    make_directory(tmp_path / "runner")
    load_password(tmp_path / "runner")
    owners = {path.stat().st_uid for path in (tmp_path / "runner", tmp_path / "runner/password")}
    assert owners == {NOBODY}


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root: it gives files away")
def test_root_gives_the_password_to_whom_the_directory_is(tmp_path: Path) -> None:
    (tmp_path / "runner").mkdir()
    os.chown(tmp_path / "runner", NOBODY, NOBODY)
    make_directory(tmp_path / "runner")
    load_password(tmp_path / "runner")
    assert (tmp_path / "runner/password").stat().st_uid == NOBODY


def test_a_directory_that_cannot_be_made_is_told_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="start the runner's service first"):
        make_directory(tmp_path / "file/runner")


def test_the_mac_id_is_the_mac_as_a_number(tmp_path: Path) -> None:
    (tmp_path / "eth0").mkdir()
    (tmp_path / "eth0/address").write_text("b8:27:eb:12:34:56\n")
    assert find_mac_id(tmp_path) == 202481587074134
    assert json.dumps(find_mac_id(tmp_path)) == "202481587074134"


def test_a_machine_without_a_mac_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="macId"):
        find_mac_id(tmp_path)
