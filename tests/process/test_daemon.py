"""``kegnet-client run`` as a process of its own, against real servers, signals, terminals and a 1-Wire tree."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from tests.process.conftest import Authority, Call, Device, Program, Server

WAIT_S = 20.0
STOPS_WITHIN_S = 2.0
UP = "delivers from"

Serve = Callable[[ssl.SSLContext], "Server"]


def start(device: "Device", notify_socket: Path | None = None) -> "Program":
    """A daemon that has said that it is up."""
    program = device.start(variables={} if notify_socket is None else {"NOTIFY_SOCKET": str(notify_socket)})
    program.log.wait_for(UP)
    return program


def wait_until(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until_s, what
        time.sleep(0.01)


def hang(server: "Server") -> None:
    """Let the server take pours and answer none."""

    def answer(call: "Call") -> int:
        if call.path.endswith("pour"):
            server.released.wait()
        return 200

    server.answer = answer


# The main job


def test_a_pour_is_delivered_signed_and_its_file_goes_after_the_200_and_not_before(
    device: "Device", server: "Server"
) -> None:
    go = threading.Event()

    def answer(call: "Call") -> int:
        if call.path.endswith("pour"):
            go.wait(WAIT_S)
        return 200

    server.answer = answer
    program = start(device)
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
    for call, signed in zip(calls, ("0,586,8123,1700000000000", "3,17,1000,1700000001000"), strict=True):
        assert call.path == "/rest/v2/pour"
        assert ",".join(call.fields[name] for name in ("pin", "pulses", "et", "ts")) == signed
        message = f"{device.uuid},{signed}".encode()
        device.public_key.verify(base64.b64decode(call.fields["sig"]), message, padding.PKCS1v15(), hashes.SHA256())
    assert program.stop()[0] == 0


def test_what_stood_in_the_spool_before_the_start_is_sent(device: "Device", server: "Server") -> None:
    names = [device.drop(number).name for number in (1, 2, 3)]
    program = start(device)
    assert [call.fields["pulses"] for call in server.wait_for("pour", 3)] == ["1", "2", "3"]
    for name in names:
        program.log.wait_for(f"delivered {name}")
    assert list(device.spool.iterdir()) == []


def test_with_the_server_away_files_stay_and_all_arrive_once_when_it_is_back(
    device: "Device", server: "Server"
) -> None:
    server.stop()
    program = start(device)
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


def test_a_refusal_keeps_everything_and_costs_one_line(device: "Device", server: "Server") -> None:
    server.answer = lambda _: 401
    program = start(device)
    pours = [device.drop() for _ in range(3)]
    program.log.wait_for("register the uuid and the public key there. Records stay in the spool")
    more = device.drop()
    assert program.stop()[0] == 0
    assert all(pour.exists() for pour in (*pours, more))
    assert len(program.log.lines("answered 401")) == 1
    assert len(server.calls("pour")) + len(server.calls("ping")) == 1


def test_a_portal_that_answers_in_the_servers_place_never_sees_a_request(
    device: "Device", serve: Serve, authority: "Authority"
) -> None:
    portal = serve(authority.serve("portal.example"))
    device.configure(base=portal.url)
    pour = device.drop()
    program = start(device)
    program.log.wait_for("the server's certificate is for another host: mend the host in serviceBaseURL")
    program.stop()
    assert pour.exists()
    assert portal.calls("pour") + portal.calls("ping") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_cut_off_in_the_middle_of_its_request_is_sent_again_with_the_same_identity(
    device: "Device", server: "Server", number: signal.Signals
) -> None:
    hang(server)
    program = start(device)
    pour = device.drop()
    server.wait_for("pour")
    program.signal(number)
    program.process.wait(WAIT_S)
    assert pour.exists()
    server.released.set()
    start(device).log.wait_for("delivered")
    assert not pour.exists()
    first, second = server.calls("pour")
    assert second.fields == first.fields


@pytest.mark.parametrize(
    ("version", "sensors"), [("v1", {None}), ("v2", {None}), ("v3", {"28-0316a2795c5b", "28-0416a2795c5c"})]
)
def test_the_real_hub_gets_pours_and_as_many_temperatures_as_the_protocol_knows(
    device: "Device", right_clock: None, tmp_path: Path, version: str, sensors: set[str | None]
) -> None:
    hub, public = tmp_path / "hub", tmp_path / "device.pub"
    public.write_bytes(device.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert device.command("hub", "init", "--dir", hub, "--host", "localhost").returncode == 0
    added = device.command("hub", "devices", "add", "--dir", hub, device.uuid, public)
    assert added.returncode == 0, added.stderr
    running = device.start("hub", "run", "--dir", hub, "--bind", "127.0.0.1", "--port", "0")
    port = re.findall(r"https://127\.0\.0\.1:(\d+)", running.log.wait_for("The hub answers at "))[0]
    device.configure(base=f"https://localhost:{port}/rest/{version}", ca_bundle=str(hub / "ca.crt"))
    device.plug("28-0316a2795c5b")
    device.plug("28-0416a2795c5c")
    program = start(device)
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


# Ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["idle", "request", "sensor"])
def test_it_stops_within_two_seconds(
    device: "Device", server: "Server", right_clock: None, number: signal.Signals, moment: str
) -> None:
    if moment == "request":
        hang(server)
    if moment == "sensor":
        path = device.plug()
        path.unlink()
        os.mkfifo(path)
    program = start(device)
    device.drop()
    if moment == "request":
        server.wait_for("pour")
    else:
        program.log.wait_for("delivered")  # with a hung sensor, too
    writer = hold_reader(path) if moment == "sensor" else None
    code, took_s = program.stop(number)
    if writer is not None:
        os.close(writer)
    assert code == 0
    assert took_s < STOPS_WITHIN_S
    program.log.wait_for("stopped; what is in the spool waits for the next start")


def hold_reader(fifo: Path) -> int:
    """Make whoever opens ``fifo`` wait for its data; the writer's end, once there is a reader."""
    fds: list[int] = []

    def opened() -> bool:
        with suppress(OSError):
            fds.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(fds)

    wait_until(opened, "nobody reads the sensor")
    return fds[0]


