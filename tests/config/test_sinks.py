"""Which sinks a configuration names: each that has an address, and KegNet where there is none."""

from pathlib import Path

import pytest

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.edit import fill, render
from kegnet_client.core.errors import ConfigError
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.destinations import find_addresses, open_destination
from kegnet_client.sinks.kegnet_section import KEGNET
from kegnet_client.sinks.mqtt_section import MQTT

from .test_config import FILE, MINIMAL, UUID, faults_of, read

ALONE = "[MQTT]\nbroker = mqtt://localhost\n"


def test_one_that_has_an_address_is_enough() -> None:
    assert find_addresses(read(MINIMAL)) == {"kegnet": "https://hub.example/rest/v2"}
    assert find_addresses(read(ALONE)) == {"mqtt": "mqtt://localhost:1883"}


def test_several_that_have_addresses_are_all_meant_in_one_order() -> None:
    xively = "[Xively]\napiUrl = http://localhost:1/v2\nfeedId = 7\n"
    assert list(find_addresses(read(xively + ALONE + MINIMAL))) == ["kegnet", "mqtt", "xively"]
    assert find_addresses(read(xively))["xively"] == "http://localhost:1/v2/feeds/7"
    (fault,) = faults_of("[Xively]\nfeedId = 7\n")
    assert "[Xively] apiUrl: is " in fault


def test_the_shipped_file_with_a_broker_filled_in_is_of_a_broker_alone() -> None:
    config = read(fill(render(SECTIONS), MQTT, {"broker": "mqtts://broker.example"}))
    assert find_addresses(config) == {"mqtt": "mqtts://broker.example:8883"}
    assert config.find(KEGNET) is None


def test_half_a_kegnet_is_asked_for_its_other_half_whatever_else_there_is() -> None:
    (fault,) = faults_of(f"[KegNet]\nuuid = {UUID}\n{ALONE}")
    assert "[KegNet] serviceBaseURL: is missing" in fault


def test_the_settings_of_a_section_that_does_not_count_are_judged_when_it_does() -> None:
    assert read("[MQTT]\ntopic = #\n" + MINIMAL).find(MQTT) is None
    (fault,) = faults_of("[MQTT]\nbroker = mqtt://localhost\ntopic = home/#\n" + MINIMAL)
    assert "[MQTT] topic: 'home/#': holds + or #" in fault


def test_who_needs_kegnet_is_told_what_to_do_where_there_is_none() -> None:
    with pytest.raises(
        ConfigError, match="has no uuid and serviceBaseURL, which this takes: run `kegnet-client enroll"
    ):
        read(ALONE).section(KEGNET)


def test_a_device_has_its_uuid_from_kegnet_or_one_of_its_own() -> None:
    own = "00000000-0000-4000-8000-00000000000a"
    devices = [
        open_destination("mqtt", read(text), Clock(), {}).device
        for text in (MINIMAL + ALONE, f"{MINIMAL}{ALONE}uuid = {own}\n", f"{ALONE}uuid = {own}\n")
    ]
    assert devices == [UUID, own, own]
    with pytest.raises(ConfigError, match=f"{FILE}: \\[MQTT\\] uuid: is missing") as caught:
        open_destination("mqtt", read(ALONE), Clock(), {})
    assert "uuidgen" in str(caught.value)


KEGBOT_ALONE = "[Kegbot]\napiUrl = https://kegbot.example/api\n"


def test_a_kegbot_server_is_enough_and_has_its_key_in_a_file_of_its_own(tmp_path: Path) -> None:
    key = tmp_path / "key"
    text = f"{KEGBOT_ALONE}apiKeyFile = {key}\nuuid = {UUID}\n"
    assert find_addresses(read(text)) == {"kegbot": "https://kegbot.example/api/v1"}
    key.touch(0o600)
    assert open_destination("kegbot", read(text), Clock(), {}), "a server of 2.0 wants none"
    for content, expected in (
        ("\n", "holds no API key"),
        ("password\n", "is no API key"),
        ("a b" * 16, "is no API key"),
    ):
        key.write_text(content)
        with pytest.raises(ConfigError, match=f"{key}: apiKeyFile: .*{expected}") as caught:
            open_destination("kegbot", read(text), Clock(), {})
        assert "password" not in str(caught.value)
    key.write_text("0123456789abcdef0123456789abcdef\n")
    destination = open_destination("kegbot", read(text), Clock(), {})
    assert str(destination) == f"https://kegbot.example/api/v1 as {UUID}"
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=f"is open to others; run chmod o= {key}"):
        open_destination("kegbot", read(text), Clock(), {})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("apiUrl = http://kegbot.example/api", "http is not encrypted and is taken for this machine only"),
        ("apiUrl = https://kegbot.example", "it must end in /api; write it as https://HOST/api"),
        ("apiUrl = https://kegbot.example/api\ntaps = flow0", "write it as 0:kegboard.flow0, 1:kegboard.flow1"),
        ("apiUrl = https://kegbot.example/api\ntap0 = kegboard.flow0", "did you mean taps?"),
    ],
)
def test_what_is_wrong_about_a_kegbot_server_is_told_with_what_to_write(line: str, expected: str) -> None:
    (fault,) = faults_of(f"[Kegbot]\n{line}\n")
    assert expected in fault
