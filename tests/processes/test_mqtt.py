"""A daemon that delivers to an MQTT broker and knows no KegNet, against a real mosquitto with TLS and a password."""

import json

import pytest

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.edit import fill, render
from kegnet_client.producers.thermometer_section import THERMOMETER
from kegnet_client.sinks.mqtt_section import MQTT

from ..support.device import Device
from ..support.mosquitto import USER, Listener, Mosquitto
from ..support.waits import wait_until


@pytest.fixture
def mqtt_device(device: Device, broker: Mosquitto) -> Device:
    """A device without a [KegNet]."""
    (device.root / "conf" / "mqtt-ca.crt").write_bytes(broker.authority.ca)
    password = device.root / "conf" / "mqtt-password"
    password.write_bytes(broker.password_file.read_bytes())
    password.chmod(0o600)
    values = {
        "broker": f"mqtts://localhost:{broker.port}",
        "ca_bundle": "conf/mqtt-ca.crt",
        "user": USER,
        "password_file": "conf/mqtt-password",
        "uuid": device.uuid,
    }
    text = fill(fill(render(SECTIONS), MQTT, values), THERMOMETER, {"directory": "w1"})
    (device.root / "conf" / "client.conf").write_text(text)
    device.key.unlink()
    return device


def test_a_pour_is_published_and_its_file_goes_whatever_the_broker_does_meanwhile(
    mqtt_device: Device, broker: Mosquitto
) -> None:
    topic = f"kegnet/{mqtt_device.uuid}/pour"
    with Listener(broker) as listener:
        program = mqtt_device.run()
        mqtt_device.drop(586)
        wait_until(lambda: not mqtt_device.waiting(), "the pour waits")
        wait_until(lambda: topic in listener.last, "nobody heard of it")
        assert json.loads(listener.last[topic])["pulses"] == 586
    broker.stop(kill=True)
    mqtt_device.drop(587)
    program.log.wait_for("Records stay in the spool")
    assert mqtt_device.waiting() == ["000587.pour"]
    broker.start()
    with Listener(broker) as listener:
        mqtt_device.reload(program)
        wait_until(lambda: not mqtt_device.waiting(), "the pour waits still")
        wait_until(lambda: listener.count_of(topic) == 1, "nobody heard of it")
    wait_until(lambda: mqtt_device.status()["link"] == "up", "it is not told")
    assert mqtt_device.status()["server"] == f"mqtts://localhost:{broker.port}"
    assert program.stop()[0] == 0


def test_send_and_check_do_it_once_without_a_key(mqtt_device: Device, broker: Mosquitto) -> None:
    mqtt_device.drop(586)
    sent = mqtt_device.command("send")
    checked = mqtt_device.command("check")

    assert (sent.returncode, sent.stdout) == (0, "1 delivered, 0 rejected, 0 left in the spool\n")
    assert checked.returncode == 0, checked.stdout
    assert f"mqtt           mqtts://localhost:{broker.port} took a heartbeat from {mqtt_device.uuid}" in checked.stdout


def test_a_wrong_password_ends_a_send_with_77_and_nothing_is_lost(mqtt_device: Device) -> None:
    (mqtt_device.root / "conf" / "mqtt-password").write_text("nonsense\n")
    mqtt_device.drop(586)
    sent = mqtt_device.command("send")

    assert sent.returncode == 77
    assert "passwordFile" in sent.stderr
    assert mqtt_device.waiting() == ["000586.pour"]