def test_it_stops_within_two_seconds_while_a_name_lookup_hangs(device: "Device", tmp_path: Path) -> None:
    with ExitStack() as stack:
        resolver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        resolver.settimeout(WAIT_S)
        try:
            resolver.bind(("127.0.0.53", 53))
            subprocess.run(["unshare", "-m", "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"a resolver of one's own takes root: {error}")
        configuration = tmp_path / "resolv.conf"
        configuration.write_text("nameserver 127.0.0.53\noptions timeout:30\n")
        device.configure(base="https://kegnet.example/rest/v2")
        inside = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        program = device.start(before=("unshare", "-m", "sh", "-c", inside, str(configuration)))
        pour = device.drop()
        assert b"kegnet" in resolver.recv(512)
        code, took_s = program.stop()
    assert code == 0
    assert took_s < STOPS_WITHIN_S
    assert pour.exists()


# Reload


def test_a_reload_takes_over_a_new_address_and_ca_and_loses_nothing(
    device: "Device", server: "Server", serve: Serve, other_authority: "Authority"
) -> None:
    program = start(device)
    device.drop(1)
    server.wait_for("pour")
    new = serve(other_authority.serve())
    hang(server)
    device.drop(2)  # under way when the reload comes
    server.wait_for("pour", 2)
    device.ca.write_bytes(other_authority.ca)
    device.configure(base=new.url)
    program.signal(signal.SIGHUP)
    program.log.wait_for(f"reloaded: delivers from {device.spool} to {new.url} as {device.uuid}")
    device.drop(3)
    assert sorted(call.fields["pulses"] for call in new.wait_for("pour", 2)) == ["2", "3"]
    program.log.wait_for("delivered", 3)
    assert list(device.spool.iterdir()) == []
    assert program.stop()[0] == 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("url", "http is not encrypted and is taken for this machine only"),
        ("ca", "caBundle: holds no PEM certificate"),
        ("no ca", "caBundle: does not exist"),
        ("key", "is open to others (mode 0644)"),
        ("setting", "is not a number of seconds"),
    ],
)
def test_a_reload_that_finds_a_fault_says_it_and_goes_on_as_before(
    device: "Device", server: "Server", fault: str, message: str
) -> None:
    program = start(device)
    match fault:
        case "url":
            device.configure(base="http://kegnet.example/rest/v2")
        case "ca":
            device.ca.write_text("garbage")
        case "no ca":
            device.ca.unlink()
        case "key":
            device.key.chmod(0o644)
        case _:
            device.configure(deadline_s="soon")
    program.signal(signal.SIGHUP)
    assert message in program.log.wait_for("reload: ")
    program.log.wait_for("the configuration is not good, the one before it stays in force")
    device.drop(7)
    assert server.wait_for("pour")[0].fields["pulses"] == "7"
    assert program.stop()[0] == 0


