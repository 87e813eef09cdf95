"""`kegnet-client init --kegbot`: a Kegbot server beside what is there, or alone."""

import stat
from pathlib import Path

import pytest

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.parse import load
from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.enrolment.add_kegbot import add_kegbot
from kegnet_client.enrolment.provision import init
from kegnet_client.sinks.destinations import find_addresses
from kegnet_client.sinks.kegbot_section import KEGBOT

from ..support.authority import Authority

URL = "https://kegbot.example/api"


def test_a_device_without_kegnet_gets_a_uuid_and_a_file_for_the_key(tmp_path: Path) -> None:
    steps = add_kegbot(tmp_path, SECTIONS, URL, None)

    config = load(tmp_path, None, SECTIONS)
    settings = config.section(KEGBOT)
    assert find_addresses(config) == {"kegbot": f"{URL}/v1"}
    assert settings.uuid is not None
    key = tmp_path / "conf" / "kegbot-key"
    assert settings.api_key_file == key
    assert (key.read_bytes(), stat.S_IMODE(key.stat().st_mode)) == (b"", 0o600)
    assert str(key) in steps[0]
    assert "check" in steps[1]


def test_a_device_of_kegnet_keeps_its_uuid_and_delivers_to_both(tmp_path: Path, authority: Authority) -> None:
    init(tmp_path, SECTIONS, "https://hub.example/rest/v3", authority.bundle)
    add_kegbot(tmp_path, SECTIONS, URL, authority.bundle)

    config = load(tmp_path, None, SECTIONS)
    assert find_addresses(config) == {"kegnet": "https://hub.example/rest/v3", "kegbot": f"{URL}/v1"}
    assert config.section(KEGBOT).uuid is None
    assert config.section(KEGBOT).ca_bundle.read_bytes() == authority.bundle.read_bytes()


def test_nothing_that_exists_is_overwritten(tmp_path: Path, authority: Authority) -> None:
    add_kegbot(tmp_path, SECTIONS, URL, authority.bundle)
    (tmp_path / "conf" / "kegbot-key").write_text("0123456789abcdef")
    before = (tmp_path / "conf" / "client.conf").read_text()
    with pytest.raises(ConfigError, match="apiUrl: is already set"):
        add_kegbot(tmp_path, SECTIONS, URL, authority.bundle)
    (tmp_path / "conf" / "client.conf").write_text(before.replace("apiUrl", "#apiUrl"))
    with pytest.raises(ConfigError, match="caBundle: is already set"):
        add_kegbot(tmp_path, SECTIONS, URL, authority.bundle)
    without = before.replace("apiUrl", "#apiUrl").replace("caBundle = conf", "#caBundle = conf")
    (tmp_path / "conf" / "client.conf").write_text(without)
    with pytest.raises(ConfigError, match=r"kegbot-ca\.crt: already exists"):
        add_kegbot(tmp_path, SECTIONS, URL, authority.bundle)
    add_kegbot(tmp_path, SECTIONS, URL, None)
    assert (tmp_path / "conf" / "kegbot-key").read_text() == "0123456789abcdef"


def test_a_wrong_url_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="http is not encrypted"):
        add_kegbot(tmp_path, SECTIONS, "http://kegbot.example/api", None)
    assert list(tmp_path.iterdir()) == []
