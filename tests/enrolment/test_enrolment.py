"""`kegnet-client enroll`: one line from the hub makes a device, or nothing at all."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.parse import load
from kegnet_client.core.errors import ConfigError, TransportError
from kegnet_client.core.wire import enrolment as wire
from kegnet_client.core.wire.base_url import Version
from kegnet_client.enrolment import provision
from kegnet_client.enrolment.enroll import enroll
from kegnet_client.keys import load_identity
from kegnet_client.sinks import kegnet_section
from kegnet_client.sinks.kegnet_section import KEGNET

from .attempts import ENROL, refusal
from .device import Device
from .hub import Hub

NO_ANSWERER = "https://localhost:1"


def test_one_line_makes_a_device_that_the_hub_believes(
    hub: Hub, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enroll(root, SECTIONS, hub.url, hub.invite(), {}) == 0
    read = load(root, None, SECTIONS)
    settings = read.section(KEGNET)
    identity = load_identity(settings.uuid, settings.private_key, Version.V2)
    assert settings.base.url == f"{hub.url}/rest/v3"
    assert settings.ca_bundle.read_bytes() == hub.home.ca()
    assert read.file.with_name("device.pub").read_bytes() == identity.public_pem()
    assert sorted(path.name for path in read.file.parent.iterdir()) == [
        "ca.crt",
        "client.conf",
        "device.pub",
        "privkey.pem",
    ]
    assert stat.S_IMODE(settings.private_key.stat().st_mode) == 0o600
    assert hub.keys(settings.uuid) == (identity.fingerprint,)
    assert hub.lines() == ["GET /ca.crt", ENROL, "POST /rest/v3/records"]
    said = capsys.readouterr().out
    assert f"front bar is enrolled at {hub.url} as {settings.uuid}" in said
    assert "took a heartbeat" in said
    assert said.splitlines()[-1] == f"Next: kegnet-client --root {root} run"


def test_the_private_key_and_the_code_go_nowhere_they_should_not(hub: Hub, root: Path) -> None:
    code = hub.invite()
    enroll(root, SECTIONS, hub.url, code, {})
    key = (root / "conf/privkey.pem").read_text().splitlines()
    told = hub.told()
    assert not any(line in told for line in key if "-----" not in line)
    secret = wire.parse_code(code).secret
    assert [one.line for one in hub.requests if secret.encode() in one.body or code.encode() in one.body] == [ENROL]


def test_a_device_that_is_one_already_tells_the_hub_nothing(hub: Hub, device: Device) -> None:
    told = refusal(ConfigError, device.root, hub.url, hub.invite())
    assert "uuid: is already set and was not changed" in told
    assert "then run enroll again" in told
    assert hub.requests == []


@pytest.mark.parametrize("name", ["privkey.pem", "device.pub"])
def test_what_is_there_is_not_overwritten(hub: Hub, root: Path, name: str) -> None:
    (root / "conf").mkdir()
    (root / "conf" / name).write_text("mine")
    assert f"conf/{name}: already exists" in refusal(ConfigError, root, hub.url, hub.invite())
    assert hub.requests == []


@pytest.mark.parametrize("setting", ["", "caBundle = system\n", "caBundle = own.pem\n"])
def test_another_ca_that_is_trusted_already_is_not_given_up(
    hub: Hub, start_hub: Callable[[str], Hub], root: Path, setting: str
) -> None:
    (root / "conf").mkdir()
    (root / "conf/client.conf").write_text(f"[KegNet]\n{setting}")
    other = start_hub("other").home.ca()
    for file in (root / "conf/ca.crt", root / "own.pem"):
        file.write_bytes(other)
    assert "differs from the CA of" in refusal(ConfigError, root, hub.url, hub.invite())
    assert hub.lines() == ["GET /ca.crt"]


def test_the_systems_store_is_not_made_where_it_is_missing(
    hub: Hub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = root / "certificates.crt"
    for module in (kegnet_section, provision):
        monkeypatch.setattr(module, "SYSTEM_CA_BUNDLE", system)
    (root / "conf").mkdir()
    (root / "conf/client.conf").write_text("[KegNet]\ncaBundle = system\n")
    assert "put a # before caBundle" in refusal(ConfigError, root, hub.url, hub.invite())


def test_the_same_ca_may_be_there(hub: Hub, root: Path) -> None:
    (root / "conf").mkdir()
    (root / "conf/ca.crt").write_bytes(hub.home.ca())
    assert enroll(root, SECTIONS, hub.url, hub.invite(), {}) == 0


def test_nothing_in_the_environment_changes_the_way(
    hub: Hub, root: Path, monkeypatch: pytest.MonkeyPatch, start_hub: Callable[[str], Hub]
) -> None:
    other = start_hub("other")
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NO_ANSWERER)
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(other.home.ca_certificate))
    assert enroll(root, SECTIONS, hub.url, hub.invite(), dict(os.environ)) == 0


def test_a_device_whose_first_exchange_fails_is_enrolled_and_says_so(
    hub: Hub, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.lose.append("/rest/v3/records")
    with pytest.raises(TransportError):
        enroll(root, SECTIONS, hub.url, hub.invite(), {})
    assert "front bar is enrolled" in capsys.readouterr().out
    assert load(root, None, SECTIONS)