def test_a_reload_to_another_spool_gives_up_the_one_before(device: "Device", server: "Server") -> None:
    program = start(device)
    second = device.root / "second"
    device.configure(spool="second")
    program.signal(signal.SIGHUP)
    program.log.wait_for("reloaded: ")
    second.joinpath("a.pour").write_text("0,5,1,1700000000000\n")
    assert server.wait_for("pour")[0].fields["pulses"] == "5"
    assert "another kegnet-client delivers" in device.command("send").stderr
    device.configure(spool="spool")
    assert device.command("send").returncode == 0


def test_a_reload_that_fails_holds_no_other_spool(device: "Device") -> None:
    program = start(device)
    device.configure(spool="second", private_key="conf/none.pem")
    program.signal(signal.SIGHUP)
    program.log.wait_for("the one before it stays in force")
    device.configure(private_key="conf/privkey.pem")
    assert device.command("send").returncode == 0


def test_a_reload_leaves_the_thermometer_alone_unless_its_settings_change(device: "Device") -> None:
    program = start(device)
    program.log.wait_for("no temperatures, pours go on")
    device.configure(deadline_s="9")
    program.signal(signal.SIGHUP)
    program.log.wait_for("reloaded: ")
    device.configure(ping_interval_s="700")
    program.signal(signal.SIGHUP)
    program.log.wait_for("reloaded: ", 2)
    program.log.wait_for("no temperatures, pours go on", 2)
    assert len(program.log.lines("no temperatures, pours go on")) == 2


def test_a_stop_during_a_reload_is_a_stop(device: "Device", server: "Server") -> None:
    hang(server)
    program = start(device)
    device.drop()
    server.wait_for("pour")
    program.signal(signal.SIGHUP)
    code, took_s = program.stop()
    assert code == 0
    assert took_s < 2 * STOPS_WITHIN_S


# What it needs, and does without


def test_the_watchdog_is_fed_while_there_is_nothing_to_do_and_not_while_the_uploader_hangs(
    device: "Device", server: "Server", tmp_path: Path
) -> None:
    watchdog_s = 0.5
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(WAIT_S)
        variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}
        program = device.start(before=("sh", "-c", 'WATCHDOG_PID=$$ exec "$0" "$@"'), variables=variables)
        program.log.wait_for(UP)
        until_s = time.monotonic() + WAIT_S
        fed = 0
        while fed < 4:
            fed += supervisor.recv(4096) == b"WATCHDOG=1"
            assert time.monotonic() < until_s, "not fed"
        hang(server)
        device.drop()
        server.wait_for("pour")
        hung_s = time.monotonic()
        supervisor.settimeout(4 * watchdog_s)
        with suppress(TimeoutError):
            while supervisor.recv(4096):
                assert time.monotonic() - hung_s < 3 * watchdog_s, "still fed"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "no configuration",
            "client.conf: does not exist; run `kegnet-client enroll URL CODE` (at a hub) or",
        ),
        ("setting", "[KegNet] deadline: 'soon': is not a number of seconds"),
        ("url", "http is not encrypted"),
        ("no key", "privkey.pem: privateKey: does not exist"),
        ("garbage key", "holds no private key in PEM"),
        ("open key", "is open to others (mode 0640); `chmod 600 "),
        ("no ca", "ca.crt: caBundle: does not exist; copy the server's CA certificate"),
        ("garbage ca", "holds no PEM certificate"),
    ],
)
def test_a_fault_in_configuration_key_or_ca_ends_it_with_78_and_what_to_do(
    device: "Device", fault: str, message: str
) -> None:
    match fault:
        case "no configuration":
            (device.root / "conf" / "client.conf").unlink()
        case "setting":
            device.configure(deadline_s="soon")
        case "url":
            device.configure(base="http://kegnet.example/rest/v2")
        case "no key":
            device.key.unlink()
        case "garbage key":
            device.key.write_text("garbage")
        case "open key":
            device.key.chmod(0o640)
        case "no ca":
            device.ca.unlink()
        case _:
            device.ca.write_text("garbage")
    ended = device.command("run")
    assert (ended.returncode, ended.stdout) == (78, "")
    assert message in ended.stderr
    assert ended.stderr.startswith("kegnet-client: ")
    assert "Traceback" not in ended.stderr


