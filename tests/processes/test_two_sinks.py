"""One daemon that delivers to a KegNet server and to an MQTT broker from one spool, while either goes down."""

import json
import os
import subprocess
from pathlib import Path
from signal import SIGKILL

import pytest

from kegnet_client.config.edit import fill
from kegnet_client.sinks.mqtt_section import MQTT

from ..support.device import STARTED_MS, Device
from ..support.mosquitto import USER, Listener, Mosquitto
from ..support.server import Server
from ..support.users import PRODUCER
from ..support.waits import wait_until

KILLS = 6
POURS = 8
"""Between one kill and the next."""


def name_both(device: Device, broker: Mosquitto) -> None:
    """Have the configuration name the broker beside the server."""
    conf = device.root / "conf"
    (conf / "mqtt-ca.crt").write_bytes(broker.authority.ca)
    (conf / "mqtt-password").write_bytes(broker.password_file.read_bytes())
    (conf / "mqtt-password").chmod(0o600)
    owner = device.root.stat()
    os.chown(conf / "mqtt-password", owner.st_uid, owner.st_gid)
    values = {
        "broker": f"mqtts://localhost:{broker.port}",
        "ca_bundle": "conf/mqtt-ca.crt",
        "user": USER,
        "password_file": "conf/mqtt-password",
    }
    file = conf / "client.conf"
    file.write_text(fill(file.read_text(), MQTT, values))


def name_kegnet_alone(device: Device) -> None:
    device.configure()


def queued(device: Device, sink: str) -> list[str]:
    return sorted(path.name for path in (device.spool / ".queue" / sink).glob("[!.]*.pour"))


def is_quiet(device: Device) -> bool:
    return not device.waiting() and not queued(device, "kegnet") and not queued(device, "mqtt")


class Heard(Listener):
    """A listener that knows how often it heard of each pour."""

    def __init__(self, broker: Mosquitto) -> None:
        super().__init__(broker)
        self.pulses: list[int] = []
        ours = self._client.on_message

        def on_message(client: object, data: object, message: object) -> None:
            assert ours is not None
            ours(client, data, message)  # type: ignore[arg-type]  # passed on as it came
            fields = json.loads(message.payload)  # type: ignore[attr-defined]  # paho's message
            if fields["type"] == "pour":
                self.pulses.append(fields["pulses"])

        self._client.on_message = on_message


def at_server(server: Server) -> list[int]:
    return [int(call.fields["pulses"]) for call in server.calls("pour")]


def test_each_has_every_pour_and_a_broker_that_is_down_holds_up_nobody(
    device: Device, server: Server, broker: Mosquitto
) -> None:
    name_both(device, broker)
    with Heard(broker) as heard:
        program = device.run()
        device.drop(1)
        wait_until(lambda: heard.pulses == [1] and at_server(server) == [1], "not at both")
        wait_until(lambda: is_quiet(device), "it waits still")
    program.log.wait_for("kegnet: delivered")
    program.log.wait_for("mqtt: delivered")
    broker.stop(kill=True)
    device.drop(2)
    wait_until(lambda: at_server(server) == [1, 2], "the server waits for the broker")
    wait_until(lambda: len(queued(device, "mqtt")) == 1, "it is not in the queue")
    wait_until(lambda: device.status()["sinks"]["mqtt"]["link"] == "waiting", "it is not told")
    status = device.status()
    # As many as systemd's line says.
    assert (status["waiting"], status["queues"]["mqtt"]["waiting"]) == (1, 1)
    assert (status["sinks"]["kegnet"]["link"], status["link"]) == ("up", "waiting")
    assert "queue        1 for mqtt" in device.command("status").stdout
    broker.start()
    with Heard(broker) as heard:
        device.reload(program)
        wait_until(lambda: heard.pulses == [2], "the broker does not hear of it")
        wait_until(lambda: is_quiet(device), "it waits still")
    assert at_server(server) == [1, 2]
    program.stop()


