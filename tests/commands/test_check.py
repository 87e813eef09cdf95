"""``kegnet-client check``: a line a part; what fails says what to do, and decides the exit code."""

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ..support.authority import Authority
from ..support.device import Device
from ..support.server import Serve, Server

PARTS = ["configuration", "key", "spool", "clock", "TLS", "server", "thermometer"]


def report(ended: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    """Each part's mark and text."""
    assert ended.stderr == ""
    lines = [(line[:4].strip(), *line[6:].split(maxsplit=1)) for line in ended.stdout.splitlines()]
    return {part: (mark, text) for mark, part, text in lines}


def test_for_programs_it_is_a_list_of_the_parts(device: Device) -> None:
    device.key.unlink()
    ended = device.command("check", "--json")
    parts = json.loads(ended.stdout)
    assert ended.returncode == 78
    assert [one["part"] for one in parts if not one["ok"]] == ["key"]
    assert all(set(one) == {"part", "ok", "text"} for one in parts)


def test_where_all_is_well_every_line_says_so_and_what_it_found(device: Device, server: Server) -> None:
    device.plug()
    device.drop()
    ended = device.command("check")
    said = report(ended)
    assert ended.returncode == 0, ended.stdout
    assert [(part, said[part][0]) for part in said] == [(part, "ok") for part in PARTS]
    assert said["configuration"][1] == str(device.root / "conf" / "client.conf")
    assert said["key"][1] == "rsa-v1_5-sha256"
    assert said["spool"][1] == f"{device.spool}, 1 waiting; nothing delivers from it at the moment"
    assert said["TLS"][1].startswith("TLSv1.3, localhost's certificate is good until ")
    assert said["server"][1] == f"{server.url} took a heartbeat from {device.uuid}"
    assert said["thermometer"][1] == "28-0316a2795c5b reads 23.1 °C"
    assert [call.fields["temp"] for call in server.calls("ping")] == ["-1"]
    assert server.calls("pour") == []


def test_no_bus_is_no_failure(device: Device) -> None:
    mark, text = report(device.command("check"))["thermometer"]
    assert mark == "ok"
    assert text.startswith(f"none: no 1-Wire bus at {device.bus}")


def test_a_sensor_that_gives_no_reading_fails(device: Device) -> None:
    sensor = device.bus / "28-0316a2795c5b"
    sensor.mkdir(parents=True)
    (sensor / "w1_slave").write_text("")
    done = device.command("check")
    mark, text = report(done)["thermometer"]
    assert (mark, done.returncode) == ("FAIL", 75)
    assert text.startswith("28-0316a2795c5b gives no reading: ")


@pytest.mark.parametrize(
    ("plugged", "message"),
    [
        (["28-0316a2795c5b"], "28-00000000beef gives no reading: it is configured as the one to report"),
        ([], "no 1-Wire bus at "),
    ],
)
def test_a_configured_sensor_that_is_not_there_fails(device: Device, plugged: list[str], message: str) -> None:
    for sensor in plugged:
        device.plug(sensor)
    device.configure(sensor="28-00000000beef")
    done = device.command("check")
    mark, text = report(done)["thermometer"]
    assert (mark, done.returncode) == ("FAIL", 75)
    assert text.startswith(message)


def break_configuration(device: Device) -> None:
    device.configure(deadline_s="soon")


def break_key(device: Device) -> None:
    device.key.chmod(0o644)


def break_spool(device: Device) -> None:
    device.configure(spool="conf/client.conf/spool")


def break_bundle(device: Device) -> None:
    device.ca.write_text("garbage")


def break_name(device: Device) -> None:
    device.configure(base="https://kegnet.invalid/rest/v2")


@pytest.mark.parametrize(
    ("make", "part", "code", "message"),
    [
        (break_configuration, "configuration", 78, "[KegNet] deadline: 'soon': is not a number of seconds"),
        (break_key, "key", 78, "is open to others (mode 0644); `chmod 600 "),
        (break_spool, "spool", 75, "fix [Spool] directory in client.conf"),
        (break_bundle, "TLS", 78, "copy the server's CA certificate (PEM) there"),
        (break_name, "TLS", 75, "kegnet.invalid:443: the server's name is not found"),
    ],
)
def test_what_fails_says_what_to_do_and_decides_the_exit_code(
    device: Device, make: Callable[[Device], None], part: str, code: int, message: str
) -> None:
    make(device)
    ended = device.command("check")
    mark, text = report(ended)[part]
    assert (ended.returncode, mark) == (code, "FAIL")
    assert message in text


def test_a_spool_on_a_read_only_disk_is_to_be_remounted(device: Device, mount_tmpfs: Callable[[str], Path]) -> None:
    disk = mount_tmpfs("size=256k")
    device.configure(spool=str(disk))
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    ended = device.command("check")
    assert ended.returncode == 75
    remedy = "make the file system writable again (mount -o remount,rw)"
    assert report(ended)["spool"] == ("FAIL", f"{disk}: Read-only file system; {remedy}")


def test_a_spool_on_a_full_disk_needs_room(device: Device, mount_tmpfs: Callable[[str], Path]) -> None:
    disk = mount_tmpfs("size=256k")
    device.configure(spool=str(disk))
    (disk / "fill").write_bytes(b"x" * 252 * 1024)
    ended = device.command("check")
    assert ended.returncode == 75
    remedy = "less than 5% of the disk is free, which is kept for pours; make room"
    assert report(ended)["spool"] == ("FAIL", f"{disk}: {remedy}")


def test_a_spool_that_cannot_be_locked_fails_as_it_does_for_the_service(device: Device) -> None:
    (device.root / ".state").symlink_to(device.root / "conf")
    ended = device.command("check")
    mark, text = report(ended)["spool"]
    assert (ended.returncode, mark) == (75, "FAIL")
    assert f"{device.root}/.state is not a directory, and no link to one will do; move it away" in text
    assert text.endswith(device.command("send").stderr.partition("locked: ")[2].strip())


def test_a_fault_does_not_hide_the_next_one(device: Device) -> None:
    break_key(device)
    break_bundle(device)
    said = report(device.command("check"))
    assert {part for part, (mark, _) in said.items() if mark == "FAIL"} == {"key", "TLS"}
    assert "thermometer" in said


def test_a_server_that_is_away_ends_it_with_75(device: Device, server: Server) -> None:
    server.stop()
    ended = device.command("check")
    assert ended.returncode == 75
    assert report(ended)["TLS"] == ("FAIL", f"localhost:{server.port}: no connection (Connection refused)")


def test_a_wrong_host_ends_it_with_77_and_is_asked_nothing(device: Device, serve: Serve, authority: Authority) -> None:
    portal = serve(authority.issue("portal.example"))
    device.configure(base=portal.url)
    ended = device.command("check")
    assert ended.returncode == 77
    assert "is for another host: fix the host in serviceBaseURL" in report(ended)["TLS"][1]
    assert portal.calls("ping") == []


def test_a_name_with_the_roots_dot_is_the_certificates_name_as_it_is_for_the_delivery(
    device: Device, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: look_up(host.rstrip("."), *rest, **more))
    device.configure(base=f"https://localhost.:{server.port}/rest/v2")
    ended = device.command("check")
    assert report(ended)["TLS"][0] == "ok", ended.stdout
    assert ended.returncode == 0


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, 77, "it does not know this device or its key; register the uuid and the public key there"),
        (404, 77, "is not where it takes records; fix serviceBaseURL"),
        (503, 75, "the server answered 503"),
    ],
)
def test_a_server_that_takes_no_sign_of_life_says_why(
    device: Device, server: Server, status: int, code: int, message: str
) -> None:
    server.answer = lambda _: status
    ended = device.command("check")
    mark, text = report(ended)["server"]
    assert (ended.returncode, mark) == (code, "FAIL")
    assert message in text