def test_a_second_instance_ends_with_75_and_the_first_is_undisturbed(device: "Device", server: "Server") -> None:
    program = start(device)
    second = device.command("run")
    assert second.returncode == 75
    assert f"{device.spool}: another kegnet-client delivers from this spool; stop it first" in second.stderr
    device.drop()
    server.wait_for("pour")
    program.log.wait_for("delivered")
    assert json.loads(device.command("status", "--json").stdout)["pid"] == program.process.pid


def test_wrong_usage_ends_it_with_64(device: "Device") -> None:
    assert device.command("run", "fast").returncode == 64


def test_no_name_service_at_the_start_is_no_reason_not_to_be_ready(device: "Device", tmp_path: Path) -> None:
    device.configure(base="https://kegnet.invalid/rest/v2")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(WAIT_S)
        program = start(device, tmp_path / "notify")
        assert supervisor.recv(4096) == b"READY=1"
        program.log.wait_for("the server's name is not found")
        program.signal(signal.SIGHUP)
        messages = [supervisor.recv(4096)]
        while messages[-1] != b"READY=1":
            messages.append(supervisor.recv(4096))
        assert any(message.startswith(b"RELOADING=1\nMONOTONIC_USEC=") for message in messages)
        assert any(message.startswith(b"STATUS=0 records waiting") for message in messages)
        assert program.stop()[0] == 0, messages
        while not messages[-1].startswith(b"STOPPING=1"):
            messages.append(supervisor.recv(4096))


def test_a_supervisor_that_is_gone_is_no_reason_to_end(device: "Device", server: "Server", tmp_path: Path) -> None:
    program = start(device, tmp_path / "nobody")
    device.drop()
    program.log.wait_for("delivered")
    assert program.stop()[0] == 0


def test_it_runs_without_root_journal_and_syslog(plain_users_device: "Device") -> None:
    program = plain_users_device.start(terminal=False)
    program.log.wait_for(UP)
    pour = plain_users_device.drop()
    os.chown(pour, plain_users_device.root.stat().st_uid, -1)
    program.log.wait_for("delivered")
    assert not pour.exists()
    assert program.log.lines("no temperatures, pours go on: no 1-Wire bus at")
    assert program.stop()[0] == 0


# The thermometer


def test_a_temperature_arrives_and_without_the_bus_signs_of_life_and_pours_go_on(
    device: "Device", server: "Server", right_clock: None
) -> None:
    device.plug()
    device.configure(ping_interval_s="1")
    program = start(device)
    ping = server.wait_for("ping")[0]
    assert ping.fields["temp"] == "23125"
    assert abs(int(ping.fields["ts"]) - time.time() * 1000) < 60_000
    shutil.rmtree(device.bus)
    program.log.wait_for("no temperatures, pours go on: no 1-Wire bus at")
    wait_until(lambda: server.calls("ping")[-1].fields["temp"] == "-1", "no sign of life")
    device.drop()
    server.wait_for("pour")
    program.log.wait_for("delivered", 2)
    assert list(device.spool.iterdir()) == []
    program.stop()
    assert len(program.log.lines("no temperatures, pours go on")) == 1