def test_a_sink_that_is_added_and_taken_away_by_reload_loses_nothing_and_sends_nothing_twice(
    device: Device, server: Server, broker: Mosquitto
) -> None:
    program = device.run()
    device.drop(1)
    server.wait_for("pour")
    name_both(device, broker)
    device.reload(program)
    with Heard(broker) as heard:
        device.drop(2)
        wait_until(lambda: heard.pulses == [2] and at_server(server) == [1, 2], "not at both")
    broker.stop(kill=True)
    device.drop(3)
    wait_until(lambda: at_server(server) == [1, 2, 3] and len(queued(device, "mqtt")) == 1, "not in the queue")
    name_kegnet_alone(device)
    device.reload(program)
    program.log.wait_for("1 waiting for mqtt, which the configuration names no more")
    device.drop(4)
    wait_until(lambda: at_server(server) == [1, 2, 3, 4] and not device.waiting(), "the server has not all")
    assert "client.conf names no such sink any more" in device.command("status").stdout
    broker.start()
    name_both(device, broker)
    with Heard(broker) as heard:
        device.reload(program)
        wait_until(lambda: heard.pulses == [3], "what waited is not delivered")
    wait_until(lambda: is_quiet(device), "it waits still")
    assert at_server(server) == [1, 2, 3, 4]
    program.stop()


def test_send_delivers_to_one_sink_or_to_all_and_says_what_is_left(
    device: Device, server: Server, broker: Mosquitto
) -> None:
    name_both(device, broker)
    device.drop(1)
    device.drop_text("nonsense\n", "bad.pour")
    one = device.command("send", "--sink", "kegnet")

    assert one.returncode == 65, one.stderr
    assert "kegnet: 1 delivered, 0 rejected, 0 left in its queue\n1 rejected, 0 left in the spool\n" in one.stdout
    assert at_server(server) == [1]
    assert len(queued(device, "mqtt")) == 1
    all_of_them = device.command("send")
    assert all_of_them.returncode == 0
    assert "mqtt: 1 delivered, 0 rejected, 0 left in its queue" in all_of_them.stdout
    assert at_server(server) == [1]
    unknown = device.command("send", "--sink", "kegbot")
    assert (unknown.returncode, "kegnet, mqtt" in unknown.stderr) == (64, True)


def test_what_one_sink_rejects_is_listed_and_goes_back_to_that_sink_alone(
    device: Device, server: Server, broker: Mosquitto
) -> None:
    name_both(device, broker)
    server.answer = lambda call: 400 if call.fields.get("pulses") == "1" else 200
    device.drop(1)
    assert device.command("send").returncode == 65
    assert device.command("rejected", "list").stdout == ""
    listed = device.command("rejected", "list", "--sink", "kegnet").stdout
    assert "the server answered 400" in listed
    assert "rejected list --sink kegnet" in device.command("status").stdout
    server.answer = lambda _: 200
    assert "waits again" in device.command("rejected", "retry", "--sink", "kegnet").stdout
    assert "kegnet: 1 delivered" in device.command("send").stdout
    assert device.command("rejected", "list", "--sink", "kegbot").returncode == 64


@pytest.mark.case(105)
def test_every_pour_of_another_user_is_at_both_in_the_end_however_often_the_daemon_is_killed(
    plain_users_device: Device, server: Server, broker: Mosquitto
) -> None:
    device = plain_users_device
    device.spool.chmod(0o1770)
    name_both(device, broker)
    device.root.parent.chmod(0o755)
    expected = set(range(1, KILLS * POURS + 1))
    with Heard(broker) as heard:
        for kill in range(KILLS):
            program = device.start()
            for number in range(kill * POURS + 1, (kill + 1) * POURS + 1):
                _drop_as_producer(device.spool, number)
            server.wait_for("pour", kill * POURS + 1)
            program.signal(SIGKILL)
            program.close()
        program = device.run()
        wait_until(lambda: is_quiet(device), "it waits still")
        wait_until(lambda: set(heard.pulses) == expected, "the broker has not all")
    assert set(at_server(server)) == expected
    assert len(heard.pulses) <= len(expected) + KILLS * 20, "only what was under way at a kill comes twice"
    program.stop()


def _drop_as_producer(spool: Path, number: int) -> None:
    line = f"0,{number},8123,{STARTED_MS + number}"
    command = 'umask 027; echo "$1" >".$2.tmp" && mv ".$2.tmp" "$2.pour"'
    subprocess.run(
        ["/bin/sh", "-c", command, "-", line, str(number)],
        cwd=spool,
        check=True,
        **PRODUCER,
    )
