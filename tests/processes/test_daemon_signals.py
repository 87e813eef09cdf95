"""A stop takes two seconds at most, and a reload takes over what is new or goes on as before."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ..support.authority import Authority
from ..support.device import UP, Device
from ..support.program import Program
from ..support.server import Serve, Server, hang
from ..support.waits import WAIT_S, wait_until

STOPS_WITHIN_S = 2.0

# Ends


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("moment", ["idle", "request", "sensor"])
def test_it_stops_within_two_seconds(device: Device, server: Server, number: signal.Signals, moment: str) -> None:
    if moment == "request":
        hang(server)
    if moment == "sensor":
        path = device.plug()
        path.unlink()
        os.mkfifo(path)
    program = device.run()
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


@contextmanager
def looking_up(device: Device, timeout_s: int) -> Iterator[Program]:
    """The program while it looks up its server's name, at a resolver that says nothing for ``timeout_s``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.settimeout(WAIT_S)
        try:
            resolver.bind(("127.0.0.53", 53))
            subprocess.run(["unshare", "-m", "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"a resolver of one's own takes root: {error}")
        configuration = device.root / "resolv.conf"
        configuration.write_text(f"nameserver 127.0.0.53\noptions timeout:{timeout_s} attempts:1\n")
        device.configure(base="https://kegnet.example/rest/v2")
        inside = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        program = device.start(before=("unshare", "-m", "sh", "-c", inside, str(configuration)))
        device.drop()
        assert b"kegnet" in resolver.recv(512)
        yield program


@pytest.mark.alone
def test_it_stops_within_two_seconds_while_a_name_lookup_hangs(device: Device) -> None:
    with looking_up(device, timeout_s=30) as program:
        code, took_s = program.stop()
    assert code == 0
    assert took_s < STOPS_WITHIN_S
    assert len(list(device.spool.glob("*.pour"))) == 1


def test_a_spool_that_was_left_during_a_lookup_can_be_gone_back_to_after_it(device: Device) -> None:
    with looking_up(device, timeout_s=3) as program:
        device.configure(spool="other")
        program.log.wait_for(UP)
        device.reload(program)
        device.configure(spool="spool")

        def is_back() -> bool:
            program.signal(signal.SIGHUP)
            return len(program.log.lines("reloaded: ")) > 1

        wait_until(is_back, "the spool is still in use")


# Reload


def test_a_reload_takes_over_a_new_address_and_ca_and_loses_nothing(
    device: Device, server: Server, serve: Serve, other_authority: Authority
) -> None:
    program = device.run()
    device.drop(1)
    server.wait_for("pour")
    new = serve(other_authority.issue())
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


def test_a_reload_to_a_wrong_address_is_seen_at_once_though_no_record_comes(device: Device, server: Server) -> None:
    program = device.run()
    device.drop(1)
    program.log.wait_for("delivered")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    device.configure(base=f"https://localhost:{port}/rest/v3")
    device.reload(program)
    wait_until(lambda: device.status()["link"] == "waiting", "the status does not tell that nobody is there")
    assert "refused" in device.status()["link_reason"]


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
    device: Device, server: Server, fault: str, message: str
) -> None:
    program = device.run()
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
    program.log.wait_for("the configuration has faults; the previous one stays in use")
    device.drop(7)
    assert server.wait_for("pour")[0].fields["pulses"] == "7"
    assert program.stop()[0] == 0


def test_a_reload_to_another_spool_gives_up_the_one_before(device: Device, server: Server) -> None:
    program = device.run()
    second = device.root / "second"
    device.configure(spool="second")
    device.reload(program)
    second.joinpath("a.pour").write_text("0,5,1,1700000000000\n")
    assert server.wait_for("pour")[0].fields["pulses"] == "5"
    assert "another kegnet-client delivers" in device.command("send").stderr
    device.configure(spool="spool")
    assert device.command("send").returncode == 0


def test_a_reload_that_fails_holds_no_other_spool(device: Device) -> None:
    program = device.run()
    device.configure(spool="second", private_key="conf/none.pem")
    program.signal(signal.SIGHUP)
    program.log.wait_for("the previous one stays in use")
    device.configure(private_key="conf/privkey.pem")
    assert device.command("send").returncode == 0


def test_a_reload_leaves_the_thermometer_alone_unless_its_settings_change(device: Device) -> None:
    program = device.run()
    program.log.wait_for("no temperatures, pours go on")
    device.configure(deadline_s="9")
    device.reload(program)
    device.configure(ping_interval_s="700")
    device.reload(program)
    program.log.wait_for("no temperatures, pours go on", 2)
    assert len(program.log.lines("no temperatures, pours go on")) == 2


@pytest.mark.alone
def test_a_stop_during_a_reload_is_a_stop(device: Device, server: Server) -> None:
    hang(server)
    program = device.run()
    device.drop()
    server.wait_for("pour")
    program.signal(signal.SIGHUP)
    code, took_s = program.stop()
    assert code == 0
    assert took_s < 2 * STOPS_WITHIN_S
