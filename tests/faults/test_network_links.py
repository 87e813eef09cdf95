"""Faults on the way to the server: whatever breaks there, and whenever, each record arrives and is one row."""

import random
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ..support.authority import Authority
from ..support.device import Device
from ..support.waits import wait_until
from .known import BACK, KEPT
from .misbehaving_server import Asked, Serve, Server, first, reset
from .versions import V2_LATER, slowly

# 16, 17


class Link2:
    """A network of the device's own: ``up`` and ``down`` are the cable to this machine, which is ``address`` there."""

    def __init__(self) -> None:
        self.name = f"kegnet-{secrets.token_hex(3)}"
        self.address = f"10.{random.randrange(100, 250)}.{random.randrange(250)}.1"  # noqa: S311 (no secret)
        self._outside = f"k{self.name[7:]}o"
        self._inside = f"k{self.name[7:]}i"
        self._ip("netns", "add", self.name)
        self._ip("link", "add", self._outside, "type", "veth", "peer", "name", self._inside, "netns", self.name)
        self._ip("addr", "add", f"{self.address}/30", "dev", self._outside)
        self._ip("link", "set", self._outside, "up")
        self._ip("-n", self.name, "addr", "add", f"{self.address[:-1]}2/30", "dev", self._inside)
        self.etc = Path("/etc/netns") / self.name
        self.etc.mkdir(parents=True)
        (self.etc / "hosts").touch()
        (self.etc / "resolv.conf").write_text(f"nameserver {self.address}\noptions timeout:1 attempts:1\n")

    @property
    def enter(self) -> list[str]:
        return ["ip", "netns", "exec", self.name]

    def up(self) -> None:
        self._ip("-n", self.name, "link", "set", self._inside, "up")

    def down(self) -> None:
        self._ip("-n", self.name, "link", "set", self._inside, "down")

    def close(self) -> None:
        self._ip("netns", "del", self.name)
        for file in self.etc.iterdir():
            file.unlink()
        self.etc.rmdir()
        with suppress(OSError):  # another network's may stand there
            self.etc.parent.rmdir()

    @staticmethod
    def _ip(*arguments: str) -> None:
        done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no network of its own is to be had: ip {' '.join(arguments)}: {done.stderr.strip()}")


@pytest.fixture
def cable(as_root: None) -> Iterator[Link2]:
    link = Link2()
    yield link
    link.close()


