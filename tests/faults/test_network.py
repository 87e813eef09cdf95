"""Faults of the network and of the server behind it."""

import random
import secrets
import socket
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from kegnet_client.core.delivery import MAX_RETRY_AFTER_S, Disposition, Verdict, parse_retry_after
from kegnet_client.core.link import Link

from .device import Device
from .misbehaving_server import Answer, Asked, Authority, Serve, Server
from .program import Program, Until
from .versions import BOTH, V2_LATER, V3, slowly

KEPT = "Records stay in the spool"
BACK = "the server takes records again"


def first(*answers: Any) -> Answer:
    """The first requests with a pour are answered so, all others with 200."""
    left = list(answers)
    return lambda asked: left.pop(0) if left and asked.pulses else 200


def reset(stream: socket.socket) -> None:
    """What a crashed server does to its connections."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def after_reload_all_go(device: Device, server: Server, program: Program, until: Until) -> None:
    """Once it is mended, nothing is missing."""
    pulses = [int(name[:6]) for name in device.waiting()]
    server.answer = lambda _: 200
    device.reload(program)
    server.wait_for_rows(pulses)
    until(lambda: not device.waiting(), "files stay")


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
    device: Device, serve: Serve, authority: Authority, cable: Link2, until: Until, tmp_path: Path, missing: str
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
        program = device.start(before=cable.enter, variables={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert supervisor.recv(4096) == b"READY=1"
    why = "no connection (Network is unreachable)" if missing == "route" else "the server's name is not found"
    program.log.wait_for(f"{why}")
    assert device.waiting() == ["000001.pour"]
    if missing == "route":
        cable.up()
    else:
        (cable.etc / "hosts").write_text(f"{cable.address} {host}\n")
    server.wait_for_rows([1])
    until(lambda: not device.waiting(), "files stay")
    program.log.wait_for(BACK)
    assert len(program.log.lines(KEPT)) == 1


@pytest.mark.case(17)
@V2_LATER
def test_a_link_that_goes_down_in_the_middle_costs_nothing(
    device: Device, serve: Serve, authority: Authority, cable: Link2, until: Until
) -> None:
    server = serve(authority.issue(cable.address), address=cable.address, host=cable.address)
    device.configure(base=server.url, deadline_s="1")
    cable.up()
    program = device.start(before=cable.enter)
    device.drop(1)
    server.wait_for_rows([1])
    cable.down()
    for pulses in (2, 3, 4):
        device.drop(pulses)
    program.log.wait_for(KEPT)
    cable.up()
    server.wait_for_rows([1, 2, 3, 4])
    until(lambda: not device.waiting(), "files stay")


@pytest.mark.case(17)
@V2_LATER
def test_with_the_server_refused_everything_waits_and_arrives_once(
    device: Device, server: Server, until: Until
) -> None:
    server.stop()
    program = device.start()
    for pulses in range(1, 6):
        device.drop(pulses)
    program.log.wait_for("no connection (Connection refused). Records stay in the spool and are tried again")
    assert len(device.waiting()) == 5
    server.start()
    server.wait_for_rows(range(1, 6))
    until(lambda: not device.waiting(), "files stay")
    program.log.wait_for(BACK)
    assert len(program.log.lines(KEPT)) == 1
    assert set(server.rows().values()) == {1}


@pytest.mark.case(17)
@V2_LATER
def test_a_server_that_resets_is_not_hammered_and_each_try_is_counted(
    device: Device, server: Server, until: Until
) -> None:
    left = [reset] * 3
    server.answer = lambda _: left.pop() if left else 200
    device.drop(1)
    program = device.start()
    server.wait_for_rows([1])
    program.log.wait_for(BACK)
    tries = [asked.at_s for asked in server.asked()][:4]
    # Waits of up to 1, 2 and 4 s: one run in five thousand has less than this.
    assert tries[-1] - tries[0] > 0.2
    assert len(program.log.lines(KEPT)) == len(program.log.lines(BACK)) == 1
    until(lambda: device.status()["counters"]["deferred"] == 3, "not counted")
    assert "3 tries deferred" in device.command("status").stdout


# 18, 19


def drip(data: bytes) -> Callable[[socket.socket], None]:
    """A byte at a time, each within any timeout that begins anew with every byte."""

    def answer(stream: socket.socket) -> None:
        for byte in data:
            stream.sendall(bytes([byte]))
            time.sleep(0.2)

    return answer


@pytest.mark.case(18)
@V2_LATER
@pytest.mark.parametrize("part", ["headers", "body"])
def test_one_deadline_over_the_whole_exchange_ends_an_answer_that_drips(
    device: Device, server: Server, until: Until, part: str
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
    program = device.start()
    program.log.wait_for("no whole answer within 1 s. Records stay in the spool")
    server.wait_for_rows([1])
    until(lambda: not device.waiting(), "files stay")
    one, other = server.asked(1)
    assert one.records == other.records


@pytest.mark.case(19)
@V2_LATER
@pytest.mark.parametrize("stored", [True, *slowly(False)])
def test_what_was_reset_after_the_request_is_sent_again_and_is_one_row(
    device: Device, server: Server, until: Until, stored: bool
) -> None:
    def take_and_reset(asked: Asked) -> Any:
        if not asked.pulses or len(server.asked(1)) > 1:
            return 200
        if stored:
            server.store(asked)
        return reset

    server.answer = take_and_reset
    device.drop(1)
    device.start()
    server.wait_until(lambda asked: 1 in asked.pulses, count=2)
    until(lambda: not device.waiting(), "files stay")
    server.wait_for_rows([1])
    assert server.rows() == {1: 2 if stored else 1}
    one, other = server.asked(1)
    assert one.records == other.records


# 20


@pytest.mark.case(20)
@V2_LATER
@pytest.mark.parametrize("who", ["portal", "other host"])
def test_who_is_not_the_server_never_sees_a_request(
    device: Device,
    serve: Serve,
    authority: Authority,
    other_authority: Authority,
    who: str,
) -> None:
    portal = serve(other_authority.issue() if who == "portal" else authority.issue("www.example"))
    device.configure(base=portal.url)
    device.drop(1)
    program = device.start()
    program.log.wait_for("put that CA there" if who == "portal" else "mend the host in serviceBaseURL")
    program.stop()
    assert portal.connections > 0
    assert portal.asked() == []
    assert device.waiting() == ["000001.pour"]


@pytest.mark.case(20)
@V3
@pytest.mark.parametrize(
    "body",
    [
        b"<html>Welcome to our Wi-Fi</html>",
        b"",
        b"{}",
        b'{"accepted": 2, "rejected": []}',
        b'{"accepted": 1}',
        *slowly(
            b"[]",
            b"null",
            b'{"accepted": 0, "rejected": []}',
            b'{"rejected": []}',
            b'{"accepted": "1", "rejected": []}',
            b'{"accepted": true, "rejected": []}',
            b'{"accepted": 1.0, "rejected": []}',
            b'{"accepted": -1, "rejected": [{"index": 0, "reason": "a"}, {"index": 1, "reason": "b"}]}',
            b'{"accepted": 0, "rejected": [{"index": 1, "reason": "no such record"}]}',
            b'{"accepted": 1, "rejected": [',
        ),
    ],
)
def test_a_200_without_the_counts_is_no_acknowledgement(
    device: Device, server: Server, until: Until, body: bytes
) -> None:
    server.answer = first((200, ["Content-Type: application/json"], body))
    device.drop(1)
    program = device.start()
    program.log.wait_for(KEPT)
    server.wait_for_rows([1])
    until(lambda: not device.waiting(), "files stay")
    assert not device.rejected.exists()


# 21 to 25


@pytest.mark.case(21)
@V2_LATER
@pytest.mark.parametrize("status", [301, 307, *slowly(300, 302, 303, 304, 308)])
def test_a_redirect_is_not_followed_and_everything_is_kept(
    device: Device, server: Server, serve: Serve, chain: Path, until: Until, status: int
) -> None:
    elsewhere = serve(chain)
    server.answer = lambda _: (status, [f"Location: {elsewhere.url}/pour"], b"")
    device.drop(1)
    device.drop(2)
    program = device.start()
    told = program.log.wait_for("redirects are not followed; put the final address into serviceBaseURL")
    assert elsewhere.url in told
    assert len(device.waiting()) == 2
    assert elsewhere.connections == 0
    assert len(program.log.lines("redirects are not followed")) == 1
    after_reload_all_go(device, server, program, until)


@pytest.mark.case(23)
@BOTH
@pytest.mark.parametrize("status", [401, *slowly(403)])
def test_a_refusal_of_the_device_keeps_and_pauses_everything_with_one_warning(
    device: Device, server: Server, until: Until, status: int
) -> None:
    server.answer = lambda _: status
    for pulses in (1, 2, 3):
        device.drop(pulses)
    program = device.start()
    program.log.wait_for("register the uuid and the public key there. Records stay in the spool")
    device.drop(4)
    until(lambda: device.status()["counters"]["misconfigured"] == 1, "not counted")
    assert "1 refused" in device.command("status").stdout
    assert len(device.waiting()) == 4
    assert len(server.asked()) == 1, "it does not pause"
    assert len(program.log.lines(KEPT)) == 1
    after_reload_all_go(device, server, program, until)


@pytest.mark.case(24)
@V2_LATER
@pytest.mark.parametrize("status", [404, 418, *slowly(402, 405, 406, 410, 451, 499)])
def test_an_address_that_is_not_the_right_one_keeps_everything_with_one_configuration_warning(
    device: Device, server: Server, until: Until, status: int
) -> None:
    server.answer = lambda _: status
    device.drop(1)
    device.drop(2)
    program = device.start()
    told = program.log.wait_for("is not where it takes records; mend serviceBaseURL")
    assert f"answered {status}" in told
    assert len(device.waiting()) == 2
    assert len(server.asked()) == 1, "it does not pause"
    assert len(program.log.lines(KEPT)) == 1
    after_reload_all_go(device, server, program, until)


@pytest.mark.case(22, 25)
@pytest.mark.parametrize("status", [400, 409, *slowly(422)])
def test_on_v2_a_bad_request_rejects_that_record_alone_and_the_next_one_goes(
    device: Device, server: Server, until: Until, status: int
) -> None:
    server.answer = lambda asked: (status, [], b"no beer\x1b[2J") if 2 in asked.pulses else 200
    paths = [device.drop(pulses, age_s=100 - pulses) for pulses in (1, 2, 3)]
    data = paths[1].read_bytes()
    program = device.start()
    server.wait_for_rows([1, 3])
    until(lambda: not device.waiting(), "files stay")
    assert (device.rejected / "000002.pour").read_bytes() == data
    assert f"the server answered {status}: no beer" in device.reason("000002.pour")
    assert len(server.asked(2)) == 1
    program.log.wait_for("rejected 000002.pour: ")
    until(lambda: device.status()["counters"]["rejected"] == 1, "not counted")


@pytest.mark.case(22)
def test_on_v2_ten_rejections_in_a_row_are_the_servers_fault_and_the_rest_stays(
    device: Device, server: Server, until: Until
) -> None:
    server.answer = lambda _: 400
    for pulses in range(1, 16):
        device.drop(pulses, age_s=100 - pulses)
    program = device.start()
    program.log.wait_for("it rejected 10 records in a row, so the fault is hardly in the records")
    until(lambda: len(device.waiting()) == 5, "not ten")
    assert len(list(device.rejected.glob("*.pour"))) == 10
    assert len(server.asked()) == 10
    server.answer = lambda _: 200
    assert device.command("rejected", "retry").returncode == 0
    device.reload(program)
    server.wait_for_rows(range(1, 16))
    until(lambda: not device.waiting(), "files stay")


@pytest.mark.case(22, 25)
@V3
@pytest.mark.parametrize("status", [400, 409, *slowly(415, 422)])
def test_on_v3_a_status_rejects_nothing(device: Device, server: Server, until: Until, status: int) -> None:
    server.answer = lambda _: status
    for pulses in range(1, 16):
        device.drop(pulses)
    program = device.start()
    program.log.wait_for(KEPT)
    assert len(device.waiting()) == 15
    assert not device.rejected.exists()
    assert len(server.asked()) == 1, "it does not pause"
    after_reload_all_go(device, server, program, until)


@pytest.mark.case(22)
@V3
def test_on_v3_a_verdict_rejects_that_record_alone_with_its_reason(
    device: Device, server: Server, until: Until
) -> None:
    def judge(asked: Asked) -> Any:
        ids = {record["id"]: index for index, record in enumerate(asked.records) if record.get("pulses") == 2}
        rejected = [{"index": index, "id": name, "reason": "no beer"} for name, index in ids.items()]
        if not rejected:
            return 200
        return 200, ["Content-Type: application/json"], asked.acknowledgement(*rejected)

    server.answer = judge
    paths = [device.drop(pulses) for pulses in (1, 2, 3)]
    data = paths[1].read_bytes()
    device.start()
    until(lambda: not device.waiting(), "files stay")
    assert sorted(path.name for path in device.rejected.iterdir()) == ["000002.pour", "000002.pour.reason"]
    assert (device.rejected / "000002.pour").read_bytes() == data
    assert "no beer" in device.reason("000002.pour")
    until(lambda: device.status()["counters"]["rejected"] == 1, "not counted")


# 26


@pytest.mark.case(26)
@BOTH
def test_what_is_too_large_alone_is_rejected_and_the_others_go(device: Device, server: Server, until: Until) -> None:
    server.answer = lambda asked: 413 if 5 in asked.pulses or len(asked.records) > 3 else 200
    for pulses in range(1, 21):
        device.drop(pulses, age_s=100 - pulses)
    program = device.start()
    server.wait_for_rows([*range(1, 5), *range(6, 21)])
    until(lambda: not device.waiting(), "files stay")
    assert sorted(path.name for path in device.rejected.iterdir()) == ["000005.pour", "000005.pour.reason"]
    assert "413" in device.reason("000005.pour")
    program.log.wait_for("rejected 000005.pour")
    assert set(server.rows().values()) == {1}


# 27, 28


def http_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.case(27)
@V2_LATER
@pytest.mark.parametrize(
    ("status", "form"),
    [
        (429, "seconds"),
        (503, "date of a server whose clock is wrong"),
        pytest.param(503, "seconds", marks=pytest.mark.slow),
        pytest.param(503, "date", marks=pytest.mark.slow),
        pytest.param(429, "date", marks=pytest.mark.slow),
    ],
)
def test_retry_after_is_honoured(device: Device, server: Server, status: int, form: str) -> None:
    day_s = 86400.0 if form.endswith("wrong") else 0.0
    headers = [f"Date: {http_date(day_s)}", f"Retry-After: {2 if form == 'seconds' else http_date(day_s + 2)}"]
    server.answer = first((status, headers, b""))
    device.drop(1)
    program = device.start()
    program.log.wait_for(f"the server answered {status}. Records stay in the spool")
    server.wait_for_rows([1])
    one, other = server.asked(1)
    assert other.at_s - one.at_s >= (2 if form == "seconds" else 1)  # a date may be cut to its second


@pytest.mark.case(27)
@V2_LATER
@pytest.mark.parametrize(
    "value",
    ["-5", "soon", *slowly("", "1.5", "٣", "Thu, 99 Foo 2026 00:00:00 GMT", "Thu, 01 Jan 2015 00:00:00 GMT", "0")],
)
def test_a_retry_after_that_makes_no_sense_or_is_over_is_no_wait_of_its_own(
    device: Device, server: Server, value: str
) -> None:
    def answer(stream: socket.socket) -> None:
        head = f"HTTP/1.1 503 Later\r\nDate: {http_date(0)}\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
        stream.sendall(head.encode())

    server.answer = first(answer)
    device.drop(1)
    device.start()
    server.wait_for_rows([1])
    assert server.rows() == {1: 1}


@pytest.mark.case(27, 30)
@V2_LATER
@pytest.mark.parametrize(
    "value",
    ["9" * 400, "Sat, 01 Jan 2050 00:00:00 GMT", *slowly("99999999", "Fri, 31 Dec 9999 23:59:59 GMT")],
    ids=["digits", "2050", "seconds", "9999"],
)
def test_an_absurd_retry_after_is_clamped_and_a_restart_tries_at_once(
    device: Device, server: Server, until: Until, value: str
) -> None:
    server.answer = first((503, [f"Date: {http_date(0)}", f"Retry-After: {value}"], b""))
    device.drop(1)
    program = device.start()
    until(lambda: device.status()["counters"]["deferred"] == 1, "not counted")
    assert device.status()["link"] == "waiting"
    assert parse_retry_after(value, http_date(0), 0) == MAX_RETRY_AFTER_S == 3600
    assert program.stop()[0] == 0
    device.start()
    server.wait_for_rows([1])
    assert server.rows() == {1: 1}


@pytest.mark.case(28)
@V2_LATER
@pytest.mark.parametrize("status", [500, *slowly(503)])
def test_a_5xx_without_end_costs_a_log_line_a_change_and_no_record(
    device: Device, server: Server, until: Until, status: int
) -> None:
    left = [status] * 4
    server.answer = lambda _: left.pop() if left else 200
    for pulses in (1, 2):
        device.drop(pulses)
    program = device.start()
    server.wait_for_rows([1, 2])
    until(lambda: not device.waiting(), "files stay")
    program.log.wait_for(BACK)
    assert len(program.log.lines(KEPT)) == 1
    assert len(program.log.lines(BACK)) == 1
    assert len(program.log.lines(f"answered {status}")) <= 3, "a line a try"
    assert not device.rejected.exists()


def waits_s(link: Link, verdict: Verdict, tries: int) -> list[float]:
    """How long ``link`` waits after each of so many failures."""
    now_s, waits = 0.0, []
    for _ in range(tries):
        link.settle("a.pour", verdict, now_s)
        waits.append(max(0.0, link.retry_at_s - now_s))
        now_s = max(now_s, link.retry_at_s)
    return waits


@pytest.mark.case(28, 17)
def test_the_wait_after_failures_without_end_is_capped_and_never_the_same() -> None:
    verdict = Verdict(Disposition.DEFERRED, "no connection")
    waits = waits_s(Link(random.Random(1).random), verdict, 200)  # noqa: S311 (no secret)
    assert max(waits) <= 300
    assert max(waits) > 250
    assert len(set(waits)) > 190


# 29


@pytest.mark.case(29)
@BOTH
@pytest.mark.parametrize("status", [500, *slowly(502)])
def test_a_record_that_always_earns_a_5xx_holds_up_nobody(
    device: Device, server: Server, until: Until, status: int
) -> None:
    server.answer = lambda asked: status if 666 in asked.pulses else 200
    device.drop(666, age_s=100)
    for pulses in range(1, 41):
        device.drop(pulses)
    program = device.start()
    server.wait_for_rows(range(1, 41))
    server.wait_for(666, count=3)
    tries = len(server.asked(666))
    for pulses in range(41, 61):
        device.drop(pulses)
        server.wait_for_rows([pulses])
    # In a batch it may be met once with each new one, until it has had a try of its own.
    assert len(server.asked(666)) - tries < (10 if server.asked()[0].path.endswith("/pour") else 30)
    server.wait_until(lambda asked: asked.pulses == [666])
    program.log.wait_for("000666.pour steps aside for the others")
    until(lambda: device.waiting() == ["000666.pour"], "files stay")
    assert not device.rejected.exists()
    assert set(server.rows().values()) == {1}
    assert len(program.log.lines("000666.pour")) <= 2
    server.answer = lambda _: 200
    device.reload(program)
    server.wait_for_rows([666])


# 30


@pytest.mark.case(30)
@pytest.mark.parametrize("retry_after_s", [None, 60.0])
def test_a_fleet_that_lost_its_server_at_once_comes_back_spread_out(retry_after_s: float | None) -> None:
    verdict = Verdict(Disposition.DEFERRED, "no connection", retry_after_s=retry_after_s)
    fleet = [Link(random.Random(seed).random) for seed in range(1000)]  # noqa: S311 (no secret)
    assert all(link.ready(0.0) for link in fleet), "the first try is at once"
    asked_s = retry_after_s or 0.0
    for tries in range(1, 11):
        waits = [waits_s(link, verdict, 1)[0] - asked_s for link in fleet]
        ceiling_s = min(300, 2.0 ** (tries - 1))
        assert min(waits) >= 0
        assert max(waits) <= ceiling_s
        for part in range(10):  # full jitter: each tenth of the time has about a tenth of the fleet
            share = sum(part <= wait / ceiling_s * 10 < part + 1 for wait in waits)
            assert 50 < share < 160, (tries, part)
        for link in fleet:
            link.retry_at_s = 0.0


# 31


def endless(
    head: bytes, part: bytes, sent: list[int], status: str = "200 OK\r\nContent-Type: application/json"
) -> Callable[[socket.socket], None]:
    """``part`` again and again, until the other end has enough; how much it was comes into ``sent``."""

    def answer(stream: socket.socket) -> None:
        stream.sendall(f"HTTP/1.1 {status}\r\n".encode() + head)
        sent.append(0)
        while sent[-1] < 2**30:
            stream.sendall(part)
            sent[-1] += len(part)

    return answer


def bomb(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(2**20)
    return b"".join(packer.compress(zeros) for _ in range(mebibytes)) + packer.flush()


@pytest.mark.case(31)
@V2_LATER
@pytest.mark.parametrize("kind", ["body", "gzip bomb", *slowly("chunks", "headers", "continues")])
def test_an_answer_without_end_is_read_to_a_bound_and_closed(
    device: Device, server: Server, until: Until, kind: str
) -> None:
    sent: list[int] = []
    match kind:
        case "body":
            answer = endless(b"\r\n", b"x" * 65536, sent)
        case "chunks":
            answer = endless(b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n", sent)
        case "headers":
            answer = endless(b"", b"X-More: " + b"x" * 1000 + b"\r\n", sent)
        case "continues":
            answer = endless(b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, sent, status="100 Continue")
        case _:
            packed = bomb(512)
            head = f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
            answer = endless(head.encode(), packed, sent)
    device.configure(deadline_s="2")
    program = device.start()
    device.drop(1)
    server.wait_for_rows([1])
    before_kb = program.memory_kb("VmHWM")
    server.answer = first(answer)
    device.drop(2)
    server.wait_for(2)
    device.drop(3)
    server.wait_for_rows([3])
    until(lambda: not device.waiting(), "files stay")
    if kind != "continues":  # each is a whole answer, and the deadline is their bound
        assert sent[0] < 16 * 2**20, "it goes on reading"
    assert program.memory_kb("VmHWM") - before_kb < 8 * 1024


# 32


@pytest.mark.case(32)
@V2_LATER
def test_nothing_in_the_environment_has_any_effect(
    device: Device, server: Server, serve: Serve, other_authority: Authority, tmp_path: Path, until: Until
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
    program = device.start(variables=variables)
    server.wait_for_rows([1])
    until(lambda: not device.waiting(), "files stay")
    assert all("authorization" not in asked.headers for asked in server.asked())
    assert not keys.exists()
    # What the variables name is not believed either.
    foreign = serve(other_authority.issue())
    device.configure(base=foreign.url)
    device.reload(program)
    device.drop(2)
    program.log.wait_for("from a CA that is not in caBundle")
    assert foreign.asked() == []
    assert proxy.connections == 0
