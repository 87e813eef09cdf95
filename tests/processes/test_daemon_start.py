"""What a daemon needs to start and says when it is missing; and what it does without."""

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ..support.device import UP, Device
from ..support.server import Server, hang
from ..support.waits import WAIT_S, wait_until
from ..support.watchdog import WATCHDOG_S, wait_until_fed, watched


def test_the_watchdog_is_fed_while_there_is_nothing_to_do_and_not_while_the_uploader_hangs(
    device: Device, server: Server
) -> None:
    with watched(device) as (_, supervisor):
        wait_until_fed(supervisor, 4)
        hang(server)
        device.drop()
        server.wait_for("pour")
        hung_s = time.monotonic()
        supervisor.settimeout(4 * WATCHDOG_S)
        with suppress(TimeoutError):
            while supervisor.recv(4096):
                assert time.monotonic() - hung_s < 3 * WATCHDOG_S, "still fed"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "no configuration",
            "client.conf: does not exist; run `kegnet-client enroll URL CODE` (at a hub) or",
        ),
        ("open key", "is open to others (mode 0640); `chmod 600 "),
        ("garbage ca", "holds no PEM certificate"),
        pytest.param("setting", "[KegNet] deadline: 'soon': is not a number of seconds", marks=pytest.mark.slow),
        pytest.param("url", "http is not encrypted", marks=pytest.mark.slow),
        pytest.param("no key", "privkey.pem: privateKey: does not exist", marks=pytest.mark.slow),
        pytest.param("garbage key", "holds no private key in PEM", marks=pytest.mark.slow),
        pytest.param("no ca", "ca.crt: caBundle: does not exist; copy the server's", marks=pytest.mark.slow),
    ],
)
def test_a_fault_in_configuration_key_or_ca_ends_it_with_78_and_what_to_do(
    device: Device, fault: str, message: str
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


def test_a_second_instance_ends_with_75_and_the_first_is_undisturbed(device: Device, server: Server) -> None:
    program = device.run()
    second = device.command("run")
    assert second.returncode == 75
    assert f"{device.spool}: another kegnet-client delivers from this spool; stop it first" in second.stderr
    device.drop()
    server.wait_for("pour")
    program.log.wait_for("delivered")
    assert device.status()["pid"] == program.process.pid


def test_wrong_usage_ends_it_with_64(device: Device) -> None:
    assert device.command("run", "fast").returncode == 64


def test_no_name_service_at_the_start_is_no_reason_not_to_be_ready(device: Device, tmp_path: Path) -> None:
    device.configure(base="https://kegnet.invalid/rest/v2")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(WAIT_S)
        program = device.run(variables={"NOTIFY_SOCKET": str(tmp_path / "notify")})
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


def test_a_supervisor_that_is_gone_is_no_reason_to_end(device: Device, server: Server, tmp_path: Path) -> None:
    program = device.run(variables={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    device.drop()
    program.log.wait_for("delivered")
    assert program.stop()[0] == 0


def test_it_runs_without_root_journal_and_syslog(plain_users_device: Device) -> None:
    program = plain_users_device.start(terminal=False)
    program.log.wait_for(UP)
    pour = plain_users_device.drop()
    os.chown(pour, plain_users_device.root.stat().st_uid, -1)
    program.log.wait_for("delivered")
    assert not pour.exists()
    assert program.log.lines("no temperatures, pours go on: no 1-Wire bus at")
    assert program.stop()[0] == 0


def test_it_runs_with_nothing_to_write_to(device: Device, server: Server) -> None:
    program = device.start(before=("sh", "-c", 'exec "$0" "$@" >&- 2>&-'))
    pour = device.drop()
    server.wait_for("pour")
    wait_until(lambda: not pour.exists(), "it is still there")
    assert program.stop()[0] == 0