@pytest.mark.case(16)
@pytest.mark.parametrize("missing", ["route", "name"])
def test_without_route_or_name_it_is_ready_anyway_and_delivers_once_there_is_one(
    device: Device, serve: Serve, authority: Authority, cable: Link2, tmp_path: Path, missing: str
) -> None:
    host = cable.address if missing == "route" else "kegnet.test"
    server = serve(authority.issue(host), address=cable.address, host=host)
    device.configure(base=server.url)
    device.drop(1)
    if missing == "name":
        cable.up()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(30)
        program = device.run(before=cable.enter, variables={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert supervisor.recv(4096) == b"READY=1"
    why = "no connection (Network is unreachable)" if missing == "route" else "the server's name is not found"
    program.log.wait_for(f"{why}")
    assert device.waiting() == ["000001.pour"]
    if missing == "route":
        cable.up()
    else:
        (cable.etc / "hosts").write_text(f"{cable.address} {host}\n")
    server.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")
    program.log.wait_for(BACK)
    assert len(program.log.lines(KEPT)) == 1


@pytest.mark.case(17)
@V2_LATER
def test_a_link_that_goes_down_in_the_middle_costs_nothing(
    device: Device, serve: Serve, authority: Authority, cable: Link2
) -> None:
    server = serve(authority.issue(cable.address), address=cable.address, host=cable.address)
    device.configure(base=server.url, deadline_s="1")
    cable.up()
    program = device.run(before=cable.enter)
    device.drop(1)
    server.wait_for_rows([1])
    cable.down()
    for pulses in (2, 3, 4):
        device.drop(pulses)
    program.log.wait_for(KEPT)
    cable.up()
    server.wait_for_rows([1, 2, 3, 4])
    wait_until(lambda: not device.waiting(), "files stay")


@pytest.mark.case(17)
@V2_LATER
def test_with_the_server_refused_everything_waits_and_arrives_once(device: Device, server: Server) -> None:
    server.stop()
    for pulses in range(1, 6):
        device.drop(pulses)
    program = device.run()
    program.log.wait_for("no connection (Connection refused). Records stay in the spool and are tried again")
    assert len(device.waiting()) == 5
    server.start()
    server.wait_for_rows(range(1, 6))
    wait_until(lambda: not device.waiting(), "files stay")
    program.log.wait_for(BACK)
    assert len(program.log.lines(KEPT)) == 1
    assert set(server.rows().values()) == {1}


@pytest.mark.case(17)
@V2_LATER
def test_a_server_that_resets_is_not_hammered_and_each_try_is_counted(device: Device, server: Server) -> None:
    left = [reset] * 3
    server.answer = lambda _: left.pop() if left else 200
    device.drop(1)
    program = device.run()
    server.wait_for_rows([1])
    program.log.wait_for(BACK)
    tries = [asked.at_s for asked in server.asked()][:4]
    # Waits of up to 1, 2 and 4 s: one run in five thousand has less than this.
    assert tries[-1] - tries[0] > 0.2
    assert len(program.log.lines(KEPT)) == len(program.log.lines(BACK)) == 1
    wait_until(lambda: device.status()["counters"]["deferred"] == 3, "not counted")
    assert "3 tries deferred" in device.command("status").stdout


# 18, 19


def drip(data: bytes) -> Callable[[socket.socket], None]:
    """A byte at a time, each within any timeout that begins anew with every byte."""

    def answer(stream: socket.socket) -> None:
        for byte in data:
            stream.sendall(bytes([byte]))
            time.sleep(0.2)  # slower than anybody wants to wait, quicker than a socket's timeout

    return answer


@pytest.mark.case(18)
@V2_LATER
@pytest.mark.parametrize("part", ["headers", "body"])
def test_one_deadline_over_the_whole_exchange_ends_an_answer_that_drips(
    device: Device, server: Server, part: str
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    slow = b"X-Slow: " + b"x" * 600

    def answer(stream: socket.socket) -> None:
        if part == "body":
            stream.sendall(head + b"Content-Length: 1000\r\n\r\n")
            drip(b'{"accepted": 1, "rejected": []}' + b" " * 600)(stream)
        else:
            drip(head + slow)(stream)

    device.configure(deadline_s="1")
    device.drop(1)
    server.answer = first(answer)
    program = device.run()
    program.log.wait_for("no whole answer within 1 s. Records stay in the spool")
    server.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")
    one, other = server.asked(1)
    assert one.records == other.records


@pytest.mark.case(19)
@V2_LATER
@pytest.mark.parametrize("stored", [True, *slowly(False)])
def test_what_was_reset_after_the_request_is_sent_again_and_is_one_row(
    device: Device, server: Server, stored: bool
) -> None:
    def take_and_reset(asked: Asked) -> Any:
        if not asked.pulses or len(server.asked(1)) > 1:
            return 200
        if stored:
            server.store(asked)
        return reset

    server.answer = take_and_reset
    device.drop(1)
    device.run()
    server.wait_until(lambda asked: 1 in asked.pulses, count=2)
    wait_until(lambda: not device.waiting(), "files stay")
    server.wait_for_rows([1])
    assert server.rows() == {1: 2 if stored else 1}
    one, other = server.asked(1)
    assert one.records == other.records


# 32


@pytest.mark.case(32)
@V2_LATER
def test_nothing_in_the_environment_has_any_effect(
    device: Device, server: Server, serve: Serve, other_authority: Authority, tmp_path: Path
) -> None:
    proxy = serve(None)
    other = tmp_path / "other.crt"
    other.write_bytes(other_authority.ca)
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine localhost login me password secret\ndefault login me password secret\n")
    netrc.chmod(0o600)
    address = proxy.url.removesuffix("/rest/v2").removesuffix("/rest/v3")
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), address)
    bundles = dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), str(other))
    keys = tmp_path / "keys.log"
    variables = {**proxies, **bundles, "NETRC": str(netrc), "HOME": str(tmp_path), "SSLKEYLOGFILE": str(keys)}
    device.drop(1)
    program = device.run(variables=variables)
    server.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")
    assert all("authorization" not in asked.headers for asked in server.asked())
    assert not keys.exists()
    # What the variables name is not trusted either.
    foreign = serve(other_authority.issue())
    device.configure(base=foreign.url)
    device.reload(program)
    device.drop(2)
    program.log.wait_for("from a CA that is not in caBundle")
    assert foreign.asked() == []
    assert proxy.connections == 0
