"""Pours and temperatures arrive, signed and once, whatever the server does meanwhile."""

import base64
import json
import re
import shutil
import signal
import ssl
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..support.authority import Authority
from ..support.device import Device
from ..support.server import Call, Serve, Server, hang
from ..support.waits import WAIT_S, wait_until

# The main job


def test_a_pour_is_delivered_signed_and_its_file_goes_after_the_200_and_not_before(
    device: Device, server: Server
) -> None:
    go = threading.Event()

    def answer(call: Call) -> int:
        if call.path.endswith("pour"):
            go.wait(WAIT_S)
        return 200

    server.answer = answer
    program = device.run()
    moved = device.drop(586)
    (call,) = server.wait_for("pour")
    assert moved.exists()
    go.set()
    program.log.wait_for(f"delivered {moved.name}: pour of 586 pulses in 8.1 s on pin 0 (answered 200")
    assert not moved.exists()
    written = device.spool / "in place.pour"
    written.write_text("3,17,1000,1700000001000")
    program.log.wait_for(f"delivered {written.name}: pour of 17 pulses")
    assert not written.exists()

    calls = server.calls("pour")
    assert [call.standing for call in calls] == [[moved.name], [written.name]]
    for call, signed in zip(calls, ("0,586,8123,1700000000586", "3,17,1000,1700000001000"), strict=True):
        assert call.path == "/rest/v2/pour"
        assert ",".join(call.fields[name] for name in ("pin", "pulses", "et", "ts")) == signed
        message = f"{device.uuid},{signed}".encode()
        device.public_key.verify(base64.b64decode(call.fields["sig"]), message, padding.PKCS1v15(), hashes.SHA256())
    assert program.stop()[0] == 0


def test_what_stood_in_the_spool_before_the_start_is_sent(device: Device, server: Server) -> None:
    names = [device.drop(number).name for number in (1, 2, 3)]
    program = device.run()
    assert [call.fields["pulses"] for call in server.wait_for("pour", 3)] == ["1", "2", "3"]
    for name in names:
        program.log.wait_for(f"delivered {name}")
    assert list(device.spool.iterdir()) == []


def test_with_the_server_away_files_stay_and_all_arrive_once_when_it_is_back(device: Device, server: Server) -> None:
    server.stop()
    program = device.run()
    pours = [device.drop(number) for number in range(1, 6)]
    program.log.wait_for("no connection (Connection refused). Records stay in the spool")
    assert all(pour.exists() for pour in pours)
    server.start()
    program.log.wait_for("delivered", 5)
    assert list(device.spool.iterdir()) == []
    program.stop()
    assert sorted(call.fields["pulses"] for call in server.calls("pour")) == ["1", "2", "3", "4", "5"]
    assert len(program.log.lines("Records stay in the spool")) == 1
    assert len(program.log.lines("the server takes records again")) == 1


def test_a_refusal_keeps_everything_and_costs_one_line(device: Device, server: Server) -> None:
    server.answer = lambda _: 401
    program = device.run()
    pours = [device.drop(number) for number in (1, 2, 3)]
    program.log.wait_for("register the uuid and the public key there. Records stay in the spool")
    more = device.drop(4)
    assert program.stop()[0] == 0
    assert all(pour.exists() for pour in (*pours, more))
    assert len(program.log.lines("answered 401")) == 1
    assert len(server.calls("pour")) + len(server.calls("ping")) == 1


def test_a_portal_that_answers_in_the_servers_place_never_sees_a_request(
    device: Device, serve: Serve, authority: Authority
) -> None:
    portal = serve(authority.issue("portal.example"))
    device.configure(base=portal.url)
    pour = device.drop()
    program = device.run()
    program.log.wait_for("the server's certificate is for another host: fix the host in serviceBaseURL")
    program.stop()
    assert pour.exists()
    assert portal.calls("pour") + portal.calls("ping") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_cut_off_in_the_middle_of_its_request_is_sent_again_with_the_same_identity(
    device: Device, server: Server, number: signal.Signals
) -> None:
    hang(server)
    program = device.run()
    pour = device.drop()
    server.wait_for("pour")
    program.signal(number)
    program.process.wait(WAIT_S)
    assert pour.exists()
    server.released.set()
    device.run().log.wait_for("delivered")
    assert not pour.exists()
    first, second = server.calls("pour")
    assert second.fields == first.fields


@pytest.mark.parametrize(
    ("version", "sensors"),
    [
        pytest.param("v1", {None}, marks=pytest.mark.slow),
        ("v2", {None}),
        ("v3", {"28-0316a2795c5b", "28-0416a2795c5c"}),
    ],
)
def test_the_real_hub_gets_pours_and_as_many_temperatures_as_the_protocol_knows(
    device: Device, tmp_path: Path, version: str, sensors: set[str | None]
) -> None:
    hub, public = tmp_path / "hub", tmp_path / "device.pub"
    public.write_bytes(device.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert device.command("hub", "init", "--dir", hub, "--host", "localhost").returncode == 0
    added = device.command("hub", "devices", "add", "--dir", hub, device.uuid, public)
    assert added.returncode == 0, added.stderr
    running = device.start("hub", "run", "--dir", hub, "--bind", "127.0.0.1", "--port", "0")
    port = re.findall(r"https://127\.0\.0\.1:(\d+)", running.log.wait_for("The hub answers at "))[0]
    device.configure(base=f"https://localhost:{port}/rest/{version}", ca_bundle=str(hub / "ca.crt"))
    device.plug()
    device.plug(sensor="28-0416a2795c5c")
    program = device.run()
    device.drop(586)
    program.log.wait_for("delivered", 1 + len(sensors))

    def show(what: str) -> list[dict[str, object]]:
        token = (hub / "token").read_text().strip()
        request = urllib.request.Request(
            f"https://localhost:{port}/api/{what}", headers={"Authorization": f"Bearer {token}"}
        )
        context = ssl.create_default_context(cafile=hub / "ca.crt")
        with urllib.request.urlopen(request, context=context, timeout=WAIT_S) as answer:  # noqa: S310 (https, as above)
            items: list[dict[str, object]] = json.load(answer)["items"]
            return items

    assert [(row["device"], row["pulses"]) for row in show("pours")] == [(device.uuid, 586)]
    temperatures = show("temperatures")
    assert {(row["device"], row["sensor"], row["millidegrees"]) for row in temperatures} == {
        (device.uuid, sensor, 23125) for sensor in sensors
    }
    assert len(temperatures) == len(sensors)
    verified = device.command("hub", "verify", "--dir", hub)
    assert verified.returncode == 0, verified.stderr


# The thermometer


def test_a_temperature_arrives_and_without_the_bus_signs_of_life_and_pours_go_on(
    device: Device, server: Server
) -> None:
    device.plug()
    device.configure(ping_interval_s="1")
    program = device.run()
    # A heartbeat goes out before it where the first look at the bus takes longer than the interval.
    wait_until(lambda: any(ping.fields["temp"] == "23125" for ping in server.calls("ping")), "no temperature")
    ping = next(ping for ping in server.calls("ping") if ping.fields["temp"] == "23125")
    assert abs(int(ping.fields["ts"]) - time.time() * 1000) < 60_000
    shutil.rmtree(device.bus)
    program.log.wait_for("no temperatures, pours go on: no 1-Wire bus at")
    wait_until(lambda: server.calls("ping")[-1].fields["temp"] == "-1", "no heartbeat")
    device.drop()
    server.wait_for("pour")
    program.log.wait_for("delivered", 2)
    assert list(device.spool.iterdir()) == []
    program.stop()
    assert len(program.log.lines("no temperatures, pours go on")) == 1
